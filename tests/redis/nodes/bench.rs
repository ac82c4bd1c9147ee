//! Nodes on one Redis, and a receiver.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use outbound::message::WorkspaceId;
use serde_json::{Value, json};

use crate::tally::Tally;
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Service, message};

/// Shards of every service here.
pub(crate) const SHARDS: u16 = 16;

/// Chats of every workspace that messages are appended for.
pub(crate) const CHATS: usize = 3;

/// What signs workspace tokens on every node: 32 bytes.
const TOKEN_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

pub(crate) struct Nodes {
    pub(crate) redis: RedisServer,
    pub(crate) receiver: Receiver,
    pub(crate) nodes: Vec<Service>,
}

impl Nodes {
    /// So many nodes that share the shards, ready and done with moving.
    pub(crate) async fn start(n: usize) -> Self {
        let flags: Vec<&[&str]> = vec![&[]; n];
        let nodes = Self::start_with(&flags).await;
        nodes.until_shared(&(0..n).collect::<Vec<_>>()).await;
        nodes
    }

    /// One node for each list of flags, which listens.
    pub(crate) async fn start_with(flags: &[&[&str]]) -> Self {
        let redis = RedisServer::start();
        let mut nodes = Self { redis, receiver: Receiver::start(), nodes: Vec::new() };
        for flags in flags {
            nodes.add(flags);
        }
        nodes
    }

    /// Starts one more.
    pub(crate) fn add(&mut self, flags: &[&str]) {
        self.add_on("127.0.0.1:0", flags);
    }

    /// Starts one more that listens there.
    pub(crate) fn add_on(&mut self, address: &str, flags: &[&str]) {
        // Each would make a key of its own, and tell that they differ.
        let key = self.redis.folder().join("token-key");
        fs::write(&key, TOKEN_KEY).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let mut node = Service::new(&self.redis.url(), &[flags, &["--token-key-file", key.to_str().unwrap()]].concat());
        node.set("--listen", address);
        node.spawn();
        self.nodes.push(node);
    }

    /// What a node's readyz says, and its status.
    pub(crate) async fn ready(&self, node: usize) -> (u16, Value) {
        let reply = self.nodes[node].api().get("/readyz").await;
        (reply.status.as_u16(), reply.body)
    }

    /// Waits until a node is ready; answers with what it says then. A store that is slow for a moment keeps it from that.
    pub(crate) async fn until_ready(&self, node: usize) -> Value {
        let said = RefCell::new(Value::Null);
        until(&format!("node {node} is ready"), async || {
            let (status, body) = self.ready(node).await;
            said.replace(body);
            status == 200
        })
        .await;
        said.into_inner()
    }

    /// What a node runs, as its readyz says.
    pub(crate) async fn held(&self, node: usize) -> BTreeSet<u64> {
        let (_, body) = self.ready(node).await;
        numbers(&body["shards"]["held"])
    }

    /// Waits until a node runs exactly these.
    pub(crate) async fn until_holds(&self, node: usize, shards: &[u64]) {
        let wanted: BTreeSet<u64> = shards.iter().copied().collect();
        until(&format!("node {node} runs {shards:?}"), async || self.held(node).await == wanted).await;
    }

    /// Waits until these nodes are ready, run every shard once, and none runs more than its part.
    pub(crate) async fn until_shared(&self, among: &[usize]) {
        let part = usize::from(SHARDS).div_ceil(among.len());
        until(&format!("{among:?} share the shards"), async || {
            let (mut all, mut count) = (BTreeSet::new(), 0);
            for node in among {
                let (status, body) = self.ready(*node).await;
                let held = numbers(&body["shards"]["held"]);
                let quiet = body["reasons"].as_array().is_some_and(Vec::is_empty);
                if status != 200 || !quiet || held.len() > part {
                    return false;
                }
                count += held.len();
                all.extend(held);
            }
            (all.len(), count) == (usize::from(SHARDS), usize::from(SHARDS))
        })
        .await;
    }

