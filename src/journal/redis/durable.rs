//! Waits until what was written is as durable as was asked for.
//!
//! WAIT and WAITAOF hold up their own connection, so they have one of their own, on which a small write goes first:
//! Redis' logs and replicas are in order, so what has that write has all that was answered before. Everybody who
//! waits meanwhile waits for the next write together. That holds of one run of one server: where another one has taken its
//! place, or it was started anew, whoever waits is told that nobody knows, and a shard asks whether it has its commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::connection::{Backoff, Calls as _, Connection, ServerId};
use super::connector::Connector;
use super::error::{ErrorClass, classify, unexpected};
use super::reply;
use super::shard_connection::RedisShardConnection;
use crate::config::{DURABLE_LOOK_EVERY, DURABLE_WAIT, DURABLE_WAITING_MAX, STORE_TIMEOUT};
use crate::journal::port::{
    Batch, ShardConnection, ShardConnectionError, ShardRequest, ShardResponse, StoreError, StoreTrouble,
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
    /// Why the level is not reached in time, as far as the server tells.
    async fn missing(self, connection: Option<&mut Connection>) -> &'static str {
        match self {
            Self::Log if never_syncs(connection).await => {
                "with appendfsync no Redis never says that something is on disk: set appendfsync everysec or always"
            }
            Self::NotAtAll => "",
            Self::Synced => {
                "Redis does not sync each write to disk any more: set appendonly yes and appendfsync always"
            }
            Self::Log => "Redis has not synced it to disk",
            Self::Replica => "no replica has it",
        }
    }
}

