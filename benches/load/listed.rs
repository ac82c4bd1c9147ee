//! `listed`: pages of the list of a million workspaces and the operators' overview of them, idle and beside a backlog that
//! is delivered, on Redis and on the embedded journal; what the index takes in memory, and what it adds to a commit.
//!
//! The workspaces are copies of one of each status that the service made. Ten are switched off, one in a thousand is
//! by errors, one in ten never configured; the others are on, and the backlog is theirs.

mod reading;
mod template;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use outbound::app::now;
use outbound::journal::Journal;
use outbound::journal::embedded::Embedded;
use outbound::journal::port::{Batch, Holder, ShardConnection, Step};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::WorkspaceId;
use outbound::workspace::configuration::WebhookStatus;
use redis::Connection;
use serde_json::json;

use self::reading::PageReader;
use self::template::{Template, index};
use super::backlog::even;
use super::embedded::{feed, left};
use super::process::Usage;
use super::progress;
use super::report::{Report, Target};
use super::run::{Bench, Tally, wait, wait_all};
use super::scenario::Size;
use super::service::Outbound;
use super::store::{SHARDS, owed, stream, workspace};

/// Workspaces for each message of a backlog.
const KNOWN: usize = 10;
/// How often each page is read at 5 seconds.
const READS: usize = 100;
/// Workspaces a pipeline, and a commit of the embedded journal over all shards.
const PIPELINE: usize = 500;
const COMMITTED_AT_ONCE: usize = 2_048;
/// What a page may take.
const PAGE_MAX_MS: f64 = 50.0;

pub(crate) async fn measure(size: &Size) -> Report {
    let known = Known::new(KNOWN * size.backlog(), size);
    let mut bench = Bench::start();
    let mut redis = bench.connect();
    let templates = template::made_by(&bench, &mut redis).await;
    let mut report = Report::default();
    report.measured("known", &[known.sorted.len() as f64]);
    let one = on_redis(&mut bench, &mut redis, (&known, &templates), size, &mut report).await;
    super::store::empty(&bench.redis);
    let other = on_file(&mut bench, (&known, &templates), size, &mut report).await;
    report.tally = [one, other].into_iter().sum();
    report
}