    /// Saves the receiver's URL for workspaces, through the first node.
    pub(crate) async fn save(&self, workspaces: &[String]) {
        for workspace in workspaces {
            self.nodes[0].api().save(workspace, &json!({"url": self.receiver.url(workspace)})).await.ok();
        }
    }

    /// Appends messages in turn, so many a second, in a thread of its own. Answers when each was appended.
    pub(crate) fn load(
        &self,
        workspaces: &[String],
        messages: usize,
        a_second: u32,
    ) -> JoinHandle<BTreeMap<String, Instant>> {
        self.append(workspaces, "", messages, a_second, Arc::default())
    }

    /// The same until it is told to stop, with a name in the messages' ids.
    pub(crate) fn steady_load(&self, workspaces: &[String], name: &str, a_second: u32) -> SteadyLoad {
        let stop = Arc::<AtomicBool>::default();
        let thread = self.append(workspaces, name, usize::MAX, a_second, Arc::clone(&stop));
        SteadyLoad { stop, thread }
    }

    fn append(
        &self,
        workspaces: &[String],
        name: &str,
        messages: usize,
        a_second: u32,
        stop: Arc<AtomicBool>,
    ) -> JoinHandle<BTreeMap<String, Instant>> {
        let (url, workspaces, name) = (self.redis.url(), workspaces.to_vec(), name.to_owned());
        std::thread::spawn(move || {
            let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
            let (began, mut sent) = (Instant::now(), BTreeMap::new());
            let all = workspaces.iter().cycle().take(messages).enumerate();
            for (n, workspace) in all.take_while(|_| !stop.load(Ordering::SeqCst)) {
                let due = began + Duration::from_secs(1) * u32::try_from(n).unwrap() / a_second;
                std::thread::sleep(due.saturating_duration_since(Instant::now())); // The rate is what is wanted.
                let id = format!("{workspace}-{name}{n:05}");
                let text = message(&format!("+{}", n % CHATS), &id);
                sent.insert(id, Instant::now());
                let mut add = redis::cmd("XADD");
                add.arg(stream(workspace)).arg("*").arg("workspace").arg(workspace).arg("message").arg(text);
                add.query::<String>(&mut connection).unwrap();
            }
            sent
        })
    }

    /// Ends the load, waits until nothing is owed, and answers what became of all of it.
    pub(crate) async fn tally(&self, load: SteadyLoad) -> Tally {
        let sent = load.finish();
        self.until_settled().await;
        Tally::of(&sent, &self.receiver.arrivals())
    }

    /// Waits until nothing is owed.
    pub(crate) async fn until_settled(&self) {
        let owed = || (0..SHARDS).map(|n| self.redis.call::<usize>(&["XLEN", &format!("outbound:{{{n}}}:messages")]));
        until("nothing is owed", async || owed().sum::<usize>() == 0).await;
    }

    /// Waits until the list of nodes that one of them shows names so many.
    pub(crate) async fn until_listed(&self, by: usize, nodes: usize) {
        let listed = async || self.nodes[by].api().get("/v1/nodes").await.ok()["nodes"].as_array().map(Vec::len);
        until(&format!("{nodes} nodes are listed"), async || listed().await == Some(nodes)).await;
    }

    /// The id of a node.
    pub(crate) fn id(&self, node: usize) -> String {
        fs::read_to_string(self.nodes[node].data_dir().join("node-id")).unwrap().trim().to_owned()
    }
}

/// Messages that a thread goes on appending.
pub(crate) struct SteadyLoad {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, Instant>>,
}

impl SteadyLoad {
    /// Ends it. Answers when each was appended.
    pub(crate) fn finish(self) -> BTreeMap<String, Instant> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the producer")
    }
}

pub(crate) fn numbers(list: &Value) -> BTreeSet<u64> {
    list.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

pub(crate) fn stream(workspace: &str) -> String {
    let shard = workspace.parse::<WorkspaceId>().unwrap().shard(SHARDS);
    format!("outbound:{{{shard}}}:messages")
}

pub(crate) fn workspaces(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("w{n}")).collect()
}
