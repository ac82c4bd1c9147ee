//! A service, a receiver, and a browser that is signed in.

use std::time::Duration;

use outbound::app::now;
use outbound::workspace::Time;
use outbound::workspace::policy::TEST_INTERVAL;
use serde_json::{Value, json};

use crate::browser::{Browser, Kind};
use support::endpoint::Receiver;
use support::service::{Api, Service, TOKEN, message_with};

/// The workspace of every test.
pub(crate) const WORKSPACE: &str = "acme";

pub(crate) struct Stage {
    pub(crate) browser: Browser,
    pub(crate) receiver: Receiver,
    pub(crate) service: Service,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::with(Kind::default(), &[]).await
    }

    /// The service gets `more` flags.
    pub(crate) async fn with(kind: Kind, more: &[&str]) -> Self {
        let stage = Self::unopened(kind, more).await;
        stage.sign_in(TOKEN).await;
        stage.browser.until_says("h1", "Integration / Outbound").await;
        stage
    }

    /// Nobody is signed in.
    pub(crate) async fn unopened(kind: Kind, more: &[&str]) -> Self {
        let flags = [&["--shards", "2"], more].concat();
        let (service, browser) = tokio::join!(Service::start("embedded", &flags), Browser::start(kind));
        Self { browser, receiver: Receiver::start(), service }
    }

    pub(crate) async fn sign_in(&self, token: &str) {
        self.browser.open(&self.url()).await;
        self.browser.fill("#token", token).await;
        self.browser.follow("Sign in").await;
    }

    /// The screen's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/workspaces/{WORKSPACE}/outbound", self.api().address())
    }

    pub(crate) fn api(&self) -> Api {
        self.service.api()
    }

    /// The receiver's URL.
    pub(crate) fn hook(&self) -> String {
        self.receiver.url(WORKSPACE)
    }

    /// Saves the receiver's URL over the API, with `more` members.
    pub(crate) async fn configure(&self, more: Value) {
        let mut webhook = json!({"url": self.hook()});
        webhook.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.api().save(WORKSPACE, &webhook).await.ok();
    }

    /// The present signing secret.
    pub(crate) async fn secret(&self) -> String {
        let secret = self.api().read(WORKSPACE, "webhook/secret").await.ok();
        secret["secret"].as_str().unwrap().to_owned()
    }

    /// Waits until the last test was a second ago: one a second is allowed.
    pub(crate) async fn until_a_test_may_be_sent(&self) {
        let log = self.api().log(WORKSPACE).await;
        let tested = log.iter().find(|attempt| attempt["trigger"] == "test").map(|test| test["at"].as_str().unwrap());
        let Some(at) = tested.map(|at| at.parse::<Time>().unwrap()) else { return };
        while now().since(at) <= TEST_INTERVAL {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Publishes one message.
    pub(crate) async fn publish(&self, message_id: &str) {
        let text = message_with("+447700900101", message_id, "Good morning! Is the blue one still there? <b>&amp;</b>");
        self.api().publish(WORKSPACE, &text).await.unwrap().ok();
    }

    /// Publishes messages until the webhook has attempted them all.
    pub(crate) async fn deliver(&self, message_ids: &[&str]) {
        for id in message_ids {
            self.publish(id).await;
        }
        let last = message_ids.last().copied().unwrap_or_default();
        self.api()
            .until(WORKSPACE, "the last one was attempted", |now| now["last_attempt"]["message_id"] == last)
            .await;
    }

    /// Ends the browser in order, so that nothing of it is left.
    pub(crate) async fn strike(self) {
        self.browser.close().await;
    }
}
