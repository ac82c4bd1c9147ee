//! `--static-shards`: an orchestrator says who runs what.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::bench::{Nodes, SHARDS, workspaces};
use support::process::until;
use support::service::{Service, message};

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test]
async fn static_shards_are_run_by_who_is_told_and_a_facade_runs_none() {
    let flags: [&[&str]; 3] = [&["--static-shards", "0-7"], &["--static-shards", "8-14,15"], &["--static-shards", ""]];
    let mut nodes = Nodes::start_with(&flags).await;
    nodes.until_holds(0, &range(0, 7)).await;
    nodes.until_holds(1, &range(8, 15)).await;
    let is_facade = async |nodes: &Nodes| {
        let (status, body) = nodes.ready(2).await;
        status == 200 && body["role"] == "facade" && body["shards"]["held"] == json!([])
    };
    until("the facade is ready", async || is_facade(&nodes).await).await;
    let api = nodes.nodes[2].api();
    api.save("acme", &json!({"url": nodes.receiver.url("acme")})).await.ok();
    api.publish("acme", &message("+1", "m-1")).await.unwrap().ok();
    api.until("acme", "it is delivered", |webhook| webhook["last_attempt"]["outcome"] == "delivered").await;

    // Nobody takes what is another's, and whoever looks is told.
    nodes.nodes[1].terminate().await;
    until("it is told that nobody runs them", async || {
        nodes.ready(2).await.1["reasons"].to_string().contains("shards 8-15 are assigned to no node")
    })
    .await;
    nodes.until_holds(0, &range(0, 7)).await;
    until("the facade is still ready", async || is_facade(&nodes).await).await;
    let listed = api.get("/v1/nodes").await.ok();
    let nobodys = listed["shards"].as_array().unwrap().iter().filter(|one| one["node"] == Value::Null).count();
    assert_eq!(nobodys, 8, "{listed}");
}

#[tokio::test]
async fn an_overlap_is_refused_by_the_lease_and_said() {
    let mut nodes = Nodes::start_with(&[&["--static-shards", "0-8"]]).await;
    nodes.until_holds(0, &range(0, 8)).await;
    nodes.add(&["--static-shards", "7-15"]);
    nodes.until_holds(1, &range(9, 15)).await;
    until("the overlap is said", async || {
        let (status, body) = nodes.ready(1).await;
        let said = format!("shards 7-8 are in --static-shards of node {} too", nodes.id(0));
        status == 200 && body["reasons"].to_string().contains(&said)
    })
    .await;
    let said = format!("shards 7-8 are in --static-shards of node {} too", nodes.id(1));
    until("on both", async || nodes.ready(0).await.1["reasons"].to_string().contains(&said)).await;
    until("it is logged", async || nodes.nodes[1].log().contains("--static-shards")).await;
    nodes.until_holds(0, &range(0, 8)).await;
}

#[tokio::test]
async fn static_nodes_and_nodes_that_share_the_rest_live_side_by_side() {
    let mut nodes = Nodes::start(2).await;
    nodes.add(&["--static-shards", "3,5"]);
    nodes.until_holds(2, &[3, 5]).await;
    until("the others have the rest", async || {
        let (a, b) = (nodes.held(0).await, nodes.held(1).await);
        a.len() == 7 && b.len() == 7
    })
    .await;
    nodes.nodes[2].terminate().await;
    nodes.until_shared(&[0, 1]).await;
}

/// A node that was told what to run joins nodes that share, and ends again. What it is to run is given to it: it asks for
/// nothing that another one still has, so it is ready all the time and takes each at once.
#[tokio::test]
async fn a_static_node_joins_and_leaves_under_load_and_nothing_comes_twice() {
    let mut nodes = Nodes::start(2).await;
    let workspaces = workspaces(16);
    nodes.save(&workspaces).await;
    workspaces.iter().for_each(|one| nodes.receiver.treat(one, |how| how.delay = Duration::from_millis(20)));
    let load = nodes.steady_load(&workspaces, "", 100);
    nodes.receiver.until("the load runs", |arrivals| arrivals.len() > 50).await;
    nodes.add(&["--static-shards", "0-9,15"]);
    nodes.until_holds(2, &[range(0, 9), vec![15]].concat()).await;
    nodes.until_ready(2).await;
    assert_eq!(nodes.nodes[2].terminate().await.code(), Some(0));
    nodes.until_shared(&[0, 1]).await;
    let tally = nodes.tally(load).await;
    tally.tell("a static node joins nodes that share, and leaves");
    assert_eq!((tally.lost, tally.repeated), (Vec::new(), BTreeSet::new()), "lost, and attempted twice");
}

#[tokio::test]
async fn static_shards_that_are_not_there_are_told() {
    let nodes = Nodes::start(1).await;
    let refused = |journal: &str, shards: &str| Service::new(journal, &["--static-shards", shards]).refused();
    let last = SHARDS.to_string();
    for (journal, shards, sentence) in [
        (nodes.redis.url().as_str(), last.as_str(), "--static-shards 16 names a shard that is not there: there are 16"),
        (nodes.redis.url().as_str(), "3-1", "names no shards: write numbers and ranges"),
        ("embedded", "0", "--static-shards is for a Redis journal"),
    ] {
        let ended = refused(journal, shards);
        assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}
