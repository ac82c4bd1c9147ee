//! What operators get wrong with several nodes, each told in one sentence, and nothing lost by it.

use std::fs;

use outbound::message::WorkspaceId;
use serde_json::json;

use crate::nodes::bench::{Nodes, SHARDS, workspaces};
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

/// One node sees the store's clock an hour from its own: it says so, and they share the work all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_an_hour_off_is_told_and_works_on() {
    for (ahead, told) in
        [(3_630, "60 minutes behind that of the store"), (-3_630, "60 minutes ahead of that of the store")]
    {
        let mut nodes = Nodes::start(1).await;
        let proxy = Proxy::start(nodes.redis.port()).await;
        proxy.set_time_ahead(ahead);
        nodes.add(&[]);
        nodes.nodes[1].kill();
        nodes.nodes[1].set("--journal", &proxy.redis_url());
        nodes.nodes[1].launch().await;
        let sentence = format!("The clock of this machine is {told}: check both");
        until("it is told", async || {
            let (status, body) = nodes.ready(1).await;
            status == 200 && body["reasons"].to_string().contains(&sentence)
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
}

/// 32 times `1`, and 32 times `2`.
const K1: &str = "k1:MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";
const K2: &str = "k2:MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=";

/// What a node encrypted waits where nobody can open it; its neighbours do not. With both keys it is delivered.
#[tokio::test]
async fn what_another_nodes_key_encrypted_waits_and_is_not_lost() {
    let mut nodes = Nodes::start_with(&[]).await;
    // Both start before anything is encrypted: later a start without a key that is needed is refused.
    for key in [K1, K2] {
        nodes.add(&[]);
        let node = nodes.nodes.last_mut().unwrap();
        node.kill();
        node.secret_key = Some(key.to_owned());
        node.launch().await;
    }
    until("they share the shards", async || nodes.held(0).await.len() == 8 && nodes.held(1).await.len() == 8).await;
    let of_first = nodes.held(0).await;
    let is_of_first = |id: &String| of_first.contains(&u64::from(id.parse::<WorkspaceId>().unwrap().shard(SHARDS)));
    let (sealed, others): (Vec<String>, Vec<String>) = workspaces(64).into_iter().partition(is_of_first);
    for (node, workspace) in [&sealed[0], &others[0]].into_iter().enumerate() {
        let webhook = json!({"url": nodes.receiver.url(workspace), "headers": {"x-api-key": "of the endpoint"}});
        nodes.nodes[node].api().save(workspace, &webhook).await.ok();
    }

    assert_eq!(nodes.nodes[0].terminate().await.code(), Some(0));
    until("the second has all", async || nodes.held(1).await.len() == usize::from(SHARDS)).await;
    nodes.load(&[sealed[0].clone(), others[0].clone()], 2, 1_000).join().unwrap();
    nodes.receiver.until("the neighbour's came", |arrivals| arrivals.len() == 1).await;
    until("one is counted", async || nodes.ready(1).await.1["unavailable_workspaces"] == 1).await;
    let refused = nodes.nodes[0].refused();
    assert!(refused.stderr.contains("k2"), "{}", refused.stderr);

    nodes.nodes[0].secret_key = Some(format!("{K1} {K2}"));
    nodes.nodes[0].launch().await;
    assert_eq!(nodes.nodes[1].terminate().await.code(), Some(0));
    nodes.receiver.until("both came", |arrivals| arrivals.len() == 2).await;
    nodes.until_settled().await;
    let arrivals = nodes.receiver.arrivals();
    let sent: Vec<_> = arrivals.iter().map(|one| (&one.workspace, one.header("x-api-key"))).collect();
    assert_eq!(sent, [(&others[0], Some("of the endpoint")), (&sealed[0], Some("of the endpoint"))]);
}

/// Nothing is encrypted yet, but the other node may do it at any moment: what this one saved would be in plain text.
#[tokio::test]
async fn a_node_that_starts_without_the_key_of_another_one_saves_nothing_in_plain_text() {
    let mut nodes = Nodes::start_with(&[]).await;
    for key in [Some(K1), None] {
        nodes.add(&[]);
        let node = nodes.nodes.last_mut().unwrap();
        node.kill();
        node.secret_key = key.map(str::to_owned);
        node.launch().await;
    }
    until("they share the shards", async || nodes.held(0).await.len() == 8 && nodes.held(1).await.len() == 8).await;
    assert!(nodes.nodes[1].log().contains("no webhook can be saved here"), "{}", nodes.nodes[1].log());
    let of_second = nodes.held(1).await;
    let of_second = |id: &String| of_second.contains(&u64::from(id.parse::<WorkspaceId>().unwrap().shard(SHARDS)));
    let workspace = workspaces(64).into_iter().find(of_second).unwrap();
    let webhook = json!({"url": nodes.receiver.url(&workspace)});
    assert_eq!(nodes.nodes[1].api().save(&workspace, &webhook).await.problem(), (503, "no-secret-key"));
    // With the key it is saved, and a start without it is refused from then on.
    nodes.nodes[1].terminate().await;
    nodes.nodes[0].api().save(&workspace, &webhook).await.ok();
    let refused = nodes.nodes[1].refused();
    assert!(refused.stderr.contains("k1"), "{}", refused.stderr);
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
    until("who is gone is not told of", async || nodes.ready(0).await.1["reasons"] == json!([])).await;
}

/// What comes of a message would depend on which node runs its shard.
#[tokio::test]
async fn nodes_with_other_sources_or_rules_are_told_and_work_on() {
    let mut nodes = Nodes::start_with(&[&["--source", "a,b"], &["--source", "b", "--source", "a"]]).await;
    nodes.until_shared(&[0, 1]).await;
    nodes.add(&["--source", "a,b", "--error-limit", "3"]);
    for (node, other, flags) in [(0, 2, "--error-limit 3 and this one 10"), (2, 1, "--error-limit 10 and this one 3")] {
        let sentence = format!("node {} at {} has {flags}", nodes.id(other), nodes.nodes[other].api().address());
        until("it is told", async || {
            let (status, body) = nodes.ready(node).await;
            status == 200 && body["reasons"].to_string().contains(&sentence)
        })
        .await;
    }
    let held = async |node: usize| nodes.held(node).await.len();
    until("they share the shards", async || held(0).await + held(1).await + held(2).await == 16 && held(2).await >= 4)
        .await;
    // Which attempts fail depends on these.
    for (flags, told) in [
        (&["--require-https"][..], "has --require-https true and this one none"),
        (&["--timeout", "9s"], "has --timeout 9s and this one none"),
        (&["--deny-net", "127.0.0.1/32"], "differ in --deny-net"),
        (&["--allow-net", "10.1.0.0/16"], "differ in --allow-net"),
    ] {
        nodes.nodes.pop().unwrap().terminate().await;
        nodes.add(&[&["--source", "a,b"], flags].concat());
        until(told, async || nodes.ready(0).await.1["reasons"].to_string().contains(told)).await;
        assert!(!nodes.ready(0).await.1["reasons"].to_string().contains("10.1."));
    }
    assert_eq!(nodes.nodes[0].log().matches("so what comes of a message depends on who runs its shard").count(), 5);
}
