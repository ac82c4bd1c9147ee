//! Who gets in.

use crate::browser::Kind;
use crate::stage::Stage;
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
