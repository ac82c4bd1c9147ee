//! Two people at one webhook: what one saves, the other sees, and nobody undoes it unseen.

use serde_json::{Value, json};

use crate::browser::Kind;
use crate::stage::{Stage, WORKSPACE};
use support::service::Api;

/// A colleague who saves over the API.
async fn jane(stage: &Stage) -> Api {
    stage.api().with_token_of(WORKSPACE, "jane").await
}

fn webhook(url: &str, more: Value) -> Value {
    let mut webhook = json!({"url": url});
    webhook.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    webhook
}

#[tokio::test]
async fn a_form_that_nobody_touched_follows_what_others_save() {
    let stage = Stage::set().await;
    stage.configure(json!({})).await;
    let browser = &stage.browser;
    browser.reload().await;
    browser.until_says("#live", "live").await;
    browser.mark().await;
    let other = format!("{}?v=2", stage.hook());
    let jane = jane(&stage).await;
    jane.save(WORKSPACE, &webhook(&other, json!({"enabled": false, "headers": {"x-key": "1"}}))).await.ok();
    browser.until_property("#url", "value", &other).await;
    browser.until_property("#enabled", "checked", "false").await;
    browser.until_property("#headers", "value", "x-key: ***\n").await;
    browser.until_says("#history", "by jane").await;
    assert!(browser.is_marked().await, "all of it was seen without a reload");

    // Saving another field undoes nothing of it.
    browser.fill("#owner_email", "owner@acme.example").await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is off.").await;
    let saved = stage.api().webhook(WORKSPACE).await;
    assert_eq!((&saved["url"], &saved["enabled"]), (&json!(other), &json!(false)));
    assert_eq!((&saved["owner_email"], &saved["headers"]), (&json!("owner@acme.example"), &json!({"x-key": "***"})));
    stage.strike().await;
}

#[tokio::test]
async fn what_was_typed_is_kept_and_the_reader_chooses_whose_to_save() {
    for without_scripts in [false, true] {
        let stage = Stage::with(Kind { without_scripts }, &[]).await;
        stage.configure(json!({})).await;
        let browser = &stage.browser;
        browser.reload().await;
        browser.fill("#owner_email", "mine@acme.example").await;
        let other = format!("{}?token=s3cret", stage.hook());
        let jane = jane(&stage).await;
        jane.save(WORKSPACE, &webhook(&other, json!({}))).await.ok();
        if !without_scripts {
            browser.until_says("#history", "by jane").await;
            assert_eq!(browser.property("#url", "value").await, Some(stage.hook()), "nothing of a touched form moves");
            assert_eq!(browser.property("#owner_email", "value").await.as_deref(), Some("mine@acme.example"));
        }
        browser.follow("Save").await;
        let told = browser.until_says("#notice", "Changed meanwhile by jane: the URL, now").await;
        assert!(told.contains(&format!("{} with another query", stage.hook())) && !told.contains("s3cret"), "{told}");
        assert_eq!(stage.api().webhook(WORKSPACE).await["url"], json!(other), "nothing was saved");
        assert_eq!(browser.property("#owner_email", "value").await.as_deref(), Some("mine@acme.example"));
        assert_eq!(browser.property("#url", "value").await, Some(stage.hook()));
        browser.until_says("#url-other", "Saved now:").await;
        browser.until_says("#owner_email-other", "Saved now: nothing").await;
        assert_eq!(browser.count(".other").await, 2, "only what differs is marked");
        if !without_scripts {
            browser.shoot("changed-meanwhile").await;
        }

        // Theirs.
        browser.follow("Take theirs").await;
        browser.until_property("#url", "value", &other).await;
        browser.until_property("#owner_email", "value", "").await;
        assert_eq!(browser.count(".other").await, 0);

        // Mine, in the place of theirs.
        browser.fill("#url", &stage.hook()).await;
        jane.save(WORKSPACE, &webhook(&other, json!({"owner_email": "jane@acme.example"}))).await.ok();
        browser.follow("Save").await;
        browser.until_says("#notice", "Changed meanwhile by jane: the owner email, now jane@acme.example").await;
        browser.follow("Save mine").await;
        browser.until_says("#notice", "Saved. The webhook is on.").await;
        let saved = stage.api().webhook(WORKSPACE).await;
        assert_eq!((&saved["url"], &saved["owner_email"]), (&json!(stage.hook()), &Value::Null));
        stage.strike().await;
    }
}
