//! What calls do to the tables, within one transaction. Reads see the writes made before them.

mod noted;
mod rejected;
mod salvage;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};

use super::contained::contained;
use super::tables::{
    self, BOOKMARKS, EVENTS, HISTORIES, Id, LISTED, Names, OUTBOX, Record, SKIPPED, TOPS, WORKSPACES, entry, id,
};
use crate::journal::codec;
use crate::journal::port::{
    ATTEMPTS_RETAINED, Batch, Bookmark, COMMANDS_WAITING_MAX, HISTORY_RETAINED, LoadError, Loaded, Newest, OwedMail,
    RawEntry, Step, StoredEvent,
};
use crate::journal::replay;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::configuration::WebhookStatus;

/// Every error of the file ends the transaction, and with it the journal until it is opened again.
pub(super) type StorageResult<T> = Result<T, redb::Error>;

/// The open tables of one transaction.
pub(super) struct Transaction<'t> {
    txn: &'t WriteTransaction,
    events: Table<'t, u64, &'static [u8]>,
    histories: Table<'t, &'static str, &'static [u8]>,
    skipped: Table<'t, &'static str, &'static [u8]>,
    outbox: Table<'t, (u16, &'static str, u64), &'static [u8]>,
    listed: Table<'t, &'static str, &'static str>,
    tops: Table<'t, u16, (Id, Id)>,
    shards: HashMap<u16, Shard<'t>>,
    records: Records<'t>,
    next_event: u64,
    now_ms: u64,
    rejected_deleted: u64,
    changed: bool,
}

/// Records are written once a transaction.
struct Records<'t> {
    table: Table<'t, &'static str, &'static [u8]>,
    /// Those that were read, and whether they have to be written.
    read: HashMap<WorkspaceId, (Record, bool)>,
}

struct Shard<'t> {
    messages: Table<'t, Id, &'static [u8]>,
    commands: Table<'t, Id, &'static [u8]>,
    rejected: Table<'t, u64, &'static [u8]>,
    tops: (Id, Id),
    topped: bool,
}

/// What a transaction leaves behind for the next one.
pub(super) struct TransactionEnd {
    pub(super) next_event: u64,
    pub(super) rejected_deleted: u64,
    /// Whether there is anything to be made durable.
    pub(super) changed: bool,
}

impl<'t> Transaction<'t> {
    /// Events are numbered from `next_event`; entries get ids of `now_ms` or above.
    pub(super) fn open(txn: &'t WriteTransaction, next_event: u64, now_ms: u64) -> StorageResult<Self> {
        Ok(Self {
            events: txn.open_table(EVENTS)?,
            histories: txn.open_table(HISTORIES)?,
            skipped: txn.open_table(SKIPPED)?,
            outbox: txn.open_table(OUTBOX)?,
            listed: txn.open_table(LISTED)?,
            tops: txn.open_table(TOPS)?,
            txn,
            shards: HashMap::new(),
            records: Records { table: txn.open_table(WORKSPACES)?, read: HashMap::new() },
            next_event,
            now_ms,
            rejected_deleted: 0,
            changed: false,
        })
    }

    /// Appends a message.
    pub(super) fn publish(&mut self, shard: u16, fields: &[(&[u8], &[u8])]) -> StorageResult<EntryId> {
        let now_ms = self.now_ms;
        let tables = self.shard(shard)?;
        let id = tables.next_id(now_ms, |tops| &mut tops.0);
        tables.messages.insert(id, tables::encode_fields(fields.iter().copied()).as_slice())?;
        self.changed = true;
        Ok(entry(id))
    }

    /// Appends a command, or answers `None` when too many wait.
    pub(super) fn submit(&mut self, shard: u16, fields: &[(&[u8], &[u8])]) -> StorageResult<Option<EntryId>> {
        let now_ms = self.now_ms;
        let tables = self.shard(shard)?;
        if tables.commands.len()? >= COMMANDS_WAITING_MAX as u64 {
            return Ok(None);
        }
        let id = tables.next_id(now_ms, |tops| &mut tops.1);
        tables.commands.insert(id, tables::encode_fields(fields.iter().copied()).as_slice())?;
        self.changed = true;
        Ok(Some(entry(id)))
    }

