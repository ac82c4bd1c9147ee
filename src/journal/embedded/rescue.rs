//! A damaged file: what can be read of it goes into a new one, which takes its place.
//!
//! A table is read from its first entry on to what cannot be read, and from its last entry back to that. So of one damaged
//! page only what stands on it is lost. Nothing is written to the damaged file, which stays beside the new one.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use redb::{
    Builder, ConcurrencyMode, Key, ReadTransaction, ReadableDatabase as _, ReadableTable, TableDefinition, TableError,
    TableHandle as _, Value, WriteTransaction,
};

use super::contained::contained;
use super::file::{self, JournalFileError, free_beside, is_damage, locked};
use super::tables::{
    self, ENDED_SESSION, EVENTS, HISTORIES, LISTED, META, Names, OUTBOX, Places, Record, SEALING_KEY, SKIPPED, TOPS,
    WORKSPACES,
};
use super::transaction::StorageResult;
use crate::journal::replay;
use crate::message::WorkspaceId;
use crate::workspace::configuration::WebhookStatus;
use damaged_file::DamagedFile;

mod damaged_file;

/// What became of a damaged file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Where it is now; `None` where nothing of it was damaged, so that it was left as it is.
    pub damaged: Option<PathBuf>,
    /// Workspaces that are in the new file.
    pub workspaces: u64,
    /// Messages that wait in it.
    pub waiting: u64,
    /// What is lost, a sentence each.
    pub lost: Vec<String>,
    /// Workspaces of which a part is lost, each with what contradicts itself: `outbound repair` keeps the rest.
    pub unavailable: Vec<(WorkspaceId, String)>,
}

/// Takes what can be read of the journal in `path` into a new file, which takes its place.
///
/// # Errors
/// See [`JournalFileError`]: it is in use, nothing of it can be read, or the new file cannot be written.
pub fn rescue(path: &Path) -> Result<Rescued, JournalFileError> {
    let new = free_beside(path, "new");
    rescue_into(path, &new).map_err(|error| {
        let source = match error {
            JournalFileError::Storage(source) => source,
            JournalFileError::File { source, .. } => source.into(),
            error => return error,
        };
        match source {
            // To repair it is no advice here.
            source if is_damage(&source) || matches!(source, redb::Error::RepairAborted) => {
                JournalFileError::NothingToRescue { path: path.to_owned(), source }
            }
            source => JournalFileError::Storage(source),
        }
    })
}

fn rescue_into(path: &Path, new: &Path) -> Result<Rescued, JournalFileError> {
    let unreadable = |source| JournalFileError::File { path: path.to_owned(), source };
    let io = |error: std::io::Error| unreadable(redb::DatabaseError::Storage(error.into()));
    file::not_empty(path)?;
    let old = locked(path)?;
    let mut builder = Builder::new();
    // As one that only reads beside a writer: that one needs no more than the trees themselves.
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter).set_cache_size(file::CACHE_BYTES);
    let backend = DamagedFile::new(old).map_err(io)?;
    let source = contained(|| {
        let db = builder.open_read_only_with_backend(backend)?;
        Ok(db.begin_read())
    });
    let source = source.map_err(unreadable)??;

    let shards = shards(&source)?;
    if shards == 0 {
        return Err(redb::Error::Corrupted("it has none of the tables of a journal".to_owned()).into());
    }
    // A half of it is of no use to anybody.
    let mut rescued = copy_into(new, &source, shards).inspect_err(|_| drop(fs::remove_file(new)))?;
    drop(source);
    if rescued.lost.is_empty() && file::is_whole(path) {
        // A workspace that contradicts itself is repaired where it is.
        fs::remove_file(new).map_err(io)?;
        return Ok(rescued);
    }
    // Whoever opened it meanwhile would go on writing into the damaged one.
    let _held = locked(path)?;
    let owner = fs::metadata(path).map_err(io)?;
    let made = fs::metadata(new).map_err(io)?;
    if (made.uid(), made.gid()) != (owner.uid(), owner.gid()) {
        chown(new, Some(owner.uid()), Some(owner.gid())).map_err(io)?;
    }
    let damaged = free_beside(path, "damaged");
    // So that there is a file under the name at every moment.
    fs::hard_link(path, &damaged).map_err(io)?;
    fs::rename(new, path).map_err(io)?;
    rescued.damaged = Some(damaged);
    Ok(rescued)
}

/// Makes the new file of what can be read.
fn copy_into(new: &Path, source: &ReadTransaction, shards: u16) -> Result<Rescued, JournalFileError> {
    let (db, _) = file::open(new, Some(shards))?;
    let txn = db.begin_write()?;
    let mut rescue = Rescue { source, target: &txn, rescued: Rescued::default() };
    rescue.copy_all(shards)?;
    let mut rescued = rescue.rescued;
    txn.commit()?;
    file::list_all(&db)?;
    judge(&db.begin_read()?, shards, &mut rescued)?;
    Ok(rescued)
}

