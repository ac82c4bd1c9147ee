//! The load bench: how fast, how steady and how large the service is, beside the bare loop of the same run.
//!
//! It starts what it needs: a private redis-server, a receiver, the release build of the service and the bare
//! loop as processes of their own. A scenario ends only when every message is accounted for.
//!
//! Reading order: the yardstick ([`bare`]), who gets the POSTs ([`receiver`], [`seen`]), what is measured and
//! filled ([`service`], [`store`], [`process`]), one measurement ([`run`]), the scenarios ([`scenario`],
//! [`backlog`], [`offered`], [`crash`], [`behind`], [`idle`], [`embedded`], [`bytes`] with `support::held_out`,
//! [`common`], [`variants`], [`durability`], [`cluster`], [`commits`], [`growth`], [`listed`], [`publish`],
//! [`peers`]), and what is shown of them ([`report`], [`table`], [`plot`], [`progress`]).

#![allow(missing_docs, reason = "a program; nobody links to it")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here ends the bench with its reason")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to whoever started it")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "measurements"
)]

mod bare;

mod receiver;
mod seen;

mod process;
mod service;
mod store;

mod run;

mod scenario;
mod backlog;
mod offered;
mod crash;
mod behind;
mod idle;
mod embedded;
mod bytes;
mod common;
mod variants;
mod durability;
mod cluster;
mod commits;
mod growth;
mod listed;
mod publish;
mod peers;

mod report;
mod table;
mod svg;
mod plot;
mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::{Machine, Report};
use scenario::{Scenario, Size};

