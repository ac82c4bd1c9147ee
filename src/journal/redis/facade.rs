//! What any node may do for any workspace: append commands and messages, and read.

use std::time::Duration;

use redis::{Cmd, RedisError, Value};
use tokio::time::{Instant, timeout_at};

use super::error::{ErrorClass, classify, store_error, unexpected};
use super::inner::RedisInner;
use super::json::json;
use super::keys::WorkspaceKey;
use super::read::{self, AttemptRange, WorkspaceReply};
use super::reply;
use super::script::Script;
use crate::journal::aside::aside;
use crate::journal::port::{
    COMMANDS_WAITING_FULL_MAX, COMMANDS_WAITING_MAX, HISTORY_RETAINED, PublishError, ReadError, Reading, StoredEvent,
    SubmitError, Version,
};
use crate::journal::replay::{self, Stored};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::{Answer, Command};
use crate::workspace::event::Event;
use crate::workspace::state::State;

impl RedisInner {
    pub(super) async fn submit_command(
        &self,
        workspace: &WorkspaceId,
        command: &Command,
        wait: Duration,
    ) -> Result<Answer, SubmitError> {
        const WHAT: &str = "storing a command";
        // Storing it is part of the wait.
        let until = Instant::now() + wait.min(command.expires_at.since((self.clock)()));
        let shard = workspace.shard(self.shards);
        let keys = self.keys.shard(shard);
        let encoded = json(command);
        let submit = async |script, waiting_max: usize| {
            let mut cmd = self.connector.script(script, &[keys.commands(), keys.answers()]);
            cmd.arg(waiting_max).arg(workspace.as_str()).arg(&encoded);
            let stored = timeout_at(until, self.shared.call_telling(&keys.owner(), &cmd)).await;
            stored.map_err(|_| SubmitError::MaybeStored)
        };
        let mut answer = submit(Script::Submit, COMMANDS_WAITING_MAX).await?;
        let is_full = matches!(&answer, Err(error) if classify(error) == ErrorClass::Full);
        if is_full && command.action.takes_away() {
            answer = submit(Script::SubmitFull, COMMANDS_WAITING_FULL_MAX).await?;
        }
        let stored = answer.and_then(|(answer, server)| Ok((submitted(answer)?, server)));
        let (stored, server) = stored.map_err(|error| match classify(&error) {
            ErrorClass::Full => SubmitError::Full,
            _ => SubmitError::Store(store_error(WHAT, error)),
        })?;
        let Some((id, position)) = stored else { return Err(SubmitError::TooMany) };
        let answer = async {
            let Some(answer) = self.listener(shard).wait(id, position).await?.answer().await? else { return Ok(None) };
            // What became of the command was committed before its answer could be read.
            Ok(self.durable_wait(shard).passed(server).await.then_some(answer))
        };
        match timeout_at(until, answer).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Err(error)) => Err(SubmitError::Unanswered(store_error("reading the answer to a command", error))),
            Ok(Ok(None)) | Err(_) => Err(SubmitError::OutcomeUnknown),
        }
    }

    pub(super) async fn publish_message(
        &self,
        workspace: &WorkspaceId,
        message: &RawMessage,
    ) -> Result<EntryId, PublishError> {
        let shard = workspace.shard(self.shards);
        let keys = self.keys.shard(shard);
        let mut cmd = redis::cmd("XADD");
        cmd.arg(keys.messages()).arg("*");
        cmd.arg("workspace").arg(workspace.as_str()).arg("message").arg(message.bytes().as_ref());
        self.append(shard, &cmd, reply::id).await
    }

    pub(super) async fn publish_messages(
        &self,
        workspace: &WorkspaceId,
        messages: &[RawMessage],
    ) -> Result<Vec<EntryId>, PublishError> {
        let shard = workspace.shard(self.shards);
        let keys = self.keys.shard(shard);
        let mut cmd = self.connector.script(Script::Publish, &[keys.messages()]);
        cmd.arg(workspace.as_str());
        for message in messages {
            cmd.arg(message.bytes().as_ref());
        }
        self.append(shard, &cmd, |ids| reply::list(ids)?.into_iter().map(reply::id).collect()).await
    }

    /// Runs what appends messages, and waits until they are as durable as was asked for.
    async fn append<T>(
        &self,
        shard: u16,
        cmd: &Cmd,
        read: impl FnOnce(Value) -> Result<T, RedisError>,
    ) -> Result<T, PublishError> {
        const WHAT: &str = "appending messages";
        let answer = self.shared.call_telling(&self.keys.shard(shard).owner(), cmd).await;
        let answer = answer.and_then(|(answer, server)| Ok((read(answer)?, server)));
        let (ids, server) = answer.map_err(|error| match classify(&error) {
            ErrorClass::Full => PublishError::Full,
            _ => PublishError::Store(store_error(WHAT, error)),
        })?;
        if self.durable_wait(shard).passed(server).await {
            return Ok(ids);
        }
        let error =
            std::io::Error::other("another server took the place of the one that stored it, and may not have it");
        Err(PublishError::Store(store_error(WHAT, error.into())))
    }

    pub(super) async fn read_workspace(&self, workspace: &WorkspaceId) -> Result<Reading, ReadError> {
        let (answered, workspace) = (self.read_reply(workspace, AttemptRange::Last).await?, workspace.clone());
        let read = aside(move || {
            let (stored, _) = answered.stored(&workspace)?;
            replay::read(&workspace, &stored)
        });
        Ok(read.await?)
    }

    pub(super) async fn read_snapshot(&self, workspace: &WorkspaceId) -> Result<State, ReadError> {
        Ok(replay::snapshot(workspace, &self.read_stored(workspace, AttemptRange::None).await?)?)
    }

    pub(super) async fn read_version(&self, workspace: &WorkspaceId) -> Result<Version, ReadError> {
        let Stored { top, snapshot, .. } = self.read_stored(workspace, AttemptRange::None).await?;
        Ok(Version { top, snapshot })
    }

    async fn read_stored(&self, workspace: &WorkspaceId, attempts: AttemptRange) -> Result<Stored, ReadError> {
        Ok(self.read_reply(workspace, attempts).await?.stored(workspace)?.0)
    }

    async fn read_reply(&self, workspace: &WorkspaceId, attempts: AttemptRange) -> Result<WorkspaceReply, ReadError> {
        let keys = self.keys.shard(workspace.shard(self.shards));
        let cmd = read::command(&self.connector, &keys, workspace, attempts);
        let answer = self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(read::parse);
        let answer = read::of_workspace(answer, workspace);
        Ok(answer.map_err(|error| store_error("reading a workspace", error))??)
    }

    pub(super) async fn read_history(&self, workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, ReadError> {
        let keys = self.keys.shard(workspace.shard(self.shards));
        let mut cmd = redis::cmd("XREVRANGE");
        cmd.arg(keys.of(workspace, WorkspaceKey::Journal)).arg("+").arg("-").arg("COUNT").arg(HISTORY_RETAINED);
        let answer = self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(reply::entries);
        let newest_first = answer.and_then(|entries| entries.into_iter().map(read::event).collect::<Result<_, _>>());
        let newest_first = read::of_workspace(newest_first, workspace);
        let mut events: Vec<StoredEvent> =
            newest_first.map_err(|error| store_error("reading a workspace's history", error))??;
        events.reverse();
        let workspace = workspace.clone();
        Ok(aside(move || replay::history(&workspace, &events)).await?)
    }
}

/// The command's id and the answer before its own; `None` when too many wait.
fn submitted(answer: Value) -> Result<Option<(EntryId, EntryId)>, RedisError> {
    let mut values = reply::list(answer)?.into_iter();
    let mut next = || values.next().ok_or_else(|| unexpected("a short answer"));
    match reply::text(next()?)?.as_str() {
        "OK" => Ok(Some((reply::id(next()?)?, reply::id(next()?)?))),
        "FULL" => Ok(None),
        _ => Err(unexpected("an unknown word from submit.lua")),
    }
}
