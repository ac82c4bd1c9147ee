//! Waits until what was written is as durable as was asked for.
//!
//! WAIT and WAITAOF hold up their own connection, so they have one of their own, on which a small write goes first:
//! Redis' logs and replicas are in order, so what has that write has all that the same server answered before. Everybody
//! who waits meanwhile waits for the next write together. Another server (a replica that was promoted, the same one after a
//! restart) says nothing of what the one before it answered: who wrote before it was met is never told that it is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::connection::{Backoff, Calls as _, Connection};
use super::connector::Connector;
use super::error::{ErrorClass, classify, unexpected};
use super::reply;
use crate::config::{DURABLE_LOOK_EVERY, DURABLE_WAIT, DURABLE_WAITING_MAX, STORE_TIMEOUT};
use crate::journal::port::{
    PublishError, ShardConnection, ShardConnectionError, ShardRequest, ShardResponse, StoreError, StoreTrouble,
};

/// How a level is waited for on this Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// What Redis answered is as durable as asked for.
    NotAtAll,
    /// It is, while Redis syncs each write before it answers; whether it still does is asked.
    Synced,
    /// Until its log is on disk.
    Log,
    /// Until a replica has it.
    Replica,
}

impl Waited {
    /// Why the level is not reached in time.
    fn missing(self) -> &'static str {
        match self {
            Self::NotAtAll => "",
            Self::Synced => {
                "Redis does not sync each write to disk any more: set appendonly yes and appendfsync always"
            }
            Self::Log => "Redis has not synced it to disk",
            Self::Replica => "no replica has it",
        }
    }
}

/// What is not reached in time, and why, for whoever asks how the store is.
#[derive(Debug, Default)]
pub(super) struct LateWaits(
    /// By key. Bounded by the shards.
    Mutex<BTreeMap<String, String>>,
);

impl LateWaits {
    /// As the trouble of the store that it is: nothing new is attempted meanwhile.
    pub(super) fn trouble(&self) -> Option<StoreError> {
        let why = self.0.lock().values().next().cloned()?;
        let what = format!("what was stored is not yet as durable as --durability asks for: {why}");
        Some(StoreError { trouble: StoreTrouble::Away, what, source: None })
    }

    /// Told once, however many wait.
    fn began(&self, key: &str, why: String) {
        let mut late = self.0.lock();
        if late.is_empty() {
            warn!(%why, "What was stored is not yet as durable as --durability asks for; it is waited for.");
        }
        late.insert(key.to_owned(), why);
    }

    fn ended(&self, key: &str) {
        let mut late = self.0.lock();
        if late.remove(key).is_some() && late.is_empty() {
            info!("What was stored is as durable as --durability asks for again.");
        }
    }
}

/// Where everybody waits whose keys lie on one node of Redis. Cheap to clone; its task ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct DurableWait(Option<Waiting>);

#[derive(Debug, Clone)]
struct Waiting {
    sender: mpsc::Sender<Waiter>,
    /// Counts the servers that were met.
    servers: Arc<AtomicU64>,
}

/// Who waits, and how many servers had been met when it began to write.
#[derive(Debug)]
struct Waiter {
    servers: u64,
    reached: oneshot::Sender<()>,
}

/// Another server answers than the one that was written to: whether it has what was written is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elsewhere;

impl From<Elsewhere> for PublishError {
    fn from(Elsewhere: Elsewhere) -> Self {
        let what =
            "appending a message: another Redis answers than the one that took it, which may not have it".to_owned();
        Self::Store(StoreError { trouble: StoreTrouble::Away, what, source: None })
    }
}

impl DurableWait {
    /// `key` is one on the node, to which the small write goes and nothing else does. Starts the task on the runtime of the caller.
    pub(super) fn start(connector: Arc<Connector>, key: String, waited: Waited, late: Arc<LateWaits>) -> Self {
        if waited == Waited::NotAtAll {
            return Self(None);
        }
        let (sender, waiters) = mpsc::channel(DURABLE_WAITING_MAX);
        let servers = Arc::<AtomicU64>::default();
        let task = WaitTask {
            connector,
            key,
            waited,
            servers: Arc::clone(&servers),
            server: None,
            connection: None,
            is_written: false,
            is_doubtful: true,
        };
        tokio::spawn(task.run(late, waiters));
        Self(Some(Waiting { sender, servers }))
    }