/// The workspaces that there are.
struct Known {
    /// In the order of their ids, with their status.
    sorted: Vec<(String, &'static str)>,
}

impl Known {
    fn new(known: usize, size: &Size) -> Self {
        let mut sorted: Vec<_> = (0..known).map(|n| (workspace(n), status(n, known, size).as_str())).collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

/// Those that get messages are on.
fn status(n: usize, known: usize, size: &Size) -> WebhookStatus {
    let few = known / 10;
    match n {
        _ if n < size.workspaces => WebhookStatus::Enabled,
        _ if n % few == few - 2 => WebhookStatus::Disabled,
        _ if n % 1_000 == 999 => WebhookStatus::DisabledByErrors,
        _ if n % 10 == 9 => WebhookStatus::NotConfigured,
        _ => WebhookStatus::Enabled,
    }
}

/// What the workspaces are, and what they are made from.
type Copies<'a> = (&'a Known, &'a BTreeMap<&'static str, Template>);

async fn on_redis(
    bench: &mut Bench,
    redis: &mut Connection,
    (known, templates): Copies<'_>,
    size: &Size,
    report: &mut Report,
) -> Tally {
    let count = known.sorted.len();
    progress::step(&format!("{count} workspaces become known to Redis"));
    for first in (0..count).step_by(PIPELINE) {
        let mut pipeline = redis::pipe();
        for n in first..count.min(first + PIPELINE) {
            let status = status(n, count, size).as_str();
            templates[status].copy(&mut pipeline, n, status);
        }
        pipeline.query::<()>(redis).expect("known workspaces");
        progress::so_far(first as u64, count as u64);
    }
    report.measured("redis_index_bytes_a_workspace", &[index_bytes(redis) as f64 / count as f64]);

    let mut outbound = bench.outbound(&[]).await;
    let reads = reads(size);
    progress::step("pages on Redis, idle");
    let mut idle = PageReader::start(&outbound, known).await;
    for _ in 0..reads {
        idle.round().await;
    }
    for (name, times) in idle.times() {
        report.more.insert(format!("redis_{name}_ms"), json!(times));
    }
    slowest(report, "redis, idle", &idle);

    progress::step("pages on Redis, beside a backlog");
    bench.receiver.process.tell("reset");
    let load = size.spread();
    let mut appended = 0;
    let mut busy = PageReader::start(&outbound, known).await;
    for _ in 0..reads {
        if owed(redis) < size.backlog() as u64 / 4 {
            load.append(redis, appended..appended + size.backlog() / 2, &stream);
            appended += size.backlog() / 2;
        }
        busy.round().await;
    }
    wait(|| owed(redis) == 0, appended, &mut bench.receiver);
    slowest(report, "redis, beside a backlog", &busy);
    outbound.process.terminate();
    let tally = Tally::of(appended, &bench.receiver.stats(), super::store::rejected(redis));

    progress::step("commits to Redis, with and without the index");
    let options = RedisOptions { shards: Some(SHARDS), ..RedisOptions::new(bench.redis.url(), now) };
    let journal = Redis::connect(&options).await.expect("a journal");
    let pid = bench.redis.pid();
    let costs = commits(&journal, known, templates, size.backlog() / 10, || Usage::of(pid).cpu_us).await;
    for (name, Cost { median_ms, cpu_us }) in ["plain", "listing"].into_iter().zip(costs) {
        report.measured(&format!("redis_{name}_commit_ms"), &[median_ms]);
        report.measured(&format!("redis_{name}_commit_us"), &[cpu_us]);
    }
    tally
}

async fn on_file(bench: &mut Bench, (known, templates): Copies<'_>, size: &Size, report: &mut Report) -> Tally {
    let folder = tempfile::tempdir_in(bench.data_dir().parent().expect("the folder of a run")).expect("a folder");
    let file = folder.path().join("journal.redb");
    progress::step(&format!("{} workspaces become known to the embedded journal", known.sorted.len()));
    write(&file, known, templates).await;
    let journal = format!("embedded:{}", file.display());
    let reads = reads(size);

    progress::step("pages on the embedded journal, idle");
    let mut outbound = Outbound::start(&journal, folder.path(), &[]);
    outbound.ready().await;
    let mut idle = PageReader::start(&outbound, known).await;
    for _ in 0..reads {
        idle.round().await;
    }
    slowest(report, "embedded, idle", &idle);
    outbound.process.terminate();

    progress::step("pages on the embedded journal, beside a backlog");
    let load = size.spread();
    let backlog = even(&load, size);
    feed(&file, &backlog).await;
    bench.receiver.process.tell("reset");
    let mut outbound = Outbound::start(&journal, folder.path(), &[]);
    let mut busy = PageReader::start(&outbound, known).await;
    for _ in 0..reads {
        busy.round().await;
        if bench.receiver.count() == backlog.messages as u64 {
            break;
        }
    }
    wait_all(backlog.messages, &mut bench.receiver);
    report.measured("embedded_rounds_beside_a_backlog", &[busy.took["first"].len() as f64]);
    slowest(report, "embedded, beside a backlog", &busy);
    outbound.process.terminate();
    let (owed, rejected) = left(&file).await;
    assert_eq!(owed, 0, "the journal still owes messages that have arrived");
    let tally = Tally::of(backlog.messages, &bench.receiver.stats(), rejected);

    progress::step("commits to the embedded journal, with and without the index");
    let journal = open(&file);
    let costs = commits(&journal, known, templates, size.backlog() / 200, || 0.0).await;
    for (name, cost) in ["plain", "listing"].into_iter().zip(costs) {
        report.measured(&format!("embedded_{name}_commit_ms"), &[cost.median_ms]);
    }
    tally
}

fn reads(size: &Size) -> usize {
    ((size.seconds / 5.0 * READS as f64) as usize).clamp(2, READS)
}

/// Notes the slowest page of the list and the slowest overview, with a target for each.
fn slowest(report: &mut Report, setting: &str, reader: &PageReader) {
    let times = reader.times();
    for (what, is_overview) in [("page", false), ("overview", true)] {
        let of = times.iter().filter(|(name, _)| name.starts_with("overview") == is_overview);
        let (name, [p50, p99]) = of.max_by(|(_, a), (_, b)| a[1].total_cmp(&b[1])).expect("pages were read");
        let figure = format!("{}_slowest_{what}_ms", setting.replace(", ", "_").replace(' ', "_"));
        report.more.insert(figure, json!([name, p50, p99]));
        report.targets.push(Target::at_most(&format!("{setting}: slowest {what}, p99 ms"), *p99, PAGE_MAX_MS));
    }
}

/// What Redis says that the index takes.
fn index_bytes(redis: &mut Connection) -> u64 {
    let statuses = WebhookStatus::ALL.map(|status| Some(status.as_str()));
    let keys = (0..u32::from(SHARDS)).flat_map(|shard| {
        [None].into_iter().chain(statuses).map(move |status| index(shard, status)).collect::<Vec<_>>()
    });
    let mut bytes = 0;
    for key in keys {
        let of: Option<u64> =
            redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).query(redis).expect("bytes");
        bytes += of.unwrap_or_default();
    }
    bytes
}

fn open(file: &Path) -> Embedded {
    Embedded::open(file, Some(SHARDS), now).expect("the journal of a service that has ended")
}

fn holder() -> Holder {
    Holder { node: "bench".to_owned(), lease: Duration::from_secs(600) }
}

/// Writes the workspaces to a new file, in order, many shards' in one transaction.
async fn write(file: &Path, known: &Known, templates: &BTreeMap<&'static str, Template>) {
    let journal = open(file);
    let mut shards = Vec::new();
    for shard in 0..SHARDS {
        shards.push(journal.acquire(shard, &holder()).await.expect("a shard that nobody holds"));
    }
    for (n, some) in known.sorted.chunks(COMMITTED_AT_ONCE).enumerate() {
        let mut batches: BTreeMap<u16, Batch> = BTreeMap::new();
        for (id, status) in some {
            let id: WorkspaceId = id.parse().expect("an id");
            let listed = WebhookStatus::ALL.into_iter().find(|of| of.as_str() == *status).expect("a status");
            let batch = batches.entry(id.shard(SHARDS)).or_default();
            batch.steps.push(templates[status].step(id, listed));
        }
        let commits = batches.into_iter().map(|(shard, batch)| shards[usize::from(shard)].connection.commit(batch));
        for answer in join_all(commits).await {
            answer.expect("a commit");
        }
        progress::so_far((n * COMMITTED_AT_ONCE) as u64, known.sorted.len() as u64);
    }
    for shard in shards {
        shard.connection.release().await.expect("a released shard");
    }
}

/// What a commit takes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    median_ms: f64,
    /// CPU of the store.
    cpu_us: f64,
}

