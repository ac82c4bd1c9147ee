//! Planned moves: a node joins, is told to end, is rolled. Nobody downstream notices.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::nodes::bench::{Nodes, SHARDS, workspaces};
use support::process::until;

/// Joins, is rolled, and leaves, under load.
#[tokio::test]
async fn moving_shards_loses_nothing_and_repeats_nothing() {
    let mut nodes = Nodes::start(1).await;
    let workspaces = workspaces(64);
    nodes.save(&workspaces).await;
    workspaces.iter().for_each(|one| nodes.receiver.treat(one, |how| how.delay = Duration::from_millis(20)));
    let load = nodes.steady_load(&workspaces, "", 250);
    nodes.receiver.until("the load runs", |arrivals| arrivals.len() > 100).await;
    nodes.add(&[]);
    nodes.until_shared(&[0, 1]).await;
    assert_eq!(nodes.nodes[0].terminate().await.code(), Some(0));
    nodes.until_shared(&[1]).await;
    nodes.nodes[0].launch().await;
    nodes.until_shared(&[0, 1]).await;
    assert_eq!(nodes.nodes[1].terminate().await.code(), Some(0));
    nodes.until_shared(&[0]).await;

    let tally = nodes.tally(load).await;
    tally.tell("a node joins, one is rolled, one leaves");
    assert_eq!((tally.lost, tally.repeated), (Vec::new(), BTreeSet::new()), "lost, and attempted twice");
    // Who ended is no node any more.
    nodes.until_listed(0, 1).await;
}

/// Two start at the same moment, one starts while another leaves, all but one leave together; each is told twice to end.
#[tokio::test]
async fn nodes_that_come_and_go_at_the_same_moment_lose_nothing_and_repeat_nothing() {
    let mut nodes = Nodes::start_with(&[&[], &[]]).await;
    nodes.until_shared(&[0, 1]).await;
    let workspaces = workspaces(16);
    nodes.save(&workspaces).await;
    workspaces.iter().for_each(|one| nodes.receiver.treat(one, |how| how.delay = Duration::from_millis(20)));
    let load = nodes.steady_load(&workspaces, "", 100);
    nodes.receiver.until("the load runs", |arrivals| arrivals.len() > 50).await;
    nodes.nodes[0].ask_to_end();
    nodes.add(&[]);
    nodes.nodes[0].ask_to_end();
    assert_eq!(nodes.nodes[0].ended().await.code(), Some(0));
    nodes.until_shared(&[1, 2]).await;
    nodes.nodes[0].spawn();
    nodes.add(&[]);
    nodes.until_shared(&[0, 1, 2, 3]).await;
    for node in [0, 1, 3] {
        nodes.nodes[node].ask_to_end();
    }
    for node in [0, 1, 3] {
        assert_eq!(nodes.nodes[node].ended().await.code(), Some(0));
    }
    nodes.until_shared(&[2]).await;
    let tally = nodes.tally(load).await;
    tally.tell("nodes come and go at the same moment");
    assert_eq!((tally.lost, tally.repeated), (Vec::new(), BTreeSet::new()), "lost, and attempted twice");
}

/// The old owner lets the attempt end; the message is not repeated. Other shards do not wait for it.
#[tokio::test]
async fn a_hung_attempt_holds_up_only_the_move_of_its_own_shard_and_is_not_repeated() {
    let mut nodes = Nodes::start_with(&[&["--timeout", "60s"]]).await;
    nodes.until_shared(&[0]).await;
    let workspace = workspaces(1);
    nodes.save(&workspace).await;
    nodes.receiver.hold();
    nodes.load(&workspace, 1, 1_000).join().unwrap();
    nodes.receiver.until("it is under way", |arrivals| arrivals.len() == 1).await;
    nodes.add(&["--timeout", "60s"]);
    nodes.until_ready(1).await;
    nodes.nodes[0].ask_to_end();
    until("the second node runs all but that shard", async || nodes.held(1).await.len() == usize::from(SHARDS) - 1)
        .await;
    nodes.until_ready(1).await;
    nodes.receiver.release();
    assert_eq!(nodes.nodes[0].ended().await.code(), Some(0));
    nodes.until_shared(&[1]).await;
    nodes.until_settled().await;
    assert_eq!(nodes.receiver.count(), 1);
    let log = nodes.nodes[1].api().log(&workspace[0]).await;
    assert_eq!((log.len(), &log[0]["outcome"]), (1, &json!("delivered")));
}

/// A save through the other node while its shard moves is applied once; the live stream shows what comes then.
#[tokio::test]
async fn commands_and_the_live_stream_work_while_shards_move() {
    let mut nodes = Nodes::start(2).await;
    let workspaces = workspaces(16);
    nodes.save(&workspaces).await;
    let api = nodes.nodes[0].api();
    let stream_of_first = format!("http://{}/v1/workspaces/{}/attempts/live", api.address(), workspaces[0]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut live = client.get(stream_of_first).bearer_auth(support::service::TOKEN).send().await.unwrap();
    nodes.nodes[1].ask_to_end();
    for (n, workspace) in workspaces.iter().enumerate() {
        let email = format!("o{n}@example.com");
        let webhook = json!({"url": nodes.receiver.url(workspace), "owner_email": email});
        assert_eq!(api.save(workspace, &webhook).await.ok()["owner_email"], email);
    }
    assert_eq!(nodes.nodes[1].ended().await.code(), Some(0));
    nodes.load(&workspaces[..1], 1, 1_000).join().unwrap();
    let mut seen = String::new();
    while !seen.contains("w0-00000") {
        let chunk = tokio::time::timeout(support::process::PATIENCE, live.chunk()).await.unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&chunk.expect("the stream goes on")));
    }
    for workspace in &workspaces {
        let history = api.read(workspace, "history").await.ok();
        assert_eq!(history["history"].as_array().map_or(0, Vec::len), 2, "{history}");
    }
}
