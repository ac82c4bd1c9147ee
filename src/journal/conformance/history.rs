//! The history: every event that is no attempt.

use bytes::Bytes;

use super::story::Story;
use super::{Subject, batch, hold, neighbours, soon};
use crate::journal::codec::decode_event;
use crate::journal::port::{HISTORY_RETAINED, ReadError};
use crate::workspace::event::Event;
use crate::workspace::history::{CHANGES_SHOWN, changes};

pub(crate) async fn the_history_is_read_oldest_first_without_attempts(subject: &mut impl Subject) {
    let (journal, spaces) = (subject.journal(), neighbours(2));
    assert_eq!(soon(journal.history(&spaces[0])).await.unwrap(), []);
    let held = hold(&journal, &spaces[0]).await;
    let (mut story, mut other) = (Story::of(&spaces[0]), Story::of(&spaces[1]));
    let steps = [story.save(), other.save(), story.deliver_many(3), story.disable(), story.notified(6)];
    soon(held.connection.commit(batch(steps))).await.unwrap();
    let history = soon(journal.history(&spaces[0])).await.unwrap();
    assert_eq!(history.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 6, 7]);
    let kinds = matches!(
        &history[..],
        [(_, Event::WebhookSaved(_)), (_, Event::WebhookDisabled(_)), (_, Event::OwnerNotified(_))]
    );
    assert!(kinds, "{history:?}");
}

pub(crate) async fn the_last_100_changes_are_known_whatever_else_happened(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let mut all = Vec::new();
    for _ in 0..150 {
        let steps = story.save_and_fail();
        let happened = steps.iter().flat_map(|step| &step.history);
        all.extend(happened.map(|event| decode_event(&event.json).unwrap()));
        soon(held.connection.commit(batch(steps))).await.unwrap();
    }
    let (_, kept) = subject.retained(workspace).await;
    assert!(kept < all.len(), "nothing of {kept} events was given up");
    let history = soon(journal.history(workspace)).await.unwrap();
    assert_eq!(history, all[all.len() - HISTORY_RETAINED..]);
    let told = changes(&history);
    assert_eq!(told.len(), CHANGES_SHOWN);
    assert_eq!(told, changes(&all), "what is kept tells the same as if all were");
}

pub(crate) async fn a_history_that_cannot_be_read_is_told(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut step = Story::of(workspace).save();
    step.history[0].json = Bytes::from(r#"{"v":2,"seq":1,"type":"webhook_saved"}"#);
    soon(held.connection.commit(batch([step]))).await.unwrap();
    let error = soon(journal.history(workspace)).await.unwrap_err();
    assert!(matches!(error, ReadError::Load(_)), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");
}
