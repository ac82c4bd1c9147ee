//! What may go wrong, as the port's contract names it.

use std::time::Duration;

use super::limits::{COMMANDS_WAITING_MAX, OPERATOR_SESSIONS_ENDED_MAX};
use crate::message::{EntryId, WorkspaceId};

/// The store is away or refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StoreError {
    /// What is wrong with the store.
    pub trouble: StoreTrouble,
    /// What was being done and what to do, one sentence.
    pub what: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreTrouble {
    /// It does not answer, or cannot do anything at the moment. Whoever asks tries again; the node as a whole tells it.
    Away,
    /// It takes nothing new; what is stored is settled as ever. The node as a whole tells it.
    Full,
    /// It refuses what was asked, and would again.
    Refused,
}

/// Why a shard was not acquired.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each field stands in the sentence above it")]
pub enum AcquireError {
    /// Another holder's lease lives.
    #[error("shard {shard} is held by node {node} for another {remaining:?}; it is taken when the lease ends")]
    Held { shard: u16, node: String, remaining: Duration },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the connection of a shard is dead.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field stands in the sentence above it")]
pub enum ShardConnectionError {
    /// Somebody acquired the shard after this holder.
    #[error("shard {shard} is held by node {by} now")]
    Fenced { shard: u16, by: String },
    /// The store lost commits that it had acknowledged.
    #[error("shard {shard} is at commit {found}, below {expected}: the store lost acknowledged writes")]
    Lost { shard: u16, expected: u64, found: u64 },
    /// The store refused a request for good.
    #[error("a request of shard {shard} failed: {detail}")]
    Failed { shard: u16, detail: String },
}

/// Why a workspace cannot be loaded.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field stands in the sentence above it")]
pub enum LoadError {
    /// The journal contradicts itself.
    #[error("the journal of workspace {workspace} is corrupt: {detail}")]
    Corrupt { workspace: WorkspaceId, detail: String },
    /// What is confidential in it cannot be opened. The sentence names the key.
    #[error("workspace {workspace} cannot be opened: {detail}")]
    Sealed { workspace: WorkspaceId, detail: String },
    /// Written by another version of the program.
    #[error(
        "the journal of workspace {workspace} has a {what} of version {found}, this program reads up to {known}: start the newer program"
    )]
    UnknownVersion { workspace: WorkspaceId, what: &'static str, found: u64, known: u64 },
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The workspace's journal cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Stored; nobody answered in time.
    #[error("the command is stored but was not answered in time; read the webhook to see whether it was applied")]
    OutcomeUnknown,
    /// Stored; the store does not give its answer.
    #[error("the command is stored, but its answer cannot be read; read the webhook to see whether it was applied")]
    Unanswered(#[source] StoreError),
    /// The store did not say in time whether it has it.
    #[error(
        "the store did not answer in time and may have the command; read the webhook to see whether it was applied"
    )]
    MaybeStored,
    /// [`COMMANDS_WAITING_MAX`] wait already; this one is not stored.
    #[error("more than {COMMANDS_WAITING_MAX} commands wait on this shard; try again in a few seconds")]
    TooMany,
    /// The store is out of memory; not stored.
    #[error("the store is full, nothing was stored; free memory or raise its limit")]
    Full,
    /// The store is away. Whether the command was stored is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// No further end of an operator's session is remembered.
    #[must_use]
    pub fn too_many_sessions_ended() -> Self {
        let what = format!(
            "{OPERATOR_SESSIONS_ENDED_MAX} sessions of the operator were ended within their time; a new admin token ends all"
        );
        Self { trouble: StoreTrouble::Refused, what, source: None }
    }
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store is out of memory; not stored.
    #[error("the store is full, the message was not stored; free memory or raise its limit, then publish again")]
    Full,
    /// The store is away. Whether the message was stored is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a rejected entry was not requeued.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each field stands in the sentence above it")]
pub enum RequeueError {
    /// It is not there, or not any more.
    #[error("shard {shard} has no rejected entry {id}: it was requeued or discarded before, or deleted to make room")]
    Gone { shard: u16, id: EntryId },
    /// It would only be rejected again, so it stays where it is.
    #[error("the entry is still not valid: {reason}")]
    Invalid { reason: String },
    /// The store is out of memory; the entry stays where it is.
    #[error("the store is full, nothing was requeued; free memory or raise its limit, then try again")]
    Full,
    /// The store is away. Whether the entry was requeued is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}
