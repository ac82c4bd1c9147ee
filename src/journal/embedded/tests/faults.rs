//! When the disk fails, when callers err, and when much comes at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use super::disk::Disk;
use super::{Embedded, InFile};
use crate::journal::conformance::story::{Story, message, reject};
use crate::journal::conformance::{SHARDS, Subject as _, batch, hold, holder, length, messages, neighbours, soon};
use crate::journal::port::{
    AcquireError, Batch, Journal, Poll, PublishError, REJECTED_RETAINED, ReadError, ShardConnectionError, Step,
    SubmitError,
};
use crate::message::EntryId;
use crate::workspace::state::State;
use crate::workspace::time::Time;

#[tokio::test]
async fn after_an_error_of_the_disk_every_call_is_refused_until_it_is_opened_again() {
    let workspace = &neighbours(1)[0];
    let disk = Arc::new(Disk::default());
    let journal: Arc<dyn Journal> = Arc::new(disk.journal().unwrap());
    let mut story = Story::of(workspace);
    let mut held = hold(&journal, workspace).await;
    soon(held.connection.commit(batch([story.save()]))).await.unwrap();
    soon(journal.publish(workspace, &message("m-1"))).await.unwrap();
    let durable = story.state.clone();
    disk.failing.store(true, Ordering::SeqCst);

    // What waits when it fails, and what comes later.
    let (first, second) = (held.connection.commit(batch([story.save()])), held.connection.load(workspace));
    assert!(matches!(soon(first).await, Err(ShardConnectionError::Failed { .. })));
    assert!(matches!(soon(second).await, Err(ShardConnectionError::Failed { .. })));
    disk.failing.store(false, Ordering::SeqCst);
    assert!(matches!(soon(held.connection.commit(Batch::default())).await, Err(ShardConnectionError::Failed { .. })));
    assert!(matches!(soon(journal.publish(workspace, &message("m-2"))).await, Err(PublishError::Store(_))));
    let command = crate::journal::conformance::commands::save();
    let submitted = soon(journal.submit(workspace, &command, Duration::from_secs(60))).await;
    assert!(matches!(submitted, Err(SubmitError::Store(_))), "{submitted:?}");
    assert!(matches!(soon(journal.acquire(0, &holder("node-a"))).await.err(), Some(AcquireError::Store(_))));
    assert!(soon(held.intake.poll(&Poll { probe: true, ..Poll::default() })).await.is_err());
    let said = soon(journal.ping()).await.unwrap_err().to_string();
    assert!(said.contains("the journal's file failed"), "{said}");

    drop((held, journal));
    let journal: Arc<dyn Journal> = Arc::new(Disk::of(disk.bytes()).journal().unwrap());
    let mut held = hold(&journal, workspace).await;
    assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, durable);
    assert_eq!(length(&mut held).await, 1);
}

/// On threads of their own: whoever learns that a call got no answer asks at once.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_when_the_disk_fails_learns_that_it_did() {
    let workspace = &neighbours(1)[0];
    for _ in 0..50 {
        let disk = Arc::new(Disk::default());
        let journal = Arc::new(disk.journal().unwrap());
        disk.failing.store(true, Ordering::SeqCst);
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let (journal, workspace) = (Arc::clone(&journal), workspace.clone());
                tokio::spawn(async move { journal.publish(&workspace, &message("m-1")).await })
            })
            .collect();
        for call in calls {
            let said = soon(call).await.unwrap().unwrap_err().to_string();
            assert!(said.contains("the journal's file failed"), "{said}");
        }
        disk.failing.store(false, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_waits_together_is_synced_together() {
    let disk = Arc::new(Disk::default());
    let journal = disk.journal().unwrap();
    let spaces = neighbours(10);
    let before = disk.syncs.load(Ordering::SeqCst);
    let text = message("m-1");
    let publishes = (0..1_000).map(|n| journal.publish(&spaces[n % 10], &text));
    // The first waits until all others wait behind it: each turn some of them are asked for.
    disk.slow.store(true, Ordering::SeqCst);
    let all_are_asked_for = async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        disk.slow.store(false, Ordering::SeqCst);
    };
    let (published, ()) = soon(async { tokio::join!(join_all(publishes), all_are_asked_for) }).await;
    let ids: HashSet<_> = published.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1_000, "every message has an id of its own");
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 10, "{syncs} syncs for 1,000 messages");
}

