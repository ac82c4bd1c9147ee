//! Forgetting: nothing is left of a workspace but its seq.

use super::story::{Story, message};
use super::{SHARDS, Subject, batch, hold, holder, neighbours, soon};
use crate::journal::port::Step;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::State;

/// A workspace that has one of everything, up to seq 11: attempts above and below the snapshot, other
/// events, a mail that is owed, and a newest message that was skipped.
fn told(workspace: &WorkspaceId) -> (Story, Vec<Step>) {
    let mut story = Story::of(workspace);
    let skipped = EntryId { ms: 9, n: 9 };
    let mut steps = vec![story.save(), story.deliver_many(3), story.disable(), story.skip(skipped, &message("m-s"))];
    steps.extend([story.save(), story.deliver_many(4)]);
    (story, steps)
}

/// Nothing is read of the workspace any more, and its seq goes on.
async fn is_forgotten(subject: &impl Subject, story: &mut Story) {
    let (journal, workspace) = (subject.journal(), story.workspace.clone());
    let expected = State { seq: story.state.seq, forgotten: story.state.seq, ..State::default() };
    assert_eq!(story.state, expected);
    assert_eq!(subject.retained(&workspace).await, (0, 0));
    let reading = soon(journal.read(&workspace)).await.unwrap();
    assert_eq!((&reading.state, reading.attempts.len()), (&expected, 0));
    assert_eq!(soon(journal.history(&workspace)).await.unwrap(), []);
    let held = hold(&journal, &workspace).await;
    assert_eq!(held.outbox.iter().filter(|mail| mail.workspace == workspace).count(), 0);
    assert_eq!(soon(held.connection.newest(&workspace)).await.unwrap().unwrap(), None);
    let loaded = soon(held.connection.load(&workspace)).await.unwrap().unwrap();
    assert_eq!((loaded.state, loaded.since_snapshot, loaded.attempted), (expected, 0, Vec::new()));

    soon(held.connection.commit(batch([story.save(), story.deliver_many(2)]))).await.unwrap();
    assert_eq!(soon(held.connection.load(&workspace)).await.unwrap().unwrap().state, story.state);
    assert_eq!(subject.retained(&workspace).await, (2, 1));
}

pub(crate) async fn a_forgotten_workspace_is_one_never_seen_whose_seq_goes_on(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let (mut story, steps) = told(&workspace);
    let held = hold(&subject.journal(), &workspace).await;
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let before = story.state.seq;
    soon(held.connection.commit(batch([story.forget()]))).await.unwrap();
    assert_eq!(story.state.seq, before);
    is_forgotten(subject, &mut story).await;
    // Again, with what came since.
    let held = hold(&subject.journal(), &workspace).await;
    soon(held.connection.commit(batch([story.forget()]))).await.unwrap();
    is_forgotten(subject, &mut story).await;
}

pub(crate) async fn what_is_forgotten_stays_so_in_files_that_are_written_anew(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let (mut story, steps) = told(&workspace);
    let held = hold(&subject.journal(), &workspace).await;
    soon(held.connection.commit(batch(steps))).await.unwrap();
    soon(held.connection.commit(batch([story.forget()]))).await.unwrap();
    drop(held);
    subject.rewrite().await;
    is_forgotten(subject, &mut story).await;
    subject.rewrite().await;
    let held = hold(&subject.journal(), &workspace).await;
    assert_eq!(soon(held.connection.load(&workspace)).await.unwrap().unwrap().state, story.state);
}

pub(crate) async fn what_follows_in_the_same_commit_is_kept(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let (mut story, mut steps) = told(&workspace);
    let skipped = EntryId { ms: 10, n: 0 };
    steps.extend([story.forget(), story.skip(skipped, &message("m-after")), story.save(), story.disable()]);
    let owed = steps.last().unwrap().mails_owed.clone();
    let held = hold(&subject.journal(), &workspace).await;
    soon(held.connection.commit(batch(steps))).await.unwrap();
    assert_eq!(subject.retained(&workspace).await, (1, 2));
    let held = hold(&subject.journal(), &workspace).await;
    assert_eq!(held.outbox, owed);
    assert_eq!(soon(held.connection.load(&workspace)).await.unwrap().unwrap().state, story.state);
    let newest = soon(held.connection.newest(&workspace)).await.unwrap().unwrap();
    assert_eq!(newest.map(|newest| newest.entry), Some(skipped));
}

