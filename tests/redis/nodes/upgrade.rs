//! An upgrade node by node: what is written is what the oldest node in the registry reads, and a program that is too old for
//! what is stored does not run.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::nodes::bench::{Nodes, SHARDS, workspaces};
use outbound::journal::codec::FORMAT;
use outbound::message::WorkspaceId;
use outbound::workspace::event::Attempt;
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Service, message};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/journal/v1/", $name, ".json")).trim_end()
    };
}

/// A node as one of the older program: it tells, reads and writes no newer format.
const OLDER: [&str; 4] = ["--journal-format", "1", "--journal-compression", "none"];

/// One of today's, whose attempts can be read as they are stored.
const PLAIN: [&str; 2] = ["--journal-compression", "none"];

/// The newest format that may stand in the store.
fn format(redis: &RedisServer) -> String {
    redis.call(&["HGET", "outbound:meta", "format"])
}

/// A key of the workspace.
fn key(workspace: &str, kind: &str) -> String {
    let shard = workspace.parse::<WorkspaceId>().unwrap().shard(SHARDS);
    format!("outbound:{{{shard}}}:{kind}:{workspace}")
}

/// Attempts of a workspace as they are stored, oldest first.
fn stored(redis: &RedisServer, workspace: &str) -> Vec<String> {
    let entries: Vec<(String, Vec<String>)> = redis.call(&["XRANGE", &key(workspace, "attempts"), "-", "+"]);
    entries.into_iter().map(|(_, fields)| fields[1].clone()).collect()
}

/// What programs of format 1 left behind: a workspace that errors switched off, as the golden files hold it.
fn plant(redis: &RedisServer, workspace: &str) {
    let () = redis.call(&["HSET", "outbound:meta", "format", "1", "shards", &SHARDS.to_string()]);
    for (id, event) in [
        ("7-0", golden!("attempt_delivered")),
        ("8-0", golden!("attempt_failed")),
        ("9-0", golden!("attempt_failed_bare")),
    ] {
        redis.call::<String>(&["XADD", &key(workspace, "attempts"), id, "e", event]);
    }
    let disabled = golden!("webhook_disabled").replace(r#""seq":12"#, r#""seq":20"#);
    redis.call::<String>(&["XADD", &key(workspace, "journal"), "20-0", "e", &disabled]);
    let () = redis.call(&["SET", &key(workspace, "snapshot"), golden!("snapshot")]);
}

/// Puts the record of a node into the registry as a program does that knows of no formats.
fn older_node(redis: &RedisServer) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let record = json!({
        "id": "older", "process": "p", "address": "127.0.0.1:1", "version": "0.0.1", "static_shards": "", "runs": "",
        "token_key": "", "secret_keys": [], "leaving": false,
    });
    redis.call::<u64>(&["HSET", "outbound:nodes", "older", &format!("{now} {now} p {record}")]);
}

