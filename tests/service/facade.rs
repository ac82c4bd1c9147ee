//! The facade, from a socket to what the receiver gets.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, shard, within_a_second};
use support::service::message;

#[tokio::test]
async fn the_facade_works_end_to_end_on_the_embedded_journal() {
    the_facade_works(Kind::Embedded).await;
}

#[tokio::test]
async fn the_facade_works_end_to_end_on_redis() {
    the_facade_works(Kind::Redis).await;
}

async fn the_facade_works(kind: Kind) {
    // No attempt ends by a timeout while answers are held back.
    let bench = Bench::start(kind, &["--timeout", "60s"]).await;
    probes_need_no_token_and_all_else_does(&bench).await;
    nothing_is_saved_that_is_not_valid(&bench).await;
    a_test_without_url_or_message_says_so(&bench).await;
    a_published_message_is_posted_and_logged(&bench).await;
    a_test_works_while_the_webhook_is_off(&bench).await;
    one_test_at_a_time_and_one_a_second(&bench).await;
    a_message_while_off_is_skipped_and_an_empty_url_clears(&bench).await;
}

async fn probes_need_no_token_and_all_else_does(bench: &Bench) {
    let mut api = bench.api();
    for token in [None, Some("wrong".repeat(8))] {
        api.token = token;
        assert_eq!(api.get("/healthz").await.status, 200);
        assert_eq!(api.get("/readyz").await.ok()["ready"], true);
        for resource in ["webhook", "webhook/secret", "attempts", "attempts/log"] {
            let reply = api.read("acme", resource).await;
            assert_eq!(reply.problem(), (401, "unauthorized"), "{resource}");
            assert_eq!(reply.headers["content-type"], "application/problem+json");
        }
        let url = json!({"url": bench.receiver.url("acme")});
        assert_eq!(api.save("acme", &url).await.status, 401);
        assert_eq!(api.test("acme", Some(&url)).await.status, 401);
        assert_eq!(api.publish("acme", &message("+1", "m")).await.unwrap().status, 401);
    }
    let webhook = bench.api().webhook("acme").await;
    assert_eq!((&webhook["status"], &webhook["url"]), (&json!("not_configured"), &Value::Null));
    assert_eq!(bench.api().read("acme", "attempts").await.ok(), json!({"attempts": []}));
    assert_eq!(bench.api().read("acme", "webhook/secret").await.problem(), (404, "no-secret"));
}

async fn nothing_is_saved_that_is_not_valid(bench: &Bench) {
    let api = bench.api();
    let good = bench.receiver.url("acme");
    for webhook in [
        json!({}),
        json!({"url": "ftp://example.com"}),
        json!({"url": "http://user:secret@example.com"}),
        json!({"url": "http://10.0.0.1/"}),
        json!({"url": good, "colour": "red"}),
        json!({"url": good, "event": "message_read"}),
        json!({"url": good, "owner_email": "nobody"}),
        json!({"url": "", "enabled": true}),
        json!({"url": null, "enabled": true}),
    ] {
        assert_eq!(api.save("acme", &webhook).await.problem(), (422, "invalid-webhook"), "{webhook}");
        assert_eq!(api.test("acme", Some(&webhook)).await.problem(), (422, "invalid-webhook"), "{webhook}");
    }
    assert_eq!(api.webhook("acme").await["updated_at"], Value::Null);
    for (text, problem) in [
        ("{".to_owned(), (422, "invalid-message")),
        ("{}".to_owned(), (422, "invalid-message")),
        (message("+1", &"x".repeat(257 * 1024)), (413, "body-too-large")),
    ] {
        assert_eq!(api.publish("acme", &text).await.unwrap().problem(), problem);
    }
    assert_eq!(api.publish("a%20b", &message("+1", "m")).await.unwrap().problem(), (422, "invalid-workspace"));
    assert_eq!(api.call(Method::DELETE, "/v1/workspaces/acme/attempts", None).await.unwrap().status, 405);
}

async fn a_test_without_url_or_message_says_so(bench: &Bench) {
    let tested = bench.api().test("acme", None).await.ok();
    assert_eq!((&tested["attempt"], &tested["reason"]), (&Value::Null, &json!("no_url")));
    let save = json!({"url": bench.receiver.url("acme"), "owner_email": "jane@example.com"});
    let tested = bench.api().test("acme", Some(&save)).await.ok();
    assert_eq!((&tested["attempt"], &tested["reason"]), (&Value::Null, &json!("no_message")));
    let webhook = bench.api().webhook("acme").await;
    assert_eq!(tested["webhook"], webhook);
    assert_eq!((&webhook["status"], &webhook["owner_email"]), (&json!("enabled"), &json!("jane@example.com")));
    let saved = bench.save("acme", json!({})).await;
    assert_eq!(saved["owner_email"], "jane@example.com", "an omitted member stays");
}

