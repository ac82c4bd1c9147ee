//! Sessions: who gets one, several in one browser, one of the operator for all workspaces, and what becomes of a page whose
//! session has ended.

use serde_json::json;

use crate::browser::Kind;
use crate::stage::{Stage, WORKSPACE};
use support::service::TOKEN;

#[tokio::test]
async fn a_wrong_token_does_not_sign_in_and_a_right_one_does() {
    let stage = Stage::unopened(Kind::default(), &[]).await;
    let browser = &stage.browser;
    stage.sign_in(&"wrong".repeat(8)).await;
    browser.until_says("#token-error", "token").await;
    assert_eq!(browser.count("#status").await, 0);
    assert_eq!(browser.property("#token", "value").await.as_deref(), Some(""), "a token is not shown again");
    browser.until_focused("token").await;
    browser.shoot("login").await;
    browser.shoot_dark("login-dark").await;
    stage.sign_in(TOKEN).await;
    browser.until_says("#status", "Not configured").await;
    assert!(browser.address().await.query().is_none(), "a token never stands in an address");
    stage.strike().await;
}

#[tokio::test]
async fn two_workspaces_in_one_browser_have_a_session_each() {
    let stage = Stage::unopened(Kind::default(), &[]).await;
    let browser = &stage.browser;
    let other = stage.url().replace(WORKSPACE, "other");
    for (workspace, url) in [(WORKSPACE, stage.url()), ("other", other.clone())] {
        let token = stage.api().with_token_of(workspace, "jane").await.token.unwrap();
        browser.open(&url).await;
        browser.fill("#token", &token).await;
        browser.follow("Sign in").await;
        browser.until_says("h1", "Integration / Outbound").await;
        browser.until_says(".session", "Signed in as jane").await;
    }
    for (workspace, url) in
        [(WORKSPACE, stage.url()), ("other", other.clone()), (WORKSPACE, format!("{}/", stage.url()))]
    {
        browser.open(&url).await;
        browser.until_says(".top .id", workspace).await;
        browser.until_says("#status", "Not configured").await;
    }
    // Signing out of one leaves the other.
    browser.follow("Sign out").await;
    browser.until_says("h2", "Sign in").await;
    browser.open(&other).await;
    browser.until_says("#status", "Not configured").await;
    stage.strike().await;
}

#[tokio::test]
async fn the_operator_signs_in_once_for_all_workspaces() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    browser.open(&stage.url().replace(WORKSPACE, "other")).await;
    browser.until_says(".session", "Signed in as admin").await;
    browser.fill("#url", &stage.receiver.url("other")).await;
    browser.follow("Save").await;
    browser.until_says("#notice", "Saved. The webhook is on.").await;
    browser.until_says("#live", "live").await;
    // What ends a workspace's tokens does not end the operator's session.
    let path = "/v1/workspaces/other/tokens";
    stage.api().call(reqwest::Method::DELETE, path, None).await.unwrap();
    browser.reload().await;
    browser.until_says(".session", "Signed in as admin").await;
    stage.strike().await;
}

#[tokio::test]
async fn a_session_that_ended_is_told_in_place_and_what_was_typed_is_kept() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    stage.configure(json!({})).await;
    browser.reload().await;
    browser.until_says("#live", "live").await;
    browser.mark().await;
    browser.fill("#owner_email", "typed@acme.example").await;
    browser.forget_cookies().await;
    stage.publish("m-1").await;
    browser.until_says("#notice", "Your session has ended. What you typed is kept.").await;
    assert!(browser.is_marked().await);
    assert_eq!(browser.property("#owner_email", "value").await.as_deref(), Some("typed@acme.example"));
    browser.shoot("session-ended").await;

    // A save without a session is made after the sign-in, and not before.
    browser.follow("Save").await;
    browser.until_says("#token-error", "Nothing was saved: there is no session any more.").await;
    browser.until_says("form", &stage.hook()).await;
    assert_eq!(stage.api().webhook(WORKSPACE).await["owner_email"], json!(null));
    browser.shoot("sign-in-to-save").await;
    browser.fill("#token", &"wrong".repeat(8)).await;
    browser.follow("Sign in").await;
    browser.until_says("#token-error", "The token is wrong").await;
    browser.fill("#token", TOKEN).await;
    browser.follow("Sign in").await;
    browser.until_says("#notice", "Saved. The webhook is on.").await;
    assert_eq!(stage.api().webhook(WORKSPACE).await["owner_email"], json!("typed@acme.example"));
    assert_eq!(browser.property("#owner_email", "value").await.as_deref(), Some("typed@acme.example"));
    stage.strike().await;
}
