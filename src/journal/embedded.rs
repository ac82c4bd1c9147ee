//! The journal in one file, with nothing to install: the default, and in memory what fast tests use.
//!
//! One [`engine`] owns all writing. In a file it runs on a thread of its own ([`writer`]) that takes
//! whatever waits, from all shards, into one transaction and one sync; in memory it runs inside the
//! call. Either way calls take effect in the order in which they were made. Reads that need no place
//! in that order (polls, the facade) see the last durable transaction.
//!
//! Reading order: [`tables`] (what the file holds), [`contained`] (what a damaged one does), [`mod@file`] (opening it), [`held_file`] (whether it is still there), [`transaction`] (what one
//! call does to the tables), [`engine`], [`writer`], then the port's faces [`shard_connection`] and [`intake`]; last [`mod@rescue`] (a damaged file).
//!
//! The file's lock keeps every other process out, so leases live in memory: whoever held a shard
//! before this process began is gone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::aside::aside;
use super::port::{
    AcquireError, Acquired, GlancesReading, HandedOver, Holder, Journal, ListQuery, ListedWorkspace, NodeRecord,
    NodesReading, NotedKey, Owed, PublishError, RawEntry, ReadError, Reading, RequeueError, Requeued, SeenNode,
    ShardOwner, StoreError, StoreTrouble, SubmitError, ToldGlance, Version, WalkPage,
};
use super::{codec, rejected, replay};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::{Answer, Command};
use crate::workspace::event::Event;
use crate::workspace::state::State;
use crate::workspace::time::{Clock, Time};
use crate::workspace::view::NodeGlance;

mod contained;
mod engine;
mod file;
mod held_file;
mod intake;
mod lease;
mod rescue;
mod shard_connection;
mod store;
mod tables;
mod transaction;
mod writer;

#[cfg(test)]
mod tests;

pub use file::JournalFileError;
pub use rescue::{Rescued, rescue};

use engine::Job;
use held_file::HeldFile;
use store::EmbeddedStore;
use transaction::StorageResult;

/// A journal in one file, or in memory. Dropping it makes everything that was called durable, ends
/// the writer and frees the file; shard connections and intakes that outlive it answer errors.
pub struct Embedded {
    store: Arc<EmbeddedStore>,
    clock: Clock,
    /// The one node that can be there.
    node: Mutex<Option<SeenNode>>,
    /// What it told of what it knows.
    glance: Mutex<Option<ToldGlance>>,
}

impl Embedded {
    /// Opens the file, or makes it with `shards` shards (16 when `None`).
    ///
    /// # Errors
    /// See [`JournalFileError`]: the file is in use, has another number of shards, or cannot be read.
    pub fn open(path: &Path, shards: Option<u16>, clock: Clock) -> Result<Self, JournalFileError> {
        let is_new = !path.exists();
        let (db, shards) = file::open(path, shards)?;
        if is_new {
            info!(path = %path.display(), "There was no journal here: a new one was made.");
        }
        let file = HeldFile::new(path).map_err(redb::Error::Io)?;
        Ok(Self {
            store: EmbeddedStore::on_thread((db, Some(file)), shards, clock)?,
            clock,
            node: Mutex::default(),
            glance: Mutex::default(),
        })
    }

    /// A journal that forgets everything when it is dropped. Calls take effect before they return,
    /// so a test with paused time sees no thread but its own.
    ///
    /// # Errors
    /// `shards` is 0 or above the maximum.
    pub fn in_memory(shards: u16, clock: Clock) -> Result<Self, JournalFileError> {
        let (db, shards) = file::on(redb::backends::InMemoryBackend::new(), Some(shards))?;
        Ok(Self {
            store: EmbeddedStore::in_call(db, shards, clock)?,
            clock,
            node: Mutex::default(),
            glance: Mutex::default(),
        })
    }

    /// Reads what may be much, without keeping the thread from its other callers.
    async fn aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&EmbeddedStore) -> StorageResult<T> + Send + 'static,
    ) -> StorageResult<T> {
        if self.store.is_in_call() {
            return read(&self.store);
        }
        let store = Arc::clone(&self.store);
        aside(move || read(&store)).await
    }

    /// Rejected entries that were deleted because a shard had
    /// [`REJECTED_RETAINED`](super::port::REJECTED_RETAINED), since the start.
    #[must_use]
    pub fn rejected_deleted(&self) -> u64 {
        self.store.rejected_deleted()
    }
}

#[async_trait]
impl Journal for Embedded {
    fn shards(&self) -> u16 {
        self.store.shards()
    }

