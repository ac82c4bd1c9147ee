//! What operators get wrong with several nodes, each told in one sentence, and nothing lost by it.

use std::fs;

use crate::nodes::bench::{Nodes, workspaces};
use support::process::until;
use support::proxy::Proxy;
use support::service::Service;

#[tokio::test]
async fn another_number_of_shards_is_refused() {
    let nodes = Nodes::start(1).await;
    let ended = Service::new(&nodes.redis.url(), &["--shards", "8"]).refused();
    assert!(ended.stderr.contains("Redis holds 16 shards but 8 were asked for"), "{}", ended.stderr);
}

/// A copy of a data directory has the same node id.
#[tokio::test]
async fn two_processes_with_one_node_id_are_told() {
    let mut nodes = Nodes::start(1).await;
    let twin = Service::new(&nodes.redis.url(), &[]);
    fs::create_dir_all(twin.data_dir()).unwrap();
    fs::copy(nodes.nodes[0].data_dir().join("node-id"), twin.data_dir().join("node-id")).unwrap();
    nodes.nodes.push(twin);
    nodes.nodes[1].spawn();
    for node in 0..2 {
        until("both tell it", async || {
            let (status, body) = nodes.ready(node).await;
            status == 503 && body["reasons"].to_string().contains("two processes share a data directory")
        })
        .await;
        let logged = async || nodes.nodes[node].log().contains("Another process has this node's id");
        until("both log it", logged).await;
    }
    nodes.nodes[1].kill();
    nodes.until_shared(&[0]).await;
}

/// One node sees the store's clock an hour ahead of its own: it says so, and they share the work all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_an_hour_off_is_told_and_works_on() {
    let mut nodes = Nodes::start(1).await;
    let proxy = Proxy::start(nodes.redis.port()).await;
    proxy.set_time_ahead(60 * 60 + 30);
    nodes.add(&[]);
    nodes.nodes[1].kill();
    nodes.nodes[1].set("--journal", &proxy.redis_url());
    nodes.nodes[1].launch().await;
    until("it is told", async || {
        let (status, body) = nodes.ready(1).await;
        let told = body["reasons"].to_string();
        status == 200 && told.contains("The clock of this machine is 60 minutes behind that of the store: check both")
    })
    .await;
    until("they share the shards", async || nodes.held(0).await.len() == 8 && nodes.held(1).await.len() == 8).await;
    let workspaces = workspaces(8);
    nodes.save(&workspaces).await;
    let sent = nodes.load(&workspaces, 32, 1_000).join().unwrap();
    nodes.receiver.until("all came", |arrivals| arrivals.len() == sent.len()).await;
    nodes.until_settled().await;
    assert_eq!(nodes.receiver.count(), sent.len(), "none came twice");
}

/// Without a key each node makes one of its own.
#[tokio::test]
async fn nodes_with_other_keys_are_told_and_work_on() {
    let mut nodes = Nodes::start(1).await;
    let mut other = Service::new(&nodes.redis.url(), &[]);
    other.secret_key = Some("k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".to_owned());
    other.spawn();
    nodes.nodes.push(other);
    for node in 0..2 {
        until("both tell it", async || {
            let (status, body) = nodes.ready(node).await;
            let told = body["reasons"].to_string();
            status == 200 && told.contains("OUTBOUND_TOKEN_KEY") && told.contains("OUTBOUND_SECRET_KEY")
        })
        .await;
        let log = nodes.nodes[node].log();
        assert_eq!(log.matches("same OUTBOUND_SECRET_KEY").count(), 1);
        let both = format!("the nodes {} and {} at ", nodes.id(node), nodes.id(1 - node));
        assert_eq!(log.matches(&both).count(), 1, "{both} in {log}");
    }
    until("they share the shards all the same", async || {
        nodes.held(0).await.len() == 8 && nodes.held(1).await.len() == 8
    })
    .await;
    let key = String::from_utf8_lossy(b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE").into_owned();
    let records: String = nodes.redis.call::<Vec<String>>(&["HVALS", "outbound:nodes"]).join(" ");
    assert!(!records.contains(&key), "{records}");
    nodes.nodes[1].terminate().await;
    until("who is gone is not told of", async || nodes.ready(0).await.1["reasons"] == serde_json::json!([])).await;
}