/// Measures the service under load, beside the bare loop: XREAD, POST, commit, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "load", bin_name = "cargo bench --bench load --", after_help = AFTER_HELP)]
struct Arguments {
    /// Only these scenarios; all but peers unless told otherwise
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// How long a measurement should take, roughly; the sizes above are those of 5 seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Measurements of each side, taken in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Every scenario at a size at which it only shows that it works
    #[arg(long, conflicts_with_all = ["seconds", "pairs"])]
    tiny: bool,
    /// One JSON object a line instead of the table
    #[arg(long)]
    json: bool,
    /// Draw the rates into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw what growing costs into this file
    #[arg(long, value_name = "FILE")]
    growth_svg: Option<PathBuf>,
    /// Put the tables into this page: between the lines `<!-- load bench: begin -->` and `… end -->`, that of growth
    /// between `<!-- load bench growth: begin -->` and `… end -->`. One of which nothing was measured stays as it is
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Put the rates and the picture into this page, between `<!-- load bench summary: begin -->` and `… end -->`
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

const AFTER_HELP: &str = "\
All scenarios but growth take, with the default settings, 28 to 45 minutes on two cores that have nothing
else to do, and 4 GB of memory and 5 GB of disk. Growth measures 30 steps, three times each but once with more
than 1,000,000 messages. With --pairs 1 it took 29 minutes, 11 of them for 10,000,000 messages owed, which
need 12 GB of memory and 21 GB of disk. A step that the machine is too small for is left out, and named. All of
it happens on this machine and is removed afterwards. A message that is not accounted for (delivered, failed,
skipped or rejected) makes the bench fail; a target that is missed does not.

The scenario bytes stores two texts. Its targets are for English sentences of which none is in the
sample that the shipped dictionary is built from. Beside them, as random_words_zstd and without a
target, stand words drawn at random: they have no phrases, which is what a dictionary is good for.

Examples:
  cargo bench --bench load
  cargo bench --bench load -- --scenario spread --scenario hot --pairs 9
  cargo bench --bench load -- --json --seconds 2 > load.jsonl
  cargo bench --bench load -- --svg benches/load.svg --growth-svg benches/growth.svg --markdown src/docs/performance.md \\
    --summary README.md";

/// What a process of the bench's own does.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Receiver,
    #[command(hide = true)]
    Bare(bare::BareArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::raise_open_files();
    outbound::deliver::install_crypto();
    match &arguments.role {
        Some(Role::Receiver) => receiver::run(),
        Some(Role::Bare(args)) => bare::run(args),
        None => return measure(&arguments),
    }
    ExitCode::SUCCESS
}

fn measure(arguments: &Arguments) -> ExitCode {
    // A folder for temporary files may stand in memory; what is measured here is written to a disk.
    tempfile::env::override_temp_dir(Path::new(env!("CARGO_TARGET_TMPDIR"))).ok();
    let size = match arguments.tiny {
        true => Size::TINY,
        false => Size {
            seconds: arguments.seconds,
            pairs: arguments.pairs as usize,
            workspaces: Size::WORKSPACES,
            steps: usize::MAX,
        },
    };
    let chosen = if arguments.scenario.is_empty() { Scenario::all() } else { arguments.scenario.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut reports = Vec::new();
    for name in chosen {
        progress::step(&format!("{name}: {}", name.what()));
        let report = runtime.block_on(measured(name, &size));
        if arguments.json {
            println!("{}", report.json());
        }
        reports.push(report);
    }
    progress::end();
    let machine = Machine::here();
    if !arguments.json {
        print!("{}", table::table(&reports, &machine));
        for grown in reports.iter().filter(|report| !report.growth.is_empty()) {
            print!("\n{}", growth::table(grown, &machine, None));
        }
    }
    write_pages(arguments, &reports, &machine);
    let lost: Vec<_> = reports.iter().filter(|report| !report.accounted()).collect();
    for report in &lost {
        let name = report.scenario.map(|name| name.to_string()).unwrap_or_default();
        eprintln!("{name}: messages are not accounted for: {:?}", report.tally);
    }
    if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures one scenario.
async fn measured(name: Scenario, size: &Size) -> Report {
    let report = match name {
        Scenario::Spread => backlog::spread(size).await,
        Scenario::OneHost => backlog::one_host(size).await,
        Scenario::Hot => backlog::hot(size).await,
        Scenario::Drain => backlog::drain(size).await,
        Scenario::Hung => offered::hung(size).await,
        Scenario::Latency => offered::latency(size).await,
        Scenario::Failing => backlog::failing(size).await,
        Scenario::Takeover => crash::takeover(size).await,
        Scenario::Behind => behind::measure(size).await,
        Scenario::Idle => idle::measure(size).await,
        Scenario::Embedded => embedded::measure(size).await,
        Scenario::Bytes => bytes::measure(size).await,
        Scenario::Common => common::measure(size).await,
        Scenario::Durability => durability::measure(size).await,
        Scenario::Compression => variants::compression(size).await,
        Scenario::Cluster => cluster::measure(size).await,
        Scenario::Commits => commits::measure(size).await,
        Scenario::Growth => growth::measure(size).await,
        Scenario::Listed => listed::measure(size).await,
        Scenario::Publish => publish::measure(size).await,
        Scenario::Peers => peers::measure(size).await,
    };
    Report { scenario: Some(name), ..report }
}

/// Writes the pictures and the pages that are asked for.
fn write_pages(arguments: &Arguments, reports: &[Report], machine: &Machine) {
    let write =
        |path: &Path, text: &str| std::fs::write(path, text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let (grown, others): (Vec<&Report>, Vec<&Report>) = reports.iter().partition(|report| !report.growth.is_empty());
    let plot = arguments.svg.as_ref().zip(plot::plot(&others, machine));
    let grown = grown.first();
    let growth_plot = arguments.growth_svg.as_ref().zip(grown.and_then(|report| growth::plot(&report.growth, machine)));
    for (path, picture) in plot.iter().chain(&growth_plot) {
        write(path, picture);
    }
    let place = |path: &Path, place: &str, text: &str| {
        let page = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let page = table::placed(&page, place, text);
        write(path, &page.unwrap_or_else(|| panic!("{path:?} has no lines that mark the place of the {place}")));
    };
    if let Some(path) = &arguments.markdown {
        if !others.is_empty() {
            place(path, table::TABLE, &table::markdown(&others, machine));
        }
        if let Some(report) = grown {
            let plot = growth_plot.as_ref().map(|(plot, _)| table::as_seen_from(path, plot));
            place(path, table::GROWTH, &growth::table(report, machine, plot.as_deref()));
        }
    }
    if let Some(path) = arguments.summary.as_ref().filter(|_| !others.is_empty()) {
        let plot = plot.as_ref().and_then(|(path, _)| path.to_str());
        place(path, table::SUMMARY, &table::summary(&others, machine, plot));
    }
}
