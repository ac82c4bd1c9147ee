//! `outbound publish`: appends messages, one JSON object a line, through a running service or
//! straight to a Redis journal.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde_json::json;

use super::client::{Client, SendError};
use super::server::{Server, ServerArgs};
use super::{EXIT_FAILED, EXIT_USAGE, block_on, journal};
use crate::config::JournalConfig;
use crate::journal::Journal;
use crate::message::{Invalid, RawMessage, WorkspaceId};

pub(super) mod flight;
pub(super) mod lines;

/// The flags of `outbound publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct PublishArgs {
    /// The workspace that the messages belong to
    #[arg(long, env = "OUTBOUND_WORKSPACE", value_name = "WORKSPACE")]
    pub workspace: WorkspaceId,
    /// A file with one message a line; - is the standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Print the result as one JSON object
    #[arg(long, env = "OUTBOUND_JSON")]
    pub json: bool,
    /// Publish straight to this Redis instead of through a service
    #[arg(long, env = "OUTBOUND_JOURNAL", value_name = "JOURNAL", hide_env_values = true)]
    pub journal: Option<String>,
    /// What every Redis key starts with
    #[arg(long, env = "OUTBOUND_PREFIX", default_value = "outbound", value_parser = journal::parse_prefix)]
    pub prefix: String,
    /// The service to publish through
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
Each line is checked before it is sent. At the first bad line publishing stops: everything before it
is published, nothing after it. Messages of one chat stay in the order of their lines.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.
On a Redis on which no service has started yet, --journal fixes the number of shards at 16.

Examples:
  outbound publish --workspace acme messages.jsonl
  tail -f messages.jsonl | outbound publish --workspace acme
  outbound publish --workspace acme --json messages.jsonl
  outbound publish --workspace acme --journal redis://127.0.0.1:6379 messages.jsonl";

/// Why not everything was published.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Error {
    /// Two ways at once.
    #[error("both --server and --journal are set (by flag or by OUTBOUND_SERVER and OUTBOUND_JOURNAL): keep one")]
    TwoWays,
    /// There is no input.
    #[error("{} cannot be opened", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The input broke off.
    #[error("the input cannot be read after line {line}; {published} messages are published, all that came before")]
    Read {
        line: u64,
        published: u64,
        #[source]
        source: io::Error,
    },
    /// A line is no message.
    #[error(
        "line {line} is no valid message, so it and everything after it is not published; {published} messages \
         before it are: correct the line and publish from there on"
    )]
    BadLine {
        line: u64,
        published: u64,
        #[source]
        source: Invalid,
    },
    /// The service or the store took no more.
    #[error("{published} messages are published and it stopped; publish again {rest}")]
    Stopped {
        published: u64,
        rest: Rest,
        #[source]
        source: SendError,
    },
}

impl Error {
    /// 2 for what is wrong with the flags, 1 for what failed.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::TwoWays => EXIT_USAGE,
            Self::Open { .. } | Self::Read { .. } | Self::BadLine { .. } | Self::Stopped { .. } => EXIT_FAILED,
        }
    }
}

/// The lines that were not published: single ones, and everything from one on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// In order. As many as are in flight at most, so all of them are told.
    lines: Vec<u64>,
    from: u64,
}

impl Rest {
    /// `lines` in any order, and everything from the line `from` on, which comes after them.
    fn new(mut lines: Vec<u64>, mut from: u64) -> Self {
        lines.sort_unstable();
        while lines.pop_if(|last| *last + 1 == from).is_some() {
            from -= 1;
        }
        Self { lines, from }
    }
}

impl std::fmt::Display for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.lines {
            write!(f, "line {line}, ")?;
        }
        write!(f, "everything from line {} on", self.from)
    }
}

/// Publishes every line, or says how far it came.
///
/// # Errors
/// See [`Error`]; also an unusable token or journal.
pub fn run(args: &PublishArgs, out: &mut dyn Write) -> Result<(), super::Error> {
    let way = Way::chosen(args)?;
    let (input, length) = lines::open(&args.file)?;
    let bar = progress_bar(length);
    let started = Instant::now();
    let published = block_on(async {
        let mut lines = lines::read(input);
        let mut passed = |bytes: u64| bar.inc(bytes);
        let sent = match way {
            Way::Server(Server { url, token }) => {
                let server = Client::new(&url, &args.workspace, &token)?;
                flight::send_all(&mut lines, |message| server.publish(message), &mut passed).await
            }
            Way::Journal(config) => {
                let journal = journal::connect(config).await?;
                let send = |message| append(journal.clone(), args.workspace.clone(), message);
                flight::send_all(&mut lines, send, &mut passed).await
            }
        };
        sent.map_err(super::Error::from)
    });
    bar.finish_and_clear();
    let published = published?;
    if args.json {
        let result =
            json!({"workspace": args.workspace, "published": published, "seconds": started.elapsed().as_secs_f64()});
        return writeln!(out, "{result}").map_err(super::Error::Output);
    }
    let noun = if published == 1 { "message" } else { "messages" };
    let took = HumanTime(started.elapsed());
    writeln!(out, "published {published} {noun} to {} in {took}", args.workspace).map_err(super::Error::Output)
}

async fn append(journal: impl Journal, workspace: WorkspaceId, message: RawMessage) -> Result<(), SendError> {
    journal.publish(&workspace, &message).await.map(|_| ()).map_err(SendError::Store)
}

/// How the messages travel.
#[derive(Debug)]
enum Way {
    Server(Server),
    Journal(JournalConfig),
}

impl Way {
    /// An embedded journal belongs to its service, so there the way leads through the service.
    fn chosen(args: &PublishArgs) -> Result<Self, super::Error> {
        let redis = match &args.journal {
            Some(text) => match journal::parse(text, &args.prefix, true)? {
                config @ JournalConfig::Redis { .. } => Some(config),
                JournalConfig::Embedded(_) => None,
            },
            None => None,
        };
        match (&args.server.server, redis) {
            (Some(_), Some(_)) => Err(Error::TwoWays.into()),
            (None, Some(config)) => Ok(Self::Journal(config)),
            (_, None) => args.server.chosen().map(Self::Server),
        }
    }
}

/// A bar when the input's length is known, a spinner when not, nothing when nobody watches.
fn progress_bar(length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:32} {bytes} of {total_bytes}, {elapsed}, {eta} to go"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn args(server: Option<&str>, journal: Option<&str>) -> PublishArgs {
        PublishArgs {
            workspace: "acme".parse().unwrap(),
            file: "-".into(),
            json: false,
            server: ServerArgs {
                server: server.map(|url| url.parse().unwrap()),
                data_dir: "/nonexistent".into(),
                admin_token_file: None,
            },
            journal: journal.map(ToOwned::to_owned),
            prefix: "outbound".to_owned(),
        }
    }

    #[test]
    fn a_redis_is_reached_straight_and_two_ways_are_refused() {
        assert!(matches!(Way::chosen(&args(None, Some("redis://h:1"))), Ok(Way::Journal(_))));
        let both = Way::chosen(&args(Some("http://h"), Some("redis://h:1"))).unwrap_err();
        assert!(both.to_string().contains("keep one"), "{both}");
    }

    #[test]
    fn what_is_not_published_is_told_by_line() {
        assert_eq!(Rest::new(vec![15, 12], 17).to_string(), "line 12, line 15, everything from line 17 on");
        assert_eq!(Rest::new(vec![11, 9, 10, 7], 12).to_string(), "line 7, everything from line 9 on");
        assert_eq!(Rest::new(vec![1], 2).to_string(), "everything from line 1 on");
    }
}
