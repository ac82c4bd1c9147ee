//! A batch of attempts as a transaction: most commits are, and it costs Redis less than `commit.lua` does, into which every
//! attempt is copied, and out of it again.
//!
//! # Nothing of a holder that lost its shard is applied
//! The owner is watched first ([`watch_anew`]). Only an answer that shows it as it should be lets a transaction be sent, and
//! whatever changed the owner since then, a takeover above all, makes EXEC apply nothing. Both in one write would not do:
//! what Redis refuses to run guards nothing, and the EXEC behind it applies.
//!
//! # Nothing is settled without its attempt
//! EXEC goes on behind a command that failed. So only attempts stand in it by themselves; all that presupposes them is
//! done by `finish.lua`, the last command, when it finds them.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use foldhash::fast::RandomState;
use redis::{Cmd, Pipeline, RedisError, Value};

use super::commit::{Argument, event_id, stored_attempt};
use super::error::{ErrorClass, checked, classify, unexpected};
use super::keys::WorkspaceKey;
use super::lease::ShardLease;
use super::reply;
use crate::journal::codec;
use crate::journal::port::{ATTEMPTS_RETAINED, Batch, Step};
use crate::message::WorkspaceId;

/// Without its comments: Redis hashes the text with every call.
static FINISH: LazyLock<String> = LazyLock::new(|| {
    let lines = include_str!("../../../redis/finish.lua").lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with("--")).collect::<Vec<_>>().join("\n")
});
/// Answers that tell nothing: MULTI's and, by command, that it is queued. EXEC's tells what went wrong.
const MULTI: usize = 1;

/// A transaction, and behind it what the next one needs: the owner watched and read.
pub(super) struct CommitTransaction {
    pub(super) commands: Pipeline,
    /// How many of the first answers tell nothing.
    pub(super) skipped: usize,
}

/// Whether `batch` holds nothing but what a transaction can hold, and enough to pay for what each costs.
pub(super) fn suits(lease: &ShardLease, batch: &Batch) -> bool {
    let attempts = batch.steps.iter().map(|step| step.attempts.len()).sum::<usize>();
    attempts >= lease.transaction_attempts_min && batch.bookmark.is_none() && batch.steps.iter().all(is_plain)
}

/// Named one by one, so that whatever a step may hold one day is considered here.
fn is_plain(step: &Step) -> bool {
    let Step {
        workspace: _,
        forget,
        drop_log,
        anew,
        attempts: _,
        history,
        snapshot: _,
        listed,
        last_skipped: _,
        mails_owed,
        mails_ended,
        settled: _,
        outcomes: _,
        settled_commands,
        answers,
        rejected,
    } = step;
    !forget
        && !drop_log
        && anew.is_none()
        && listed.is_none()
        && history.is_empty()
        && mails_owed.is_empty()
        && mails_ended.is_empty()
        && settled_commands.is_empty()
        && answers.is_empty()
        && rejected.is_empty()
}

/// What the answers show to the commands that watch the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchAnswer {
    /// The owner is watched, ours, and at the head that it should be at.
    Watched,
    NotWatched,
    /// Redis runs no transactions for us: a proxy in between or an access list does not let it.
    Refused,
}

/// The commands that watch the owner anew and read it; first, unless that is known, a transaction that does nothing.
pub(super) fn watch_anew(lease: &ShardLease, is_probed: bool, commands: &mut Pipeline) {
    if is_probed {
        // What changed since an earlier WATCH would count against the next transaction, too.
        commands.cmd("UNWATCH");
    } else {
        commands.cmd("MULTI").cmd("EVAL").arg("return 1").arg(0).cmd("EXEC");
    }
    watch(lease, commands);
}

/// The commands that watch the owner and read it.
fn watch(lease: &ShardLease, commands: &mut Pipeline) {
    let owner = lease.keys.owner();
    commands.cmd("WATCH").arg(&owner).cmd("HMGET").arg(&owner).arg("nonce").arg("head");
}

/// Judges the answers to the commands that watch the owner.
pub(super) fn watched(mut answers: Vec<Value>, lease: &ShardLease, head: u64) -> WatchAnswer {
    let (owner, watch) = (answers.pop(), answers.pop());
    for answer in answers.into_iter().chain(watch) {
        if let Err(error) = checked(Ok(answer)) {
            return match classify(&error) {
                ErrorClass::Refused => WatchAnswer::Refused,
                ErrorClass::Full | ErrorClass::NotRun | ErrorClass::Unknown => WatchAnswer::NotWatched,
            };
        }
    }
    let found = || -> Result<bool, RedisError> {
        let [nonce, found] = reply::tuple(owner.unwrap_or_default())?;
        Ok(reply::text(nonce)? == lease.nonce && reply::number(found)? == head)
    };
    if found().unwrap_or(false) { WatchAnswer::Watched } else { WatchAnswer::NotWatched }
}

