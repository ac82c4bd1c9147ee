//! What a person asks to be sent: an attempt once more, and a sample where there is no message.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, within_a_second};
use support::service::{Reply, message};

const TEST: &str = "/v1/workspaces/acme/webhook/test";

#[tokio::test]
async fn what_is_asked_for_is_sent_on_the_embedded_journal() {
    what_is_asked_for_is_sent(Kind::Embedded).await;
}

#[tokio::test]
async fn what_is_asked_for_is_sent_on_redis() {
    what_is_asked_for_is_sent(Kind::Redis).await;
}

async fn what_is_asked_for_is_sent(kind: Kind) {
    // No attempt ends by a timeout while answers are held back.
    let bench = Bench::start(kind, &["--error-limit", "3", "--timeout", "60s"]).await;
    a_sample_is_sent_where_there_is_no_message(&bench).await;
    an_attempt_is_sent_once_more(&bench).await;
    what_is_not_in_the_log_is_not_sent(&bench).await;
}

async fn sample(bench: &Bench, body: &str) -> Reply {
    bench.api().call(Method::POST, TEST, Some(body)).await.unwrap()
}

async fn a_sample_is_sent_where_there_is_no_message(bench: &Bench) {
    let (api, url) = (bench.api(), bench.receiver.url("acme"));
    let none = sample(bench, r#"{"sample":true}"#).await.ok();
    assert_eq!((&none["attempt"], &none["reason"]), (&Value::Null, &json!("no_url")));
    for wrong in [
        json!({"sample": false}),
        json!({"sample": "yes"}),
        json!({"sample": null}),
        json!({"sample": true, "url": url}),
        json!({"sample": true, "colour": 1}),
    ] {
        let refused = sample(bench, &wrong.to_string()).await;
        assert_eq!(refused.problem(), (422, "invalid-webhook"), "{wrong}");
        assert_eq!(refused.body["errors"][0]["member"], "sample", "{wrong}");
    }
    assert_eq!(sample(bench, r#"{"sample":true,"sample":true}"#).await.problem(), (422, "invalid-webhook"));
    assert_eq!(api.save("acme", &json!({"url": url, "sample": true})).await.problem(), (422, "invalid-webhook"));

    // Off, so that it is seen that nothing is saved.
    let saved = bench.save("acme", json!({"enabled": false})).await;
    let sent = sample(bench, r#"{"sample":true}"#).await.ok();
    let attempt = &sent["attempt"];
    assert_eq!((&attempt["trigger"], &attempt["outcome"]), (&json!("test"), &json!("delivered")));
    assert!(attempt["message_id"].as_str().unwrap().starts_with("sample-"), "{attempt}");
    assert_eq!(attempt["waited_ms"], 0);
    let webhook = &sent["webhook"];
    assert_eq!((&webhook["updated_at"], &webhook["status"]), (&saved["updated_at"], &json!("disabled")));
    let arrival = bench.receiver.arrivals().pop().unwrap();
    assert!(arrival.webhook_id.starts_with("test_") && arrival.verified == Some(true), "{arrival:?}");
    let body: Value = serde_json::from_slice(&arrival.body).unwrap();
    assert_eq!(body["message"]["message_id"], attempt["message_id"]);
    assert!(body["message"]["contact"]["phone"].as_str().unwrap().starts_with("+447700900"), "{body}");

    // It is no message of the workspace: there is still nothing to test with, and the next sample is another.
    assert_eq!(api.test_soon("acme", None).await.ok()["reason"], "no_message");
    let second = sample(bench, r#"{"sample":true}"#).await.ok();
    assert_ne!(second["attempt"]["message_id"], attempt["message_id"]);
}

async fn an_attempt_is_sent_once_more(bench: &Bench) {
    let (api, url) = (bench.api(), bench.receiver.url("acme"));
    api.save("acme", &json!({"url": url, "headers": {"x-key": "first"}})).await.ok();
    bench.receiver.treat("acme", |manner| manner.status = 503);
    let text = r#"{"direction":"sent", "timestamp":"t","message_id":"m-1","contact":{},"n":1.50,"\u00e9":"x"}"#;
    api.publish("acme", text).await.unwrap().ok();
    let failed = api.until("acme", "it has failed", |webhook| webhook["last_attempt"]["message_id"] == "m-1").await;
    let first = bench.receiver.arrivals().pop().unwrap();
    let refused = api.test_soon("acme", Some(r#"{"sample":true}"#)).await;
    assert_eq!(refused.problem(), (409, "has-messages"));

    // Off by now, with other headers and another URL: what is sent is what was, the rest is as it is today.
    let elsewhere = format!("{url}?v=2");
    api.save("acme", &json!({"url": elsewhere, "enabled": false, "headers": {"x-key": "second"}})).await.ok();
    let id = failed["last_attempt"]["id"].as_str().unwrap();
    let sent = api.again("acme", id).await.ok();
    let attempt = &sent["attempt"];
    assert_eq!(
        (&attempt["trigger"], &attempt["status"], &attempt["waited_ms"]),
        (&json!("again"), &json!(503), &json!(0))
    );
    assert_eq!((&sent["webhook"]["consecutive_errors"], &sent["webhook"]["status"]), (&json!(0), &json!("disabled")));
    let again = bench.receiver.arrivals().pop().unwrap();
    assert_eq!((&again.body, &again.webhook_id, again.verified), (&first.body, &first.webhook_id, Some(true)));
    let logged = &api.log("acme").await[0];
    assert_eq!((&logged["trigger"], &logged["request"]["url"]), (&json!("again"), &json!(elsewhere)));
    assert_eq!(logged["request"]["body"]["message"]["n"], json!(1.50));

    // What was sent again can be sent again; one at a time, and one a second.
    let path = format!("/v1/workspaces/acme/attempts/{id}/again");
    let again = async || {
        let sent = api.again("acme", logged["id"].as_str().unwrap()).await.ok();
        assert_eq!(sent["attempt"]["message_id"], "m-1");
    };
    let at_once = async || api.call(Method::POST, &path, None).await.unwrap();
    assert_eq!(within_a_second(again, at_once).await.problem(), (429, "test-too-soon"));
    bench.receiver.hold();
    let before = bench.receiver.count();
    let (slow, of) = (api.clone(), id.to_owned());
    let first = tokio::spawn(async move { slow.again("acme", &of).await });
    bench.receiver.until("it is under way", |arrivals| arrivals.len() == before + 1).await;
    assert_eq!(api.call(Method::POST, &path, None).await.unwrap().problem(), (409, "test-under-way"));
    assert_eq!(api.test("acme", None).await.problem(), (409, "test-under-way"));
    bench.receiver.release();
    assert_eq!(first.await.unwrap().ok()["attempt"]["trigger"], "again");
    // The newest message is still what a test sends.
    assert_eq!(api.test_soon("acme", None).await.ok()["attempt"]["message_id"], "m-1");
}

async fn what_is_not_in_the_log_is_not_sent(bench: &Bench) {
    let api = bench.api();
    let id = api.log("acme").await[0]["id"].as_str().unwrap().to_owned();
    let call = async |workspace: &str, id: &str| {
        let path = format!("/v1/workspaces/{workspace}/attempts/{id}/again");
        api.call(Method::POST, &path, None).await.unwrap()
    };
    let before = bench.receiver.count();
    for (workspace, id) in [("acme", "999999"), ("acme", "0"), ("acme", "x"), ("acme", "-1"), ("other", &*id)] {
        assert_eq!(call(workspace, id).await.problem(), (404, "not-found"), "{workspace} {id}");
    }
    assert_eq!(call("a%20b", &id).await.problem(), (422, "invalid-workspace"));
    let jane = api.with_token_of("other", "jane").await;
    let path = format!("/v1/workspaces/acme/attempts/{id}/again");
    assert_eq!(jane.call(Method::POST, &path, None).await.unwrap().problem(), (404, "not-found"));
    // Without a URL there is nowhere to send it.
    api.save("acme", &json!({"url": null})).await.ok();
    let cleared = api.again("acme", &id).await.ok();
    assert_eq!((&cleared["attempt"], &cleared["reason"]), (&Value::Null, &json!("no_url")));
    api.call(Method::DELETE, "/v1/workspaces/acme", None).await.unwrap();
    assert_eq!(call("acme", &id).await.problem(), (404, "not-found"));
    assert_eq!(bench.receiver.count(), before);
    // Forgotten, it has no message any more.
    api.save("acme", &json!({"url": bench.receiver.url("acme")})).await.ok();
    assert_eq!(api.test("acme", None).await.ok()["reason"], "no_message");
}

#[tokio::test]
async fn how_long_a_message_waited_is_told_wherever_attempts_are() {
    // No attempt ends by a timeout while answers are held back.
    let bench = Bench::start(Kind::Redis, &["--timeout", "60s"]).await;
    let (api, url) = (bench.api(), bench.receiver.url("acme"));
    api.save("acme", &json!({"url": url})).await.ok();
    // Two of one chat: the second waits for the first.
    bench.receiver.hold();
    for id in ["m-1", "m-2"] {
        api.publish("acme", &message("+1", id)).await.unwrap().ok();
    }
    bench.receiver.until("the first is under way", |arrivals| arrivals.len() == 1).await;
    bench.receiver.release();
    let webhook = api.until("acme", "both came", |webhook| webhook["last_attempt"]["message_id"] == "m-2").await;
    let log = api.log("acme").await;
    let listed = api.read("acme", "attempts").await.ok();
    let waited = |attempt: &Value| attempt["waited_ms"].as_u64().unwrap_or_else(|| panic!("{attempt}"));
    assert_eq!(waited(&log[0]), waited(&listed["attempts"][0]));
    assert_eq!(waited(&log[0]), waited(&webhook["last_attempt"]));
    let began = |attempt: &Value| attempt["at"].as_str().unwrap().parse::<outbound::workspace::Time>().unwrap();
    let entry = |attempt: &Value| {
        let id = attempt["webhook_id"].as_str().unwrap().rsplit('_').next().unwrap().to_owned();
        id.parse::<outbound::message::EntryId>().unwrap().ms
    };
    for attempt in &log {
        assert_eq!(waited(attempt), u64::try_from(began(attempt).unix_ms()).unwrap().saturating_sub(entry(attempt)));
    }

    // An id from the future waited for nothing.
    let key = format!("outbound:{{{}}}:messages", crate::bench::shard("acme"));
    let text = message("+2", "m-3");
    let _: String = bench.redis().call(&["XADD", &key, "99999999999999-0", "workspace", "acme", "message", &text]);
    let webhook = api.until("acme", "it came", |webhook| webhook["last_attempt"]["message_id"] == "m-3").await;
    assert_eq!(waited(&webhook["last_attempt"]), 0);
}
