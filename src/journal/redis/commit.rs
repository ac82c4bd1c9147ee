//! A batch as one call of `commit.lua`: any batch. [`super::transaction`] is the cheaper form of most.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use foldhash::quality::RandomState;
use redis::{Cmd, RedisWrite, ToRedisArgs};

use self::Argument::{Id, Number, Text, Word};
use super::compression;
use super::connector::Connector;
use super::json::json;
use super::keys::{ShardKeys, WorkspaceKey};
use super::lease::ShardLease;
use super::script::Script;
use crate::config::{ANSWERS_RETAINED, Compression};
use crate::journal::codec;
use crate::journal::port::{
    ATTEMPTS_RETAINED, Batch, Bookmark, HISTORY_RETAINED, REJECTED_BYTES_RETAINED, REJECTED_RETAINED, Step,
};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::MailId;

/// Ids in one XDEL at most: Lua cannot spread a list without a bound over a call's arguments.
const SETTLE_AT_ONCE: usize = 500;
/// Where the script expects the keys that every commit has.
const MESSAGES: usize = 2;
const COMMANDS: usize = 3;

/// What of the attempts is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// All of it; a full Redis refuses the commit.
    Kept,
    /// No bodies, so that the commit frees memory; a full Redis takes it.
    Omitted,
}

/// The call that makes `batch` the commit after `expected`.
pub(super) fn command(connector: &Connector, lease: &ShardLease, expected: u64, batch: &Batch, bodies: Bodies) -> Cmd {
    let ShardLease { nonce, duration, .. } = lease;
    let mut operations = Operations::new(lease, bodies);
    // Events of all steps come before what presupposes them: see commit.lua.
    batch.steps.iter().for_each(|step| operations.events(step));
    batch.steps.iter().for_each(|step| operations.states(step));
    operations.write_states();
    // What a load does not need comes behind what it does: whatever makes it fail leaves workspaces whole.
    batch.steps.iter().for_each(|step| operations.listing(step));
    if let Some(bookmark) = &batch.bookmark {
        operations.mark(bookmark);
    }
    batch.steps.iter().for_each(|step| operations.entries(step));
    // All of a batch together: one XDEL for many entries costs a fraction of one for each.
    operations.settle(MESSAGES, batch.steps.iter().flat_map(|step| &step.settled));
    operations.settle(COMMANDS, batch.steps.iter().flat_map(|step| &step.settled_commands));

    let script = match bodies {
        Bodies::Kept => Script::Commit,
        Bodies::Omitted => Script::CommitFull,
    };
    let mut cmd = connector.script(script, &operations.keys);
    cmd.arg(nonce)
        .arg(expected.to_string())
        .arg((expected + 1).to_string())
        .arg(duration.as_millis().to_string())
        .arg(ATTEMPTS_RETAINED)
        .arg(HISTORY_RETAINED)
        .arg(ANSWERS_RETAINED)
        .arg(REJECTED_RETAINED)
        .arg(if operations.runs_few { "few" } else { "all" })
        .arg(&operations.arguments);
    cmd
}

/// The operations that run none but XADD, XDEL, SET and HSET: most commits have no others, and to ask whether a command may be run
/// takes as long as to run it.
const RUNS_FEW: [&str; 5] = ["attempt", "event", "set", "settle", "answer"];

/// The field and the value of an attempt in its stream.
pub(super) fn stored_attempt(json: &Bytes, lease: &ShardLease) -> (&'static str, Bytes) {
    let older = codec::in_format(lease.format.load(Ordering::Acquire), json);
    let json = older.as_ref().unwrap_or(json);
    let compressed = match lease.compression {
        Compression::None => None,
        Compression::Zstd => compression::compress(json),
    };
    compressed.map_or_else(|| ("e", json.clone()), |event| ("z", event))
}

/// An argument, written straight into the command.
pub(super) enum Argument {
    Word(&'static str),
    Number(usize),
    Id(EntryId),
    Text(Bytes),
}

impl ToRedisArgs for Argument {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Word(word) => out.write_arg(word.as_bytes()),
            Self::Number(number) => out.write_arg_fmt(number),
            Self::Id(id) => out.write_arg_fmt(id),
            Self::Text(text) => out.write_arg(text),
        }
    }
}

/// Collects keys and arguments: the script's keys stand before its arguments.
struct Operations<'a> {
    lease: &'a ShardLease,
    shard: &'a ShardKeys,
    bodies: Bodies,
    keys: Vec<String>,
    /// Looked up for each event, so not with the standard hasher.
    places: HashMap<(WorkspaceId, WorkspaceKey), usize, RandomState>,
    /// By key: of several values the last holds, so only that is written. `None` is no value.
    values: HashMap<usize, Option<Bytes>>,
    arguments: Vec<Argument>,
    /// All are of [`RUNS_FEW`].
    runs_few: bool,
    /// The place of the first of the lists of workspaces.
    lists: Option<usize>,
}

impl<'a> Operations<'a> {
    fn new(lease: &'a ShardLease, bodies: Bodies) -> Self {
        let shard = &lease.keys;
        let keys =
            vec![shard.owner(), shard.messages(), shard.commands(), shard.answers(), shard.outbox(), shard.rejected()];
        let (places, values) = (HashMap::default(), HashMap::new());
        Self { lease, shard, bodies, keys, places, values, arguments: Vec::new(), runs_few: true, lists: None }
    }

