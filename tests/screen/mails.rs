//! The owner's address: whether mails arrive there is tried before it matters.

use serde_json::json;

use crate::browser::Kind;
use crate::stage::{Stage, WORKSPACE};
use support::smtp::{Fault, SmtpServer};

#[tokio::test]
async fn a_test_mail_shows_whether_mails_arrive_and_few_a_day_are_sent() {
    let smtp = SmtpServer::start([Fault::Reply("RCPT", "550 no such user")]).await;
    let mail = ["--smtp-url", &format!("smtp://{}", smtp.address), "--mail-from", "outbound@example.com"];
    let mut stage = Stage::with(Kind::default(), &mail).await;
    let browser = &stage.browser;
    browser.until_says("#owner_email-hint", "Gets a mail when too many errors").await;
    assert!(!browser.source().await.contains("Send a test mail"), "there is no owner yet");
    stage.configure(json!({"owner_email": "owner@acme.example"})).await;
    browser.reload().await;
    browser.fill("#url", "https://typed.example/").await;
    browser.follow("Send a test mail").await;
    let told = browser.until_says("#notice", "The test mail to owner@acme.example was not sent.").await;
    assert!(told.contains("no such user"), "{told}");
    assert_eq!(browser.property("#url", "value").await.as_deref(), Some("https://typed.example/"), "it is kept");
    browser.follow("Send a test mail").await;
    browser.until_says("#notice", "The mail server took a test mail to owner@acme.example.").await;
    let received = smtp.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].to, ["owner@acme.example"]);
    assert!(received[0].data.contains("Test mail of the webhook of workspace acme"), "{}", received[0].data);
    browser.shoot("test-mail").await;
    browser.follow("Send a test mail").await;
    browser.until_says("#notice", "took a test mail").await;
    browser.follow("Send a test mail").await;
    browser.until_says("#notice", "3 test mails a day are allowed").await;
    assert_eq!(smtp.received().len(), 2);
    let webhook = stage.api().webhook(WORKSPACE).await;
    assert_eq!((&webhook["mail"], &webhook["url"]), (&json!(null), &json!(stage.hook())), "nothing is saved");
    // A new start gives nobody further ones.
    stage.service.kill();
    stage.service.launch().await;
    let browser = &stage.browser;
    browser.open(&stage.url()).await;
    browser.follow("Send a test mail").await;
    browser.until_says("#notice", "No mail was sent: 3 test mails a day are allowed.").await;
    assert_eq!(smtp.received().len(), 2);
    stage.strike().await;
}

/// Browsers press the first button of a form, and before "Save" stands "Send a test mail".
#[tokio::test]
async fn enter_in_a_field_saves_what_was_typed() {
    let smtp = SmtpServer::start([]).await;
    let mail = ["--smtp-url", &format!("smtp://{}", smtp.address), "--mail-from", "outbound@example.com"];
    let stage = Stage::with(Kind::default(), &mail).await;
    stage.configure(json!({"owner_email": "owner@acme.example"})).await;
    let browser = &stage.browser;
    for (field, typed, member) in
        [("#url", "https://typed.example/", "url"), ("#owner_email", "bob@acme.example", "owner_email")]
    {
        browser.reload().await;
        browser.fill(field, typed).await;
        browser.leaving(browser.keys(ENTER)).await;
        browser.until_says("#notice", "Saved. The webhook is on.").await;
        assert_eq!(stage.api().webhook(WORKSPACE).await[member], json!(typed));
    }
    // That there is another owner is told to the one before.
    let tests = smtp.received().into_iter().filter(|mail| mail.data.contains("Test mail")).count();
    assert_eq!(tests, 0);
    stage.strike().await;
}

/// The key, as WebDriver names it.
const ENTER: &str = "\u{e007}";
