//! Opening the file: whose it is, which format, how many shards.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageBackend, StorageError,
    TableHandle as _,
};

use super::contained::{OpenFile, contained};
use super::tables::{
    EVENTS, FORMAT, HISTORIES, LISTED, LISTED_BY_STATUS, META, Names, OUTBOX, Record, SKIPPED, TOPS, WORKSPACES,
    listed_with,
};
use crate::config::{SHARDS_DEFAULT, SHARDS_MAX};
use crate::journal::codec;
use crate::workspace::configuration::WebhookStatus;

/// Memory for pages of the file. The input and the tails of busy workspaces fit; the rest is read again.
pub(super) const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalFileError {
    /// Another process, or another journal of this one, has it open.
    #[error("{path} is in use by another process: stop it, or choose another file or data directory")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The number of shards is fixed at the first start.
    #[error("the journal has {stored} shards, which cannot be changed; {asked} were asked for: leave --shards out")]
    Shards {
        /// In the file.
        stored: u64,
        /// Asked for.
        asked: u16,
    },
    /// No such number of shards.
    #[error("a journal has 1 to {SHARDS_MAX} shards, not {asked}")]
    ShardsOutOfRange {
        /// Asked for.
        asked: u64,
    },
    /// Written by another version of the program.
    #[error("the journal has format {found}, this program reads up to format {FORMAT}: start the newer program")]
    UnknownFormat {
        /// In the file.
        found: u64,
    },
    /// A database of something else.
    #[error(
        "the file of the journal holds something else than a journal: choose another file with --journal embedded:PATH"
    )]
    NotAJournal,
    /// It cannot be opened or read.
    #[error("the journal {path} cannot be opened: {}", mend(source))]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: DatabaseError,
    },
    /// What was sent could not be noted as sent.
    #[error(
        "the disk of the journal {path} has not the {} MiB left that a start needs: what is sent must be noted, else it is sent \
         again at every start. Free some space, or raise the quota",
        RESERVE_BYTES / 1024 / 1024
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// There is none to repair.
    #[error(
        "there is no file {path} to repair: check the path; a service without --journal keeps it as `outbound.redb` in its data directory"
    )]
    NoFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the journal cannot be read or written: {}", mend_storage(.0))]
    Storage(#[source] redb::Error),
}

/// What helps where the file cannot be opened.
fn mend(error: &DatabaseError) -> &'static str {
    use std::io::ErrorKind::{
        InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull,
        UnexpectedEof,
    };
    match error {
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            NotFound => "its directory does not exist; make it, or correct the path",
            NotADirectory => "a part of its path is no directory; correct the path",
            IsADirectory => "it is a directory; name a file",
            PermissionDenied => "this user may not read and write it; run as the user that owns it",
            ReadOnlyFilesystem => "its file system takes no writes; mount it writable, or choose another",
            StorageFull => "its disk is full; free some space",
            InvalidData | UnexpectedEof => DAMAGED,
            _ => "the cause says why",
        },
        DatabaseError::UpgradeRequired(_) => "another version of the program wrote it; start that one",
        _ => DAMAGED,
    }
}

fn mend_storage(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::Io(_) if !is_damage(error) => "check its disk; the cause says why",
        _ => DAMAGED,
    }
}

/// Whether the file holds something else than was written, or less.
pub(super) fn is_damage(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::Error::Corrupted(_) => true,
        redb::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
        _ => false,
    }
}

const DAMAGED: &str = "the file is damaged or no journal; it is left as it is. `outbound repair --file FILE` takes what \
    can be read of it into a new one; or put a copy of it in its place, or start with another file";

/// Why nothing is read or written any more, and what helps.
pub(super) fn why_it_failed(error: &redb::Error) -> String {
    let mend = if is_damage(error) { DAMAGED } else { "mend the cause and start again" };
    format!("the journal's file failed: {error}; {mend}")
}

impl<E: Into<redb::Error>> From<E> for JournalFileError {
    fn from(error: E) -> Self {
        Self::Storage(error.into())
    }
}

/// Opens or makes the file. Answers with the number of shards.
pub(super) fn open(path: &Path, shards: Option<u16>) -> Result<(OpenFile, u16), JournalFileError> {
    make_private(path);
    check_room(path)?;
    let db = contained(|| builder().create(path)).map_err(|source| match source {
        DatabaseError::DatabaseAlreadyOpen => JournalFileError::InUse { path: path.into() },
        source => JournalFileError::File { path: path.into(), source },
    })?;
    prepared(db, shards)
}

