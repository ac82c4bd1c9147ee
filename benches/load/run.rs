//! One measurement: a backlog, somebody who delivers it, and what that took.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use redis::Connection;
use tempfile::TempDir;

use super::process::{Process, Usage};
use super::receiver::Stats;
use super::redis_server::RedisServer;
use super::service::Outbound;
use super::store::{self, Load};
use super::{bare, workspace};

/// How long the last message may be on its way before the bench gives up.
const STUCK_MAX: Duration = Duration::from_secs(60);
/// The service's default number of shards.
pub(crate) const SHARDS: u16 = 16;

/// What all measurements of a scenario share.
pub(crate) struct Bench {
    pub(crate) redis: RedisServer,
    pub(crate) receiver: Receiver,
    folder: TempDir,
}

/// What one measurement found.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) per_s: f64,
    /// CPU a delivery, in microseconds: of who delivered, of Redis, of the receiver.
    pub(crate) deliverer_us: f64,
    pub(crate) redis_us: f64,
    pub(crate) receiver_us: f64,
    pub(crate) rss_mib: f64,
    pub(crate) stats: Stats,
}

/// CPU that Redis and the receiver had used before a measurement.
pub(crate) struct Before {
    redis: Usage,
    receiver: Usage,
}

impl Bench {
    pub(crate) fn start() -> Self {
        Self {
            redis: store::start(),
            receiver: Receiver::start(),
            folder: tempfile::tempdir().expect("a folder for the service's data"),
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn connect(&self) -> Connection {
        store::connect(&self.redis)
    }

    /// Starts the service on this Redis and waits until it is ready.
    pub(crate) async fn outbound(&self, more: &[&str]) -> Outbound {
        let outbound = Outbound::start(&self.redis.url(), &self.data_dir(), more);
        outbound.ready().await;
        outbound
    }

    pub(crate) fn before(&self) -> Before {
        Before { redis: Usage::of(self.redis.pid()), receiver: Usage::of(self.receiver.process.pid()) }
    }

    /// What it took to deliver everything that arrived since `before`.
    pub(crate) fn run(&mut self, deliverer: Usage, before: &Before) -> Run {
        let after = self.before();
        let stats = self.receiver.stats();
        let posts = (stats.delivered + stats.failed + stats.hung).max(1) as f64;
        Run {
            per_s: posts / stats.seconds,
            deliverer_us: deliverer.cpu_us / posts,
            redis_us: (after.redis.cpu_us - before.redis.cpu_us) / posts,
            receiver_us: (after.receiver.cpu_us - before.receiver.cpu_us) / posts,
            rss_mib: deliverer.peak_rss_mib,
            stats,
        }
    }

    /// Delivers a backlog with the bare loop.
    pub(crate) fn bare(&mut self, load: &Load, messages: usize, endpoints: usize, threads: usize) -> Run {
        let mut redis = self.connect();
        redis::cmd("FLUSHALL").query::<()>(&mut redis).expect("an empty Redis");
        load.append(&mut redis, 0..messages, &|workspace| bare::stream(workspace % threads));
        self.receiver.process.tell("reset");
        let before = self.before();
        let (url, port) = (self.redis.url(), self.receiver.port.to_string());
        let (endpoints, count) = (endpoints.to_string(), threads.to_string());
        let flags = ["bare", "--redis", &url, "--port", &port, "--endpoints", &endpoints, "--threads", &count];
        let mut process = Process::role(&flags);
        let mut settled = || (0..threads).map(|thread| length(&mut redis, &bare::stream(thread))).sum::<u64>() == 0;
        wait(|| settled(), &mut self.receiver);
        let usage = Usage::of(process.pid());
        process.kill();
        self.run(usage, &before)
    }

    /// Delivers a backlog with the service, whose webhooks are configured by `url`.
    pub(crate) async fn service(
        &mut self,
        load: &Load,
        messages: usize,
        flags: &[&str],
        url: &dyn Fn(usize) -> String,
    ) -> Run {
        let mut redis = self.connect();
        redis::cmd("FLUSHALL").query::<()>(&mut redis).expect("an empty Redis");
        let mut outbound = self.outbound(flags).await;
        outbound.configure((0..load.workspaces).map(|n| (n, url(n)))).await;
        outbound.process.terminate();
        load.append(&mut redis, 0..messages, &stream);
        self.receiver.process.tell("reset");
        let before = self.before();
        let outbound = Outbound::start(&self.redis.url(), &self.data_dir(), flags);
        wait(|| owed(&mut redis) == 0, &mut self.receiver);
        let usage = Usage::of(outbound.process.pid());
        self.run(usage, &before)
    }
}

/// The stream of a workspace's messages.
pub(crate) fn stream(n: usize) -> String {
    format!("outbound:{{{}}}:messages", crc32fast::hash(workspace(n).as_bytes()) % u32::from(SHARDS))
}

/// Messages that are not settled.
pub(crate) fn owed(redis: &mut Connection) -> u64 {
    (0..SHARDS).map(|shard| length(redis, &format!("outbound:{{{shard}}}:messages"))).sum()
}

/// Messages that were set aside.
pub(crate) fn rejected(redis: &mut Connection) -> u64 {
    (0..SHARDS).map(|shard| length(redis, &format!("outbound:{{{shard}}}:rejected"))).sum()
}

fn length(redis: &mut Connection, stream: &str) -> u64 {
    redis::cmd("XLEN").arg(stream).query(redis).expect("a length")
}

/// Waits until `done`. Gives up when nothing has arrived for a while.
pub(crate) fn wait(mut done: impl FnMut() -> bool, receiver: &mut Receiver) {
    let (mut count, mut moved) = (0, Instant::now());
    while !done() {
        std::thread::sleep(Duration::from_millis(10));
        let now = receiver.count();
        if now != count {
            (count, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < STUCK_MAX, "stuck after {count} messages");
    }
}

/// The receiver's process.
pub(crate) struct Receiver {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Receiver {
    fn start() -> Self {
        let mut process = Process::role(&["receiver"]);
        let port = process.line().parse().expect("a port");
        Self { process, port }
    }

    /// Distinct messages that have arrived.
    pub(crate) fn count(&mut self) -> u64 {
        self.process.tell("count");
        self.process.line().parse().expect("a number")
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.process.tell("stats");
        serde_json::from_str(&self.process.line()).expect("statistics")
    }
}
