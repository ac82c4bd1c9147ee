//! `kill -9` at bad moments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use outbound::journal::port::{COMMIT_EVENTS_MAX, COMMITS_IN_FLIGHT_MAX};
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, Parcel, Published, parcel};
use support::endpoint::{Arrival, first_appearances, is_bad};
use support::process::until;

/// Workspaces that work; half of them are published to the common input where there is one.
const HEALTHY: [&str; 4] = ["north", "east", "south", "west"];
const CHATS: usize = 12;
/// Messages of a chat: 4 × 12 × 104 are the 5,000 (and a few).
const EACH: usize = 104;
/// A workspace that answers nothing but errors, slowly enough to fail over all three kills.
const DEAD: &str = "dead";
const DEAD_MESSAGES: usize = 40;

/// What a kill may repeat at most: what was in flight, one a chat, and what was decided but not durable:
/// two commits' worth of events. The bound that always holds, the permits of all shards, is 13 times that.
const REPEATED_MAX: usize = HEALTHY.len() * CHATS + 1 + COMMITS_IN_FLIGHT_MAX * COMMIT_EVENTS_MAX;

#[tokio::test]
async fn three_kills_amid_5000_messages_lose_none_on_the_embedded_journal() {
    three_kills_lose_nothing(Kind::Embedded).await;
}

#[tokio::test]
async fn three_kills_amid_5000_messages_lose_none_on_redis() {
    three_kills_lose_nothing(Kind::Redis).await;
}

async fn three_kills_lose_nothing(kind: Kind) {
    let mut bench = Bench::start(kind, &[]).await;
    for workspace in HEALTHY {
        bench.save(workspace, json!({})).await;
    }
    bench.receiver.treat(DEAD, |manner| {
        manner.status = 500;
        manner.delay = std::time::Duration::from_millis(150);
    });
    bench.save(DEAD, json!({"owner_email": null})).await;
    let (published, owed_at) = publish_and_kill(&mut bench, kind).await;

    let possible: BTreeSet<String> = published.acknowledged.union(&published.uncertain).cloned().collect();
    bench
        .receiver
        .until("every message of the healthy workspaces came", |arrivals| {
            let came: BTreeSet<&str> = arrivals.iter().map(|one| one.message_id.as_str()).collect();
            published.acknowledged.iter().all(|id| id.starts_with(DEAD) || came.contains(id.as_str()))
        })
        .await;
    // Whatever came may still have to become durable, and what was published without an answer may still come.
    let is_owed_nothing = async || {
        let nodes = bench.api().get("/v1/nodes").await.ok();
        nodes["shards"].as_array().unwrap().iter().all(|shard| shard["owed"] == 0)
    };
    until("nothing is owed", is_owed_nothing).await;
    let arrivals = bench.receiver.arrivals();
    nothing_is_forged(&arrivals, &possible);
    only_what_was_owed_is_repeated(&arrivals, &owed_at);
    chats_are_in_order(&arrivals);

    for workspace in HEALTHY {
        let n = distinct(&arrivals, workspace).len();
        bench.api().until(workspace, "all is logged", |webhook| newest_seq(webhook) == 1 + n).await;
    }
    for workspace in HEALTHY {
        the_log_is_what_the_receiver_saw(&bench, &arrivals, workspace).await;
    }
    the_dead_one_was_switched_off_once(&bench).await;
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    assert_eq!(bench.owed().await, BTreeSet::new());
}

/// Publishes everything and kills the service three times meanwhile. Answers with what was published
/// and what each kill left owed.
async fn publish_and_kill(bench: &mut Bench, kind: Kind) -> (Published, Vec<BTreeSet<String>>) {
    let dead: Vec<Parcel> = (0..DEAD_MESSAGES).map(|n| numbered(DEAD, 0, n)).collect();
    bench.publish(&dead).await;
    let (first, second) = HEALTHY.split_at(2);
    let parcels = |workspaces: &[&str]| -> Vec<Parcel> {
        let all = (0..EACH).flat_map(|n| (0..CHATS).map(move |chat| (chat, n)));
        all.flat_map(|(chat, n)| workspaces.iter().map(move |workspace| numbered(workspace, chat, n))).collect()
    };
    let api = bench.api();
    let publishing = match kind {
        Kind::Embedded => {
            let all = parcels(&HEALTHY);
            tokio::spawn(async move { crate::bench::post_all(&api, &all).await })
        }
        Kind::Redis => {
            let mut published = bench.publish(&parcels(first)).await;
            published.acknowledged.append(&mut bench.publish_to_source(&parcels(second)).acknowledged);
            tokio::spawn(std::future::ready(published))
        }
    };
    let mut owed_at = Vec::new();
    for came in [900, 2_100, 3_400] {
        bench.receiver.until("it is time to kill", |arrivals| arrivals.len() >= came).await;
        bench.service.kill();
        owed_at.push(bench.owed().await);
        bench.service.launch().await;
    }
    (publishing.await.unwrap(), owed_at)
}

