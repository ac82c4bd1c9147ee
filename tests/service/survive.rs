//! What is durable is there again, whoever was killed; and what waited is delivered.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{Bench, Kind, Parcel, parcel, shard};
use support::endpoint::first_appearances;
use support::process::until;
use support::smtp::{Fault, SmtpServer};

#[tokio::test]
async fn state_log_mail_and_messages_survive_a_kill_on_the_embedded_journal() {
    everything_survives(Kind::Embedded).await;
}

#[tokio::test]
async fn state_log_mail_and_messages_survive_a_kill_of_the_service_and_of_redis() {
    everything_survives(Kind::Redis).await;
}

async fn everything_survives(kind: Kind) {
    // It never answers, so the mail stays owed.
    let smtp = SmtpServer::start(vec![Fault::Stall("CONNECT"); 16]).await;
    let smtp_url = format!("smtp://{}", smtp.address);
    // No attempt ends by a timeout while answers are held back.
    let flags = ["--timeout", "60s", "--smtp-url", &smtp_url, "--mail-from", "outbound@example.com"];
    let mut bench = Bench::start(kind, &flags).await;
    fill(&bench).await;
    let waiting = hold_messages_back(&bench).await;
    let before = everything(&bench).await;

    bench.service.kill();
    bench.crash_store();
    assert_eq!(bench.owed().await, waiting);
    bench.service.launch().await;
    assert_eq!(everything(&bench).await, before);

    bench.receiver.release();
    bench.api().until("initech", "all is logged", |webhook| webhook["last_attempt"]["id"] == "21").await;
    let ids = bench.receiver.ids("initech");
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), waiting);
    // Five chats, so five were in flight at the kill.
    assert_eq!(ids.len(), 20 + 5);
}