/// How many shards there are: as the file says, or by its tables.
fn shards(source: &ReadTransaction) -> StorageResult<u16> {
    let said = contained(|| -> StorageResult<Option<u64>> {
        Ok(source.open_table(META)?.get("shards")?.map(|shards| shards.value()))
    });
    if let Some(shards) = said.ok().flatten().and_then(|shards| u16::try_from(shards).ok()) {
        return Ok(shards);
    }
    contained(|| {
        let names = source.list_tables()?.map(|table| table.name().to_owned());
        let shards = names.filter_map(|name| name.strip_prefix("messages/")?.parse::<u16>().ok());
        Ok(shards.max().map_or(0, |last| last.saturating_add(1)))
    })
}

struct Rescue<'a> {
    source: &'a ReadTransaction,
    target: &'a WriteTransaction,
    rescued: Rescued,
}

impl Rescue<'_> {
    fn copy_all(&mut self, shards: u16) -> StorageResult<()> {
        self.copy_meta()?;
        self.copy_named(WORKSPACES, "the workspaces")?;
        self.copy_named(HISTORIES, "the histories of workspaces")?;
        self.note_lost_records()?;
        let wanted = self.events_that_are_named()?;
        self.copy(EVENTS, "the events", |number| wanted.contains(&number))?;
        self.forget_lost_events()?;
        self.copy_named(SKIPPED, "the newest skipped messages")?;
        self.copy(OUTBOX, "the mails that are owed", |(_, name, _)| is_workspace(name))?;
        self.copy(TOPS, "the greatest ids", |_| true)?;
        for shard in 0..shards {
            let names = Names::of(shard);
            self.copy(names.messages(), &format!("the messages that wait in shard {shard}"), |_| true)?;
            self.copy(names.commands(), &format!("the commands that wait in shard {shard}"), |_| true)?;
            self.copy(names.rejected(), &format!("the rejected entries of shard {shard}"), |_| true)?;
        }
        Ok(())
    }

    /// The keys that seal something, and the sessions that ended. The rest is as in a new file: the numbers of rejected entries go on from the last one,
    /// and what they take is measured.
    fn copy_meta(&mut self) -> StorageResult<()> {
        let noted = |name: &str| name.starts_with(SEALING_KEY) || name.starts_with(ENDED_SESSION);
        self.copy(META, "which keys seal something, and which sessions of the operator ended", noted)
    }

    /// Takes over what of a table stands under the name of a workspace. On a damaged page a name is whatever stands there, a
    /// part of a message or a secret too, and names are printed: what is no name is only counted.
    fn copy_named(&mut self, table: TableDefinition<'_, &'static str, &'static [u8]>, what: &str) -> StorageResult<()> {
        let unnamed = Cell::new(0_u64);
        self.copy(table, what, |name| {
            let known = is_workspace(name);
            unnamed.set(unnamed.get() + u64::from(!known));
            known
        })?;
        if unnamed.get() > 0 {
            self.rescued.lost.push(format!("{} of {what}, under names that no workspace can have", unnamed.get()));
        }
        Ok(())
    }

    /// Takes over what of a table can be read and is wanted.
    fn copy<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'_, K, V>,
        what: &str,
        wanted: impl Fn(K::SelfType<'_>) -> bool,
    ) -> StorageResult<()> {
        let source = match contained(|| self.source.open_table(table)) {
            Ok(source) => source,
            // Of a file of an earlier version.
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(TableError::Storage(error @ redb::StorageError::Io(_))) => return Err(error.into()),
            Err(_) => {
                self.rescued.lost.push(format!("{what}, altogether"));
                return Ok(());
            }
        };
        let mut target = self.target.open_table(table)?;
        for backwards in [false, true] {
            let end = contained(|| copy_until_damage(&source, &mut target, backwards, &wanted));
            match end {
                Ok(()) if !backwards => return Ok(()),
                Ok(()) => {}
                Err(redb::Error::Corrupted(_)) if !backwards => self.rescued.lost.push(format!("a part of {what}")),
                Err(redb::Error::Corrupted(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A workspace that only its history still tells of gets a record that says so much: it is unavailable, not unknown.
    fn note_lost_records(&mut self) -> StorageResult<()> {
        let mut records = self.target.open_table(WORKSPACES)?;
        let histories = self.target.open_table(HISTORIES)?;
        let mut unknown = self.listed();
        for item in histories.iter()? {
            let (workspace, places) = item?;
            let top = tables::decode_places(places.value()).ok().and_then(|places| Some(places.back()?.0)).unwrap_or(1);
            unknown.remove(workspace.value());
            if records.get(workspace.value())?.is_none() {
                let record = Record { top, ..Record::default() };
                records.insert(workspace.value(), record.encode().as_slice())?;
            }
        }
        for workspace in unknown {
            if records.get(workspace.as_str())?.is_none() {
                self.rescued.lost.push(format!("all of {workspace}"));
            }
        }
        Ok(())
    }

    /// Takes the numbers of events that are lost out of the records and histories: they are given to new ones.
    fn forget_lost_events(&mut self) -> StorageResult<()> {
        let events = self.target.open_table(EVENTS)?;
        let (mut records, mut histories) = (Vec::new(), Vec::new());
        for item in self.target.open_table(WORKSPACES)?.iter()? {
            let (workspace, record) = item?;
            let Ok(mut record) = Record::decode(record.value()) else { continue };
            let lost = retain_known(&events, &mut record.attempts)?;
            if lost > 0 {
                self.rescued.lost.push(format!("{lost} attempts of {}", workspace.value()));
                records.push((workspace.value().to_owned(), record.encode()));
            }
        }
        for item in self.target.open_table(HISTORIES)?.iter()? {
            let (workspace, places) = item?;
            let Ok(mut places) = tables::decode_places(places.value()) else {
                self.rescued.lost.push(format!("the history of {}", workspace.value()));
                continue;
            };
            let lost = retain_known(&events, &mut places)?;
            if lost > 0 {
                self.rescued.lost.push(format!("{lost} changes of {}", workspace.value()));
                histories.push((workspace.value().to_owned(), tables::encode_places(&places)));
            }
        }
        for (table, rows) in [(WORKSPACES, records), (HISTORIES, histories)] {
            let mut table = self.target.open_table(table)?;
            for (workspace, row) in rows {
                table.insert(workspace.as_str(), row.as_slice())?;
            }
        }
        Ok(())
    }

    /// The workspaces that the list names, as far as it can be read. What no status stands beside is no part of the list.
    fn listed(&self) -> BTreeSet<String> {
        let mut listed = BTreeSet::new();
        // The list is made anew, so no more is lost with it than a name here.
        drop(contained(|| -> StorageResult<()> {
            for item in self.source.open_table(LISTED)?.iter()? {
                let (name, status) = item?;
                let is_status = WebhookStatus::ALL.iter().any(|known| known.as_str() == status.value());
                listed.extend(Some(name.value()).filter(|name| is_status && is_workspace(name)).map(str::to_owned));
            }
            Ok(())
        }));
        listed
    }

    /// The numbers of the events that a record or a history names. Nobody would ever delete the others.
    fn events_that_are_named(&self) -> StorageResult<HashSet<u64>> {
        let mut named = HashSet::new();
        let mut add = |places: Places| named.extend(places.into_iter().map(|(_, number)| number));
        for item in self.target.open_table(WORKSPACES)?.iter()? {
            Record::decode(item?.1.value()).map(|record| add(record.attempts)).ok();
        }
        for item in self.target.open_table(HISTORIES)?.iter()? {
            tables::decode_places(item?.1.value()).map(&mut add).ok();
        }
        Ok(named)
    }
}

/// Whether a workspace can have the name.
fn is_workspace(name: &str) -> bool {
    name.parse::<WorkspaceId>().is_ok()
}

/// Copies from one end to the other, to what cannot be read, or (backwards) to what was copied before.
fn copy_until_damage<K: Key + 'static, V: Value + 'static>(
    source: &impl ReadableTable<K, V>,
    target: &mut redb::Table<'_, K, V>,
    backwards: bool,
    wanted: &impl Fn(K::SelfType<'_>) -> bool,
) -> StorageResult<()> {
    let mut all = source.iter()?;
    loop {
        let item = if backwards { all.next_back() } else { all.next() };
        let Some((key, value)) = item.transpose()? else { return Ok(()) };
        if wanted(key.value()) && target.insert(key.value(), value.value())?.is_some() && backwards {
            return Ok(());
        }
    }
}

/// Drops the places of events that are not there. How many.
fn retain_known(events: &impl ReadableTable<u64, &'static [u8]>, places: &mut Places) -> StorageResult<usize> {
    let (mut known, all) = (Places::with_capacity(places.len()), places.len());
    for place in places.iter() {
        if events.get(place.1)?.is_some() {
            known.push_back(*place);
        }
    }
    *places = known;
    Ok(all - places.len())
}

/// Counts what is there, and finds the workspaces that contradict themselves.
fn judge(txn: &ReadTransaction, shards: u16, rescued: &mut Rescued) -> StorageResult<()> {
    use redb::ReadableTableMetadata as _;
    for shard in 0..shards {
        rescued.waiting += txn.open_table(Names::of(shard).messages())?.len()?;
    }
    let events = txn.open_table(EVENTS)?;
    for item in txn.open_table(WORKSPACES)?.iter()? {
        let (id, record) = item?;
        let Ok(workspace) = id.value().parse::<WorkspaceId>() else { continue };
        rescued.workspaces += 1;
        match Record::decode(record.value()) {
            Ok(record) => {
                let why = replay::read(&workspace, &record.stored(&events, 0)?).err().map(|error| error.to_string());
                rescued.unavailable.extend(why.map(|why| (workspace, why)));
            }
            Err(error) => rescued.unavailable.push((workspace, error.to_string())),
        }
    }
    Ok(())
}