/// Refuses a start on a disk that is full: it would send messages and end before it can note that, again and again with a
/// supervisor. What else is wrong there is told when the file is opened.
fn check_room(path: &Path) -> Result<(), JournalFileError> {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    // One name, so that what a killed start left is written over.
    let reserve = path.with_extension("reserve");
    let Ok(mut file) = std::fs::File::create(&reserve) else { return Ok(()) };
    let block = [0; RESERVE_BLOCK];
    // Written and not only asked for: quotas and limits count as the disk does.
    let written = (0..RESERVE_BYTES / RESERVE_BLOCK).try_for_each(|_| file.write_all(&block));
    std::fs::remove_file(&reserve).ok();
    match written {
        Err(source) if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge) => {
            Err(JournalFileError::NoRoom { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

/// What a transaction takes at most, but for what comes with the last call of it.
pub(super) const RESERVE_BYTES: usize = 8 * 1024 * 1024;
const RESERVE_BLOCK: usize = 64 * 1024;

/// Makes the file readable by its owner only: it holds messages and signing secrets. What goes wrong
/// here goes wrong again, and is told, when the file is opened.
fn make_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).ok();
}

/// The same on any storage.
pub(super) fn on(backend: impl StorageBackend, shards: Option<u16>) -> Result<(OpenFile, u16), JournalFileError> {
    let db = contained(|| builder().create_with_backend(backend)).map_err(redb::Error::from)?;
    prepared(db, shards)
}

/// Whether all of the file is as it was written. Reads all of it.
pub(super) fn is_whole(path: &Path) -> bool {
    let mut builder = builder();
    builder.set_check_integrity_on_open(true);
    contained(|| builder.open(path)).map(OpenFile::new).is_ok()
}

fn prepared(db: Database, shards: Option<u16>) -> Result<(OpenFile, u16), JournalFileError> {
    let db = OpenFile::new(db);
    let shards = contained(|| Ok::<_, redb::Error>(prepare(&db, shards)))??;
    Ok((db, shards))
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn prepare(db: &Database, asked: Option<u16>) -> Result<u16, JournalFileError> {
    let txn = db.begin_read()?;
    let mut tables = txn.list_tables()?;
    let is_ours = tables.any(|table| table.name() == META.name());
    let is_new = !is_ours && txn.list_tables()?.next().is_none();
    if is_new {
        return create(db, asked.unwrap_or(SHARDS_DEFAULT));
    }
    if !is_ours {
        return Err(JournalFileError::NotAJournal);
    }
    let meta = txn.open_table(META)?;
    let number = |name: &str| meta.get(name).map(|value| value.map(|value| value.value()));
    let format = match number("format")? {
        Some(found @ 1..=FORMAT) => found,
        Some(found) => return Err(JournalFileError::UnknownFormat { found }),
        None => return Err(JournalFileError::NotAJournal),
    };
    let stored = number("shards")?.ok_or(JournalFileError::NotAJournal)?;
    match asked {
        Some(asked) if u64::from(asked) != stored => return Err(JournalFileError::Shards { stored, asked }),
        _ => {}
    }
    let last = listed_with(WebhookStatus::DisabledByErrors);
    let lists = txn.list_tables()?.any(|table| table.name() == last.name());
    if !lists {
        list_all(db)?;
    }
    if format < FORMAT {
        let txn = db.begin_write()?;
        txn.open_table(META)?.insert("format", FORMAT)?;
        txn.commit()?;
    }
    in_range(stored)
}

/// Lists the workspaces of a file that an earlier version made.
pub(super) fn list_all(db: &Database) -> Result<(), JournalFileError> {
    let txn = db.begin_write()?;
    txn.delete_table(LISTED)?;
    txn.delete_table(LISTED_BY_STATUS)?;
    {
        let mut listed = txn.open_table(LISTED)?;
        for status in WebhookStatus::ALL {
            txn.open_table(listed_with(status))?;
        }
        for item in txn.open_table(WORKSPACES)?.iter()? {
            let (workspace, record) = item?;
            // What cannot be read is found when it is loaded.
            let snapshot = Record::decode(record.value()).ok().and_then(|record| record.snapshot);
            let state = snapshot.and_then(|snapshot| codec::decode_snapshot(&snapshot).ok());
            if let Some(state) = state.filter(|state| state.forgotten == 0 || state.forgotten < state.seq) {
                listed.insert(workspace.value(), state.status().as_str())?;
                txn.open_table(listed_with(state.status()))?.insert(workspace.value(), ())?;
            }
        }
    }
    txn.commit()?;
    Ok(())
}

fn create(db: &Database, shards: u16) -> Result<u16, JournalFileError> {
    let shards = in_range(shards.into())?;
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    {
        let mut meta = txn.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("shards", u64::from(shards))?;
        txn.open_table(EVENTS)?;
        txn.open_table(WORKSPACES)?;
        txn.open_table(HISTORIES)?;
        txn.open_table(SKIPPED)?;
        txn.open_table(OUTBOX)?;
        txn.open_table(LISTED)?;
        for status in WebhookStatus::ALL {
            txn.open_table(listed_with(status))?;
        }
        txn.open_table(TOPS)?;
        for shard in 0..shards {
            let names = Names::of(shard);
            txn.open_table(names.messages())?;
            txn.open_table(names.commands())?;
            txn.open_table(names.rejected())?;
        }
    }
    txn.commit()?;
    Ok(shards)
}

fn in_range(shards: u64) -> Result<u16, JournalFileError> {
    let found = u16::try_from(shards).ok().filter(|shards| (1..=SHARDS_MAX).contains(shards));
    found.ok_or(JournalFileError::ShardsOutOfRange { asked: shards })
}