    async fn acquire(&self, shard: u16, holder: &Holder) -> Result<Acquired, AcquireError> {
        let now = Instant::now();
        let (reply, answer) = oneshot::channel();
        self.store.call(Job::Acquire { shard, holder: holder.clone(), now, reply });
        let (nonce, outbox, bookmark) = answer.await.map_err(|_| self.store.gone("acquiring a shard"))??;
        Ok(Acquired {
            intake: Box::new(intake::EmbeddedIntake::new(&self.store, shard)),
            connection: Box::new(shard_connection::EmbeddedShardConnection::new(
                &self.store,
                shard,
                nonce,
                holder.lease,
            )),
            outbox,
            bookmark,
            lease_until: now + holder.lease,
        })
    }

    async fn submit(&self, workspace: &WorkspaceId, command: &Command, wait: Duration) -> Result<Answer, SubmitError> {
        let wait = wait.min(command.expires_at.since((self.clock)()));
        let deadline = Instant::now() + wait;
        let command = serde_json::to_vec(command).map_err(|error| StoreError {
            trouble: StoreTrouble::Refused,
            what: "a command cannot be written".into(),
            source: Some(Box::new(error)),
        })?;
        let (reply, stored) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let shard = workspace.shard(self.shards());
        let store = async {
            let _permit = self.store.permit().await;
            self.store.call(Job::Submit {
                shard,
                workspace: workspace.clone(),
                command: command.into(),
                reply,
                answer,
            });
            stored.await
        };
        let Ok(stored) = timeout_at(deadline, store).await else { return Err(SubmitError::MaybeStored) };
        stored.map_err(|_| self.store.gone("storing a command"))??;
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(SubmitError::OutcomeUnknown),
        }
    }

    async fn publish(&self, workspace: &WorkspaceId, message: &RawMessage) -> Result<EntryId, PublishError> {
        let ids = self.publish_all(workspace, std::slice::from_ref(message)).await?;
        ids.into_iter().next().ok_or_else(|| self.store.gone("storing a message").into())
    }

    async fn publish_all(
        &self,
        workspace: &WorkspaceId,
        messages: &[RawMessage],
    ) -> Result<Vec<EntryId>, PublishError> {
        let _permit = self.store.permit().await;
        let (reply, stored) = oneshot::channel();
        let shard = workspace.shard(self.shards());
        self.store.call(Job::Publish { shard, workspace: workspace.clone(), messages: messages.into(), reply });
        stored.await.map_err(|_| self.store.gone("storing a message"))?
    }

    async fn read(&self, workspace: &WorkspaceId) -> Result<Reading, ReadError> {
        let id = workspace.clone();
        let read = self.aside(move |store| Ok(replay::read(&id, &store.stored(&id)?))).await;
        Ok(read.map_err(|error| store::unreadable(workspace, "reading a workspace", error))??)
    }

    async fn snapshot(&self, workspace: &WorkspaceId) -> Result<State, ReadError> {
        let stored = self
            .store
            .snapshot(workspace)
            .map_err(|error| store::unreadable(workspace, "reading a snapshot", error))?;
        Ok(replay::snapshot(workspace, &stored)?)
    }

    async fn version(&self, workspace: &WorkspaceId) -> Result<Option<Version>, ReadError> {
        let stored = self
            .store
            .snapshot(workspace)
            .map_err(|error| store::unreadable(workspace, "reading a snapshot", error))?;
        Ok(Some(Version { top: stored.top, snapshot: stored.snapshot }))
    }

    async fn history(&self, workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, ReadError> {
        let id = workspace.clone();
        let read = self.aside(move |store| Ok(replay::history(&id, &store.history(&id)?))).await;
        Ok(read.map_err(|error| store::unreadable(workspace, "reading a history", error))??)
    }

    async fn workspaces(&self, query: &ListQuery) -> Result<Vec<ListedWorkspace>, StoreError> {
        let query = query.clone();
        let listed = self.aside(move |store| store.workspaces(&query)).await;
        listed.map_err(|error| store::failed("listing workspaces", error))
    }

    async fn workspace_counts(&self) -> Result<[u64; 4], StoreError> {
        self.store.workspace_counts().map_err(|error| store::failed("counting workspaces", error))
    }

    async fn hand_over(&self, _max: usize, _block: Duration) -> Result<HandedOver, StoreError> {
        std::future::pending().await
    }

    async fn rejected(&self, shard: u16, from: EntryId, count: usize) -> Result<Vec<RawEntry>, StoreError> {
        let entries = self.aside(move |store| store.rejected(shard, from, count)).await;
        entries.map_err(|error| store::failed("reading rejected entries", error))
    }

    async fn register(&self, node: &NodeRecord) -> Result<NodesReading, StoreError> {
        let now = (self.clock)();
        {
            let mut seen = self.node.lock();
            let before = seen.take().filter(|before| before.record.process == node.process);
            let began = before.map_or(now, |before| before.began);
            *seen = Some(SeenNode { record: node.clone(), began, seen: now });
        }
        self.nodes().await
    }

    async fn withdraw(&self, node: &NodeRecord) -> Result<(), StoreError> {
        let mut seen = self.node.lock();
        *seen = seen.take().filter(|seen| seen.record.process != node.process);
        Ok(())
    }

    async fn nodes(&self) -> Result<NodesReading, StoreError> {
        let nodes: Vec<SeenNode> = self.node.lock().iter().cloned().collect();
        let owner = |shard| {
            let holder = nodes.iter().find(|seen| seen.record.runs.contains(shard));
            holder.map(|seen| ShardOwner { node: seen.record.id.clone(), remaining: Duration::ZERO })
        };
        let owners = (0..self.shards()).map(owner).collect();
        let (at, format, shards) = ((self.clock)(), codec::FORMAT, Some(self.shards()));
        Ok(NodesReading { at, nodes, owners, exclusive: true, format, shards, replaced: None })
    }

    async fn tell_glance(&self, glance: &NodeGlance) -> Result<(), StoreError> {
        *self.glance.lock() = Some(ToldGlance { glance: glance.clone(), at: (self.clock)() });
        Ok(())
    }

    async fn glances(&self) -> Result<GlancesReading, StoreError> {
        Ok(GlancesReading { at: (self.clock)(), glances: self.glance.lock().iter().cloned().collect() })
    }

    async fn owed(&self) -> Result<Vec<Owed>, StoreError> {
        self.store.owed().map_err(|error| store::failed("counting what is owed", error))
    }

    async fn rejected_counts(&self) -> Result<Vec<u64>, StoreError> {
        self.store.rejected_counts().map_err(|error| store::failed("counting rejected entries", error))
    }

    async fn rejected_bytes(&self) -> Result<Vec<u64>, StoreError> {
        self.store.rejected_bytes().map_err(|error| store::failed("measuring rejected entries", error))
    }

    async fn requeue(&self, shard: u16, id: EntryId) -> Result<Requeued, RequeueError> {
        let found = self.rejected(shard, id, 1).await?.pop().filter(|found| found.id == id);
        let found = found.ok_or(RequeueError::Gone { shard, id })?;
        let stream = format!("outbound:{{{shard}}}:messages");
        let (workspace, fields) =
            rejected::requeued(&found, &stream).map_err(|reason| RequeueError::Invalid { reason })?;
        let to = workspace.shard(self.shards());
        let _permit = self.store.permit().await;
        let (reply, moved) = oneshot::channel();
        self.store.call(Job::Requeue { shard, id, to, fields, reply });
        let entry = moved.await.map_err(|_| self.store.gone("requeueing a rejected entry"))??;
        Ok(Requeued { workspace, shard: to, entry })
    }

    async fn discard(&self, shard: u16, ids: &[EntryId]) -> Result<u64, StoreError> {
        let _permit = self.store.permit().await;
        let (reply, discarded) = oneshot::channel();
        self.store.call(Job::Discard { shard, ids: ids.to_vec(), reply });
        discarded.await.map_err(|_| self.store.gone("discarding rejected entries"))?
    }

    async fn walk(&self, place: Option<&str>) -> Result<WalkPage, StoreError> {
        self.store.walk(place).map_err(|error| store::failed("reading which workspaces there are", error))
    }

    async fn sealing_keys(&self) -> Result<Vec<NotedKey>, StoreError> {
        self.store.sealing_keys().map_err(|error| store::failed("reading which keys seal", error))
    }

    async fn note_sealing_key(&self, id: &str, print: Option<u64>) -> Result<(), StoreError> {
        let (reply, noted) = oneshot::channel();
        self.store.call(Job::NoteSealingKey { id: id.to_owned(), print, reply });
        noted.await.map_err(|_| self.store.gone("noting which key seals"))?
    }

    async fn end_operator_session(&self, id: &str, until: Time) -> Result<(), StoreError> {
        let (reply, ended) = oneshot::channel();
        let until_ms = u64::try_from(until.unix_ms()).unwrap_or(0);
        self.store.call(Job::EndSession { id: id.to_owned(), until_ms, reply });
        ended.await.map_err(|_| self.store.gone("remembering that a session ended"))?
    }

    async fn has_operator_session_ended(&self, id: &str) -> Result<bool, StoreError> {
        self.store.has_session_ended(id).map_err(|error| store::failed("reading which sessions ended", error))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.check()
    }

    async fn failed(&self) -> StoreError {
        let why = self.store.failure().wait().await.clone();
        StoreError { trouble: StoreTrouble::Away, what: why, source: None }
    }
}
