//! What comes in: published messages and submitted commands, read forward and caught_up.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::story::{Story, fields, message};
use super::{Subject, batch, hold, length, messages, neighbours, soon};
use crate::journal::port::{Acquired, Poll, RawEntry};
use crate::message::EntryId;
use crate::workspace::command::Command;

use super::commands::{save, store};

pub(crate) async fn messages_are_read_in_order_as_they_were_written(subject: &mut impl Subject) {
    let (journal, spaces) = (subject.journal(), neighbours(2));
    let mut expected = Vec::new();
    for n in 0..6 {
        let (workspace, message) = (&spaces[n % 2], message(&format!("m-{n}")));
        let id = journal.publish(workspace, &message).await.unwrap();
        expected.push(RawEntry { id, fields: fields(workspace, &message) });
    }
    let mut held = hold(&journal, &spaces[0]).await;
    assert_eq!(messages(&mut held).await, expected);
    assert!(expected.is_sorted_by(|a, b| a.id < b.id), "ids rise");
}

pub(crate) async fn a_read_begins_after_its_cursor_and_ends_at_its_count(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(journal.publish(workspace, &message(&format!("m-{n}"))).await.unwrap());
    }
    let mut held = hold(&journal, workspace).await;
    let poll = Poll { messages: Some((ids[1], 2)), ..Poll::default() };
    let read = soon(held.intake.poll(&poll)).await.unwrap();
    assert_eq!(read.messages.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids[2..4]);
    assert_eq!(read.length, None, "only a probe tells the length");
}

pub(crate) async fn reading_takes_nothing_away(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    journal.publish(workspace, &message("m-1")).await.unwrap();
    let mut held = hold(&journal, workspace).await;
    let first = messages(&mut held).await;
    assert_eq!(first.len(), 1);
    assert_eq!(messages(&mut held).await, first);
}

pub(crate) async fn a_waiting_read_is_woken_by_a_message(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut held = hold(&journal, workspace).await;
    let poll = Poll { messages: Some((EntryId::ZERO, 10)), block: Duration::from_secs(3600), ..Poll::default() };
    let message = message("m-1");
    let publish = journal.publish(workspace, &message);
    let (read, id) = soon(async { tokio::join!(held.intake.poll(&poll), publish) }).await;
    assert_eq!(read.unwrap().messages[0].id, id.unwrap());
}

pub(crate) async fn a_waiting_read_is_woken_by_a_command(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut held = hold(&journal, workspace).await;
    let poll = Poll {
        messages: Some((EntryId::ZERO, 10)),
        commands: Some((EntryId::ZERO, 10)),
        block: Duration::from_secs(3600),
        ..Poll::default()
    };
    let command = save();
    let submit = journal.submit(workspace, &command, Duration::from_secs(3600));
    let read = async {
        tokio::select! {
            read = held.intake.poll(&poll) => read,
            answer = submit => panic!("nobody answers: {answer:?}"),
        }
    };
    assert_eq!(soon(read).await.unwrap().commands.len(), 1);
}

pub(crate) async fn a_read_without_entries_ends_after_its_block(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut held = hold(&journal, workspace).await;
    let block = Duration::from_millis(100);
    let poll = Poll { messages: Some((EntryId::ZERO, 10)), block, ..Poll::default() };
    let begun = Instant::now();
    let read = soon(held.intake.poll(&poll)).await.unwrap();
    assert!(read.messages.is_empty());
    assert!(begun.elapsed() >= block, "it waited {:?}", begun.elapsed());
}

pub(crate) async fn messages_and_commands_are_read_apart(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let message_id = journal.publish(workspace, &message("m-1")).await.unwrap();
    let command = save();
    let mut held = hold(&journal, workspace).await;
    store(&*journal, workspace, &command, &mut held).await;

    let only_messages = Poll { messages: Some((EntryId::ZERO, 10)), ..Poll::default() };
    let read = soon(held.intake.poll(&only_messages)).await.unwrap();
    assert_eq!(read.messages.iter().map(|entry| entry.id).collect::<Vec<_>>(), [message_id]);
    assert!(read.commands.is_empty());

    let only_commands = Poll { commands: Some((EntryId::ZERO, 10)), ..Poll::default() };
    let read = soon(held.intake.poll(&only_commands)).await.unwrap();
    assert!(read.messages.is_empty());
    let [entry] = &read.commands[..] else { panic!("one command, not {:?}", read.commands) };
    assert_eq!(entry.field("workspace").unwrap(), workspace.as_str().as_bytes());
    assert_eq!(serde_json::from_slice::<Command>(entry.field("command").unwrap()).unwrap(), command);
}

