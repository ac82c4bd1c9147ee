//! The port: what the rest of the program may ask of a journal, and what it may rely on.
//!
//! # The contract
//!
//! A journal keeps, by shard: an input stream of messages, a stream of commands, the answers to
//! them, what was set aside as rejected, the mails that are owed, and by workspace two streams of
//! events under one gapless seq, a snapshot and the newest skipped message.
//!
//! - **One holder.** A shard is acquired; the holder gets a [`ShardIntake`] (reads) and a
//!   [`ShardLine`] (everything that must be in order). A later acquisition fences the earlier one:
//!   from then on nothing that the earlier holder sends is applied, and its line says
//!   [`LineError::Fenced`].
//! - **A commit is atomic and durable when it is answered `Ok`**: all its events, snapshots, answers,
//!   mails and settled entries, or none. What is durable is what the store calls durable (Redis with
//!   AOF everysec may lose the last second when the machine dies; then `head` goes back and the
//!   line says [`LineError::Lost`]).
//! - **A commit's answer is never "unknown".** A lost reply is the adapter's to resolve: it reconnects
//!   and sends the unanswered commits again, in order, until each has an answer; none is applied
//!   twice. While the store is away, calls wait without limit.
//! - **Order.** The calls on one line take effect in the order in which they were *made* (not polled):
//!   a load or a sweep sees every commit made before it, and no commit made after it. At most
//!   [`COMMITS_IN_FLIGHT_MAX`] commits are unanswered; the caller keeps to that.
//! - After an `Err` the line is dead: every later call answers `Err`. The holder drops what it has in
//!   memory and acquires again. Nothing of the failed commit is applied, nor will be, once the shard
//!   has been acquired again.
//! - **An entry leaves the input stream only by a commit that settles it.**
//!
//! All methods may be called from any thread; connections live on the runtime that acquired.

mod errors;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::{Answer, Command};
use crate::workspace::event::{Attempt, Event, MailId};
use crate::workspace::history::CHANGES_SHOWN;
use crate::workspace::policy::MAILS_PER_DAY_MAX;
use crate::workspace::state::{RecentError, State};
use crate::workspace::time::Time;

pub use errors::{AcquireError, LineError, LoadError, PublishError, ReadError, RequeueError, StoreError, SubmitError};

/// Unanswered commits of one line at most.
pub const COMMITS_IN_FLIGHT_MAX: usize = 2;
/// Events in one commit at most.
pub const COMMIT_EVENTS_MAX: usize = 256;
/// Settled entries in one commit at most.
pub const COMMIT_SETTLED_MAX: usize = 1_000;
/// Bytes of one commit, beyond which no further step joins it (one step alone may be larger).
pub const COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// Attempts kept for each workspace.
pub const ATTEMPTS_KEPT: usize = 100;
/// Other events kept for each workspace: enough for the changes of the configuration that are shown and the
/// one before them, whatever else happened.
pub const HISTORY_KEPT: usize = 400;
const _: () = {
    let changes = CHANGES_SHOWN + 1;
    // A switch-off needs a save between it and the one before, which is a change too.
    let switch_offs = changes / 2 + 1;
    // Every other event is the end of a switch-off's mail: of these, or of one that was owed before them.
    let mails_ended = switch_offs + MAILS_PER_DAY_MAX;
    assert!(changes + mails_ended <= HISTORY_KEPT, "the history keeps too little for the changes that are shown");
};
/// Rejected entries kept for each shard; beyond it the oldest is deleted, counted and logged.
pub const REJECTED_KEPT: usize = 10_000;
/// Commands waiting on a shard at most; more are refused ([`SubmitError::TooMany`]).
pub const COMMANDS_WAITING_MAX: usize = 1_000;

