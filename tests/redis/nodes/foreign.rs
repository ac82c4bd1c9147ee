//! Streams of other people as sources: read by a group, acknowledged, never trimmed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::chaos::bench::repeated;
use crate::nodes::bench::{Nodes, workspaces};
use crate::tally::Tally;
use support::process::until;
use support::service::{Service, message};

pub(super) const ORDERS: &str = "orders";

pub(super) fn add(nodes: &Nodes, fields: &[&str]) -> String {
    let words: Vec<&str> = ["XADD", ORDERS, "*"].into_iter().chain(fields.iter().copied()).collect();
    nodes.redis.call(&words)
}

/// Entries that the group was given and that are not acknowledged.
fn pending(nodes: &Nodes) -> u64 {
    let (count, _, _, _): (u64, Value3, Value3, Value3) = nodes.redis.call(&["XPENDING", ORDERS, "outbound"]);
    count
}

type Value3 = redis::Value;

pub(super) async fn until_drained(nodes: &Nodes, count: usize) {
    nodes.receiver.until(&format!("{count} came"), |arrivals| arrivals.len() >= count).await;
    until("all are acknowledged", async || pending(nodes) == 0).await;
    nodes.until_settled().await;
}

/// Fields with other names, the message in an envelope, two nodes, and one of them killed: nothing is lost, nothing
/// is trimmed, everything is acknowledged.
#[tokio::test]
async fn a_foreign_stream_is_drained_as_it_is() {
    let flags: &[&str] = &[
        "--source",
        ORDERS,
        "--source-fields",
        "workspace=tenant,message=payload",
        "--source-message",
        "/data/message",
    ];
    let mut nodes = Nodes::start_with(&[flags]).await;
    nodes.until_shared(&[0]).await;
    let all = workspaces(8);
    nodes.save(&all).await;
    let mut sent = BTreeMap::new();
    let publish = |nodes: &Nodes, sent: &mut BTreeMap<String, Instant>, n: usize| {
        let id = format!("m-{n:04}");
        let text = message(&format!("+{}", n % 3), &id);
        sent.insert(id, Instant::now());
        let payload = format!(r#"{{"data":{{"message":{text}}},"v":1}}"#);
        add(nodes, &["tenant", &all[n % 8], "payload", &payload, "x", "1"]);
    };
    // Some stand there before anybody has read, some come while it runs.
    (0..200).for_each(|n| publish(&nodes, &mut sent, n));
    until_drained(&nodes, 200).await;
    (200..400).for_each(|n| publish(&nodes, &mut sent, n));
    until_drained(&nodes, 400).await;
    let arrivals = nodes.receiver.arrivals();
    assert_eq!(nodes.redis.call::<u64>(&["XLEN", ORDERS]), 400, "never trimmed");
    let crc = format!("{:08x}", crc32(ORDERS));
    let first: Vec<(String, Vec<String>)> = nodes.redis.call(&["XRANGE", ORDERS, "-", "+", "COUNT", "1"]);
    let of_first = arrivals.iter().find(|one| one.message_id == "m-0000").unwrap();
    assert_eq!(of_first.webhook_id, format!("msg_s{crc}_{}", first[0].0));

    // Another node reads on when the reader is told to end, and when it dies.
    nodes.add(flags);
    nodes.until_shared(&[0, 1]).await;
    assert_eq!(nodes.nodes[0].terminate().await.code(), Some(0));
    publish(&nodes, &mut sent, 400);
    until_drained(&nodes, 401).await;
    nodes.nodes[0].launch().await;
    nodes.until_shared(&[0, 1]).await;
    nodes.nodes[1].kill();
    publish(&nodes, &mut sent, 401);
    until_drained(&nodes, 402).await;
    let tally = Tally::of(&sent, &nodes.receiver.arrivals());
    tally.tell("a foreign stream is drained, its reader ends and dies");
    // Nothing was under way when a node died.
    assert_eq!((tally.lost, tally.repeated), (Vec::new(), BTreeSet::new()), "lost, and attempted twice");
    let consumers: Vec<redis::Value> = nodes.redis.call(&["XINFO", "CONSUMERS", ORDERS, "outbound"]);
    assert_eq!(consumers.len(), 1, "one consumer name, whoever reads");
}

fn crc32(text: &str) -> u32 {
    // The bytes of the name, as in zlib.
    let mut crc = !0_u32;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (0_u32.wrapping_sub(crc & 1)));
        }
    }
    !crc
}

