//! The form: save, save and test, and what is wrong with what was typed.

use serde_json::json;

use crate::browser::Kind;
use crate::stage::{Stage, WORKSPACE};

#[tokio::test]
async fn a_saved_webhook_gets_the_next_message_and_the_screen_shows_it_without_a_reload() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    browser.until_says("#status", "Not configured").await;
    browser.until_says("#owner_email-hint", "This service has no mail server, so nobody is told").await;
    browser.shoot("not-configured").await;

    browser.fill("#url", &stage.hook()).await;
    browser.fill("#owner_email", "owner@acme.example").await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is on.").await;
    browser.until_says("#status", "Delivering.").await;
    assert_eq!(browser.property("#url", "value").await.as_deref(), Some(stage.hook().as_str()));
    let webhook = stage.api().webhook(WORKSPACE).await;
    assert_eq!((&webhook["status"], &webhook["owner_email"]), (&json!("enabled"), &json!("owner@acme.example")));
    browser.until_says("#history", "by admin").await;
    browser.shoot("empty").await;

    browser.until_says("#live", "live").await;
    browser.mark().await;
    stage.publish("m-1").await;
    browser.until_says("#attempt-list", "m-1").await;
    assert!(browser.is_marked().await, "the page is the one that was there before the message");
    browser.until_says("figcaption", "1 attempt: 1 delivered, 0 failed").await;

    browser.click("#attempt-list summary").await;
    let shown = browser.until_says("#attempt-list .exchange", "noted").await;
    assert!(shown.contains("<b>&amp;</b>"), "the text stands there as it was sent: {shown}");
    assert!(shown.contains(&format!("POST {}", stage.hook())), "{shown}");

    // Clearing the URL clears the webhook.
    browser.fill("#url", "").await;
    browser.follow("Save").await;
    browser.until_says("#notice", "there is no URL").await;
    browser.until_says("#status", "Not configured").await;
    stage.strike().await;
}

#[tokio::test]
async fn a_webhook_that_is_unticked_is_switched_off_and_keeps_its_url() {
    let stage = Stage::set().await;
    stage.configure(json!({})).await;
    let browser = &stage.browser;
    browser.reload().await;
    browser.click("#enabled").await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is off.").await;
    browser.until_says("#status", "Switched off").await;
    assert_eq!(browser.property("#url", "value").await.as_deref(), Some(stage.hook().as_str()));
    assert_eq!(browser.property("#enabled", "checked").await.as_deref(), Some("false"));
    browser.until_says("#live", "live").await;
    stage.publish("m-1").await;
    browser.until_says("#skipped", "1 message skipped").await;
    browser.shoot("disabled").await;
    stage.strike().await;
}

#[tokio::test]
async fn what_is_saved_while_the_service_is_away_stays_in_the_form() {
    let mut stage = Stage::set().await;
    stage.configure(json!({})).await;
    stage.browser.reload().await;
    stage.browser.until_says("#live", "live").await;
    stage.browser.fill("#url", "https://typed.example/").await;
    stage.service.kill();
    let browser = &stage.browser;
    browser.until_says("#live", "not connected").await;
    browser.press("Save").await;
    browser.until_says("#notice", "Nothing was sent: the service cannot be reached now.").await;
    assert_eq!(browser.property("#url", "value").await.as_deref(), Some("https://typed.example/"));
    stage.strike().await;
}

#[tokio::test]
async fn a_save_is_not_told_any_more_once_errors_have_switched_the_webhook_off() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    browser.until_says("#live", "live").await;
    browser.fill("#url", "http://127.0.0.1:1/").await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is on.").await;
    browser.until_says("#live", "live").await;
    for n in 1..=11 {
        stage.publish(&format!("m-{n}")).await;
    }
    browser.until_says("#status", "Switched off after 11 errors").await;
    browser.until_count("#notice", 0).await;
    stage.strike().await;
}

#[tokio::test]
async fn save_and_test_sends_the_newest_message_and_says_how_it_went() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    browser.fill("#url", &stage.hook()).await;
    browser.follow("Save and test").await;
    browser.until_says("#notice", "The workspace has no message").await;

    // Without a place to break a line: a page that it widens fails its picture.
    let long = format!("m-1-{}", "x".repeat(400));
    stage.deliver(&[&long]).await;
    browser.follow("Save and test").await;
    browser.until_says("#notice", "the test was delivered: HTTP 200").await;
    assert_eq!(stage.receiver.ids(WORKSPACE), [&*long, &*long]);
    assert_eq!(browser.count("#attempt-list .tag").await, 1);
    browser.shoot("test-succeeded").await;

    stage.receiver.treat(WORKSPACE, |manner| manner.status = 404);
    stage.until_a_test_may_be_sent().await;
    browser.follow("Save and test").await;
    let told = browser.until_says("#notice", "the test failed").await;
    assert!(told.contains("Your URL answered 404. There is nothing at this address; check the path."), "{told}");
    let cause = browser.until_says("#attempt-list .failed", "answered 404").await;
    assert!(cause.contains("noted"), "the attempt is open: {cause}");
    browser.until_says("#status", "On; the last test failed.").await;
    browser.shoot("test-failed").await;
    stage.strike().await;
}

