//! A Redis Cluster of one test's own: three primaries with a third of the slots each, and a replica of each.

use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, RedisResult};

use crate::process::PATIENCE;
use crate::redis_server::RedisServer;

/// How long a node may be silent before the others take it for failed: so long that none is that only waits for a
/// processor. A test that loses one says who takes its place ([`RedisCluster::take_over`]).
const NODE_TIMEOUT_MS: &str = "15000";
const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// Three primaries, then their replicas, in the same order.
#[derive(Debug)]
pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one, and waits until every node takes every slot for served and every replica follows.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further configuration.
    pub fn start_with(more: &[&str]) -> Self {
        let config = [&["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT_MS], more].concat();
        let nodes: Vec<RedisServer> = (0..2 * PRIMARIES).map(|_| RedisServer::start_with(&config)).collect();
        for (n, node) in nodes.iter().enumerate() {
            // Of two with the same epoch none gives way to the other, and one that is dead takes no other epoch.
            let () = node.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            if n < PRIMARIES {
                let [first, behind] = [n, n + 1].map(|n| n * SLOTS / PRIMARIES);
                let () = node.call(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(behind - 1).to_string()]);
            }
            let () = nodes[0].call(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string()]);
        }
        let cluster = Self { nodes };
        cluster.until("the nodes know each other", |node| info(node, "cluster_known_nodes") == "6");
        for (primary, replica) in cluster.nodes.iter().zip(&cluster.nodes[PRIMARIES..]) {
            let () = replica.call(&["CLUSTER", "REPLICATE", &primary.call::<String>(&["CLUSTER", "MYID"])]);
        }
        cluster.until("every slot is served", |node| info(node, "cluster_state") == "ok");
        let follows =
            |node: &RedisServer| node.call::<String>(&["INFO", "replication"]).contains("master_link_status:up");
        let replicas = cluster.nodes[PRIMARIES..].iter().map(RedisServer::port).collect::<Vec<_>>();
        cluster.until("the replicas follow", |node| !replicas.contains(&node.port()) || follows(node));
        cluster
    }

    /// What `--journal` takes: all nodes as seeds, the last primary first.
    pub fn url(&self) -> String {
        let nodes = self.nodes.iter().cycle().skip(PRIMARIES - 1).take(self.nodes.len());
        let seeds: Vec<String> = nodes.map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}", seeds.join(","))
    }

    /// Cuts the node off from the others as a partition of their network would, and lets its replica take over. It
    /// still answers, and knows only what was before.
    pub fn cut_off(&self, primary: usize) {
        let id = |node: &RedisServer| node.call::<String>(&["CLUSTER", "MYID"]);
        let (lost, replica) = (&self.nodes[primary], &self.nodes[primary + PRIMARIES]);
        let others = || self.nodes.iter().filter(|node| node.port() != lost.port() && node.port() != replica.port());
        let forget = |node: &RedisServer, whom: &RedisServer| node.call::<()>(&["CLUSTER", "FORGET", &id(whom)]);
        // Since 7.2 a node tells those that it knows whom it forgets, so nobody may know the lost one when it forgets them.
        others().for_each(|node| forget(node, lost));
        forget(lost, replica);
        let () = replica.call(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
        // A replica cannot forget whom it follows. It may have been told to meanwhile.
        if replica.call::<String>(&["CLUSTER", "NODES"]).contains(&id(lost)) {
            forget(replica, lost);
        }
        // Last, for whoever knows it would forget them, too.
        others().for_each(|node| forget(lost, node));
    }

    /// Waits until the replica of a primary has all that the primary has now.
    pub fn until_replicated(&self, primary: usize) {
        let offset = |node: &RedisServer| {
            let info: String = node.call(&["INFO", "replication"]);
            let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
            offset.and_then(|offset| offset.trim().parse::<u64>().ok()).expect("an offset")
        };
        let has = offset(&self.nodes[primary]);
        let began = Instant::now();
        while offset(&self.nodes[primary + PRIMARIES]) < has {
            assert!(began.elapsed() < PATIENCE, "the replica lags behind");
            std::thread::sleep(Duration::from_millis(20)); // Until it has it.
        }
    }

    /// Lets the replica of a primary that is away take its place, once it has read all that was on its way to it.
    pub fn take_over(&self, primary: usize) {
        let replica = &self.nodes[primary + PRIMARIES];
        let began = Instant::now();
        let heard = "master_last_io_seconds_ago:0\r";
        while replica.call::<String>(&["INFO", "replication"]).contains(heard) {
            assert!(began.elapsed() < PATIENCE, "its primary is not away");
            std::thread::sleep(Duration::from_millis(20)); // Until it hears nothing more.
        }
        let () = replica.call(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    }

    /// The index of the node that serves the key now, as it says itself.
    pub fn primary_of(&self, key: &str) -> usize {
        let began = Instant::now();
        loop {
            let serves = |node: &RedisServer| node.pid() != 0 && connected(node, |on| type_of(on, key)).is_ok();
            if let Some(found) = self.nodes.iter().position(serves) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "no node serves {key}");
            std::thread::sleep(Duration::from_millis(20)); // Until one does.
        }
    }

    /// Runs a command on the node that serves the key now, again while it refuses or is away.
    pub fn call<T: FromRedisValue>(&self, key: &str, words: &[&str]) -> T {
        let began = Instant::now();
        loop {
            let node = &self.nodes[self.primary_of(key)];
            let mut cmd = redis::cmd(words[0]);
            cmd.arg(&words[1..]);
            match connected(node, |on| cmd.query(on)) {
                Ok(answer) => return answer,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{words:?}: {error}"),
            }
        }
    }

    fn until(&self, what: &str, is_so: impl Fn(&RedisServer) -> bool) {
        let began = Instant::now();
        while !self.nodes.iter().all(&is_so) {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(20)); // Until it is so.
        }
    }
}

fn info(node: &RedisServer, name: &str) -> String {
    let info: String = node.call(&["CLUSTER", "INFO"]);
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Answers only where the key is served: a replica and a stranger say MOVED.
fn type_of(on: &mut Connection, key: &str) -> RedisResult<String> {
    redis::cmd("TYPE").arg(key).query(on)
}

fn connected<T>(node: &RedisServer, ask: impl FnOnce(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
    let client = redis::Client::open(node.url())?;
    let mut connection = client.get_connection_with_timeout(Duration::from_millis(500))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    ask(&mut connection)
}
