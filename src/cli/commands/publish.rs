//! `outbound publish`: appends messages, one JSON object a line, through a running service or
//! straight to a Redis journal.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar};
use serde_json::{Value, json};

use self::error::PublishFailed;
use crate::cli::client::RequestError;
use crate::cli::failure::CommandFailure;
use crate::cli::output::{printable_json, progress_bar};
use crate::cli::runtime::{block_on, stop_signal, stop_signals};
use crate::cli::transport::{Transport, TransportArgs, connect, journal_flag};
use crate::journal::Journal;
use crate::message::{RawMessage, WorkspaceId};

mod batches;
pub mod error;
pub(super) mod lines;
pub(super) mod pipeline;

/// The flags of `outbound publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, mut_args(|flag| journal_flag(flag, "Publish straight to this Redis instead of through a service")))]
pub struct PublishArgs {
    /// The workspace that the messages belong to
    #[arg(long, env = "OUTBOUND_WORKSPACE", value_name = "WORKSPACE")]
    pub workspace: WorkspaceId,
    /// A file with one message a line; - is the standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Print the result as one JSON object
    #[arg(long, env = "OUTBOUND_JSON", value_parser = crate::cli::values::parse_yes)]
    pub json: bool,
    /// How to get there
    #[command(flatten)]
    pub transport: TransportArgs,
}

const AFTER_HELP: &str = "\
Each line is checked before it is sent. At the first bad line publishing stops: everything before it \
is published, nothing after it. With --json the object says so too. Messages of one chat stay in the order of their lines.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.
On a Redis on which no service has started yet, --journal fixes the number of shards at 16.

Examples:
  outbound publish --workspace acme messages.jsonl
  tail -f messages.jsonl | outbound publish --workspace acme
  outbound publish --workspace acme --json messages.jsonl
  outbound publish --workspace acme --journal redis://127.0.0.1:6379 messages.jsonl";

/// Publishes every line, or says how far it came.
///
/// # Errors
/// See [`PublishFailed`]; also an unusable token or journal.
pub fn run(args: &PublishArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let started = Instant::now();
    let published = publish(args);
    if args.json {
        let told = result(args, &published, started.elapsed());
        writeln!(out, "{}", printable_json(&told.to_string())).map_err(CommandFailure::output)?;
        return published.map(drop);
    }
    let published = published?;
    let noun = if published == 1 { "message" } else { "messages" };
    let took = HumanTime(started.elapsed());
    writeln!(out, "published {published} {noun} to {} in {took}", args.workspace).map_err(CommandFailure::output)
}

/// The result as an object; after a failure with how far it came and why it stopped.
fn result(args: &PublishArgs, published: &Result<u64, CommandFailure>, took: Duration) -> Value {
    let seconds = took.as_secs_f64();
    match published {
        Ok(published) => json!({"workspace": args.workspace, "published": published, "seconds": seconds}),
        Err(failure) => {
            let stopped = failure.error().downcast_ref::<PublishFailed>();
            let sentences = failure.sentences();
            json!({
                "workspace": args.workspace,
                "published": stopped.map_or(0, PublishFailed::published),
                "seconds": seconds,
                "error": sentences.first(),
                "causes": sentences.get(1..),
            })
        }
    }
}

fn publish(args: &PublishArgs) -> Result<u64, CommandFailure> {
    let transport = args.transport.chosen(&args.workspace)?;
    let (input, length) =
        lines::open(&args.file).map_err(|source| PublishFailed::Open { path: args.file.clone(), source })?;
    let bar = if args.file == Path::new("-") && io::stdin().is_terminal() {
        // What is typed needs no bar beside it, but whoever waits for something to happen has to know who does.
        writeln!(io::stderr(), "{TYPING}").ok();
        ProgressBar::hidden()
    } else {
        progress_bar(length, length.map_or(SPINNER, |_| BAR))
    };
    let published = block_on(async {
        let (stop, twice) = (stop_signal(), stop_signals(2));
        let mut passed = |bytes: u64| bar.inc(bytes);
        let sending = async {
            let journal = match transport {
                Transport::Service(server) => {
                    let send = |lines| server.publish_lines(lines);
                    return Ok(batches::send_batches(&mut lines::read(input, stop), send, &mut passed).await?);
                }
                Transport::Redis(config) => connect(config).await?,
            };
            let send = |message| append(journal.clone(), args.workspace.clone(), message);
            Ok(pipeline::send_all(&mut lines::read(input, stop), send, &mut passed).await?)
        };
        tokio::select! {
            sent = sending => sent,
            () = twice => Err(PublishFailed::Abandoned.into()),
        }
    });
    bar.finish_and_clear();
    published
}

async fn append(journal: impl Journal, workspace: WorkspaceId, message: RawMessage) -> Result<(), RequestError> {
    journal.publish(&workspace, &message).await.map(|_| ()).map_err(RequestError::Store)
}

/// What is said to whoever named no file and sits at a terminal.
const TYPING: &str = "reading from this terminal: one message a line, as a JSON object; Ctrl-D ends";

/// What is shown of an input whose length is known, and of one whose length is not.
const BAR: &str = "{bar:32} {bytes} of {total_bytes}, {elapsed}, {eta} to go";
const SPINNER: &str = "{spinner} {bytes}, {elapsed}";

/// Milliseconds while they say something, then words.
struct HumanTime(Duration);

impl std::fmt::Display for HumanTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < Duration::from_secs(60) {
            write!(f, "{:.1?}", self.0)
        } else {
            write!(f, "{}", HumanDuration(self.0))
        }
    }
}
