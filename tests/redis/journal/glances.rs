//! What processes told of what they know: how long it is kept, and how much of it.

use outbound::app::now;
use outbound::config::{GLANCE_KEPT_FOR, GLANCES_KEPT_MAX};
use outbound::journal::Journal as _;
use outbound::workspace::view::NodeGlance;

use crate::journal::kit::journal;
use support::redis_server::RedisServer;

const KEY: &str = "outbound:glances";

fn glance(n: usize) -> NodeGlance {
    NodeGlance { node: format!("node-{n}"), process: format!("process-{n}"), ..NodeGlance::default() }
}

#[tokio::test]
async fn it_is_kept_for_its_hour_whatever_else_stands_there() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let hour = i64::try_from(GLANCE_KEPT_FOR.as_millis()).unwrap();
    let json = |n: usize| serde_json::to_string(&glance(n)).unwrap();
    let told = |ms_ago: i64, text: &str| format!("{} {text}", now().unix_ms() - ms_ago);
    for (process, value) in [
        ("old", told(hour + 1_000, &json(1))),
        ("older than now by less", told(hour - 600_000, &json(2))),
        ("of a newer program", told(5, &json(3).replace('{', "{\"added\":[1],"))),
        ("no JSON", told(5, "{")),
        ("no time", json(4)),
        ("of a clock that was set", told(-3_600_000, &json(5))),
    ] {
        server.call::<u64>(&["HSET", KEY, process, &value]);
    }
    let reading = journal.glances().await.unwrap();
    let mut nodes: Vec<String> = reading.glances.into_iter().map(|told| told.glance.node).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["node-2", "node-3", "node-5"]);
    let mut left: Vec<String> = server.call(&["HKEYS", KEY]);
    left.sort_unstable();
    assert_eq!(left, ["no JSON", "of a clock that was set", "of a newer program", "older than now by less"]);
}

#[tokio::test]
async fn of_many_processes_those_that_told_last_are_kept_and_a_full_store_takes_it() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let began = now().unix_ms();
    for n in 0..GLANCES_KEPT_MAX {
        let told = format!("{} {}", began - 1_000 - n as i64, serde_json::to_string(&glance(n)).unwrap());
        server.call::<u64>(&["HSET", KEY, &format!("process-{n}"), &told]);
    }
    server.call::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    journal.tell_glance(&glance(7)).await.unwrap();
    assert_eq!(journal.glances().await.unwrap().glances.len(), GLANCES_KEPT_MAX, "it takes its own place");
    journal.tell_glance(&glance(10_000)).await.unwrap();
    let glances = journal.glances().await.unwrap().glances;
    assert_eq!(glances.len(), GLANCES_KEPT_MAX);
    let is_there = |n: usize| glances.iter().any(|told| told.glance == glance(n));
    assert!(
        is_there(10_000) && is_there(7) && !is_there(GLANCES_KEPT_MAX - 1),
        "the one that told longest ago is gone"
    );
}