#[tokio::test]
async fn a_commit_that_leaves_a_gap_is_refused_whole() {
    let subject = InFile::fresh().await;
    let (journal, spaces) = (subject.journal(), neighbours(2));
    let id = journal.publish(&spaces[0], &message("m-1")).await.unwrap();
    let held = hold(&journal, &spaces[0]).await;
    let (mut right, mut gap) = (Story::of(&spaces[0]), Story::of(&spaces[1]));
    gap.state.seq = 1;
    let settled = Step { settled: vec![id], ..Step::default() };
    let refused = soon(held.connection.commit(batch([right.save(), settled, gap.save()]))).await;
    assert!(matches!(refused, Err(ShardConnectionError::Failed { .. })), "{refused:?}");
    assert!(
        matches!(soon(held.connection.load(&spaces[0])).await, Err(ShardConnectionError::Failed { .. })),
        "the connection has failed"
    );

    let mut held = hold(&journal, &spaces[0]).await;
    assert_eq!(length(&mut held).await, 1);
    for workspace in &spaces {
        assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, State::default());
    }
}

#[tokio::test]
async fn what_was_called_is_durable_when_the_journal_is_dropped() {
    let mut subject = InFile::fresh().await;
    let workspace = &neighbours(1)[0];
    let mut story = Story::of(workspace);
    let held = hold(&subject.journal(), workspace).await;
    let unanswered = held.connection.commit(batch([story.save()]));
    // Shard connections and intakes may outlive the journal; they do not keep the file.
    let mut outliving = held;
    subject.restart().await;
    soon(unanswered).await.unwrap();
    assert!(soon(outliving.connection.commit(Batch::default())).await.is_err());
    assert!(soon(outliving.intake.poll(&Poll { probe: true, ..Poll::default() })).await.is_err());
    let held = hold(&subject.journal(), workspace).await;
    assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, story.state);
}

#[tokio::test]
async fn a_waiting_read_ends_when_the_journal_does() {
    let subject = InFile::fresh().await;
    let journal = subject.journal();
    let mut held = hold(&journal, &neighbours(1)[0]).await;
    let poll = Poll { messages: Some((EntryId::ZERO, 1)), block: Duration::from_secs(3600), ..Poll::default() };
    let end = async { drop((journal, subject)) };
    let (read, ()) = soon(async { tokio::join!(held.intake.poll(&poll), end) }).await;
    assert!(read.is_err());
}

#[tokio::test]
async fn ids_rise_although_the_clock_goes_back() {
    static NOW: AtomicI64 = AtomicI64::new(5_000);
    fn clock() -> Time {
        Time::from_unix_ms(NOW.load(Ordering::SeqCst))
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbound.redb");
    let workspace = &neighbours(1)[0];
    let publish = async |journal: &Embedded| journal.publish(workspace, &message("m-1")).await.unwrap();
    let journal = Embedded::open(&path, Some(SHARDS), clock).unwrap();
    let id = |ms, n| EntryId { ms, n };
    assert_eq!([publish(&journal).await, publish(&journal).await], [id(5_000, 0), id(5_000, 1)]);
    NOW.store(4_000, Ordering::SeqCst);
    assert_eq!(publish(&journal).await, id(5_000, 2));
    drop(journal);
    let journal = Embedded::open(&path, Some(SHARDS), clock).unwrap();
    assert_eq!(publish(&journal).await, id(5_000, 3));
    NOW.store(6_000, Ordering::SeqCst);
    assert_eq!(publish(&journal).await, id(6_000, 0));
}

#[tokio::test]
async fn deleted_rejected_entries_are_counted() {
    let journal = Arc::new(Embedded::in_memory(SHARDS, super::wall).unwrap());
    let port = Arc::clone(&journal) as Arc<dyn Journal>;
    let held = hold(&port, &neighbours(1)[0]).await;
    let steps = (0..REJECTED_RETAINED as u64 + 3).map(|n| reject(EntryId { ms: 1, n }));
    soon(held.connection.commit(batch(steps))).await.unwrap();
    assert_eq!(journal.rejected_deleted(), 3);
}

#[tokio::test(start_paused = true)]
async fn in_memory_nothing_takes_time() {
    let journal: Arc<dyn Journal> = Arc::new(Embedded::in_memory(SHARDS, super::wall).unwrap());
    let workspace = &neighbours(1)[0];
    let begun = tokio::time::Instant::now();
    let mut held = hold(&journal, workspace).await;
    journal.publish(workspace, &message("m-1")).await.unwrap();
    held.connection.commit(Batch::default()).await.unwrap();
    assert_eq!(messages(&mut held).await.len(), 1);
    assert!(matches!(journal.read(workspace).await, Ok(_) | Err(ReadError::Load(_))));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
