//! What is confidential, where it rests: with keys, without, and while they change.

use std::fs;
use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind};
use support::process::{outbound, printed, until};

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
async fn a_start_without_a_key_that_seals_something_is_refused_on_the_embedded_journal() {
    a_forgotten_key_is_told(Kind::Embedded).await;
}

#[tokio::test]
async fn a_start_without_a_key_that_seals_something_is_refused_on_redis() {
    a_forgotten_key_is_told(Kind::Redis).await;
}

async fn a_forgotten_key_is_told(kind: Kind) {
    let mut bench = start(kind, Some(K1)).await;
    bench.save("acme", json!({"headers": {"x-api-key": VALUE}})).await;
    let known = secret(&bench).await;
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    for keys in [None, Some(K2)] {
        bench.service.secret_key = keys.map(str::to_owned);
        let ended = bench.service.refused();
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let sentence = "1 workspace(s) are encrypted with the key `k1`, which this node does not have: add it";
        assert!(ended.stderr.contains(sentence) && ended.stderr.contains("--without-keys k1"), "{ended:?}");
    }
    bench.service.secret_key = Some(format!("{K2},{K1}"));
    bench.service.launch().await;
    assert_eq!(secret(&bench).await, known, "nothing was changed meanwhile");
}

#[tokio::test]
async fn a_start_with_another_key_of_the_same_id_is_refused_on_the_embedded_journal() {
    another_key_of_an_id_is_refused(Kind::Embedded).await;
}

#[tokio::test]
async fn a_start_with_another_key_of_the_same_id_is_refused_on_redis() {
    another_key_of_an_id_is_refused(Kind::Redis).await;
}

/// Else a journal is sealed with two keys of one id, which nobody can tell apart.
async fn another_key_of_an_id_is_refused(kind: Kind) {
    let other = K2.replacen("k2", "k1", 1);
    let mut bench = start(kind, Some(K1)).await;
    bench.save("acme", json!({"headers": {"x-api-key": VALUE}})).await;
    let known = secret(&bench).await;
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    let sentence = "the id `k1` belongs to another key in this journal, which 1 workspace(s) are encrypted with";
    let refused_with = |bench: &mut Bench, keys: &str| {
        bench.service.secret_key = Some(keys.to_owned());
        let ended = bench.service.refused();
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(sentence) && ended.stderr.contains("--without-keys k1"), "{ended:?}");
    };
    refused_with(&mut bench, &other);
    refused_with(&mut bench, &format!("{K2},{other}"));
    // Where a version noted the key that noted no prints, what is sealed tells.
    if kind == Kind::Redis {
        let () = bench.redis().call(&["HSET", "outbound:meta", "sealing-key/k1", "1"]);
        refused_with(&mut bench, &other);
    }
    let told = printed(&reseal(&bench, &other, &["--dry-run"]));
    assert!(told.starts_with("1 need the key k1, which is another key than the one given under that id\n"), "{told}");
    let refused = reseal(&bench, &other, &[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains(sentence), "{refused:?}");

    bench.service.secret_key = Some(K1.to_owned());
    bench.service.launch().await;
    assert_eq!(secret(&bench).await, known, "nothing was changed meanwhile");
    // An id whose key seals nothing any more may belong to a new one.
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    printed(&reseal(&bench, &format!("{K2},{K1}"), &[]));
    bench.service.secret_key = Some(format!("{K2},{other}"));
    bench.service.launch().await;
    assert_eq!(secret(&bench).await, known);
}

#[tokio::test]
async fn without_its_key_a_workspace_is_unavailable_and_nothing_is_lost() {
    let mut bench = start(Kind::Embedded, Some(K1)).await;
    bench.save("acme", json!({"headers": {"x-api-key": VALUE}})).await;
    let known = secret(&bench).await;
    bench.service.also(&["--without-keys", "k0,k1"]);
    for keys in [None, Some(K2)] {
        restart(&mut bench, keys).await;
        for resource in ["webhook", "webhook/secret", "attempts/log"] {
            let reply = bench.api().read("acme", resource).await;
            assert_eq!(reply.problem(), (503, "workspace-unavailable"), "{resource}");
        }
        bench.publish_ids("acme", "+1", &["m-1"]).await;
        if keys.is_none() {
            nothing_is_written_in_plain_text(&bench).await;
        } else {
            let save = json!({"url": bench.receiver.url("acme")});
            assert_eq!(bench.api().save("acme", &save).await.problem(), (503, "workspace-unavailable"));
            bench.save("other", json!({})).await;
        }
        let told = "sealed with the key `k1`, which this node does not have";
        until("it is logged", async || bench.service.log().contains(told)).await;
    }
    restart(&mut bench, Some(&format!("{K2} {K1}"))).await;
    assert_eq!(secret(&bench).await, known);
    bench.receiver.until("what came meanwhile is sent", |arrivals| arrivals.len() == 2).await;
    assert!(bench.receiver.arrivals().iter().all(|one| one.header("x-api-key") == Some(VALUE)));
}

