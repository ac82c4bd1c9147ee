//! What nodes tell of themselves, who holds what, and what is owed.

use super::story::message;
use super::{SHARDS, Subject, holder, neighbours, soon};
use crate::journal::port::{NodeRecord, Owed, SeenNode, ToldGlance};
use crate::workspace::outcomes::{MinuteOutcomes, Outcomes};
use crate::workspace::view::{NodeGlance, WaitingView};

fn record(process: &str) -> NodeRecord {
    NodeRecord {
        id: "node-a".to_owned(),
        process: process.to_owned(),
        address: "10.0.0.1:8080".to_owned(),
        version: "0.1.0".to_owned(),
        ..NodeRecord::default()
    }
}

pub(crate) async fn a_node_is_listed_as_it_told_until_it_is_withdrawn(subject: &mut impl Subject) {
    let journal = subject.journal();
    assert_eq!(soon(journal.nodes()).await.unwrap().nodes, []);
    let first = soon(journal.register(&record("p1"))).await.unwrap();
    let [SeenNode { record: told, began, seen }] = &first.nodes[..] else { panic!("{first:?}") };
    assert_eq!((told, began, *seen <= first.at, first.replaced), (&record("p1"), seen, true, None));
    let changed = NodeRecord { leaving: true, runs: "1-3".parse().unwrap(), ..record("p1") };
    let second = soon(journal.register(&changed)).await.unwrap();
    assert_eq!((&second.nodes[0].record, second.nodes[0].began), (&changed, *began));
    let read = soon(journal.nodes()).await.unwrap();
    assert_eq!(read.nodes[0].record, changed);
    // Only the process that wrote it takes it away.
    soon(journal.withdraw(&record("p0"))).await.unwrap();
    assert_eq!(soon(journal.nodes()).await.unwrap().nodes.len(), 1);
    soon(journal.withdraw(&record("p1"))).await.unwrap();
    assert_eq!(soon(journal.nodes()).await.unwrap().nodes, []);
}

pub(crate) async fn who_holds_a_shard_is_read_until_it_is_released(subject: &mut impl Subject) {
    let journal = subject.journal();
    let shard = 1;
    let held = soon(journal.acquire(shard, &holder("node-a"))).await.unwrap();
    let runs = NodeRecord { runs: [shard].into_iter().collect(), ..record("p1") };
    let owners = soon(journal.register(&runs)).await.unwrap().owners;
    let holders: Vec<Option<&str>> =
        owners.iter().map(|owner| owner.as_ref().map(|owner| owner.node.as_str())).collect();
    assert_eq!(holders, [None, Some("node-a"), None, None]);
    soon(held.connection.release()).await.unwrap();
    let owners = soon(journal.register(&record("p1"))).await.unwrap().owners;
    assert!(owners.len() == usize::from(SHARDS) && owners.iter().all(Option::is_none), "{owners:?}");
}

pub(crate) async fn what_each_shard_owes_is_counted_with_the_oldest(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let oldest = journal.publish(workspace, &message("m-1")).await.unwrap();
    journal.publish(workspace, &message("m-2")).await.unwrap();
    let nothing = Owed::default();
    let owed = soon(journal.owed()).await.unwrap();
    assert_eq!(owed, [nothing, Owed { messages: 2, oldest: Some(oldest) }, nothing, nothing]);
}

pub(crate) async fn what_a_process_knows_is_read_as_it_told_it_last(subject: &mut impl Subject) {
    let journal = subject.journal();
    assert_eq!(soon(journal.glances()).await.unwrap().glances, []);
    let first = NodeGlance { node: "node-a".to_owned(), process: "p1".to_owned(), ..NodeGlance::default() };
    soon(journal.tell_glance(&first)).await.unwrap();
    let reading = soon(journal.glances()).await.unwrap();
    let [ToldGlance { glance, at }] = &reading.glances[..] else { panic!("{reading:?}") };
    assert_eq!((glance, *at <= reading.at), (&first, true));
    let waiting = WaitingView { count: 7, at_least: true, oldest_at: reading.at };
    let outcomes = Outcomes { delivered: 1, failed: 0, skipped: u64::MAX };
    let second = NodeGlance {
        address: "10.0.0.1:8080".to_owned(),
        minutes: vec![MinuteOutcomes { minute: 29_497_680, outcomes }],
        longest_waiting: vec![(neighbours(1)[0].clone(), waiting)],
        ready: true,
        reasons: vec!["the store is full: \"ä\"\n".to_owned()],
        unavailable_workspaces: 3,
        ..first
    };
    soon(journal.tell_glance(&second)).await.unwrap();
    let told: Vec<_> = soon(journal.glances()).await.unwrap().glances.into_iter().map(|told| told.glance).collect();
    assert_eq!(told, [second]);
}
