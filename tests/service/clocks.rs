//! The clock of this machine is off, or that of others is.

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::json;
use support::endpoint::{Endpoint, Step, answer};
use support::process::until;
use support::proxy::Proxy;
use support::redis_server::RedisServer;
use support::service::{Api, Service, message};

/// Ninety minutes, and a bit for the time that the test takes.
const AHEAD: i64 = 90 * 60 + 30;
const WORKSPACES: [&str; 3] = ["a", "b", "c"];

/// One that takes the first message and refuses all others, and whose clock is so many seconds ahead.
fn refusing(ahead: i64) -> Endpoint {
    let date = Timestamp::now() + SignedDuration::from_secs(ahead);
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
    let headers = format!("Date: {date}\r\n");
    Endpoint::start(vec![
        Step::Reply(answer("200 OK", &headers, "")),
        Step::Reply(answer("401 Unauthorized", &headers, "")),
    ])
}

/// Saves a webhook in each workspace and sends each a message.
async fn begin(api: &Api, endpoints: &[Endpoint]) {
    for (workspace, endpoint) in WORKSPACES.iter().zip(endpoints) {
        api.save(workspace, &json!({ "url": endpoint.url() })).await.ok();
        send(api, workspace, "first").await;
        api.until(workspace, "the first is delivered", |webhook| webhook["last_attempt"]["outcome"] == "delivered")
            .await;
    }
}

async fn send(api: &Api, workspace: &str, id: &str) {
    api.publish(workspace, &message(id, id)).await.unwrap().ok();
}

async fn reasons(api: &Api) -> (u16, Vec<String>) {
    let reply = api.call(Method::GET, "/readyz", None).await.unwrap();
    let reasons: Vec<String> = serde_json::from_value(reply.body["reasons"].clone()).unwrap();
    (reply.status.as_u16(), reasons.iter().map(|reason| as_at_the_start(reason)).collect())
}

/// What is said of clocks that are apart by some minutes more or less, as it was said when the endpoints started: they show
/// that moment for as long as the test takes.
fn as_at_the_start(told: &str) -> String {
    let other = ["88 minutes", "89 minutes", "91 minutes", "92 minutes"];
    other.iter().fold(told.to_owned(), |told, minutes| told.replace(minutes, "90 minutes"))
}

async fn until_said(api: &Api, sentence: &str) {
    until(sentence, async || reasons(api).await == (200, vec![sentence.to_owned()])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_ours_is_off_refusals_are_logged_and_not_counted_and_by_one_witness_alone_they_count() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    proxy.set_time_ahead(AHEAD);
    let service = Service::start(&proxy.redis_url(), &["--error-limit", "1"]).await;
    let api = service.api();
    until_said(&api, "The clock of this machine is 90 minutes behind that of the store: check both").await;
    let endpoints = [refusing(AHEAD), refusing(AHEAD), refusing(AHEAD)];
    begin(&api, &endpoints).await;
    let off = "The clock of this machine is 90 minutes behind that of the store and 90 minutes behind those of endpoints \
               (the median of 1 host): set this machine's clock; endpoints may refuse what it signs, so answers 401 and \
               403 are logged and not counted until then";
    until_said(&api, off).await;
    for workspace in WORKSPACES {
        for id in ["m1", "m2", "m3"] {
            send(&api, workspace, id).await;
        }
    }
    for (workspace, endpoint) in WORKSPACES.iter().zip(&endpoints) {
        endpoint.until(|seen| seen.requests.len() == 4).await;
        until("all are logged", async || api.log(workspace).await.len() == 4).await;
        let webhook = api.webhook(workspace).await;
        assert_eq!((&webhook["status"], &webhook["consecutive_errors"]), (&json!("enabled"), &json!(0)), "{webhook}");
        assert_eq!(webhook["last_attempt"]["status"], 401, "{webhook}");
    }
    let told = || service.log().lines().filter(|line| as_at_the_start(line).contains(off)).count();
    until("it is logged", async || told() > 0).await;

    proxy.set_time_ahead(0);
    until("the store agrees", async || {
        reasons(&api).await.1.first().is_some_and(|reason| reason.ends_with(": check it"))
    })
    .await;
    send(&api, "a", "m4").await;
    send(&api, "a", "m5").await;
    api.until("a", "the refusals count", |webhook| webhook["status"] == "disabled_by_errors").await;
    assert_eq!(told(), 1, "one line in the log");
}

/// The embedded journal has no clock of its own to compare with, and whoever owns three endpoints could say anything.
#[tokio::test]
async fn by_the_dates_of_endpoints_alone_it_is_a_warning() {
    let service = Service::start("embedded", &["--error-limit", "1"]).await;
    let api = service.api();
    let endpoints = WORKSPACES.map(|_| refusing(-AHEAD));
    begin(&api, &endpoints).await;
    let sentence =
        "The clock of this machine is 90 minutes ahead of those of endpoints (the median of 1 host): check it";
    until_said(&api, sentence).await;
    send(&api, "a", "m1").await;
    send(&api, "a", "m2").await;
    api.until("a", "the refusals count", |webhook| webhook["status"] == "disabled_by_errors").await;
}
