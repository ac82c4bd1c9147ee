//! What nodes tell of themselves, who holds what, and what is owed.

use super::story::message;
use super::{SHARDS, Subject, holder, neighbours, soon};
use crate::journal::port::{NodeRecord, Owed, SeenNode};

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