pub(crate) async fn a_probe_tells_the_length_without_waiting(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut held = hold(&journal, workspace).await;
    let from =
        |after| Poll { messages: Some((after, 10)), block: Duration::from_secs(3600), probe: true, ..Poll::default() };
    assert_eq!(soon(held.intake.poll(&from(EntryId::ZERO))).await.unwrap().length, Some(0));
    journal.publish(workspace, &message("m-1")).await.unwrap();
    let last = journal.publish(workspace, &message("m-2")).await.unwrap();
    let read = soon(held.intake.poll(&from(last))).await.unwrap();
    assert_eq!((read.length, read.messages.len()), (Some(2), 0), "the length counts what lies behind the cursor too");
}

pub(crate) async fn a_read_ahead_changes_nothing_of_what_is_found(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(journal.publish(workspace, &message(&format!("m-{n}"))).await.unwrap());
    }
    let mut held = hold(&journal, workspace).await;
    store(&*journal, workspace, &save(), &mut held).await;
    let poll = |after, count| Poll { messages: Some((after, count)), ahead: count, ..Poll::default() };
    let commands = Some((EntryId::ZERO, 10));
    let found = async |held: &mut Acquired, poll: &Poll| {
        let polled = soon(held.intake.poll(poll)).await.unwrap();
        (polled.messages.iter().map(|entry| entry.id).collect::<Vec<_>>(), polled.commands.len(), polled.length)
    };
    let of = |ids: &[EntryId], commands| (ids.to_vec(), commands, None);
    let next = poll(ids[1], 2);
    for (case, wanted) in [
        (next, of(&ids[2..4], 0)),
        (Poll { ahead: 0, ..next }, of(&ids[2..4], 0)),
        (Poll { commands, ..next }, of(&ids[2..4], 1)),
        (Poll { probe: true, commands, ..next }, (ids[2..4].to_vec(), 1, Some(8))),
        (Poll { messages: None, commands, ..next }, of(&[], 1)),
        (poll(ids[3], 2), of(&ids[4..6], 0)),
        (poll(EntryId::ZERO, 2), of(&ids[..2], 0)),
        (poll(ids[1], 1), of(&ids[2..3], 0)),
        (poll(ids[1], 8), of(&ids[2..], 0)),
    ] {
        assert_eq!(found(&mut held, &poll(EntryId::ZERO, 2)).await, of(&ids[..2], 0));
        assert_eq!(found(&mut held, &case).await, wanted, "{case:?}");
        assert_eq!(found(&mut held, &next).await, of(&ids[2..4], 0), "after {case:?}");
        drop(held.intake.poll(&poll(ids[3], 2)).now_or_never());
        assert_eq!(found(&mut held, &poll(ids[3], 2)).await, of(&ids[4..6], 0), "after one that was dropped");
    }
}

pub(crate) async fn a_catch_up_has_both_its_ends_and_at_most_its_count(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut entries = Vec::new();
    for n in 0..5 {
        let message = message(&format!("m-{n}"));
        let id = journal.publish(workspace, &message).await.unwrap();
        entries.push(RawEntry { id, fields: fields(workspace, &message) });
    }
    let held = hold(&journal, workspace).await;
    let catch_up =
        async |from: EntryId, to: EntryId, count| soon(held.connection.catch_up(from, to, count)).await.unwrap();
    assert_eq!(catch_up(entries[1].id, entries[3].id, 10).await, entries[1..=3]);
    assert_eq!(catch_up(entries[1].id, entries[3].id, 2).await, entries[1..=2]);
    assert_eq!(catch_up(entries[2].id, entries[2].id, 10).await, entries[2..=2]);
    assert_eq!(catch_up(entries[3].id, entries[1].id, 10).await, [], "nothing lies between");
}

pub(crate) async fn a_catch_up_sees_the_commits_made_before_it(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let first = journal.publish(workspace, &message("m-1")).await.unwrap();
    let second = journal.publish(workspace, &message("m-2")).await.unwrap();
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let steps = [story.save(), story.deliver(first, &message("m-1"))];
    let committed = held.connection.commit(batch(steps));
    let caught_up = held.connection.catch_up(first, second, 10);
    let (caught_up, committed) = soon(async { tokio::join!(caught_up, committed) }).await;
    committed.unwrap();
    assert_eq!(caught_up.unwrap().iter().map(|entry| entry.id).collect::<Vec<_>>(), [second]);
}

pub(crate) async fn entries_that_still_exist_are_present(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(journal.publish(workspace, &message(&format!("m-{n}"))).await.unwrap());
    }
    let mut held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    held.connection.commit(batch([story.save(), story.deliver(ids[1], &message("m-1"))])).await.unwrap();
    let never = EntryId { ms: 1, n: 1 };
    let asked = vec![never, ids[0], ids[1], ids[2]];
    assert_eq!(soon(held.connection.present(asked)).await.unwrap(), [ids[0], ids[2]]);
    assert_eq!(soon(held.connection.present(Vec::new())).await.unwrap(), []);
    assert_eq!(length(&mut held).await, 2);
}
