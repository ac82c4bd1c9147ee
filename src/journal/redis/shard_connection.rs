//! The connection of a held shard: one task with one connection, so that what is asked in an order takes
//! effect in that order.
//!
//! Requests are pipelined. The oldest unanswered one is awaited; when its answer is unknown, the
//! connection is dropped with everything on it, and all unanswered requests are sent again in order
//! on a new one. A commit that was applied already then answers DONE. So HEAD can only be the answer
//! to the oldest unanswered commit, where it means what it says: answers behind an unknown one are
//! never looked at.
//!
//! A commit of many attempts is a [`transaction`] once the owner is watched, for which each such commit asks behind
//! itself: it waits for the answer of the one before it, and so does whatever comes after it. Sent again, it is a script.

mod request;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redis::RedisError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, info};

use super::commit::Bodies;
use super::connection::{Backoff, Connection, ServerId};
use super::connector::Connector;
use super::error::{is_away, timed_out};
use super::lease::ShardLease;
use super::script::Script;
use super::transaction::{self, WatchAnswer};
use crate::config;
use crate::journal::port::{ShardConnection, ShardConnectionError, ShardRequest, ShardResponse};
use request::{CommitForm, ReceivedAnswer, ScriptOutcome, Sent};

/// The holder's end of a shard connection.
#[derive(Debug)]
pub(super) struct RedisShardConnection {
    queue: mpsc::Sender<QueuedRequest>,
    dead: Arc<OnceLock<ShardConnectionError>>,
    server: Arc<Mutex<ServerId>>,
    shard: u16,
}

impl RedisShardConnection {
    /// Starts the task on the runtime of the caller.
    pub(super) fn start(connector: Arc<Connector>, lease: ShardLease) -> Self {
        let (queue, requests) = mpsc::channel(config::SHARD_REQUESTS_WAITING_MAX);
        let (dead, server) = (Arc::new(OnceLock::new()), Arc::default());
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
            watch: OwnerWatch::Off,
            is_probed: false,
            dead: Arc::clone(&dead),
            server: Arc::clone(&server),
        };
        tokio::spawn(task.run());
        Self { queue, dead, server, shard }
    }

    /// The server that has every commit which was answered until now.
    pub(super) fn server(&self) -> ServerId {
        self.server.lock().clone()
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
    /// Not answered, oldest first, those that are not sent yet behind those that are; at most
    /// [`config::SHARD_REQUESTS_UNANSWERED_MAX`].
    unanswered: VecDeque<Sent>,
    /// The head that the next commit expects.
    next: u64,
    /// The head after the last commit that was answered.
    acknowledged: u64,
    backoff: Backoff,
    /// Until when Redis is taken to be full, so that commits come without bodies.
    full_until: Option<Instant>,
    watch: OwnerWatch,
    /// Whether Redis has shown on this connection that it runs transactions for us.
    is_probed: bool,
    dead: Arc<OnceLock<ShardConnectionError>>,
    /// The one that was found to have all that was answered.
    server: Arc<Mutex<ServerId>>,
}

/// Whether the owner is watched on the connection, so that a commit can be a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnerWatch {
    /// Redis runs no transactions for us.
    Never,
    Off,
    /// Asked for behind the commit that leads to this head.
    Asked(u64),
    /// It is, and it was found ours and at this head.
    On(u64),
}

