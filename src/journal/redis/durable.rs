//! Waits until what was written is as durable as was asked for.
//!
//! WAIT and WAITAOF hold up their own connection, so they have one of their own, on which a small write goes first:
//! Redis' logs and replicas are in order, so what has that write has all that was answered before. Everybody who
//! waits meanwhile waits for the next write together.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::RedisError;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::connection::{Backoff, Connection};
use super::connector::Connector;
use super::reply;
use crate::config::{DURABLE_WAIT, DURABLE_WAITING_MAX, STORE_TIMEOUT};
use crate::journal::port::{ShardConnection, ShardConnectionError, ShardRequest, ShardResponse};

/// How a level is waited for on this Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// What Redis answered is as durable as asked for.
    NotAtAll,
    /// Until its log is on disk.
    Log,
    /// Until a replica has it.
    Replica,
}

/// Where everybody waits whose keys lie on one node of Redis. Cheap to clone; its task ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct DurableWait(Option<mpsc::Sender<oneshot::Sender<()>>>);

impl DurableWait {
    /// `key` is one on the node, to which the small write goes and nothing else does. Starts the task on the runtime of the caller.
    pub(super) fn start(connector: Arc<Connector>, key: String, waited: Waited) -> Self {
        if waited == Waited::NotAtAll {
            return Self(None);
        }
        let (sender, waiting) = mpsc::channel(DURABLE_WAITING_MAX);
        tokio::spawn(run(connector, key, waited, waiting));
        Self(Some(sender))
    }

    /// Waits until everything that was answered before is as durable as asked for, however long that takes.
    pub(super) fn passed(&self) -> BoxFuture<'static, ()> {
        let Some(sender) = self.0.clone() else { return std::future::ready(()).boxed() };
        async move {
            let (reached, is_reached) = oneshot::channel();
            let is_reached = sender.send(reached).await.is_ok() && is_reached.await.is_ok();
            if !is_reached {
                // The task has ended with its runtime; what is not known to be reached is never said to be.
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

async fn run(connector: Arc<Connector>, key: String, waited: Waited, mut waiting: mpsc::Receiver<oneshot::Sender<()>>) {
    let (mut connection, mut backoff, mut is_late) = (None, Backoff::default(), false);
    let mut all: Vec<oneshot::Sender<()>> = Vec::new();
    while waiting.recv_many(&mut all, DURABLE_WAITING_MAX).await > 0 {
        let mut is_written = false;
        loop {
            match reach(&connector, &key, waited, (&mut connection, &mut is_written)).await {
                Ok(true) => break,
                Ok(false) if !is_late => {
                    is_late = true;
                    warn!(?waited, "What was stored is not yet as durable as --durability asks for; it is waited for.");
                }
                Ok(false) => {}
                Err(_) => {
                    (connection, is_written) = (None, false);
                    backoff.pause().await;
                }
            }
        }
        if std::mem::take(&mut is_late) {
            info!("What was stored is as durable as --durability asks for again.");
        }
        backoff.reset();
        for reached in all.drain(..) {
            // Who does not wait any more needs no answer.
            reached.send(()).ok();
        }
    }
}

/// Writes something small, once, and waits for it. Answers whether the level was reached in time. Were it written again
/// each time, a server whose fsyncs take about as long as the wait would never get there.
async fn reach(
    connector: &Connector,
    key: &str,
    waited: Waited,
    (connection, is_written): (&mut Option<Connection>, &mut bool),
) -> Result<bool, RedisError> {
    if connection.is_none() {
        *connection = Some(connector.connect(key).await?);
    }
    let Some(connection) = connection.as_mut() else { return Ok(false) };
    let limit = DURABLE_WAIT.as_millis().to_string();
    let mut both = redis::pipe();
    if !*is_written {
        both.cmd("SET").arg(key).arg("1");
    }
    match waited {
        Waited::Log => both.cmd("WAITAOF").arg(1).arg(0).arg(limit),
        Waited::Replica | Waited::NotAtAll => both.cmd("WAIT").arg(1).arg(limit),
    };
    let answer = connection.call_all(&both, DURABLE_WAIT + STORE_TIMEOUT).await?.pop();
    let answer = answer.unwrap_or(redis::Value::Int(0));
    *is_written = true;
    let reached = match waited {
        Waited::Log => reply::number(reply::list(answer)?.into_iter().next().unwrap_or(redis::Value::Int(0)))?,
        Waited::Replica | Waited::NotAtAll => reply::number(answer)?,
    };
    Ok(reached >= 1)
}

/// A shard connection whose commits are answered when they are as durable as asked for.
pub(super) struct DurableConnection {
    pub(super) inner: Box<dyn ShardConnection>,
    pub(super) wait: DurableWait,
}

impl ShardConnection for DurableConnection {
    fn send(&self, request: ShardRequest) -> BoxFuture<'static, Result<ShardResponse, ShardConnectionError>> {
        let is_commit = matches!(request, ShardRequest::Commit { .. });
        let (response, wait) = (self.inner.send(request), self.wait.clone());
        async move {
            let response = response.await?;
            if is_commit {
                wait.passed().await;
            }
            Ok(response)
        }
        .boxed()
    }
}
