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
    /// Whoever asked for it wants no more.
    #[error(
        "interrupted after line {line}; {} published, all that came before: publish again everything from line {} on",
        are(*published),
        line + 1
    )]
    Interrupted { line: u64, published: u64 },
    /// Nor to wait for what is under way.
    #[error(
        "interrupted twice, so nobody waited for the answers of what was under way: which lines were published is not \
         known; look before you publish them again"
    )]
    Abandoned,
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
    #[error("{} published and it stopped; {unpublished}", are(*published))]
    Stopped {
        published: u64,
        unpublished: Box<UnpublishedLines>,
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
    /// No more lines come after `line`.
    pub(super) fn unread(line: u64, published: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::Interrupted => Self::Interrupted { line, published },
            _ => Self::Read { line, published, source },
        }
    }

    /// How many messages are known to be published all the same.
    pub(super) fn published(&self) -> u64 {
        match self {
            Self::Open { .. } | Self::Abandoned => 0,
            Self::Read { published, .. }
            | Self::Interrupted { published, .. }
            | Self::BadLine { published, .. }
            | Self::Stopped { published, .. } => *published,
        }
    }
}

/// The lines that were not published: single ones, and everything from one on; and those that may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpublishedLines {
    /// In order, from the first to the last of each run; as many as are in flight at most.
    unsure: Vec<(u64, u64)>,
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
        Self { unsure: Vec::new(), lines, from }
    }

    /// Of these `lines`, in any order, nobody knows: who publishes them again may publish them twice.
    pub(super) fn unsure_of(mut self, lines: impl IntoIterator<Item = u64>) -> Self {
        let mut lines: Vec<u64> = lines.into_iter().collect();
        lines.sort_unstable();
        for line in lines {
            match self.unsure.last_mut() {
                Some((_, last)) if *last + 1 == line => *last = line,
                _ => self.unsure.push((line, line)),
            }
        }
        self
    }
}

impl fmt::Display for UnpublishedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.unsure.iter().enumerate() {
            f.write_str(if n == 0 { "whether " } else { ", " })?;
            if first == last { write!(f, "line {first}")? } else { write!(f, "lines {first} to {last}")? }
        }
        if !self.unsure.is_empty() {
            f.write_str(" were published is not known: look before you publish them again; of the rest ")?;
        }
        f.write_str("publish again ")?;
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
        let told = |lines, from| UnpublishedLines::new(lines, from).to_string();
        assert_eq!(told(vec![15, 12], 17), "publish again line 12, line 15, everything from line 17 on");
        assert_eq!(told(vec![11, 9, 10, 7], 12), "publish again line 7, everything from line 9 on");
        assert_eq!(told(vec![1], 2), "publish again everything from line 1 on");
    }

    #[test]
    fn what_may_be_published_is_never_told_to_be_published_again() {
        let told = UnpublishedLines::new(vec![9], 12).unsure_of([11, 3, 4, 5]).to_string();
        assert_eq!(
            told,
            "whether lines 3 to 5, line 11 were published is not known: look before you publish them again; of the rest \
             publish again line 9, everything from line 12 on"
        );
    }
}