/// What would write a secret is refused, for whatever workspace; what needs none works.
async fn nothing_is_written_in_plain_text(bench: &Bench) {
    let plain = "a-value-in-plain-text";
    let save = json!({"url": bench.receiver.url("new"), "headers": {"x-api-key": plain}});
    for workspace in ["acme", "new"] {
        assert_eq!(bench.api().save(workspace, &save).await.problem(), (503, "no-secret-key"));
        assert_eq!(bench.api().test(workspace, Some(&save)).await.problem(), (503, "no-secret-key"));
        let rotate = format!("/v1/workspaces/{workspace}/webhook/secret/rotate");
        let rotated = bench.api().call(Method::POST, &rotate, None).await.unwrap();
        assert_eq!(rotated.problem(), (503, "no-secret-key"));
    }
    assert!(!found(bench, plain));
    let revoked = bench.api().call(Method::DELETE, "/v1/workspaces/new/tokens", None).await.unwrap();
    assert_eq!(revoked.status, 204);
    until("it is logged", async || bench.service.log().contains("no webhook can be saved here")).await;
}

#[tokio::test]
async fn every_workspace_is_sealed_anew_in_the_embedded_file() {
    every_workspace_is_sealed_anew(Kind::Embedded).await;
}

#[tokio::test]
async fn every_workspace_is_sealed_anew_in_redis() {
    every_workspace_is_sealed_anew(Kind::Redis).await;
}

async fn every_workspace_is_sealed_anew(kind: Kind) {
    let mut bench = start(kind, None).await;
    bench.save("plain", json!({"headers": {"x-api-key": VALUE}})).await;
    restart(&mut bench, Some(K1)).await;
    bench.save("acme", json!({"headers": {"x-api-key": VALUE}})).await;
    bench.save("beta", json!({})).await;
    let known = secret(&bench).await;
    let both = format!("{K2},{K1}");
    let running = reseal(&bench, &both, &[]);
    assert_eq!(running.status.code(), Some(1), "{running:?}");
    let error = String::from_utf8_lossy(&running.stderr).into_owned();
    assert!(error.contains("stop every service of this journal first") || error.contains("in use by"), "{error}");
    assert_eq!(bench.service.terminate().await.code(), Some(0));

    assert_eq!(printed(&reseal(&bench, &both, &["--dry-run"])), "2 need the key k1\n1 are in plain text\n");
    let lacking = reseal(&bench, K2, &[]);
    assert_eq!(lacking.status.code(), Some(1), "{lacking:?}");
    let error = String::from_utf8_lossy(&lacking.stderr).into_owned();
    for line in ["acme: workspace acme cannot be opened", "beta: workspace beta", "2 of 3 workspaces could not be"] {
        assert!(error.contains(line), "{error}");
    }
    let told = "2 of 3 workspaces were encrypted anew with k2\nthe key k1 is needed no more\n";
    assert_eq!(printed(&reseal(&bench, &both, &[])), told);
    assert_eq!(printed(&reseal(&bench, K2, &["--dry-run"])), "3 need the key k2\n0 are in plain text\n");
    bench.service.secret_key = Some(K2.to_owned());
    bench.service.launch().await;
    assert_eq!(secret(&bench).await, known, "the old key can go");
    bench.publish_ids("plain", "+1", &["m-1"]).await;
    bench.receiver.until("it is sent", |arrivals| arrivals.len() == 1).await;
    let arrivals = bench.receiver.arrivals();
    assert_eq!((arrivals[0].header("x-api-key"), arrivals[0].verified), (Some(VALUE), Some(true)));
}

/// `outbound reseal` on the bench's journal.
fn reseal(bench: &Bench, keys: &str, more: &[&str]) -> Output {
    let mut command = outbound(&["reseal", "--data-dir"]);
    command.arg(bench.service.data_dir()).args(more).env("OUTBOUND_SECRET_KEY", keys);
    if bench.store_folder().is_some() {
        command.args(["--journal", &bench.redis().url()]);
    }
    command.output().unwrap()
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
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    bench.service.secret_key = None;
    let ended = bench.service.refused();
    assert!(ended.stderr.contains("the key `k2`"), "what was stored before the first key is sealed too: {ended:?}");
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
