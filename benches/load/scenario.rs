//! The scenarios: what is offered, to whom, and what is asked afterwards.

use std::fmt;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use super::process::Usage;
use super::report::{Report, Spread, median};
use super::run::{Bench, Run, SHARDS, owed, rejected, stream, wait};
use super::service::Outbound;
use super::store::Load;
use super::url;

/// Deliveries a second that a measurement is sized for.
const EXPECTED_PER_S: f64 = 20_000.0;
/// Messages a second that are offered where latency is measured.
const OFFERED_PER_S: f64 = 5_000.0;
const WORKSPACES: usize = 1_000;
const MESSAGE_BYTES: usize = 700;
/// Entries that a shard may hold, and so may have attempted without a durable outcome (DESIGN).
const PERMITS: u64 = 2_048;

/// How large the measurements are.
#[derive(Debug)]
pub(crate) struct Size {
    pub(crate) seconds: f64,
    pub(crate) pairs: usize,
}

impl Size {
    fn backlog(&self) -> usize {
        (self.seconds * EXPECTED_PER_S) as usize
    }
}

/// The scenarios that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    Spread,
    OneHost,
    Hot,
    Hung,
    Failing,
    Latency,
    Drain,
    Takeover,
}

impl Name {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// One sentence for whoever waits.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Spread => "1,000 workspaces, 1,000 endpoints, a backlog of 700-byte messages",
            Self::OneHost => "1,000 workspaces, one endpoint",
            Self::Hot => "one workspace with 500 chats, 256 in flight, beside one thread of the bare loop",
            Self::Hung => "5,000 a second; 1 % of the endpoints never answer, beside the same without them",
            Self::Failing => "10 % of the endpoints answer 500",
            Self::Latency => "5,000 a second: from XADD to arrival",
            Self::Drain => "a backlog ten times as large",
            Self::Takeover => "kill -9 amid a backlog, and a new start on the same data",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no scenario is hidden").get_name())
    }
}

/// Measures one scenario.
pub(crate) async fn measure(name: Name, size: &Size) -> Report {
    let spread = Load { workspaces: WORKSPACES, chats: 4, bytes: MESSAGE_BYTES };
    let mut report = match name {
        Name::Spread => beside_bare(&spread, size.backlog(), WORKSPACES, 2, &[], size).await,
        Name::OneHost => beside_bare(&spread, size.backlog(), 1, 2, &[], size).await,
        Name::Hot => {
            let load = Load { workspaces: 1, chats: 500, bytes: MESSAGE_BYTES };
            beside_bare(&load, size.backlog(), 1, 1, &["--max-in-flight-per-workspace", "256"], size).await
        }
        Name::Drain => beside_bare(&spread, 10 * size.backlog(), WORKSPACES, 2, &[], size).await,
        Name::Hung => hung(&spread, size).await,
        Name::Failing => failing(&spread, size).await,
        Name::Latency => latency(&spread, size).await,
        Name::Takeover => takeover(&spread, size).await,
    };
    report.scenario = Some(name);
    report
}

/// Delivers the same backlog with the bare loop and with the service, in turns.
async fn beside_bare(
    load: &Load,
    messages: usize,
    endpoints: usize,
    threads: usize,
    flags: &[&str],
    size: &Size,
) -> Report {
    let mut bench = Bench::start();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    let mut accounted = true;
    for _ in 0..size.pairs {
        let port = bench.receiver.port;
        bare.push(bench.bare(load, messages, endpoints, threads));
        ours.push(bench.service(load, messages, flags, &|n| url("ok", n, endpoints, port)).await);
        let redis = &mut bench.connect();
        let counted =
            ours.last().map(|run| run.stats.delivered + run.stats.failed).unwrap_or_default() + rejected(redis);
        accounted &= counted == messages as u64 && owed(redis) == 0;
    }
    let over = |runs: &[Run], figure: fn(&Run) -> f64| runs.iter().map(figure).collect::<Vec<_>>();
    let ratios: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| ours.per_s / bare.per_s).collect();
    Report {
        outbound_per_s: Some(Spread::of(&over(&ours, |run| run.per_s))),
        bare_per_s: Some(Spread::of(&over(&bare, |run| run.per_s))),
        ratio: Some(Spread::of(&ratios)),
        service_us: Some(median(&over(&ours, |run| run.deliverer_us))),
        redis_us: Some(median(&over(&ours, |run| run.redis_us))),
        receiver_us: Some(median(&over(&ours, |run| run.receiver_us))),
        bare_us: Some(median(&over(&bare, |run| run.deliverer_us))),
        rss_mb: Some(median(&over(&ours, |run| run.rss_mib))),
        accounted,
        ..Report::default()
    }
}

