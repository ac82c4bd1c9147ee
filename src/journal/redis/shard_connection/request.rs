//! What is asked on a shard connection: how it is sent, and what its answer means.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use redis::{Cmd, RedisError, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::journal::port::{
    ATTEMPTS_RETAINED, Batch, COMMIT_EVENTS_MAX, LoadError, RawEntry, ShardConnectionError, ShardRequest, ShardResponse,
};
use crate::journal::redis::commit::Bodies;
use crate::journal::redis::connection::Connection;
use crate::journal::redis::connector::Connector;
use crate::journal::redis::error::{ErrorClass, checked, classify, is_away, unexpected};
use crate::journal::redis::lease::ShardLease;
use crate::journal::redis::script::Script;
use crate::journal::redis::take::{self, ReadFrom};
use crate::journal::redis::transaction::{self, CommitTransaction};
use crate::journal::redis::{commit, read, reply};
use crate::journal::rejected::ENTRY_BYTES_MAX;
use crate::journal::replay::{self, Stored};
use crate::journal::salvage;
use crate::message::WorkspaceId;

/// Attempts of one load at most. Above a snapshot lie fewer than a commit takes.
const LOADED_MAX: usize = ATTEMPTS_RETAINED + COMMIT_EVENTS_MAX;

/// A request that has its place in the order.
pub(super) struct Sent {
    request: ShardRequest,
    reply: oneshot::Sender<ShardResponse>,
    /// The head before it, for a commit.
    pub(super) expected: u64,
    /// What of a commit's attempts is written.
    pub(super) bodies: Bodies,
    /// How it was sent last, for a commit.
    pub(super) form: CommitForm,
    /// When it was sent last.
    pub(super) at: Instant,
    answer: Option<PendingReply>,
}

/// How a commit is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitForm {
    /// As a script's call.
    Script,
    /// The same, and the owner is watched from then on.
    ScriptThenWatch { is_probed: bool },
    /// As a transaction, while the owner is watched; and the owner is watched from then on.
    Transaction,
}

/// What came back.
pub(super) struct ReceivedAnswer {
    pub(super) own: Result<Value, RedisError>,
    /// The answers behind it, where the owner was to be watched.
    pub(super) watch: Option<Vec<Value>>,
}

impl From<Result<Value, RedisError>> for ReceivedAnswer {
    fn from(own: Result<Value, RedisError>) -> Self {
        Self { own, watch: None }
    }
}

/// What an answer of a script that checks the owner means.
pub(super) enum ScriptOutcome {
    Applied(Vec<Value>),
    Away(RedisError),
    Dead(ShardConnectionError),
}

impl Sent {
    /// A request that is not sent yet. `expected` is the head before it, for a commit.
    pub(super) fn new(
        request: ShardRequest,
        reply: oneshot::Sender<ShardResponse>,
        expected: u64,
        bodies: Bodies,
    ) -> Self {
        Self { request, reply, expected, bodies, form: CommitForm::Script, at: Instant::now(), answer: None }
    }

    /// The batch, if it is a commit.
    pub(super) fn batch(&self) -> Option<&Batch> {
        match &self.request {
            ShardRequest::Commit { batch, .. } => Some(batch),
            _ => None,
        }
    }