/// Commits of one snapshot each, one after the other, to known workspaces of one shard: as they are, then each listed with
/// another status, as a switch-off does it.
async fn commits(
    journal: &dyn Journal,
    known: &Known,
    templates: &BTreeMap<&'static str, Template>,
    count: usize,
    cpu_us: impl Fn() -> f64,
) -> [Cost; 2] {
    let shard = 0;
    let of_shard = |id: &WorkspaceId| id.shard(SHARDS) == shard;
    let ids = known.sorted.iter().filter(|(_, status)| *status == WebhookStatus::Enabled.as_str());
    let ids: Vec<WorkspaceId> = ids.map(|(id, _)| id.parse().expect("an id")).filter(of_shard).collect();
    // Far apart, as those are that happen to be switched off.
    let spread = |n: usize| ids[n * 7_919 % ids.len()].clone();
    let connection = journal.acquire(shard, &holder()).await.expect("a shard").connection;
    let (on, off) = (&templates["enabled"], &templates["disabled"]);
    let plain = cost(&*connection, count, &cpu_us, |n| step(spread(n), on.snapshot(), None)).await;
    let listing =
        cost(&*connection, count, &cpu_us, |n| step(spread(n), off.snapshot(), Some(WebhookStatus::Disabled))).await;
    connection.release().await.expect("a released shard");
    [plain, listing]
}

fn step(workspace: WorkspaceId, snapshot: Bytes, listed: Option<WebhookStatus>) -> Step {
    Step { workspace: Some(workspace), snapshot: Some(snapshot), listed, ..Step::default() }
}

async fn cost(
    connection: &dyn ShardConnection,
    count: usize,
    cpu_us: &impl Fn() -> f64,
    step: impl Fn(usize) -> Step,
) -> Cost {
    let (mut took, before) = (Vec::with_capacity(count), cpu_us());
    for n in 0..count.max(1) {
        let batch = Batch { steps: vec![step(n)], ..Batch::default() };
        let began = Instant::now();
        connection.commit(batch).await.expect("a commit");
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_us = (cpu_us() - before) / took.len() as f64;
    took.sort_by(f64::total_cmp);
    Cost { median_ms: took[took.len() / 2], cpu_us }
}
