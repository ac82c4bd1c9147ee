//! Who runs what: shared out, told, and taken over.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::bench::{CHATS, Nodes, SHARDS, numbers, workspaces};
use support::process::{outbound, until};
use support::service::{TOKEN, message};

#[tokio::test]
async fn three_nodes_share_the_shards_and_each_answers_for_all() {
    let nodes = Nodes::start(3).await;
    let mut owners = vec![Value::Null; usize::from(SHARDS)];
    for node in 0..3 {
        let body = nodes.until_ready(node).await;
        assert_eq!((&body["role"], &body["shards"]["assigned"]), (&json!("worker"), &body["shards"]["held"]));
        for shard in numbers(&body["shards"]["held"]) {
            owners[usize::try_from(shard).unwrap()] = nodes.id(node).into();
        }
    }
    for node in 0..3 {
        let listed = nodes.nodes[node].api().get("/v1/nodes").await.ok();
        let by_shard: Vec<Value> = listed["shards"].as_array().unwrap().iter().map(|one| one["node"].clone()).collect();
        assert_eq!(by_shard, owners);
        let listed = listed["nodes"].as_array().unwrap();
        assert!(listed.iter().all(|one| one["alive"] == true && one["role"] == "worker"), "{listed:?}");
        let address = nodes.nodes[node].api().address().to_string();
        assert!(listed.iter().any(|one| one["id"] == nodes.id(node) && one["address"] == address), "{listed:?}");
    }

    // Any facade answers for any workspace.
    let workspaces = workspaces(6);
    for (n, workspace) in workspaces.iter().enumerate() {
        let api = nodes.nodes[n % 3].api();
        api.save(workspace, &json!({"url": nodes.receiver.url(workspace)})).await.ok();
        nodes.nodes[(n + 1) % 3]
            .api()
            .publish(workspace, &message("+1", &format!("m-{workspace}")))
            .await
            .unwrap()
            .ok();
        let api = nodes.nodes[(n + 2) % 3].api();
        api.until(workspace, "it is delivered", |webhook| webhook["last_attempt"]["outcome"] == "delivered").await;
    }
}