/// The transaction that makes `batch` the commit after `expected`.
pub(super) fn transaction(lease: &ShardLease, expected: u64, batch: &Batch) -> CommitTransaction {
    let ShardLease { keys, nonce, duration, .. } = lease;
    let attempts = batch.steps.iter().map(|step| step.attempts.len()).sum::<usize>();
    // MULTI, EVAL, EXEC, WATCH and HMGET.
    let mut commands = Pipeline::with_capacity(attempts + 5);
    commands.cmd("MULTI");
    let mut finish = FinishCall::default();
    for step in &batch.steps {
        let Some(workspace) = &step.workspace else { continue };
        if let Some(last) = step.attempts.last() {
            let stream = finish.stream(workspace, last.seq, || keys.of(workspace, WorkspaceKey::Attempts));
            for attempt in &step.attempts {
                let (field, event) = stored_attempt(&attempt.json, lease);
                commands.add_command(append(stream, attempt.seq, field, &event));
            }
        }
        if let Some(snapshot) = &step.snapshot {
            finish.values.insert((workspace, WorkspaceKey::Snapshot), snapshot.clone());
        }
        if let Some(newest) = &step.last_skipped {
            finish.values.insert((workspace, WorkspaceKey::Last), codec::encode_newest(newest));
        }
    }
    let call = commands.cmd("EVAL").arg(FINISH.as_str()).arg(2 + finish.streams.len() + finish.values.len());
    call.arg(keys.owner()).arg(keys.messages());
    finish.streams.iter().for_each(|(stream, _)| {
        call.arg(stream);
    });
    finish.values.keys().for_each(|(workspace, key)| {
        call.arg(keys.of(workspace, *key));
    });
    call.arg(nonce).arg(expected.to_string()).arg((expected + 1).to_string()).arg(duration.as_millis().to_string());
    call.arg(finish.streams.len()).arg(finish.values.len());
    finish.streams.iter().for_each(|(_, last)| {
        call.arg(event_id(*last));
    });
    finish.values.values().for_each(|value| {
        call.arg(&value[..]);
    });
    batch.steps.iter().flat_map(|step| &step.settled).for_each(|entry| {
        call.arg(Argument::Id(*entry));
    });
    commands.cmd("EXEC");
    watch(lease, &mut commands);
    // Everything between MULTI and EXEC is answered with QUEUED.
    CommitTransaction { commands, skipped: MULTI + attempts + 1 }
}

fn append(stream: &str, seq: u64, field: &str, event: &Bytes) -> Cmd {
    // The words around the event are short, and the stream's name is at most as long as the bound of a prefix and of a
    // workspace's id allow.
    let mut cmd = Cmd::with_capacity(8, event.len() + stream.len() + 64);
    cmd.arg("XADD").arg(stream).arg("MAXLEN").arg("~").arg(ATTEMPTS_RETAINED);
    cmd.arg(event_id(seq)).arg(field).arg(&event[..]);
    cmd
}

/// What the last command is told.
#[derive(Default)]
struct FinishCall<'a> {
    /// Name and last seq.
    streams: Vec<(String, u64)>,
    places: HashMap<&'a WorkspaceId, usize, RandomState>,
    /// Of several values the last holds.
    values: HashMap<(&'a WorkspaceId, WorkspaceKey), Bytes>,
}

impl<'a> FinishCall<'a> {
    fn stream(&mut self, workspace: &'a WorkspaceId, last: u64, name: impl FnOnce() -> String) -> &str {
        let place = *self.places.entry(workspace).or_insert_with(|| {
            self.streams.push((name(), last));
            self.streams.len() - 1
        });
        self.streams[place].1 = last;
        &self.streams[place].0
    }
}

/// What EXEC answered: `None` when it applied nothing and another form may, else the answer of `finish.lua`.
///
/// # Errors
/// Those of EXEC itself, and the first of a command within it.
pub(super) fn outcome(exec: Result<Value, RedisError>) -> Result<Option<Value>, RedisError> {
    let answers = match exec {
        Ok(Value::Array(answers)) => answers,
        // Whatever it was that Redis did not take: the script's own answer says what it means.
        Err(error) if error.code() == Some("EXECABORT") => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => return Ok(None),
    };
    let mut last = None;
    for answer in answers {
        match answer {
            Value::ServerError(error) => return Err(error.into()),
            answer => last = Some(answer),
        }
    }
    last.map(Some).ok_or_else(|| unexpected("a transaction without answers"))
}
