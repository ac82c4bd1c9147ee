//! What the holder of a shard asks for in order, and what is answered.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::batch::{Batch, Newest, StoredEvent};
use super::errors::{LoadError, ShardConnectionError};
use super::intake::RawEntry;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::state::State;

/// Everything of a held shard that must be in order. See the contract of [`super`]: the *call* takes the
/// place in the order, the returned future only waits for the response and may be dropped.
pub trait ShardConnection: Send {
    /// Makes the request. Its response is of the request's own kind.
    fn send(&self, request: ShardRequest) -> BoxFuture<'static, Result<ShardResponse, ShardConnectionError>>;
}

/// A request. What the store has no use for (`number`, `command`) is repeated in the response.
#[derive(Debug, Clone, PartialEq)]
pub enum ShardRequest {
    /// Makes a batch durable and renews the lease. An empty batch is a renewal.
    Commit {
        /// The caller's own number of the commit.
        number: u64,
        /// What to commit.
        batch: Batch,
    },
    /// Loads a workspace.
    Load(WorkspaceId),
    /// Reads whatever can still be read of a workspace.
    Salvage(WorkspaceId),
    /// Finds the newest message of a workspace: of its last 100 attempts' and the newest skipped one,
    /// that with the greatest entry id.
    Newest {
        /// Whose.
        workspace: WorkspaceId,
        /// The command that needs it.
        command: EntryId,
    },
    /// Reads message entries that the forward reads have passed.
    CatchUp {
        /// The first id.
        from: EntryId,
        /// The last id, inclusive.
        to: EntryId,
        /// How many at most.
        count: usize,
    },
    /// Which of these entries of the message stream still exist; asked after an acquisition.
    Present(Vec<EntryId>),
    /// Gives the lease up, after everything before it.
    Release,
}

/// The response to a [`ShardRequest`].
#[derive(Debug, Clone, PartialEq)]
pub enum ShardResponse {
    /// The batch is durable.
    Committed {
        /// The request's.
        number: u64,
        /// Until when the lease lives, counted from before the request was sent.
        lease_until: Instant,
    },
    /// The workspace, or why it cannot be loaded.
    Loaded(WorkspaceId, Result<Box<Loaded>, LoadError>),
    /// What can still be read of the workspace.
    Salvaged(WorkspaceId, Box<Salvage>),
    /// The workspace's newest message, if it has one.
    Newest {
        /// The request's.
        workspace: WorkspaceId,
        /// The request's.
        command: EntryId,
        /// The message.
        newest: Result<Option<Newest>, LoadError>,
    },
    /// The entries of the range, in order.
    CaughtUp(Vec<RawEntry>),
    /// Those that exist.
    Present(Vec<EntryId>),
    /// The shard is free.
    Released,
}

/// The requests one by one, each with the type of its answer.
impl dyn ShardConnection + '_ {
    /// [`ShardRequest::Commit`]: until when the lease lives.
    pub fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Instant, ShardConnectionError>> {
        self.ask(ShardRequest::Commit { number: 0, batch }, |response| match response {
            ShardResponse::Committed { lease_until, .. } => Some(lease_until),
            _ => None,
        })
    }

    /// [`ShardRequest::Load`].
    pub fn load(
        &self,
        workspace: &WorkspaceId,
    ) -> BoxFuture<'static, Result<Result<Loaded, LoadError>, ShardConnectionError>> {
        self.ask(ShardRequest::Load(workspace.clone()), |response| match response {
            ShardResponse::Loaded(_, loaded) => Some(loaded.map(|loaded| *loaded)),
            _ => None,
        })
    }

    /// [`ShardRequest::Salvage`].
    pub fn salvage(&self, workspace: &WorkspaceId) -> BoxFuture<'static, Result<Salvage, ShardConnectionError>> {
        self.ask(ShardRequest::Salvage(workspace.clone()), |response| match response {
            ShardResponse::Salvaged(_, salvage) => Some(*salvage),
            _ => None,
        })
    }

    /// [`ShardRequest::Newest`].
    pub fn newest(
        &self,
        workspace: &WorkspaceId,
    ) -> BoxFuture<'static, Result<Result<Option<Newest>, LoadError>, ShardConnectionError>> {
        let request = ShardRequest::Newest { workspace: workspace.clone(), command: EntryId::ZERO };
        self.ask(request, |response| match response {
            ShardResponse::Newest { newest, .. } => Some(newest),
            _ => None,
        })
    }

    /// [`ShardRequest::CatchUp`].
    pub fn catch_up(
        &self,
        from: EntryId,
        to: EntryId,
        count: usize,
    ) -> BoxFuture<'static, Result<Vec<RawEntry>, ShardConnectionError>> {
        self.ask(ShardRequest::CatchUp { from, to, count }, |response| match response {
            ShardResponse::CaughtUp(entries) => Some(entries),
            _ => None,
        })
    }

    /// [`ShardRequest::Present`].
    pub fn present(&self, entries: Vec<EntryId>) -> BoxFuture<'static, Result<Vec<EntryId>, ShardConnectionError>> {
        self.ask(ShardRequest::Present(entries), |response| match response {
            ShardResponse::Present(entries) => Some(entries),
            _ => None,
        })
    }

    /// [`ShardRequest::Release`].
    pub fn release(&self) -> BoxFuture<'static, Result<(), ShardConnectionError>> {
        self.ask(ShardRequest::Release, |response| matches!(response, ShardResponse::Released).then_some(()))
    }

    #[expect(clippy::expect_used, reason = "the trait's contract: a response is of its request's kind")]
    fn ask<T: 'static>(
        &self,
        request: ShardRequest,
        answer: fn(ShardResponse) -> Option<T>,
    ) -> BoxFuture<'static, Result<T, ShardConnectionError>> {
        let response = self.send(request);
        async move { Ok(answer(response.await?).expect("a response of the request's kind")) }.boxed()
    }
}

/// A workspace as it is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The snapshot with every attempt after it applied.
    pub state: State,
    /// How many attempts lie above the snapshot.
    pub since_snapshot: usize,
    /// Entries that the replayed attempts (trigger `message`) name: settled, whatever the stream says.
    pub attempted: Vec<EntryId>,
}

/// What can still be read of a workspace whose journal may contradict itself ([`crate::journal::salvage`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Salvage {
    /// The last state that can be told; its seq is above every one that was given. Sealed as it is stored.
    pub state: State,
    /// The attempts, oldest first.
    pub attempts: Vec<StoredEvent>,
    /// The other events, oldest first.
    pub history: Vec<StoredEvent>,
    /// The newest skipped message.
    pub newest: Option<Newest>,
    /// Whether nothing tells how often the workspace's tokens were revoked: none of them may open it any more.
    pub tokens_unknown: bool,
    /// What is lost, a sentence each; nothing where nothing is damaged.
    pub lost: Vec<String>,
}