#[tokio::test]
async fn a_group_that_is_gone_is_made_again_where_the_hand_over_ended_and_said_once() {
    let nodes = Nodes::start_with(&[&["--source", ORDERS]]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let publish = |id: &str| add(&nodes, &["workspace", "w0", "message", &message("+1", id)]);
    (0..20).for_each(|n| drop(publish(&format!("a-{n:02}"))));
    until_drained(&nodes, 20).await;
    for round in 0..3 {
        let () = nodes.redis.call(&["XGROUP", "DESTROY", ORDERS, "outbound"]);
        publish(&format!("b-{round}"));
        until_drained(&nodes, 21 + round).await;
    }
    // The stream itself is made anew.
    let () = nodes.redis.call(&["DEL", ORDERS]);
    publish("c-0");
    until_drained(&nodes, 24).await;
    let arrivals = nodes.receiver.arrivals();
    assert_eq!((arrivals.len(), repeated(&arrivals)), (24, BTreeSet::new()));
    assert_eq!(nodes.nodes[0].log().matches("The consumer group of a source was gone").count(), 1);
}

/// Two hand-overs of one stream would each pass over what the other one has: half of a burst.
#[tokio::test]
async fn a_stream_that_is_named_twice_is_read_once() {
    const MESSAGES: usize = 400;
    let nodes = Nodes::start_with(&[&["--source", "orders, orders,returns", "--source", ORDERS]]).await;
    nodes.until_shared(&[0]).await;
    let all = workspaces(16);
    nodes.save(&all).await;
    let mut burst = redis::pipe();
    for n in 0..MESSAGES {
        let text = message("+1", &format!("m-{n}"));
        burst.cmd("XADD").arg(ORDERS).arg("*").arg("workspace").arg(&all[n % 16]).arg("message").arg(text);
    }
    burst.cmd("XADD").arg("returns").arg("*").arg("workspace").arg("w0").arg("message").arg(message("+1", "back"));
    let mut connection = redis::Client::open(nodes.redis.own_url()).unwrap().get_connection().unwrap();
    burst.query::<()>(&mut connection).unwrap();
    until_drained(&nodes, MESSAGES + 1).await;
    assert_eq!(nodes.receiver.arrivals().len(), MESSAGES + 1);
}

/// Reads as somebody does who tries the group out, or whose program reads with it: as another consumer.
fn take(nodes: &Nodes, consumer: &str, count: &str) -> Vec<String> {
    type Entries = Vec<(String, Vec<String>)>;
    let words = ["XREADGROUP", "GROUP", "outbound", consumer, "COUNT", count, "STREAMS", ORDERS, ">"];
    let taken: Vec<(String, Entries)> = nodes.redis.call(&words);
    taken.into_iter().flat_map(|(_, entries)| entries).map(|(id, _)| id).collect()
}

/// What readyz says at 200.
async fn reasons(nodes: &Nodes) -> Vec<String> {
    let (status, body) = nodes.ready(0).await;
    assert_eq!(status, 200);
    body["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_other_consumers_of_the_group_were_given_is_delivered_in_order_or_named() {
    let mut nodes = Nodes::start_with(&[&["--source", ORDERS]]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let publish = |nodes: &Nodes, id: &str| add(nodes, &["workspace", "w0", "message", &message("+1", id)]);
    publish(&nodes, "a-0");
    until_drained(&nodes, 1).await;
    // While no service runs: more than is taken over at a time, by two consumers, one of which had one deleted.
    nodes.nodes[0].terminate().await;
    (0..600).for_each(|n| drop(publish(&nodes, &format!("b-{n:03}"))));
    assert_eq!(take(&nodes, "someone", "550").len(), 550);
    let gone = take(&nodes, "someone else", "2").pop().unwrap();
    let () = nodes.redis.call(&["XDEL", ORDERS, &gone]);
    nodes.nodes[0].launch().await;
    until_drained(&nodes, 600).await;
    let expected = (0..600).filter(|n| *n != 551).map(|n| format!("b-{n:03}"));
    assert_eq!(nodes.receiver.ids("w0"), std::iter::once("a-0".to_owned()).chain(expected).collect::<Vec<_>>());

    // While it runs, and nothing comes after it: as somebody does who holds the stream's only new entry.
    let put_and_take = |pipe: &mut redis::Pipeline, id: &str| {
        let text = message("+1", id);
        pipe.cmd("XADD").arg(ORDERS).arg("*").arg("workspace").arg("w0").arg("message").arg(text).ignore();
        pipe.cmd("XREADGROUP").arg("GROUP").arg("outbound").arg("someone").arg("STREAMS").arg(ORDERS).arg(">").ignore();
    };
    let mut connection = redis::Client::open(nodes.redis.own_url()).unwrap().get_connection().unwrap();
    let mut alone = redis::pipe();
    put_and_take(&mut alone, "c-0");
    alone.atomic().query::<()>(&mut connection).unwrap();
    until_drained(&nodes, 601).await;
    assert_eq!(reasons(&nodes).await, Vec::<String>::new());

    // The same, and something comes after it: what is pending cannot be told from what its shard had.
    let mut late = redis::pipe();
    put_and_take(&mut late, "d-0");
    let text = message("+1", "d-1");
    late.cmd("XADD").arg(ORDERS).arg("*").arg("workspace").arg("w0").arg("message").arg(text).ignore();
    late.atomic().query::<()>(&mut connection).unwrap();
    nodes.receiver.until("what came after it came", |arrivals| arrivals.len() == 602).await;
    until("it is named", async || !reasons(&nodes).await.is_empty()).await;
    let sentence = "source orders: entries that other consumers of its group `outbound` were given (1, pending for \
                    \"someone\") are not delivered, since later ones were";
    assert!(reasons(&nodes).await[0].starts_with(sentence), "{:?}", reasons(&nodes).await);
    // It is appended again, as it is told.
    let held: Vec<(String, String, u64, u64)> =
        nodes.redis.call(&["XPENDING", ORDERS, "outbound", "-", "+", "10", "someone"]);
    publish(&nodes, "d-0");
    let () = nodes.redis.call(&["XACK", ORDERS, "outbound", &held[0].0]);
    until_drained(&nodes, 603).await;
    until("nothing is named any more", async || reasons(&nodes).await.is_empty()).await;
    let arrivals = nodes.receiver.arrivals();
    assert_eq!((arrivals.len(), repeated(&arrivals)), (603, BTreeSet::new()));
    assert_eq!(nodes.nodes[0].log().matches("source orders: entries that other").count(), 1, "once");
}

/// Somebody else puts large things there: more than Redis or this service could hold at a time.
#[tokio::test]
async fn entries_of_any_size_in_a_foreign_stream_are_set_aside_in_little_memory() {
    const LARGE: usize = 16;
    const MIB: usize = 1024 * 1024;
    let flags: &[&str] = &["--source", ORDERS, "--source-fields", "workspace=ws,message=payload"];
    let mut nodes = Nodes::start_with(&[flags]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let idle = nodes.nodes[0].resident();
    nodes.nodes[0].terminate().await;
    let large = "x".repeat(8 * MIB);
    let mut connection = redis::Client::open(nodes.redis.own_url()).unwrap().get_connection().unwrap();
    let mut put = |id: &str, more: &[(&str, &str)]| {
        let text = message("+1", id);
        let fields = [&[("ws", "w0"), ("payload", text.as_str())], more].concat();
        let _: String = redis::Commands::xadd(&mut connection, ORDERS, "*", &fields).unwrap();
    };
    (0..LARGE).for_each(|n| put(&format!("large-{n}"), &[("blob", &large)]));
    put("small", &[("x", "1")]);
    nodes.nodes[0].launch().await;
    until_drained(&nodes, 1).await;
    let grown = nodes.nodes[0].peak().saturating_sub(idle);
    assert!(grown < 64 * MIB as u64, "{} MiB more", grown / MIB as u64);
    assert_eq!(nodes.receiver.ids("w0"), ["small"]);
    let rejected = nodes.nodes[0].api().get("/v1/rejected").await.ok();
    let rejected = rejected["rejected"].as_array().unwrap();
    let told = |one: &&serde_json::Value| one["reason"].as_str().unwrap().contains("at most 524288 are taken");
    assert_eq!((rejected.len(), rejected.iter().filter(told).count()), (LARGE, LARGE));
}

#[tokio::test]
async fn a_source_that_cannot_be_one_is_told_at_the_start() {
    let nodes = Nodes::start(1).await;
    let () = nodes.redis.call(&["RPUSH", "list", "x"]);
    for (flags, sentence) in [
        (&["--source", "list"][..], "--source list is a list and no stream"),
        (&["--source", "outbound:messages"], "--source outbound:messages is one of the service's own keys"),
        (&["--source", "outbound:{3}:messages"], "is one of the service's own keys"),
        (&["--source", ""], "--source"),
        (&["--source-fields", "workspace=ws"], "--source-fields needs --source"),
        (&["--source", "orders", "--source-message", "data"], "is no JSON pointer"),
        (&["--source", "orders", "--source-fields", "tenant=x"], "names no fields"),
    ] {
        let ended = Service::new(&nodes.redis.url(), flags).refused();
        assert!(ended.stderr.contains(sentence), "{flags:?}: {}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    let ended = Service::new("embedded", &["--source", "orders"]).refused();
    assert!(ended.stderr.contains("--source is for a Redis journal"), "{}", ended.stderr);
}

/// Somebody puts a key of another type in the place of a stream, and takes it away again.
#[tokio::test]
async fn a_source_that_is_no_stream_any_more_is_told_once_and_read_on_when_it_is_one_again() {
    let nodes = Nodes::start_with(&[&["--source", ORDERS]]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let log = || nodes.nodes[0].log();
    for (n, (stream, named)) in [(ORDERS, ORDERS), ("outbound:messages", "the common input")].into_iter().enumerate() {
        let publish = |id: &str| {
            let text = message("+1", id);
            nodes.redis.call::<String>(&["XADD", stream, "*", "workspace", "w0", "message", &text])
        };
        publish(&format!("{n}-before"));
        nodes.receiver.until("the first came", |arrivals| arrivals.len() == 2 * n + 1).await;
        let () = nodes.redis.call(&["SET", stream, "x"]);
        let told = || {
            let log = log();
            let lines =
                log.lines().filter(|line| line.contains("The source cannot be handed over; it is tried again."));
            lines.filter(|line| line.contains(named) && line.contains("WRONGTYPE")).count()
        };
        until("it is told", async || told() > 0).await;
        let waits = format!("{named} cannot be handed over, and waits: ");
        until("readyz names it", async || reasons(&nodes).await.iter().any(|one| one.contains(&waits))).await;
        let () = nodes.redis.call(&["DEL", stream]);
        publish(&format!("{n}-after"));
        nodes.receiver.until("the second came", |arrivals| arrivals.len() == 2 * n + 2).await;
        assert_eq!(told(), 1, "{}", log());
        until("readyz names it no more", async || reasons(&nodes).await.is_empty()).await;
    }
    assert_eq!(nodes.receiver.ids("w0"), ["0-before", "0-after", "1-before", "1-after"]);
}

#[tokio::test]
async fn one_node_reads_the_common_input_and_another_goes_on_when_it_ends() {
    let mut nodes = Nodes::start(2).await;
    nodes.save(&workspaces(1)).await;
    let publish = |id: &str| {
        let text = message("+1", id);
        nodes.redis.call::<String>(&["XADD", "outbound:messages", "*", "workspace", "w0", "message", &text])
    };
    publish("first");
    nodes.receiver.until("the first came", |arrivals| arrivals.len() == 1).await;
    let key = "outbound:source:{outbound:messages}";
    let reader: String = nodes.redis.call(&["HGET", key, "node"]);
    let (reading, other) = if reader == nodes.id(0) { (0, 1) } else { (1, 0) };
    assert_eq!(reader, nodes.id(reading));
    nodes.nodes[reading].terminate().await;
    publish("second");
    nodes.receiver.until("the second came", |arrivals| arrivals.len() == 2).await;
    assert_eq!(nodes.redis.call::<String>(&["HGET", key, "node"]), nodes.id(other));
    nodes.until_listed(other, 1).await;
}
