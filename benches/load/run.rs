//! One measurement: a backlog, somebody who delivers it, and what that took.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use redis::Connection;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Memory, Usage, role};
use super::receiver::{self, Receiver};
use super::seen::Stats;
use super::service::Outbound;
use super::store::{self, Load, entries, owed, rejected};
use super::{bare, progress};
use support::process::Process;
use support::redis_server::RedisServer;

/// How long nothing may arrive before the bench gives up.
const STUCK_MAX: Duration = Duration::from_secs(60);
/// How often it is asked how far things are: looking costs both sides little, and the same.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What all measurements of a scenario share.
pub(crate) struct Bench {
    pub(crate) redis: RedisServer,
    pub(crate) receiver: Receiver,
    folder: TempDir,
}

/// A backlog, and who gets it.
pub(crate) struct Backlog<'a> {
    pub(crate) load: &'a Load,
    pub(crate) messages: usize,
    /// Endpoints that the workspaces share.
    pub(crate) endpoints: usize,
    /// How the endpoint of a workspace answers the service; the bare loop always gets 200.
    pub(crate) treatment: fn(usize) -> &'static str,
    /// Threads of the bare loop.
    pub(crate) threads: usize,
    /// Where the messages of a workspace are appended for the service.
    pub(crate) stream: fn(usize) -> String,
    /// Further flags of the service.
    pub(crate) flags: &'a [&'a str],
}

/// What one measurement found.
#[derive(Debug)]
pub(crate) struct Run {
    /// POSTs a second, from the first to the last arrival.
    pub(crate) per_s: f64,
    /// CPU a POST, in microseconds: of who delivered (its start included), of Redis, of the receiver.
    pub(crate) deliverer_us: f64,
    pub(crate) redis_us: f64,
    pub(crate) receiver_us: f64,
    pub(crate) peak_rss_mib: f64,
    /// What was resident while it delivered, in order.
    pub(crate) memory_mib: Vec<f64>,
    pub(crate) stats: Stats,
    pub(crate) tally: Tally,
    /// What the API tells of each workspace's webhook at the end.
    pub(crate) webhooks: Vec<Value>,
}

/// What became of the messages.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    /// Answered with 500, or never.
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    pub(crate) rejected: u64,
}

impl Tally {
    /// Of messages that all arrived or were set aside.
    pub(crate) fn of(sent: usize, stats: &Stats, rejected: u64) -> Self {
        let failed = stats.failed + stats.hung;
        Self { sent: sent as u64, delivered: stats.delivered, failed, skipped: 0, rejected }
    }

    /// The same where webhooks were off for a while, by what the API tells of each.
    pub(crate) fn with_skipped(self, webhooks: &[Value]) -> Self {
        Self { skipped: webhooks.iter().filter_map(|webhook| webhook["skipped"]["count"].as_u64()).sum(), ..self }
    }

    /// Whether every message ended in exactly one way.
    pub(crate) fn accounted(&self) -> bool {
        self.delivered + self.failed + self.skipped + self.rejected == self.sent
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, one| Self {
            sent: sum.sent + one.sent,
            delivered: sum.delivered + one.delivered,
            failed: sum.failed + one.failed,
            skipped: sum.skipped + one.skipped,
            rejected: sum.rejected + one.rejected,
        })
    }
}

/// What Redis and the receiver have used of the machine since their start.
pub(crate) struct Others {
    redis: Usage,
    receiver: Usage,
}

impl Bench {
    pub(crate) fn start() -> Self {
        Self::on(store::start())
    }

