//! A receiver that records what it gets, verifies it with the published library, and answers each
//! workspace as it was told.
//!
//! A workspace's URL is `/<workspace>`. It runs on a thread of its own, so that what a test does
//! costs its answers no time.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::sync::{oneshot, watch};

use crate::service::PATIENCE;

/// How a workspace's requests are answered.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The status, unless the message's id asks for another ([`is_bad`]).
    pub status: u16,
    /// How long an answer is held back.
    pub delay: Duration,
    /// What signatures are verified with.
    pub secret: Option<String>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { status: 200, delay: Duration::ZERO, secret: None }
    }
}

/// Whether a message is one that every receiver answers with 500.
pub fn is_bad(message_id: &str) -> bool {
    message_id.ends_with("-bad")
}

/// One request.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at: Instant,
    pub workspace: String,
    pub webhook_id: String,
    /// `None`: nobody has told the receiver a secret.
    pub verified: Option<bool>,
    pub message_id: String,
    pub chat: String,
    pub body: Bytes,
    pub headers: HeaderMap,
}

impl Arrival {
    /// The value of a header, if it came.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A running receiver; it ends when it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    manners: Mutex<HashMap<String, Manner>>,
    /// Requests whose answer is held back until this is true.
    open: watch::Sender<bool>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::listen(Ipv4Addr::LOCALHOST)
    }

    /// One that answers on every address of this host.
    pub fn start_everywhere() -> Self {
        Self::listen(Ipv4Addr::UNSPECIFIED)
    }

    fn listen(on: Ipv4Addr) -> Self {
        let listener = std::net::TcpListener::bind((on, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { arrivals: Mutex::default(), manners: Mutex::default(), open: watch::Sender::new(true) });
        let router = Router::new().route("/{workspace}", axum::routing::post(receive)).with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    _dropped = stopped => {}
                }
            });
        });
        Self { address, shared, _stop: stop }
    }

    /// The workspace's URL.
    pub fn url(&self, workspace: &str) -> String {
        format!("http://{}/{workspace}", self.address)
    }

    /// From now on the workspace's requests are answered so.
    pub fn treat(&self, workspace: &str, change: impl FnOnce(&mut Manner)) {
        change(self.shared.manners.lock().unwrap().entry(workspace.to_owned()).or_default());
    }

    /// Holds every answer back from now on, until [`Receiver::release`].
    pub fn hold(&self) {
        self.shared.open.send_replace(false);
    }

    pub fn release(&self) {
        self.shared.open.send_replace(true);
    }

    /// What came, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().unwrap().clone()
    }

    /// The message ids of a workspace, in the order in which they came.
    pub fn ids(&self, workspace: &str) -> Vec<String> {
        let arrivals = self.shared.arrivals.lock().unwrap();
        arrivals.iter().filter(|one| one.workspace == workspace).map(|one| one.message_id.clone()).collect()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.shared.arrivals.lock().unwrap().len()
    }

    /// Waits until what came fulfils `condition`.
    pub async fn until(&self, what: &str, condition: impl Fn(&[Arrival]) -> bool) {
        let began = Instant::now();
        while !condition(&self.shared.arrivals.lock().unwrap()) {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}; {} requests came", self.count());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// First appearances, by workspace and chat, in the order in which they came.
pub fn first_appearances(arrivals: &[Arrival]) -> BTreeMap<(String, String), Vec<String>> {
    let mut seen = std::collections::HashSet::new();
    let mut chats: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for one in arrivals.iter().filter(|one| seen.insert(one.message_id.clone())) {
        chats.entry((one.workspace.clone(), one.chat.clone())).or_default().push(one.message_id.clone());
    }
    chats
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> axum::http::Response<Body> {
    let at = Instant::now();
    let manner = shared.manners.lock().unwrap().get(&workspace).cloned().unwrap_or_default();
    // A text with half of a character is JSON that no `Value` holds.
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let message_id = text("/message/message_id");
    let status = if is_bad(&message_id) { 500 } else { manner.status };
    let verified = manner.secret.map(|secret| Webhook::new(&secret).unwrap().verify(&body, &headers).is_ok());
    let webhook_id = headers.get("webhook-id").map(|id| id.to_str().unwrap().to_owned()).unwrap_or_default();
    let chat = text("/message/contact/phone");
    let arrival = Arrival { at, workspace, webhook_id, verified, message_id, chat, body, headers };
    shared.arrivals.lock().unwrap().push(arrival);
    tokio::time::sleep(manner.delay).await; // What the test asked for.
    let mut open = shared.open.subscribe();
    open.wait_for(|open| *open).await.unwrap();
    let answer = axum::http::Response::builder().status(StatusCode::from_u16(status).unwrap());
    answer.body(Body::from("noted")).unwrap()
}
