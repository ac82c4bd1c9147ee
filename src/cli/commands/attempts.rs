//! `outbound attempts`: a workspace's log, through a running service or straight from a Redis journal.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::client::{Client, RequestError};
use crate::cli::failure::{CommandError, CommandFailure};
use crate::cli::output::{printable, printable_json};
use crate::cli::runtime::block_on;
use crate::cli::transport::{Transport, TransportArgs, connect, journal_flag, stored_shards};
use crate::config::{COMPRESSION_DEFAULT, JournalConfig};
use crate::http;
use crate::journal::Journal as _;
use crate::journal::port::{ReadError, Reading};
use crate::message::WorkspaceId;
use crate::workspace::event::Trigger;
use crate::workspace::state::{OutcomeWord, Summary};

/// The flags of `outbound attempts`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help(), mut_args(|flag| journal_flag(flag, "Read straight from this Redis instead of through a service; none need run")))]
pub struct AttemptsArgs {
    /// The workspace's id
    #[arg(value_name = "WORKSPACE")]
    pub workspace: WorkspaceId,
    /// Print the whole log, with requests and responses, as the API gives it: an array, newest first
    #[arg(long, env = "OUTBOUND_JSON", value_parser = crate::cli::values::parse_yes)]
    pub json: bool,
    /// How to get there
    #[command(flatten)]
    pub transport: TransportArgs,
}

fn after_help() -> String {
    format!(
        "\
The last 100 attempts, a line each, the newest last: when, the outcome, the status, how long it took, \
how long the message had waited for its turn, the message, and what went wrong.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory. With --journal \
none is needed: who reads the Redis reads everything. A Redis holds them as --journal-compression of the service says \
({COMPRESSION_DEFAULT} if it says nothing); either form is printed.

Examples:
  outbound attempts acme
  outbound attempts acme | grep failed
  outbound attempts acme --json | jq '.[0].response.body'
  outbound attempts acme --journal redis://127.0.0.1:6379"
    )
}

/// Why the log was not read from a Redis.
#[derive(Debug, thiserror::Error)]
pub enum AttemptsError {
    /// The Redis was never used.
    #[error("no service has started on this Redis with this --prefix: there are no attempts")]
    Unused,
    /// The Redis is away, or what it holds cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl CommandError for AttemptsError {}

/// Prints the log. Nothing is written to a journal.
///
/// # Errors
/// The flags contradict each other, the log cannot be read, or nobody takes the output.
pub fn run(args: &AttemptsArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    match args.transport.chosen(&args.workspace)? {
        Transport::Service(client) => from_service(args, &client, out),
        Transport::Redis(config) => from_redis(args, config, out),
    }
}

fn from_service(args: &AttemptsArgs, client: &Client, out: &mut dyn Write) -> Result<(), CommandFailure> {
    if args.json {
        let log: Box<RawValue> = block_on(async { Ok(client.get(&["attempts", "log"]).await?) })?;
        return writeln!(out, "{}", printable_json(log.get())).map_err(CommandFailure::output);
    }
    let summaries = block_on(async { Ok(summaries(client).await?) })?;
    print(&summaries, &args.workspace, out).map_err(CommandFailure::output)
}

fn from_redis(args: &AttemptsArgs, config: JournalConfig, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let Reading { attempts, .. } = block_on(async {
        // Connecting to one that was never used would fix its number of shards.
        stored_shards(&config).await?.ok_or(AttemptsError::Unused)?;
        Ok(connect(config).await?.read(&args.workspace).await.map_err(AttemptsError::Read)?)
    })?;
    if args.json {
        let mut log = Vec::new();
        let written = http::write_log(&attempts, &mut log);
        let written = written.and_then(|()| writeln!(out, "{}", printable_json(&String::from_utf8_lossy(&log))));
        return written.map_err(CommandFailure::output);
    }
    let summaries: Vec<_> = attempts.iter().map(|(seq, attempt)| Summary::new(*seq, attempt)).collect();
    print(&summaries, &args.workspace, out).map_err(CommandFailure::output)
}

/// The last attempts of the client's workspace, newest first.
///
/// # Errors
/// See [`RequestError`].
pub(super) async fn summaries(client: &Client) -> Result<Vec<Summary>, RequestError> {
    #[derive(Deserialize)]
    struct AttemptsPage {
        attempts: Vec<Summary>,
    }
    let AttemptsPage { attempts } = client.get(&["attempts"]).await?;
    Ok(attempts)
}

/// `attempts` come newest first and are printed newest last, where the eye is.
fn print(attempts: &[Summary], workspace: &WorkspaceId, out: &mut dyn Write) -> std::io::Result<()> {
    if attempts.is_empty() {
        return writeln!(out, "{workspace} has no attempts yet");
    }
    for attempt in attempts.iter().rev() {
        line(attempt, out)?;
    }
    Ok(())
}

fn line(attempt: &Summary, out: &mut dyn Write) -> std::io::Result<()> {
    let (word, style) = match attempt.outcome {
        OutcomeWord::Delivered => ("delivered", Style::new()),
        OutcomeWord::Failed => ("failed   ", AnsiColor::Red.on_default()),
    };
    let status = attempt.status.map_or("-".to_owned(), |status| status.to_string());
    let duration = format!("{} ms", attempt.duration_ms);
    let id = printable(&attempt.message_id);
    let waited = attempt.waited_ms.map_or("-".to_owned(), |waited| format!("{waited} ms"));
    write!(out, "{}  {style}{word}{style:#}  {status:>3}  {duration:>8}  waited {waited:>8}  {id}", attempt.at)?;
    match attempt.trigger {
        Trigger::Message => {}
        Trigger::Test => write!(out, " (test)")?,
        Trigger::Again => write!(out, " (sent again)")?,
    }
    match &attempt.error {
        Some(error) => writeln!(out, "  {}", printable(&error.detail)),
        None => writeln!(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Time;
    use crate::workspace::event::{AttemptError, ErrorKind};

    fn delivered(id: &str, trigger: Trigger) -> Summary {
        Summary {
            id: "1".to_owned(),
            at: Time::from_unix_ms(1_769_860_800_000),
            trigger,
            message_id: id.into(),
            webhook_id: "msg_0_1-0".into(),
            outcome: OutcomeWord::Delivered,
            status: Some(200),
            error: None,
            duration_ms: 52,
            waited_ms: Some(1_204),
        }
    }

    #[test]
    fn the_newest_attempt_stands_last_and_nothing_moves_the_cursor() {
        let error = AttemptError { kind: ErrorKind::Timeout, detail: "no answer within 5 s".to_owned() };
        let outcome = OutcomeWord::Failed;
        let failed = Summary { outcome, status: None, error: Some(error), ..delivered("m-2\u{1b}[2J", Trigger::Test) };
        let mut out = anstream::StripStream::new(Vec::new());
        print(&[failed, delivered("m-1", Trigger::Message)], &"acme".parse().unwrap(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out.into_inner()).unwrap(),
            "2026-01-31T12:00:00.000Z  delivered  200     52 ms  waited  1204 ms  m-1\n\
             2026-01-31T12:00:00.000Z  failed       -     52 ms  waited  1204 ms  m-2\\u{1b}[2J (test)  no answer within 5 s\n"
        );
    }
}
