//! A file of which a part was cut off or overwritten: what it cannot tell is told, and nothing hangs or panics.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::{Embedded, tables, wall};
use crate::journal::conformance::story::{Story, message};
use crate::journal::conformance::{SHARDS, batch, hold, soon};
use crate::journal::embedded::{JournalFileError, rescue};
use crate::journal::port::{Journal, LoadError, ReadError, Reading, ShardConnectionError, Step};
use crate::message::WorkspaceId;

const PAGE: usize = 4096;
const WORKSPACES: usize = 10;
const WAITING: u64 = 20;

/// Some workspaces, each with attempts and a history, and messages that wait.
async fn written(journal: &Arc<dyn Journal>) -> Vec<WorkspaceId> {
    let workspaces: Vec<WorkspaceId> = (0..WORKSPACES).map(|n| format!("workspace-{n}").parse().unwrap()).collect();
    for workspace in &workspaces {
        let mut story = Story::of(workspace);
        let held = hold(journal, workspace).await;
        let steps = [story.save(), story.deliver_many(6), story.disable(), story.save(), story.deliver_many(3)];
        soon(held.connection.commit(batch(steps))).await.unwrap();
    }
    let text = message(&"m".repeat(2_000));
    for n in 0..WAITING {
        soon(journal.publish(&workspaces[usize::try_from(n).unwrap() % WORKSPACES], &text)).await.unwrap();
    }
    workspaces
}

/// The pages that hold something.
fn used_pages(bytes: &[u8]) -> Vec<usize> {
    let pages = bytes.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    pages.map(|(n, _)| n * PAGE).collect()
}

/// The bytes with damage at every place that holds something.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let overwritten = |at: usize, with: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + PAGE].fill(with);
        (format!("{with} from {at} on"), bytes)
    };
    let pages = used_pages(bytes);
    let last = *pages.last().unwrap();
    let lengths = [0, 1, 319, PAGE, PAGE + 1, bytes.len() / 2, last, last + 7, bytes.len() - 1];
    let cut = lengths.map(|length| (format!("cut at {length}"), bytes[..length].to_vec()));
    // Both say of every kind of page that it is another one.
    let overwritten: Vec<_> =
        pages.iter().enumerate().map(|(n, at)| overwritten(*at, if n % 2 == 0 { 0 } else { 0xff })).collect();
    cut.into_iter().chain(overwritten)
}

#[tokio::test]
async fn wherever_a_file_is_damaged_it_is_told_and_nothing_hangs_or_panics() {
    let disk = Disk::of(Vec::new());
    let journal: Arc<dyn Journal> = Arc::new(disk.journal().unwrap());
    let workspaces = written(&journal).await;
    drop(journal);
    let (mut refused, mut noticed) = (0, 0);
    for (what, bytes) in damaged(&disk.bytes()) {
        // A file without a byte is a new one.
        if bytes.is_empty() {
            continue;
        }
        match Disk::of(bytes).journal() {
            Err(JournalFileError::Storage(error)) => {
                let told = JournalFileError::Storage(error).to_string();
                assert!(told.contains("`outbound repair --file FILE`"), "{what}: {told}");
                refused += 1;
            }
            Err(JournalFileError::NotAJournal) => refused += 1,
            Err(error) => panic!("{what}: {error}"),
            Ok(journal) => noticed += usize::from(use_all(&(Arc::new(journal) as Arc<dyn Journal>), &workspaces).await),
        }
    }
    assert!(refused > 10, "{refused} were refused, {noticed} noticed later");
}

/// Everything that is asked of a journal is answered. Whether anything was found damaged.
async fn use_all(journal: &Arc<dyn Journal>, workspaces: &[WorkspaceId]) -> bool {
    let mut noticed = false;
    for workspace in workspaces {
        noticed |= soon(journal.read(workspace)).await.is_err();
        noticed |= soon(journal.history(workspace)).await.is_err();
        noticed |= soon(journal.publish(workspace, &message("m-1"))).await.is_err();
        let holder = crate::journal::conformance::holder("node-a");
        let Ok(held) = soon(journal.acquire(workspace.shard(SHARDS), &holder)).await else { return true };
        match soon(held.connection.load(workspace)).await {
            Ok(loaded) => noticed |= loaded.is_err(),
            Err(ShardConnectionError::Failed { .. }) => return true,
            Err(error) => panic!("{error}"),
        }
        noticed |= soon(held.connection.salvage(workspace)).await.is_err();
    }
    noticed
}

