//! What an owner entrusted: to whom the values of custom headers go, and what of a change can be told later.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind};
use support::service::Api;

/// The value of a custom header.
const VALUE: &str = "Bearer s3cret";

#[tokio::test]
async fn the_values_of_custom_headers_never_follow_a_url_to_another_host() {
    let bench = Bench::start(Kind::Embedded, &[]).await;
    bench.save("acme", json!({"headers": {"Authorization": VALUE, "X-Tenant": "7"}})).await;
    bench.publish_ids("acme", "+1", &["m-1"]).await;
    bench.api().until("acme", "a delivery", |webhook| webhook["last_attempt"]["outcome"] == "delivered").await;
    let jane = holder(&bench.api(), "jane").await;
    let here = bench.receiver.url("acme");
    let there = here.replace("127.0.0.1", "127.0.0.2");
    let tls = here.replace("http:", "https:");
    for elsewhere in [&there, &tls, "http://127.0.0.1:1/acme"] {
        let masks = ["***", " ***\t", "\u{200b}***\u{a0}"].map(|mask| json!({"authorization": mask, "X-Tenant": mask}));
        for headers in [Value::Null].into_iter().chain(masks) {
            let mut body = json!({"url": elsewhere});
            if !headers.is_null() {
                body["headers"] = headers;
            }
            for reply in [jane.save("acme", &body).await, jane.test("acme", Some(&body)).await] {
                assert_eq!(reply.problem(), (422, "invalid-webhook"), "{body}");
                assert_eq!(members(&reply.body), ["headers.authorization", "headers.x-tenant"], "{body}");
            }
        }
    }
    assert_eq!(bench.api().webhook("acme").await["url"], json!(here), "a refused save saves nothing");
    assert_eq!(bench.receiver.arrivals().len(), 1, "a refused test sends nothing");

    // At the same host they stay, however it is written.
    let path = format!("{}?elsewhere", here.replace("127.0.0.1", "0x7f.1"));
    let saved = jane.save("acme", &json!({"url": path})).await.ok();
    assert_eq!(saved["headers"], json!({"authorization": "***", "x-tenant": "***"}));
    // What stands around the mask is no part of it: the value is kept, not replaced by three stars.
    jane.save("acme", &json!({"url": here, "headers": {"authorization": " *** ", "X-Tenant": "***\u{a0}"}})).await.ok();
    bench.publish_ids("acme", "+1", &["m-2"]).await;
    bench.receiver.until("it is sent", |arrivals| arrivals.len() == 2).await;
    assert_eq!(bench.receiver.arrivals()[1].header("authorization"), Some(VALUE));

    // Cleared means gone: the next URL gets nothing of it.
    assert_eq!(jane.save("acme", &json!({"url": null})).await.ok()["headers"], json!({}));
    assert_eq!(jane.save("acme", &json!({"url": here})).await.ok()["headers"], json!({}));
    let some = json!({"url": here, "headers": {"X-Tenant": "8"}});
    assert_eq!(jane.save("acme", &some).await.ok()["headers"], json!({"x-tenant": "***"}));
    let moved = json!({"url": there, "headers": {"X-Tenant": "9"}});
    assert_eq!(jane.save("acme", &moved).await.ok()["headers"], json!({"x-tenant": "***"}));
    assert_eq!(jane.save("acme", &json!({"url": here, "headers": null})).await.ok()["headers"], json!({}));
}

#[tokio::test]
async fn saves_that_change_nothing_wash_no_change_of_the_url_out_of_the_history_on_the_embedded_journal() {
    saves_without_a_change_are_no_history(Kind::Embedded).await;
}

#[tokio::test]
async fn saves_that_change_nothing_wash_no_change_of_the_url_out_of_the_history_on_redis() {
    saves_without_a_change_are_no_history(Kind::Redis).await;
}

async fn saves_without_a_change_are_no_history(kind: Kind) {
    let bench = Bench::start(kind, &[]).await;
    bench.save("acme", json!({})).await;
    let jane = holder(&bench.api(), "jane").await;
    let moved = json!({"url": format!("{}/secret-path?key=hidden", bench.receiver.url("acme"))});
    let first = jane.save("acme", &moved).await.ok();
    for _ in 0..101 {
        assert_eq!(jane.save("acme", &moved).await.ok(), first);
    }
    assert_eq!(jane.test("acme", Some(&moved)).await.ok()["webhook"], first);
    let history = bench.api().read("acme", "history").await.ok();
    let told: Vec<_> = history["history"].as_array().unwrap().iter().map(|change| &change["by"]).collect();
    assert_eq!(told, ["jane", "admin"]);
    assert_eq!(history["history"][0]["to"]["url"], moved["url"]);
    let log = bench.service.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("A webhook was saved.")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("127.0.0.1") && !line.contains("hidden") && !line.contains("path")));
}

/// The API with a token of `acme` for `subject`.
async fn holder(admin: &Api, subject: &str) -> Api {
    let body = json!({"subject": subject}).to_string();
    let made = admin.call(Method::POST, "/v1/workspaces/acme/tokens", Some(&body)).await.unwrap();
    let mut api = admin.clone();
    api.token = Some(made.body["token"].as_str().unwrap().to_owned());
    api
}

fn members(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["member"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_the_operator_closes_is_refused_at_the_save_and_at_each_attempt() {
    let mut bench = Bench::start(Kind::Embedded, &["--deny-net", "127.0.0.9"]).await;
    bench.save("acme", json!({})).await;
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    bench.service.set("--deny-net", "127.0.0.1");
    bench.service.launch().await;
    let here = json!({"url": bench.receiver.url("acme"), "enabled": false});
    assert_eq!(bench.api().save("acme", &here).await.problem(), (422, "invalid-webhook"));
    bench.publish_ids("acme", "+1", &["m-1"]).await;
    let failed = |webhook: &Value| webhook["last_attempt"]["error"]["kind"] == "forbidden_address";
    bench.api().until("acme", "the message is refused", failed).await;
    assert!(bench.receiver.arrivals().is_empty());
}
