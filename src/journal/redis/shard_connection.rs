//! The connection of a held shard: one task with one connection, so that what is asked in an order takes
//! effect in that order.
//!
//! Requests are pipelined. The oldest unanswered one is awaited; when its answer is unknown, the
//! connection is dropped with everything on it, and all unanswered requests are sent again in order
//! on a new one. A commit that was applied already then answers DONE. So HEAD can only be the answer
//! to the oldest unanswered commit, where it means what it says: answers behind an unknown one are
//! never looked at.

mod request;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::{RedisError, Value};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, info};

use super::commit::Bodies;
use super::connection::{Backoff, Connection};
use super::connector::Connector;
use super::error::{is_away, timed_out};
use super::lease::ShardLease;
use super::script::Script;
use crate::config;
use crate::journal::port::{ShardConnection, ShardConnectionError, ShardRequest, ShardResponse};
use request::{ScriptOutcome, Sent};

/// The holder's end of a shard connection.
#[derive(Debug)]
pub(super) struct RedisShardConnection {
    queue: mpsc::Sender<QueuedRequest>,
    dead: Arc<OnceLock<ShardConnectionError>>,
    shard: u16,
}

impl RedisShardConnection {
    /// Starts the task on the runtime of the caller.
    pub(super) fn start(connector: Arc<Connector>, lease: ShardLease) -> Self {
        let (queue, requests) = mpsc::channel(config::SHARD_REQUESTS_WAITING_MAX);
        let dead = Arc::new(OnceLock::new());
        let shard = lease.shard;
        let task = ConnectionTask {
            connector,
            next: lease.head,
            acknowledged: lease.head,
            lease,
            requests,
            closed: false,
            unanswered: VecDeque::new(),
            backoff: Backoff::default(),
            full_until: None,
            dead: Arc::clone(&dead),
        };
        tokio::spawn(task.run());
        Self { queue, dead, shard }
    }
}

impl ShardConnection for RedisShardConnection {
    fn send(&self, request: ShardRequest) -> BoxFuture<'static, Result<ShardResponse, ShardConnectionError>> {
        let (reply, response) = oneshot::channel();
        if self.dead.get().is_none()
            && let Err(TrySendError::Full(_)) = self.queue.try_send((request, reply))
        {
            let detail = format!("more than {} requests wait on its connection", config::SHARD_REQUESTS_WAITING_MAX);
            self.dead.get_or_init(|| ShardConnectionError::Failed { shard: self.shard, detail });
        }
        let (dead, shard) = (Arc::clone(&self.dead), self.shard);
        async move {
            let ended = || ShardConnectionError::Failed { shard, detail: "its connection has ended".to_owned() };
            response.await.map_err(|_| dead.get().cloned().unwrap_or_else(ended))
        }
        .boxed()
    }
}

/// A request and where its response goes.
type QueuedRequest = (ShardRequest, oneshot::Sender<ShardResponse>);

struct ConnectionTask {
    connector: Arc<Connector>,
    lease: ShardLease,
    requests: mpsc::Receiver<QueuedRequest>,
    /// Whether the holder has dropped its end.
    closed: bool,
    /// Sent and not answered, oldest first; at most [`config::SHARD_REQUESTS_UNANSWERED_MAX`].
    unanswered: VecDeque<Sent>,
    /// The head that the next commit expects.
    next: u64,
    /// The head after the last commit that was answered.
    acknowledged: u64,
    backoff: Backoff,
    /// Until when Redis is taken to be full, so that commits come without bodies.
    full_until: Option<Instant>,
    dead: Arc<OnceLock<ShardConnectionError>>,
}

/// Why a connection is given up.
enum Disconnect {
    /// The holder is gone and everything is answered.
    Closed,
    /// Nothing is ever sent again.
    Dead(ShardConnectionError),
    /// To be continued on a new connection.
    Away(RedisError),
    /// Redis is full: the commits are sent again without bodies, on a new connection, since those behind the one that
    /// was refused are under way.
    Full,
}

impl ConnectionTask {
    async fn run(mut self) {
        loop {
            match self.connected().await {
                Disconnect::Closed => return,
                Disconnect::Dead(error) => {
                    // Before the waiting callers are told, which dropping their senders does.
                    self.dead.get_or_init(|| error);
                    return;
                }
                Disconnect::Away(error) => {
                    debug!(shard = self.lease.shard, %error, unanswered = self.unanswered.len(), "Redis is away; reconnecting");
                    self.backoff.pause().await;
                }
                Disconnect::Full => {}
            }
            if let Some(error) = self.dead.get() {
                info!(shard = self.lease.shard, %error, "the connection failed");
                return;
            }
        }
    }

