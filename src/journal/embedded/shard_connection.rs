//! The connection of a held shard: each call takes its place in the engine's order before it returns.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::engine::{Failure, Job, reason};
use super::store::EmbeddedStore;
use crate::journal::port::{ShardConnection, ShardConnectionError, ShardRequest, ShardResponse};

/// Does not keep the file open.
pub(super) struct EmbeddedShardConnection {
    store: Weak<EmbeddedStore>,
    failure: Failure,
    shard: u16,
    nonce: u64,
    lease: Duration,
}

impl EmbeddedShardConnection {
    pub(super) fn new(store: &Arc<EmbeddedStore>, shard: u16, nonce: u64, lease: Duration) -> Self {
        Self { store: Arc::downgrade(store), failure: Arc::clone(store.failure()), shard, nonce, lease }
    }
}

impl ShardConnection for EmbeddedShardConnection {
    fn send(&self, request: ShardRequest) -> BoxFuture<'static, Result<ShardResponse, ShardConnectionError>> {
        let (reply, response) = oneshot::channel();
        let (shard, nonce, lease_until) = (self.shard, self.nonce, Instant::now() + self.lease);
        if let Some(store) = self.store.upgrade() {
            store.call(Job::Shard { shard, nonce, lease_until, request, reply });
        } else {
            drop(reply);
        }
        let failure = Arc::clone(&self.failure);
        async move {
            response.await.unwrap_or_else(|_| Err(ShardConnectionError::Failed { shard, detail: reason(&failure) }))
        }
        .boxed()
    }
}