/// A store of shards.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// The number of shards, fixed at the first start.
    fn shards(&self) -> u16;

    /// Takes the shard, fencing whoever let the lease expire or held it under the same node id. A live
    /// lease of the same node id is taken when this process made it, or (a crashed predecessor's) when
    /// this process never held the shard; else two processes share a node id, and it is waited for.
    ///
    /// # Errors
    /// [`AcquireError::Held`] while another holder's lease lives. A store that is away is waited for.
    async fn acquire(&self, shard: u16, holder: &Holder) -> Result<Acquired, AcquireError>;

    /// Appends a command durably and waits for its answer until `command.expires_at`, but at most `wait`.
    ///
    /// # Errors
    /// See [`SubmitError`].
    async fn submit(&self, workspace: &WorkspaceId, command: &Command, wait: Duration) -> Result<Answer, SubmitError>;

    /// Appends a message that was checked; durable when it answers.
    ///
    /// # Errors
    /// See [`PublishError`].
    async fn publish(&self, workspace: &WorkspaceId, message: &RawMessage) -> Result<EntryId, PublishError>;

    /// Reads what is durable of a workspace, as of one moment.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read(&self, workspace: &WorkspaceId) -> Result<Reading, ReadError>;

    /// Reads the workspace's snapshot alone: everything but what attempts after it changed. Whatever is
    /// no attempt is in it, for every commit of such an event writes one. As cheap as a read can be: it
    /// is asked for with every request that a workspace token makes.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn snapshot(&self, workspace: &WorkspaceId) -> Result<State, ReadError> {
        Ok(self.read(workspace).await?.state)
    }

    /// Reads the workspace's events that are no attempts with their seqs, oldest first: the last
    /// [`HISTORY_KEPT`].
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn history(&self, workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, ReadError>;

    /// Moves up to `max` entries of the common input `outbound:messages` to their shards' streams,
    /// in order, each once whatever is repeated, and waits up to `block` for the first. Returns how
    /// many were moved. A journal without a common input waits forever.
    ///
    /// # Errors
    /// The store is away or refuses; try again after a pause.
    async fn hand_over(&self, max: usize, block: Duration) -> Result<usize, StoreError>;

    /// The shard's rejected entries from the id `from` on, oldest first, at most `count`: each as
    /// [`super::rejected::rejected_fields`] made it, under an id of its own. An id is never given twice.
    ///
    /// # Errors
    /// The store is away.
    async fn rejected(&self, shard: u16, from: EntryId, count: usize) -> Result<Vec<RawEntry>, StoreError>;

    /// How many entries each shard has set aside.
    ///
    /// # Errors
    /// The store is away.
    async fn rejected_counts(&self) -> Result<Vec<u64>, StoreError>;

    /// Checks a rejected entry again and moves it to the end of the input stream that it belongs to,
    /// which may be another shard's ([`super::rejected::requeued`]). Within a shard it moves in one
    /// step. To another shard it is appended first and deleted after: who loses the store in between
    /// finds it at both places, and both have one `origin`, so one `webhook-id`.
    ///
    /// # Errors
    /// See [`RequeueError`]; what is not valid stays.
    async fn requeue(&self, shard: u16, id: EntryId) -> Result<Requeued, RequeueError>;

    /// Answers when the store does.
    ///
    /// # Errors
    /// The store is away.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Who acquires.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The node's id, kept in its data directory.
    pub node: String,
    /// How long the lease lives without a renewal.
    pub lease: Duration,
}

/// A shard that is held.
pub struct Acquired {
    /// Reads the streams forward.
    pub intake: Box<dyn ShardIntake>,
    /// Loads, sweeps and commits, in order.
    pub line: Box<dyn ShardLine>,
    /// Mails that are owed in this shard.
    pub outbox: Vec<OwedMail>,
    /// Until when the lease lives, counted from before the request was sent.
    pub lease_until: Instant,
}

/// Reads a held shard's streams forward. Reading changes nothing in the store.
#[async_trait]
pub trait ShardIntake: Send {
    /// Reads entries after the cursors, waiting up to `request.block` for the first. With
    /// `request.probe` it does not wait and also tells the length of the message stream.
    ///
    /// # Errors
    /// The store is away; the adapter has dropped its connection and makes a new one at the next call.
    async fn poll(&mut self, request: &Poll) -> Result<Polled, StoreError>;
}

/// What to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Poll {
    /// Messages after this entry, at most so many. `None`: none.
    pub messages: Option<(EntryId, usize)>,
    /// Commands after this entry, at most so many. `None`: none.
    pub commands: Option<(EntryId, usize)>,
    /// How long to wait for the first entry.
    pub block: Duration,
    /// Do not wait, and tell the length of the message stream as of the same moment.
    pub probe: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Polled {
    /// Messages, in order.
    pub messages: Vec<RawEntry>,
    /// Commands, in order: fields `workspace` and `command` (JSON).
    pub commands: Vec<RawEntry>,
    /// The length of the message stream, when probed.
    pub length: Option<u64>,
}

/// One stream entry as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Its id.
    pub id: EntryId,
    /// Its fields, in order.
    pub fields: Vec<(Bytes, Bytes)>,
}

impl RawEntry {
    /// The value of the first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Bytes> {
        self.fields.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fields.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

/// Everything of a held shard that must be in order. See the contract above: the *call* takes the
/// place in the order, the returned future only waits for the answer and may be dropped.
pub trait ShardLine: Send {
    /// Makes a batch durable, renews the lease, and answers until when it lives (counted from before
    /// the request was sent). An empty batch is a renewal.
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Instant, LineError>>;

    /// Loads a workspace.
    fn load(&self, workspace: &WorkspaceId) -> BoxFuture<'static, Result<Result<Loaded, LoadError>, LineError>>;

    /// The newest message of a workspace: of its last 100 attempts' and the newest skipped one, that
    /// with the greatest entry id.
    fn newest(
        &self,
        workspace: &WorkspaceId,
    ) -> BoxFuture<'static, Result<Result<Option<Newest>, LoadError>, LineError>>;