/// Offers messages at a steady rate to a running service until `messages` are appended.
async fn offer(bench: &mut Bench, load: &Load, messages: usize) {
    let mut redis = bench.connect();
    let began = Instant::now();
    let mut sent = 0;
    while sent < messages {
        let due = ((began.elapsed().as_secs_f64() * OFFERED_PER_S) as usize).min(messages);
        load.append(&mut redis, sent..due, &stream);
        sent = due;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Offers messages at a steady rate, waits for the end, and measures.
async fn offered(bench: &mut Bench, load: &Load, size: &Size, flags: &[&str], url: &dyn Fn(usize) -> String) -> Run {
    let mut redis = bench.connect();
    redis::cmd("FLUSHALL").query::<()>(&mut redis).expect("an empty Redis");
    let outbound = bench.outbound(flags).await;
    outbound.configure((0..load.workspaces).map(|n| (n, url(n)))).await;
    bench.receiver.process.tell("reset");
    let before = bench.before();
    let idle = Usage::of(outbound.process.pid());
    offer(bench, load, (size.seconds * OFFERED_PER_S) as usize).await;
    wait(|| owed(&mut redis) == 0, &mut bench.receiver);
    let used = Usage::of(outbound.process.pid());
    bench.run(Usage { cpu_us: used.cpu_us - idle.cpu_us, ..used }, &before)
}

async fn latency(load: &Load, size: &Size) -> Report {
    let mut bench = Bench::start();
    let port = bench.receiver.port;
    let mut runs = Vec::new();
    for _ in 0..size.pairs {
        runs.push(offered(&mut bench, load, size, &[], &|n| url("ok", n, WORKSPACES, port)).await);
    }
    let sent = (size.seconds * OFFERED_PER_S) as u64;
    let over = |figure: fn(&Run) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    Report {
        service_us: Some(over(|run| run.deliverer_us)),
        redis_us: Some(over(|run| run.redis_us)),
        receiver_us: Some(over(|run| run.receiver_us)),
        rss_mb: Some(over(|run| run.rss_mib)),
        p50_ms: Some(over(|run| run.stats.p50_ms)),
        p99_ms: Some(over(|run| run.stats.p99_ms)),
        accounted: runs.iter().all(|run| run.stats.delivered == sent),
        ..Report::default()
    }
}

/// What healthy workspaces feel of endpoints that never answer.
async fn hung(load: &Load, size: &Size) -> Report {
    const EVERY: usize = 100;
    // They stay on, and what they are owed is tried.
    let flags = ["--error-limit", "1000000"];
    let mut bench = Bench::start();
    let port = bench.receiver.port;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..size.pairs {
        without.push(offered(&mut bench, load, size, &flags, &|n| url("ok", n, WORKSPACES, port)).await);
        let some_hang = |n: usize| url(if n.is_multiple_of(EVERY) { "hang" } else { "ok" }, n, WORKSPACES, port);
        with.push(offered(&mut bench, load, size, &flags, &some_hang).await);
    }
    let slowest = without.iter().zip(&with).map(|(without, with)| {
        let alone: std::collections::BTreeMap<_, _> = without.stats.medians_ms.iter().copied().collect();
        with.stats.medians_ms.iter().map(|(n, ms)| ms / alone[n].max(0.1)).fold(0.0, f64::max)
    });
    let slowest: Vec<f64> = slowest.collect();
    let sent = (size.seconds * OFFERED_PER_S) as u64;
    let over = |runs: &[Run], figure: fn(&Run) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    let p99_without = over(&without, |run| run.stats.p99_ms);
    let mut report = Report {
        service_us: Some(over(&with, |run| run.deliverer_us)),
        rss_mb: Some(over(&with, |run| run.rss_mib)),
        p50_ms: Some(over(&with, |run| run.stats.p50_ms)),
        p99_ms: Some(over(&with, |run| run.stats.p99_ms)),
        accounted: with.iter().all(|run| run.stats.delivered + run.stats.hung == sent),
        ..Report::default()
    };
    report.more.insert("p99_ms_without".to_owned(), json!(p99_without));
    report.more.insert("slowest_median_ratio".to_owned(), json!(median(&slowest)));
    report
}

/// Endpoints that always fail are left alone after exactly 11 attempts.
async fn failing(load: &Load, size: &Size) -> Report {
    const EVERY: usize = 10;
    let mut bench = Bench::start();
    let port = bench.receiver.port;
    // Every failing workspace gets more than 11 messages.
    let messages = size.backlog().max(20 * WORKSPACES);
    let fails = |n: usize| n.is_multiple_of(EVERY);
    let to = |n: usize| url(if fails(n) { "fail" } else { "ok" }, n, WORKSPACES, port);
    let run = bench.service(load, messages, &[], &to).await;
    let outbound = bench.outbound(&[]).await;
    let webhooks = outbound.webhooks((0..WORKSPACES).filter(|n| fails(*n))).await;
    let disabled = webhooks.iter().filter(|webhook| webhook["status"] == "disabled_by_errors").count();
    let skipped: u64 = webhooks.iter().filter_map(|webhook| webhook["skipped"]["count"].as_u64()).sum();
    let eleven = run.stats.failed_by_workspace.iter().filter(|(_, posts)| *posts == 11).count();
    let redis = &mut bench.connect();
    let counted = run.stats.delivered + run.stats.failed + skipped + rejected(redis);
    let mut report = Report {
        service_us: Some(run.deliverer_us),
        rss_mb: Some(run.rss_mib),
        accounted: counted == messages as u64 && eleven == WORKSPACES / EVERY && disabled == eleven,
        ..Report::default()
    };
    report.more.insert("failing_endpoints".to_owned(), json!(WORKSPACES / EVERY));
    report.more.insert("with_exactly_11_posts".to_owned(), json!(eleven));
    report.more.insert("disabled_by_errors".to_owned(), json!(disabled));
    report.more.insert("skipped".to_owned(), json!(skipped));
    report
}

/// A crash with much owed: how soon the next start delivers, and how much is attempted twice.
async fn takeover(load: &Load, size: &Size) -> Report {
    let messages = size.backlog();
    let mut bench = Bench::start();
    let port = bench.receiver.port;
    let mut redis = bench.connect();
    let mut outbound = bench.outbound(&[]).await;
    outbound.configure((0..WORKSPACES).map(|n| (n, url("ok", n, WORKSPACES, port)))).await;
    outbound.process.terminate();
    load.append(&mut redis, 0..messages, &stream);
    bench.receiver.process.tell("reset");
    let mut outbound = bench.outbound(&[]).await;
    wait_for(&mut bench, messages as u64 / 10);
    outbound.process.kill();
    bench.receiver.process.tell("mark");
    let left = owed(&mut redis);
    let started_us = super::receiver::unix_us();
    let outbound = Outbound::start(&bench.redis.url(), &bench.data_dir(), &[]);
    wait(|| owed(&mut redis) == 0, &mut bench.receiver);
    let stats = bench.receiver.stats();
    let first_post_ms = stats.first_at_us.saturating_sub(started_us) as f64 / 1e3;
    let twice_max = PERMITS * u64::from(SHARDS);
    let mut report = Report {
        rss_mb: Some(Usage::of(outbound.process.pid()).peak_rss_mib),
        accounted: stats.delivered == messages as u64 && stats.repeated <= twice_max,
        ..Report::default()
    };
    report.more.insert("owed_at_the_crash".to_owned(), json!(left));
    report.more.insert("first_post_ms".to_owned(), json!(first_post_ms));
    report.more.insert("attempted_twice".to_owned(), json!(stats.repeated));
    report.more.insert("attempted_twice_max".to_owned(), json!(twice_max));
    report
}

fn wait_for(bench: &mut Bench, count: u64) {
    let began = Instant::now();
    while bench.receiver.count() < count {
        assert!(began.elapsed() < super::process::PATIENCE, "fewer than {count} messages arrive");
        std::thread::sleep(Duration::from_millis(5));
    }
}
