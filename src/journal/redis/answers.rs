//! Waits for the answers to commands.
//!
//! A shard's answers are one stream. While anybody waits, one task reads it with a blocking read on
//! a connection of its own, and hands each answer to the one who waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use redis::{RedisError, Value};
use tokio::sync::oneshot;
use tracing::{debug, error};

use super::connection::{Backoff, Connection};
use super::connector::Connector;
use super::intake::xread;
use super::keys::ShardKeys;
use super::reply;
use super::shared::SharedConnections;
use crate::config;
use crate::journal::port::RawEntry;
use crate::message::EntryId;
use crate::workspace::command::Answer;

/// The listener of one shard. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    connector: Arc<Connector>,
    keys: ShardKeys,
    state: Arc<Mutex<Listening>>,
}

#[derive(Debug, Default)]
struct Listening {
    /// The last answer that was read; `None` while no task runs.
    cursor: Option<EntryId>,
    /// By command. Bounded by the requests that the facade answers at a time.
    waiting: HashMap<EntryId, oneshot::Sender<Answer>>,
}

/// Somebody who waits. Dropped, they wait no more.
pub(super) struct Waiting {
    listener: Listener,
    command: EntryId,
    answer: oneshot::Receiver<Answer>,
}

impl Listener {
    pub(super) fn new(connector: Arc<Connector>, keys: ShardKeys) -> Self {
        Self { connector, keys, state: Arc::default() }
    }

    /// Waits for the answer to `command`, which will stand after `position`.
    pub(super) async fn wait(&self, shared: &SharedConnections, command: EntryId, position: EntryId) -> Waiting {
        let (sender, answer) = oneshot::channel();
        let waiting = Waiting { listener: self.clone(), command, answer };
        let passed = {
            let mut state = self.lock();
            state.waiting.insert(command, sender);
            let passed = state.cursor.is_some_and(|cursor| cursor > position);
            if state.cursor.is_none() {
                state.cursor = Some(position);
                tokio::spawn(Running { listener: self.clone(), ended: false }.run());
            }
            passed
        };
        if passed {
            // The task may have read the answer before anybody waited for it.
            self.catch_up(shared, position).await;
        }
        waiting
    }

    async fn catch_up(&self, shared: &SharedConnections, position: EntryId) {
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(self.keys.answers()).arg(format!("({position}")).arg("+");
        match shared.call_repeatable(&self.keys.owner(), &cmd).await.and_then(reply::entries) {
            Ok(entries) => self.deliver(entries),
            Err(error) => debug!(%error, "answers to commands could not be read"),
        }
    }

    fn deliver(&self, entries: Vec<RawEntry>) {
        let mut state = self.lock();
        for entry in entries {
            let command = entry.field("command").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            let Some(sender) = command.and_then(|command: EntryId| state.waiting.remove(&command)) else { continue };
            match serde_json::from_slice(entry.field("answer").map_or(&[][..], |answer| answer)) {
                // One who has stopped waiting needs no answer.
                Ok(answer) => drop(sender.send(answer)),
                Err(error) => error!(answer = %entry.id, %error, "an answer to a command cannot be read"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listening> {
        self.state.lock()
    }
}

/// The running task. However it ends, even with its runtime, the next one who waits starts another.
struct Running {
    listener: Listener,
    /// Whether it has said so itself: then another task may be running by now.
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.listener.lock().cursor = None;
        }
    }
}

impl Running {
    async fn run(mut self) {
        let mut connection = None;
        let mut backoff = Backoff::default();
        while let Some(cursor) = self.cursor() {
            match self.read(&mut connection, cursor).await {
                Ok(entries) => {
                    backoff.reset();
                    if let Some(last) = entries.last() {
                        self.listener.lock().cursor = Some(last.id);
                    }
                    self.listener.deliver(entries);
                }
                Err(error) => {
                    connection = None;
                    debug!(%error, "Redis is away; answers are read when it is back");
                    backoff.pause().await;
                }
            }
        }
    }

    /// Where to read on; `None` when nobody waits any more.
    fn cursor(&mut self) -> Option<EntryId> {
        let mut state = self.listener.lock();
        if state.waiting.is_empty() {
            // Under the lock, so that nobody starts to wait for a task that is about to end.
            state.cursor = None;
            self.ended = true;
        }
        state.cursor
    }

    async fn read(&self, connection: &mut Option<Connection>, after: EntryId) -> Result<Vec<RawEntry>, RedisError> {
        let keys = &self.listener.keys;
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.listener.connector.connect(&keys.owner()).await?),
        };
        let cmd = xread(config::ANSWERS_RETAINED, Some(config::ANSWER_BLOCK), &[(keys.answers(), after)]);
        let answer: Value = connection.call(&cmd, config::ANSWER_BLOCK + config::STORE_TIMEOUT).await?;
        Ok(reply::streams(answer)?.pop().map(|(_, entries)| entries).unwrap_or_default())
    }
}

impl Waiting {
    /// The answer; `None` when it cannot be read.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.listener.lock().waiting.remove(&self.command);
    }
}