    /// To be called before something is written. The future waits until everything that was answered before it is polled is as
    /// durable as asked for, however long that takes.
    pub(super) fn begin(&self) -> BoxFuture<'static, Result<(), Elsewhere>> {
        let Some(Waiting { sender, servers }) = self.0.clone() else { return std::future::ready(Ok(())).boxed() };
        let servers = servers.load(Ordering::Acquire);
        async move {
            let (reached, is_reached) = oneshot::channel();
            if sender.send(Waiter { servers, reached }).await.is_err() {
                // The task has ended with its runtime; what is not known to be reached is never said to be.
                std::future::pending::<()>().await;
            }
            is_reached.await.map_err(|_not_told| Elsewhere)
        }
        .boxed()
    }
}

/// Something small to write, also on a full Redis.
pub(super) fn small_write(key: &str) -> Cmd {
    let mut write = redis::cmd("EVAL");
    write.arg(include_str!("../../../redis/durable.lua")).arg(1).arg(key);
    write
}

/// Waits for all.
#[derive(Debug)]
struct WaitTask {
    connector: Arc<Connector>,
    key: String,
    waited: Waited,
    servers: Arc<AtomicU64>,
    /// The run id of the server that was met last.
    server: Option<String>,
    connection: Option<Connection>,
    /// What is waited for was written on this connection.
    is_written: bool,
    /// The level was not reached the last time, or nobody asked this server yet.
    is_doubtful: bool,
}

