//! What was answered outlives the process.

use super::commands::{save, store, waiting};
use super::story::{Story, message, reject};
use super::{SHARDS, Subject, batch, hold, length, messages, neighbours, soon};
use crate::journal::port::{Batch, Bookmark, Step};
use crate::message::EntryId;

pub(crate) async fn what_was_answered_is_there_after_a_restart(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let journal = subject.journal();
    let mut story = Story::of(&workspace);
    let settled = journal.publish(&workspace, &message("m-1")).await.unwrap();
    let bad = journal.publish(&workspace, &message("m-2")).await.unwrap();
    let owed = journal.publish(&workspace, &message("m-3")).await.unwrap();
    let mut held = hold(&journal, &workspace).await;
    store(&*journal, &workspace, &save(), &mut held).await;
    let steps = [story.save(), story.disable(), story.save(), story.deliver(settled, &message("m-1")), reject(bad)];
    let mail = steps[1].mails_owed.clone();
    soon(held.connection.commit(batch(steps))).await.unwrap();
    drop((held, journal));
    subject.restart().await;

    let journal = subject.journal();
    let mut held = hold(&journal, &workspace).await;
    assert_eq!(messages(&mut held).await.iter().map(|entry| entry.id).collect::<Vec<_>>(), [owed]);
    assert_eq!(waiting(&mut held).await.len(), 1);
    assert_eq!(held.outbox, mail);
    assert_eq!(soon(held.connection.load(&workspace)).await.unwrap().unwrap().state, story.state);
    assert_eq!(soon(journal.read(&workspace)).await.unwrap().attempts.len(), 2);
    assert_eq!(subject.rejected(workspace.shard(SHARDS)).await.len(), 1);
}

pub(crate) async fn ids_after_a_restart_are_greater(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let before = subject.journal().publish(&workspace, &message("m-1")).await.unwrap();
    let mut held = hold(&subject.journal(), &workspace).await;
    // Even when nothing is left that the greatest id could be read from.
    soon(held.connection.commit(batch([Step { settled: vec![before], ..Step::default() }]))).await.unwrap();
    assert_eq!(length(&mut held).await, 0);
    drop(held);
    subject.restart().await;
    let after = subject.journal().publish(&workspace, &message("m-2")).await.unwrap();
    assert!(after > before, "{after} follows {before}");
}

pub(crate) async fn the_seq_goes_on_after_a_restart(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let mut story = Story::of(&workspace);
    for _ in 0..3 {
        let held = hold(&subject.journal(), &workspace).await;
        let loaded = soon(held.connection.load(&workspace)).await.unwrap().unwrap();
        assert_eq!(loaded.state, story.state);
        soon(held.connection.commit(batch([story.save(), story.deliver_many(3)]))).await.unwrap();
        drop(held);
        subject.restart().await;
    }
    let reading = soon(subject.journal().read(&workspace)).await.unwrap();
    let seqs: Vec<_> = reading.attempts.iter().map(|(seq, _)| *seq).collect();
    assert_eq!((reading.state, seqs), (story.state, vec![12, 11, 10, 8, 7, 6, 4, 3, 2]));
}

pub(crate) async fn the_last_bookmark_is_there_for_whoever_acquires_next(subject: &mut impl Subject) {
    let spaces = neighbours(2);
    let (first, last) = (EntryId { ms: 5, n: 1 }, EntryId { ms: u64::MAX, n: u64::MAX });
    let held = hold(&subject.journal(), &spaces[0]).await;
    assert_eq!(held.bookmark, None);
    for cursor in [first, last] {
        let left = spaces.iter().map(|workspace| (workspace.clone(), first, cursor)).collect();
        let marked = Batch { bookmark: Some(Bookmark { cursor, left }), ..Batch::default() };
        soon(held.connection.commit(marked)).await.unwrap();
    }
    // One without a bookmark leaves it.
    let bad = subject.journal().publish(&spaces[0], &message("m-1")).await.unwrap();
    soon(held.connection.commit(batch([reject(bad)]))).await.unwrap();
    drop(held);
    subject.restart().await;

    let held = hold(&subject.journal(), &spaces[0]).await;
    let left = spaces.iter().map(|workspace| (workspace.clone(), first, last)).collect();
    assert_eq!(held.bookmark, Some(Bookmark { cursor: last, left }));
    let cleared = Batch { bookmark: Some(Bookmark::default()), ..Batch::default() };
    soon(held.connection.commit(cleared)).await.unwrap();
    drop(held);
    subject.restart().await;
    assert_eq!(hold(&subject.journal(), &spaces[0]).await.bookmark, None);
}