    /// Reads message entries from `from` to `to`, both inclusive, at most `count`.
    fn sweep(&self, from: EntryId, to: EntryId, count: usize) -> BoxFuture<'static, Result<Vec<RawEntry>, LineError>>;

    /// Which of `entries` (message stream) still exist; asked after an acquisition.
    fn present(&self, entries: Vec<EntryId>) -> BoxFuture<'static, Result<Vec<EntryId>, LineError>>;

    /// Gives the lease up, after everything before it.
    fn release(&self) -> BoxFuture<'static, Result<(), LineError>>;
}

/// A workspace as it is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The snapshot with every attempt after it folded in.
    pub state: State,
    /// How many attempts lie above the snapshot.
    pub since_snapshot: usize,
    /// Entries that the folded attempts (trigger `message`) name: settled, whatever the stream says.
    pub attempted: Vec<EntryId>,
}

/// A workspace's newest message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its entry in the shard's stream.
    pub entry: EntryId,
    /// Its text.
    pub message: RawMessage,
}

/// What the facade reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The snapshot with every attempt after it folded in; the default for a workspace never seen.
    pub state: State,
    /// The last attempts with their seqs, newest first, at most [`ATTEMPTS_KEPT`].
    pub attempts: Vec<(u64, Attempt)>,
}

/// One event in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its seq.
    pub seq: u64,
    /// [`super::record::encode_event`] of it.
    pub json: Bytes,
}

/// What belongs together and is committed whole: the events that one decision made, and the entries
/// that it settles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The workspace; `None` for a step that only rejects or settles.
    pub workspace: Option<WorkspaceId>,
    /// Forget the workspace first: its events, its newest skipped message and the mails that it owes, as
    /// the steps before this one left them. Its seq goes on where it was.
    pub forget: bool,
    /// Attempts, by seq.
    pub attempts: Vec<StoredEvent>,
    /// Other sequenced events, by seq.
    pub history: Vec<StoredEvent>,
    /// The state after this step ([`super::record::encode_snapshot`]).
    pub snapshot: Option<Bytes>,
    /// The newest skipped message.
    pub last_skipped: Option<Newest>,
    /// Mails that are owed from now on.
    pub mails_owed: Vec<OwedMail>,
    /// Mails that are owed no more.
    pub mails_ended: Vec<MailId>,
    /// Message entries that are settled.
    pub settled: Vec<EntryId>,
    /// Command entries that are settled.
    pub settled_commands: Vec<EntryId>,
    /// Answers to commands: in the step that settles the command, or for a test, which is settled when it
    /// starts, in that of its outcome.
    pub answers: Vec<(EntryId, Answer)>,
    /// Message entries that are set aside; each also stands in `settled`.
    pub rejected: Vec<Rejected>,
}

impl Step {
    /// Events in it.
    #[must_use]
    pub fn events(&self) -> usize {
        self.attempts.len() + self.history.len()
    }

    /// About how many bytes it adds to a commit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let events = self.attempts.iter().chain(&self.history).map(|event| event.json.len()).sum::<usize>();
        let snapshot = self.snapshot.as_ref().map_or(0, Bytes::len);
        let last = self.last_skipped.as_ref().map_or(0, |newest| newest.message.bytes().len());
        let rejected = self
            .rejected
            .iter()
            .flat_map(|entry| &entry.fields)
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>();
        events + snapshot + last + rejected
    }
}

/// Steps that are committed together, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The steps. Of several snapshots (or newest skipped messages) of one workspace the last holds.
    pub steps: Vec<Step>,
}

/// An entry that is no valid message, cut to the bounds of
/// [contract, section 1](crate::docs::contract#1-the-message-in).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its id in the message stream.
    pub id: EntryId,
    /// The fields to keep: the original ones (cut), then `_id`, `_reason`, `_at`.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// A rejected entry that is a message again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeued {
    /// Whose.
    pub workspace: WorkspaceId,
    /// The shard that it belongs to.
    pub shard: u16,
    /// Its entry in that shard's stream.
    pub entry: EntryId,
}

/// A mail that is owed, as the outbox keeps it: everything that its text needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedMail {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Which of its mails.
    #[serde(flatten)]
    pub id: MailId,
    /// Since when it is owed.
    pub at: Time,
    /// To whom.
    pub to: String,
    /// The URL that failed, as configured.
    pub url: String,
    /// Errors in a row; 0 when it delivers again.
    pub errors: u32,
    /// When the streak began, or when it had been switched off that delivers again.
    pub failing_since: Time,
    /// The last errors, oldest first.
    pub recent: Vec<RecentError>,
    /// How many more errors in a row switch it off, for a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_left: Option<u32>,
    /// Messages that were not sent while it was off, when it delivers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
}
