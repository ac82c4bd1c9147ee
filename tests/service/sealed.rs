//! What is confidential, where it rests: with keys, without, and while they change.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind};

/// 32 times `1`, and 32 times `2`.
const K1: &str = "k1:MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";
const K2: &str = "k2:MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=";
/// The value of a custom header.
const VALUE: &str = "Bearer key-of-the-endpoint";

#[tokio::test]
async fn nothing_confidential_rests_in_the_embedded_file() {
    nothing_confidential_rests(Kind::Embedded).await;
}

#[tokio::test]
async fn nothing_confidential_rests_in_redis() {
    nothing_confidential_rests(Kind::Redis).await;
}

async fn nothing_confidential_rests(kind: Kind) {
    let mut bench = start(kind, Some(K1)).await;
    let mut confidential = vec![VALUE.to_owned()];
    let headers = json!({"Authorization": VALUE});
    let saved = bench.save("acme", json!({"owner_email": "owner@example.com", "headers": headers})).await;
    assert_eq!(saved["headers"], json!({"authorization": "***"}));
    confidential.push(secret(&bench).await);
    bench.publish_ids("acme", "+1", &["m-1"]).await;
    bench.api().until("acme", "a delivery", |webhook| webhook["last_attempt"]["outcome"] == "delivered").await;
    let rotate = bench.api().call(Method::POST, "/v1/workspaces/acme/webhook/secret/rotate", None).await.unwrap().ok();
    assert!(rotate["previous"]["valid_until"].is_string(), "{rotate}");
    confidential.push(rotate["secret"].as_str().unwrap().to_owned());
    let again = json!({"url": bench.receiver.url("acme"), "headers": {"authorization": "***", "x-tenant": VALUE}});
    assert_eq!(bench.api().test("acme", Some(&again)).await.ok()["attempt"]["outcome"], "delivered");
    both_were_sent_and_neither_is_shown(&bench).await;
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    assert!(found(&bench, "m-1"), "the files that are searched are those of the journal");
    for text in &confidential {
        assert!(!found(&bench, text), "{text} rests in plain text");
    }
    bench.service.launch().await;
    assert_eq!(secret(&bench).await, confidential[2], "it is the same after a restart");
}

async fn both_were_sent_and_neither_is_shown(bench: &Bench) {
    let arrivals = bench.receiver.arrivals();
    let sent: Vec<_> = arrivals.iter().map(|one| (one.header("authorization"), one.header("x-tenant"))).collect();
    assert_eq!(sent, [(Some(VALUE), None), (Some(VALUE), Some(VALUE))]);
    assert!(arrivals.iter().all(|one| one.verified == Some(true)), "the secret before the rotation still verifies");
    for resource in ["webhook", "attempts/log", "history"] {
        let shown = bench.api().read("acme", resource).await.ok();
        assert!(!shown.to_string().contains("key-of-the-endpoint"), "{shown:#}");
        assert!(shown.to_string().contains("authorization"), "{shown:#}");
    }
    assert!(!bench.service.log().contains("key-of-the-endpoint"));
}

#[tokio::test]
async fn without_its_key_a_workspace_is_unavailable_and_nothing_is_lost() {
    let mut bench = start(Kind::Embedded, Some(K1)).await;
    bench.save("acme", json!({"headers": {"x-api-key": VALUE}})).await;
    let known = secret(&bench).await;
    for keys in [None, Some(K2)] {
        restart(&mut bench, keys).await;
        for resource in ["webhook", "webhook/secret", "attempts/log"] {
            let reply = bench.api().read("acme", resource).await;
            assert_eq!(reply.problem(), (503, "workspace-unavailable"), "{resource}");
        }
        bench.publish_ids("acme", "+1", &["m-1"]).await;
        let save = json!({"url": bench.receiver.url("acme")});
        assert_eq!(bench.api().save("acme", &save).await.problem(), (503, "workspace-unavailable"));
        assert!(bench.service.log().contains("sealed with the key `k1`, which this node does not have"));
        bench.save("other", json!({})).await;
    }
    restart(&mut bench, Some(&format!("{K2} {K1}"))).await;
    assert_eq!(secret(&bench).await, known);
    bench.receiver.until("what came meanwhile is sent", |arrivals| arrivals.len() == 2).await;
    assert!(bench.receiver.arrivals().iter().all(|one| one.header("x-api-key") == Some(VALUE)));
}

#[tokio::test]
async fn a_key_is_needed_no_more_once_its_workspaces_have_sent_with_a_new_one() {
    let mut bench = start(Kind::Redis, None).await;
    bench.save("acme", json!({"headers": {"x-api-key": VALUE}})).await;
    let known = secret(&bench).await;
    assert!(bench.service.log().contains("are stored in plain text: set OUTBOUND_SECRET_KEY"));
    for (n, keys) in [K1, &format!("{K2} {K1}"), K2].into_iter().enumerate() {
        restart(&mut bench, Some(keys)).await;
        assert_eq!(secret(&bench).await, known);
        bench.publish_ids("acme", "+1", &[&format!("m-{n}")]).await;
        bench.receiver.until("it is sent", |arrivals| arrivals.len() == n + 1).await;
        bench.api().until("acme", "it is logged", |webhook| logged(webhook, n)).await;
    }
    let changes = bench.api().read("acme", "history").await.ok();
    assert_eq!(changes["history"][0]["changed_headers"], json!(["x-api-key"]), "the history needs no key");
}

fn logged(webhook: &Value, n: usize) -> bool {
    webhook["last_attempt"]["message_id"] == format!("m-{n}")
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_refused_at_the_start_and_not_shown() {
    let mut bench = Bench::new(Kind::Embedded, &[]);
    bench.service.secret_key = Some("k1:MTExMTEx".to_owned());
    let ended = bench.service.refused();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("OUTBOUND_SECRET_KEY cannot be used: the key `k1` must be the Base64 of 32 bytes"));
    assert!(!ended.stderr.contains("MTExMTEx"), "{ended:?}");
}

async fn start(kind: Kind, keys: Option<&str>) -> Bench {
    let mut bench = Bench::new(kind, &[]);
    bench.service.secret_key = keys.map(str::to_owned);
    bench.service.launch().await;
    bench
}

async fn restart(bench: &mut Bench, keys: Option<&str>) {
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    bench.service.secret_key = keys.map(str::to_owned);
    bench.service.launch().await;
}

async fn secret(bench: &Bench) -> String {
    let secret = bench.api().read("acme", "webhook/secret").await.ok();
    secret["secret"].as_str().unwrap().to_owned()
}

/// Whether any file of the journal or the data directory holds the text.
fn found(bench: &Bench, text: &str) -> bool {
    let store = bench.store_folder();
    in_folder(&bench.service.data_dir(), text) || store.is_some_and(|folder| in_folder(folder, text))
}

fn in_folder(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return in_folder(&path, text);
        }
        fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes())
    })
}
