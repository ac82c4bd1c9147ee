//! What is asked on a line: how it is sent, and what its answer means.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use redis::{Cmd, RedisError, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::{Answer, Held, send};
use crate::journal::fold::{self, Stored};
use crate::journal::port::{ATTEMPTS_KEPT, Batch, COMMIT_EVENTS_MAX, LineError, LoadError, Loaded, Newest, RawEntry};
use crate::journal::redis::connect::{Connection, Server};
use crate::journal::redis::dictionaries::UnpackError;
use crate::journal::redis::error::is_away;
use crate::journal::redis::read::Answered;
use crate::journal::redis::script::Script;
use crate::journal::redis::{commit, read, reply};
use crate::message::{EntryId, WorkspaceId};

/// Attempts of one load at most. Above a snapshot lie fewer than a commit takes.
const LOADED_MAX: usize = ATTEMPTS_KEPT + COMMIT_EVENTS_MAX;

/// One request and where its answer goes.
pub(super) enum Request {
    Commit { batch: Batch, reply: oneshot::Sender<Instant> },
    Load { workspace: WorkspaceId, reply: oneshot::Sender<Result<Loaded, LoadError>> },
    Newest { workspace: WorkspaceId, reply: oneshot::Sender<Result<Option<Newest>, LoadError>> },
    Sweep { from: EntryId, to: EntryId, count: usize, reply: oneshot::Sender<Vec<RawEntry>> },
    Present { entries: Vec<EntryId>, reply: oneshot::Sender<Vec<EntryId>> },
    Release { reply: oneshot::Sender<()> },
}

/// A request that has its place in the order.
pub(super) struct Sent {
    cmd: Arc<Cmd>,
    kind: Kind,
    /// When it was sent last.
    pub(super) at: Instant,
    answer: Option<Answer>,
}

enum Kind {
    Commit { expected: u64, reply: oneshot::Sender<Instant> },
    Load { workspace: WorkspaceId, reply: oneshot::Sender<Result<Loaded, LoadError>> },
    Newest { workspace: WorkspaceId, reply: oneshot::Sender<Result<Option<Newest>, LoadError>> },
    Sweep { reply: oneshot::Sender<Vec<RawEntry>> },
    Present { reply: oneshot::Sender<Vec<EntryId>> },
    Release { reply: oneshot::Sender<()> },
}

/// What an answer of a script that checks the owner means.
pub(super) enum Outcome {
    Applied(Vec<Value>),
    Away(RedisError),
    Dead(LineError),
}

impl Sent {
    /// Makes the command. `expected` is the head before it, for a commit.
    pub(super) fn new(request: Request, expected: u64, server: &Server, held: &Held) -> Self {
        let keys = &held.keys;
        let (cmd, kind) = match request {
            Request::Commit { batch, reply } => {
                (commit::command(server, held, expected, &batch), Kind::Commit { expected, reply })
            }
            Request::Load { workspace, reply } => (
                read::command(server, keys, &workspace, read::Attempts::Above(LOADED_MAX)),
                Kind::Load { workspace, reply },
            ),
            Request::Newest { workspace, reply } => {
                (read::command(server, keys, &workspace, read::Attempts::Last), Kind::Newest { workspace, reply })
            }
            Request::Sweep { from, to, count, reply } => {
                let mut cmd = redis::cmd("XRANGE");
                cmd.arg(keys.messages()).arg(from.to_string()).arg(to.to_string()).arg("COUNT").arg(count);
                (cmd, Kind::Sweep { reply })
            }
            Request::Present { entries, reply } => {
                let mut cmd = server.script(Script::Present, &[keys.messages()]);
                entries.iter().for_each(|entry| {
                    cmd.arg(entry.to_string());
                });
                (cmd, Kind::Present { reply })
            }
            Request::Release { reply } => {
                let mut cmd = server.script(Script::Release, &[keys.owner()]);
                cmd.arg(&held.fence.nonce);
                (cmd, Kind::Release { reply })
            }
        };
        Self { cmd: Arc::new(cmd), kind, at: Instant::now(), answer: None }
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
    /// The line is dead. The waiting caller learns it from the line.
    pub(super) fn answer(self, answer: Result<Value, RedisError>, held: &Held) -> Result<Option<u64>, LineError> {
        let failed = |error: RedisError| LineError::Failed { shard: held.shard, detail: error.to_string() };
        // Callers that stopped waiting are no error: the request has had its effect.
        match self.kind {
            Kind::Commit { expected, reply } => {
                let counts = applied(answer, held, expected)?;
                tell(held, counts).map_err(failed)?;
                reply.send(self.at + held.fence.lease).ok();
                return Ok(Some(expected + 1));
            }
            Kind::Load { workspace, reply } => {
                read_and_reply(answer, held, workspace, reply, |workspace, stored, _| fold::load(workspace, &stored));
            }
            Kind::Newest { workspace, reply } => {
                read_and_reply(answer, held, workspace, reply, |workspace, stored, last| {
                    fold::newest(workspace, &stored.attempts, last.as_deref())
                });
            }
            Kind::Sweep { reply } => {
                reply.send(answer.and_then(reply::entries).map_err(failed)?).ok();
            }
            Kind::Present { reply } => {
                let ids = answer.and_then(reply::list).map_err(failed)?;
                let ids = ids.into_iter().map(reply::id).collect::<Result<_, _>>().map_err(failed)?;
                reply.send(ids).ok();
            }
            Kind::Release { reply } => {
                applied(answer, held, 0)?;
                reply.send(()).ok();
                return Err(LineError::Failed { shard: held.shard, detail: "its lease was given up".to_owned() });
            }
        }
        Ok(None)
    }
}

/// Judges the answer of a script that checks the owner first. `expected` is the head that it named.
pub(super) fn judge(answer: Result<Value, RedisError>, shard: u16, expected: u64) -> Outcome {
    let parsed = answer.and_then(reply::list).and_then(|values| {
        let mut values = values.into_iter();
        let word = reply::text(values.next().unwrap_or_default())?;
        Ok((word, values.collect::<Vec<_>>()))
    });
    let (word, mut values) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if is_away(&error) => return Outcome::Away(error),
        Err(error) => return Outcome::Dead(LineError::Failed { shard, detail: error.to_string() }),
    };
    let detail = values.pop().unwrap_or_default();
    match word.as_str() {
        "FENCED" => Outcome::Dead(LineError::Fenced { shard, by: reply::text(detail).unwrap_or_default() }),
        "HEAD" => Outcome::Dead(LineError::Lost { shard, expected, found: reply::number(detail).unwrap_or(0) }),
        "OK" | "DONE" => {
            values.push(detail);
            Outcome::Applied(values)
        }
        other => Outcome::Dead(LineError::Failed { shard, detail: format!("a script answered {other:?}") }),
    }
}

