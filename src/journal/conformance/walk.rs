//! The walk over all workspaces, the keys that are noted, and the sessions of operators.

use std::collections::BTreeSet;
use std::time::Duration;

use super::story::Story;
use super::{SHARDS, Subject, batch, hold, soon};
use crate::journal::port::{NotedKey, OPERATOR_SESSIONS_ENDED_MAX};
use crate::message::WorkspaceId;
use crate::workspace::time::Time;

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
    for (id, print) in [("k1", u64::MAX), ("2027.key_-x", 0), ("k1", 7)] {
        soon(journal.note_sealing_key(id, Some(print))).await.unwrap();
    }
    let key = |id: &str, print| NotedKey { id: id.to_owned(), print: Some(print) };
    assert_eq!(noted().await, BTreeSet::from([key("2027.key_-x", 0), key("k1", 7)]));
    soon(journal.note_sealing_key("k1", None)).await.unwrap();
    soon(journal.note_sealing_key("k9", None)).await.unwrap();
    assert_eq!(noted().await, BTreeSet::from([key("2027.key_-x", 0)]));
}

pub(crate) async fn ended_sessions_of_the_operator_are_remembered_for_their_time(subject: &mut impl Subject) {
    let now = crate::app::now();
    let later = now.plus(Duration::from_secs(3_600));
    let journal = subject.journal();
    let ended = async |id: &str| soon(journal.has_operator_session_ended(id)).await.unwrap();
    assert!(!ended("s-1").await);
    soon(journal.end_operator_session("s-1", later)).await.unwrap();
    soon(journal.end_operator_session("s-1", later)).await.unwrap();
    soon(journal.end_operator_session("s-2", Time::from_unix_ms(now.unix_ms() - 1))).await.unwrap();
    assert!(ended("s-1").await && !ended("s-3").await);
    // The one that would be over is forgotten for it.
    soon(journal.end_operator_session("s-3", later)).await.unwrap();
    assert!(ended("s-1").await && !ended("s-2").await && ended("s-3").await);
    for n in 2..OPERATOR_SESSIONS_ENDED_MAX {
        soon(journal.end_operator_session(&format!("more-{n}"), later)).await.unwrap();
    }
    let refused = soon(journal.end_operator_session("one-more", later)).await.unwrap_err();
    assert!(refused.to_string().contains("a new admin token ends all"), "{refused}");
    soon(journal.end_operator_session("s-3", later)).await.unwrap();
    assert!(ended("s-1").await && !ended("one-more").await);
}

pub(crate) async fn an_ended_session_of_the_operator_stays_ended(subject: &mut impl Subject) {
    let until = crate::app::now().plus(Duration::from_secs(3_600));
    soon(subject.journal().end_operator_session("s-1", until)).await.unwrap();
    subject.restart().await;
    assert!(soon(subject.journal().has_operator_session_ended("s-1")).await.unwrap());
}
