//! What the port's faces share: the file, the way to the engine, and the notification of new entries.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{ReadTransaction, ReadableDatabase as _, ReadableTableMetadata as _};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::contained::{OpenFile, contained};
use super::engine::{Engine, Failure, Job, Signals, reason};
use super::file::{JournalFileError, is_damage, why_it_failed};
use super::held_file::HeldFile;
use super::tables::{self, EVENTS, HISTORIES, LISTED, META, Names, Record, WORKSPACES, entries_in};
use super::transaction::StorageResult;
use super::writer::Writer;
use crate::journal::port::{
    ListQuery, ListedWorkspace, LoadError, NotedKey, Owed, RawEntry, ReadError, StoreError, StoreTrouble, StoredEvent,
    WalkPage,
};
use crate::journal::replay::{self, Stored};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::time::Clock;

/// Messages and commands that wait to be stored at most; the next caller waits.
const APPENDING_MAX: usize = 4_096;
/// Workspaces of one page of a walk.
const WALK_PAGE: usize = 256;

pub(super) struct EmbeddedStore {
    // Declared first, so dropped first: the writer ends before the file is closed.
    writer: Writer,
    db: Arc<OpenFile>,
    signals: Arc<Signals>,
    failure: Failure,
    appending: Semaphore,
}

impl EmbeddedStore {
    pub(super) fn on_thread(
        opened: (OpenFile, Option<HeldFile>),
        shards: u16,
        clock: Clock,
    ) -> Result<Arc<Self>, JournalFileError> {
        Self::new(opened, shards, clock, |engine, failure| {
            Writer::on_thread(engine, failure).map_err(|error| redb::Error::Io(error).into())
        })
    }

    pub(super) fn in_call(db: OpenFile, shards: u16, clock: Clock) -> Result<Arc<Self>, JournalFileError> {
        Self::new((db, None), shards, clock, |engine, _| Ok(Writer::in_call(engine)))
    }

    fn new(
        (db, file): (OpenFile, Option<HeldFile>),
        shards: u16,
        clock: Clock,
        writer: impl FnOnce(Engine, Failure) -> Result<Writer, JournalFileError>,
    ) -> Result<Arc<Self>, JournalFileError> {
        let db = Arc::new(db);
        let signals = Signals::new(shards);
        let failure = Failure::default();
        let engine = contained(|| Engine::new(Arc::clone(&db), file, clock, Arc::clone(&signals)));
        let engine = engine.map_err(JournalFileError::Storage)?;
        let writer = writer(engine, Arc::clone(&failure))?;
        Ok(Arc::new(Self { writer, db, signals, failure, appending: Semaphore::new(APPENDING_MAX) }))
    }

    pub(super) fn shards(&self) -> u16 {
        self.signals.shards()
    }

    /// Whether calls run on the caller's thread, where time may be a test's.
    pub(super) fn is_in_call(&self) -> bool {
        matches!(self.writer, Writer::InCall(_))
    }

    /// Takes the next place in the order of all calls.
    pub(super) fn call(&self, job: Job) {
        self.writer.call(job, &self.failure);
    }