/// A workspace with errors, and one that was switched off by them and owes a mail.
async fn fill(bench: &Bench) {
    bench.save("acme", json!({"owner_email": "jane@example.com"})).await;
    bench.publish_ids("acme", "+1", &["a0", "a1", "a2", "a3-bad", "a4-bad"]).await;
    bench.api().until("acme", "two errors count", |webhook| webhook["consecutive_errors"] == 2).await;

    bench.receiver.treat("globex", |manner| manner.status = 503);
    bench.save("globex", json!({"owner_email": "john@example.com"})).await;
    let ids: Vec<String> = (0..16).map(|n| format!("g{n}")).collect();
    bench.publish_ids("globex", "+1", &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.api().until("globex", "the rest is skipped", |webhook| webhook["skipped"]["count"] == 5).await;
}

/// Publishes 20 messages in 5 chats to a receiver that does not answer.
async fn hold_messages_back(bench: &Bench) -> BTreeSet<String> {
    bench.save("initech", json!({})).await;
    bench.receiver.hold();
    let parcels: Vec<Parcel> =
        (0..20).map(|n| parcel("initech", &format!("+{}", n % 5), &format!("i{n:02}"))).collect();
    let published = bench.publish(&parcels).await;
    let of_initech =
        |arrivals: &[support::endpoint::Arrival]| arrivals.iter().filter(|one| one.workspace == "initech").count();
    bench.receiver.until("one of each chat is in flight", |arrivals| of_initech(arrivals) == 5).await;
    published.acknowledged
}

/// All that the facade shows.
async fn everything(bench: &Bench) -> Vec<Value> {
    let mut shown = Vec::new();
    for workspace in ["acme", "globex", "initech"] {
        for resource in ["webhook", "webhook/secret", "attempts", "attempts/log"] {
            let mut read = bench.api().read(workspace, resource).await.ok();
            // What waits is told by and by, and not stored.
            read.as_object_mut().and_then(|members| members.remove("waiting"));
            shown.push(read);
        }
    }
    assert_eq!(shown[0]["consecutive_errors"], 2);
    assert_eq!((&shown[4]["status"], &shown[4]["mail"]["state"]), (&json!("disabled_by_errors"), &json!("owed")));
    shown
}

#[tokio::test]
async fn a_test_that_a_kill_interrupted_is_logged_and_frees_the_next_on_the_embedded_journal() {
    an_interrupted_test_frees_the_next(Kind::Embedded).await;
}

#[tokio::test]
async fn a_test_that_a_kill_interrupted_is_logged_and_frees_the_next_on_redis() {
    an_interrupted_test_frees_the_next(Kind::Redis).await;
}

async fn an_interrupted_test_frees_the_next(kind: Kind) {
    // It does not end by a timeout before the kill.
    let mut bench = Bench::start(kind, &["--timeout", "60s"]).await;
    bench.save("acme", json!({})).await;
    bench.publish_ids("acme", "+1", &["a0"]).await;
    bench.api().until("acme", "it is logged", |webhook| webhook["last_attempt"]["id"] == "2").await;
    bench.receiver.hold();
    let api = bench.api();
    let asked = tokio::spawn(async move {
        api.call(reqwest::Method::POST, "/v1/workspaces/acme/webhook/test", None).await.is_err()
    });
    bench.receiver.until("the test is in flight", |arrivals| arrivals.len() == 2).await;
    bench.service.kill();
    assert!(asked.await.unwrap(), "the caller of the killed service gets no answer");
    bench.receiver.release();
    bench.service.launch().await;

    // One test a second, and the interrupted one counts.
    let mut reply = bench.api().test("acme", None).await;
    while reply.problem() == (429, "test-too-soon") {
        tokio::time::sleep(Duration::from_millis(50)).await;
        reply = bench.api().test("acme", None).await;
    }
    assert_eq!(reply.ok()["attempt"]["outcome"], "delivered");
    let log = bench.api().log("acme").await;
    let kinds: Vec<_> = log.iter().map(|entry| (&entry["trigger"], &entry["error"]["kind"])).collect();
    let (test, message) = (json!("test"), json!("message"));
    assert_eq!(kinds, [(&test, &Value::Null), (&test, &json!("interrupted")), (&message, &Value::Null)]);
    assert_eq!(bench.receiver.count(), 3, "the interrupted test is not sent again");
}

/// Workspaces of the backlog; the last two are published to the common input.
const BACKLOG: [&str; 4] = ["north", "east", "south", "west"];

#[tokio::test]
async fn a_backlog_from_before_the_start_is_delivered_in_order() {
    let mut bench = Bench::start(Kind::Redis, &[]).await;
    for workspace in BACKLOG {
        bench.save(workspace, json!({})).await;
    }
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    let parcels = |workspaces: &[&str]| -> Vec<Parcel> {
        let all = (0..4_000).map(|n| (workspaces[n % workspaces.len()], n));
        all.map(|(workspace, n)| parcel(workspace, &format!("+{}", n / 7 % 9), &format!("{workspace}-{n:04}")))
            .collect()
    };
    let (direct, common) = BACKLOG.split_at(2);
    bench.publish(&parcels(direct)).await;
    bench.publish_to_source(&parcels(common));
    assert_eq!(bench.redis().call::<usize>(&["XLEN", "outbound:messages"]), 4_000);

    bench.service.launch().await;
    for workspace in BACKLOG {
        bench.api().until(workspace, "all is logged", |webhook| webhook["last_attempt"]["id"] == "2001").await;
    }
    let arrivals = bench.receiver.arrivals();
    assert_eq!(arrivals.len(), 8_000, "every message once");
    assert!(arrivals.iter().all(|one| one.verified == Some(true)));
    for ((workspace, chat), ids) in first_appearances(&arrivals) {
        assert!(ids.is_sorted(), "{workspace} {chat}: {ids:?}");
    }
    until("the source is empty", async || bench.redis().call::<usize>(&["XLEN", "outbound:messages"]) == 0).await;
    let sources = format!("outbound:{{{}}}:sources", shard("west"));
    let handed_over: String = bench.redis().call(&["HGET", &sources, "outbound:messages"]);
    assert!(handed_over.contains('-'), "{handed_over}");
    bench.service.terminate().await;
    assert_eq!(bench.owed().await, BTreeSet::new());
}