#[tokio::test]
async fn nodes_prints_who_holds_what_and_what_is_owed_since_when() {
    // No attempt ends by a timeout while its answer is held back.
    let flags: &[&str] = &["--timeout", "60s"];
    let nodes = Nodes::start_with(&[flags, flags]).await;
    nodes.until_shared(&[0, 1]).await;
    nodes.receiver.hold();
    let workspace = workspaces(1);
    nodes.save(&workspace).await;
    let posted = nodes.load(&workspace, 5, 1_000).join().unwrap();
    nodes.receiver.until("one is under way", |arrivals| !arrivals.is_empty()).await;
    let server = format!("http://{}", nodes.nodes[1].api().address());
    let print = |flags: &[&str]| {
        let mut command = outbound(&["nodes", "--server", &server]);
        let output = command.args(flags).env("OUTBOUND_ADMIN_TOKEN", TOKEN).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let json: Value = serde_json::from_str(&print(&["--json"])).unwrap();
    let owing: Vec<&Value> = json["shards"].as_array().unwrap().iter().filter(|one| one["owed"] != 0).collect();
    assert_eq!((owing.len(), &owing[0]["owed"]), (1, &json!(posted.len())));
    let (holder, oldest) = (owing[0]["node"].as_str().unwrap(), owing[0]["oldest_at"].as_str().unwrap());
    let text = print(&[]);
    let line = text.lines().find(|line| line.contains(oldest)).unwrap_or_else(|| panic!("{oldest} in {text}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, [owing[0]["shard"].to_string().as_str(), holder, "5", oldest]);
    for node in 0..2 {
        assert!(text.lines().any(|line| line.starts_with(&nodes.id(node)) && line.contains("worker")), "{text}");
    }
    nodes.receiver.release();
}

#[tokio::test]
async fn a_node_that_starts_beside_as_many_as_there_are_shards_is_ready_with_none() {
    let mut nodes = Nodes::start_with(&[&["--shards", "1"]]).await;
    nodes.until_holds(0, &[0]).await;
    nodes.add(&[]);
    until("the second is ready", async || {
        let (status, body) = nodes.ready(1).await;
        status == 200 && body["role"] == "standby" && body["reasons"] == json!([])
    })
    .await;
    nodes.nodes[0].terminate().await;
    nodes.until_holds(1, &[0]).await;
    assert_eq!(nodes.ready(1).await.1["role"], "worker");
}

/// Two nodes share a load; then one dies. Until its lease ends, the other is ready and says in one reason what it waits for.
#[tokio::test]
async fn what_a_killed_node_held_is_taken_over_when_its_lease_ends() {
    // A lease of 15 s, which is told for what remains of it when its node has been silent for five.
    let flags: &[&str] = &["--timeout", "10s"];
    let mut nodes = Nodes::start_with(&[flags, flags]).await;
    let all = workspaces(16);
    nodes.save(&all).await;
    all.iter().for_each(|one| nodes.receiver.treat(one, |how| how.delay = Duration::from_millis(20)));
    nodes.until_shared(&[0, 1]).await;
    let load = nodes.steady_load(&all, "shared-", 100);
    nodes.receiver.until("the load runs", |arrivals| arrivals.len() > 200).await;
    let shared = nodes.tally(load).await;
    shared.tell("two nodes share the shards");
    assert_eq!((shared.lost, shared.repeated), (Vec::new(), BTreeSet::new()), "lost, and attempted twice");
    let (held, before) = (nodes.held(0).await, nodes.receiver.count());
    let load = nodes.steady_load(&all, "taken-", 100);
    nodes.receiver.until("the load runs", |arrivals| arrivals.len() > before + 50).await;
    let dead = nodes.id(0);
    nodes.nodes[0].kill();
    let ends_at = held.iter().map(|shard| lease_ends_at(&nodes, *shard)).min().unwrap();
    until("the other waits for the leases", async || {
        let (status, body) = nodes.ready(1).await;
        if body.to_string().contains("the store does not answer") {
            return false;
        }
        assert_eq!(status, 200, "{body}");
        let reasons = body["reasons"].as_array().unwrap();
        assert!(reasons.len() <= 1, "{reasons:?}");
        reasons.iter().any(|reason| reason.as_str().unwrap().contains(&format!("still held by node {dead}")))
    })
    .await;
    nodes.until_shared(&[1]).await;
    let [seconds, micros]: [u64; 2] = nodes.redis.call(&["TIME"]);
    let now = seconds * 1_000 + micros / 1_000;
    assert!(now >= ends_at, "a live lease was taken {} ms before its end: {held:?}", ends_at - now);
    let tally = nodes.tally(load).await;
    tally.tell("one of two nodes is killed");
    assert_eq!(tally.lost, Vec::<String>::new());
    // What was under way, in each chat, or not yet durable.
    assert!(tally.repeated.len() <= all.len() * CHATS * 2, "{:?}", tally.repeated);
}

/// When the lease of a shard ends, by Redis' clock.
fn lease_ends_at(nodes: &Nodes, shard: u64) -> u64 {
    nodes.redis.call(&["HGET", &format!("outbound:{{{shard}}}:owner"), "expiry"])
}

#[tokio::test]
async fn what_a_killed_node_held_is_taken_at_once_when_the_same_node_comes_back() {
    // Leases that nobody could wait for.
    let flags: &[&str] = &["--timeout", "295s"];
    let mut nodes = Nodes::start_with(&[flags, flags]).await;
    nodes.until_shared(&[0, 1]).await;
    let held = nodes.held(0).await;
    nodes.nodes[0].kill();
    nodes.nodes[0].launch().await;
    until("it runs what it ran", async || nodes.held(0).await == held).await;
    nodes.until_shared(&[0, 1]).await;
}

/// A node that was stopped for longer than its lease, under load: the other has its shards, and what the sleeper had under
/// way when it wakes up is fenced. Then it gets a part again.
#[tokio::test]
async fn a_node_that_slept_for_longer_than_its_lease_does_no_harm_and_gets_its_part_again() {
    let nodes = Nodes::start(2).await;
    let all = workspaces(16);
    nodes.save(&all).await;
    all.iter().for_each(|one| nodes.receiver.treat(one, |how| how.delay = Duration::from_millis(20)));
    let load = nodes.steady_load(&all, "", 100);
    nodes.receiver.until("the load runs", |arrivals| arrivals.len() > 50).await;
    nodes.nodes[0].pause();
    let everything: Vec<u64> = (0..u64::from(SHARDS)).collect();
    nodes.until_holds(1, &everything).await;
    nodes.nodes[0].resume();
    nodes.until_shared(&[0, 1]).await;
    let tally = nodes.tally(load).await;
    tally.tell("one of two nodes sleeps for longer than its lease and wakes up");
    assert_eq!(tally.lost, Vec::<String>::new());
    // What was under way when it was stopped, and when it woke up.
    assert!(tally.repeated.len() <= all.len() * CHATS * 2, "{:?}", tally.repeated);
}
