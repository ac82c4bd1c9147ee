//! Connections that many callers use for short calls: one in all, or with a cluster one a shard.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use redis::{Cmd, RedisError, Value};
use tokio::time::Instant;

use super::connection::{Connection, ServerId};
use super::connector::Connector;
use super::error::{ErrorClass, classify, is_away, timed_out};
use crate::config;

/// See the module. Bounded by the number of shards.
#[derive(Debug)]
pub(super) struct SharedConnections {
    connector: Arc<Connector>,
    slots: Mutex<HashMap<String, Arc<ConnectionSlot>>>,
}

/// One connection, when there is one. Held while connecting, so that callers wait for one attempt
/// and do not make one each.
type ConnectionSlot = tokio::sync::Mutex<SharedConnection>;

#[derive(Debug, Default)]
struct SharedConnection {
    live: Option<LiveConnection>,
    /// When connecting failed last, and why.
    failed: Option<(Instant, RedisError)>,
}

#[derive(Debug)]
struct LiveConnection {
    connection: Connection,
    made: Instant,
    used: Instant,
}

impl SharedConnections {
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self { connector, slots: Mutex::default() }
    }

    /// Runs a command on the node that holds `key`. Sent again, once, only when Redis says that it
    /// did not run it.
    ///
    /// # Errors
    /// Redis is away or refuses. With [`ErrorClass::Unknown`] it may have run.
    pub(super) async fn call(&self, key: &str, cmd: &Cmd) -> Result<Value, RedisError> {
        Ok(self.call_telling(key, cmd).await?.0)
    }

    /// The same, and tells which server ran it.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn call_telling(&self, key: &str, cmd: &Cmd) -> Result<(Value, ServerId), RedisError> {
        match self.try_call(key, cmd).await {
            Err(error) if classify(&error) == ErrorClass::NotRun => self.try_call(key, cmd).await,
            answer => answer,
        }
    }

    /// The same for a command that may run twice: sent again, once, when the connection failed.
    ///
    /// # Errors
    /// Redis is away or refuses.
    pub(super) async fn call_repeatable(&self, key: &str, cmd: &Cmd) -> Result<Value, RedisError> {
        let answer = match self.try_call(key, cmd).await {
            Err(error) if is_away(&error) => self.try_call(key, cmd).await,
            answer => answer,
        };
        Ok(answer?.0)
    }

    async fn try_call(&self, key: &str, cmd: &Cmd) -> Result<(Value, ServerId), RedisError> {
        let slot = self.slot(key);
        let (mut connection, made) = self.connection(&slot, key).await?;
        let to = Arc::clone(connection.to());
        let answer = tokio::select! {
            biased;
            answer = connection.call(cmd, config::STORE_TIMEOUT) => answer,
            () = self.connector.replaced(key, &to, Instant::now()) => Err(timed_out()),
        };
        if let Err(error) = &answer
            && is_away(error)
        {
            let mut slot = slot.lock().await;
            if slot.live.as_ref().is_some_and(|live| live.made == made) {
                slot.live = None;
            }
        }
        Ok((answer?, connection.server().clone()))
    }

    async fn connection(&self, slot: &ConnectionSlot, key: &str) -> Result<(Connection, Instant), RedisError> {
        let asked = Instant::now();
        let mut slot = slot.lock().await;
        if let Some(live) = slot.live.as_mut() {
            // One that died unnoticed while nobody used it would make a command's fate unknown.
            let idle = live.used.elapsed() > config::STORE_IDLE_CHECK;
            if !idle || live.connection.call(&redis::cmd("PING"), config::STORE_CONNECT_TIMEOUT).await.is_ok() {
                live.used = Instant::now();
                return Ok((live.connection.clone(), live.made));
            }
            slot.live = None;
        } else if let Some((at, error)) = &slot.failed
            && *at > asked
        {
            // Whoever waited meanwhile would wait as long again, one after the other.
            return Err(error.clone());
        }
        match self.connector.connect_for_scripts(key).await {
            Ok(connection) => {
                let now = Instant::now();
                let live = LiveConnection { connection: connection.clone(), made: now, used: now };
                *slot = SharedConnection { live: Some(live), failed: None };
                Ok((connection, now))
            }
            Err(error) => {
                slot.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn slot(&self, key: &str) -> Arc<ConnectionSlot> {
        let name = if self.connector.is_cluster() { key } else { "" };
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(name) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(name.to_owned()).or_default())
    }
}
