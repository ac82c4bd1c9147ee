//! Opening the file: whose it is, which format, how many shards.

use std::fs::{self, TryLockError};
use std::io::{ErrorKind, Write as _};
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
    /// It holds nothing, which no journal ever does: a new one gets its name when it is whole.
    #[error(
        "the journal {path} cannot be opened: it has 0 bytes, so what was in it is lost, as by a copy that failed or a full disk. \
         Put a copy of it in its place; where there never was anything in it, delete it, and the start makes a new one"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Nothing of it can be rescued.
    #[error(
        "nothing can be read of {path}: what tells where everything in it lies is damaged, or it is no journal; it is left as it is. Put a copy of the \
         journal in its place, taken while the service did not run; without one, move it away, and the start makes a new journal"
    )]
    NothingToRescue {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: redb::Error,
    },
    /// It cannot be opened or read.
    #[error("the journal {path} cannot be opened: {}", mend(source))]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: DatabaseError,
    },
    /// What was sent could not be noted as sent, what was rescued not be kept.
    #[error(
        "the disk of the journal {path} has not the {} MiB left that are needed: a service must note what it sends, else it sends it \
         again at every start, and a repair writes a new file. Free some space, or raise the quota",
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

/// Opens the file, or makes it where there is none. Answers with the number of shards.
pub(super) fn open(path: &Path, shards: Option<u16>) -> Result<(OpenFile, u16), JournalFileError> {
    check_room(path)?;
    not_empty(path)?;
    match fs::metadata(path) {
        // A link may name a file that is still to be made.
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => make(&path.parent().unwrap_or(Path::new("")).join(target), shards),
            Err(_) => make(path, shards),
        },
        _ => prepared(contained(|| builder().open(path)).map_err(|source| unopened(path, source))?, shards),
    }
}

/// Refuses a file of 0 bytes.
pub(super) fn not_empty(path: &Path) -> Result<(), JournalFileError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() == 0 => Err(JournalFileError::Empty { path: path.into() }),
        _ => Ok(()),
    }
}

fn unopened(path: &Path, source: DatabaseError) -> JournalFileError {
    match source {
        DatabaseError::DatabaseAlreadyOpen => JournalFileError::InUse { path: path.into() },
        source => JournalFileError::File { path: path.into(), source },
    }
}

/// Makes a new file, under another name until it is whole: so a start that is killed, or whose disk is full, leaves nothing
/// that looks like a journal that lost everything.
fn make(path: &Path, shards: Option<u16>) -> Result<(OpenFile, u16), JournalFileError> {
    let begun = beside(path, "begun");
    let io = |error: std::io::Error| unopened(path, DatabaseError::Storage(error.into()));
    match locked(&begun) {
        // What a killed start left.
        Ok(_held) => fs::remove_file(&begun).map_err(io)?,
        Err(JournalFileError::NoFile { .. }) => {}
        Err(error) => return Err(error),
    }
    let made = || -> Result<_, JournalFileError> {
        make_private(&begun).map_err(io)?;
        let db = contained(|| builder().create(&begun)).map_err(|source| unopened(path, source))?;
        let made = prepared(db, shards)?;
        fs::rename(&begun, path).map_err(io)?;
        Ok(made)
    };
    let made = made().inspect_err(|_| drop(fs::remove_file(&begun)))?;
    // The name must outlive a machine that dies as what is stored under it does.
    fs::File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(made)
}

/// Where the file is.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `outbound.redb` → `outbound.redb.begun`.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// `outbound.redb` → `outbound.redb.new-1`, or with the first number under which there is nothing.
pub(super) fn free_beside(path: &Path, extension: &str) -> PathBuf {
    let mut names = (1_u64..).map(|n| beside(path, &format!("{extension}-{n}")));
    names.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| beside(path, extension))
}

/// The file, which nobody else has open while this is.
pub(super) fn locked(path: &Path) -> Result<fs::File, JournalFileError> {
    let io = |error: std::io::Error| unopened(path, DatabaseError::Storage(error.into()));
    let file = fs::File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => JournalFileError::NoFile { path: path.to_owned() },
        _ => io(error),
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalFileError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Refuses a start on a disk that is full: it would send messages and end before it can note that, again and again with a
/// supervisor. What else is wrong there is told when the file is opened.
fn check_room(path: &Path) -> Result<(), JournalFileError> {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    // Without a name: it is in nobody's way, and a start that is killed leaves nothing of it.
    let Ok(mut file) = tempfile::tempfile_in(folder(path)) else { return Ok(()) };
    let block = [0; RESERVE_BLOCK];
    // Written and not only asked for: quotas and limits count as the disk does.
    let written = (0..RESERVE_BYTES / RESERVE_BLOCK).try_for_each(|_| file.write_all(&block));
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

/// Makes the file readable by its owner only: it holds messages and signing secrets.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
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
