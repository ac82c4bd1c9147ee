//! Events that take no seq: a snapshot is their record.

use serde::{Deserialize, Serialize};

use crate::message::EntryId;
use crate::workspace::time::Time;

/// Messages that were settled without an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesSkipped {
    /// When.
    pub at: Time,
    /// How many.
    pub count: u64,
    /// The greatest entry id among them.
    pub newest: EntryId,
}

/// Messages that are not attempted: they are settled and counted as skipped when their turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagesDiscarded {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: String,
    /// The last entry that is concerned.
    pub up_to: EntryId,
}

/// A test that was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDropped {
    /// When.
    pub at: Time,
    /// The command's entry.
    pub command: EntryId,
}

/// The end of everything that is known of a workspace. It takes no seq: a stream that is trimmed to
/// nothing cannot hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: String,
}

/// The end of the log and of the newest message. It takes no seq: the snapshot is its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDropped {
    /// When.
    pub at: Time,
}
