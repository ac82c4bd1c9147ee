//! How many instructions the path of one message takes, from what a read brought to the answer to the commit that
//! settles it, without network and store.
//!
//! Counted is what the cores of a shard and its workspaces do, the actors' own code: checking the entry, its place in
//! the table and in the order of its chat, body, headers and signature, deciding on the outcome and replaying it, the
//! stored form, the batch. Reads bring 32 messages of four workspaces, commits settle 64. Not counted are actix, the
//! sockets, and what an adapter does with a batch; the bench's own store and endpoint do little.
//!
//! Counted by callgrind, where times on a shared machine say nothing. It runs this program for two numbers
//! of messages and takes the difference, so starting costs nothing. The figure stands in `path.txt`.
//!
//! What the processor can do changes the code that some crates choose. Valgrind shows programs a processor
//! of its own making, without SHA and AVX-512 instructions: SHA-256 is done without the instructions that are made for
//! it, so it weighs more here than in life. A host without AVX2 counts more.

#![allow(missing_docs, reason = "a program; nobody links to it")]
#![allow(clippy::expect_used, reason = "what fails here ends the bench with its reason")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to whoever started it")]

mod sample;
mod walk;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;

/// The program's own allocator: what it is asked for is a part of the path.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the figure stands, in the package.
const FIGURE: &str = "benches/path/path.txt";
/// The count may grow by so much, as a part of it, before the figure must be changed.
const GROWTH_MAX: f64 = 0.10;
/// What is counted, as a part of what is printed.
const MEANING: &str = "instructions a message in the cores of its shard and its workspace, from the read to the commit";
/// The two runs, of whole commits and as many snapshots as attempts need. The fewer are enough for every buffer to
/// have its size.
const FEW: u64 = 2_048;
const MANY: u64 = 6_144;

/// Counts the instructions of one message's path and compares them with the committed figure.
///
/// Counted is what the cores of a shard and its workspaces do from what a read brought to the answer to the commit,
/// the headers and their signature included; actix, sockets and the store are not.
#[derive(Debug, Parser)]
#[command(name = "path", bin_name = "cargo bench --bench path --")]
struct Arguments {
    /// Put the count into the file with the figure
    #[arg(long)]
    write: bool,
    /// Only walk the path with so many messages, as callgrind is told to do
    #[arg(long, value_name = "N", conflicts_with = "write")]
    messages: Option<u64>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(messages) = arguments.messages {
        walk::walk(messages);
        return ExitCode::SUCCESS;
    }
    let count = (counted(MANY) - counted(FEW)) / (MANY - FEW);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIGURE);
    if arguments.write {
        std::fs::write(&file, format!("{count}\n")).expect("the file with the figure");
        println!("{count} {MEANING}, written to {FIGURE}");
        return ExitCode::SUCCESS;
    }
    let figure = std::fs::read_to_string(&file).expect("the file with the figure");
    let figure: u64 = figure.trim().parse().expect("a number in the file with the figure");
    judge(count, figure)
}

fn judge(count: u64, figure: u64) -> ExitCode {
    let percent =
        (u32::try_from(count).map_or(f64::INFINITY, f64::from) / u32::try_from(figure).map_or(1.0, f64::from) - 1.0)
            * 100.0;
    println!("{count} {MEANING}; {FIGURE} says {figure} ({percent:+.1} %)");
    if percent < -GROWTH_MAX * 100.0 {
        println!("Keep what was gained: `cargo bench --bench path -- --write` lowers the figure.");
    }
    if percent <= GROWTH_MAX * 100.0 {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "The path of a message takes over {:.0} % more instructions than its figure. Find out what they are for:\n  \
         valgrind --tool=callgrind {} --messages {FEW}\n\
         If they are worth it, `cargo bench --bench path -- --write` changes the figure; commit it with the reason.",
        GROWTH_MAX * 100.0,
        std::env::current_exe().unwrap_or_default().display(),
    );
    ExitCode::FAILURE
}

/// Instructions of a run with so many messages, its start included.
fn counted(messages: u64) -> u64 {
    let profile = tempfile::NamedTempFile::new().expect("a file for the profile");
    let ended = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", profile.path().display()))
        .arg(std::env::current_exe().expect("the path of this program"))
        .args(["--messages", &messages.to_string()])
        .stdout(Stdio::null())
        .status()
        .expect("valgrind must be installed: `make tools`");
    assert!(ended.success(), "the program failed under valgrind");
    let profile = std::fs::read_to_string(profile.path()).expect("the profile");
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals:"));
    totals.and_then(|count| count.trim().parse().ok()).expect("the total of the profile")
}
