//! How a subcommand ends when it does not succeed, and how that is told.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use super::{admin_token, attempts, client, data_dir, demo, journal, publish, rejected, secret_key, serve, token_key};
use crate::app;
use crate::journal::embedded::OpenError;
use crate::journal::redis;
use crate::sign::InvalidSecret;
use crate::telemetry;

/// The exit code of what was tried and failed.
pub const EXIT_FAILED: u8 = 1;
/// The exit code of bad usage or configuration: trying again without a change cannot help.
pub const EXIT_USAGE: u8 = 2;

/// Why a subcommand did not succeed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Error {
    /// The service's flags contradict each other.
    #[error(transparent)]
    Config(#[from] serve::ConfigError),
    /// `--journal` is not understood.
    #[error(transparent)]
    Journal(#[from] journal::InvalidJournal),
    /// The Redis journal is not reachable, or cannot be trusted.
    #[error(transparent)]
    Redis(#[from] redis::StartError),
    /// There is no usable admin token.
    #[error(transparent)]
    AdminToken(#[from] admin_token::Error),
    /// The token key cannot be used.
    #[error(transparent)]
    TokenKey(#[from] token_key::Error),
    /// The secret keys cannot be used.
    #[error(transparent)]
    SecretKey(#[from] secret_key::Error),
    /// `--secret` is none. It is not repeated.
    #[error("--secret is not understood")]
    Secret(#[source] InvalidSecret),
    /// The log flags are not understood.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// There is no client for the server.
    #[error(transparent)]
    Client(#[from] client::BuildError),
    /// The service refused, or is away.
    #[error(transparent)]
    Service(#[from] client::SendError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// Not everything was published.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// The log was not read.
    #[error(transparent)]
    Attempts(#[from] attempts::Error),
    /// Not everything was done with the rejected entries.
    #[error(transparent)]
    Rejected(#[from] rejected::Error),
    /// The demo failed.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// There is no temporary folder.
    #[error("a temporary folder cannot be made: set TMPDIR to a folder that can be written")]
    Folder(#[source] io::Error),
    /// Nobody takes what is printed.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// The system gives no runtime.
    #[error("the program cannot start its runtime")]
    Runtime(#[source] io::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: choose another address with --listen")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The service does not start, or ended by itself.
    #[error(transparent)]
    App(#[from] app::Error),
}

impl Error {
    /// 2 for usage and configuration, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        let code = match self {
            Self::Config(_)
            | Self::Journal(_)
            | Self::AdminToken(_)
            | Self::TokenKey(_)
            | Self::SecretKey(_)
            | Self::Secret(_)
            | Self::Telemetry(_) => EXIT_USAGE,
            Self::Client(client::BuildError::ServerUrl) => EXIT_USAGE,
            Self::Publish(error) => error.exit(),
            Self::Attempts(error) => error.exit(),
            Self::Rejected(error) => error.exit(),
            Self::Redis(error) => redis_exit(error),
            Self::App(error) => app_exit(error),
            Self::DataDir(_)
            | Self::Client(client::BuildError::Http(_))
            | Self::Service(_)
            | Self::Demo(_)
            | Self::Folder(_)
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::Listen { .. } => EXIT_FAILED,
        };
        code.into()
    }

    /// Whether the reader of the output has gone, as `head` does when it has enough. That is no news
    /// for anybody: the exit code alone tells it.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn app_exit(error: &app::Error) -> u8 {
    use app::Error as E;
    match error {
        E::Redis(error) => redis_exit(error),
        E::AdminToken(_)
        | E::TokenKey(_)
        | E::Mail(_)
        | E::Embedded(OpenError::Shards { .. } | OpenError::ShardsOutOfRange { .. }) => EXIT_USAGE,
        E::Listen { .. } | E::Embedded(_) | E::Shards(_) | E::Died(_) => EXIT_FAILED,
    }
}

/// What the URL or the flags say is configuration; what Redis says can be mended there.
fn redis_exit(error: &redis::StartError) -> u8 {
    use redis::StartError as E;
    match error {
        E::Url(_) | E::Prefix(_) | E::Cluster | E::Shards { .. } | E::ShardsRange(_) => EXIT_USAGE,
        E::Unreachable(..) | E::Refused(_) | E::Version(_) | E::Evicts(_) | E::Volatile | E::Replica | E::Format(_) => {
            EXIT_FAILED
        }
    }
}

/// As clap shows its errors.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Shows an error as one sentence and its chain of causes, a line each. A cause that the sentence
/// above it already tells (some libraries print their source) is left out.
pub struct Report<'a>(pub &'a dyn StdError);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        writeln!(f, "{ERROR}error:{ERROR:#} {told}")?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !told.contains(&text) {
                writeln!(f, "  caused by: {text}")?;
                told = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        #[source]
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> Link {
        let (text, rest) = texts.split_first().expect("a link");
        Link { text, source: (!rest.is_empty()).then(|| Box::new(chain(rest))) }
    }

    fn shown(texts: &[&'static str]) -> String {
        anstream::adapter::strip_str(&Report(&chain(texts)).to_string()).to_string()
    }

    #[test]
    fn a_report_has_every_cause_on_a_line() {
        let report = shown(&["the store is away", "no answer", "connection refused"]);
        assert_eq!(report, "error: the store is away\n  caused by: no answer\n  caused by: connection refused\n");
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let report = shown(&["the store is away: no answer", "no answer", "connection refused"]);
        assert_eq!(report, "error: the store is away: no answer\n  caused by: connection refused\n");
    }
}
