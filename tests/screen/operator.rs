//! The operators' screen at `/`.

use serde_json::json;

use crate::browser::{Browser, Kind};
use crate::stage::{Stage, WORKSPACE};
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Service, TOKEN, message};

const RIGHT: &str = "{\"direction\":\"sent\",\"timestamp\":\"t\",\"message_id\":\"m\",\"contact\":{}}";

/// The screen's address.
fn url(stage: &Stage) -> String {
    format!("http://{}/", stage.api().address())
}

async fn sign_in(stage: &Stage) {
    let browser = &stage.browser;
    browser.open(&url(stage)).await;
    browser.fill("#token", TOKEN).await;
    browser.follow("Sign in").await;
    browser.until_says("#trouble", "This node").await;
}

/// On a Redis, so that a producer can write what is no message. The receiver may hold its answers back for as long as a test
/// takes.
async fn on_redis(redis: &RedisServer, kind: Kind) -> Stage {
    let journal = redis.url();
    let (service, browser) =
        tokio::join!(Service::start(&journal, &["--shards", "2", "--timeout", "300s"]), Browser::start(kind));
    Stage { browser, receiver: Receiver::start(), service }
}

/// A producer writes something that is no message.
fn reject(redis: &RedisServer, shard: u16, message: &str) {
    let stream = format!("outbound:{{{shard}}}:messages");
    redis.call::<String>(&["XADD", &stream, "*", "workspace", WORKSPACE, "message", message]);
}

/// Workspaces of every status, one of them switched off by errors.
async fn populate(stage: &Stage) {
    let api = stage.api();
    for (workspace, webhook) in [
        ("acme", json!({"url": stage.receiver.url("acme")})),
        ("acme.shop", json!({"url": stage.receiver.url("acme.shop"), "enabled": false})),
        ("broken", json!({"url": stage.receiver.url("broken"), "owner_email": "owner@broken.example"})),
    ] {
        api.save(workspace, &webhook).await.ok();
    }
    stage.receiver.treat("broken", |manner| manner.status = 500);
    for n in 0..11 {
        api.publish("broken", &message(&format!("chat-{n}"), &format!("b-{n}"))).await.unwrap().ok();
    }
    api.until("broken", "it was switched off", |now| now["status"] == "disabled_by_errors").await;
    for n in 0..4 {
        api.publish("acme", &message(&format!("chat-{n}"), &format!("a-{n}"))).await.unwrap().ok();
    }
    api.until("acme", "the last one was attempted", |now| now["last_attempt"]["message_id"] == "a-3").await;
    for workspace in ["acme.shop", "never-configured"] {
        api.publish(workspace, &message("chat", "s-1")).await.unwrap().ok();
        api.until(workspace, "it was skipped", |now| now["skipped"]["count"] == 1).await;
    }
}

#[tokio::test]
async fn a_new_service_says_what_there_is_and_that_nothing_is_wrong() {
    let stage = Stage::unopened(Kind::default(), &[]).await;
    let browser = &stage.browser;
    browser.open(&url(&stage)).await;
    browser.fill("#token", &"wrong".repeat(8)).await;
    browser.follow("Sign in").await;
    browser.until_says("#token-error", "The token is wrong").await;
    assert_eq!(browser.property("#token", "value").await.as_deref(), Some(""), "a token is not shown again");
    browser.shoot("operator-login").await;
    sign_in(&stage).await;
    assert!(browser.address().await.query().is_none(), "a token never stands in an address");
    browser.until_says("#trouble", "This node does its work and knows of no trouble.").await;
    for (part, says) in [
        ("#statuses", "0 workspaces in all"),
        ("#minutes", "No message was attempted or skipped"),
        ("#owed", "Nothing is owed"),
        ("#workspaces", "No workspace yet."),
        ("#rejected", "Nothing is set aside."),
        ("#mails", "None:"),
        ("#nodes", "works"),
    ] {
        browser.until_says(part, says).await;
    }
    assert_eq!(browser.title().await, "Outbound");
    browser.shoot("operator-empty").await;
    stage.strike().await;
}

#[tokio::test]
async fn the_whole_service_is_seen_at_a_glance_and_follows_what_happens() {
    let redis = RedisServer::start();
    let stage = on_redis(&redis, Kind::default()).await;
    let browser = &stage.browser;
    populate(&stage).await;
    sign_in(&stage).await;
    for (part, says) in [
        ("#statuses", "4 workspaces in all"),
        ("#minutes figcaption", "17 messages: 4 delivered, 11 failed, 2 skipped."),
        ("#mails", "1 without a mail server"),
        ("#nodes", "shards 0-1"),
    ] {
        browser.until_says(part, says).await;
    }
    browser.press("As a table").await;
    browser.until_says("#minutes table", "Delivered").await;
    browser.shoot("operator").await;
    browser.press("As a table").await;
    browser.shoot_dark("operator-dark").await;

    // It follows without being loaded again; what somebody is at stays as it is.
    browser.mark().await;
    browser.fill("#prefix", "typed").await;
    stage.api().save("new-one", &json!({"url": stage.receiver.url("new-one")})).await.ok();
    browser.until_says("#statuses", "5 workspaces in all").await;
    browser.until_says("#listed", "new-one").await;
    reject(&redis, 0, "{");
    browser.until_says("#rejected", "1 entry is set aside").await;
    assert!(browser.is_marked().await);
    assert_eq!(browser.property("#prefix", "value").await.as_deref(), Some("typed"));

    // A row leads to the workspace's screen, which the operator's session opens.
    browser.follow("broken").await;
    browser.until_says(".top .id", "broken").await;
    browser.until_says(".session", "Signed in as admin").await;
    browser.follow("All workspaces").await;
    browser.until_says("#statuses", "5 workspaces in all").await;
    browser.until_says("#live", "live").await;

    // What waits is named while its shard holds it back.
    stage.receiver.hold();
    for n in 0..3 {
        stage.api().publish("acme", &message("one-chat", &format!("w-{n}"))).await.unwrap().ok();
    }
    browser.open(&url(&stage)).await;
    browser.until_says("#owed .rows", "acme").await;
    browser.shoot("operator-owed").await;
    stage.receiver.release();
    stage.strike().await;
}