    /// Mails that are owed in the shard. One that cannot be read is left where it is and logged.
    pub(super) fn outbox(&self, shard: u16) -> StorageResult<Vec<OwedMail>> {
        let mut owed = Vec::new();
        for item in self.outbox.range((shard, "", 0)..)? {
            let (key, mail) = item?;
            if key.value().0 != shard {
                break;
            }
            match codec::decode_mail(mail.value()) {
                Ok(mail) => owed.push(mail),
                Err(error) => {
                    tracing::error!(shard, workspace = key.value().1, %error, "a mail that is owed cannot be read")
                }
            }
        }
        Ok(owed)
    }

    /// How far the shard has been read.
    pub(super) fn bookmark(&self, shard: u16) -> StorageResult<Option<Bookmark>> {
        let bookmarks = self.txn.open_table(BOOKMARKS)?;
        Ok(bookmarks.get(shard)?.and_then(|bookmark| codec::decode_bookmark(bookmark.value())))
    }

    /// Applies a batch, or nothing of it: then the answer says what contradicts the journal.
    pub(super) fn commit(&mut self, shard: u16, batch: &Batch) -> StorageResult<Result<(), String>> {
        if let Err(refused) = self.check(batch)? {
            return Ok(Err(refused));
        }
        for step in &batch.steps {
            self.changed = true;
            self.append(shard, step)?;
            self.settle(shard, step)?;
        }
        if let Some(bookmark) = &batch.bookmark {
            self.changed = true;
            let mut bookmarks = self.txn.open_table(BOOKMARKS)?;
            if *bookmark == Bookmark::default() {
                bookmarks.remove(shard)?;
            } else {
                bookmarks.insert(shard, codec::encode_bookmark(bookmark).as_ref())?;
            }
        }
        Ok(Ok(()))
    }

