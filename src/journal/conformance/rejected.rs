//! What was set aside: listed, counted, and moved back.

use std::time::Duration;

use bytes::Bytes;

use super::story::message;
use super::{SHARDS, Subject, batch, hold, messages, neighbours, soon};
use crate::journal::port::{Acquired, Poll, Rejected, RequeueError, Requeued, Step};
use crate::message::{EntryId, WorkspaceId};

/// Sets an entry with these fields aside, as read under `entry`.
fn set_aside(entry: EntryId, fields: &[(&str, &[u8])]) -> Step {
    let own = [("_id", entry.to_string()), ("_reason", "tried".to_owned()), ("_at", "now".to_owned())];
    let own = own.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(value.clone())));
    let fields = fields.iter().map(|(name, value)| (Bytes::from((*name).to_owned()), Bytes::copy_from_slice(value)));
    let rejected = Rejected { id: entry, fields: fields.chain(own).collect() };
    Step { settled: vec![entry], rejected: vec![rejected], ..Step::default() }
}

/// The same with what a message needs.
fn valid(entry: EntryId, workspace: &WorkspaceId) -> Step {
    set_aside(
        entry,
        &[("workspace", workspace.as_str().as_bytes()), ("message", message("m-1").bytes()), ("x", b"\xff")],
    )
}

/// A workspace of another shard than the laws' own.
fn stranger() -> WorkspaceId {
    let mut all = (0..).map(|n| format!("ws-{n}").parse::<WorkspaceId>().unwrap());
    all.find(|workspace| workspace.shard(SHARDS) == 2).unwrap()
}

const ENTRY: EntryId = EntryId { ms: 7, n: 3 };

/// Sets aside and answers under which ids.
async fn ids_of(subject: &impl Subject, held: &Acquired, steps: Vec<Step>, shard: u16) -> Vec<EntryId> {
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let all = soon(subject.journal().rejected(shard, EntryId::ZERO, 1_000)).await.unwrap();
    all.into_iter().map(|entry| entry.id).collect()
}

pub(crate) async fn rejected_entries_are_listed_a_page_at_a_time(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = workspace.shard(SHARDS);
    let held = hold(&journal, workspace).await;
    let steps: Vec<_> = (0..5).map(|n| set_aside(EntryId { ms: 1, n }, &[("n", n.to_string().as_bytes())])).collect();
    let expected: Vec<_> = steps.iter().map(|step| step.rejected[0].fields.clone()).collect();
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let (mut found, mut from) = (Vec::new(), EntryId::ZERO);
    for size in [2, 2, 1] {
        let page = soon(journal.rejected(shard, from, 2)).await.unwrap();
        assert_eq!(page.len(), size);
        from = page.last().unwrap().id.next();
        found.extend(page.into_iter().map(|entry| entry.fields));
    }
    assert_eq!(found, expected);
    assert_eq!(soon(journal.rejected(shard, from, 2)).await.unwrap(), []);
}

pub(crate) async fn rejected_entries_are_counted_by_shard(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    assert_eq!(soon(journal.rejected_counts()).await.unwrap(), [0, 0, 0, 0]);
    let held = hold(&journal, workspace).await;
    let others = hold(&journal, &stranger()).await;
    let aside = |n| set_aside(EntryId { ms: 1, n }, &[]);
    soon(held.connection.commit(batch([aside(0), aside(1)]))).await.unwrap();
    soon(others.connection.commit(batch([aside(0)]))).await.unwrap();
    assert_eq!(soon(journal.rejected_counts()).await.unwrap(), [0, 2, 1, 0]);
}

pub(crate) async fn a_requeued_entry_is_a_message_again(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = workspace.shard(SHARDS);
    let mut held = hold(&journal, workspace).await;
    let [id] = ids_of(subject, &held, vec![valid(ENTRY, workspace)], shard).await[..] else { panic!("one entry") };
    // Somebody waits for messages, and is woken.
    let waiting = Poll { messages: Some((EntryId::ZERO, 10)), block: Duration::from_secs(600), ..Poll::default() };
    let (polled, requeued) = soon(async { tokio::join!(held.intake.poll(&waiting), journal.requeue(shard, id)) }).await;
    let polled = polled.unwrap().messages;
    let requeued = requeued.unwrap();
    assert_eq!(requeued, Requeued { workspace: workspace.clone(), shard, entry: polled[0].id });
    let names: Vec<_> = polled[0].fields.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect();
    assert_eq!(names, ["workspace", "message", "x", "origin"]);
    assert_eq!(polled[0].field("message"), Some(message("m-1").bytes()));
    assert_eq!(polled[0].field("x").unwrap(), &b"\xff"[..]);
    assert_eq!(polled[0].field("origin").unwrap(), &format!("{}/{ENTRY}", subject.messages_name(shard)));
    assert_eq!(subject.rejected(shard).await, Vec::<Vec<_>>::new());
}

