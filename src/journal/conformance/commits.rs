//! Commits: whole, in order, and seen by everything that comes after them.

use super::story::{Story, message};
use super::{Subject, batch, hold, length, messages, neighbours, soon};
use crate::journal::port::{Newest, Reading, Step};
use crate::message::EntryId;
use crate::workspace::state::State;

pub(crate) async fn a_commit_settles_its_entries_and_no_others(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(journal.publish(workspace, &message(&format!("m-{n}"))).await.unwrap());
    }
    let mut held = hold(&journal, workspace).await;
    assert_eq!(length(&mut held).await, 3);
    let mut story = Story::of(workspace);
    let steps = [story.save(), story.deliver(ids[0], &message("m-0")), story.deliver(ids[2], &message("m-2"))];
    soon(held.connection.commit(batch(steps))).await.unwrap();
    assert_eq!(messages(&mut held).await.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(length(&mut held).await, 1);

    // A step without a workspace, and an entry that is settled already.
    let step = Step { settled: vec![ids[0], ids[1]], ..Step::default() };
    soon(held.connection.commit(batch([step]))).await.unwrap();
    assert_eq!(length(&mut held).await, 0);
}

pub(crate) async fn what_was_committed_is_read_newest_first(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let ids = [EntryId { ms: 5, n: 0 }, EntryId { ms: 5, n: 1 }];
    let texts = [message("m-1"), message("m-2")];
    let steps = [story.save(), story.deliver(ids[0], &texts[0]), story.deliver(ids[1], &texts[1])];
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let reading = soon(journal.read(workspace)).await.unwrap();
    assert_eq!(reading.state, story.state);
    let attempts = reading.attempts.iter();
    let attempts: Vec<_> =
        attempts.map(|(seq, attempt)| (*seq, attempt.entry, attempt.request.message.as_ref())).collect();
    assert_eq!(attempts, [(3, ids[1], Some(&texts[1])), (2, ids[0], Some(&texts[0]))]);
}

pub(crate) async fn a_load_is_the_snapshot_with_the_attempts_after_it(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let ids: Vec<_> = (0..3).map(|n| EntryId { ms: 5, n }).collect();
    let mut steps = vec![story.save()];
    steps.extend(ids.iter().map(|id| story.deliver(*id, &message("m-1"))));
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let loaded = soon(held.connection.load(workspace)).await.unwrap().unwrap();
    assert_eq!(loaded.state, story.state);
    assert_eq!((loaded.since_snapshot, loaded.attempted), (3, ids));

    let step = story.deliver(EntryId { ms: 6, n: 0 }, &message("m-2"));
    soon(held.connection.commit(batch([story.with_snapshot(step)]))).await.unwrap();
    let loaded = soon(held.connection.load(workspace)).await.unwrap().unwrap();
    assert_eq!(loaded.state, story.state);
    assert_eq!((loaded.since_snapshot, loaded.attempted), (0, Vec::new()));
}

pub(crate) async fn a_load_sees_the_commits_made_before_it_and_none_made_after(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let before = held.connection.commit(batch([story.save(), story.deliver_many(2)]));
    let load = held.connection.load(workspace);
    let state = story.state.clone();
    let after = held.connection.commit(batch([story.deliver_many(2)]));
    // Awaited in another order than they were made: only the call counts.
    let (after, load, before) = soon(async { tokio::join!(after, load, before) }).await;
    before.unwrap();
    assert_eq!(load.unwrap().unwrap().state, state);
    after.unwrap();
    assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, story.state);
}

pub(crate) async fn two_commits_in_flight_land_in_order(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    soon(held.connection.commit(batch([story.save()]))).await.unwrap();
    for _ in 0..20 {
        let first = held.connection.commit(batch([story.deliver_many(3)]));
        let second = held.connection.commit(batch([story.deliver_many(2)]));
        let (second, first) = soon(async { tokio::join!(second, first) }).await;
        first.unwrap();
        second.unwrap();
        let snapshot = story.with_snapshot(Step { workspace: Some(workspace.clone()), ..Step::default() });
        soon(held.connection.commit(batch([snapshot]))).await.unwrap();
    }
    let reading = soon(journal.read(workspace)).await.unwrap();
    assert_eq!(reading.state, story.state);
    let seqs: Vec<_> = reading.attempts.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (2..=101).rev().collect::<Vec<_>>());
}