#[tokio::test]
async fn everything_but_the_live_part_works_without_a_script() {
    let redis = RedisServer::start();
    let stage = on_redis(&redis, Kind { without_scripts: true }).await;
    let browser = &stage.browser;
    for n in 0..30 {
        stage
            .api()
            .save(&format!("shop-{n:02}"), &json!({"url": stage.receiver.url("x"), "enabled": n % 2 == 0}))
            .await
            .ok();
    }
    stage.api().save("other", &json!({"url": stage.receiver.url("x")})).await.ok();
    // One that is no message, and two that only stand in the wrong shard's stream.
    reject(&redis, 0, "{");
    let wrong = 1 - "other".parse::<outbound::message::WorkspaceId>().unwrap().shard(2);
    let stream = format!("outbound:{{{wrong}}}:messages");
    for _ in 0..2 {
        redis.call::<String>(&["XADD", &stream, "*", "workspace", "other", "message", RIGHT]);
    }
    // A page without a script stays as it was made, from what was known within a few seconds before.
    let aside = async || stage.api().get("/v1/rejected").await.ok()["rejected"].as_array().map(Vec::len);
    until("all are set aside", async || aside().await == Some(3)).await;
    sign_in(&stage).await;
    browser.until_count("#listed .rows > li", 25).await;
    browser.follow("Next page").await;
    browser.until_count("#listed .rows > li", 6).await;
    browser.follow("First page").await;
    browser.fill("#prefix", "shop-1").await;
    browser.follow("Show").await;
    browser.until_count("#listed .rows > li", 10).await;
    browser.open(&format!("{}?prefix=shop-1&status=disabled", url(&stage))).await;
    browser.until_count("#listed .rows > li", 5).await;
    browser.fill("#prefix", "nobody").await;
    browser.follow("Show").await;
    browser.until_says("#listed", "No workspace is like that.").await;
    browser.fill("#prefix", "<b>").await;
    browser.follow("Show").await;
    browser.until_says("#listed", "No workspace's id begins so.").await;
    browser.follow("Show all").await;
    browser.until_count("#listed .rows > li", 25).await;

    browser.until_says("#rejected", "3 entries are set aside").await;
    browser.shoot("operator-without-scripts").await;
    browser.leaving(browser.click("#rejected li:nth-child(1) form button")).await;
    browser.until_says("#notice", "2 entries were requeued.").await;
    browser.until_says("#rejected", "1 entry is set aside").await;
    // What is gone for good is asked about first.
    browser.press("Discard…").await;
    browser.until_says("#rejected", "for good").await;
    browser.shoot("operator-discard").await;
    browser.follow("Discard for good").await;
    browser.until_says("#notice", "1 entry was discarded for good.").await;
    browser.until_says("#rejected", "Nothing is set aside.").await;
    browser.follow("Sign out").await;
    browser.until_says("h2", "Sign in").await;
    stage.strike().await;
}

#[tokio::test]
async fn trouble_is_told_in_plain_words_and_a_session_that_ended_in_place() {
    let redis = RedisServer::start();
    let stage = on_redis(&redis, Kind::default()).await;
    let browser = &stage.browser;
    stage.api().save("acme", &json!({"url": stage.receiver.url("acme")})).await.ok();
    sign_in(&stage).await;
    browser.until_says("#listed", "acme").await;
    browser.mark().await;
    redis.pause();
    browser.until_says("#trouble", "the store does not answer; nothing is attempted.").await;
    browser.until_says("#statuses", "Not known now.").await;
    let minutes = browser.until_says("#minutes", "all of it is this node's").await;
    assert!(!minutes.contains("All nodes together"), "{minutes}");
    browser.shoot("operator-store-away").await;
    redis.resume();
    browser.until_says("#trouble", "This node does its work").await;
    browser.until_says("#listed", "acme").await;
    browser.forget_cookies().await;
    browser.until_says("#notice", "Your session has ended").await;
    assert!(browser.is_marked().await);
    browser.shoot("operator-session-ended").await;
    stage.strike().await;
}

#[tokio::test]
async fn the_screen_is_worked_with_the_keyboard() {
    let redis = RedisServer::start();
    let stage = on_redis(&redis, Kind::default()).await;
    let browser = &stage.browser;
    reject(&redis, 0, "{");
    stage.api().save("acme", &json!({"url": stage.receiver.url("acme")})).await.ok();
    sign_in(&stage).await;
    browser.until_says("#rejected", "1 entry is set aside").await;
    browser.run("document.getElementById('prefix').focus()").await;
    browser.leaving(browser.keys("ac\u{E007}")).await;
    browser.until_query("prefix=ac&status=").await;
    browser.until_says("#listed", "acme").await;
    browser.until_count("#rejected summary", 1).await;
    browser.run("document.querySelector('#rejected summary').focus()").await;
    browser.keys("\u{E007}").await;
    browser.until_says("#rejected .confirm", "Deletes 1 entry for good").await;
    browser.keys("\u{E004}").await;
    browser.keys("\u{E007}").await;
    browser.until_says("#notice", "1 entry was discarded for good.").await;
    stage.strike().await;
}
