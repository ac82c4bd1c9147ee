//! What was answered survives a crash at any moment, and what survives hangs together.
//!
//! A run is recorded change by change. Then the disk is cut: after any change (the process was
//! killed), and with part of what was not yet synced lost (the machine lost power). Every such disk
//! is opened again.

use std::sync::Arc;

use super::disk::{Change, Disk, apply};
use crate::journal::conformance::story::{Story, message};
use crate::journal::conformance::{batch, hold, messages, neighbours, soon};
use crate::journal::port::Journal;
use crate::message::{EntryId, WorkspaceId};

/// What had been answered when so many changes had been made.
struct Answered {
    changes: usize,
    published: usize,
    seq: u64,
}

struct Run {
    changes: Vec<Change>,
    answers: Vec<Answered>,
    /// Every message, in order. The nth delivery, seq n + 2, settles the nth.
    ids: Vec<EntryId>,
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_answered() {
    let workspace = &neighbours(1)[0];
    let run = run(workspace).await;
    let mut image = Vec::new();
    for (n, change) in run.changes.iter().enumerate() {
        apply(&mut image, change);
        // Every sync and the changes around it, and a few of the others.
        let near_sync = run.changes[n.saturating_sub(1)..].iter().take(3).any(|change| matches!(change, Change::Sync));
        if near_sync || n % 16 == 0 {
            check(&run, workspace, image.clone(), n + 1).await;
        }
    }
}

#[tokio::test]
async fn lost_power_loses_nothing_that_was_answered() {
    let workspace = &neighbours(1)[0];
    let run = run(workspace).await;
    let (mut synced, mut pending) = (Vec::new(), Vec::new());
    let mut dice = 1_u64;
    for (n, change) in run.changes.iter().enumerate() {
        if !matches!(change, Change::Sync) {
            pending.push(change);
            continue;
        }
        // Just before the sync was done, any part of what it was to make durable may be there.
        for _ in 0..2 {
            let mut image = synced.clone();
            for change in &pending {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if matches!(change, Change::Length(_)) || dice >> 63 == 0 {
                    apply(&mut image, change);
                }
            }
            check(&run, workspace, image, n).await;
        }
        pending.drain(..).for_each(|change| apply(&mut synced, change));
        check(&run, workspace, synced.clone(), n + 1).await;
    }
}

/// Publishes and delivers, and notes what was answered when.
async fn run(workspace: &WorkspaceId) -> Run {
    let disk = Arc::new(Disk::default());
    let journal: Arc<dyn Journal> = Arc::new(disk.journal().unwrap());
    let (mut story, mut ids, mut answers) = (Story::of(workspace), Vec::new(), Vec::new());
    let held = hold(&journal, workspace).await;
    let answered =
        |published: &Vec<EntryId>, seq| Answered { changes: disk.changed(), published: published.len(), seq };
    answers.push(answered(&ids, 0));
    soon(held.connection.commit(batch([story.save()]))).await.unwrap();
    answers.push(answered(&ids, 1));
    for n in 0..12 {
        for m in 0..2 {
            ids.push(soon(journal.publish(workspace, &message(&format!("m-{n}-{m}")))).await.unwrap());
            answers.push(answered(&ids, story.state.seq));
        }
        let step = story.deliver(ids[n], &message("m-1"));
        let step = if n % 4 == 0 { story.with_snapshot(step) } else { step };
        soon(held.connection.commit(batch([step]))).await.unwrap();
        answers.push(answered(&ids, story.state.seq));
    }
    drop((held, journal));
    Run { changes: disk.changes(), answers, ids }
}

/// Opens the disk as it was after so many changes.
async fn check(run: &Run, workspace: &WorkspaceId, image: Vec<u8>, changes: usize) {
    let Some(answered) = run.answers.iter().rev().find(|answered| answered.changes <= changes) else { return };
    let journal: Arc<dyn Journal> = Arc::new(Disk::of(image).journal().unwrap());
    let mut held = hold(&journal, workspace).await;
    let state = soon(held.connection.load(workspace)).await.unwrap().unwrap().state;
    assert!(state.seq >= answered.seq, "after {changes} changes seq {} of {}", state.seq, answered.seq);
    // The entries and the events are of the same moment.
    let left: Vec<_> = messages(&mut held).await.iter().map(|entry| entry.id).collect();
    let delivered = usize::try_from(state.seq.saturating_sub(1)).unwrap();
    let published = delivered + left.len();
    assert!(published >= answered.published, "after {changes} changes {published} of {}", answered.published);
    assert_eq!(left, run.ids[delivered..published], "after {changes} changes");
}
