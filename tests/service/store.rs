//! What the log and readyz say of a store that is away or full: once for the whole node.

use std::time::{Duration, Instant};

use serde_json::json;

use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{PATIENCE, Service, message};

/// Waits until the log holds `text`.
async fn until_logged(service: &Service, text: &str) {
    until(&format!("{text:?} is logged"), async || service.log().contains(text)).await;
}

/// The lines of a level from warnings on.
fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect()
}

#[tokio::test]
async fn a_redis_that_goes_and_comes_back_is_one_line_each() {
    let mut redis = RedisServer::start();
    let receiver = Receiver::start();
    let service = Service::start(&redis.url(), &["--shards", "16"]).await;
    service.api().save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    let before = warnings(&service.log()).len();
    redis.kill();
    until_logged(&service, "The store is away").await;
    // Whoever asks meanwhile adds no line, and every shard has noticed.
    let began = Instant::now();
    loop {
        let reply = service.api().read("acme", "webhook").await;
        assert_eq!(reply.problem(), (503, "store-away"), "{}", reply.body);
        let ready = service.api().get("/readyz").await;
        if ready.body.to_string().contains("shards 0-15: the store does not answer") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", ready.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.restart();
    until_logged(&service, "The store is back").await;
    service.api().publish("acme", &message("+1", "m-1")).await.unwrap().ok();
    service.api().until("acme", "one is delivered", |webhook| webhook["last_attempt"]["message_id"] == "m-1").await;
    let log = service.log();
    let new = &warnings(&log)[before..];
    assert_eq!(new.len(), 1, "{new:#?}");
    assert!(
        log.lines()
            .any(|line| line.contains("INFO") && line.contains("The store is back") && line.contains("seconds="))
    );
}

#[tokio::test]
async fn a_full_redis_is_told_for_what_it_is_and_what_is_stored_is_delivered() {
    let redis = RedisServer::start();
    let receiver = Receiver::start();
    let service = Service::start(&redis.url(), &["--shards", "4", "--timeout", "60s"]).await;
    let api = service.api();
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    receiver.hold();
    for n in 0..20 {
        api.publish("acme", &message("+1", &format!("m-{n}"))).await.unwrap().ok();
    }
    let before = warnings(&service.log()).len();
    redis.call::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    until_logged(&service, "The store is full: new messages are refused; what is stored is still delivered").await;
    let ready = api.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(ready.body.to_string().contains("the store is full: new messages are refused"), "{}", ready.body);
    receiver.release();
    api.until("acme", "all are delivered", |webhook| webhook["last_attempt"]["message_id"] == "m-19").await;
    redis.call::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    until_logged(&service, "The store takes new messages again").await;
    assert!(!api.get("/readyz").await.body.to_string().contains("is full"));
    let log = service.log();
    let new = &warnings(&log)[before..];
    assert_eq!(new.len(), 1, "{new:#?}");
}

#[tokio::test]
async fn a_service_without_a_mail_server_says_so_once_and_a_switch_off_is_a_warning() {
    let receiver = Receiver::start();
    let service = Service::start("embedded", &["--shards", "2", "--error-limit", "0"]).await;
    let api = service.api();
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    api.publish("acme", &message("+1", "m-bad")).await.unwrap().ok();
    api.until("acme", "it is switched off", |webhook| webhook["status"] == "disabled_by_errors").await;
    until_logged(&service, "A webhook was switched off by errors").await;
    let log = service.log();
    let warnings = warnings(&log);
    assert_eq!(warnings.iter().filter(|line| line.contains("There is no mail server")).count(), 1, "{warnings:#?}");
    assert_eq!(warnings.iter().filter(|line| line.contains("A webhook was switched off")).count(), 1, "{warnings:#?}");
    let with_mail = Service::start(
        "embedded",
        &["--shards", "2", "--smtp-url", "smtp://127.0.0.1:1", "--mail-from", "outbound@example.com"],
    )
    .await;
    assert!(!with_mail.log().contains("There is no mail server"));
}