/// Why a connection is given up.
enum Disconnect {
    /// The holder is gone and everything is answered.
    Closed,
    /// Nothing is ever sent again.
    Dead(ShardConnectionError),
    /// To be continued on a new connection.
    Away(RedisError),
    /// A transaction applied nothing: everything is sent again, commits as scripts, whose answers tell why. On a new
    /// connection, since what was sent behind it is under way.
    NotApplied,
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
                Disconnect::NotApplied | Disconnect::Full => {}
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
        let (owner, mut last_answer) = (self.lease.keys.owner(), Instant::now());
        loop {
            self.send_waiting(&connection);
            if let Some(error) = self.dead.get() {
                return Disconnect::Dead(error.clone());
            }
            if self.closed && self.unanswered.is_empty() {
                return Disconnect::Closed;
            }
            let since = self.unanswered.front().map(|oldest| oldest.at.max(last_answer));
            let is_silent = since.is_some_and(|since| since.elapsed() >= config::STORE_SILENT_MAX);
            let room = !self.closed && !is_silent && self.unanswered.len() < config::SHARD_REQUESTS_UNANSWERED_MAX;
            let replaced = self.connector.replaced(&owner, connection.to(), since.unwrap_or(last_answer));
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
                        let sent = self.prepare(request, reply);
                        self.unanswered.push_back(sent);
                    }
                    None => self.closed = true,
                },
                () = replaced, if since.is_some() => {
                    self.forget_answers();
                    return Disconnect::Away(timed_out());
                }
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
            ScriptOutcome::Applied(_) => {}
            ScriptOutcome::Away(error) => return Err(Disconnect::Away(error)),
            ScriptOutcome::Dead(error) => return Err(Disconnect::Dead(error)),
        }
        (self.watch, self.is_probed) = (OwnerWatch::Off, false);
        self.server.lock().clone_from(connection.server());
        Ok(connection)
    }

    /// Sends what can be sent now, in order.
    fn send_waiting(&mut self, connection: &Connection) {
        for at in 0..self.unanswered.len() {
            if self.unanswered[at].is_sent() {
                continue;
            }
            let Some(form) = self.form(at) else { return };
            self.unanswered[at].send(connection, &self.connector, &self.lease, form);
        }
    }

    /// How the request is sent now. `None`: not before the commit ahead of it is answered.
    fn form(&mut self, at: usize) -> Option<CommitForm> {
        let sent = &self.unanswered[at];
        let Some(batch) = sent.batch() else { return Some(CommitForm::Script) };
        if self.watch == OwnerWatch::Never {
            return Some(CommitForm::Script);
        }
        if sent.bodies == Bodies::Omitted || !transaction::suits(&self.lease, batch) {
            // It changes the owner itself.
            self.watch = OwnerWatch::Off;
            return Some(CommitForm::Script);
        }
        let form = match self.watch {
            OwnerWatch::Asked(_) => return None,
            OwnerWatch::On(head) if head == sent.expected => CommitForm::Transaction,
            _ => CommitForm::ScriptThenWatch { is_probed: self.is_probed },
        };
        self.watch = OwnerWatch::Asked(sent.expected + 1);
        Some(form)
    }

    fn prepare(&mut self, request: ShardRequest, reply: oneshot::Sender<ShardResponse>) -> Sent {
        let expected = self.next;
        if matches!(request, ShardRequest::Commit { .. }) {
            self.next += 1;
        }
        let is_full = self.full_until.is_some_and(|until| Instant::now() < until);
        let bodies = if is_full { Bodies::Omitted } else { Bodies::Kept };
        Sent::new(request, reply, expected, bodies)
    }

    /// Takes the answer to the oldest unanswered request.
    fn take(&mut self, answer: ReceivedAnswer) -> Option<Disconnect> {
        let ReceivedAnswer { own: mut answer, watch } = answer;
        if let Err(error) = &answer
            && is_away(error)
        {
            self.forget_answers();
            return answer.err().map(Disconnect::Away);
        }
        let oldest = self.unanswered.front()?;
        let after = oldest.expected + 1;
        if oldest.form != CommitForm::Script && self.watch == OwnerWatch::Asked(after) {
            self.watch = match transaction::watched(watch.unwrap_or_default(), &self.lease, after) {
                WatchAnswer::Watched => OwnerWatch::On(after),
                WatchAnswer::NotWatched => OwnerWatch::Off,
                WatchAnswer::Refused => OwnerWatch::Never,
            };
            self.is_probed |= self.watch == OwnerWatch::On(after);
        }
        if oldest.form == CommitForm::Transaction {
            answer = match transaction::outcome(answer) {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => {
                    self.forget_answers();
                    return Some(Disconnect::NotApplied);
                }
                Err(error) => Err(error),
            };
        }
        if oldest.is_refused_as_full(&answer) {
            self.full_until = Some(Instant::now() + config::STORE_FULL_CHECK);
            self.forget_answers();
            self.unanswered.iter_mut().for_each(|sent| sent.bodies = Bodies::Omitted);
            return Some(Disconnect::Full);
        }
        let response = match oldest.response(answer, &self.lease) {
            Ok(response) => response,
            // It stays where it is: nobody may be told before the connection is known to be dead.
            Err(error) => return Some(Disconnect::Dead(error)),
        };
        let is_released = matches!(response, ShardResponse::Released);
        if matches!(response, ShardResponse::Committed { .. }) {
            self.acknowledged = after;
            // Only a commit proves that Redis takes writes: a replica answers loads.
            self.backoff.reset();
        }
        self.unanswered.pop_front()?.tell(response);
        is_released.then(|| {
            let detail = "its lease was given up".to_owned();
            Disconnect::Dead(ShardConnectionError::Failed { shard: self.lease.shard, detail })
        })
    }

    /// Nothing is waited for on this connection any more. Without the answers, which hold it, it closes.
    fn forget_answers(&mut self) {
        self.unanswered.iter_mut().for_each(Sent::forget);
    }
}

/// Waits for the answer to the oldest request; forever when there is none.
async fn oldest(unanswered: &mut VecDeque<Sent>, last_answer: Instant) -> ReceivedAnswer {
    match unanswered.front_mut() {
        Some(sent) => {
            // Those before it took their time, which is not its own.
            let deadline = sent.at.max(last_answer) + config::STORE_TIMEOUT;
            let answer = std::future::poll_fn(|cx| sent.poll(cx));
            tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(timed_out()).into())
        }
        None => std::future::pending().await,
    }
}