    /// On a Redis of the scenario's own.
    pub(crate) fn on(redis: RedisServer) -> Self {
        Self {
            redis,
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

    /// Where workspace `n` has its messages sent when `endpoints` share the work, and how that answers.
    pub(crate) fn url(&self, treatment: &str, n: usize, endpoints: usize) -> String {
        receiver::url(treatment, n, endpoints, self.receiver.port)
    }

    /// Starts the service on this Redis and waits until it is ready.
    pub(crate) async fn outbound(&self, more: &[&str]) -> Outbound {
        let outbound = Outbound::start(&self.redis.url(), &self.data_dir(), more);
        outbound.ready().await;
        outbound
    }

    pub(crate) fn others(&self) -> Others {
        Others { redis: Usage::of(self.redis.pid()), receiver: Usage::of(self.receiver.process.child.id()) }
    }

    /// What it took to deliver, between `before` and `after`, everything that arrived out of `sent`.
    pub(crate) fn run(&mut self, sent: usize, deliverer: Usage, before: &Others, after: &Others) -> Run {
        let stats = self.receiver.stats();
        let posts = stats.distinct().max(1) as f64;
        Run {
            per_s: posts / stats.seconds.max(1e-6),
            deliverer_us: deliverer.cpu_us / posts,
            redis_us: (after.redis.cpu_us - before.redis.cpu_us) / posts,
            receiver_us: (after.receiver.cpu_us - before.receiver.cpu_us) / posts,
            peak_rss_mib: deliverer.peak_rss_mib,
            memory_mib: Vec::new(),
            tally: Tally::of(sent, &stats, rejected(&mut self.connect())),
            webhooks: Vec::new(),
            stats,
        }
    }

    /// Starts the bare loop on what stands in its streams.
    pub(crate) fn start_bare(&self, endpoints: usize, threads: usize) -> Process {
        let (url, port) = (self.redis.url(), self.receiver.port.to_string());
        let (endpoints, threads) = (endpoints.to_string(), threads.to_string());
        role(&["bare", "--redis", &url, "--port", &port, "--endpoints", &endpoints, "--threads", &threads])
    }

    /// Delivers a backlog with the bare loop.
    pub(crate) fn bare(&mut self, backlog: &Backlog<'_>) -> Run {
        store::empty(&self.redis);
        let mut redis = self.connect();
        let threads = backlog.threads;
        backlog.load.append(&mut redis, 0..backlog.messages, &|workspace| bare::stream(workspace % threads));
        self.receiver.process.tell("reset");
        let before = self.others();
        let process = self.start_bare(backlog.endpoints, threads);
        wait(|| bare_owed(&mut redis, threads) == 0, backlog.messages, &mut self.receiver);
        let (usage, after) = (Usage::of(process.child.id()), self.others());
        drop(process);
        let run = self.run(backlog.messages, usage, &before, &after);
        assert!(run.tally.accounted(), "the bare loop lost messages: {:?}", run.tally);
        run
    }

    /// Delivers a backlog with the service.
    pub(crate) async fn service(&mut self, backlog: &Backlog<'_>) -> Run {
        store::empty(&self.redis);
        let load = backlog.load;
        let mut outbound = self.outbound(backlog.flags).await;
        let url = |n: usize| (n, self.url((backlog.treatment)(n), n, backlog.endpoints));
        outbound.configure((0..load.workspaces).map(url)).await;
        outbound.process.terminate();
        let mut redis = self.connect();
        load.append(&mut redis, 0..backlog.messages, &backlog.stream);
        self.receiver.process.tell("reset");
        let before = self.others();
        let outbound = Outbound::start(&self.redis.url(), &self.data_dir(), backlog.flags);
        let memory = Memory::watch(outbound.process.child.id());
        wait(|| owed(&mut redis) == 0, backlog.messages, &mut self.receiver);
        let (usage, after) = (Usage::of(outbound.process.child.id()), self.others());
        let memory_mib = memory.stop();
        let run = self.run(backlog.messages, usage, &before, &after);
        let webhooks = outbound.webhooks(0..load.workspaces).await;
        Run { memory_mib, tally: run.tally.with_skipped(&webhooks), webhooks, ..run }
    }
}

/// What the bare loop has not settled.
pub(crate) fn bare_owed(redis: &mut Connection, threads: usize) -> u64 {
    entries(redis, (0..threads).map(bare::stream))
}

/// Waits until `done`. Gives up when nothing has arrived for a while.
pub(crate) fn wait(mut done: impl FnMut() -> bool, messages: usize, receiver: &mut Receiver) {
    wait_until(|_| done(), messages, receiver);
}

/// Waits until all messages have arrived.
pub(crate) fn wait_all(messages: usize, receiver: &mut Receiver) {
    wait_until(|count| count == messages as u64, messages, receiver);
}

fn wait_until(mut done: impl FnMut(u64) -> bool, messages: usize, receiver: &mut Receiver) {
    let (mut count, mut moved) = (0, Instant::now());
    while !done(count) {
        std::thread::sleep(LOOK_EVERY);
        let now = receiver.count();
        if now != count {
            (count, moved) = (now, Instant::now());
            progress::so_far(count, messages as u64);
        }
        assert!(moved.elapsed() < STUCK_MAX, "stuck after {count} of {messages} messages");
    }
}