#[tokio::test]
async fn what_the_oldest_node_reads_is_written_until_it_has_gone() {
    let redis = RedisServer::start();
    plant(&redis, "acme");
    older_node(&redis);
    let mut nodes = Nodes { redis, receiver: Receiver::start(), nodes: Vec::new() };
    nodes.add(&PLAIN);
    nodes.add(&PLAIN);
    nodes.until_shared(&[0, 1]).await;
    let api = nodes.nodes[1].api();
    assert_eq!(api.webhook("acme").await["status"], "disabled_by_errors");
    api.save("acme", &json!({"url": nodes.receiver.url("acme")})).await.ok();
    let deliver = async |id: &str| {
        api.publish("acme", &message("+1", id)).await.unwrap().ok();
        api.until("acme", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == id).await;
    };
    deliver("m-older").await;
    let all = stored(&nodes.redis, "acme");
    assert!(all.len() >= 4, "{all:?}");
    for attempt in &all {
        // As a program of format 1 reads it.
        assert!(attempt.starts_with(r#"{"v":1,"#), "{attempt}");
        serde_json::from_str::<Attempt>(attempt).unwrap();
    }
    assert_eq!(format(&nodes.redis), "1");

    nodes.redis.call::<u64>(&["HDEL", "outbound:nodes", "older"]);
    for node in 0..2 {
        until("the nodes know it", async || nodes.nodes[node].log().contains("what all nodes read")).await;
    }
    assert_eq!(format(&nodes.redis), FORMAT.to_string());
    deliver("m-newer").await;
    let last = stored(&nodes.redis, "acme").pop().unwrap();
    assert!(last.starts_with(r#"{"v":2,"#), "{last}");
    let log = api.log("acme").await;
    let ids: Vec<&str> = log.iter().filter_map(|attempt| attempt["message_id"].as_str()).collect();
    assert_eq!(ids[..2], ["m-newer", "m-older"]);
    // Those of the golden files, and behind them the test that they say was under way.
    assert_eq!(ids[2..], ["m-1"; 4]);
    assert_eq!(log.last().map(|first| &first["outcome"]), Some(&Value::from("delivered")));
}

/// Two processes that read and write the older format only take over what its programs left. Each is replaced under load; while
/// one of them is there, the other one's replacement writes what it reads.
#[tokio::test]
async fn nodes_are_upgraded_one_by_one_under_load_and_cannot_go_back_once_all_are() {
    let redis = RedisServer::start();
    plant(&redis, "acme");
    let mut nodes = Nodes { redis, receiver: Receiver::start(), nodes: Vec::new() };
    (0..2).for_each(|_| nodes.add(&OLDER));
    nodes.until_shared(&[0, 1]).await;
    let all = workspaces(16);
    nodes.save(&all).await;
    all.iter().for_each(|one| nodes.receiver.treat(one, |how| how.delay = Duration::from_millis(20)));
    let until_more = async |nodes: &Nodes| {
        let before = nodes.receiver.count();
        nodes.receiver.until("more come", |arrivals| arrivals.len() > before + 50).await;
    };
    let load = nodes.steady_load(&all, "", 100);
    until_more(&nodes).await;
    for node in 0..2 {
        assert_eq!(nodes.nodes[node].terminate().await.code(), Some(0));
        nodes.nodes[node].set(OLDER[0], &FORMAT.to_string());
        nodes.nodes[node].launch().await;
        if node == 0 {
            // A mixed pair. The older one says what keeps it so.
            assert!(nodes.nodes[1].log().contains("--journal-format keeps all nodes to an older stored format"));
            nodes.until_shared(&[0, 1]).await;
            until_more(&nodes).await;
            assert_eq!(format(&nodes.redis), OLDER[1]);
            let written: Vec<String> = all.iter().flat_map(|workspace| stored(&nodes.redis, workspace)).collect();
            let newer = written.iter().find(|attempt| !attempt.starts_with(r#"{"v":1,"#));
            assert_eq!((written.len() > 50, newer), (true, None));
        }
    }
    nodes.until_shared(&[0, 1]).await;
    // The second may have found it so when it started.
    until("the first knows it", async || nodes.nodes[0].log().contains("what all nodes read")).await;
    assert_eq!(format(&nodes.redis), FORMAT.to_string());
    let newest = || stored(&nodes.redis, &all[0]).pop().unwrap();
    until("the newer format is written", async || newest().starts_with(r#"{"v":2,"#)).await;
    let tally = nodes.tally(load).await;
    tally.tell("two nodes are upgraded one by one, to another stored format");
    assert_eq!((tally.lost, tally.repeated), (Vec::new(), BTreeSet::new()), "lost, and attempted twice");
    let api = nodes.nodes[1].api();
    assert_eq!(api.webhook("acme").await["status"], "disabled_by_errors");
    assert!(api.log("acme").await.iter().any(|attempt| attempt["outcome"] == "delivered"));

    nodes.nodes[0].terminate().await;
    nodes.nodes[0].set(OLDER[0], OLDER[1]);
    let ended = nodes.nodes[0].refused();
    let sentence = format!("the store has format {FORMAT} now and --journal-format 1 lets this node read no newer one");
    assert!(ended.stderr.contains(&sentence), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    nodes.until_shared(&[1]).await;
}

/// While it is away the other one could write what it does not read.
#[tokio::test]
async fn one_node_that_is_kept_to_the_older_format_is_restarted_and_keeps_the_others_to_it() {
    let mut nodes = Nodes::start_with(&[&OLDER, &PLAIN]).await;
    nodes.until_shared(&[0, 1]).await;
    assert_eq!(nodes.nodes[0].terminate().await.code(), Some(0));
    nodes.until_shared(&[1]).await;
    let all = workspaces(1);
    let api = nodes.nodes[1].api();
    api.save(&all[0], &json!({"url": nodes.receiver.url(&all[0])})).await.ok();
    api.publish(&all[0], &message("+1", "meanwhile")).await.unwrap().ok();
    api.until(&all[0], "it is logged", |webhook| webhook["last_attempt"]["message_id"] == "meanwhile").await;
    assert!(stored(&nodes.redis, &all[0])[0].starts_with(r#"{"v":1,"#));
    assert_eq!(format(&nodes.redis), OLDER[1]);
    nodes.nodes[0].launch().await;
    nodes.until_shared(&[0, 1]).await;

    // Without the flag it is one of today's program, and nothing keeps anybody to the older format.
    nodes.nodes[0].terminate().await;
    nodes.nodes[0].set(OLDER[0], &FORMAT.to_string());
    nodes.nodes[0].launch().await;
    until("the newer format is written", async || format(&nodes.redis) == FORMAT.to_string()).await;
}

#[tokio::test]
async fn a_program_that_cannot_read_what_is_stored_does_not_run() {
    let newest = FORMAT.to_string();
    for (flags, begun, later, says) in [
        (
            &[][..],
            newest.as_str(),
            "99",
            format!("format 99 now, this program reads up to format {FORMAT}: start the newer"),
        ),
        (
            &OLDER,
            "1",
            newest.as_str(),
            format!("format {FORMAT} now and --journal-format 1 lets this node read no newer one"),
        ),
    ] {
        let mut nodes = Nodes::start_with(&[flags]).await;
        nodes.until_shared(&[0]).await;
        assert_eq!(format(&nodes.redis), begun);
        // As other nodes do once none of an older program is there; this one slept meanwhile.
        nodes.nodes[0].pause();
        nodes.redis.call::<u64>(&["HSET", "outbound:meta", "format", later]);
        nodes.nodes[0].resume();
        assert_eq!(nodes.nodes[0].ended().await.code(), Some(1));
        let log = nodes.nodes[0].log();
        assert!(log.contains(&says), "{log}");

        let ended = Service::new(&nodes.redis.url(), flags).refused();
        assert!(ended.stderr.contains(&format!("format {later}")), "{}", ended.stderr);
        assert_eq!(ended.code, Some(1), "{ended:?}");
    }
}