    /// Every batch continues the gapless seq of its workspaces.
    fn check(&mut self, batch: &Batch) -> StorageResult<Result<(), String>> {
        let mut tops = HashMap::new();
        for step in batch.steps.iter().filter(|step| step.events() > 0 || step.anew.is_some()) {
            let Some(workspace) = &step.workspace else {
                return Ok(Err("a step has events but no workspace".to_owned()));
            };
            if let Some(anew) = step.anew {
                // What is there is not looked at: it may be what cannot be read.
                tops.insert(workspace, anew);
                continue;
            }
            let top = match tops.entry(workspace) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.records.get(workspace)?.0.top),
            };
            for seq in in_order(step).map(|(event, _)| event.seq) {
                if seq != *top + 1 {
                    return Ok(Err(format!("event {seq} of workspace {workspace} follows event {top}")));
                }
                *top = seq;
            }
        }
        Ok(Ok(()))
    }

    /// What the step adds to its workspace.
    fn append(&mut self, shard: u16, step: &Step) -> StorageResult<()> {
        let Some(workspace) = &step.workspace else { return Ok(()) };
        if step.forget {
            self.forget(shard, workspace)?;
        }
        if step.drop_log {
            let (record, dirty) = self.records.get(workspace)?;
            *dirty = true;
            for (_, number) in std::mem::take(&mut record.attempts) {
                self.events.remove(number)?;
            }
            self.skipped.remove(workspace.as_str())?;
        }
        let mut history = Vec::new();
        for (event, is_attempt) in in_order(step) {
            let number = self.next_event;
            self.next_event += 1;
            self.events.insert(number, event.json.as_ref())?;
            let (record, dirty) = self.records.get(workspace)?;
            (record.top, *dirty) = (event.seq, true);
            if is_attempt {
                record.attempts.push_back((event.seq, number));
                if record.attempts.len() > ATTEMPTS_RETAINED
                    && let Some((_, oldest)) = record.attempts.pop_front()
                {
                    self.events.remove(oldest)?;
                }
            } else {
                history.push((event.seq, number));
            }
        }
        if !history.is_empty() {
            self.append_history(workspace, history)?;
        }
        if let Some(anew) = step.anew {
            self.records.get(workspace)?.0.top = anew;
        }
        if let Some(snapshot) = &step.snapshot {
            let (record, dirty) = self.records.get(workspace)?;
            (record.snapshot, *dirty) = (Some(snapshot.clone()), true);
        }
        if step.listed.is_some() {
            self.list(workspace, step.listed)?;
        }
        if let Some(newest) = &step.last_skipped {
            self.skipped.insert(workspace.as_str(), codec::encode_newest(newest).as_ref())?;
        }
        for mail in &step.mails_ended {
            self.outbox.remove((shard, workspace.as_str(), mail.owed_by))?;
        }
        Ok(())
    }

    /// Takes everything out that is kept of the workspace, but for its seq and its snapshot.
    fn forget(&mut self, shard: u16, workspace: &WorkspaceId) -> StorageResult<()> {
        let (record, dirty) = self.records.get_or_lost(workspace)?;
        *dirty = true;
        record.snapshot = None;
        let attempts = std::mem::take(&mut record.attempts);
        let history = self.histories.remove(workspace.as_str())?;
        let history = history.and_then(|bytes| tables::decode_places(bytes.value()).ok()).unwrap_or_default();
        for (_, number) in attempts.into_iter().chain(history) {
            self.events.remove(number)?;
        }
        self.list(workspace, None)?;
        self.skipped.remove(workspace.as_str())?;
        let mails = (shard, workspace.as_str(), 0)..=(shard, workspace.as_str(), u64::MAX);
        self.outbox.retain_in(mails, |_, _| false)?;
        Ok(())
    }

    /// Lists the workspace with a status, or no more.
    fn list(&mut self, workspace: &WorkspaceId, status: Option<WebhookStatus>) -> StorageResult<()> {
        let id = workspace.as_str();
        let before = self.listed.remove(id)?.map(|status| status.value().to_owned());
        if let Some(before) = WebhookStatus::ALL.into_iter().find(|of| Some(of.as_str()) == before.as_deref()) {
            self.txn.open_table(tables::listed_with(before))?.remove(id)?;
        }
        if let Some(status) = status {
            self.listed.insert(id, status.as_str())?;
            self.txn.open_table(tables::listed_with(status))?.insert(id, ())?;
        }
        Ok(())
    }

    fn append_history(&mut self, workspace: &WorkspaceId, new: Vec<(u64, u64)>) -> StorageResult<()> {
        let stored = self.histories.get(workspace.as_str())?.map(|bytes| tables::decode_places(bytes.value()));
        let mut places = stored.transpose().unwrap_or_else(|error| {
            tracing::error!(%workspace, %error, "a workspace's history cannot be read; it begins anew");
            None
        });
        let places = places.get_or_insert_default();
        places.extend(new);
        while places.len() > HISTORY_RETAINED
            && let Some((_, oldest)) = places.pop_front()
        {
            self.events.remove(oldest)?;
        }
        self.histories.insert(workspace.as_str(), tables::encode_places(places).as_slice())?;
        Ok(())
    }

    /// What the step takes out of the shard, and what of it is kept.
    fn settle(&mut self, shard: u16, step: &Step) -> StorageResult<()> {
        for mail in &step.mails_owed {
            let key = (shard, mail.workspace.as_str(), mail.id.owed_by);
            self.outbox.insert(key, codec::encode_mail(mail).as_ref())?;
        }
        let tables = self.shard(shard)?;
        for settled in &step.settled {
            tables.messages.remove(id(*settled))?;
        }
        for settled in &step.settled_commands {
            tables.commands.remove(id(*settled))?;
        }
        if step.rejected.is_empty() { Ok(()) } else { self.reject(shard, &step.rejected) }
    }

    /// A workspace with the attempts above its snapshot.
    pub(super) fn load(&mut self, workspace: &WorkspaceId) -> StorageResult<Result<Loaded, LoadError>> {
        let (record, _) = self.records.get(workspace)?;
        // A snapshot that cannot be read is reported by the replay.
        let seq = record.snapshot.as_deref().and_then(|snapshot| codec::snapshot_seq(snapshot).ok()).unwrap_or(0);
        let from = record.attempts.partition_point(|(attempt, _)| *attempt <= seq);
        let stored = record.stored(&self.events, from)?;
        Ok(replay::load(workspace, &stored))
    }

    /// A workspace's newest message.
    pub(super) fn newest(&mut self, workspace: &WorkspaceId) -> StorageResult<Result<Option<Newest>, LoadError>> {
        let (record, _) = self.records.get(workspace)?;
        let stored = record.stored(&self.events, 0)?;
        let skipped = self.skipped.get(workspace.as_str())?;
        Ok(replay::newest(workspace, &stored.attempts, skipped.as_ref().map(|newest| newest.value())))
    }

    /// Messages from `from` to `to`, both inclusive.
    pub(super) fn catch_up(
        &mut self,
        shard: u16,
        from: EntryId,
        to: EntryId,
        count: usize,
    ) -> StorageResult<Vec<RawEntry>> {
        if from > to {
            return Ok(Vec::new());
        }
        Ok(tables::entries_in(&self.shard(shard)?.messages, id(from)..=id(to), count)?)
    }

    /// Which of the messages still exist.
    pub(super) fn present(&mut self, shard: u16, mut entries: Vec<EntryId>) -> StorageResult<Vec<EntryId>> {
        let messages = &self.shard(shard)?.messages;
        let mut failed = None;
        entries.retain(|entry| match messages.get(id(*entry)) {
            Ok(found) => found.is_some(),
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        failed.map_or(Ok(entries), |error| Err(error.into()))
    }

    /// Writes what is written once a transaction.
    pub(super) fn finish(mut self) -> StorageResult<TransactionEnd> {
        let Records { mut table, read } = self.records;
        for (workspace, (record, _)) in read.iter().filter(|(_, (_, dirty))| *dirty) {
            if *record == Record::default() {
                table.remove(workspace.as_str())?;
            } else {
                table.insert(workspace.as_str(), record.encode().as_slice())?;
            }
        }
        for (shard, tables) in self.shards.iter().filter(|(_, tables)| tables.topped) {
            self.tops.insert(shard, tables.tops)?;
        }
        Ok(TransactionEnd {
            next_event: self.next_event,
            rejected_deleted: self.rejected_deleted,
            changed: self.changed,
        })
    }

    fn shard(&mut self, shard: u16) -> StorageResult<&mut Shard<'t>> {
        match self.shards.entry(shard) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(closed) => {
                let names = Names::of(shard);
                Ok(closed.insert(Shard {
                    messages: self.txn.open_table(names.messages())?,
                    commands: self.txn.open_table(names.commands())?,
                    rejected: self.txn.open_table(names.rejected())?,
                    tops: self.tops.get(shard)?.map(|tops| tops.value()).unwrap_or_default(),
                    topped: false,
                }))
            }
        }
    }
}