async fn never_syncs(connection: Option<&mut Connection>) -> bool {
    match connection {
        Some(connection) => connection.configured("appendfsync").await.as_deref() == Some("no"),
        None => false,
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
pub(super) struct DurableWait(Option<mpsc::Sender<WaitingWrite>>);

/// Who waits for something that a server has answered.
#[derive(Debug)]
struct WaitingWrite {
    server: ServerId,
    passed: oneshot::Sender<bool>,
}

impl DurableWait {
    /// `key` is one on the node, to which the small write goes and nothing else does. Starts the task on the runtime of the caller.
    pub(super) fn start(connector: Arc<Connector>, key: String, waited: Waited, late: Arc<LateWaits>) -> Self {
        if waited == Waited::NotAtAll {
            return Self(None);
        }
        let (sender, waiting) = mpsc::channel(DURABLE_WAITING_MAX);
        tokio::spawn(run(connector, (key, waited), late, waiting));
        Self(Some(sender))
    }

    /// Waits until everything that `server` has answered before is as durable as asked for, however long that takes. `false`:
    /// another server has taken its place, which may never have had it.
    pub(super) fn passed(&self, server: ServerId) -> BoxFuture<'static, bool> {
        let Some(sender) = self.0.clone() else { return std::future::ready(true).boxed() };
        async move {
            let (passed, is_passed) = oneshot::channel();
            if sender.send(WaitingWrite { server, passed }).await.is_ok()
                && let Ok(passed) = is_passed.await
            {
                return passed;
            }
            // The task has ended with its runtime; what is not known to be reached is never said to be.
            std::future::pending().await
        }
        .boxed()
    }
}

async fn run(
    connector: Arc<Connector>,
    (key, waited): (String, Waited),
    late: Arc<LateWaits>,
    mut waiting: mpsc::Receiver<WaitingWrite>,
) {
    let mut at = WaitProgress { connection: None, is_new: false, is_written: false, is_doubtful: true };
    let mut backoff = Backoff::default();
    let mut all: Vec<WaitingWrite> = Vec::new();
    while waiting.recv_many(&mut all, DURABLE_WAITING_MAX).await > 0 {
        (at.is_new, at.is_written) = (false, false);
        loop {
            let reached = reach(&connector, &key, waited, &mut at).await;
            at.is_doubtful = !matches!(reached, Ok(true));
            let why = match reached {
                Ok(true) => {
                    at.tell(&mut all);
                    if all.is_empty() {
                        break;
                    }
                    // They were answered by another server: this one may be a primary no more, or they may be lost.
                    (at.connection, at.is_written, at.is_doubtful) = (None, false, true);
                    None
                }
                Ok(false) => Some(waited.missing(at.connection.as_mut()).await.to_owned()),
                Err(error) => {
                    (at.connection, at.is_written) = (None, false);
                    backoff.pause().await;
                    // A server that is away is told by who asks how the store is.
                    (classify(&error) == ErrorClass::Refused).then(|| error.to_string())
                }
            };
            if let Some(why) = why {
                late.began(&key, why);
            }
        }
        late.ended(&key);
        backoff.reset();
    }
}

/// Something small to write, also on a full Redis.
pub(super) fn small_write(key: &str) -> Cmd {
    let mut write = redis::cmd("EVAL");
    write.arg(include_str!("../../../redis/durable.lua")).arg(1).arg(key);
    write
}

/// Where one wait stands.
#[derive(Debug)]
struct WaitProgress {
    connection: Option<Connection>,
    /// It was made since those who wait were answered.
    is_new: bool,
    /// What is waited for was written on this connection.
    is_written: bool,
    /// The level was not reached the last time, or nobody asked this server yet.
    is_doubtful: bool,
}

impl WaitProgress {
    /// Tells those who wait that what they wait for is reached, as far as this server is the one that has it. Others are told
    /// that they cannot know once a new connection has led to this one.
    fn tell(&self, all: &mut Vec<WaitingWrite>) {
        let here = self.connection.as_ref().map(Connection::server);
        for WaitingWrite { server, passed } in std::mem::take(all) {
            let is_here = here == Some(&server);
            if is_here || self.is_new {
                // Who does not wait any more needs no answer.
                passed.send(is_here).ok();
            } else {
                all.push(WaitingWrite { server, passed });
            }
        }
    }
}

/// Writes something small, once, and waits for it. Answers whether the level was reached in time. Were it written again
/// each time, a server whose fsyncs take about as long as the wait would never get there.
async fn reach(
    connector: &Connector,
    key: &str,
    waited: Waited,
    waiting: &mut WaitProgress,
) -> Result<bool, RedisError> {
    let connection = match &mut waiting.connection {
        Some(connection) => connection,
        none => {
            waiting.is_new = true;
            none.insert(connector.connect_to_known(key).await?)
        }
    };
    if waited == Waited::Synced {
        let limit = Instant::now() + DURABLE_WAIT;
        while !syncs_each_write(connection, key, waiting.is_doubtful).await? {
            waiting.is_doubtful = true;
            if Instant::now() >= limit {
                return Ok(false);
            }
            sleep(DURABLE_LOOK_EVERY).await;
        }
        return Ok(true);
    }
    let limit = DURABLE_WAIT.as_millis().to_string();
    let mut both = redis::pipe();
    if !waiting.is_written {
        both.add_command(small_write(key));
    }
    match waited {
        Waited::Log => both.cmd("WAITAOF").arg(1).arg(0).arg(limit),
        Waited::Replica | Waited::Synced | Waited::NotAtAll => both.cmd("WAIT").arg(1).arg(limit),
    };
    let answer = connection.call_all(&both, DURABLE_WAIT + STORE_TIMEOUT).await?.pop();
    let answer = answer.unwrap_or(Value::Int(0));
    waiting.is_written = true;
    let reached = match waited {
        Waited::Log => reply::number(reply::list(answer)?.into_iter().next().unwrap_or(Value::Int(0)))?,
        Waited::Replica | Waited::Synced | Waited::NotAtAll => reply::number(answer)?,
    };
    Ok(reached >= 1)
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
    pub(super) inner: Arc<RedisShardConnection>,
    pub(super) wait: DurableWait,
}

impl ShardConnection for DurableConnection {
    fn send(&self, request: ShardRequest) -> BoxFuture<'static, Result<ShardResponse, ShardConnectionError>> {
        let is_commit = matches!(request, ShardRequest::Commit { .. });
        let (response, inner, wait) = (self.inner.send(request), Arc::clone(&self.inner), self.wait.clone());
        async move {
            let response = response.await?;
            let mut backoff = Backoff::default();
            while is_commit && !wait.passed(inner.server()).await {
                backoff.pause().await;
                // On a new connection it is asked whether that server has all that was answered.
                inner.send(ShardRequest::Commit { number: 0, batch: Batch::default() }).await?;
            }
            Ok(response)
        }
        .boxed()
    }
}