async fn a_published_message_is_posted_and_logged(bench: &Bench) {
    let text = message("+1", "m1");
    let reply = bench.api().publish("acme", &text).await.unwrap();
    assert_eq!(reply.status, 202);
    let id = reply.body["id"].as_str().unwrap();
    let logged = |webhook: &Value| webhook["last_attempt"]["message_id"] == "m1";
    let webhook = bench.api().until("acme", "it is logged", logged).await;
    let arrival = &bench.receiver.arrivals()[0];
    assert_eq!(&arrival.body[..], format!("{{\"message\":{text}}}").as_bytes(), "byte for byte");
    assert_eq!((arrival.verified, &arrival.webhook_id), (Some(true), &format!("msg_{}_{id}", shard("acme"))));

    let reply = bench.api().read("acme", "attempts/log").await;
    let disposition = reply.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"outbound-log-acme-"), "{disposition}");
    let entry = reply.ok()[0].clone();
    assert_eq!(entry["request"]["url"], bench.receiver.url("acme"));
    assert_eq!(entry["request"]["body"]["message"], serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!((&entry["response"]["status"], &entry["response"]["body"]), (&json!(200), &json!("noted")));
    let list = bench.api().read("acme", "attempts").await.ok();
    assert_eq!(list["attempts"], json!([webhook["last_attempt"]]));
}

async fn a_test_works_while_the_webhook_is_off(bench: &Bench) {
    bench.receiver.treat("acme", |manner| manner.status = 500);
    let off = bench.save("acme", json!({"enabled": false})).await;
    assert_eq!((&off["status"], &off["url"]), (&json!("disabled"), &json!(bench.receiver.url("acme"))));
    let tested = bench.api().test("acme", None).await.ok();
    assert_eq!((&tested["attempt"]["trigger"], &tested["attempt"]["status"]), (&json!("test"), &json!(500)));
    assert_eq!(tested["attempt"]["message_id"], "m1");
    assert_eq!(tested["webhook"]["consecutive_errors"], 0, "a test never counts");
    assert_eq!(tested["webhook"]["status"], "disabled");
    let arrival = bench.receiver.arrivals().pop().unwrap();
    assert!(arrival.webhook_id.starts_with("test_") && arrival.verified == Some(true), "{arrival:?}");
    assert_eq!(bench.api().log("acme").await[0]["trigger"], "test");
}

async fn one_test_at_a_time_and_one_a_second(bench: &Bench) {
    let on = json!({"url": bench.receiver.url("acme"), "enabled": true});
    let off = async || {
        bench.save("acme", json!({"enabled": false})).await;
        bench.api().test_soon("acme", None).await.ok();
    };
    let at_once = async || bench.api().test("acme", Some(&on)).await;
    assert_eq!(within_a_second(off, at_once).await.problem(), (429, "test-too-soon"));
    assert_eq!(bench.api().webhook("acme").await["status"], "disabled", "a refused call saves nothing");

    bench.receiver.hold();
    let before = bench.receiver.count();
    let api = bench.api();
    let first = tokio::spawn(async move {
        let mut reply = api.test("acme", None).await;
        while reply.problem() == (429, "test-too-soon") {
            tokio::time::sleep(Duration::from_millis(50)).await;
            reply = api.test("acme", None).await;
        }
        reply
    });
    bench.receiver.until("the test is in flight", |arrivals| arrivals.len() == before + 1).await;
    assert_eq!(bench.api().test("acme", Some(&on)).await.problem(), (409, "test-under-way"));
    assert_eq!(bench.api().webhook("acme").await["status"], "disabled", "a refused call saves nothing");
    bench.receiver.release();
    assert_eq!(first.await.unwrap().ok()["attempt"]["status"], 500);
    assert_eq!(bench.receiver.count(), before + 1);
}

async fn a_message_while_off_is_skipped_and_an_empty_url_clears(bench: &Bench) {
    let before = bench.receiver.count();
    assert_eq!(bench.api().publish("acme", &message("+1", "m2")).await.unwrap().status, 202);
    bench.api().until("acme", "it is skipped", |webhook| webhook["skipped"]["count"] == 1).await;
    let secret = bench.api().read("acme", "webhook/secret").await.ok();
    let cleared = bench.api().save("acme", &json!({"url": ""})).await.ok();
    assert_eq!((&cleared["status"], &cleared["url"]), (&json!("not_configured"), &Value::Null));
    assert_eq!(cleared["owner_email"], "jane@example.com");
    assert_eq!(bench.api().read("acme", "webhook/secret").await.ok(), secret);
    assert_eq!(bench.receiver.count(), before, "what was skipped is never sent");
}
