//! What the port asks for, and who does it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryFutureExt as _;
use futures_util::future::join_all;
use tokio::time::Instant;
use uuid::Uuid;

use super::durable::{DurableConnection, DurableWait, Waited};
use super::intake::RedisIntake;
use super::lease::ShardLease;
use super::refusals::OfStore;
use super::script::Script;
use super::shard_connection::RedisShardConnection;
use super::{Redis, acquire, error, group, reply, source, walk};
use crate::config::{
    CLUSTER_QUESTIONS_MAX, CONNECTION_TRIED_AGAIN, CONNECTION_TRIED_EVERY, STORE_SILENT_MAX, STORE_SYNCED_LATER,
    SourceForm,
};
use crate::journal::port::{
    AcquireError, Acquired, GlancesReading, HandedOver, Holder, Journal, ListQuery, ListedWorkspace, NodeRecord,
    NodesReading, NotedKey, Owed, PendingOfOther, PublishError, RawEntry, ReadError, Reading, RequeueError, Requeued,
    ShardConnection, StoreError, SubmitError, Version, WalkPage,
};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::{Answer, Command};
use crate::workspace::event::Event;
use crate::workspace::state::State;
use crate::workspace::time::Time;
use crate::workspace::view::NodeGlance;

#[async_trait]
impl Journal for Redis {
    fn shards(&self) -> u16 {
        self.inner.shards
    }

    fn silent_max(&self) -> Duration {
        match self.inner.waited {
            Waited::Log => STORE_SILENT_MAX + STORE_SYNCED_LATER,
            Waited::NotAtAll | Waited::Synced | Waited::Replica => STORE_SILENT_MAX,
        }
    }

    async fn acquire(&self, shard: u16, holder: &Holder) -> Result<Acquired, AcquireError> {
        let inner = &self.inner;
        let nonce = format!("{}.{}", inner.run, Uuid::new_v4());
        let acquired = acquire::acquire(inner, shard, holder, &nonce).await?;
        let keys = inner.keys.shard(shard);
        let lease = ShardLease {
            shard,
            keys: keys.clone(),
            nonce,
            duration: holder.lease,
            head: acquired.head,
            losses: Arc::clone(&inner.losses),
            compression: inner.compression,
            format: inner.format.written(),
            transaction_attempts_min: inner.transaction_attempts_min,
        };
        let durable = keys.durable();
        let plain = RedisShardConnection::start(Arc::clone(&inner.connector), lease);
        let connection: Box<dyn ShardConnection> = match inner.waited {
            Waited::NotAtAll => Box::new(plain),
            // Its own, on the runtime that it is on.
            waited => Box::new(DurableConnection {
                inner: Arc::new(plain),
                wait: DurableWait::start(Arc::clone(&inner.connector), durable, waited, Arc::clone(&inner.late)),
            }),
        };
        Ok(Acquired {
            intake: Box::new(RedisIntake::new(Arc::clone(&inner.connector), keys)),
            connection,
            outbox: acquired.outbox,
            bookmark: acquired.bookmark,
            lease_until: acquired.until,
        })
    }

    async fn submit(&self, workspace: &WorkspaceId, command: &Command, wait: Duration) -> Result<Answer, SubmitError> {
        self.noted(
            "to take or to answer commands",
            Some(self.shard_of(workspace)),
            self.inner.submit_command(workspace, command, wait),
        )
        .await
    }

    async fn publish(&self, workspace: &WorkspaceId, message: &RawMessage) -> Result<EntryId, PublishError> {
        self.noted("messages", Some(self.shard_of(workspace)), self.inner.publish_message(workspace, message)).await
    }

    async fn publish_all(
        &self,
        workspace: &WorkspaceId,
        messages: &[RawMessage],
    ) -> Result<Vec<EntryId>, PublishError> {
        self.noted("messages", Some(self.shard_of(workspace)), self.inner.publish_messages(workspace, messages)).await
    }

    async fn read(&self, workspace: &WorkspaceId) -> Result<Reading, ReadError> {
        self.noted("to be read", Some(self.shard_of(workspace)), self.inner.read_workspace(workspace)).await
    }

