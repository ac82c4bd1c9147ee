//! A journal that contradicts itself is said to be corrupt, and never replayed from the middle.

use bytes::Bytes;

use super::story::Story;
use super::{Damage, Subject, batch, hold, neighbours, soon};
use crate::journal::port::{LoadError, ReadError, Step};
use crate::message::WorkspaceId;

pub(crate) async fn a_lost_attempt_above_the_snapshot_is_corrupt(subject: &mut impl Subject) {
    // The first, one in the middle, and the last above the snapshot at seq 1.
    for (workspace, lost) in neighbours(3).iter().zip([2, 4, 6]) {
        told(subject, workspace).await;
        subject.damage(workspace, Damage::Attempt(lost)).await;
        let error = refused(subject, workspace).await;
        assert!(matches!(error, LoadError::Corrupt { .. }), "{error} although {lost} is lost");
    }
}

pub(crate) async fn a_lost_attempt_below_the_snapshot_is_not_missed(subject: &mut impl Subject) {
    let workspace = &neighbours(1)[0];
    let mut story = told(subject, workspace).await;
    let held = hold(&subject.journal(), workspace).await;
    let step = story.deliver_many(1);
    soon(held.connection.commit(batch([story.with_snapshot(step)]))).await.unwrap();
    subject.damage(workspace, Damage::Attempt(4)).await;
    assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, story.state);
    let reading = soon(subject.journal().read(workspace)).await.unwrap();
    let seqs: Vec<_> = reading.attempts.iter().map(|(seq, _)| *seq).collect();
    assert_eq!((reading.state, seqs), (story.state, vec![7, 6, 5, 3, 2]));
}

pub(crate) async fn used_events_without_a_snapshot_are_corrupt(subject: &mut impl Subject) {
    let workspace = &neighbours(1)[0];
    told(subject, workspace).await;
    subject.damage(workspace, Damage::Snapshot).await;
    let error = refused(subject, workspace).await;
    assert!(matches!(error, LoadError::Corrupt { .. }), "{error}");
    // Nor is the snapshot alone that of a workspace never seen, whose tokens were never revoked.
    let error = soon(subject.journal().snapshot(workspace)).await.unwrap_err();
    assert!(matches!(error, ReadError::Load(LoadError::Corrupt { .. })), "{error}");
}

pub(crate) async fn events_that_end_below_the_snapshot_are_corrupt(subject: &mut impl Subject) {
    let workspace = &neighbours(1)[0];
    told(subject, workspace).await;
    subject.damage(workspace, Damage::Events).await;
    let error = refused(subject, workspace).await;
    assert!(matches!(error, LoadError::Corrupt { .. }), "{error}");
}

pub(crate) async fn a_snapshot_of_another_version_is_named(subject: &mut impl Subject) {
    let workspace = &neighbours(1)[0];
    let held = hold(&subject.journal(), workspace).await;
    let mut story = Story::of(workspace);
    let step = Step { snapshot: Some(Bytes::from_static(br#"{"v":2,"new":true}"#)), ..story.save() };
    soon(held.connection.commit(batch([step]))).await.unwrap();
    let workspace = workspace.clone();
    let error = LoadError::UnknownVersion { workspace: workspace.clone(), what: "snapshot", found: 2, known: 1 };
    assert_eq!(refused(subject, &workspace).await, error);
}

pub(crate) async fn a_corrupt_workspace_harms_no_other(subject: &mut impl Subject) {
    let spaces = neighbours(2);
    told(subject, &spaces[0]).await;
    let mut other = told(subject, &spaces[1]).await;
    subject.damage(&spaces[0], Damage::Snapshot).await;
    let held = hold(&subject.journal(), &spaces[0]).await;
    assert!(soon(held.connection.load(&spaces[0])).await.unwrap().is_err());
    soon(held.connection.commit(batch([other.save()]))).await.unwrap();
    assert_eq!(soon(held.connection.load(&spaces[1])).await.unwrap().unwrap().state, other.state);
}

/// A snapshot at seq 1 and five attempts above it.
async fn told(subject: &impl Subject, workspace: &WorkspaceId) -> Story {
    let held = hold(&subject.journal(), workspace).await;
    let mut story = Story::of(workspace);
    soon(held.connection.commit(batch([story.save(), story.deliver_many(5)]))).await.unwrap();
    story
}

/// Load and read must refuse the workspace in the same words.
async fn refused(subject: &impl Subject, workspace: &WorkspaceId) -> LoadError {
    let journal = subject.journal();
    let held = hold(&journal, workspace).await;
    let loaded = soon(held.connection.load(workspace)).await.unwrap().unwrap_err();
    match soon(journal.read(workspace)).await {
        Err(ReadError::Load(read)) => assert_eq!(read, loaded),
        other => panic!("the load says {loaded}, the read {other:?}"),
    }
    loaded
}

pub(crate) async fn a_workspace_begins_anew_whatever_is_damaged(subject: &mut impl Subject) {
    for (workspace, damage) in neighbours(3).iter().zip([Damage::Attempt(4), Damage::Snapshot, Damage::Events]) {
        let before = told(subject, workspace).await.state;
        subject.damage(workspace, damage).await;
        refused(subject, workspace).await;
        let held = hold(&subject.journal(), workspace).await;
        let salvage = soon(held.connection.salvage(workspace)).await.unwrap();
        assert_eq!(salvage.state.webhook, before.webhook, "{damage:?}");
        assert!(salvage.state.seq > before.seq || matches!(damage, Damage::Events), "{damage:?}");
        assert_ne!(salvage.lost, Vec::<String>::new(), "{damage:?}");
        let mut story = Story { workspace: workspace.clone(), state: salvage.state.clone() };
        let anew = Step {
            forget: true,
            anew: Some(salvage.state.seq),
            attempts: salvage.attempts.clone(),
            history: salvage.history.clone(),
            ..story.with_snapshot(Step { workspace: Some(workspace.clone()), ..Step::default() })
        };
        soon(held.connection.commit(batch([anew, story.save(), story.deliver_many(2)]))).await.unwrap();
        assert_eq!(soon(held.connection.load(workspace)).await.unwrap().unwrap().state, story.state, "{damage:?}");
        let reading = soon(subject.journal().read(workspace)).await.unwrap();
        assert_eq!(reading.attempts.len(), salvage.attempts.len() + 2, "{damage:?}");
        let history = soon(subject.journal().history(workspace)).await.unwrap();
        assert_eq!(history.len(), salvage.history.len() + 1, "{damage:?}");
        assert_eq!(soon(held.connection.salvage(workspace)).await.unwrap().lost, Vec::<String>::new(), "{damage:?}");
    }
}
