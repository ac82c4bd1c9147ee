//! Builds the dictionary that attempts are compressed with, from generated traffic: `make dictionary`.
//!
//! Without `--write` it builds it again, says whether that gives the shipped bytes, and prints how small attempts
//! become in the languages of the sample, by sentences that are not in it, and in languages that are not in it.
//!
//! A shipped dictionary is never changed, for stored attempts name it. Where the sample, or zstd, has changed: raise
//! [`FILE`]'s version, write it, and append it to `DICTIONARIES` in `src/journal/redis/compression.rs`.

#![allow(missing_docs, reason = "a program; nobody links to it")]
#![allow(clippy::expect_used, reason = "what fails here ends the program with its reason")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to whoever started it")]

mod languages;
mod traffic;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use outbound::config::DICTIONARY_BYTES_MAX;
use outbound::journal::redis::compress;

use languages::unsampled::UNSAMPLED;
use languages::{Language, SAMPLED};
use traffic::Traffic;

/// Where the newest dictionary stands, in the package.
const FILE: &str = "src/journal/redis/dictionary-1.zdict";
/// Attempts of the sample. More of them make no better dictionary.
const ATTEMPTS: usize = 2_000;
/// Of so many attempts one is English whatever the turn, since much business is done in it.
const ENGLISH_OF: usize = 4;
/// Attempts that a ratio is measured on.
const MEASURED: usize = 200;

#[derive(Debug, Parser)]
#[command(name = "dictionary", bin_name = "make dictionary")]
struct Arguments {
    /// Put the dictionary into its file
    #[arg(long)]
    write: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let built = zstd::dict::from_samples(&sample(), DICTIONARY_BYTES_MAX).expect("a dictionary");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if arguments.write {
        std::fs::write(&file, &built).expect("the dictionary's file");
        println!("{} bytes written to {FILE}", built.len());
        return ExitCode::SUCCESS;
    }
    ratios();
    if std::fs::read(&file).is_ok_and(|shipped| shipped == built) {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{FILE} is not what is built now. If it was shipped, raise the version in FILE of benches/dictionary/main.rs \
         before `make dictionary`."
    );
    ExitCode::FAILURE
}

fn sample() -> Vec<bytes::Bytes> {
    let mut traffic = Traffic::new(1);
    let language = |n: usize| if n.is_multiple_of(ENGLISH_OF) { &SAMPLED[0] } else { &SAMPLED[n % SAMPLED.len()] };
    (0..ATTEMPTS).map(|n| traffic.attempt(language(n), language(n).sentences)).collect()
}

fn ratios() {
    println!("| language | in the sample | JSON | zstd | ratio |\n|---|---|---|---|---|");
    for (languages, sampled) in [(SAMPLED, "yes"), (UNSAMPLED, "no")] {
        for language in languages {
            let (json, zstd) = sizes(language);
            println!("| {} | {sampled} | {json} | {zstd} | {:.2} |", language.name, zstd as f64 / json as f64);
        }
    }
}

/// Bytes of an attempt as JSON and as zstd, on average.
fn sizes(language: &Language) -> (usize, usize) {
    let mut traffic = Traffic::new(2);
    let (mut json, mut zstd) = (0, 0);
    for _ in 0..MEASURED {
        let attempt = traffic.attempt(language, language.others);
        json += attempt.len();
        zstd += compress(&attempt).map_or(attempt.len(), |compressed| compressed.len());
    }
    (json / MEASURED, zstd / MEASURED)
}
