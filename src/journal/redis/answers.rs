//! Waits for the answers to commands.
//!
//! A shard's answers are one stream. While anybody waits, one task reads it with a blocking read on
//! a connection of its own, and hands each answer to the one who waits for it. Where Redis takes no new connection the task
//! looks on the one that all callers share, which is there still: it has just taken the command.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use redis::{RedisError, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, error};

use super::connection::{Backoff, Connection};
use super::connector::Connector;
use super::error::trouble;
use super::intake::xread;
use super::keys::ShardKeys;
use super::reply;
use super::shared::SharedConnections;
use crate::config;
use crate::journal::port::{RawEntry, StoreTrouble};
use crate::message::EntryId;
use crate::workspace::command::Answer;

/// The listener of one shard. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    connector: Arc<Connector>,
    shared: Arc<SharedConnections>,
    keys: ShardKeys,
    state: Arc<Mutex<Listening>>,
}

#[derive(Debug, Default)]
struct Listening {
    /// The last answer that was read; `None` while no task runs.
    cursor: Option<EntryId>,
    /// By command. Bounded by the requests that the facade answers at a time.
    waiting: HashMap<EntryId, oneshot::Sender<Result<Answer, RedisError>>>,
}

/// Somebody who waits. Dropped, they wait no more.
pub(super) struct Waiting {
    listener: Listener,
    command: EntryId,
    answer: oneshot::Receiver<Result<Answer, RedisError>>,
}

impl Listener {
    pub(super) fn new(connector: Arc<Connector>, shared: Arc<SharedConnections>, keys: ShardKeys) -> Self {
        Self { connector, shared, keys, state: Arc::default() }
    }

    /// Waits for the answer to `command`, which will stand after `position`.
    ///
    /// # Errors
    /// The answer may have come, and cannot be read.
    pub(super) async fn wait(&self, command: EntryId, position: EntryId) -> Result<Waiting, RedisError> {
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
            let entries = self.look(position).await?;
            self.deliver(entries);
        }
        Ok(waiting)
    }

    /// The answers after `position` that are there, read on the connection that all callers share.
    async fn look(&self, position: EntryId) -> Result<Vec<RawEntry>, RedisError> {
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(self.keys.answers()).arg(format!("({position}")).arg("+");
        self.shared.call_repeatable(&self.keys.owner(), &cmd).await.and_then(reply::entries)
    }

    fn deliver(&self, entries: Vec<RawEntry>) {
        let mut state = self.lock();
        for entry in entries {
            let command = entry.field("command").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            let Some(sender) = command.and_then(|command: EntryId| state.waiting.remove(&command)) else { continue };
            match serde_json::from_slice(entry.field("answer").map_or(&[][..], |answer| answer)) {
                // One who has stopped waiting needs no answer.
                Ok(answer) => drop(sender.send(Ok(answer))),
                Err(error) => error!(answer = %entry.id, %error, "an answer to a command cannot be read"),
            }
        }
    }

    /// Nobody waits any more: the answers cannot be read.
    fn give_up(&self, why: &RedisError) {
        for (_, sender) in self.lock().waiting.drain() {
            drop(sender.send(Err(why.clone())));
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
        let (mut connection, mut backoff) = (None, Backoff::default());
        let (mut connect_at, mut refused_since) = (Instant::now(), None);
        while let Some(cursor) = self.cursor() {
            if connection.is_some() || Instant::now() >= connect_at {
                match self.read(&mut connection, cursor).await {
                    Ok(entries) => {
                        (backoff, refused_since) = (Backoff::default(), None);
                        self.deliver(entries);
                        continue;
                    }
                    Err(error) => {
                        debug!(%error, "answers to commands are read on the shared connection");
                        (connection, connect_at) = (None, Instant::now() + backoff.next());
                    }
                }
            }
            let mut pause = config::ANSWERS_LOOK_EVERY;
            match self.listener.look(cursor).await {
                Ok(entries) => {
                    refused_since = None;
                    self.deliver(entries);
                }
                Err(error) if trouble(&error) == StoreTrouble::Refused => {
                    if refused_since.get_or_insert_with(Instant::now).elapsed() >= config::ANSWERS_REFUSED_MAX {
                        self.listener.give_up(&error);
                    }
                }
                Err(error) => {
                    debug!(%error, "Redis is away; answers are read when it is back");
                    pause = backoff.next();
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn deliver(&self, entries: Vec<RawEntry>) {
        if let Some(last) = entries.last() {
            self.listener.lock().cursor = Some(last.id);
        }
        self.listener.deliver(entries);
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
    /// The answer; `None` where what came is none.
    ///
    /// # Errors
    /// Redis refuses to be read.
    pub(super) async fn answer(&mut self) -> Result<Option<Answer>, RedisError> {
        (&mut self.answer).await.ok().transpose()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.listener.lock().waiting.remove(&self.command);
    }
}