pub(crate) async fn a_requeued_entry_goes_to_the_shard_of_its_workspace(subject: &mut impl Subject) {
    let (journal, workspace, stranger) = (subject.journal(), &neighbours(1)[0], stranger());
    let shard = workspace.shard(SHARDS);
    let held = hold(&journal, workspace).await;
    let [id] = ids_of(subject, &held, vec![valid(ENTRY, &stranger)], shard).await[..] else { panic!("one entry") };
    let requeued = soon(journal.requeue(shard, id)).await.unwrap();
    assert_eq!((&requeued.workspace, requeued.shard), (&stranger, 2));
    let found = messages(&mut hold(&journal, &stranger).await).await;
    assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), [requeued.entry]);
    assert_eq!(found[0].field("origin").unwrap(), &format!("{}/{ENTRY}", subject.messages_name(shard)));
    assert_eq!(soon(journal.rejected_counts()).await.unwrap(), [0, 0, 0, 0]);
}

pub(crate) async fn what_is_still_not_valid_stays_rejected(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = workspace.shard(SHARDS);
    let mut held = hold(&journal, workspace).await;
    let broken = set_aside(ENTRY, &[("workspace", workspace.as_str().as_bytes()), ("message", b"{}")]);
    let [id] = ids_of(subject, &held, vec![broken.clone()], shard).await[..] else { panic!("one entry") };
    match soon(journal.requeue(shard, id)).await {
        Err(RequeueError::Invalid { reason }) => assert!(reason.contains("`direction`"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(subject.rejected(shard).await, [broken.rejected[0].fields.clone()]);
    assert_eq!(messages(&mut held).await, []);
}

pub(crate) async fn a_discarded_entry_is_gone_and_its_id_is_not_given_again(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = workspace.shard(SHARDS);
    let mut held = hold(&journal, workspace).await;
    let steps = (0..3).map(|n| valid(EntryId { ms: 7, n }, workspace)).collect();
    let [first, second, third] = ids_of(subject, &held, steps, shard).await[..] else { panic!("three entries") };
    assert_eq!(soon(journal.discard(shard, &[])).await.unwrap(), 0);
    assert_eq!(soon(journal.discard(shard, &[second, third, third.next()])).await.unwrap(), 2);
    assert_eq!(soon(journal.discard(shard, &[second])).await.unwrap(), 0);
    let left = soon(journal.rejected(shard, EntryId::ZERO, 9)).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), [first]);
    let gone = soon(journal.requeue(shard, second)).await;
    assert!(matches!(gone, Err(RequeueError::Gone { .. })), "{gone:?}");
    assert_eq!(messages(&mut held).await, []);
    let [_, next] = ids_of(subject, &held, vec![valid(ENTRY, workspace)], shard).await[..] else {
        panic!("two entries")
    };
    assert!(next > third, "{next} follows {third}");
}

pub(crate) async fn an_entry_is_requeued_once_and_its_id_is_not_given_again(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = workspace.shard(SHARDS);
    let held = hold(&journal, workspace).await;
    let [id] = ids_of(subject, &held, vec![valid(ENTRY, workspace)], shard).await[..] else { panic!("one entry") };
    soon(journal.requeue(shard, id)).await.unwrap();
    for gone in [id, id.next(), EntryId::ZERO] {
        let again = soon(journal.requeue(shard, gone)).await;
        assert!(matches!(again, Err(RequeueError::Gone { id, .. }) if id == gone), "{again:?}");
    }
    let [next] = ids_of(subject, &held, vec![valid(ENTRY, workspace)], shard).await[..] else { panic!("one entry") };
    assert!(next > id, "{next} follows {id}");
    drop((held, journal));
    subject.restart().await;
    let journal = subject.journal();
    assert_eq!(messages(&mut hold(&journal, workspace).await).await.len(), 1);
    assert_eq!(soon(journal.rejected_counts()).await.unwrap(), [0, 1, 0, 0]);
}
