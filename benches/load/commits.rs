//! What a commit costs: `commits`. The same attempts are committed through the adapter alone, by script and as
//! transactions, in turns and at several sizes of a batch; nothing is read, decided or POSTed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use outbound::app::now;
use outbound::config::SNAPSHOT_EVERY;
use outbound::journal::Journal as _;
use outbound::journal::port::{Batch, COMMITS_IN_FLIGHT_MAX, Holder, Step, StoredEvent};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::{EntryId, WorkspaceId};

use super::process::Usage;
use super::progress;
use super::report::{Report, Target};
use super::scenario::Size;
use super::store;
use support::redis_server::RedisServer;

/// Attempts in a commit.
const SIZES: [usize; 4] = [4, 8, 16, 64];
/// What an attempt and a snapshot have in the bare loop's commits, too.
const EVENT_BYTES: usize = 1_200;
const SNAPSHOT_BYTES: usize = 300;
/// Shards that are committed to at a time.
const SHARDS: u16 = 4;
/// Messages a pipeline.
const PIPELINE: usize = 256;
/// What Redis may take for a commit of the largest size, as a part of what it takes for one by script.
const RATIO_MAX: f64 = 0.8;

#[derive(Debug, Clone, Copy)]
enum Form {
    Script,
    Transaction,
}

/// CPU an attempt, in microseconds, and attempts a second.
#[derive(Debug, Clone, Copy)]
struct Cost {
    redis_us: f64,
    own_us: f64,
    per_s: f64,
}

pub(crate) async fn measure(size: &Size) -> Report {
    let redis = store::start();
    let mut report = Report::default();
    for attempts in SIZES {
        let (mut scripts, mut transactions) = (Vec::new(), Vec::new());
        for turn in 1..=size.pairs {
            progress::step(&format!("{attempts} attempts a commit, turn {turn} of {}", size.pairs));
            scripts.push(cost(&redis, Form::Script, attempts, size).await);
            transactions.push(cost(&redis, Form::Transaction, attempts, size).await);
        }
        for (form, costs) in [("script", &scripts), ("transaction", &transactions)] {
            let over = |figure: fn(&Cost) -> f64| costs.iter().map(figure).collect::<Vec<_>>();
            report.measured(&format!("{form}_{attempts}_redis_us"), &over(|cost| cost.redis_us));
            report.measured(&format!("{form}_{attempts}_own_us"), &over(|cost| cost.own_us));
            report.measured(&format!("{form}_{attempts}_per_s"), &over(|cost| cost.per_s));
        }
        let ratios: Vec<f64> = scripts
            .iter()
            .zip(&transactions)
            .map(|(script, transaction)| transaction.redis_us / script.redis_us)
            .collect();
        let ratio = report.measured(&format!("redis_ratio_{attempts}"), &ratios);
        report.targets = vec![Target::at_most("Redis, transaction / script", ratio, RATIO_MAX)];
    }
    report
}

async fn cost(redis: &RedisServer, form: Form, attempts: usize, size: &Size) -> Cost {
    store::empty(redis);
    let shards = (0..SHARDS).map(|shard| Shard::new(shard, attempts, size)).collect::<Vec<_>>();
    let mut connection = store::connect(redis);
    shards.iter().for_each(|shard| shard.publish(&mut connection));
    let options = RedisOptions {
        shards: Some(SHARDS),
        transaction_attempts_min: match form {
            Form::Script => usize::MAX,
            Form::Transaction => 0,
        },
        ..RedisOptions::new(redis.url(), now)
    };
    let journal = Redis::connect(&options).await.expect("a journal");
    let committed: usize = shards.iter().map(|shard| shard.batches.len() * attempts).sum();
    let usage = || (Usage::of(redis.pid()).cpu_us, Usage::of(std::process::id()).cpu_us);
    let (before, began) = (usage(), Instant::now());
    futures_util::future::join_all(shards.into_iter().map(|shard| shard.commit(&journal))).await;
    let (took, after) = (began.elapsed(), usage());
    assert_eq!(store::owed(&mut connection), 0, "everything is settled");
    let each = committed as f64;
    Cost {
        redis_us: (after.0 - before.0) / each,
        own_us: (after.1 - before.1) / each,
        per_s: each / took.as_secs_f64(),
    }
}

/// A shard, and what is committed to it.
struct Shard {
    number: u16,
    batches: Vec<Batch>,
}

impl Shard {
    /// Its part of a backlog: workspaces take turns, as they do in `spread`.
    fn new(number: u16, attempts: usize, size: &Size) -> Self {
        let own = |id: &WorkspaceId| id.shard(SHARDS) == number;
        let ids = (0..).map(|n| store::workspace(n).parse::<WorkspaceId>().expect("an id")).filter(own);
        let workspaces: Vec<WorkspaceId> = ids.take((size.workspaces / usize::from(SHARDS)).max(1)).collect();
        let event = Bytes::from(format!(r#"{{"v":2,"x":"{}"}}"#, "x".repeat(EVENT_BYTES)));
        let snapshot = Bytes::from("s".repeat(SNAPSHOT_BYTES));
        let step = |n: usize| {
            let seq = n / workspaces.len() + 1;
            let attempt = StoredEvent { seq: seq as u64, json: event.clone() };
            Step {
                workspace: Some(workspaces[n % workspaces.len()].clone()),
                attempts: vec![attempt],
                snapshot: seq.is_multiple_of(SNAPSHOT_EVERY).then(|| snapshot.clone()),
                settled: vec![entry(n)],
                ..Step::default()
            }
        };
        let batches = size.backlog() / usize::from(SHARDS) / attempts;
        let batch =
            |b: usize| Batch { steps: (b * attempts..(b + 1) * attempts).map(step).collect(), ..Batch::default() };
        Self { number, batches: (0..batches.max(1)).map(batch).collect() }
    }

    /// The messages that the commits settle.
    fn publish(&self, redis: &mut redis::Connection) {
        let key = format!("outbound:{{{}}}:messages", self.number);
        let entries: Vec<EntryId> =
            self.batches.iter().flat_map(|batch| &batch.steps).flat_map(|step| step.settled.clone()).collect();
        let message = "m".repeat(700);
        for some in entries.chunks(PIPELINE) {
            let mut pipeline = redis::pipe();
            for entry in some {
                pipeline.cmd("XADD").arg(&key).arg(entry.to_string()).arg("message").arg(&message).ignore();
            }
            pipeline.query::<()>(redis).expect("messages");
        }
    }

    /// As many commits are under way as the port allows.
    async fn commit(self, journal: &Redis) {
        let holder = Holder { node: "bench".to_owned(), lease: Duration::from_secs(60) };
        let connection = journal.acquire(self.number, &holder).await.expect("a shard").connection;
        let (mut batches, mut under_way) = (self.batches.into_iter(), FuturesUnordered::new());
        loop {
            while under_way.len() < COMMITS_IN_FLIGHT_MAX
                && let Some(batch) = batches.next()
            {
                under_way.push(connection.commit(batch));
            }
            match under_way.next().await {
                Some(answer) => drop(answer.expect("a commit")),
                None => return,
            }
        }
    }
}

fn entry(n: usize) -> EntryId {
    EntryId { ms: n as u64 + 1, n: 0 }
}