pub(crate) async fn a_workspace_never_seen_may_be_forgotten(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let held = hold(&subject.journal(), &workspace).await;
    let mut story = Story::of(&workspace);
    soon(held.connection.commit(batch([story.forget()]))).await.unwrap();
    is_forgotten(subject, &mut story).await;
}

pub(crate) async fn others_are_not_forgotten(subject: &mut impl Subject) {
    let forgotten = neighbours(1).remove(0);
    // One whose id goes on where the other's ends, and a mail of it that looks like one of the other.
    let close = (0..).map(|n| format!("{forgotten}:{n}").parse::<WorkspaceId>().unwrap());
    let close = close.into_iter().find(|close| close.shard(SHARDS) == forgotten.shard(SHARDS)).unwrap();
    let (mut story, mut steps) = told(&forgotten);
    let (other, others) = told(&close);
    steps.extend(others.clone());
    steps.push(story.forget());
    let held = hold(&subject.journal(), &forgotten).await;
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let held = soon(subject.journal().acquire(forgotten.shard(SHARDS), &holder("node-a"))).await.unwrap();
    let owed: Vec<_> = others.iter().flat_map(|step| step.mails_owed.clone()).collect();
    assert_eq!(held.outbox, owed);
    assert_eq!(soon(held.connection.load(&close)).await.unwrap().unwrap().state, other.state);
    assert!(soon(held.connection.newest(&close)).await.unwrap().unwrap().is_some());
    assert_eq!(subject.retained(&close).await, (8, 3));
}

pub(crate) async fn a_dropped_log_leaves_the_rest(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let (mut story, steps) = told(&workspace);
    let journal = subject.journal();
    let held = hold(&journal, &workspace).await;
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let history = soon(journal.history(&workspace)).await.unwrap();
    // In one commit with attempts that came before it, and those that follow stay.
    let steps = [story.deliver_many(2), story.drop_log(), story.deliver_many(3)];
    soon(held.connection.commit(batch(steps))).await.unwrap();
    assert_eq!(soon(journal.history(&workspace)).await.unwrap(), history);
    let reading = soon(journal.read(&workspace)).await.unwrap();
    assert_eq!((&reading.state, reading.attempts.len()), (&story.state, 3));

    soon(held.connection.commit(batch([story.drop_log()]))).await.unwrap();
    assert_eq!(soon(held.connection.newest(&workspace)).await.unwrap().unwrap(), None);
    drop((held, journal));
    subject.restart().await;
    let journal = subject.journal();
    let reading = soon(journal.read(&workspace)).await.unwrap();
    assert_eq!((&reading.state, reading.attempts.len()), (&story.state, 0));
    let held = hold(&journal, &workspace).await;
    assert_eq!(soon(held.connection.load(&workspace)).await.unwrap().unwrap().state, story.state);
    soon(held.connection.commit(batch([story.deliver_many(1)]))).await.unwrap();
    let reading = soon(journal.read(&workspace)).await.unwrap();
    assert_eq!((&reading.state, reading.attempts.len()), (&story.state, 1));
}

pub(crate) async fn of_a_workspace_that_was_never_saved_nothing_stays(subject: &mut impl Subject) {
    let workspace = neighbours(1).remove(0);
    let mut story = Story::of(&workspace);
    let journal = subject.journal();
    let held = hold(&journal, &workspace).await;
    let skipped = story.skip(EntryId { ms: 9, n: 9 }, &message("m-s"));
    soon(held.connection.commit(batch([skipped]))).await.unwrap();
    let forgotten = Step { snapshot: None, ..story.forget() };
    soon(held.connection.commit(batch([forgotten]))).await.unwrap();
    let version = soon(journal.version(&workspace)).await.unwrap();
    assert!(version.is_none_or(|version| version.top == 0 && version.snapshot.is_none()));
    assert_eq!(soon(journal.read(&workspace)).await.unwrap().state, State::default());
    assert_eq!(soon(held.connection.load(&workspace)).await.unwrap().unwrap().state, State::default());
    soon(held.connection.commit(batch([story.save()]))).await.unwrap();
    assert_eq!(soon(journal.read(&workspace)).await.unwrap().state, story.state);
}
