//! How a subcommand ends when it does not succeed: with an exit code and an error that is printed.
//!
//! Each error says in its own module which exit code it has; this file knows no subcommand.

use std::error::Error;
use std::fmt;
use std::io;

use anstyle::{AnsiColor, Style};

use crate::app::AppError;
use crate::app::sealing::SealingError;
use crate::journal::embedded::JournalFileError;
use crate::journal::redis::RedisStartError;
use crate::telemetry::LogError;

/// The exit code of what was tried and failed.
pub const EXIT_FAILED: u8 = 1;
/// The exit code of bad usage or configuration: trying again without a change cannot help.
pub const EXIT_USAGE: u8 = 2;

/// An error that can end a subcommand.
pub trait CommandError: Error + Send + Sync + 'static {
    /// [`EXIT_USAGE`] for usage and configuration, [`EXIT_FAILED`] for everything else.
    fn exit_code(&self) -> u8 {
        EXIT_FAILED
    }
}

/// Why a subcommand did not succeed. Displayed, it is one sentence and its chain of causes, a line each.
#[derive(Debug)]
pub struct CommandFailure {
    code: u8,
    error: Box<dyn Error + Send + Sync>,
}

impl CommandFailure {
    /// A failure because nobody takes what is printed.
    #[must_use]
    pub fn output(source: io::Error) -> Self {
        OutputError(source).into()
    }

    /// The exit code: 1 or 2.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.code
    }

    /// The error itself.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + 'static) {
        &*self.error
    }

    /// Whether the reader of the output has gone, as `head` does when it has enough. That is no news
    /// for anybody: the exit code alone tells it.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.error.downcast_ref::<OutputError>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl<E: CommandError> From<E> for CommandFailure {
    fn from(error: E) -> Self {
        Self { code: error.exit_code(), error: Box::new(error) }
    }
}

impl CommandFailure {
    /// The sentence and its causes. A cause that the sentence above it already tells (some libraries print their
    /// source) is left out.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut told = vec![self.error.to_string()];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if told.last().is_none_or(|told| !told.contains(&text)) {
                told.push(text);
            }
            cause = error.source();
        }
        told
    }
}

/// As clap shows its errors.
const ERROR: Style = AnsiColor::Red.on_default().bold();

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, sentence) in self.sentences().iter().enumerate() {
            match n {
                0 => writeln!(f, "{ERROR}error:{ERROR:#} {sentence}")?,
                _ => writeln!(f, "  caused by: {sentence}")?,
            }
        }
        Ok(())
    }
}

/// Nobody takes what is printed.
#[derive(Debug, thiserror::Error)]
#[error("the output cannot be written")]
struct OutputError(#[source] io::Error);

impl CommandError for OutputError {}

impl CommandError for LogError {
    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

impl CommandError for AppError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Redis(error) => error.exit_code(),
            Self::AdminToken(_)
            | Self::Sealing(SealingError::Missing { .. } | SealingError::OtherKey { .. })
            | Self::TokenKey(_)
            | Self::Mail(_)
            | Self::Authorities { .. }
            | Self::StaticShards { .. }
            | Self::RedisFile { .. }
            | Self::Embedded(JournalFileError::Shards { .. } | JournalFileError::ShardsOutOfRange { .. }) => EXIT_USAGE,
            Self::Listen { .. }
            | Self::Embedded(_)
            | Self::Sealing(SealingError::Store(_))
            | Self::Shards(_)
            | Self::Died(_)
            | Self::Journal(_) => EXIT_FAILED,
        }
    }
}

impl CommandError for RedisStartError {
    /// What the URL or the flags say is configuration; what Redis says can be mended there.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_)
            | Self::Prefix(_)
            | Self::NoTls(..)
            | Self::ClientCertificate(..)
            | Self::TlsFiles(_)
            | Self::IsSentinel(..)
            | Self::NoSentinel(..)
            | Self::NotRedis(..)
            | Self::Login(_)
            | Self::SentinelLogin(_)
            | Self::Database(_)
            | Self::NoCluster(_)
            | Self::Cluster
            | Self::Shards { .. }
            | Self::ShardsRange(_)
            | Self::Foreign { .. }
            | Self::OwnSource(_)
            | Self::LonelySource(_)
            | Self::NoStream { .. } => EXIT_USAGE,
            Self::Unreachable { .. }
            | Self::Closed { .. }
            | Self::Occupied { .. }
            | Self::Certificate(..)
            | Self::NotAllowed(_)
            | Self::CommandsDenied { .. }
            | Self::KeysDenied { .. }
            | Self::Renamed(_)
            | Self::Refused(_)
            | Self::Full(_)
            | Self::Version(_)
            | Self::Evicts(_)
            | Self::Volatile
            | Self::DamagedMeta(_)
            | Self::NoLog
            | Self::NeverSynced
            | Self::NoSync(_)
            | Self::NoWait(_)
            | Self::NoSuchPrimary(..)
            | Self::Unserved(_)
            | Self::NoReplica
            | Self::Replica
            | Self::Format(_)
            | Self::TooNew(_) => EXIT_FAILED,
            Self::Node { source, .. } => source.exit_code(),
        }
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

    impl CommandError for Link {}

    fn chain(texts: &[&'static str]) -> Link {
        let (text, rest) = texts.split_first().expect("a link");
        Link { text, source: (!rest.is_empty()).then(|| Box::new(chain(rest))) }
    }

    fn shown(texts: &[&'static str]) -> String {
        anstream::adapter::strip_str(&CommandFailure::from(chain(texts)).to_string()).to_string()
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
