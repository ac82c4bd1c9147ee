//! What is stored of a workspace, as one call of `read.lua`.

use bytes::Bytes;
use redis::{Cmd, ErrorKind, RedisError, Value};

use super::compression;
use super::connector::Connector;
use super::error::unexpected;
use super::keys::{ShardKeys, WorkspaceKey};
use super::reply;
use super::script::Script;
use crate::journal::port::{ATTEMPTS_RETAINED, HISTORY_RETAINED, LoadError, RawEntry, StoredEvent};
use crate::journal::replay::Stored;
use crate::journal::salvage::Remains;
use crate::message::WorkspaceId;

/// Which attempts to read.
#[derive(Debug, Clone, Copy)]
pub(super) enum AttemptRange {
    /// Those above the snapshot, at most so many.
    Above(usize),
    /// The last [`ATTEMPTS_RETAINED`].
    Last,
    /// The last one, without the newest skipped message.
    Newest,
    /// None: the snapshot is enough.
    None,
}

/// What is stored, attempts in whichever form they have.
pub(super) struct WorkspaceReply {
    pub(super) attempts: Vec<RawEntry>,
    snapshot: Option<Bytes>,
    top: u64,
    last: Option<Bytes>,
}

impl WorkspaceReply {
    /// The same with the attempts of `workspace` decompressed, and its newest skipped message as stored.
    ///
    /// # Errors
    /// [`LoadError::Corrupt`]: an attempt cannot be decompressed.
    pub(super) fn stored(self, workspace: &WorkspaceId) -> Result<(Stored, Option<Bytes>), LoadError> {
        let attempts = compression::stored_attempts(&self.attempts).map_err(|error| error.for_workspace(workspace))?;
        Ok((Stored { snapshot: self.snapshot, attempts, top: self.top }, self.last))
    }
}

/// The call.
pub(super) fn command(connector: &Connector, keys: &ShardKeys, workspace: &WorkspaceId, attempts: AttemptRange) -> Cmd {
    use WorkspaceKey::{Attempts, Journal, Last, Snapshot};
    let keys = [Snapshot, Attempts, Journal, Last].map(|key| keys.of(workspace, key));
    let (count, which) = match attempts {
        AttemptRange::Above(count) => (count, "above"),
        AttemptRange::Last => (ATTEMPTS_RETAINED, "last"),
        AttemptRange::Newest => (1, "newest"),
        AttemptRange::None => (0, "none"),
    };
    let mut cmd = connector.script(Script::Read, &keys);
    cmd.arg(count).arg(which);
    cmd
}

/// The call that reads what can still be read.
pub(super) fn salvage_command(
    connector: &Connector,
    keys: &ShardKeys,
    workspace: &WorkspaceId,
    attempts: usize,
) -> Cmd {
    use WorkspaceKey::{Attempts, Journal, Last, Snapshot};
    let keys = [Snapshot, Attempts, Journal, Last].map(|key| keys.of(workspace, key));
    let mut cmd = connector.script(Script::Salvage, &keys);
    cmd.arg(attempts).arg(HISTORY_RETAINED);
    cmd
}

/// Its answer. What is no event is counted.
///
/// # Errors
/// It has another form.
pub(super) fn parse_salvage(answer: Value) -> Result<Remains, RedisError> {
    let [snapshot, attempts, attempts_top, journal_top, last, history, odd] = reply::tuple(answer)?;
    let (attempts, history) = (reply::entries(attempts)?, reply::entries(history)?);
    let found = attempts.len() + history.len();
    let unpacked = |entry: &RawEntry| compression::stored_attempts(std::slice::from_ref(entry)).ok()?.pop();
    let attempts: Vec<StoredEvent> = attempts.iter().filter_map(unpacked).collect();
    let history: Vec<StoredEvent> = history.into_iter().filter_map(|entry| event(entry).ok()).collect();
    Ok(Remains {
        odd: reply::number(odd)?,
        unreadable: found - attempts.len() - history.len(),
        top: reply::id(attempts_top)?.ms.max(reply::id(journal_top)?.ms),
        snapshot: reply::bytes(snapshot)?,
        skipped: reply::bytes(last)?,
        attempts,
        history,
    })
}

/// The answer to [`command`].
///
/// # Errors
/// It has another form.
pub(super) fn parse(answer: Value) -> Result<WorkspaceReply, RedisError> {
    let [snapshot, attempts, attempts_top, journal_top, last] = reply::tuple(answer)?;
    let top = reply::id(attempts_top)?.ms.max(reply::id(journal_top)?.ms);
    let attempts = reply::entries(attempts)?;
    Ok(WorkspaceReply { attempts, snapshot: reply::bytes(snapshot)?, top, last: reply::bytes(last)? })
}

/// What the answer to a read of a workspace says of it. A key of another type, and an answer of another form, are damage
/// of what is stored. Any other refusal, such as of a command that the user may not run, says nothing of what is stored.
///
/// # Errors
/// The answer's, where it says nothing of the workspace.
pub(super) fn of_workspace<T>(
    answer: Result<T, RedisError>,
    workspace: &WorkspaceId,
) -> Result<Result<T, LoadError>, RedisError> {
    let is_damage =
        |error: &RedisError| error.code() == Some("WRONGTYPE") || error.kind() == ErrorKind::UnexpectedReturnType;
    match answer {
        Err(error) if is_damage(&error) => {
            Ok(Err(LoadError::Corrupt { workspace: workspace.clone(), detail: error.to_string() }))
        }
        answer => answer.map(Ok),
    }
}

/// An entry `<seq>-0` of the stream of events that are no attempts.
pub(super) fn event(entry: RawEntry) -> Result<StoredEvent, RedisError> {
    let json = entry.field("e").cloned().ok_or_else(|| unexpected("an event without the field e"))?;
    Ok(StoredEvent { seq: entry.id.ms, json })
}