    /// Whether its answer is under way.
    pub(super) fn is_sent(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether it is a commit that a full Redis has refused.
    pub(super) fn is_refused_as_full(&self, answer: &Result<Value, RedisError>) -> bool {
        let is_full = matches!(answer, Err(error) if classify(error) == ErrorClass::Full);
        is_full && matches!(self.request, ShardRequest::Commit { .. })
    }

    /// Sends it, behind what was sent before.
    pub(super) fn send(
        &mut self,
        connection: &Connection,
        connector: &Connector,
        lease: &ShardLease,
        form: CommitForm,
    ) {
        (self.at, self.form) = (Instant::now(), form);
        let connection = connection.clone();
        let answer: PendingReply = match (&self.request, form) {
            (ShardRequest::Commit { batch, .. }, CommitForm::Transaction) => {
                let CommitTransaction { commands, skipped } = transaction::transaction(lease, self.expected, batch);
                Box::pin(async move { answer(connection.send_all(&commands, skipped).await) })
            }
            (ShardRequest::Commit { batch, .. }, CommitForm::ScriptThenWatch { is_probed }) => {
                let mut commands = redis::pipe();
                commands.add_command(commit::command(connector, lease, self.expected, batch, self.bodies));
                transaction::watch_anew(lease, is_probed, &mut commands);
                Box::pin(async move { answer(connection.send_all(&commands, 0).await) })
            }
            (request, _) => {
                let cmd = self.command(request, connector, lease);
                Box::pin(async move { connection.send(&cmd).await.into() })
            }
        };
        self.answer = Some(queued(answer));
    }

    fn command(&self, request: &ShardRequest, connector: &Connector, lease: &ShardLease) -> Cmd {
        let keys = &lease.keys;
        match request {
            ShardRequest::Commit { batch, .. } => commit::command(connector, lease, self.expected, batch, self.bodies),
            ShardRequest::Load(workspace) => {
                read::command(connector, keys, workspace, read::AttemptRange::Above(LOADED_MAX))
            }
            ShardRequest::Salvage(workspace) => read::salvage_command(connector, keys, workspace, LOADED_MAX),
            ShardRequest::Newest { workspace, .. } => {
                read::command(connector, keys, workspace, read::AttemptRange::Last)
            }
            ShardRequest::CatchUp { from, to, count } => {
                // Its end is told by the count, so no other bound may end it.
                let (from, to, bytes) = (ReadFrom::At(*from), to.to_string(), count.saturating_mul(ENTRY_BYTES_MAX));
                take::command(connector, &keys.messages(), from, &to, *count, bytes)
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
        }
    }

    /// Stops waiting for an answer on this connection.
    pub(super) fn forget(&mut self) {
        self.answer = None;
    }

    /// Polls its answer. One that is not sent has none.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ReceivedAnswer> {
        match &mut self.answer {
            Some(answer) => answer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Judges an answer that is not unknown.
    ///
    /// # Errors
    /// The shard connection is dead.
    pub(super) fn response(
        &self,
        answer: Result<Value, RedisError>,
        lease: &ShardLease,
    ) -> Result<ShardResponse, ShardConnectionError> {
        let failed = |error: RedisError| ShardConnectionError::Failed { shard: lease.shard, detail: error.to_string() };
        Ok(match &self.request {
            ShardRequest::Commit { number, .. } => {
                let counts = applied(answer, lease, self.expected)?;
                tell(lease, counts).map_err(failed)?;
                ShardResponse::Committed { number: *number, lease_until: self.at + lease.duration }
            }
            ShardRequest::Load(workspace) => {
                let loaded = stored(answer, workspace).map_err(failed)?;
                let loaded = loaded.and_then(|(stored, _)| replay::load(workspace, &stored));
                ShardResponse::Loaded(workspace.clone(), loaded.map(Box::new))
            }
            ShardRequest::Salvage(workspace) => {
                let remains = answer.and_then(read::parse_salvage).map_err(failed)?;
                ShardResponse::Salvaged(workspace.clone(), Box::new(salvage::salvage(remains)))
            }
            ShardRequest::Newest { workspace, command } => {
                let newest = stored(answer, workspace).map_err(failed)?;
                let newest =
                    newest.and_then(|(stored, last)| replay::newest(workspace, &stored.attempts, last.as_deref()));
                ShardResponse::Newest { workspace: workspace.clone(), command: *command, newest }
            }
            ShardRequest::CatchUp { .. } => ShardResponse::CaughtUp(answer.and_then(caught_up).map_err(failed)?),
            ShardRequest::Present(_) => {
                let ids = answer.and_then(reply::list).map_err(failed)?;
                let ids = ids.into_iter().map(reply::id).collect::<Result<_, _>>();
                ShardResponse::Present(ids.map_err(failed)?)
            }
            ShardRequest::Release => {
                applied(answer, lease, 0)?;
                ShardResponse::Released
            }
        })
    }

    /// Hands the response on. A caller that stopped waiting is no error: the request has had its effect.
    pub(super) fn tell(self, response: ShardResponse) {
        self.reply.send(response).ok();
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

/// Entries of a catch-up. One that was cut was set aside when it was read forward: nothing of it is of use.
fn caught_up(answer: Value) -> Result<Vec<RawEntry>, RedisError> {
    let emptied = |(entry, cut): (RawEntry, Option<usize>)| match cut {
        None => entry,
        Some(_) => RawEntry { id: entry.id, fields: Vec::new() },
    };
    Ok(reply::taken(answer)?.into_iter().map(emptied).collect())
}

/// What is stored of a workspace, with its newest skipped message as stored. Damage is the workspace's, not the shard
/// connection's: one key of another type must not stop the shard.
///
/// # Errors
/// Redis refuses to read it: nothing can be read on this connection.
fn stored(
    answer: Result<Value, RedisError>,
    workspace: &WorkspaceId,
) -> Result<Result<(Stored, Option<Bytes>), LoadError>, RedisError> {
    let answered = read::of_workspace(answer.and_then(read::parse), workspace)?;
    Ok(answered.and_then(|answered| answered.stored(workspace)))
}

/// What a commit was answered, and the commands behind it that watch the owner.
fn answer(answers: Result<Vec<Value>, RedisError>) -> ReceivedAnswer {
    let mut answers = match answers {
        Ok(answers) => answers.into_iter(),
        Err(error) => return Err(error).into(),
    };
    let own = answers.next().ok_or_else(|| unexpected("no answer to a commit"));
    ReceivedAnswer { own: checked(own), watch: Some(answers.collect()) }
}

/// An answer that is under way.
type PendingReply = Pin<Box<dyn Future<Output = ReceivedAnswer> + Send>>;

/// Puts a request on its connection now, in its place, and returns its answer.
///
/// The connection's queue is taken in the order of first polls. It has room for every request that
/// may be unanswered, so one poll is enough; it must not yield for the sake of other tasks, else a
/// later request could overtake.
fn queued(mut answer: PendingReply) -> PendingReply {
    let mut first = tokio::task::unconstrained(answer.as_mut());
    let mut context = Context::from_waker(std::task::Waker::noop());
    match Pin::new(&mut first).poll(&mut context) {
        Poll::Ready(done) => Box::pin(std::future::ready(done)),
        Poll::Pending => answer,
    }
}
