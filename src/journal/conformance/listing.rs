//! The list of workspaces.

use std::collections::BTreeMap;

use super::story::{Story, message};
use super::{SHARDS, Subject, batch, hold, soon};
use crate::journal::port::{Journal, ListQuery, ListedWorkspace, Step};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::configuration::WebhookStatus;

/// Commits a step with the status that the state has by then.
async fn commit(subject: &impl Subject, story: &mut Story, step: impl FnOnce(&mut Story) -> Step) {
    let held = hold(&subject.journal(), &story.workspace).await;
    let step = step(story);
    let step = Step { listed: step.snapshot.as_ref().filter(|_| !step.forget).map(|_| story.state.status()), ..step };
    soon(held.connection.commit(batch([step]))).await.unwrap();
}

async fn listed(journal: &dyn Journal, query: ListQuery) -> Vec<String> {
    let listed = soon(journal.workspaces(&query)).await.unwrap();
    listed.into_iter().map(|listed| listed.workspace.to_string()).collect()
}

/// Workspaces of all shards, one of each status.
async fn some(subject: &impl Subject) -> BTreeMap<String, Story> {
    let ids = ["b", "B", "a.1", "a", "ab", "a-1", "a:1", "_x", "0", "zz"];
    let mut stories = BTreeMap::new();
    for (n, id) in ids.into_iter().enumerate() {
        let mut story = Story::of(&id.parse().unwrap());
        match n % 3 {
            0 => commit(subject, &mut story, |story| story.skip(EntryId { ms: 1, n: 1 }, &message("m"))).await,
            1 => commit(subject, &mut story, Story::save).await,
            _ => commit(subject, &mut story, |story| story.disable()).await,
        }
        stories.insert(id.to_owned(), story);
    }
    let shards: std::collections::BTreeSet<u16> =
        ids.iter().map(|id| id.parse::<WorkspaceId>().unwrap().shard(SHARDS)).collect();
    assert!(shards.len() > 1, "they are of several shards");
    stories
}

pub(crate) async fn workspaces_are_listed_in_order_a_page_at_a_time(subject: &mut impl Subject) {
    let stories = some(subject).await;
    let journal = subject.journal();
    let all: Vec<String> = stories.keys().cloned().collect();
    assert_eq!(listed(&*journal, ListQuery { count: 100, ..ListQuery::default() }).await, all);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = listed(&*journal, ListQuery { after: after.take(), count: 3, ..ListQuery::default() }).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.parse().unwrap());
        found.extend(page);
    }
    assert_eq!(found, all);
    for prefix in ["a", "a-", "a.1", "ab", "b", "c", "z", "_", "B"] {
        let query = |after: Option<&str>| ListQuery {
            prefix: prefix.to_owned(),
            after: after.map(|after| after.parse().unwrap()),
            count: 100,
            ..ListQuery::default()
        };
        let begin: Vec<String> = all.iter().filter(|id| id.starts_with(prefix)).cloned().collect();
        assert_eq!(listed(&*journal, query(None)).await, begin, "{prefix}");
        let after: Vec<String> = begin.iter().filter(|id| id.as_str() > "a.0").cloned().collect();
        assert_eq!(listed(&*journal, query(Some("a.0"))).await, after, "{prefix} after a.0");
    }
}

pub(crate) async fn workspaces_are_listed_by_status(subject: &mut impl Subject) {
    let mut stories = some(subject).await;
    let journal = subject.journal();
    let changed = stories.get_mut("a").unwrap();
    commit(subject, changed, Story::save).await;
    for status in WebhookStatus::ALL {
        let expected: Vec<String> =
            stories.iter().filter(|(_, story)| story.state.status() == status).map(|(id, _)| id.clone()).collect();
        let query = ListQuery { status: Some(status), count: 100, ..ListQuery::default() };
        assert_eq!(listed(&*journal, query.clone()).await, expected, "{status:?}");
        let first = listed(&*journal, ListQuery { count: 1, ..query.clone() }).await;
        assert_eq!(first, expected[..expected.len().min(1)]);
        let after = expected.first().map(|first| first.parse().unwrap());
        let rest = listed(&*journal, ListQuery { after, ..query }).await;
        assert_eq!(rest, expected.get(1..).unwrap_or_default());
    }
}

pub(crate) async fn workspaces_are_counted_by_status(subject: &mut impl Subject) {
    let journal = subject.journal();
    let counted = async || soon(journal.workspace_counts()).await.unwrap();
    assert_eq!(counted().await, [0; 4]);
    let mut stories = some(subject).await;
    let of = |stories: &BTreeMap<String, Story>| {
        WebhookStatus::ALL.map(|status| stories.values().filter(|story| story.state.status() == status).count() as u64)
    };
    assert_eq!(counted().await, of(&stories));
    commit(subject, stories.get_mut("a").unwrap(), Story::save).await;
    assert_eq!(counted().await, of(&stories));
    commit(subject, stories.get_mut("B").unwrap(), Story::forget).await;
    stories.remove("B");
    assert_eq!(counted().await, of(&stories));
}

pub(crate) async fn a_listed_workspace_is_shown_as_it_is_read(subject: &mut impl Subject) {
    let mut story = Story::of(&"acme".parse().unwrap());
    commit(subject, &mut story, Story::save).await;
    let journal = subject.journal();
    let steps: [fn(&mut Story) -> Step; 4] =
        [|story| story.deliver_many(5), |story| story.fail(3), |story| story.fail(1), Story::disable];
    for step in steps {
        commit(subject, &mut story, step).await;
        let listed = soon(journal.workspaces(&ListQuery { count: 10, ..ListQuery::default() })).await.unwrap();
        let [ListedWorkspace { workspace, state: Some(state) }] = &listed[..] else { panic!("{listed:?}") };
        let read = soon(journal.read(&story.workspace)).await.unwrap().state;
        assert_eq!((workspace, state.seq, state.errors), (&story.workspace, read.seq, read.errors));
        assert_eq!((state.status(), &state.webhook), (read.status(), &read.webhook));
        assert_eq!((&state.last_attempt, &state.skipped), (&read.last_attempt, &read.skipped));
    }
}

pub(crate) async fn what_is_forgotten_is_not_listed(subject: &mut impl Subject) {
    let mut stories = some(subject).await;
    let journal = subject.journal();
    let query = ListQuery { count: 100, ..ListQuery::default() };
    commit(subject, stories.get_mut("B").unwrap(), Story::forget).await;
    let left: Vec<String> = stories.keys().filter(|id| *id != "B").cloned().collect();
    assert_eq!(listed(&*journal, query.clone()).await, left);
    for status in WebhookStatus::ALL {
        let query = ListQuery { status: Some(status), ..query.clone() };
        assert!(!listed(&*journal, query).await.contains(&"B".to_owned()));
    }
    commit(subject, stories.get_mut("B").unwrap(), Story::save).await;
    assert_eq!(listed(&*journal, query).await, stories.keys().cloned().collect::<Vec<_>>());
}

pub(crate) async fn a_list_is_there_after_a_restart(subject: &mut impl Subject) {
    let stories = some(subject).await;
    subject.restart().await;
    let query = ListQuery { count: 100, ..ListQuery::default() };
    assert_eq!(listed(&*subject.journal(), query).await, stories.keys().cloned().collect::<Vec<_>>());
}