fn applied(answer: Result<Value, RedisError>, held: &Held, expected: u64) -> Result<Vec<Value>, LineError> {
    match judge(answer, held.shard, expected) {
        Outcome::Applied(values) => Ok(values),
        Outcome::Dead(error) => Err(error),
        Outcome::Away(error) => Err(LineError::Failed { shard: held.shard, detail: error.to_string() }),
    }
}

/// Logs what a commit found that nobody asked for. A commit that is DONE says nothing.
fn tell(held: &Held, counts: Vec<Value>) -> Result<(), RedisError> {
    let Ok([vanished, dropped]) = <[Value; 2]>::try_from(counts) else { return Ok(()) };
    let (vanished, dropped) = (reply::number(vanished)?, reply::number(dropped)?);
    held.counts.add(vanished, dropped);
    if vanished > 0 {
        error!(
            shard = held.shard,
            vanished,
            "entries vanished: they were gone before they were settled; \
            nobody but this service may delete or trim entries"
        );
    }
    if dropped > 0 {
        warn!(shard = held.shard, dropped, "the rejected stream is full: its oldest entries were deleted");
    }
    Ok(())
}

/// Answers what `read` makes of what is stored of a workspace. An answer that stays an error is the workspace's,
/// not the line's: one key of another type must not stop the shard.
fn read_and_reply<T: Send + 'static>(
    answer: Result<Value, RedisError>,
    held: &Held,
    workspace: WorkspaceId,
    reply: oneshot::Sender<Result<T, LoadError>>,
    read: fn(&WorkspaceId, Stored, Option<Bytes>) -> Result<T, LoadError>,
) {
    let answered = match answer.and_then(read::parse) {
        Ok(answered) => answered,
        Err(error) => {
            reply.send(Err(LoadError::Corrupt { workspace, detail: error.to_string() })).ok();
            return;
        }
    };
    let finish = move |unpacked: Result<_, UnpackError>, answered: Answered| {
        let attempts = unpacked.map_err(|error| error.for_workspace(&workspace))?;
        let (stored, last) = answered.with(attempts);
        read(&workspace, stored, last)
    };
    let dictionaries = Arc::clone(&held.dictionaries);
    if dictionaries.know(&answered.attempts) {
        reply.send(finish(dictionaries.unpack(&answered.attempts), answered)).ok();
        return;
    }
    // What was read is as of its place in the order; only its dictionary is still on the way.
    tokio::spawn(async move {
        let unpacked = dictionaries.wait_and_unpack(&answered.attempts).await;
        reply.send(finish(unpacked, answered)).ok();
    });
}