    /// The right to append one entry.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.appending.acquire().await.ok()
    }

    /// Notifies when something was appended to the shard.
    pub(super) fn appended(&self, shard: u16) -> watch::Receiver<()> {
        self.signals.subscribe(shard)
    }

    pub(super) fn rejected_deleted(&self) -> u64 {
        self.signals.rejected_deleted.load(Ordering::Relaxed)
    }

    /// Reads as of the last durable transaction.
    pub(super) fn reading<T>(&self, read: impl FnOnce(&ReadTransaction) -> StorageResult<T>) -> StorageResult<T> {
        contained(|| read(&self.db.begin_read()?))
    }

    /// The file itself.
    #[cfg(test)]
    pub(super) fn db(&self) -> &OpenFile {
        &self.db
    }

    pub(super) fn failure(&self) -> &Failure {
        &self.failure
    }

    /// A workspace as of the last durable transaction.
    pub(super) fn stored(&self, workspace: &WorkspaceId) -> StorageResult<Stored> {
        self.reading(|txn| Ok(record(txn, workspace)?.stored(&txn.open_table(EVENTS)?, 0)?))
    }

    /// A workspace without its attempts, as of the last durable transaction.
    pub(super) fn snapshot(&self, workspace: &WorkspaceId) -> StorageResult<Stored> {
        self.reading(|txn| {
            let record = record(txn, workspace)?;
            Ok(Stored { snapshot: record.snapshot, attempts: Vec::new(), top: record.top })
        })
    }

    /// A workspace's events that are no attempts, as of the last durable transaction.
    pub(super) fn history(&self, workspace: &WorkspaceId) -> StorageResult<Vec<StoredEvent>> {
        self.reading(|txn| {
            let places = txn.open_table(HISTORIES)?.get(workspace.as_str())?;
            let places = places.map(|bytes| tables::decode_places(bytes.value())).transpose()?.unwrap_or_default();
            Ok(tables::events_at(&txn.open_table(EVENTS)?, &places, 0)?)
        })
    }

    /// Workspaces in order, as of the last durable transaction.
    pub(super) fn workspaces(&self, query: &ListQuery) -> StorageResult<Vec<ListedWorkspace>> {
        self.reading(|txn| {
            let from = match &query.after {
                Some(after) if after.as_str() >= query.prefix.as_str() => Bound::Excluded(after.as_str()),
                _ => Bound::Included(query.prefix.as_str()),
            };
            let mut ids: Vec<String> = Vec::new();
            match query.status {
                None => {
                    let listed = txn.open_table(LISTED)?;
                    for item in listed.range::<&str>((from, Bound::Unbounded))?.take(query.count) {
                        ids.push(item?.0.value().to_owned());
                    }
                }
                Some(status) => {
                    let listed = txn.open_table(tables::listed_with(status))?;
                    for item in listed.range::<&str>((from, Bound::Unbounded))?.take(query.count) {
                        ids.push(item?.0.value().to_owned());
                    }
                }
            }
            let events = txn.open_table(EVENTS)?;
            let ids = ids.iter().take_while(|id| id.starts_with(&query.prefix)).filter_map(|id| id.parse().ok());
            let state = |workspace: &WorkspaceId| {
                let record = record(txn, workspace)?;
                let newest = record.attempts.len().saturating_sub(1);
                Ok(match replay::newest_state(workspace, &record.stored(&events, newest)?) {
                    Ok(None) => replay::load(workspace, &record.stored(&events, 0)?).ok().map(|loaded| loaded.state),
                    known => known.ok().flatten(),
                })
            };
            ids.map(|workspace: WorkspaceId| match contained(|| state(&workspace)) {
                // One that cannot be read is listed without what is not known of it.
                Err(redb::Error::Corrupted(_)) => Ok(ListedWorkspace { workspace, state: None }),
                state => Ok(ListedWorkspace { workspace, state: state? }),
            })
            .collect()
        })
    }

    /// How many workspaces have which status.
    pub(super) fn workspace_counts(&self) -> StorageResult<[u64; 4]> {
        self.reading(|txn| {
            let mut counts = [0; 4];
            for (count, status) in counts.iter_mut().zip(WebhookStatus::ALL) {
                *count = txn.open_table(tables::listed_with(status))?.len()?;
            }
            Ok(counts)
        })
    }

    /// Workspaces after `place`, as of the last durable transaction.
    pub(super) fn walk(&self, place: Option<&str>) -> StorageResult<WalkPage> {
        self.reading(|txn| {
            let table = txn.open_table(WORKSPACES)?;
            let after = place.map_or(Bound::Unbounded, Bound::Excluded);
            let mut page = WalkPage::default();
            for item in table.range::<&str>((after, Bound::Unbounded))?.take(WALK_PAGE) {
                let (workspace, _) = item?;
                // A key that is no id is nobody's.
                page.workspaces.extend(workspace.value().parse::<WorkspaceId>());
                page.next = Some(workspace.value().to_owned());
            }
            Ok(page)
        })
    }

    /// The keys that are noted as sealing something.
    pub(super) fn sealing_keys(&self) -> StorageResult<Vec<NotedKey>> {
        self.reading(|txn| {
            let meta = txn.open_table(META)?;
            let mut keys = Vec::new();
            for item in meta.range(tables::SEALING_KEY..)? {
                let (name, print) = item?;
                let Some(id) = name.value().strip_prefix(tables::SEALING_KEY) else { break };
                let print = Some(print.value()).filter(|print| *print != tables::NO_PRINT);
                keys.push(NotedKey { id: id.to_owned(), print });
            }
            Ok(keys)
        })
    }

    /// Whether a session of the operator is noted as ended.
    pub(super) fn has_session_ended(&self, id: &str) -> StorageResult<bool> {
        self.reading(|txn| Ok(txn.open_table(META)?.get(tables::ended_session(id).as_str())?.is_some()))
    }

    /// Rejected entries as of the last durable transaction.
    pub(super) fn rejected(&self, shard: u16, from: EntryId, count: usize) -> StorageResult<Vec<RawEntry>> {
        self.reading(|txn| {
            let table = txn.open_table(Names::of(shard).rejected())?;
            let first = from.ms.saturating_add(u64::from(from.n > 0));
            let mut entries = Vec::new();
            for item in table.range(first..)?.take(count) {
                let (number, fields) = item?;
                entries.push(tables::decoded_or_unreadable(tables::rejected_id(number.value()), fields.value()));
            }
            Ok(entries)
        })
    }

    /// How many each shard has.
    pub(super) fn rejected_counts(&self) -> StorageResult<Vec<u64>> {
        self.reading(|txn| {
            (0..self.shards()).map(|shard| Ok(txn.open_table(Names::of(shard).rejected())?.len()?)).collect()
        })
    }

    /// What each shard owes.
    pub(super) fn owed(&self) -> StorageResult<Vec<Owed>> {
        self.reading(|txn| {
            let of_shard = |shard| {
                let messages = txn.open_table(Names::of(shard).messages())?;
                let oldest = entries_in(&messages, .., 1)?.pop();
                Ok(Owed { messages: messages.len()?, oldest: oldest.map(|entry| entry.id) })
            };
            (0..self.shards()).map(of_shard).collect()
        })
    }

    /// How many bytes they take.
    pub(super) fn rejected_bytes(&self) -> StorageResult<Vec<u64>> {
        self.reading(|txn| {
            let meta = txn.open_table(META)?;
            let bytes = |shard| Ok(meta.get(Names::of(shard).rejected_bytes())?.map_or(0, |bytes| bytes.value()));
            (0..self.shards()).map(bytes).collect()
        })
    }

    /// Whether the journal works.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.failure.get().is_some() { Err(self.gone("asking the journal")) } else { Ok(()) }
    }

    /// Ends the journal when what cannot be read is no workspace's alone, such as the entries of a shard: it can only be
    /// opened again, whole or repaired.
    pub(super) fn fail_if_damaged(&self, error: &redb::Error) {
        if is_damage(error) {
            self.failure.set(why_it_failed(error));
        }
    }

    /// What a call learns that got no answer.
    pub(super) fn gone(&self, doing: &str) -> StoreError {
        StoreError { trouble: StoreTrouble::Away, what: format!("{doing}: {}", reason(&self.failure)), source: None }
    }
}

/// What is kept of a workspace beside its events.
fn record(txn: &ReadTransaction, workspace: &WorkspaceId) -> StorageResult<Record> {
    let record = txn.open_table(WORKSPACES)?.get(workspace.as_str())?.map(|bytes| Record::decode(bytes.value()));
    Ok(record.transpose()?.unwrap_or_default())
}

/// A workspace could not be read: on a damaged page that is this workspace's trouble.
pub(super) fn unreadable(workspace: &WorkspaceId, doing: &str, error: redb::Error) -> ReadError {
    match error {
        redb::Error::Corrupted(detail) => LoadError::Corrupt { workspace: workspace.clone(), detail }.into(),
        error => failed(doing, error).into(),
    }
}

/// The file could not be read.
pub(super) fn failed(doing: &str, error: redb::Error) -> StoreError {
    StoreError {
        trouble: StoreTrouble::Away,
        what: format!("{doing}: the journal's file cannot be read"),
        source: Some(Box::new(error)),
    }
}
