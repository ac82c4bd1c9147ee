//! The signing secret: hidden until it is asked for, and rotated with an overlap.

use serde_json::json;

use crate::stage::{Stage, WORKSPACE};

#[tokio::test]
async fn the_secret_is_shown_when_asked_for_and_rotated_with_two_signatures() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    browser.until_says("#secret", "made when you save for the first time").await;
    stage.configure(json!({})).await;
    browser.reload().await;
    let first = stage.secret().await;
    assert!(!browser.source().await.contains(&first), "hidden means that the page does not have it");
    browser.follow("Show the secret").await;
    assert_eq!(browser.until_says("#secret-text", "whsec_").await, first);
    browser.press("Verify a signature in Python").await;
    browser.until_says("#secret .sample[open]", "hmac.compare_digest").await;
    browser.until_count("#secret .sample[open] button:not([hidden])", 1).await;
    // Who looked stands beside who changed something.
    browser.until_says("#access", "by admin\nSigning secret looked at").await;
    browser.shoot("secret").await;

    browser.press("Rotate the secret…").await;
    browser.follow("Rotate now").await;
    browser.until_says("#notice", "A new signing secret was made").await;
    browser.until_says("#previous", "still signed with, until").await;
    let second = stage.secret().await;
    // Once more within the day would end the older one.
    browser.press("Rotate the secret…").await;
    browser.until_says(".rotate[open]", "The secret before the present one ends at once.").await;
    assert_ne!(second, first);
    browser.until_says("#history", "Signing secret rotated").await;
    for secret in [first, second] {
        stage.receiver.treat(WORKSPACE, |manner| manner.secret = Some(secret));
        stage.deliver(&["m-1"]).await;
        let arrival = stage.receiver.arrivals().pop().unwrap();
        assert_eq!(arrival.verified, Some(true));
        stage.deliver(&["m-2"]).await;
    }
    stage.strike().await;
}
