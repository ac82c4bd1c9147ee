//! A held shard's line: each call takes its place in the engine's order before it returns.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::engine::{Call, Job, Reply};
use super::store::{Store, reason};
use super::writer::Failure;
use crate::journal::port::{Batch, LineError, LoadError, Loaded, Newest, RawEntry, ShardLine};
use crate::message::{EntryId, WorkspaceId};

/// Does not keep the file open.
pub(super) struct Line {
    store: Weak<Store>,
    failure: Failure,
    shard: u16,
    nonce: u64,
    lease: Duration,
}

impl Line {
    pub(super) fn new(store: &Arc<Store>, shard: u16, nonce: u64, lease: Duration) -> Self {
        Self { store: Arc::downgrade(store), failure: Arc::clone(store.failure()), shard, nonce, lease }
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(Reply<T, LineError>) -> Call,
    ) -> BoxFuture<'static, Result<T, LineError>> {
        let (reply, answer) = oneshot::channel();
        let (shard, nonce) = (self.shard, self.nonce);
        if let Some(store) = self.store.upgrade() {
            store.call(Job::Line { shard, nonce, call: call(reply) });
        } else {
            drop(reply);
        }
        let failure = Arc::clone(&self.failure);
        async move { answer.await.unwrap_or_else(|_| Err(LineError::Failed { shard, detail: reason(&failure) })) }
            .boxed()
    }
}

impl ShardLine for Line {
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Instant, LineError>> {
        let lease_until = Instant::now() + self.lease;
        let answer = self.call(|reply| Call::Commit { batch, lease_until, reply });
        async move { answer.await.map(|()| lease_until) }.boxed()
    }

    fn load(&self, workspace: &WorkspaceId) -> BoxFuture<'static, Result<Result<Loaded, LoadError>, LineError>> {
        self.call(|reply| Call::Load { workspace: workspace.clone(), reply })
    }

    fn newest(
        &self,
        workspace: &WorkspaceId,
    ) -> BoxFuture<'static, Result<Result<Option<Newest>, LoadError>, LineError>> {
        self.call(|reply| Call::Newest { workspace: workspace.clone(), reply })
    }

    fn sweep(&self, from: EntryId, to: EntryId, count: usize) -> BoxFuture<'static, Result<Vec<RawEntry>, LineError>> {
        self.call(|reply| Call::Sweep { from, to, count, reply })
    }

    fn present(&self, entries: Vec<EntryId>) -> BoxFuture<'static, Result<Vec<EntryId>, LineError>> {
        self.call(|reply| Call::Present { entries, reply })
    }

    fn release(&self) -> BoxFuture<'static, Result<(), LineError>> {
        self.call(|reply| Call::Release { reply })
    }
}
