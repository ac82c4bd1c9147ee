//! Opening the file, and refusing to.

use std::path::PathBuf;
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, TableDefinition, TableHandle as _};
use tempfile::TempDir;

use super::super::JournalFileError;
use super::super::tables::{FORMAT, LISTED_BY_STATUS, META, Places, Record, decode_entry, encode_fields, listed_with};
use super::{Embedded, wall};
use crate::journal::conformance::story::Story;
use crate::journal::conformance::{SHARDS, batch, hold, neighbours};
use crate::journal::port::{Journal, ListQuery, RawEntry};
use crate::message::EntryId;
use crate::workspace::configuration::WebhookStatus;

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbound.redb");
    (dir, path)
}

fn error(path: &std::path::Path, shards: Option<u16>) -> JournalFileError {
    Embedded::open(path, shards, wall).err().expect("it is refused")
}

#[test]
fn the_number_of_shards_is_fixed_at_the_first_start() {
    let (_dir, path) = place();
    assert_eq!(Embedded::open(&path, Some(3), wall).unwrap().shards(), 3);
    assert_eq!(Embedded::open(&path, None, wall).unwrap().shards(), 3);
    assert_eq!(Embedded::open(&path, Some(3), wall).unwrap().shards(), 3);
    assert!(matches!(error(&path, Some(4)), JournalFileError::Shards { stored: 3, asked: 4 }));
}

#[test]
fn there_are_16_shards_unless_told_otherwise() {
    let (_dir, path) = place();
    assert_eq!(Embedded::open(&path, None, wall).unwrap().shards(), 16);
}

#[test]
fn no_shards_or_too_many_are_refused() {
    for shards in [0, 1_025] {
        assert!(matches!(error(&place().1, Some(shards)), JournalFileError::ShardsOutOfRange { .. }));
        assert!(Embedded::in_memory(shards, wall).is_err());
    }
}

/// What a full disk or a copy that failed leaves: a new journal in its place would have none of what was in it.
#[test]
fn a_file_without_a_byte_is_never_taken_for_a_new_one() {
    let (dir, path) = place();
    std::fs::write(&path, b"").unwrap();
    let told = error(&path, None).to_string();
    assert!(told.contains("it has 0 bytes") && !told.contains("outbound repair"), "{told}");
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    // A start that was killed leaves what has another name, of whatever length.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(dir.path().join("outbound.redb.begun"), b"begun").unwrap();
    drop(Embedded::open(&path, Some(3), wall).unwrap());
    assert_eq!(Embedded::open(&path, None, wall).unwrap().shards(), 3);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    // Where a link leads to, a file is made as ever.
    let link = dir.path().join("link.redb");
    std::os::unix::fs::symlink("elsewhere.redb", &link).unwrap();
    drop(Embedded::open(&link, Some(5), wall).unwrap());
    assert_eq!(Embedded::open(&dir.path().join("elsewhere.redb"), None, wall).unwrap().shards(), 5);
}

#[test]
fn a_file_that_cannot_be_made_leaves_nothing_behind() {
    let (dir, path) = place();
    assert!(matches!(error(&path, Some(0)), JournalFileError::ShardsOutOfRange { .. }));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_start_touches_no_file_beside_the_journal_and_leaves_none_there() {
    let dir = tempfile::tempdir().unwrap();
    let beside = ["a.reserve", "a.redb.reserve", "a.new", "a.redb.new"].map(|name| dir.path().join(name));
    for file in &beside {
        std::fs::write(file, "of somebody else").unwrap();
    }
    for name in ["a.redb", "j.reserve", "a.redb", "j.reserve"] {
        // The second start finds what the first one made.
        let path = dir.path().join(name);
        assert_eq!(Embedded::open(&path, (!path.exists()).then_some(3), wall).unwrap().shards(), 3, "{name}");
    }
    assert!(beside.iter().all(|file| std::fs::read(file).unwrap() == b"of somebody else"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), beside.len() + 2);
}

#[test]
fn a_file_in_use_is_refused_by_name() {
    let (_dir, path) = place();
    let _open = Embedded::open(&path, None, wall).unwrap();
    let error = error(&path, None);
    assert!(matches!(error, JournalFileError::InUse { .. }));
    assert!(error.to_string().contains("outbound.redb is in use"), "{error}");
}

#[test]
fn another_format_is_refused_by_name() {
    let (_dir, path) = place();
    drop(Embedded::open(&path, None, wall).unwrap());
    let says = |format: u64| {
        let db = Database::open(&path).unwrap();
        let txn = db.begin_write().unwrap();
        let before = txn.open_table(META).unwrap().insert("format", format).unwrap().unwrap().value();
        txn.commit().unwrap();
        before
    };
    says(FORMAT + 1);
    assert!(matches!(error(&path, None), JournalFileError::UnknownFormat { found } if found == FORMAT + 1));
    // What an older program made is opened, and from then on that program refuses it.
    says(1);
    drop(Embedded::open(&path, None, wall).unwrap());
    assert_eq!(says(FORMAT), FORMAT);
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let (_dir, path) = place();
    let db = Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("birds")).unwrap().insert(1, 1).unwrap();
    txn.commit().unwrap();
    drop(db);
    assert!(matches!(error(&path, None), JournalFileError::NotAJournal));
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let (dir, path) = place();
    let text = b"not a database, but a letter".repeat(1_000);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(error(&path, None), JournalFileError::File { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), text);
    assert!(matches!(error(&dir.path().join("no/such/directory"), None), JournalFileError::File { .. }));
}

