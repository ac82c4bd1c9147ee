//! `outbound demo`: everything in one process, with nothing installed.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::environment::{Environment, base};
use self::outcome::{DemoError, agree, print_table};
use self::progress::{Progress, Publishers};
use self::traffic::{FAILING, Traffic, WorkspaceMessage, workspaces};
use super::receive::ReceivedLine;
use super::token;
use crate::cli::failure::CommandFailure;
use crate::cli::output::progress_bar;
use crate::cli::runtime::{block_on_threads, stop_signal};
use crate::cli::values::{parse_listen, whole_number};
use crate::http::receiver::Received;
use crate::notify::CapturedMail;

mod environment;
pub mod outcome;
mod progress;
mod traffic;

/// The flags of `outbound demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DemoArgs {
    /// End after so many messages and print a table; without it the demo goes on until Ctrl-C
    #[arg(long, env = "OUTBOUND_MESSAGES", value_name = "N", value_parser = whole_number::<u64>(1, MESSAGES_MAX))]
    pub messages: Option<u64>,
    /// Where the HTTP facade (the API and the screens) listens; port 0 takes any free port
    #[arg(long, env = "OUTBOUND_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = parse_listen)]
    pub listen: SocketAddr,
}

/// Messages of one demo at most: it remembers the id of each.
pub const MESSAGES_MAX: u64 = 10_000_000;
/// Between two messages of the demo that goes on until Ctrl-C.
const MESSAGE_EVERY: Duration = Duration::from_millis(250);

const AFTER_HELP: &str = "\
The demo needs nothing installed: an embedded journal, a receiver that verifies what arrives, sample \
traffic of four workspaces, one of them with an endpoint that fails until it is switched off. It ends \
with 0 only if the messages that were delivered, failed and skipped are the N that were published.

Examples:
  outbound demo
  outbound demo --messages 1000";

/// Runs the demo.
///
/// # Errors
/// The service cannot start, or with `--messages` the numbers do not add up.
pub fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    block_on_threads(async {
        let mut environment = Environment::start(args.listen).await?;
        let ran = match args.messages {
            Some(n) => count(&mut environment, n, out).await,
            None => watch(&mut environment, out).await,
        };
        let stopped = environment.stop().await;
        ran.and(stopped)
    })
}

/// A few messages a second, each shown, until Ctrl-C.
async fn watch(environment: &mut Environment, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let stop = stop_signal();
    tokio::pin!(stop);
    introduce(environment, out).await?;
    writeln!(out, "Ctrl-C ends it.\n").map_err(CommandFailure::output)?;
    let mut traffic = Traffic::new(StdRng::from_rng(&mut rand::rng()));
    let mut clock = tokio::time::interval(MESSAGE_EVERY);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = clock.tick() => {
                let WorkspaceMessage { workspace, message } = traffic.next_at(Timestamp::now());
                if let Some(client) = environment.clients.get(&workspace) {
                    client.publish(message).await?;
                }
            }
            Some(received) = environment.reports.recv() => show(&received, out).map_err(CommandFailure::output)?,
            Some(mail) = environment.mails.recv() => show_mail(&mail, out).map_err(CommandFailure::output)?,
        }
    }
    writeln!(out, "ending: what is under way is finished first").map_err(CommandFailure::output)
}

fn show(received: &Received, out: &mut dyn Write) -> std::io::Result<()> {
    let failed = if received.path.trim_start_matches('/') == FAILING { "  → 500" } else { "" };
    writeln!(out, "{}{failed}", ReceivedLine(received))
}

fn show_mail(mail: &CapturedMail, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "\n┌ mail to {}: {}", mail.to, mail.subject)?;
    for line in mail.text.lines() {
        writeln!(out, "│ {line}")?;
    }
    writeln!(out, "└\n")
}

/// `n` messages as fast as they go, then the table.
async fn count(environment: &mut Environment, n: u64, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let stop = stop_signal();
    introduce(environment, out).await?;
    let started = Instant::now();
    let bar = progress_bar(Some(n), "{bar:32} {pos} of {len} messages have an outcome, {elapsed}");
    let mut publishers = Publishers::start(environment, n);
    let mut progress = Progress::default();
    let rows = progress.follow(environment, &mut publishers, &bar, stop).await;
    bar.finish_and_clear();
    for mail in &progress.mails {
        show_mail(mail, out).map_err(CommandFailure::output)?;
    }
    let rows = rows?;
    if progress.stopped {
        print_table(&rows, out).map_err(CommandFailure::output)?;
        return Err(DemoError::Stopped.into());
    }
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = n as f64 / seconds;
    print_table(&rows, out)
        .and_then(|()| {
            writeln!(out, "in {seconds:.1} s: {rate:.0} messages a second, from publish to the last outcome")
        })
        .map_err(CommandFailure::output)?;
    Ok(agree(&rows, n)?)
}

async fn introduce(environment: &Environment, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let token = match environment.clients.get(FAILING) {
        Some(client) => token::mint(client, None, None).await?.token,
        None => environment.token.as_str().to_owned(),
    };
    tell(environment, &token, out).map_err(CommandFailure::output)
}

fn tell(environment: &Environment, token: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let names: Vec<String> = workspaces().iter().map(ToString::to_string).collect();
    let look = format!(
        "curl -H 'Authorization: Bearer {}' {}v1/workspaces/{FAILING}",
        environment.token.as_str(),
        base(environment.address)
    );
    writeln!(out, "screen:     {}workspaces/{FAILING}/outbound", base(environment.address))?;
    writeln!(out, "token:      {token}")?;
    writeln!(out, "operator:   {}, all workspaces at a glance", base(environment.address))?;
    writeln!(out, "token:      {}", environment.token.as_str())?;
    writeln!(out, "look:       {look}/webhook")?;
    writeln!(out, "            {look}/attempts/log")?;
    writeln!(out, "receiver:   http://{}/<workspace>, verifies every body and signature", environment.receiver)?;
    writeln!(out, "workspaces: {}", names.join(", "))?;
    writeln!(out, "            the endpoint of {FAILING} answers 500 until its webhook is switched off\n")
}
