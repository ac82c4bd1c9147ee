//! The bare loop, the yardstick: XREAD → reqwest POST → commit, and nothing else. No actors, no order, no
//! parsing, no signature. Two current-thread runtimes, each with its own client, shard and connections,
//! 256 POSTs in flight, two commits in flight on one connection. A process of its own.
//!
//! Its commit is fixed: XADD of 1.2 KB, SET of 300 bytes once a workspace a batch, one variadic XDEL.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{AsyncConnectionConfig, Client};
use tokio::sync::mpsc;

use super::receiver;

/// POSTs in flight over all threads.
const IN_FLIGHT: usize = 256;
/// Entries a read, and outcomes a commit.
const BATCH: usize = 256;
/// Commits in flight on a connection.
const COMMITS: usize = 2;
const EVENT_BYTES: usize = 1_200;
const SNAPSHOT_BYTES: usize = 300;

/// The input stream of a thread.
pub(crate) fn stream(thread: usize) -> String {
    format!("bare:{{{thread}}}:messages")
}

/// What the loop is told on its command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BareArgs {
    /// Where Redis is
    #[arg(long)]
    pub(crate) redis: String,
    /// The receiver's port
    #[arg(long)]
    pub(crate) port: u16,
    /// Endpoints that the workspaces share
    #[arg(long)]
    pub(crate) endpoints: usize,
    /// Threads, each with a shard
    #[arg(long)]
    pub(crate) threads: usize,
}

struct Entry {
    id: String,
    workspace: String,
    url: String,
    body: Vec<u8>,
}

/// Runs until it is killed.
pub(crate) fn run(args: &BareArgs) {
    let threads: Vec<_> = (0..args.threads)
        .map(|thread| {
            let args = args.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(deliver(thread, &args));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread that never ends"));
}

async fn deliver(thread: usize, args: &BareArgs) {
    let http = reqwest::Client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("an HTTP client");
    let redis = Client::open(args.redis.as_str()).expect("the URL of Redis");
    let (read, mut entries) = mpsc::channel(BATCH);
    tokio::spawn(read_forward(connection(&redis).await, stream(thread), args.clone(), read));
    let commit = Commit::new(connection(&redis).await, thread).await;
    let (in_flight_max, mut posts, mut commits) =
        (IN_FLIGHT / args.threads, FuturesUnordered::new(), FuturesUnordered::new());
    let mut done: Vec<(String, String)> = Vec::new();
    loop {
        while commits.len() < COMMITS && !done.is_empty() {
            let batch = done.drain(..done.len().min(BATCH)).collect();
            commits.push(commit.clone().apply(batch));
        }
        tokio::select! {
            Some(outcome) = posts.next() => done.push(outcome),
            Some(()) = commits.next() => {}
            Some(entry) = entries.recv(), if posts.len() < in_flight_max => posts.push(post(http.clone(), entry)),
        }
    }
}

async fn post(http: reqwest::Client, entry: Entry) -> (String, String) {
    let request = http.post(entry.url).header("content-type", "application/json").body(entry.body);
    if let Ok(response) = request.send().await {
        response.bytes().await.ok();
    }
    (entry.id, entry.workspace)
}

async fn read_forward(mut redis: MultiplexedConnection, stream: String, args: BareArgs, entries: mpsc::Sender<Entry>) {
    let mut cursor = "0".to_owned();
    loop {
        let mut cmd = redis::cmd("XREAD");
        cmd.arg("COUNT").arg(BATCH).arg("BLOCK").arg(100).arg("STREAMS").arg(&stream).arg(&cursor);
        let reply: Option<StreamReadReply> = cmd.query_async(&mut redis).await.expect("an answer to XREAD");
        for entry in reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids) {
            let workspace: String = entry.get("workspace").expect("a workspace");
            let body = entry.get("message").expect("a message");
            let number: usize = workspace[1..].parse().expect("a number");
            let url = receiver::url("ok", number, args.endpoints, args.port);
            cursor.clone_from(&entry.id);
            if entries.send(Entry { id: entry.id, workspace, url, body }).await.is_err() {
                return;
            }
        }
    }
}

async fn connection(redis: &Client) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    redis.get_multiplexed_async_connection_with_config(&config).await.expect("a connection to Redis")
}

/// Makes outcomes durable.
#[derive(Clone)]
struct Commit {
    redis: MultiplexedConnection,
    /// What the server calls the script.
    script: String,
    thread: usize,
    event: String,
    snapshot: String,
}

impl Commit {
    async fn new(mut redis: MultiplexedConnection, thread: usize) -> Self {
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(include_str!("bare.lua")).to_owned();
        let script = load.query_async(&mut redis).await.expect("a script that loads");
        Self { redis, script, thread, event: "e".repeat(EVENT_BYTES), snapshot: "s".repeat(SNAPSHOT_BYTES) }
    }

    async fn apply(mut self, batch: Vec<(String, String)>) {
        let key = |kind: &str, workspace: &str| format!("bare:{{{}}}:{kind}:{workspace}", self.thread);
        let workspaces: BTreeSet<&str> = batch.iter().map(|(_, workspace)| workspace.as_str()).collect();
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.script).arg(1 + batch.len() + workspaces.len()).arg(stream(self.thread));
        for (_, workspace) in &batch {
            call.arg(key("attempts", workspace));
        }
        for workspace in &workspaces {
            call.arg(key("snapshot", workspace));
        }
        call.arg(batch.len()).arg(workspaces.len());
        // All of them travel, as they must where one differs from the next.
        for _ in &batch {
            call.arg(&self.event);
        }
        for _ in &workspaces {
            call.arg(&self.snapshot);
        }
        for (id, _) in &batch {
            call.arg(id);
        }
        call.query_async::<()>(&mut self.redis).await.expect("a commit");
    }
}