#[tokio::test]
async fn a_file_that_listed_all_statuses_in_one_table_is_listed_by_status_anew() {
    let (_dir, path) = place();
    let journal: Arc<dyn Journal> = Arc::new(Embedded::open(&path, Some(SHARDS), wall).unwrap());
    let (saved, off) = (neighbours(2)[0].clone(), neighbours(2)[1].clone());
    let mut steps = [Story::of(&saved).save(), Story::of(&off).disable()];
    steps[0].listed = Some(WebhookStatus::Enabled);
    // Nobody had saved it.
    steps[1].listed = Some(WebhookStatus::NotConfigured);
    hold(&journal, &saved).await.connection.commit(batch(steps)).await.unwrap();
    let counts = journal.workspace_counts().await.unwrap();
    assert_eq!(counts, [1, 1, 0, 0]);
    drop(journal);
    let db = Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    for status in WebhookStatus::ALL {
        txn.delete_table(listed_with(status)).unwrap();
    }
    txn.open_table(LISTED_BY_STATUS).unwrap().insert(("enabled", saved.as_str()), ()).unwrap();
    txn.commit().unwrap();
    drop(db);
    for _ in 0..2 {
        let journal = Embedded::open(&path, None, wall).unwrap();
        assert_eq!(journal.workspace_counts().await.unwrap(), counts);
        let query = ListQuery { status: Some(WebhookStatus::NotConfigured), count: 9, ..ListQuery::default() };
        let listed = journal.workspaces(&query).await.unwrap();
        assert!(listed.len() == 1 && listed[0].workspace == off, "{listed:?}");
        let query = ListQuery { count: 9, ..ListQuery::default() };
        assert_eq!(journal.workspaces(&query).await.unwrap().len(), 2);
    }
    let db = Database::open(&path).unwrap();
    let txn = db.begin_read().unwrap();
    let tables = txn.list_tables().unwrap().filter(|table| table.name() == LISTED_BY_STATUS.name());
    assert_eq!(tables.count(), 0, "nothing writes it any more");
}

#[test]
fn records_and_entries_have_their_bytes() {
    let record = Record { top: 3, snapshot: Some("s".into()), attempts: Places::from([(2, 256)]) };
    let bytes = [&[3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b's'][..], &pair()].concat();
    assert_eq!(record.encode(), bytes);
    assert_eq!(Record::decode(&bytes).unwrap(), record);
    assert_eq!(Record::decode(&Record::default().encode()).unwrap(), Record::default());
    for end in (0..16).chain(17..33) {
        // A cut just behind the snapshot leaves a record without attempts, which only the replay can tell.
        assert!(end == 17 || Record::decode(&bytes[..end]).is_err(), "cut at {end}");
    }

    let fields = encode_fields([(&b"ab"[..], &b""[..])]);
    assert_eq!(fields, [2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0]);
    let entry = RawEntry { id: EntryId { ms: 7, n: 1 }, fields: vec![("ab".into(), "".into())] };
    assert_eq!(decode_entry((7, 1), &fields).unwrap(), entry);
    for end in 1..fields.len() {
        assert!(decode_entry((7, 1), &fields[..end]).is_err(), "cut at {end}");
    }
}

fn pair() -> [u8; 16] {
    [2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
}
