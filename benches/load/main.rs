//! The load bench: how fast, how steady and how large the service is, beside the bare loop of the same run.
//!
//! It starts what it needs: a private redis-server, a receiver, the release build of the service and the bare
//! loop as processes of their own. A scenario ends only when every message is accounted for.

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

mod process;
mod receiver;
#[path = "../../tests/support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest of it")]
mod redis_server;
mod report;
mod run;
mod scenario;
mod service;
mod store;

use clap::{Parser, Subcommand};

use scenario::Name;

/// Measures the service under load, beside the bare loop: XREAD, POST, commit, and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    /// Only these scenarios; all of them unless told otherwise
    #[arg(long, value_enum)]
    scenario: Vec<Name>,
    /// How long a measurement should take, roughly
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Measurements of each side, taken in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// One JSON object a line instead of the table
    #[arg(long)]
    json: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

const EXAMPLES: &str = "\
Examples:
  cargo bench --bench load
  cargo bench --bench load -- --scenario spread --pairs 9
  cargo bench --bench load -- --json --seconds 2 > load.jsonl";

/// What a process of the bench's own does.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Receiver,
    #[command(hide = true)]
    Bare(bare::BareArgs),
}

/// The id of workspace `n`.
fn workspace(n: usize) -> String {
    format!("w{n}")
}

/// Where workspace `n` has its messages sent when `endpoints` share the work, and how that endpoint answers.
fn url(treatment: &str, n: usize, endpoints: usize, port: u16) -> String {
    format!("http://{}:{port}/{treatment}/{n}", receiver::address(n % endpoints))
}

fn main() {
    let arguments = Arguments::parse();
    outbound::deliver::install_crypto();
    match &arguments.role {
        Some(Role::Receiver) => return receiver::run(),
        Some(Role::Bare(args)) => return bare::run(args),
        None => {}
    }
    let size = scenario::Size { seconds: arguments.seconds, pairs: arguments.pairs as usize };
    let chosen = if arguments.scenario.is_empty() { Name::all() } else { arguments.scenario.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut reports = Vec::new();
    for name in chosen {
        eprintln!("{name}: {}", name.what());
        let report = runtime.block_on(scenario::measure(name, &size));
        if arguments.json {
            println!("{}", serde_json::to_string(&report).expect("numbers are written as JSON"));
        }
        reports.push(report);
    }
    if !arguments.json {
        print!("{}", report::table(&reports));
    }
    assert!(reports.iter().all(|report| report.accounted), "messages are not accounted for; see above");
}
