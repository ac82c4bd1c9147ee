//! The port: what the rest of the program may ask of a journal, and what it may rely on.
//!
//! # The contract
//!
//! A journal keeps, by shard: an input stream of messages, a stream of commands, the answers to
//! them, what was set aside as rejected, the mails that are owed, and by workspace two streams of
//! events under one gapless seq, a snapshot and the newest skipped message.
//!
//! - **One holder.** A shard is acquired; the holder gets a [`ShardIntake`] (reads) and a
//!   [`ShardConnection`] (everything that must be in order). A later acquisition fences the earlier one:
//!   from then on nothing that the earlier holder sends is applied, and its shard connection says
//!   [`ShardConnectionError::Fenced`].
//! - **A commit is atomic and durable when it is answered `Ok`**: all its events, snapshots, answers,
//!   mails and settled entries, or none. What is durable is what the store calls durable (Redis with
//!   AOF everysec may lose the last second when the machine dies; then `head` goes back and the
//!   shard connection says [`ShardConnectionError::Lost`]).
//! - **A commit's answer is never "unknown".** A lost reply is the adapter's to resolve: it reconnects
//!   and sends the unanswered commits again, in order, until each has an answer; none is applied
//!   twice. While the store is away, calls wait without limit.
//! - **Order.** The calls on one shard connection take effect in the order in which they were *made* (not polled):
//!   a load or a catch-up sees every commit made before it, and no commit made after it. At most
//!   [`COMMITS_IN_FLIGHT_MAX`] commits are unanswered; the caller keeps to that.
//! - After an `Err` the shard connection is dead: every later call answers `Err`. The holder drops what it has in
//!   memory and acquires again. Nothing of the failed commit is applied, nor will be, once the shard
//!   has been acquired again.
//! - **An entry leaves the input stream only by a commit that settles it.**
//!
//! All methods may be called from any thread; connections live on the runtime that acquired.

mod batch;
mod connection;
mod errors;
mod intake;
mod limits;
mod nodes;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::config::{STORE_SILENT_MAX, SourceForm};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::{Answer, Command};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{Attempt, Event};
use crate::workspace::state::State;
use crate::workspace::time::Time;
use crate::workspace::view::NodeGlance;

pub use batch::{Batch, Bookmark, Newest, OwedMail, Rejected, Step, StoredEvent};
pub use connection::{Loaded, Salvage, ShardConnection, ShardRequest, ShardResponse};
pub use errors::{
    AcquireError, LoadError, PublishError, ReadError, RequeueError, ShardConnectionError, StoreError, StoreTrouble,
    SubmitError,
};
pub use intake::{Poll, Polled, RawEntry, ShardIntake};
pub use limits::{
    ATTEMPTS_RETAINED, COMMANDS_WAITING_FULL_MAX, COMMANDS_WAITING_MAX, COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX,
    COMMIT_SETTLED_MAX, COMMITS_IN_FLIGHT_MAX, HISTORY_RETAINED, OPERATOR_SESSIONS_ENDED_MAX, REJECTED_BYTES_RETAINED,
    REJECTED_RETAINED,
};
pub use nodes::{GlancesReading, NodeRecord, NodeRole, NodesReading, Owed, SeenNode, ShardOwner, ToldGlance};

