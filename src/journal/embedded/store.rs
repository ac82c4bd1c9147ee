//! What the port's faces share: the file, the way to the engine, and the bell for new entries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTableMetadata as _};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::engine::{Engine, Job};
use super::file::OpenError;
use super::tables::{self, EVENTS, HISTORIES, Names, Record, WORKSPACES};
use super::transaction::Done;
use super::writer::{Failure, Writer};
use crate::journal::fold::Stored;
use crate::journal::port::{RawEntry, StoreError, StoredEvent};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::time::Clock;

/// Messages and commands that wait to be stored at most; the next caller waits.
const APPENDING_MAX: usize = 4_096;

pub(super) struct Store {
    // Declared first, so dropped first: the writer ends before the file is closed.
    writer: Writer,
    db: Arc<Database>,
    signals: Arc<Signals>,
    failure: Failure,
    appending: Semaphore,
}

/// What the engine tells the others.
pub(super) struct Signals {
    /// By shard: something was appended.
    shards: Vec<watch::Sender<()>>,
    pub(super) rejected_deleted: AtomicU64,
}

impl Signals {
    fn new(shards: u16) -> Arc<Self> {
        let shards = (0..shards).map(|_| watch::Sender::new(())).collect();
        Arc::new(Self { shards, rejected_deleted: AtomicU64::new(0) })
    }

    /// Something was appended to these shards.
    pub(super) fn appended(&self, mut shards: Vec<u16>) {
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            self.shards[usize::from(shard)].send_replace(());
        }
    }
}

impl Store {
    pub(super) fn on_thread(db: Database, shards: u16, clock: Clock) -> Result<Arc<Self>, OpenError> {
        Self::new(db, shards, clock, |engine, failure| {
            Writer::on_thread(engine, failure).map_err(|error| redb::Error::Io(error).into())
        })
    }

    pub(super) fn in_call(db: Database, shards: u16, clock: Clock) -> Result<Arc<Self>, OpenError> {
        Self::new(db, shards, clock, |engine, _| Ok(Writer::in_call(engine)))
    }

    fn new(
        db: Database,
        shards: u16,
        clock: Clock,
        writer: impl FnOnce(Engine, Failure) -> Result<Writer, OpenError>,
    ) -> Result<Arc<Self>, OpenError> {
        let db = Arc::new(db);
        let signals = Signals::new(shards);
        let failure = Arc::new(OnceLock::new());
        let engine = Engine::new(Arc::clone(&db), shards, clock, Arc::clone(&signals)).map_err(OpenError::Storage)?;
        let writer = writer(engine, Arc::clone(&failure))?;
        Ok(Arc::new(Self { writer, db, signals, failure, appending: Semaphore::new(APPENDING_MAX) }))
    }

    pub(super) fn shards(&self) -> u16 {
        u16::try_from(self.signals.shards.len()).unwrap_or(u16::MAX)
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

    /// Rings when something was appended to the shard.
    pub(super) fn appended(&self, shard: u16) -> watch::Receiver<()> {
        self.signals.shards[usize::from(shard)].subscribe()
    }

    pub(super) fn rejected_deleted(&self) -> u64 {
        self.signals.rejected_deleted.load(Ordering::Relaxed)
    }

    pub(super) fn db(&self) -> &Database {
        &self.db
    }

    pub(super) fn failure(&self) -> &Failure {
        &self.failure
    }

    /// A workspace as of the last durable transaction.
    pub(super) fn stored(&self, workspace: &WorkspaceId) -> Done<Stored> {
        let txn = self.db.begin_read()?;
        Ok(record(&txn, workspace)?.stored(&txn.open_table(EVENTS)?, 0)?)
    }

    /// A workspace without its attempts, as of the last durable transaction.
    pub(super) fn snapshot(&self, workspace: &WorkspaceId) -> Done<Stored> {
        let record = record(&self.db.begin_read()?, workspace)?;
        Ok(Stored { snapshot: record.snapshot, attempts: Vec::new(), top: record.top })
    }

    /// A workspace's events that are no attempts, as of the last durable transaction.
    pub(super) fn history(&self, workspace: &WorkspaceId) -> Done<Vec<StoredEvent>> {
        let txn = self.db.begin_read()?;
        let places = txn.open_table(HISTORIES)?.get(workspace.as_str())?;
        let places = places.map(|bytes| tables::decode_places(bytes.value())).transpose()?.unwrap_or_default();
        Ok(tables::events_at(&txn.open_table(EVENTS)?, &places, 0)?)
    }

    /// Rejected entries as of the last durable transaction.
    pub(super) fn rejected(&self, shard: u16, from: EntryId, count: usize) -> Done<Vec<RawEntry>> {
        let table = self.db.begin_read()?.open_table(Names::of(shard).rejected())?;
        let first = from.ms.saturating_add(u64::from(from.n > 0));
        let mut entries = Vec::new();
        for item in table.range(first..)?.take(count) {
            let (number, fields) = item?;
            entries.push(tables::decode_entry(tables::rejected_id(number.value()), fields.value())?);
        }
        Ok(entries)
    }

    /// How many each shard has.
    pub(super) fn rejected_counts(&self) -> Done<Vec<u64>> {
        let txn = self.db.begin_read()?;
        (0..self.shards()).map(|shard| Ok(txn.open_table(Names::of(shard).rejected())?.len()?)).collect()
    }

    /// Whether the journal works.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.failure.get().is_some() { Err(self.gone("asking the journal")) } else { Ok(()) }
    }

    /// What a call learns that got no answer.
    pub(super) fn gone(&self, doing: &str) -> StoreError {
        StoreError { what: format!("{doing}: {}", reason(&self.failure)), source: None }
    }
}

/// What is kept of a workspace beside its events.
fn record(txn: &ReadTransaction, workspace: &WorkspaceId) -> Done<Record> {
    let record = txn.open_table(WORKSPACES)?.get(workspace.as_str())?.map(|bytes| Record::decode(bytes.value()));
    Ok(record.transpose()?.unwrap_or_default())
}

/// Why calls get no answer.
pub(super) fn reason(failure: &Failure) -> String {
    failure.get().cloned().unwrap_or_else(|| "the journal is closed; open it again".to_owned())
}

/// The file could not be read.
pub(super) fn failed(doing: &str, error: redb::Error) -> StoreError {
    StoreError { what: format!("{doing}: the journal's file cannot be read"), source: Some(Box::new(error)) }
}