    async fn snapshot(&self, workspace: &WorkspaceId) -> Result<State, ReadError> {
        self.noted("to read a snapshot", Some(self.shard_of(workspace)), self.inner.read_snapshot(workspace)).await
    }

    async fn version(&self, workspace: &WorkspaceId) -> Result<Option<Version>, ReadError> {
        let version = self.inner.read_version(workspace);
        self.noted("to tell a version", Some(self.shard_of(workspace)), version).await.map(Some)
    }

    async fn history(&self, workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, ReadError> {
        self.noted("to tell the history", Some(self.shard_of(workspace)), self.inner.read_history(workspace)).await
    }

    async fn workspaces(&self, query: &ListQuery) -> Result<Vec<ListedWorkspace>, StoreError> {
        self.noted("to list workspaces", None, self.inner.list_workspaces(query)).await
    }

    async fn workspace_counts(&self) -> Result<[u64; 4], StoreError> {
        self.noted("to count workspaces", None, self.inner.count_workspaces()).await
    }

    async fn hand_over(&self, max: usize, block: Duration) -> Result<HandedOver, StoreError> {
        let moved = source::hand_over(&self.inner, max, block).await;
        moved.map_err(|error| error::store_error("handing messages over to their shards", error))
    }

    async fn hand_over_from(
        &self,
        source: &str,
        form: &SourceForm,
        max: usize,
        block: Duration,
    ) -> Result<HandedOver, StoreError> {
        let moved = group::hand_over(&self.inner, source, form, max, block).await;
        moved.map_err(|error| error::store_error("handing a source's messages over to their shards", error))
    }

    async fn take_over_pending(&self, source: &str) -> Result<Vec<PendingOfOther>, StoreError> {
        let left = group::pending::take_over(&self.inner, source).await;
        left.map_err(|error| error::store_error("taking over what others of a source's group hold", error))
    }

    async fn lease_source(&self, source: Option<&str>, holder: &Holder) -> Result<bool, StoreError> {
        let leased = group::lease(&self.inner, source, holder).await;
        leased.map_err(|error| error::store_error("taking the lease of a source", error))
    }

    async fn rejected(&self, shard: u16, from: EntryId, count: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.noted("to list rejected entries", Some(shard), self.inner.rejected_entries(shard, from, count)).await
    }

    async fn rejected_counts(&self) -> Result<Vec<u64>, StoreError> {
        self.noted("to count rejected entries", None, self.inner.count_rejected()).await
    }

    async fn rejected_bytes(&self) -> Result<Vec<u64>, StoreError> {
        self.noted("to measure rejected entries", None, self.inner.measure_rejected()).await
    }

    async fn requeue(&self, shard: u16, id: EntryId) -> Result<Requeued, RequeueError> {
        self.noted("to requeue rejected entries", Some(shard), self.inner.requeue_entry(shard, id)).await
    }

    async fn discard(&self, shard: u16, ids: &[EntryId]) -> Result<u64, StoreError> {
        self.noted("to discard rejected entries", Some(shard), self.inner.discard_entries(shard, ids)).await
    }

    async fn register(&self, node: &NodeRecord) -> Result<NodesReading, StoreError> {
        self.inner.register_node(node).await
    }

    async fn withdraw(&self, node: &NodeRecord) -> Result<(), StoreError> {
        self.inner.withdraw_node(node).await
    }

    async fn nodes(&self) -> Result<NodesReading, StoreError> {
        self.noted("to tell which nodes there are", None, self.inner.read_nodes()).await
    }

    async fn tell_glance(&self, glance: &NodeGlance) -> Result<(), StoreError> {
        self.noted("what this node tells the others", None, self.inner.tell_glance(glance)).await
    }

    async fn glances(&self) -> Result<GlancesReading, StoreError> {
        self.noted("to tell what other nodes told", None, self.inner.read_glances()).await
    }

    async fn owed(&self) -> Result<Vec<Owed>, StoreError> {
        self.noted("to count what is owed", None, self.inner.read_owed()).await
    }

    async fn walk(&self, place: Option<&str>) -> Result<WalkPage, StoreError> {
        let page = walk::page(&self.inner, place);
        let page = page.map_err(|error| error::store_error("reading which workspaces there are", error));
        self.noted("to tell which workspaces there are", None, page).await
    }

    async fn sealing_keys(&self) -> Result<Vec<NotedKey>, StoreError> {
        let ids = walk::sealing_keys(&self.inner);
        let ids = ids.map_err(|error| error::store_error("reading which keys seal", error));
        self.noted("to tell which keys seal", None, ids).await
    }

    async fn note_sealing_key(&self, id: &str, print: Option<u64>) -> Result<(), StoreError> {
        let noted = walk::note_sealing_key(&self.inner, id, print);
        let noted = noted.map_err(|error| error::store_error("noting which key seals", error));
        self.noted("to note which key seals", None, noted).await
    }

    async fn end_operator_session(&self, id: &str, until: Time) -> Result<(), StoreError> {
        let stored = walk::end_session(&self.inner, id, (self.inner.clock)(), until);
        let stored = stored.map_err(|error| error::store_error("remembering that a session ended", error));
        let stored = self.noted("to remember that a session ended", None, stored).await?;
        if stored { Ok(()) } else { Err(StoreError::too_many_sessions_ended()) }
    }

    async fn has_operator_session_ended(&self, id: &str) -> Result<bool, StoreError> {
        let ended = walk::has_session_ended(&self.inner, id);
        let ended = ended.map_err(|error| error::store_error("reading which sessions ended", error));
        self.noted("to tell which sessions ended", None, ended).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // The nodes of a cluster are many fewer than its shards; one Redis needs one question.
        let questions = if self.inner.connector.is_cluster() { CLUSTER_QUESTIONS_MAX } else { 1 };
        let step = usize::from(self.inner.shards.div_ceil(questions)).max(1);
        let owners: Vec<String> =
            (0..self.inner.shards).step_by(step).map(|shard| self.inner.keys.shard(shard).owner()).collect();
        for owner in &owners {
            let cmd = self.inner.connector.script(Script::Input, std::slice::from_ref(owner));
            let answer = self.inner.shared.call_repeatable(owner, &cmd).await;
            answer.map_err(|error| error::store_error("asking Redis whether it takes messages", error))?;
        }
        if self.tries_connection(Instant::now()) {
            // What comes of them is noted. All at a time: one that gets no answer takes seconds.
            drop(join_all(owners.iter().map(|owner| self.inner.connector.connect(owner))).await);
        }
        self.inner.late.trouble().map_or(Ok(()), Err)
    }

    fn refusals(&self) -> Vec<String> {
        self.inner.connector.refusals.sentences(Instant::now())
    }

    async fn time(&self) -> Result<Option<Time>, StoreError> {
        let answer = self.inner.shared.call_repeatable(&self.inner.keys.shard(0).owner(), &redis::cmd("TIME")).await;
        let time = answer.and_then(reply::time);
        time.map(Some).map_err(|error| error::store_error("asking Redis for its time", error))
    }
}

impl Redis {
    fn shard_of(&self, workspace: &WorkspaceId) -> u16 {
        workspace.shard(self.inner.shards)
    }

    /// Notes whether what was asked for is refused: `what` ends the sentence "the store refuses".
    async fn noted<T, E: OfStore>(
        &self,
        what: &'static str,
        shard: Option<u16>,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.inner.connector.refusals.note(what, shard, asked.await)
    }

    /// Whether it is time to see whether Redis takes a new connection. What every connection of ours needs may be changed at any
    /// time, and those that are there do not notice.
    fn tries_connection(&self, now: Instant) -> bool {
        let is_refused = self.inner.connector.refusals.of_connections();
        let every = if is_refused { CONNECTION_TRIED_AGAIN } else { CONNECTION_TRIED_EVERY };
        let mut tried = self.inner.connection_tried.lock();
        let is_due = now >= *tried + every;
        if is_due {
            *tried = now;
        }
        is_due
    }
}