    /// Works on one connection until that is lost or the shard connection ends.
    async fn connected(&mut self) -> Disconnect {
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(end) => return end,
        };
        for sent in &mut self.unanswered {
            sent.send(&connection);
        }
        let mut last_answer = Instant::now();
        loop {
            if let Some(error) = self.dead.get() {
                return Disconnect::Dead(error.clone());
            }
            if self.closed && self.unanswered.is_empty() {
                return Disconnect::Closed;
            }
            let room = !self.closed && self.unanswered.len() < config::SHARD_REQUESTS_UNANSWERED_MAX;
            tokio::select! {
                biased;
                answer = oldest(&mut self.unanswered, last_answer) => {
                    last_answer = Instant::now();
                    if let Some(end) = self.take(answer) {
                        return end;
                    }
                }
                request = self.requests.recv(), if room => match request {
                    Some((request, reply)) => {
                        let mut sent = self.prepare(request, reply);
                        sent.send(&connection);
                        self.unanswered.push_back(sent);
                    }
                    None => self.closed = true,
                },
            }
        }
    }

    /// Connects, and asks whether the shard is still ours: a shard connection that lost its connection may have
    /// lost the shard, or its commits.
    async fn connect(&mut self) -> Result<Connection, Disconnect> {
        let owner = self.lease.keys.owner();
        let mut connection = self.connector.connect_for_scripts(&owner).await.map_err(Disconnect::Away)?;
        let mut ask = self.connector.script(Script::Owner, &[owner]);
        ask.arg(&self.lease.nonce).arg(self.acknowledged.to_string());
        let answer = connection.call(&ask, config::STORE_TIMEOUT).await;
        match request::judge(answer, self.lease.shard, self.acknowledged) {
            ScriptOutcome::Applied(_) => Ok(connection),
            ScriptOutcome::Away(error) => Err(Disconnect::Away(error)),
            ScriptOutcome::Dead(error) => Err(Disconnect::Dead(error)),
        }
    }

    fn prepare(&mut self, request: ShardRequest, reply: oneshot::Sender<ShardResponse>) -> Sent {
        let expected = self.next;
        if matches!(request, ShardRequest::Commit { .. }) {
            self.next += 1;
        }
        let is_full = self.full_until.is_some_and(|until| Instant::now() < until);
        let bodies = if is_full { Bodies::Omitted } else { Bodies::Kept };
        Sent::new(request, reply, expected, &self.connector, &self.lease, bodies)
    }

    /// Takes the answer to the oldest unanswered request.
    fn take(&mut self, answer: Result<Value, RedisError>) -> Option<Disconnect> {
        if let Err(error) = &answer
            && is_away(error)
        {
            // The futures hold the connection; without them it closes.
            self.unanswered.iter_mut().for_each(Sent::forget);
            return answer.err().map(Disconnect::Away);
        }
        if self.unanswered.front().is_some_and(|sent| sent.is_refused_as_full(&answer)) {
            self.full_until = Some(Instant::now() + config::STORE_FULL_CHECK);
            for sent in &mut self.unanswered {
                sent.forget();
                sent.omit_bodies(&self.connector, &self.lease);
            }
            return Some(Disconnect::Full);
        }
        let sent = self.unanswered.pop_front()?;
        match sent.answer(answer, &self.lease) {
            Ok(Some(head)) => {
                self.acknowledged = head;
                // Only a commit proves that Redis takes writes: a replica answers loads.
                self.backoff.reset();
            }
            Ok(None) => {}
            Err(error) => return Some(Disconnect::Dead(error)),
        }
        None
    }
}

/// Waits for the answer to the oldest request; forever when there is none.
async fn oldest(unanswered: &mut VecDeque<Sent>, last_answer: Instant) -> Result<Value, RedisError> {
    match unanswered.front_mut() {
        Some(sent) => {
            // Those before it took their time, which is not its own.
            let deadline = sent.at.max(last_answer) + config::STORE_TIMEOUT;
            let answer = std::future::poll_fn(|cx| sent.poll(cx));
            tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(timed_out()))
        }
        None => std::future::pending().await,
    }
}