#[tokio::test]
async fn what_can_be_read_of_a_damaged_file_is_in_the_new_one_and_the_rest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbound.redb");
    let open = || Arc::new(Embedded::open(&path, Some(SHARDS), super::wall).unwrap()) as Arc<dyn Journal>;
    let journal = open();
    let workspaces = written(&journal).await;
    let before = readings(&journal, &workspaces).await;
    drop(journal);
    let bytes = fs::read(&path).unwrap();
    let foreign = dir.path().join("outbound.redb.new");
    fs::write(&foreign, "of somebody else").unwrap();
    assert_eq!(rescue(&path).unwrap().damaged, None, "it is whole");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    let (mut rescued_whole, mut unreadable) = (0, 0);
    for (what, damaged) in damaged(&bytes) {
        fs::write(&path, &damaged).unwrap();
        let rescued = match rescue(&path) {
            Ok(rescued) => rescued,
            // Without its head a file tells nothing.
            Err(error) => {
                let told = if damaged.is_empty() { "it has 0 bytes" } else { "nothing can be read of" };
                assert!(error.to_string().contains(told), "{what}: {error}");
                assert_eq!(fs::read(&path).unwrap(), damaged, "{what}: it is left as it is");
                unreadable += 1;
                continue;
            }
        };
        if let Some(kept) = &rescued.damaged {
            assert_eq!(fs::read(kept).unwrap(), damaged, "{what}: the damaged one is beside it, as it was");
            fs::remove_file(kept).unwrap();
        }
        let journal = open();
        let after = readings(&journal, &workspaces).await;
        let told = format!("{what}: {rescued:?}");
        for (workspace, (before, after)) in workspaces.iter().zip(before.iter().zip(after)) {
            let is_named = rescued.unavailable.iter().any(|(named, _)| named == workspace)
                || rescued.lost.iter().any(|lost| lost.ends_with(&format!(" {workspace}")));
            match after {
                Ok(after) => assert!(is_named || after == *before.as_ref().unwrap(), "{workspace}; {told}"),
                Err(ReadError::Load(LoadError::Corrupt { .. })) => assert!(is_named, "{workspace}; {told}"),
                Err(error) => panic!("{workspace}: {error}; {told}"),
            }
        }
        let waits_lost = rescued.lost.iter().any(|lost| lost.contains("messages that wait"));
        assert!(waits_lost || rescued.waiting == WAITING, "{told}");
        rescued_whole += usize::from(rescued.lost.is_empty());
        drop(journal);
        assert!(Path::new(&path).exists());
    }
    assert!(rescued_whole > 0 && unreadable < 10, "{rescued_whole} whole, {unreadable} unreadable");
    assert_eq!(fs::read(foreign).unwrap(), b"of somebody else");
}

/// Another page in the place of one is what a disk that mixes up blocks leaves.
#[tokio::test]
async fn a_rescue_tells_no_secret_whatever_page_stands_in_the_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbound.redb");
    let journal: Arc<dyn Journal> = Arc::new(Embedded::open(&path, Some(SHARDS), super::wall).unwrap());
    written(&journal).await;
    drop(journal);
    let bytes = fs::read(&path).unwrap();
    let pages = used_pages(&bytes);
    let has_secret = |at: &&usize| bytes[**at..**at + PAGE].windows(6).any(|part| part == b"whsec_");
    let (mut rescued_some, mut unnamed) = (0, 0);
    for source in pages.iter().filter(has_secret).take(3) {
        for target in pages.iter().filter(|target| *target != source) {
            let mut mixed = bytes.clone();
            mixed.copy_within(*source..*source + PAGE, *target);
            fs::write(&path, mixed).unwrap();
            let Ok(rescued) = rescue(&path) else { continue };
            rescued_some += 1;
            let told = format!("{rescued:?}");
            assert!(!told.contains("whsec_"), "{source} over {target}: {told}");
            for (workspace, _) in &rescued.unavailable {
                assert!(workspace.as_str().starts_with("workspace-"), "{source} over {target}: {told}");
            }
            unnamed += usize::from(told.contains("under names that no workspace can have"));
            rescued.damaged.iter().for_each(|damaged| fs::remove_file(damaged).unwrap());
        }
    }
    assert!(
        rescued_some > 10 && unnamed > 0,
        "{rescued_some} were rescued, {unnamed} of them with names that are none"
    );
}

async fn readings(journal: &Arc<dyn Journal>, workspaces: &[WorkspaceId]) -> Vec<Result<Reading, ReadError>> {
    let mut readings = Vec::new();
    for workspace in workspaces {
        readings.push(soon(journal.read(workspace)).await);
    }
    readings
}

/// Worse than the damage of the laws, which leaves a record that can be decoded.
#[tokio::test]
async fn a_workspace_whose_record_cannot_be_decoded_begins_anew() {
    let embedded = Arc::new(Embedded::in_memory(SHARDS, wall).unwrap());
    let journal = Arc::clone(&embedded) as Arc<dyn Journal>;
    let workspace: WorkspaceId = "acme".parse().unwrap();
    let held = hold(&journal, &workspace).await;
    soon(held.connection.commit(batch([Story::of(&workspace).save()]))).await.unwrap();
    let txn = embedded.store.db().begin_write().unwrap();
    txn.open_table(tables::WORKSPACES).unwrap().insert(workspace.as_str(), &[0xff; 3][..]).unwrap();
    txn.commit().unwrap();
    assert!(matches!(soon(held.connection.load(&workspace)).await.unwrap(), Err(LoadError::Corrupt { .. })));
    let salvage = soon(held.connection.salvage(&workspace)).await.unwrap();
    assert_ne!(salvage.lost, Vec::<String>::new());
    let mut story = Story { workspace: workspace.clone(), state: salvage.state.clone() };
    let step = Step { workspace: Some(workspace.clone()), ..Step::default() };
    let anew = Step { forget: true, anew: Some(salvage.state.seq), ..story.with_snapshot(step) };
    soon(held.connection.commit(batch([anew, story.save()]))).await.unwrap();
    assert_eq!(soon(held.connection.load(&workspace)).await.unwrap().unwrap().state, story.state);
}