fn numbered(workspace: &str, chat: usize, n: usize) -> Parcel {
    // Spread over the chats, so that there are never 11 in a row.
    let bad = if (n * CHATS + chat) % 37 == 5 { "-bad" } else { "" };
    parcel(workspace, &format!("+{chat}"), &format!("{workspace}/{chat}/{n:04}{bad}"))
}

fn distinct<'a>(arrivals: &'a [Arrival], workspace: &str) -> BTreeMap<&'a str, &'a Arrival> {
    arrivals.iter().filter(|one| one.workspace == workspace).map(|one| (one.message_id.as_str(), one)).collect()
}

fn newest_seq(webhook: &Value) -> usize {
    webhook["last_attempt"]["id"].as_str().map_or(0, |id| id.parse().unwrap())
}

/// What came was published, is signed, and has the same name and body every time.
fn nothing_is_forged(arrivals: &[Arrival], possible: &BTreeSet<String>) {
    let mut first: HashMap<&str, &Arrival> = HashMap::new();
    for one in arrivals {
        assert!(possible.contains(&one.message_id) || one.workspace == DEAD, "{} was never published", one.message_id);
        assert_eq!(one.verified, Some(true), "{}", one.message_id);
        let first = first.entry(&one.message_id).or_insert(one);
        assert_eq!((&one.webhook_id, &one.body), (&first.webhook_id, &first.body), "{}", one.message_id);
    }
    let names: BTreeSet<&str> = first.values().map(|one| one.webhook_id.as_str()).collect();
    assert_eq!(names.len(), first.len(), "every message has a webhook-id of its own");
}

/// A message may come once more for every kill that found it unsettled, and there are few of them.
fn only_what_was_owed_is_repeated(arrivals: &[Arrival], owed_at: &[BTreeSet<String>]) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for one in arrivals {
        *times.entry(&one.message_id).or_default() += 1;
    }
    for (id, times) in &times {
        let kills = owed_at.iter().filter(|owed| owed.contains(*id)).count();
        assert!(*times <= 1 + kills, "{id} came {times} times, and {kills} kills found it unsettled");
    }
    let repeated: usize = times.values().map(|times| times - 1).sum();
    assert!(repeated <= owed_at.len() * REPEATED_MAX, "{repeated} requests were repeats");
}

fn chats_are_in_order(arrivals: &[Arrival]) {
    for ((workspace, chat), ids) in first_appearances(arrivals) {
        assert!(ids.is_sorted(), "{workspace} {chat}: {ids:?}");
    }
}

async fn the_log_is_what_the_receiver_saw(bench: &Bench, arrivals: &[Arrival], workspace: &str) {
    let came = distinct(arrivals, workspace);
    let log = bench.api().log(workspace).await;
    assert_eq!(log.len(), 100);
    for (n, entry) in log.iter().enumerate() {
        let text = |member: &str| entry[member].as_str().unwrap();
        // The save is the first event; every message has one attempt; no seq is missing.
        assert_eq!(text("id"), (1 + came.len() - n).to_string());
        let arrival = came[text("message_id")];
        assert_eq!((text("trigger"), text("webhook_id")), ("message", arrival.webhook_id.as_str()));
        assert_eq!(entry["request"]["body"], serde_json::from_slice::<Value>(&arrival.body).unwrap());
        let expected = if is_bad(&arrival.message_id) { ("failed", 500) } else { ("delivered", 200) };
        assert_eq!((text("outcome"), entry["response"]["status"].as_u64().unwrap()), expected);
    }
    let webhook = bench.api().webhook(workspace).await;
    let failed = log.iter().take_while(|entry| entry["outcome"] == "failed").count();
    assert_eq!(webhook["consecutive_errors"], failed);
    assert_eq!(webhook["status"], "enabled");
    let list = bench.api().read(workspace, "attempts").await.ok();
    assert_eq!(webhook["last_attempt"], list["attempts"][0]);
}

/// Exactly 11 attempts are recorded whatever was repeated; all other messages are skipped.
async fn the_dead_one_was_switched_off_once(bench: &Bench) {
    let skipped = DEAD_MESSAGES - 11;
    let webhook =
        bench.api().until(DEAD, "the rest is skipped", |webhook| webhook["skipped"]["count"] == skipped).await;
    assert_eq!((&webhook["status"], &webhook["consecutive_errors"]), (&json!("disabled_by_errors"), &json!(11)));
    assert_eq!(bench.api().log(DEAD).await.len(), 11);
    // How often each came is judged with all others. No message behind the eleventh is ever sent, whatever is repeated.
    let ids: BTreeSet<String> = bench.receiver.ids(DEAD).into_iter().collect();
    let first: BTreeSet<String> = (0..11).map(|n| numbered(DEAD, 0, n).message_id).collect();
    assert_eq!(ids, first);
}