impl WaitTask {
    async fn run(mut self, late: Arc<LateWaits>, mut waiters: mpsc::Receiver<Waiter>) {
        let mut backoff = Backoff::default();
        let mut all: Vec<Waiter> = Vec::new();
        // Before anybody waits, so that it is known when another server answers.
        self.connect().await.ok();
        while waiters.recv_many(&mut all, DURABLE_WAITING_MAX).await > 0 {
            self.is_written = false;
            loop {
                let reached = self.reach().await;
                self.is_doubtful = !matches!(reached, Ok(true));
                let why = match reached {
                    Ok(true) => break,
                    Ok(false) => Some(self.waited.missing().to_owned()),
                    Err(error) => {
                        (self.connection, self.is_written) = (None, false);
                        backoff.pause().await;
                        // A server that is away is told by who asks how the store is.
                        (classify(&error) == ErrorClass::Refused).then(|| error.to_string())
                    }
                };
                if let Some(why) = why {
                    late.began(&self.key, why);
                }
            }
            late.ended(&self.key);
            backoff.reset();
            let servers = self.servers.load(Ordering::Acquire);
            for Waiter { servers: before, reached } in all.drain(..) {
                if before == servers {
                    // Who does not wait any more needs no answer.
                    reached.send(()).ok();
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<&mut Connection, RedisError> {
        let mut connection = self.connector.connect(&self.key).await?;
        let info = connection.call(redis::cmd("INFO").arg("server"), STORE_TIMEOUT).await.and_then(reply::text)?;
        let server = reply::info_value(&info, "run_id").to_owned();
        if self.server.as_ref().is_some_and(|before| *before != server) {
            self.servers.fetch_add(1, Ordering::Release);
        }
        self.server = Some(server);
        Ok(self.connection.insert(connection))
    }

    /// Writes something small, once, and waits for it. Answers whether the level was reached in time. Were it written again
    /// each time, a server whose fsyncs take about as long as the wait would never get there.
    async fn reach(&mut self) -> Result<bool, RedisError> {
        if self.connection.is_none() {
            self.connect().await?;
        }
        let Some(connection) = &mut self.connection else { return Ok(false) };
        if self.waited == Waited::Synced {
            let limit = Instant::now() + DURABLE_WAIT;
            while !syncs_each_write(connection, &self.key, self.is_doubtful).await? {
                self.is_doubtful = true;
                if Instant::now() >= limit {
                    return Ok(false);
                }
                sleep(DURABLE_LOOK_EVERY).await;
            }
            return Ok(true);
        }
        let limit = DURABLE_WAIT.as_millis().to_string();
        let mut both = redis::pipe();
        if !self.is_written {
            both.add_command(small_write(&self.key));
        }
        match self.waited {
            Waited::Log => both.cmd("WAITAOF").arg(1).arg(0).arg(limit),
            Waited::Replica | Waited::Synced | Waited::NotAtAll => both.cmd("WAIT").arg(1).arg(limit),
        };
        let answer = connection.call_all(&both, DURABLE_WAIT + STORE_TIMEOUT).await?.pop();
        let answer = answer.unwrap_or(Value::Int(0));
        self.is_written = true;
        let reached = match self.waited {
            Waited::Log => reply::number(reply::list(answer)?.into_iter().next().unwrap_or(Value::Int(0)))?,
            Waited::Replica | Waited::Synced | Waited::NotAtAll => reply::number(answer)?,
        };
        Ok(reached >= 1)
    }
}

/// Whether the primary of the key syncs each write before it answers. It may be another server than at the start, and each
/// may be configured anew: where that is `doubtful`, what was written before is synced with a write of its own, and a log
/// that is just being made, without which the one on disk is not whole, is waited for.
async fn syncs_each_write(connection: &mut Connection, key: &str, doubtful: bool) -> Result<bool, RedisError> {
    let mut ask = redis::pipe();
    if doubtful {
        ask.add_command(small_write(key));
    } else {
        // Refused by a node of a cluster that has the key's slot no more.
        ask.cmd("EXISTS").arg(key);
    }
    ask.cmd("ROLE").cmd("CONFIG").arg("GET").arg("append*");
    let [_, role, configured] = reply::tuple(Value::Array(connection.call_all(&ask, STORE_TIMEOUT).await?))?;
    if !reply::list(role)?.into_iter().next().is_some_and(|role| reply::text(role).is_ok_and(|role| role == "master")) {
        // Who connects again is led to the one that is.
        return Err(std::io::Error::other("this Redis is no primary any more").into());
    }
    let mut configured = reply::list(configured)?.into_iter();
    let (mut is_kept, mut is_synced) = (false, false);
    while let Some(name) = configured.next() {
        let value = configured.next().ok_or_else(|| unexpected("a setting without a value"))?;
        match (reply::text(name)?.as_str(), reply::text(value)?.as_str()) {
            ("appendonly", value) => is_kept = value == "yes",
            ("appendfsync", value) => is_synced = value == "always",
            _ => {}
        }
    }
    if !is_kept || !is_synced || !doubtful {
        return Ok(is_kept && is_synced);
    }
    let log = reply::text(connection.call(redis::cmd("INFO").arg("persistence"), STORE_TIMEOUT).await?)?;
    Ok(["aof_rewrite_in_progress", "aof_rewrite_scheduled"].iter().all(|name| reply::info_value(&log, name) == "0"))
}

/// A shard connection whose commits are answered when they are as durable as asked for.
pub(super) struct DurableConnection {
    pub(super) shard: u16,
    pub(super) inner: Box<dyn ShardConnection>,
    pub(super) wait: DurableWait,
}

impl ShardConnection for DurableConnection {
    fn send(&self, request: ShardRequest) -> BoxFuture<'static, Result<ShardResponse, ShardConnectionError>> {
        let durable = match &request {
            ShardRequest::Commit { .. } => Some(self.wait.begin()),
            _ => None,
        };
        let (shard, response) = (self.shard, self.inner.send(request));
        async move {
            let response = response.await?;
            let Some(durable) = durable else { return Ok(response) };
            let elsewhere = |Elsewhere| ShardConnectionError::Failed {
                shard,
                detail: "another Redis answers than the one that took it, which may not have it".to_owned(),
            };
            durable.await.map_err(elsewhere)?;
            Ok(response)
        }
        .boxed()
    }
}