/// A store of shards.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// The number of shards, fixed at the first start.
    fn shards(&self) -> u16;

    /// For how long a commit may be unanswered while the store works: with a level of durability that is waited for, longer.
    fn silent_max(&self) -> Duration {
        STORE_SILENT_MAX
    }

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

    /// The same for several messages of a workspace, in order: all of them or none.
    ///
    /// # Errors
    /// See [`PublishError`].
    async fn publish_all(&self, workspace: &WorkspaceId, messages: &[RawMessage])
    -> Result<Vec<EntryId>, PublishError>;

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

    /// What [`Journal::read`] answers is another only when this is: as cheap as [`Journal::snapshot`], for whoever
    /// follows a workspace. `None`: the journal cannot tell.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn version(&self, _workspace: &WorkspaceId) -> Result<Option<Version>, ReadError> {
        Ok(None)
    }

    /// Reads the workspace's events that are no attempts with their seqs, oldest first: the last
    /// [`HISTORY_RETAINED`].
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn history(&self, workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, ReadError>;

    /// Workspaces in order of their ids, at most `query.count`: those of which something is remembered, since the last
    /// snapshot that was written of them. One that was forgotten is none of them.
    ///
    /// # Errors
    /// The store is away.
    async fn workspaces(&self, query: &ListQuery) -> Result<Vec<ListedWorkspace>, StoreError>;

    /// How many workspaces of that list have which status, in the order of [`WebhookStatus::ALL`]. As cheap for a million
    /// of them as for one.
    ///
    /// # Errors
    /// The store is away.
    async fn workspace_counts(&self) -> Result<[u64; 4], StoreError>;

    /// Moves up to `max` entries of the common input `outbound:messages` to their shards' streams,
    /// in order, each once whatever is repeated, and waits up to `block` for the first. They are deleted with the next
    /// call. A journal without a common input waits forever.
    ///
    /// # Errors
    /// The store is away or refuses; try again after a pause.
    async fn hand_over(&self, max: usize, block: Duration) -> Result<HandedOver, StoreError>;

    /// The same for a stream of someone else: read by the consumer group `outbound`, acknowledged, never trimmed. Only
    /// who has its lease may call it.
    ///
    /// # Errors
    /// The store is away or refuses, or another node has the lease; try again after a pause.
    async fn hand_over_from(
        &self,
        _source: &str,
        _form: &SourceForm,
        _max: usize,
        _block: Duration,
    ) -> Result<HandedOver, StoreError> {
        std::future::pending().await
    }

    /// Takes over what other consumers of such a stream's group were given and have not acknowledged, as far as it comes
    /// behind all that was handed over: it is handed over next. Answers what does not, and stays where it is. Only who has
    /// the stream's lease may call it.
    ///
    /// # Errors
    /// The store is away or does not allow it, or another node has the lease.
    async fn take_over_pending(&self, _source: &str) -> Result<Vec<PendingOfOther>, StoreError> {
        Ok(Vec::new())
    }

    /// Takes or renews the lease of a source's reader (`None`: of the common input), or ends it when the holder's lease
    /// is zero. Answers whether the holder has it; a journal of one process always says so.
    ///
    /// # Errors
    /// The store is away.
    async fn lease_source(&self, _source: Option<&str>, _holder: &Holder) -> Result<bool, StoreError> {
        Ok(true)
    }

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

    /// How many bytes the entries take that each shard has set aside; at most [`REJECTED_BYTES_RETAINED`] or so.
    ///
    /// # Errors
    /// The store is away.
    async fn rejected_bytes(&self) -> Result<Vec<u64>, StoreError>;

    /// Checks a rejected entry again and moves it to the end of the input stream that it belongs to,
    /// which may be another shard's ([`super::rejected::requeued`]), once however many ask for it. On one server it moves
    /// in one step. To another server it is appended first and deleted after: who loses the store in between
    /// finds it at both places, and both have one `origin`, so one `webhook-id`.
    ///
    /// # Errors
    /// See [`RequeueError`]; what is not valid stays.
    async fn requeue(&self, shard: u16, id: EntryId) -> Result<Requeued, RequeueError>;

    /// Deletes rejected entries of a shard for good, and tells how many of them were there. A full store does it too.
    ///
    /// # Errors
    /// The store is away; then they may be deleted or not, and asking again does no harm.
    async fn discard(&self, shard: u16, ids: &[EntryId]) -> Result<u64, StoreError>;

    /// Stores what a node tells of itself, and reads what all tell and who holds which shard. A record that is not
    /// stored again is deleted after [`crate::config::NODE_SHOWN_FOR`].
    ///
    /// # Errors
    /// The store is away.
    async fn register(&self, node: &NodeRecord) -> Result<NodesReading, StoreError>;

    /// Takes the node's record away, unless another process has written it since.
    ///
    /// # Errors
    /// The store is away.
    async fn withdraw(&self, node: &NodeRecord) -> Result<(), StoreError>;

    /// Reads what all nodes tell and who holds which shard.
    ///
    /// # Errors
    /// The store is away.
    async fn nodes(&self) -> Result<NodesReading, StoreError>;

    /// Keeps what a process knows, in the place of what it told before, for [`crate::config::GLANCE_KEPT_FOR`]. A full
    /// store takes it.
    ///
    /// # Errors
    /// The store is away.
    async fn tell_glance(&self, glance: &NodeGlance) -> Result<(), StoreError>;

    /// Reads what all processes told.
    ///
    /// # Errors
    /// The store is away.
    async fn glances(&self) -> Result<GlancesReading, StoreError>;

    /// What each shard owes.
    ///
    /// # Errors
    /// The store is away.
    async fn owed(&self) -> Result<Vec<Owed>, StoreError>;

    /// A page of the workspaces that are kept, each with its snapshot, from `place` on; without a place the first one.
    /// One that is there all the while comes at least once, in no order. A slow walk over everything, for what is
    /// done seldom.
    ///
    /// # Errors
    /// The store is away.
    async fn walk(&self, place: Option<&str>) -> Result<WalkPage, StoreError>;

    /// The keys that were noted as sealing something here.
    ///
    /// # Errors
    /// The store is away.
    async fn sealing_keys(&self) -> Result<Vec<NotedKey>, StoreError>;

    /// Notes that the key `id` with this print seals something here, or without a print notes it no more.
    ///
    /// # Errors
    /// The store is away or full.
    async fn note_sealing_key(&self, id: &str, print: Option<u64>) -> Result<(), StoreError>;

    /// Remembers until `until` that a session of the operator ended before its time. Of such sessions
    /// [`OPERATOR_SESSIONS_ENDED_MAX`] are remembered; a further one is refused. A full store takes it.
    ///
    /// # Errors
    /// The store is away, or remembers as many already.
    async fn end_operator_session(&self, id: &str, until: Time) -> Result<(), StoreError>;

    /// Whether the operator's session `id` ended before its time.
    ///
    /// # Errors
    /// The store is away.
    async fn has_operator_session_ended(&self, id: &str) -> Result<bool, StoreError>;

    /// Asks whether the store answers and takes new input.
    ///
    /// # Errors
    /// The store is away, or full: then what is stored is settled as ever.
    async fn ping(&self) -> Result<(), StoreError>;

    /// What the store refused lately although it answers, one sentence each. Nobody else is told of it than who asked.
    fn refusals(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the store's own clock shows. `None`: it has no other clock than this machine.
    ///
    /// # Errors
    /// The store is away.
    async fn time(&self) -> Result<Option<Time>, StoreError> {
        Ok(None)
    }

    /// Ends, with the reason, when the journal is of no use until it is opened again. One that heals by itself waits
    /// forever.
    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }
}