    fn events(&mut self, step: &Step) {
        let Some(workspace) = &step.workspace else { return };
        if step.forget {
            let streams = [WorkspaceKey::Attempts, WorkspaceKey::Journal].map(|key| self.place(workspace, key));
            self.push(if step.anew.is_some() { "anew" } else { "forget" }, streams.map(Number));
            self.arguments.push(Text(mail_fields(workspace)));
        }
        if step.drop_log {
            let place = self.place(workspace, WorkspaceKey::Attempts);
            self.push("empty", [Number(place)]);
        }
        for attempt in &step.attempts {
            let lean = match self.bodies {
                Bodies::Kept => None,
                Bodies::Omitted => codec::without_bodies(&attempt.json),
            };
            let (field, event) = stored_attempt(lean.as_ref().unwrap_or(&attempt.json), self.lease);
            let place = self.place(workspace, WorkspaceKey::Attempts);
            self.push("attempt", [Number(place), event_id(attempt.seq), Word(field), Text(event)]);
        }
        for event in &step.history {
            let place = self.place(workspace, WorkspaceKey::Journal);
            self.push("event", [Number(place), event_id(event.seq), Text(event.json.clone())]);
        }
        if let Some(seq) = step.anew {
            let place = self.place(workspace, WorkspaceKey::Journal);
            self.push("reach", [Number(place), event_id(seq)]);
        }
        for mail in &step.mails_owed {
            self.push("owe", [Text(mail_field(&mail.workspace, mail.id)), Text(codec::encode_mail(mail))]);
        }
        for mail in &step.mails_ended {
            self.push("pay", [Text(mail_field(workspace, *mail))]);
        }
    }

    fn states(&mut self, step: &Step) {
        let Some(workspace) = &step.workspace else { return };
        if step.forget || step.drop_log {
            let place = self.place(workspace, WorkspaceKey::Last);
            self.values.insert(place, None);
        }
        if step.forget {
            let place = self.place(workspace, WorkspaceKey::Snapshot);
            self.values.insert(place, None);
        }
        if let Some(snapshot) = &step.snapshot {
            let place = self.place(workspace, WorkspaceKey::Snapshot);
            self.values.insert(place, Some(snapshot.clone()));
        }
        if let Some(newest) = &step.last_skipped {
            let place = self.place(workspace, WorkspaceKey::Last);
            self.values.insert(place, Some(codec::encode_newest(newest)));
        }
    }

    fn listing(&mut self, step: &Step) {
        let Some(workspace) = step.workspace.as_ref().filter(|_| step.listed.is_some() || step.forget) else { return };
        // Without a status it is taken out.
        let place = step.listed.and_then(|listed| WebhookStatus::ALL.iter().position(|status| *status == listed));
        let lists = self.lists();
        let id = Text(Bytes::from(workspace.as_str().to_owned()));
        self.push("list", [Number(lists), id, Number(place.map_or(0, |place| place + 1))]);
    }

    fn write_states(&mut self) {
        for (place, value) in std::mem::take(&mut self.values) {
            match value {
                Some(value) => self.push("set", [Number(place), Text(value)]),
                None => self.push("unset", [Number(place)]),
            }
        }
    }

    /// One that says nothing takes the stored one away, and on a full Redis every one does.
    fn mark(&mut self, bookmark: &Bookmark) {
        self.keys.push(self.shard.bookmark());
        let place = Number(self.keys.len());
        if *bookmark == Bookmark::default() || self.bodies == Bodies::Omitted {
            self.push("unset", [place]);
        } else {
            self.push("set", [place, Text(codec::encode_bookmark(bookmark))]);
        }
    }

    fn entries(&mut self, step: &Step) {
        for rejected in &step.rejected {
            self.push("reject", [Number(REJECTED_BYTES_RETAINED), Number(rejected.fields.len() * 2)]);
            let fields = rejected.fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
            self.arguments.extend(fields.map(Text));
        }
        for (command, answer) in &step.answers {
            self.push("answer", [Id(*command), Text(json(answer).into())]);
        }
    }

    fn settle<'b>(&mut self, stream: usize, entries: impl Iterator<Item = &'b EntryId>) {
        let entries: Vec<&EntryId> = entries.collect();
        for entries in entries.chunks(SETTLE_AT_ONCE) {
            self.push("settle", [Number(stream), Number(entries.len())]);
            self.arguments.extend(entries.iter().map(|entry| Id(**entry)));
        }
    }

    fn push<const N: usize>(&mut self, operation: &'static str, arguments: [Argument; N]) {
        self.runs_few &= RUNS_FEW.contains(&operation);
        self.arguments.push(Word(operation));
        self.arguments.extend(arguments);
    }

    /// The place of the list of all workspaces; those by status follow.
    fn lists(&mut self) -> usize {
        *self.lists.get_or_insert_with(|| {
            let statuses = WebhookStatus::ALL.into_iter().map(Some);
            self.keys.extend([None].into_iter().chain(statuses).map(|status| self.shard.workspaces(status)));
            self.keys.len() - WebhookStatus::ALL.len()
        })
    }

    /// The place of a workspace's key among the script's keys, counted from 1 as Lua does.
    fn place(&mut self, workspace: &WorkspaceId, key: WorkspaceKey) -> usize {
        *self.places.entry((workspace.clone(), key)).or_insert_with(|| {
            self.keys.push(self.shard.of(workspace, key));
            self.keys.len()
        })
    }
}

/// An event's id in its stream, `<seq>-0`: written as an entry's id is.
pub(super) fn event_id(seq: u64) -> Argument {
    Id(EntryId { ms: seq, n: 0 })
}

fn mail_field(workspace: &WorkspaceId, mail: MailId) -> Bytes {
    Bytes::from(format!("{workspace}:{}", mail.owed_by))
}

/// What the fields of all mails of the workspace begin with; only digits follow.
fn mail_fields(workspace: &WorkspaceId) -> Bytes {
    Bytes::from(format!("{workspace}:"))
}
