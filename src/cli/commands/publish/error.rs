//! Why not everything was published, and which lines were not.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::cli::client::RequestError;
use crate::cli::credentials::mend_file;
use crate::cli::failure::CommandError;
use crate::message::Invalid;

/// Why not everything was published.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum PublishFailed {
    /// There is no input.
    #[error("{} cannot be opened: {}", path.display(), mend_file(source))]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The input broke off.
    #[error("the input cannot be read after line {line}; {} published, all that came before", are(*published))]
    Read {
        line: u64,
        published: u64,
        #[source]
        source: io::Error,
    },
    /// A line is no message.
    #[error(
        "line {line} is no valid message, so it and everything after it is not published; before it {} published: {}",
        are(*published),
        if source.is_cut() {
            "each message must stand on one line, as `jq -c .` writes it"
        } else {
            "correct the line and publish from there on"
        }
    )]
    BadLine {
        line: u64,
        published: u64,
        #[source]
        source: Invalid,
    },
    /// The service or the store took no more.
    #[error("{} published and it stopped; publish again {unpublished}", are(*published))]
    Stopped {
        published: u64,
        unpublished: UnpublishedLines,
        #[source]
        source: RequestError,
    },
}

/// `1 message is`, `2 messages are`.
fn are(messages: u64) -> String {
    if messages == 1 { "1 message is".to_owned() } else { format!("{messages} messages are") }
}

impl CommandError for PublishFailed {}

impl PublishFailed {
    /// How many messages are published all the same.
    pub(super) fn published(&self) -> u64 {
        match self {
            Self::Open { .. } => 0,
            Self::Read { published, .. } | Self::BadLine { published, .. } | Self::Stopped { published, .. } => {
                *published
            }
        }
    }
}

/// The lines that were not published: single ones, and everything from one on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpublishedLines {
    /// In order. As many as are in flight at most, so all of them are told.
    lines: Vec<u64>,
    from: u64,
}

impl UnpublishedLines {
    /// `lines` in any order, and everything from the line `from` on, which comes after them.
    pub(super) fn new(mut lines: Vec<u64>, mut from: u64) -> Self {
        lines.sort_unstable();
        while lines.pop_if(|last| *last + 1 == from).is_some() {
            from -= 1;
        }
        Self { lines, from }
    }
}

impl fmt::Display for UnpublishedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            write!(f, "line {line}, ")?;
        }
        write!(f, "everything from line {} on", self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_is_told_by_line() {
        assert_eq!(UnpublishedLines::new(vec![15, 12], 17).to_string(), "line 12, line 15, everything from line 17 on");
        assert_eq!(UnpublishedLines::new(vec![11, 9, 10, 7], 12).to_string(), "line 7, everything from line 9 on");
        assert_eq!(UnpublishedLines::new(vec![1], 2).to_string(), "everything from line 1 on");
    }
}
