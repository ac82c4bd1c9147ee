//! The service under test: the real program as a process of its own, configured over HTTP.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Map, Value, json};
use support::process::{PATIENCE, Process, outbound};
use support::service::TOKEN;

use super::store::workspace;

/// Webhooks that are saved, or read, at a time.
const CALLS_AT_ONCE: usize = 64;

/// A running service.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) process: Process,
    base: String,
}

impl Outbound {
    /// Starts it on `journal` and waits until it listens. Its log goes to a file in the data directory.
    pub(crate) fn start(journal: &str, data_dir: &Path, more: &[&str]) -> Self {
        std::fs::create_dir_all(data_dir).expect("a data directory");
        let log = std::fs::File::options().create(true).append(true).open(data_dir.join("log"));
        let (process, base) = Process::serve(
            outbound(&["serve", "--listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8", "--journal", journal])
                .args(more)
                .arg("--data-dir")
                .arg(data_dir)
                .env("OUTBOUND_ADMIN_TOKEN", TOKEN)
                .stderr(Stdio::from(log.expect("a log file"))),
        );
        Self { process, base }
    }

    /// Waits until every shard is held and loaded.
    pub(crate) async fn ready(&self) {
        let client = client();
        let began = Instant::now();
        while !client.get(format!("{}/readyz", self.base)).send().await.is_ok_and(|answer| answer.status().is_success())
        {
            assert!(began.elapsed() < PATIENCE, "the service does not become ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Saves the webhook of each workspace.
    pub(crate) async fn configure(&self, webhooks: impl Iterator<Item = (usize, String)>) {
        self.save(webhooks, true, 0).await;
    }

    /// The same with so many custom headers each.
    pub(crate) async fn configure_with(&self, webhooks: impl Iterator<Item = (usize, String)>, headers: usize) {
        self.save(webhooks, true, headers).await;
    }

    /// Switches the webhook of each workspace off.
    pub(crate) async fn switch_off(&self, webhooks: impl Iterator<Item = (usize, String)>) {
        self.save(webhooks, false, 0).await;
    }

    async fn save(&self, webhooks: impl Iterator<Item = (usize, String)>, enabled: bool, headers: usize) {
        let client = client();
        let headers: Map<String, Value> =
            (0..headers).map(|n| (format!("x-growth-{n}"), format!("a value of header {n}").into())).collect();
        let saves = stream::iter(webhooks).map(|(workspace, url)| {
            let body = json!({ "url": url, "enabled": enabled, "headers": headers });
            let call = client.put(self.webhook(workspace)).bearer_auth(TOKEN).json(&body);
            async move { call.send().await.and_then(reqwest::Response::error_for_status).expect("a saved webhook") }
        });
        saves.buffer_unordered(CALLS_AT_ONCE).for_each(|_| async {}).await;
    }

    /// What the API tells of each workspace's webhook.
    pub(crate) async fn webhooks(&self, workspaces: impl Iterator<Item = usize>) -> Vec<Value> {
        let client = client();
        let reads = stream::iter(workspaces).map(|workspace| {
            let call = client.get(self.webhook(workspace)).bearer_auth(TOKEN);
            async move { call.send().await.expect("an answer").json().await.expect("a webhook") }
        });
        reads.buffered(CALLS_AT_ONCE).collect().await
    }

    /// Publishes messages of a workspace, one a request and many at a time.
    pub(crate) async fn publish(&self, number: usize, messages: Vec<String>) {
        let client = client();
        let url = format!("{}/v1/workspaces/{}/messages", self.base, workspace(number));
        let calls = stream::iter(messages).map(|message| {
            let call = client.post(&url).bearer_auth(TOKEN).header("content-type", "application/json").body(message);
            async move { call.send().await.and_then(reqwest::Response::error_for_status).expect("a published message") }
        });
        calls.buffer_unordered(CALLS_AT_ONCE).for_each(|_| async {}).await;
    }

    /// Its URL, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn webhook(&self, number: usize) -> String {
        format!("{}/v1/workspaces/{}/webhook", self.base, workspace(number))
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("an HTTP client")
}
