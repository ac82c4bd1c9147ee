//! What is kept, and how much of it.

use bytes::Bytes;

use super::story::{Story, message, reject};
use super::{SHARDS, Subject, batch, hold, holder, length, neighbours, soon};
use crate::journal::port::{
    ATTEMPTS_RETAINED, HISTORY_RETAINED, REJECTED_BYTES_RETAINED, REJECTED_RETAINED, Rejected, Step,
};
use crate::journal::rejected;
use crate::message::EntryId;

pub(crate) async fn a_read_shows_the_last_100_attempts(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    soon(held.connection.commit(batch([story.save()]))).await.unwrap();
    for _ in 0..7 {
        let step = story.deliver_many(50);
        soon(held.connection.commit(batch([story.with_snapshot(step)]))).await.unwrap();
    }
    let reading = soon(journal.read(workspace)).await.unwrap();
    let shown: Vec<_> = reading.attempts.iter().map(|(seq, attempt)| (*seq, attempt.message_id.to_string())).collect();
    let expected: Vec<_> = (252..=351).rev().map(|seq| (seq, format!("m-{seq}"))).collect();
    assert_eq!(shown, expected);
    assert_eq!(reading.state, story.state);
    let (attempts, _) = subject.retained(workspace).await;
    assert!(attempts >= ATTEMPTS_RETAINED, "{attempts} attempts are kept");
    assert!(attempts < 350, "nothing of {attempts} attempts was given up");
}

pub(crate) async fn the_last_400_of_the_history_stay(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    for _ in 0..15 {
        let saves: Vec<_> = (0..100).map(|_| story.save()).collect();
        soon(held.connection.commit(batch(saves))).await.unwrap();
    }
    let (_, history) = subject.retained(workspace).await;
    assert!(history >= HISTORY_RETAINED, "{history} events are kept");
    assert!(history < 1_500, "nothing of {history} events was given up");
    assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, story.state);
}

pub(crate) async fn a_rejected_entry_keeps_its_fields(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let id = journal.publish(workspace, &message("m-1")).await.unwrap();
    let mut held = hold(&journal, workspace).await;
    let step = reject(id);
    soon(held.connection.commit(batch([step.clone()]))).await.unwrap();
    assert_eq!(subject.rejected(workspace.shard(SHARDS)).await, [step.rejected[0].fields.clone()]);
    assert_eq!(length(&mut held).await, 0);
}

pub(crate) async fn beyond_the_cap_the_oldest_rejected_entry_goes(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let over = 7;
    let all: Vec<Step> = (0..REJECTED_RETAINED as u64 + over).map(|n| reject(EntryId { ms: 1, n })).collect();
    for steps in all.chunks(500) {
        soon(held.connection.commit(batch(steps.to_vec()))).await.unwrap();
    }
    let kept = subject.rejected(workspace.shard(SHARDS)).await;
    assert_eq!(kept.len(), REJECTED_RETAINED);
    assert_eq!(kept.first(), Some(&all[usize::try_from(over).unwrap()].rejected[0].fields));
    assert_eq!(kept.last(), all.last().map(|step| &step.rejected[0].fields));
}

pub(crate) async fn beyond_the_cap_in_bytes_the_oldest_rejected_entry_goes(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = usize::from(workspace.shard(SHARDS));
    let held = hold(&journal, workspace).await;
    let large = Bytes::from(vec![b'x'; rejected::BYTES_MAX]);
    let step = |n: u64| {
        let fields = vec![("n".into(), n.to_string().into()), ("large".into(), large.clone())];
        let id = EntryId { ms: 1, n };
        Step { settled: vec![id], rejected: vec![Rejected { id, fields }], ..Step::default() }
    };
    let fit = REJECTED_BYTES_RETAINED / rejected::BYTES_MAX;
    for n in 0..fit as u64 + 3 {
        soon(held.connection.commit(batch([step(n)]))).await.unwrap();
        let bytes = soon(journal.rejected_bytes()).await.unwrap()[shard];
        assert!(
            bytes <= REJECTED_BYTES_RETAINED as u64 && bytes > n.min(20) * rejected::BYTES_MAX as u64,
            "{n}: {bytes}"
        );
    }
    let kept = subject.rejected(workspace.shard(SHARDS)).await;
    // An allocator rounds up.
    assert!((fit * 3 / 4..fit).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&step(fit as u64 + 2).rejected[0].fields));
    let ids: Vec<u64> = kept.iter().map(|fields| std::str::from_utf8(&fields[0].1).unwrap().parse().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "the oldest go: {ids:?}");
}

pub(crate) async fn a_mail_is_owed_until_it_ended(subject: &mut impl Subject) {
    let (journal, spaces) = (subject.journal(), neighbours(2));
    let shard = spaces[0].shard(SHARDS);
    let held = hold(&journal, &spaces[0]).await;
    assert_eq!(held.outbox, []);
    let mut stories = [Story::of(&spaces[0]), Story::of(&spaces[1])];
    let mut owed = Vec::new();
    for story in &mut stories {
        let steps = [story.save(), story.disable(), story.save(), story.disable()];
        owed.extend(steps.iter().flat_map(|step| step.mails_owed.clone()));
        soon(held.connection.commit(batch(steps))).await.unwrap();
    }
    let sorted = |mut mails: Vec<_>| {
        mails.sort_by(|a: &crate::journal::port::OwedMail, b| (&a.workspace, a.id).cmp(&(&b.workspace, b.id)));
        mails
    };
    owed = sorted(owed);
    let held = soon(journal.acquire(shard, &holder("node-a"))).await.unwrap();
    assert_eq!(sorted(held.outbox), owed);

    // Only the second mail of the first workspace ends.
    let ended = owed.remove(1);
    soon(held.connection.commit(batch([stories[0].notified(ended.id.owed_by)]))).await.unwrap();
    let held = soon(journal.acquire(shard, &holder("node-a"))).await.unwrap();
    assert_eq!(sorted(held.outbox), owed);
}

pub(crate) async fn mails_are_found_in_their_own_shard(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = workspace.shard(SHARDS);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    soon(held.connection.commit(batch([story.save(), story.disable()]))).await.unwrap();
    for other in (0..SHARDS).filter(|other| *other != shard) {
        assert_eq!(soon(journal.acquire(other, &holder("node-a"))).await.unwrap().outbox, []);
    }
    assert_eq!(soon(journal.acquire(shard, &holder("node-a"))).await.unwrap().outbox.len(), 1);
}
