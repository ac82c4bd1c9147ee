//! What is asked on a shard connection: how it is sent, and what its answer means.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use redis::{Cmd, RedisError, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::journal::port::{
    ATTEMPTS_RETAINED, COMMIT_EVENTS_MAX, LoadError, ShardConnectionError, ShardRequest, ShardResponse,
};
use crate::journal::redis::commit::Bodies;
use crate::journal::redis::connection::Connection;
use crate::journal::redis::connector::Connector;
use crate::journal::redis::error::{ErrorClass, classify, is_away};
use crate::journal::redis::lease::ShardLease;
use crate::journal::redis::script::Script;
use crate::journal::redis::{commit, read, reply};
use crate::journal::replay::{self, Stored};
use crate::journal::salvage;
use crate::message::WorkspaceId;

/// Attempts of one load at most. Above a snapshot lie fewer than a commit takes.
const LOADED_MAX: usize = ATTEMPTS_RETAINED + COMMIT_EVENTS_MAX;

/// A request that has its place in the order.
pub(super) struct Sent {
    cmd: Arc<Cmd>,
    request: ShardRequest,
    reply: oneshot::Sender<ShardResponse>,
    /// The head before it, for a commit.
    expected: u64,
    /// When it was sent last.
    pub(super) at: Instant,
    answer: Option<PendingReply>,
}

/// What an answer of a script that checks the owner means.
pub(super) enum ScriptOutcome {
    Applied(Vec<Value>),
    Away(RedisError),
    Dead(ShardConnectionError),
}

impl Sent {
    /// Makes the command. `expected` is the head before it, for a commit.
    pub(super) fn new(
        request: ShardRequest,
        reply: oneshot::Sender<ShardResponse>,
        expected: u64,
        connector: &Connector,
        lease: &ShardLease,
        bodies: Bodies,
    ) -> Self {
        let keys = &lease.keys;
        let cmd = match &request {
            ShardRequest::Commit { batch, .. } => commit::command(connector, lease, expected, batch, bodies),
            ShardRequest::Load(workspace) => {
                read::command(connector, keys, workspace, read::AttemptRange::Above(LOADED_MAX))
            }
            ShardRequest::Salvage(workspace) => read::salvage_command(connector, keys, workspace, LOADED_MAX),
            ShardRequest::Newest { workspace, .. } => {
                read::command(connector, keys, workspace, read::AttemptRange::Last)
            }
            ShardRequest::CatchUp { from, to, count } => {
                let mut cmd = redis::cmd("XRANGE");
                cmd.arg(keys.messages()).arg(from.to_string()).arg(to.to_string()).arg("COUNT").arg(*count);
                cmd
            }
            ShardRequest::Present(entries) => {
                let mut cmd = connector.script(Script::Present, &[keys.messages()]);
                entries.iter().for_each(|entry| {
                    cmd.arg(entry.to_string());
                });
                cmd
            }
            ShardRequest::Release => {
                let mut cmd = connector.script(Script::Release, &[keys.owner()]);
                cmd.arg(&lease.nonce);
                cmd
            }
        };
        Self { cmd: Arc::new(cmd), request, reply, expected, at: Instant::now(), answer: None }
    }

    /// Whether it is a commit that a full Redis has refused.
    pub(super) fn is_refused_as_full(&self, answer: &Result<Value, RedisError>) -> bool {
        let is_full = matches!(answer, Err(error) if classify(error) == ErrorClass::Full);
        is_full && matches!(self.request, ShardRequest::Commit { .. })
    }

    /// Makes a commit one that a full Redis takes.
    pub(super) fn omit_bodies(&mut self, connector: &Connector, lease: &ShardLease) {
        if let ShardRequest::Commit { batch, .. } = &self.request {
            self.cmd = Arc::new(commit::command(connector, lease, self.expected, batch, Bodies::Omitted));
        }
    }

    /// Sends it, behind what was sent before.
    pub(super) fn send(&mut self, connection: &Connection) {
        self.at = Instant::now();
        self.answer = Some(send(connection, Arc::clone(&self.cmd)));
    }

    /// Stops waiting for an answer on this connection.
    pub(super) fn forget(&mut self) {
        self.answer = None;
    }

