//! Waits until what a shard has of a source is as durable as its server makes it: in its log on disk (WAITAOF), on a
//! replica (WAIT), or, where the server tells neither, for as long as it takes to write down what it was given.

use std::sync::Arc;

use redis::{RedisError, Value};

use crate::config::{HAND_OVER_CONFIRM_WAIT, HAND_OVER_KEPT, STORE_TIMEOUT};
use crate::journal::redis::check::knows_waitaof;
use crate::journal::redis::connection::Connection;
use crate::journal::redis::connector::Connector;
use crate::journal::redis::durable::small_write;
use crate::journal::redis::error::{ErrorClass, classify};
use crate::journal::redis::keys::ShardKeys;
use crate::journal::redis::reply;
use crate::message::EntryId;

/// A connection to the server of one shard, which waiting holds up.
#[derive(Debug)]
pub(super) struct ConfirmConnection {
    connection: Connection,
    /// Its log is on disk when it says so.
    log: bool,
    /// It has a replica.
    replica: bool,
}

/// What one wait found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// Up to here the shard has what it was given, and that is durable.
    UpTo(EntryId),
    /// Not yet.
    NotYet,
}

/// Waits once. The shard is asked how far it got before what the wait is for is written, on one connection: so what it
/// says it has is before that in its server's log, whatever happened to the server in between.
///
/// # Errors
/// The server is away, or refuses.
pub(super) async fn confirm(
    connector: &Arc<Connector>,
    keys: &ShardKeys,
    source: &str,
    held: &mut Option<ConfirmConnection>,
) -> Result<Confirmed, RedisError> {
    if held.is_none() {
        *held = Some(ConfirmConnection::open(connector, keys).await?);
    }
    let Some(on) = held.as_mut() else { return Ok(Confirmed::NotYet) };
    if !on.log && !on.replica {
        tokio::time::sleep(HAND_OVER_KEPT).await;
    }
    let mut reached = on.reached(keys, source).await?;
    let asked = on.log;
    let durable = on.wait(keys).await;
    if asked && !on.log && !on.replica {
        // Time was waited for instead, in which its server may have lost it.
        reached = on.reached(keys, source).await?;
    }
    if !matches!(durable, Ok(true)) {
        // What the server has may have changed: asked anew with the next connection.
        *held = None;
    }
    Ok(if durable? { Confirmed::UpTo(reached) } else { Confirmed::NotYet })
}

impl ConfirmConnection {
    async fn open(connector: &Connector, keys: &ShardKeys) -> Result<Self, RedisError> {
        let mut connection = connector.connect(&keys.sources()).await?;
        let info = connection.call(&redis::cmd("INFO"), STORE_TIMEOUT).await.and_then(reply::text)?;
        // With `appendfsync no` nothing is ever said to be on disk.
        let log = reply::info_value(&info, "aof_enabled") == "1"
            && knows_waitaof(reply::info_value(&info, "redis_version"))
            && connection.configured("appendfsync").await.as_deref() != Some("no");
        let replica = reply::info_value(&info, "connected_slaves") != "0";
        Ok(Self { connection, log, replica })
    }

    /// How far the shard got.
    async fn reached(&mut self, keys: &ShardKeys, source: &str) -> Result<EntryId, RedisError> {
        let mut reached = redis::cmd("HGET");
        reached.arg(keys.sources()).arg(source);
        match self.connection.call(&reached, STORE_TIMEOUT).await? {
            Value::Nil => Ok(EntryId::ZERO),
            reached => reply::id(reached),
        }
    }

    /// Writes something small and waits for it. Answers whether it became durable in time.
    async fn wait(&mut self, keys: &ShardKeys) -> Result<bool, RedisError> {
        if !self.log && !self.replica {
            return Ok(true);
        }
        let limit = HAND_OVER_CONFIRM_WAIT.as_millis().to_string();
        self.connection.call(&small_write(&keys.durable()), STORE_TIMEOUT).await?;
        if self.log {
            let mut wait = redis::cmd("WAITAOF");
            wait.arg(1).arg(0).arg(&limit);
            match self.connection.call(&wait, HAND_OVER_CONFIRM_WAIT + STORE_TIMEOUT).await {
                Ok(answer) => {
                    let local = reply::list(answer)?.into_iter().next().unwrap_or(Value::Int(0));
                    if reply::number(local)? == 0 {
                        return Ok(false);
                    }
                }
                // The user may not ask it: then the replica counts, or time.
                Err(error) if classify(&error) == ErrorClass::Refused => {
                    self.log = false;
                    if !self.replica {
                        tokio::time::sleep(HAND_OVER_KEPT).await;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if self.replica {
            let mut wait = redis::cmd("WAIT");
            wait.arg(1).arg(limit);
            let answer = self.connection.call(&wait, HAND_OVER_CONFIRM_WAIT + STORE_TIMEOUT).await?;
            return Ok(reply::number(answer)? > 0);
        }
        Ok(true)
    }
}
