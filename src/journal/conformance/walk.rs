//! The walk over all workspaces, the keys that are noted, and the sessions of operators.

use std::collections::BTreeSet;

use super::story::Story;
use super::{SHARDS, Subject, batch, hold, soon};
use crate::message::WorkspaceId;

pub(crate) async fn every_workspace_comes_once_and_strangers_do_not(subject: &mut impl Subject) {
    let journal = subject.journal();
    assert_eq!(walked(subject).await, BTreeSet::new());
    // More than a page, over every shard, among them ids with what keys are made of.
    let ids = (0..300).map(|n| format!("ws-{n}")).chain([":".to_owned(), "a:snapshot:b".to_owned()]);
    let all: BTreeSet<WorkspaceId> = ids.map(|id| id.parse().unwrap()).collect();
    for shard in 0..SHARDS {
        let here: Vec<_> = all.iter().filter(|workspace| workspace.shard(SHARDS) == shard).collect();
        let held = hold(&journal, here[0]).await;
        let steps = here.iter().map(|workspace| Story::of(workspace).save());
        soon(held.connection.commit(batch(steps))).await.unwrap();
    }
    assert_eq!(walked(subject).await, all);
}

/// Every workspace that a walk meets.
async fn walked(subject: &impl Subject) -> BTreeSet<WorkspaceId> {
    let journal = subject.journal();
    let (mut met, mut place) = (BTreeSet::new(), None);
    loop {
        let page = soon(journal.walk(place.as_deref())).await.unwrap();
        met.extend(page.workspaces);
        place = page.next;
        if place.is_none() {
            return met;
        }
    }
}

pub(crate) async fn keys_are_noted_until_they_are_noted_no_more(subject: &mut impl Subject) {
    let journal = subject.journal();
    let noted = async || soon(journal.sealing_keys()).await.unwrap().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(noted().await, BTreeSet::new());
    for id in ["k1", "2027.key_-x", "k1"] {
        soon(journal.note_sealing_key(id, true)).await.unwrap();
    }
    assert_eq!(noted().await, BTreeSet::from(["2027.key_-x".to_owned(), "k1".to_owned()]));
    soon(journal.note_sealing_key("k1", false)).await.unwrap();
    soon(journal.note_sealing_key("k9", false)).await.unwrap();
    assert_eq!(noted().await, BTreeSet::from(["2027.key_-x".to_owned()]));
}

pub(crate) async fn the_sessions_of_operators_end_together(subject: &mut impl Subject) {
    let journal = subject.journal();
    let generation = async || soon(journal.operator_generation()).await.unwrap();
    assert_eq!(generation().await, 0);
    for ended in 1..=3 {
        assert_eq!(soon(journal.end_operator_sessions()).await.unwrap(), ended);
        assert_eq!(generation().await, ended);
    }
    // The keys that seal are told apart.
    assert_eq!(soon(journal.sealing_keys()).await.unwrap(), Vec::<String>::new());
}

pub(crate) async fn ended_sessions_of_operators_stay_ended(subject: &mut impl Subject) {
    soon(subject.journal().end_operator_sessions()).await.unwrap();
    subject.restart().await;
    assert_eq!(soon(subject.journal().operator_generation()).await.unwrap(), 1);
}
