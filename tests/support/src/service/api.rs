//! A client of a service's facade, and messages to publish with it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{PATIENCE, TOKEN};
use crate::process::{LOOK, moment};

/// A client of the facade. It and its clones find the service again after every start.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    pub(super) address: Arc<Mutex<SocketAddr>>,
    pub token: Option<String>,
}

/// What the facade answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    /// JSON, or `null` when the answer is none.
    pub body: Value,
}

impl Reply {
    /// The body of a call that must succeed.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// Status and the last part of the problem's type.
    pub fn problem(&self) -> (u16, &str) {
        let kind = self.body["type"].as_str().and_then(|kind| kind.rsplit(':').next());
        (self.status.as_u16(), kind.unwrap_or_default())
    }
}

impl Api {
    pub(super) fn new() -> Self {
        // An error says that the test has installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        // Idle connections go well before the service closes them (`config::REQUEST_READ_TIMEOUT`): a request
        // on one that is closed at that moment fails.
        let idle = Duration::from_secs(2);
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).pool_idle_timeout(idle).build().unwrap();
        let nowhere = Arc::new(Mutex::new(([127, 0, 0, 1], 0).into()));
        Self { client, address: nowhere, token: Some(TOKEN.to_owned()) }
    }

    pub fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap()
    }

    /// Calls `path`; the error is that of a connection.
    pub async fn call(&self, method: Method, path: &str, body: Option<&str>) -> reqwest::Result<Reply> {
        self.call_with(method, path, &[], body).await
    }

    /// The same with more headers.
    pub async fn call_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> reqwest::Result<Reply> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address()));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Reply { status, headers, body })
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, None).await.unwrap()
    }

    /// `/v1/workspaces/{workspace}/{resource}`.
    pub async fn read(&self, workspace: &str, resource: &str) -> Reply {
        self.get(&format!("/v1/workspaces/{workspace}/{resource}")).await
    }

    /// Saves the webhook of a workspace.
    pub async fn save(&self, workspace: &str, webhook: &Value) -> Reply {
        let path = format!("/v1/workspaces/{workspace}/webhook");
        self.call(Method::PUT, &path, Some(&webhook.to_string())).await.unwrap()
    }

    /// The same, on the condition that the webhook still has the tag.
    pub async fn save_if(&self, workspace: &str, if_match: &str, webhook: &Value) -> Reply {
        let path = format!("/v1/workspaces/{workspace}/webhook");
        let headers = [("if-match", if_match)];
        self.call_with(Method::PUT, &path, &headers, Some(&webhook.to_string())).await.unwrap()
    }

    /// The present tag of the webhook.
    pub async fn etag(&self, workspace: &str) -> String {
        self.read(workspace, "webhook").await.headers["etag"].to_str().unwrap().to_owned()
    }

    /// The same facade for whoever holds a new token of the workspace in the name of `subject`.
    pub async fn with_token_of(&self, workspace: &str, subject: &str) -> Self {
        let body = json!({"subject": subject}).to_string();
        let token = self.call(Method::POST, &format!("/v1/workspaces/{workspace}/tokens"), Some(&body)).await.unwrap();
        Self { token: token.ok()["token"].as_str().map(str::to_owned), ..self.clone() }
    }

    /// Tests the webhook, after a save if there is one.
    pub async fn test(&self, workspace: &str, save: Option<&Value>) -> Reply {
        let path = format!("/v1/workspaces/{workspace}/webhook/test");
        self.call(Method::POST, &path, save.map(Value::to_string).as_deref()).await.unwrap()
    }

    /// Tests the webhook as soon as that may be: one test a second is allowed.
    pub async fn test_soon(&self, workspace: &str, body: Option<&str>) -> Reply {
        self.post_soon(&format!("/v1/workspaces/{workspace}/webhook/test"), body).await
    }

    /// Sends what an attempt sent once more, as soon as that may be.
    pub async fn again(&self, workspace: &str, attempt: &str) -> Reply {
        self.post_soon(&format!("/v1/workspaces/{workspace}/attempts/{attempt}/again"), None).await
    }

    async fn post_soon(&self, path: &str, body: Option<&str>) -> Reply {
        let began = Instant::now();
        loop {
            let reply = self.call(Method::POST, path, body).await.unwrap();
            if reply.problem() != (429, "test-too-soon") {
                return reply;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {path} to be allowed");
            moment(LOOK).await;
        }
    }

    /// Publishes a message; the error is that of a connection.
    pub async fn publish(&self, workspace: &str, message: &str) -> reqwest::Result<Reply> {
        self.call(Method::POST, &format!("/v1/workspaces/{workspace}/messages"), Some(message)).await
    }

    /// The webhook's state.
    pub async fn webhook(&self, workspace: &str) -> Value {
        self.read(workspace, "webhook").await.ok()
    }

    /// The log, newest first.
    pub async fn log(&self, workspace: &str) -> Vec<Value> {
        let Value::Array(log) = self.read(workspace, "attempts/log").await.ok() else { panic!("the log is no array") };
        log
    }

    /// Waits until the webhook's state is as `wanted`, for as long as it changes.
    pub async fn until(&self, workspace: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut changed = Instant::now();
        let mut webhook = self.webhook(workspace).await;
        while !wanted(&webhook) {
            assert!(changed.elapsed() < PATIENCE, "waited in vain until {what}: {webhook:#}");
            moment(LOOK).await;
            let newer = self.webhook(workspace).await;
            if newer != webhook {
                (changed, webhook) = (Instant::now(), newer);
            }
        }
        webhook
    }

    pub(super) async fn is_ready(&self) -> bool {
        let probe = self.call(Method::GET, "/readyz", None).await;
        probe.is_ok_and(|reply| reply.status == StatusCode::OK)
    }
}

/// A message of a chat.
pub fn message(chat: &str, message_id: &str) -> String {
    message_with(chat, message_id, "lorem ipsum")
}

/// A message of a chat with a text.
pub fn message_with(chat: &str, message_id: &str, text: &str) -> String {
    json!({
        "whatsapp account": {"full name": "John Doe", "phone": "+972540000000"},
        "contact": {"full name": "Jane Smith", "is_group": false, "phone": chat},
        "direction": "received",
        "timestamp": "2021-02-24T06:25:29+0000",
        "message_id": message_id,
        "text": text,
    })
    .to_string()
}
