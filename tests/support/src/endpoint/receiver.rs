//! A receiver that records what it gets, verifies it with the published library, and answers each
//! workspace as it was told. A workspace's URL is `/<workspace>`.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Listening, answer, read_request};
use crate::service::PATIENCE;

/// How a workspace's requests are answered.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The status, unless the message's id asks for another ([`is_bad`]).
    pub status: u16,
    /// How long an answer is held back.
    pub delay: Duration,
    /// The body of the answer.
    pub body: String,
    /// What signatures are verified with.
    pub secret: Option<String>,
    /// After so many requests of the workspace every further one waits for its answer until this is changed.
    pub answered_max: usize,
}

impl Default for Manner {
    fn default() -> Self {
        Self { status: 200, delay: Duration::ZERO, body: "noted".to_owned(), secret: None, answered_max: usize::MAX }
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
    pub body: Arc<[u8]>,
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
    _listening: Listening,
}

struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    /// How many came of each workspace.
    counts: Mutex<HashMap<String, usize>>,
    manners: watch::Sender<HashMap<String, Manner>>,
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
        let (manners, open) = (watch::Sender::default(), watch::Sender::new(true));
        let shared = Arc::new(Shared { arrivals: Mutex::default(), counts: Mutex::default(), manners, open });
        let served = Arc::clone(&shared);
        let listening = Listening::start(on, |listener| serve(listener, served));
        Self { address: listening.address, shared, _listening: listening }
    }

    /// The workspace's URL.
    pub fn url(&self, workspace: &str) -> String {
        format!("http://{}/{workspace}", self.address)
    }

    /// From now on the workspace's requests are answered so.
    pub fn treat(&self, workspace: &str, change: impl FnOnce(&mut Manner)) {
        self.shared.manners.send_modify(|manners| change(manners.entry(workspace.to_owned()).or_default()));
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

    /// Waits until what came fulfils `condition`, for as long as requests come.
    pub async fn until(&self, what: &str, condition: impl Fn(&[Arrival]) -> bool) {
        let (mut came, mut since) = (0, Instant::now());
        while !condition(&self.shared.arrivals.lock().unwrap()) {
            let count = self.count();
            if count > came {
                (came, since) = (count, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "waited in vain until {what}; {count} requests came");
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

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(converse(stream, Arc::clone(&shared)));
    }
}

/// Takes requests until the caller closes.
async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut stream).await {
        let (arrival, manner) = shared.arrival(&request);
        let status = if is_bad(&arrival.message_id) { 500 } else { manner.status };
        let workspace = arrival.workspace.clone();
        let before = shared.note(arrival);
        tokio::time::sleep(manner.delay).await; // What the test asked for.
        shared.open.subscribe().wait_for(|open| *open).await.unwrap();
        let is_answered =
            |manners: &HashMap<String, Manner>| manners.get(&workspace).is_none_or(|now| before < now.answered_max);
        shared.manners.subscribe().wait_for(is_answered).await.unwrap();
        if stream.write_all(&answer(&status.to_string(), "", &manner.body)).await.is_err() {
            return;
        }
    }
}

impl Shared {
    /// Notes a request; answers with how many of its workspace came before.
    fn note(&self, arrival: Arrival) -> usize {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(arrival.workspace.clone()).or_default();
        *count += 1;
        self.arrivals.lock().unwrap().push(arrival);
        *count - 1
    }

    /// What a request says, and how its workspace is treated.
    fn arrival(&self, request: &[u8]) -> (Arrival, Manner) {
        let at = Instant::now();
        let end = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let (head, body) = (std::str::from_utf8(&request[..end]).unwrap(), Arc::<[u8]>::from(&request[end + 4..]));
        let mut lines = head.lines();
        let workspace = lines.next().and_then(|line| line.strip_prefix("POST /")?.strip_suffix(" HTTP/1.1"));
        let workspace = workspace.and_then(|path| path.split('?').next()).expect("a POST to a workspace's URL");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        let headers: HeaderMap = lines.map(|line| header(line).expect("a header")).collect();
        let manner = self.manners.borrow().get(workspace).cloned().unwrap_or_default();
        // A text with half of a character is JSON that no `Value` holds.
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (message_id, chat) = (text("/message/message_id"), text("/message/contact/phone"));
        let verified = manner.secret.as_ref();
        let verified = verified.map(|secret| Webhook::new(secret).unwrap().verify(&body, &headers).is_ok());
        let webhook_id = headers.get("webhook-id").map(|id| id.to_str().unwrap().to_owned()).unwrap_or_default();
        let workspace = workspace.to_owned();
        (Arrival { at, workspace, webhook_id, verified, message_id, chat, body, headers }, manner)
    }
}