pub(crate) async fn the_snapshot_is_read_without_the_attempts_after_it(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    assert_eq!(soon(journal.snapshot(workspace)).await.unwrap(), State::default());
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    soon(held.connection.commit(batch([story.save()]))).await.unwrap();
    let saved = story.state.clone();
    soon(held.connection.commit(batch([story.deliver_many(3)]))).await.unwrap();
    let read = soon(journal.snapshot(workspace)).await.unwrap();
    // What an adapter reads beyond the snapshot are attempts only.
    assert_eq!((read.webhook, read.token_generation), (saved.webhook, saved.token_generation));
    assert!((saved.seq..=story.state.seq).contains(&read.seq));
}

pub(crate) async fn of_several_snapshots_the_last_holds(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let steps = [story.save(), story.save(), story.disable(), story.save()];
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let loaded = soon(held.connection.load(workspace)).await.unwrap().unwrap();
    assert_eq!((loaded.state, loaded.since_snapshot), (story.state, 0));
}

pub(crate) async fn a_dropped_answer_is_a_commit_all_the_same(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    drop(held.connection.commit(batch([story.save()])));
    assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, story.state);
}

pub(crate) async fn a_workspace_never_seen_is_the_default(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    assert_eq!(soon(journal.read(workspace)).await.unwrap(), Reading { state: State::default(), attempts: Vec::new() });
    let loaded = soon(held.connection.load(workspace)).await.unwrap().unwrap();
    assert_eq!((loaded.state, loaded.since_snapshot, loaded.attempted), (State::default(), 0, Vec::new()));
}

pub(crate) async fn a_skip_is_remembered_by_the_snapshot_alone(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let id = journal.publish(workspace, &message("m-1")).await.unwrap();
    let mut held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    soon(held.connection.commit(batch([story.skip(id, &message("m-1"))]))).await.unwrap();
    assert_eq!((story.state.seq, story.state.skipped.count), (0, 1));
    assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, story.state);
    assert_eq!(soon(journal.read(workspace)).await.unwrap().state, story.state);
    assert_eq!(length(&mut held).await, 0);
}

pub(crate) async fn workspaces_do_not_see_each_other(subject: &mut impl Subject) {
    let journal = subject.journal();
    let mut stories = Vec::new();
    // Names that a careless key would mix up, and two of one shard.
    let names = ["a", "A", "a:", "a:b", "a.b", "a-b", "snapshot:a"];
    let named = names.map(|name| name.parse().unwrap());
    for (n, workspace) in named.iter().chain(&neighbours(2)).enumerate() {
        let held = journal.acquire(workspace.shard(journal.shards()), &super::holder("node-a")).await.unwrap();
        let mut story = Story::of(workspace);
        let steps = [story.save(), story.deliver_many(n as u64 + 1)];
        soon(held.connection.commit(batch(steps))).await.unwrap();
        stories.push(story);
    }
    for story in stories {
        let reading = soon(journal.read(&story.workspace)).await.unwrap();
        assert_eq!((reading.attempts.len() as u64 + 1, reading.state), (story.state.seq, story.state));
    }
}

pub(crate) async fn the_newest_message_has_the_greatest_entry_id(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let newest = async || soon(held.connection.newest(workspace)).await.unwrap().unwrap();
    let named = |n: u64| Newest { entry: EntryId { ms: 5, n }, message: message(&format!("m-{n}")) };
    let mut story = Story::of(workspace);
    assert_eq!(newest().await, None);

    soon(held.connection.commit(batch([story.save(), story.skip(named(3).entry, &named(3).message)]))).await.unwrap();
    assert_eq!(newest().await, Some(named(3)));

    // Attempts are logged as they end, not as they were published.
    let steps = [5, 4].map(|n| story.deliver(named(n).entry, &named(n).message));
    soon(held.connection.commit(batch(steps))).await.unwrap();
    assert_eq!(newest().await, Some(named(5)));

    soon(held.connection.commit(batch([story.skip(named(7).entry, &named(7).message)]))).await.unwrap();
    assert_eq!(newest().await, Some(named(7)));
    soon(held.connection.commit(batch([story.deliver(named(6).entry, &named(6).message)]))).await.unwrap();
    assert_eq!(newest().await, Some(named(7)));
}
