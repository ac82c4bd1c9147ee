//! A real cluster under load: a primary that dies, one that sleeps, slots that move. The messages that a replica has
//! too (WAIT) all come; what Redis lost of our own commits is attempted again and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::Connection;
use serde_json::json;

use crate::chaos::bench::{Parcel, parcels, stream_of, workspaces};
use crate::tally::Tally;
use support::endpoint::Receiver;
use support::process::{PATIENCE, until};
use support::redis_cluster::RedisCluster;
use support::service::Service;

pub(crate) const WORKSPACES: usize = 12;
pub(crate) const MESSAGES: usize = 80;
pub(crate) const CHATS: usize = 3;
/// How long the producer waits until a replica has a message.
const REPLICA_WAIT_MS: usize = 500;
/// The nodes from here on begin as replicas.
const REPLICAS_FROM: usize = 3;
/// Both primaries that hold a shard of two are known by the slots of their tags: {0} is 13907, {1} is 9842.
const MOVED_SHARD: &str = "outbound:{0}:owner";

struct OnCluster {
    cluster: RedisCluster,
    service: Service,
    receiver: Receiver,
    workspaces: Vec<String>,
}

impl OnCluster {
    async fn start() -> Self {
        let cluster = RedisCluster::start();
        let service = Service::start(&cluster.url(), &["--shards", "2"]).await;
        let (receiver, workspaces) = (Receiver::start(), workspaces("w", WORKSPACES));
        for workspace in &workspaces {
            receiver.treat(workspace, |how| how.delay = Duration::from_millis(60));
            service.api().save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
        }
        Self { cluster, service, receiver, workspaces }
    }

    fn load(&self) -> ClusterLoad {
        let urls = self.cluster.nodes.iter().map(support::redis_server::RedisServer::url).collect();
        ClusterLoad::start(urls, REPLICAS_FROM, parcels(&self.workspaces, "m", MESSAGES, CHATS))
    }

    /// Everything that the cluster said it has came, in order, and nothing is owed.
    async fn check(&self, load: ClusterLoad, repeated_max: usize, what: &str) {
        let acknowledged = load.finish();
        assert!(acknowledged.len() > WORKSPACES * MESSAGES / 2, "{} messages are replicated", acknowledged.len());
        let owed = || {
            (0..2)
                .map(|shard| format!("outbound:{{{shard}}}:messages"))
                .map(|key| self.cluster.call::<usize>(&key, &["XLEN", &key]))
                .sum::<usize>()
        };
        until("nothing is owed", async || owed() == 0).await;
        let tally = Tally::of(&acknowledged, &self.receiver.arrivals());
        tally.tell(what);
        let Tally { lost, repeated: again, .. } = tally;
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(again.len() <= repeated_max, "{} attempted again: {again:?}", again.len());
        until("the service is ready", async || self.service.api().get("/readyz").await.status == 200).await;
    }
}

/// Messages that a thread appends, each until the primary and its replica have it.
pub(crate) struct ClusterLoad {
    thread: std::thread::JoinHandle<BTreeMap<String, Instant>>,
    sent: Arc<AtomicUsize>,
}

impl ClusterLoad {
    /// Nodes from `replicas_from` on begin as replicas.
    pub(crate) fn start(urls: Vec<String>, replicas_from: usize, parcels: Vec<Parcel>) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let thread = std::thread::spawn(move || {
            let mut producer = ClusterProducer::new(urls, replicas_from);
            let mut acknowledged = BTreeMap::new();
            for parcel in parcels {
                if let Some(at) = producer.add(&parcel) {
                    acknowledged.insert(parcel.id, at);
                }
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2)); // The pace of the load, nothing that is waited for.
            }
            acknowledged
        });
        Self { thread, sent }
    }

    pub(crate) async fn until_sent(&self, n: usize) {
        let are_sent = async || self.sent.load(Ordering::SeqCst) >= n || self.thread.is_finished();
        until("so many are sent", are_sent).await;
    }

    /// When each message was appended that a replica has too.
    pub(crate) fn finish(self) -> BTreeMap<String, Instant> {
        self.thread.join().expect("the producer")
    }
}

struct ClusterProducer {
    urls: Vec<String>,
    replicas_from: usize,
    /// By node.
    connections: Vec<Option<Connection>>,
    /// The node that took the last message of a stream.
    nodes: BTreeMap<String, usize>,
}

impl ClusterProducer {
    fn new(urls: Vec<String>, replicas_from: usize) -> Self {
        Self { connections: urls.iter().map(|_| None).collect(), urls, replicas_from, nodes: BTreeMap::new() }
    }

