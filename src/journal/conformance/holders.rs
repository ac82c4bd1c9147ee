//! One holder a shard: leases, fences, release.

use std::time::Duration;

use tokio::time::Instant;

use super::story::{Story, message};
use super::{PATIENCE, SHARDS, Subject, batch, hold, holder, length, neighbours, soon};
use crate::journal::port::{AcquireError, Acquired, Batch, Holder, Journal, ShardConnectionError};
use crate::workspace::state::State;

pub(crate) async fn a_later_holder_fences_the_earlier_one(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let id = journal.publish(workspace, &message("m-1")).await.unwrap();
    let early = hold(&journal, workspace).await;
    soon(early.connection.commit(Batch::default())).await.unwrap();
    let mut late = hold(&journal, workspace).await;

    let mut story = Story::of(workspace);
    let steps = [story.save(), story.deliver(id, &message("m-1"))];
    let fenced = ShardConnectionError::Fenced { shard: workspace.shard(SHARDS), by: "node-a".to_owned() };
    assert_eq!(soon(early.connection.commit(batch(steps))).await, Err(fenced));
    assert!(soon(early.connection.load(workspace)).await.is_err(), "the connection is dead");
    assert!(soon(early.connection.commit(Batch::default())).await.is_err(), "the connection stays dead");

    // Nothing of it was applied, and the later holder never noticed.
    assert_eq!(length(&mut late).await, 1);
    assert_eq!(soon(journal.read(workspace)).await.unwrap().state, State::default());
    soon(late.connection.commit(Batch::default())).await.unwrap();
}

pub(crate) async fn another_node_waits_until_the_lease_ends(subject: &mut impl Subject) {
    let (journal, shard) = (subject.journal(), 1);
    let lease = Duration::from_millis(300);
    let short = Holder { lease, ..holder("node-a") };
    let (early, node, remaining) = loop {
        let early = soon(journal.acquire(shard, &short)).await.unwrap();
        match soon(journal.acquire(shard, &holder("node-b"))).await {
            Err(AcquireError::Held { shard: 1, node, remaining }) => break (early, node, remaining),
            Err(error) => panic!("{error}"),
            // A machine that stands still for a whole lease loses it, and rightly so: it is asked again.
            Ok(late) => {
                assert!(Instant::now() >= early.lease_until, "the shard was taken while the lease lived");
                soon(late.connection.release()).await.unwrap();
            }
        }
    };
    assert_eq!(node, "node-a");
    assert!(remaining <= lease, "{remaining:?} remain of {lease:?}");
    let late = soon(acquired(&*journal, shard, "node-b")).await;
    assert!(Instant::now() >= early.lease_until, "the lease was still alive");
    let refused = soon(early.connection.commit(Batch::default())).await;
    assert_eq!(refused, Err(ShardConnectionError::Fenced { shard, by: "node-b".to_owned() }));
    soon(late.connection.commit(Batch::default())).await.unwrap();
}

pub(crate) async fn a_renewed_lease_lives_on(subject: &mut impl Subject) {
    let (journal, shard) = (subject.journal(), 1);
    let lease = Duration::from_secs(1);
    let held = soon(journal.acquire(shard, &Holder { lease, ..holder("node-a") })).await.unwrap();
    let begun = Instant::now();
    let mut until = held.lease_until;
    // Every commit renews, an empty one does nothing else.
    while begun.elapsed() < 2 * lease {
        let renewed = soon(held.connection.commit(Batch::default())).await.unwrap();
        assert!(renewed >= until && renewed <= Instant::now() + lease);
        until = renewed;
        if soon(journal.acquire(shard, &holder("node-b"))).await.is_ok() {
            // A machine that stands still for a whole lease loses it, and rightly so.
            assert!(Instant::now() >= until, "the shard was taken while the lease lived");
            return;
        }
        // Only so that the loop does not spin: it runs until two leases have passed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn a_crashed_process_is_followed_at_once_by_its_own_node(subject: &mut impl Subject) {
    let shard = 1;
    let held = soon(subject.journal().acquire(shard, &holder("node-a"))).await.unwrap();
    drop(held);
    subject.restart().await;
    let held = soon(subject.journal().acquire(shard, &holder("node-a"))).await.unwrap();
    soon(held.connection.commit(Batch::default())).await.unwrap();
}

pub(crate) async fn the_holder_itself_may_acquire_again_at_once(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let early = hold(&journal, workspace).await;
    // A reload: the process has held the shard before, and nobody else has since.
    let late = soon(journal.acquire(workspace.shard(SHARDS), &holder("node-a"))).await.unwrap();
    assert!(soon(early.connection.commit(Batch::default())).await.is_err());
    soon(late.connection.commit(Batch::default())).await.unwrap();
}

pub(crate) async fn a_released_shard_is_free_at_once(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let shard = workspace.shard(SHARDS);
    let early = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let commit = early.connection.commit(batch([story.save()]));
    let release = early.connection.release();
    let (release, commit) = soon(async { tokio::join!(release, commit) }).await;
    commit.unwrap();
    release.unwrap();
    assert!(soon(early.connection.commit(batch([story.save()]))).await.is_err(), "the shard is given up");
    let late = soon(journal.acquire(shard, &holder("node-b"))).await.unwrap();
    assert_eq!(soon(late.connection.load(workspace)).await.unwrap().unwrap().state.seq, 1);
}

pub(crate) async fn shards_are_held_apart(subject: &mut impl Subject) {
    let journal = subject.journal();
    let mut connections = Vec::new();
    for shard in 0..SHARDS {
        let holder = holder(&format!("node-{shard}"));
        connections.push(soon(journal.acquire(shard, &holder)).await.unwrap().connection);
    }
    for connection in connections {
        soon(connection.commit(Batch::default())).await.unwrap();
    }
}

/// Acquires as soon as the shard is free.
async fn acquired(journal: &dyn Journal, shard: u16, node: &str) -> Acquired {
    loop {
        match journal.acquire(shard, &holder(node)).await {
            Ok(acquired) => return acquired,
            // The answer says how long to wait before it is asked again.
            Err(AcquireError::Held { remaining, .. }) => tokio::time::sleep(remaining.min(PATIENCE)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
