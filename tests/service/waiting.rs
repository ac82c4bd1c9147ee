//! What waits for its turn is told, as far as it was read.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Output, Stdio};

use outbound::message::EntryId;
use outbound::workspace::Time;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, Parcel, parcel, shard};
use support::process::outbound;
use support::service::TOKEN;

#[tokio::test]
async fn what_waits_is_told_with_the_oldest_of_it() {
    let bench = Bench::start(Kind::Redis, &["--timeout", "60s"]).await;
    bench.save("acme", json!({})).await;
    assert_eq!(bench.api().webhook("acme").await["waiting"], Value::Null);
    bench.receiver.hold();
    // Of one chat, and more than a workspace may hold in memory.
    let parcels: Vec<Parcel> = (0..700).map(|n| parcel("acme", "+1", &format!("m-{n}"))).collect();
    bench.publish(&parcels).await;
    bench.receiver.until("the first is under way", |arrivals| arrivals.len() == 1).await;
    let enough = |webhook: &Value| {
        let waiting = &webhook["waiting"];
        waiting["at_least"] == true && waiting["count"].as_u64().is_some_and(|count| count >= 100)
    };
    let webhook = bench.api().until("acme", "what may be read is read", enough).await;
    let waiting = &webhook["waiting"];
    assert!(waiting["count"].as_u64().unwrap() < 700, "{waiting}");
    // The first is under way; the second is the oldest that waits.
    let stream = format!("outbound:{{{}}}:messages", shard("acme"));
    let entries: Vec<(String, BTreeMap<String, String>)> =
        bench.redis().call(&["XRANGE", &stream, "-", "+", "COUNT", "2"]);
    let oldest = waiting["oldest_at"].as_str().unwrap().parse::<Time>().unwrap();
    assert_eq!(u64::try_from(oldest.unix_ms()).unwrap(), entries[1].0.parse::<EntryId>().unwrap().ms);
    // Another workspace waits for nothing, and a save tells the same.
    assert_eq!(bench.api().webhook("other").await["waiting"], Value::Null);
    bench.receiver.release();
    bench.api().until("acme", "nothing waits", |webhook| webhook["waiting"].is_null()).await;
    bench.receiver.until("all came", |arrivals| arrivals.len() == 700).await;
}

#[tokio::test]
async fn what_waits_is_discarded_when_that_is_said_twice_on_the_embedded_journal() {
    what_waits_is_discarded(Kind::Embedded).await;
}

#[tokio::test]
async fn what_waits_is_discarded_when_that_is_said_twice_on_redis() {
    what_waits_is_discarded(Kind::Redis).await;
}

/// `outbound discard acme`, answered so.
async fn discard(bench: &Bench, more: &[&str], answers: &'static str) -> Output {
    let server = format!("http://{}", bench.api().address());
    let mut command = outbound(&[&["discard", "acme", "--server", &server], more].concat());
    command.env("OUTBOUND_ADMIN_TOKEN", TOKEN).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answers.as_bytes()).ok();
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn what_waits_is_discarded(kind: Kind) {
    // Answers are held back while 600 messages are published one after the other.
    let mut bench = Bench::start(kind, &["--timeout", "300s"]).await;
    bench.save("acme", json!({})).await;
    bench.save("other", json!({})).await;
    bench.receiver.hold();
    // Of one chat, and more than a workspace may hold in memory; a neighbour's wait, too.
    let ids: Vec<String> = (0..600).map(|n| format!("m-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    bench.publish_ids("acme", "+1", &ids).await;
    bench.publish_ids("other", "+2", &["o-1", "o-2"]).await;
    bench.receiver.until("the first of each is under way", |arrivals| arrivals.len() == 2).await;
    bench.api().until("acme", "the rest is read", |webhook| webhook["waiting"]["at_least"] == true).await;

    for (answers, said) in [("", "nothing was discarded"), ("no\n", "nothing"), ("yes\nother\n", "nothing")] {
        let refused = discard(&bench, &[], answers).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(said), "{refused:?}");
        let asked = String::from_utf8_lossy(&refused.stdout);
        assert!(asked.contains("acme: at least ") && asked.ends_with(" \n"), "{asked:?}");
    }
    let jane = bench.api().with_token_of("acme", "jane").await;
    let path = "/v1/workspaces/acme/waiting";
    assert_eq!(jane.call(reqwest::Method::DELETE, path, None).await.unwrap().problem(), (403, "admin-only"));
    let done = discard(&bench, &[], "yes\nacme\n").await;
    assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains("is discarded"), "{done:?}");

    // What is under way ends, nothing else is sent, not after a crash either; what comes afterwards is.
    bench.service.kill();
    bench.receiver.release();
    bench.service.launch().await;
    bench.publish_ids("acme", "+1", &["m-after"]).await;
    let after = |webhook: &Value| webhook["last_attempt"]["message_id"] == "m-after";
    let webhook = bench.api().until("acme", "all is settled", after).await;
    let skipped = webhook["skipped"]["count"].as_u64().unwrap();
    assert!((599..=600).contains(&skipped), "{skipped}");
    assert_eq!(webhook["consecutive_errors"], 0);
    let came = bench.receiver.ids("acme");
    assert!(came.iter().all(|id| id == "m-0" || id == "m-after"), "{came:?}");
    bench.receiver.until("the neighbour's came", |arrivals| arrivals.iter().any(|one| one.message_id == "o-2")).await;
    // The same again discards nothing more.
    assert!(discard(&bench, &["--yes"], "").await.status.success());
    assert_eq!(bench.api().webhook("acme").await["skipped"]["count"], skipped);
}