/// Which workspaces to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those whose ids come after this one.
    pub after: Option<WorkspaceId>,
    /// Only those whose ids begin so.
    pub prefix: String,
    /// Only those with this status.
    pub status: Option<WebhookStatus>,
    /// At most so many.
    pub count: usize,
}

/// A workspace of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedWorkspace {
    /// Its id.
    pub workspace: WorkspaceId,
    /// Its state, but for the window and the errors before the last one; `None` when it cannot be read.
    pub state: Option<State>,
}

/// Some of the workspaces that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalkPage {
    /// The workspaces; there may be none although others follow.
    pub workspaces: Vec<WorkspaceId>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// A key that is noted as sealing something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotedKey {
    /// Its id.
    pub id: String,
    /// Its print, by which another key of the same id is known; none where a version without prints noted it.
    pub print: Option<u64>,
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
    /// Loads, catch-ups and commits, in order.
    pub connection: Box<dyn ShardConnection>,
    /// Mails that are owed in this shard.
    pub outbox: Vec<OwedMail>,
    /// The last one that was committed, if there is one and it can be read.
    pub bookmark: Option<Bookmark>,
    /// Until when the lease lives, counted from before the request was sent.
    pub lease_until: Instant,
}

/// What the facade reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The snapshot with every attempt after it applied; the default for a workspace never seen.
    pub state: State,
    /// The last attempts with their seqs, newest first, at most [`ATTEMPTS_RETAINED`].
    pub attempts: Vec<(u64, Attempt)>,
}

/// Tells whether a workspace moved: every attempt raises `top`, everything else writes the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The greatest seq that was ever used.
    pub top: u64,
    /// The snapshot as it is stored.
    pub snapshot: Option<Bytes>,
}

/// What became of entries of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// How many were handed over, those that were set aside among them.
    pub count: usize,
    /// Why some were set aside, a reason each.
    pub rejected: Vec<String>,
}

/// Entries of a source that another consumer of our group was given and has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingOfOther {
    /// The consumer's name.
    pub consumer: String,
    /// How many.
    pub count: u64,
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