    /// Polls its answer. One that is not sent has none.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Value, RedisError>> {
        match &mut self.answer {
            Some(answer) => answer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Hands an answer on that is not unknown. Answers the head after it, when it was a commit.
    ///
    /// # Errors
    /// The shard connection is dead. The waiting caller learns it from the shard connection.
    pub(super) fn answer(
        self,
        answer: Result<Value, RedisError>,
        lease: &ShardLease,
    ) -> Result<Option<u64>, ShardConnectionError> {
        let failed = |error: RedisError| ShardConnectionError::Failed { shard: lease.shard, detail: error.to_string() };
        let mut head = None;
        let response = match self.request {
            ShardRequest::Commit { number, .. } => {
                let counts = applied(answer, lease, self.expected)?;
                tell(lease, counts).map_err(failed)?;
                head = Some(self.expected + 1);
                ShardResponse::Committed { number, lease_until: self.at + lease.duration }
            }
            ShardRequest::Load(workspace) => {
                let loaded = stored(answer, &workspace).and_then(|(stored, _)| replay::load(&workspace, &stored));
                ShardResponse::Loaded(workspace, loaded.map(Box::new))
            }
            ShardRequest::Salvage(workspace) => {
                let remains = answer.and_then(read::parse_salvage).map_err(failed)?;
                ShardResponse::Salvaged(workspace, Box::new(salvage::salvage(remains)))
            }
            ShardRequest::Newest { workspace, command } => {
                let newest = stored(answer, &workspace)
                    .and_then(|(stored, last)| replay::newest(&workspace, &stored.attempts, last.as_deref()));
                ShardResponse::Newest { workspace, command, newest }
            }
            ShardRequest::CatchUp { .. } => ShardResponse::CaughtUp(answer.and_then(reply::entries).map_err(failed)?),
            ShardRequest::Present(_) => {
                let ids = answer.and_then(reply::list).map_err(failed)?;
                let ids = ids.into_iter().map(reply::id).collect::<Result<_, _>>();
                ShardResponse::Present(ids.map_err(failed)?)
            }
            ShardRequest::Release => {
                applied(answer, lease, 0)?;
                self.reply.send(ShardResponse::Released).ok();
                return Err(ShardConnectionError::Failed {
                    shard: lease.shard,
                    detail: "its lease was given up".to_owned(),
                });
            }
        };
        // Callers that stopped waiting are no error: the request has had its effect.
        self.reply.send(response).ok();
        Ok(head)
    }
}

/// Judges the answer of a script that checks the owner first. `expected` is the head that it named.
pub(super) fn judge(answer: Result<Value, RedisError>, shard: u16, expected: u64) -> ScriptOutcome {
    let parsed = answer.and_then(reply::list).and_then(|values| {
        let mut values = values.into_iter();
        let word = reply::text(values.next().unwrap_or_default())?;
        Ok((word, values.collect::<Vec<_>>()))
    });
    let (word, mut values) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if is_away(&error) => return ScriptOutcome::Away(error),
        Err(error) => return ScriptOutcome::Dead(ShardConnectionError::Failed { shard, detail: error.to_string() }),
    };
    let detail = values.pop().unwrap_or_default();
    match word.as_str() {
        "FENCED" => {
            ScriptOutcome::Dead(ShardConnectionError::Fenced { shard, by: reply::text(detail).unwrap_or_default() })
        }
        "HEAD" => ScriptOutcome::Dead(ShardConnectionError::Lost {
            shard,
            expected,
            found: reply::number(detail).unwrap_or(0),
        }),
        "OK" | "DONE" => {
            values.push(detail);
            ScriptOutcome::Applied(values)
        }
        other => {
            ScriptOutcome::Dead(ShardConnectionError::Failed { shard, detail: format!("a script answered {other:?}") })
        }
    }
}

fn applied(
    answer: Result<Value, RedisError>,
    lease: &ShardLease,
    expected: u64,
) -> Result<Vec<Value>, ShardConnectionError> {
    match judge(answer, lease.shard, expected) {
        ScriptOutcome::Applied(values) => Ok(values),
        ScriptOutcome::Dead(error) => Err(error),
        ScriptOutcome::Away(error) => {
            Err(ShardConnectionError::Failed { shard: lease.shard, detail: error.to_string() })
        }
    }
}

/// Logs what a commit found that nobody asked for. A commit that is DONE says nothing.
fn tell(lease: &ShardLease, counts: Vec<Value>) -> Result<(), RedisError> {
    let Ok([vanished, dropped]) = <[Value; 2]>::try_from(counts) else { return Ok(()) };
    let (vanished, dropped) = (reply::number(vanished)?, reply::number(dropped)?);
    lease.losses.add(vanished, dropped);
    if vanished > 0 {
        error!(
            shard = lease.shard,
            vanished,
            "entries vanished: they were gone before they were settled; \
            nobody but this service may delete or trim entries"
        );
    }
    if dropped > 0 {
        warn!(shard = lease.shard, dropped, "the rejected stream is full: its oldest entries were deleted");
    }
    Ok(())
}

/// What is stored of a workspace, with its newest skipped message as stored. An answer that stays an error is
/// the workspace's, not the shard connection's: one key of another type must not stop the shard.
fn stored(answer: Result<Value, RedisError>, workspace: &WorkspaceId) -> Result<(Stored, Option<Bytes>), LoadError> {
    let corrupt = |error: RedisError| LoadError::Corrupt { workspace: workspace.clone(), detail: error.to_string() };
    answer.and_then(read::parse).map_err(corrupt).and_then(|answered| answered.stored(workspace))
}

/// An answer that is under way.
type PendingReply = Pin<Box<dyn Future<Output = Result<Value, RedisError>> + Send>>;

/// Puts a command on the connection now, in its place, and returns its answer.
///
/// The connection's queue is taken in the order of first polls. It has room for every request that
/// may be unanswered, so one poll is enough; it must not yield for the sake of other tasks, else a
/// later request could overtake.
fn send(connection: &Connection, cmd: Arc<Cmd>) -> PendingReply {
    let connection = connection.clone();
    let mut answer: PendingReply = Box::pin(async move { connection.send(&cmd).await });
    let mut first = tokio::task::unconstrained(answer.as_mut());
    let mut context = Context::from_waker(std::task::Waker::noop());
    match Pin::new(&mut first).poll(&mut context) {
        Poll::Ready(done) => Box::pin(std::future::ready(done)),
        Poll::Pending => answer,
    }
}