    /// When the message was appended, if a replica has it too. One whose fate is unknown is not sent again.
    fn add(&mut self, parcel: &Parcel) -> Option<Instant> {
        let (began, stream) = (Instant::now(), stream_of(&parcel.workspace));
        let mut node = self.nodes.get(&stream).copied().unwrap_or(0);
        loop {
            assert!(began.elapsed() < PATIENCE, "no node takes messages of {}", parcel.workspace);
            // A replica that was promoted has none of its own, and nobody kills a second node.
            let wanted = usize::from(node < self.replicas_from);
            let Some(connection) = self.connected(node) else {
                node = (node + 1) % self.urls.len();
                std::thread::sleep(Duration::from_millis(5)); // Until one of them is there.
                continue;
            };
            let mut both = redis::pipe();
            both.cmd("XADD").arg(&stream).arg("*").arg("workspace").arg(&parcel.workspace);
            both.arg("message").arg(&parcel.message).ignore().cmd("WAIT").arg(wanted).arg(REPLICA_WAIT_MS);
            let at = Instant::now();
            match both.query::<(usize,)>(connection) {
                Ok((replicas,)) => {
                    let is_replicated = replicas >= wanted;
                    // One without a replica may have been cut off from the others: they say who follows it.
                    self.nodes.insert(stream, if is_replicated { node } else { (node + 1) % self.urls.len() });
                    return is_replicated.then_some(at);
                }
                // Refused: nothing was stored, and another node may be the one to ask.
                Err(error) if error.code().is_some() => {
                    node = (node + 1) % self.urls.len();
                    std::thread::sleep(Duration::from_millis(5)); // Until one of them takes it.
                }
                Err(_) => {
                    self.connections[node] = None;
                    return None;
                }
            }
        }
    }

    fn connected(&mut self, node: usize) -> Option<&mut Connection> {
        if self.connections[node].is_none() {
            self.connections[node] = connect(&self.urls[node]).ok();
        }
        self.connections[node].as_mut()
    }
}

fn connect(url: &str) -> redis::RedisResult<Connection> {
    let connection = redis::Client::open(url)?.get_connection_with_timeout(Duration::from_millis(300))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(connection)
}

#[tokio::test]
async fn a_primary_that_is_killed_is_followed_by_its_replica() {
    let mut on = OnCluster::start().await;
    let load = on.load();
    load.until_sent(200).await;
    let primary = on.cluster.primary_of(MOVED_SHARD);
    on.cluster.nodes[primary].kill();
    on.cluster.take_over(primary);
    let promoted = on.cluster.primary_of(MOVED_SHARD);
    assert_ne!(promoted, primary);
    // What the dead primary had acknowledged and not yet sent on: of each workspace what was under way.
    on.check(load, WORKSPACES * CHATS, "a primary of a cluster is killed").await;
}

#[tokio::test]
async fn a_primary_that_slept_and_wakes_up_as_a_replica_does_no_harm() {
    let on = OnCluster::start().await;
    let load = on.load();
    load.until_sent(200).await;
    let primary = on.cluster.primary_of(MOVED_SHARD);
    on.cluster.nodes[primary].pause();
    on.cluster.take_over(primary);
    let others = on.cluster.nodes.iter().enumerate().filter(|(n, _)| *n != primary);
    let urls: Vec<String> = others.map(|(_, node)| node.url()).collect();
    until("a replica is promoted", async || urls.iter().any(|url| serves(url, MOVED_SHARD))).await;
    load.until_sent(500).await;
    on.cluster.nodes[primary].resume();
    on.check(load, WORKSPACES * CHATS, "a primary of a cluster sleeps and wakes up as a replica").await;
}

#[tokio::test]
async fn a_seed_that_is_cut_off_from_the_others_misleads_nobody() {
    let on = OnCluster::start().await;
    let load = on.load();
    load.until_sent(200).await;
    let primary = on.cluster.primary_of(MOVED_SHARD);
    assert!(on.cluster.url().starts_with(&format!("redis+cluster://127.0.0.1:{},", on.cluster.nodes[primary].port())));
    on.cluster.cut_off(primary);
    on.check(load, WORKSPACES * CHATS, "a primary is cut off from its cluster").await;
}

#[tokio::test]
async fn slots_that_move_under_load_are_followed() {
    let on = OnCluster::start().await;
    let load = on.load();
    for (moved, sent) in [(1, 150), (2, 350), (3, 550)] {
        load.until_sent(sent).await;
        let from = on.cluster.primary_of(MOVED_SHARD);
        let to = (0..3).cycle().skip(from + 1).find(|to| *to != from).unwrap();
        migrate(&on.cluster, from, to);
        assert_eq!(on.cluster.primary_of(MOVED_SHARD), to, "move {moved}");
    }
    on.check(load, 0, "a slot moves three times under load").await;
    assert_eq!(on.receiver.count(), WORKSPACES * MESSAGES);
}

fn serves(url: &str, key: &str) -> bool {
    connect(url).and_then(|mut connection| redis::cmd("TYPE").arg(key).query::<String>(&mut connection)).is_ok()
}

/// Moves the slot of [`MOVED_SHARD`] as `redis-cli --cluster reshard` does: a few keys at a time.
fn migrate(cluster: &RedisCluster, from: usize, to: usize) {
    let (from, to) = (&cluster.nodes[from], &cluster.nodes[to]);
    let slot = from.call::<u64>(&["CLUSTER", "KEYSLOT", MOVED_SHARD]).to_string();
    let [from_id, to_id] = [from, to].map(|node| node.call::<String>(&["CLUSTER", "MYID"]));
    let () = to.call(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    let () = from.call(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = to.port().to_string();
    loop {
        let keys: Vec<String> = from.call(&["CLUSTER", "GETKEYSINSLOT", &slot, "5"]);
        if keys.is_empty() {
            break;
        }
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        migrate.extend(keys.iter().map(String::as_str));
        let () = from.call(&migrate);
    }
    for node in [to, from] {
        let () = node.call(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
}