impl Records<'_> {
    /// The workspace's record, and whether it has to be written.
    fn get(&mut self, workspace: &WorkspaceId) -> StorageResult<&mut (Record, bool)> {
        match self.read.entry(workspace.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let stored = self.table.get(workspace.as_str())?.map(|bytes| Record::decode(bytes.value()));
                Ok(unknown.insert((stored.transpose()?.unwrap_or_default(), false)))
            }
        }
    }

    /// The same, empty where it cannot be read: for whoever writes all of it anew.
    fn get_or_lost(&mut self, workspace: &WorkspaceId) -> StorageResult<&mut (Record, bool)> {
        if let Err(redb::Error::Corrupted(_)) = contained(|| self.get(workspace).map(drop)) {
            self.read.insert(workspace.clone(), (Record::default(), true));
        }
        self.get(workspace)
    }
}

impl Shard<'_> {
    /// As Redis makes ids: the present millisecond, or just above the greatest id ever.
    fn next_id(&mut self, now_ms: u64, top: impl Fn(&mut (Id, Id)) -> &mut Id) -> Id {
        let top = top(&mut self.tops);
        *top = if now_ms > top.0 { (now_ms, 0) } else { id(entry(*top).next()) };
        self.topped = true;
        *top
    }
}

/// A step's events by seq, and whether each is an attempt.
fn in_order(step: &Step) -> impl Iterator<Item = (&StoredEvent, bool)> {
    let (mut attempts, mut history) = (step.attempts.iter().peekable(), step.history.iter().peekable());
    std::iter::from_fn(move || match (attempts.peek(), history.peek()) {
        (Some(attempt), Some(other)) if other.seq < attempt.seq => history.next().map(|event| (event, false)),
        (None, _) => history.next().map(|event| (event, false)),
        (Some(_), _) => attempts.next().map(|event| (event, true)),
    })
}
