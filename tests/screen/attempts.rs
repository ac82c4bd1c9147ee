//! The attempts: failures with their causes, the switch-off as it happens, the log as a file.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Kind;
use crate::stage::{Stage, WORKSPACE};
use support::smtp::{Fault, SmtpServer};

#[tokio::test]
async fn an_automatic_switch_off_is_seen_as_it_happens_with_the_mail_that_was_refused() {
    let smtp = SmtpServer::start([Fault::Reply("RCPT", "550 no such user")]).await;
    let mail = ["--smtp-url", &format!("smtp://{}", smtp.address), "--mail-from", "outbound@example.com"];
    let stage = Stage::with(Kind::default(), &mail).await;
    let browser = &stage.browser;
    stage.receiver.treat(WORKSPACE, |manner| manner.status = 200);
    stage.configure(json!({"owner_email": "owner@acme.example"})).await;
    browser.reload().await;
    browser.until_says("#live", "live").await;
    browser.mark().await;
    for n in 1..=30 {
        let slow = Duration::from_millis([3, 12, 40, 5, 160, 9][n % 6]);
        stage.receiver.treat(WORKSPACE, |manner| manner.delay = slow);
        stage.deliver(&[&format!("m-{n}")]).await;
    }
    browser.until_count("#attempt-list li", 30).await;
    browser.until_says("#status", "Delivering.").await;
    browser.shoot("delivering").await;
    browser.shoot_dark("delivering-dark").await;

    stage.receiver.treat(WORKSPACE, |manner| manner.status = 500);
    for n in 31..=33 {
        stage.deliver(&[&format!("m-{n}")]).await;
    }
    browser.until_says("#status", "Delivering. 3 errors in a row; at 11 it is switched off.").await;
    browser.until_says("figcaption", "30 delivered, 3 failed").await;
    browser.until_says("#attempt-list .cause", "Your URL answered 500.").await;
    browser.shoot("failing").await;
    browser.shoot_upper("readme").await;

    for n in 34..=43 {
        stage.publish(&format!("m-{n}")).await;
    }
    browser.until_says("#status", "Switched off after 11 errors in a row").await;
    browser.until_says("#skipped", "2 messages skipped since the webhook is off").await;
    let mail = browser.until_says("#mail", "could not be delivered").await;
    assert!(mail.contains("no such user"), "{mail}");
    browser.until_count("#attempt-list .failed", 11).await;
    assert!(browser.is_marked().await, "all of it was seen without a reload");
    browser.shoot("disabled-by-errors").await;
    browser.shoot_dark("disabled-by-errors-dark").await;

    browser.reload().await;
    browser.until_says("#history", "Switched off by too many errors").await;
    stage.receiver.treat(WORKSPACE, |manner| manner.status = 200);
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is on.").await;
    stage.strike().await;
}

#[tokio::test]
async fn the_downloaded_log_is_json_with_the_last_attempts() {
    let stage = Stage::set().await;
    stage.configure(json!({})).await;
    stage.deliver(&["m-1"]).await;
    stage.receiver.treat(WORKSPACE, |manner| manner.status = 500);
    stage.deliver(&["m-2"]).await;
    stage.browser.press("Download log").await;
    let (name, bytes) = stage.browser.downloaded().await;
    assert!(name.starts_with("outbound-log-acme-") && name.ends_with(".json"), "{name}");
    let log: Value = serde_json::from_slice(&bytes).unwrap();
    let entries: Vec<_> = log.as_array().unwrap().iter().map(|one| (&one["message_id"], &one["outcome"])).collect();
    assert_eq!(entries, [(&json!("m-2"), &json!("failed")), (&json!("m-1"), &json!("delivered"))]);
    assert_eq!(log, json!(stage.api().log(WORKSPACE).await));
    stage.strike().await;
}