#[tokio::test]
async fn what_is_wrong_stands_next_to_its_field_and_what_was_typed_stays() {
    for without_scripts in [false, true] {
        let stage = Stage::with(Kind { without_scripts }, &[]).await;
        let browser = &stage.browser;
        browser.fill("#url", "https://user:secret@crm.example/hook").await;
        browser.fill("#owner_email", "nobody").await;
        browser.click("#enabled").await;
        browser.follow("Save").await;
        browser.until_says("#notice", "Nothing was saved").await;
        browser.until_says("#url-error", "must not contain a user name or password").await;
        browser.until_says("#owner_email-error", "The address must have a name, an @ and a domain").await;
        assert_eq!(browser.count(".error").await, 2);
        assert_eq!(browser.property("#url", "value").await.as_deref(), Some("https://user:secret@crm.example/hook"));
        assert_eq!(browser.property("#owner_email", "value").await.as_deref(), Some("nobody"));
        assert_eq!(browser.property("#enabled", "checked").await.as_deref(), Some("false"));
        // The first wrong field.
        browser.until_focused("url").await;
        assert_eq!(stage.api().webhook(WORKSPACE).await["updated_at"], json!(null));
        if !without_scripts {
            browser.shoot("errors").await;
        }
        browser.fill("#url", &stage.hook()).await;
        browser.fill("#owner_email", "").await;
        browser.follow("Save").await;
        browser.until_says("#notice", "Saved. The webhook is off.").await;
        stage.strike().await;
    }
}

#[tokio::test]
async fn values_of_headers_are_asked_for_again_when_the_url_moves_to_another_host() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    let there = stage.hook().replace("127.0.0.1", "127.0.0.2");
    // The words open the fold.
    assert_eq!(browser.property("details.field", "open").await.as_deref(), Some("false"));
    browser.click("#headers-label").await;
    browser.until_property("details.field", "open", "true").await;
    browser.fill("#headers", "no-colon").await;
    browser.follow("Save").await;
    browser.until_says("#headers-error", "no-colon: has no colon: write Name: value.").await;
    stage.configure(json!({"headers": {"X-Api-Key": "s3cret", "X-Tenant": "7"}})).await;
    browser.open(&stage.url()).await;
    browser.fill("#url", &there).await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Nothing was saved").await;
    let told = browser.until_says("#headers-error", "x-api-key: the value was given for another scheme").await;
    assert!(told.contains("x-tenant: the value was given for another scheme"), "{told}");
    assert_eq!(browser.property("#url", "value").await.as_deref(), Some(there.as_str()), "what was typed stays");
    let lines = "x-api-key: ***\nx-tenant: ***\n";
    assert_eq!(browser.property("#headers", "value").await.as_deref(), Some(lines));
    assert_eq!(stage.api().webhook(WORKSPACE).await["url"], json!(stage.hook()));

    browser.fill("#headers", "x-api-key: another").await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is on.").await;
    assert_eq!(stage.api().webhook(WORKSPACE).await["url"], json!(there));
    assert_eq!(stage.api().webhook(WORKSPACE).await["headers"], json!({"x-api-key": "***"}));

    // Emptied, the form still shows its headers; saving it drops them.
    browser.fill("#url", "").await;
    browser.follow("Save").await;
    browser.until_says("#notice", "there is no URL").await;
    assert_eq!(stage.api().webhook(WORKSPACE).await["headers"], json!({}));
    stage.strike().await;
}

#[tokio::test]
async fn without_scripts_everything_but_live_updates_works() {
    let stage = Stage::with(Kind { without_scripts: true }, &[]).await;
    let browser = &stage.browser;
    browser.fill("#url", &stage.hook()).await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is on.").await;
    stage.deliver(&["m-1"]).await;
    assert_eq!(browser.count("#attempt-list li").await, 0, "nothing is live");
    browser.reload().await;
    browser.until_says("#attempt-list", "m-1").await;
    browser.follow("Save and test").await;
    browser.until_says("#notice", "the test was delivered").await;
    browser.follow("Show the secret").await;
    browser.until_says("#secret-text", "whsec_").await;
    browser.press("Rotate the secret…").await;
    browser.follow("Rotate now").await;
    browser.until_says("#previous", "still signed with").await;
    browser.shoot("without-scripts").await;
    browser.follow("Sign out").await;
    browser.until_says("h2", "Sign in").await;
    stage.strike().await;
}
