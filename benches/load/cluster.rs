//! Three primaries against one: `cluster`. The backlog of `spread` on a Redis Cluster and on one Redis, in turns, with what
//! each primary had to do: on two cores it does not scale, but no connection and no primary may be the one that all wait for.

use redis::Connection;
use support::redis_cluster::RedisCluster;

use super::backlog::even;
use super::process::Usage;
use super::progress;
use super::report::{Report, Target, over};
use super::run::{Bench, Run, Tally, wait};
use super::scenario::Size;
use super::service::Outbound;
use super::store::{self, Load, SHARDS};

const PRIMARIES: usize = 3;
/// Messages a pipeline.
const PIPELINE: usize = 256;
/// What one primary may have of all commands, as a multiple of its part of the shards.
const SHARE_MAX: f64 = 1.5;

/// What one primary did in a measurement.
#[derive(Debug, Clone, Copy)]
struct PrimaryShare {
    commands: f64,
    cpu_us: f64,
}

struct OnCluster {
    cluster: RedisCluster,
    connections: Vec<Connection>,
    /// By shard.
    primaries: Vec<usize>,
}

pub(crate) async fn measure(size: &Size) -> Report {
    let mut bench = Bench::start();
    let mut three = OnCluster::start();
    let load = size.spread();
    let (mut ours, mut single, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=size.pairs {
        progress::step(&format!("turn {turn} of {}, one Redis", size.pairs));
        single.push(bench.service(&even(&load, size)).await);
        progress::step(&format!("turn {turn} of {}, three primaries", size.pairs));
        let (run, parts) = three.service(&mut bench, &load, size).await;
        ours.push(run);
        shares.push(parts);
    }
    let mut report = Report::of(&ours);
    let ratios: Vec<f64> = ours.iter().zip(&single).map(|(three, one)| three.per_s / one.per_s).collect();
    report.measured("ratio_to_one_primary", &ratios);
    report.measured("one_primary_per_s", &over(&single, |run| run.per_s));
    report.measured("one_primary_redis_us", &over(&single, |run| run.redis_us));
    let mut worst: f64 = 0.0;
    for primary in 0..PRIMARIES {
        let of =
            |figure: fn(&PrimaryShare) -> f64| shares.iter().map(|parts| figure(&parts[primary])).collect::<Vec<_>>();
        let commands = report.measured(&format!("primary_{primary}_commands"), &of(|part| part.commands));
        report.measured(&format!("primary_{primary}_us"), &of(|part| part.cpu_us));
        let shards = three.primaries.iter().filter(|one| **one == primary).count();
        report.measured(&format!("primary_{primary}_shards"), &[shards as f64]);
        let all: f64 = shares.iter().map(|parts| parts.iter().map(|part| part.commands).sum::<f64>()).sum();
        let part = commands * shares.len() as f64 / all;
        worst = worst.max(part * f64::from(SHARDS) / shards.max(1) as f64);
    }
    report.tally = [report.tally].into_iter().chain(single.iter().map(|run| run.tally)).sum();
    report.targets = vec![Target::at_most("a primary's commands / its part of the shards", worst, SHARE_MAX)];
    report
}

impl OnCluster {
    fn start() -> Self {
        let cluster = RedisCluster::start_with(&["--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]);
        let connect = |n: usize| {
            let client = redis::Client::open(cluster.nodes[n].own_url());
            client.and_then(|client| client.get_connection()).expect("a connection to a primary")
        };
        let connections = (0..PRIMARIES).map(connect).collect();
        let primaries =
            (0..SHARDS).map(|shard| cluster.primary_of(&format!("outbound:{{{shard}}}:messages"))).collect();
        Self { cluster, connections, primaries }
    }

    fn primary(&self, workspace: usize) -> usize {
        self.primaries[store::shard(workspace) as usize]
    }

    /// Delivers a backlog with the service.
    async fn service(&mut self, bench: &mut Bench, load: &Load, size: &Size) -> (Run, Vec<PrimaryShare>) {
        for primary in &self.cluster.nodes[..PRIMARIES] {
            store::empty(primary);
        }
        let (url, messages) = (self.cluster.url(), size.backlog());
        let mut outbound = Outbound::start(&url, &bench.data_dir(), &[]);
        outbound.ready().await;
        outbound.configure((0..load.workspaces).map(|n| (n, bench.url("ok", n, load.workspaces)))).await;
        outbound.process.terminate();
        self.append(load, messages);
        bench.receiver.process.tell("reset");
        let (before, receiver_before) = (self.usage(), Usage::of(bench.receiver.process.child.id()));
        let outbound = Outbound::start(&url, &bench.data_dir(), &[]);
        let Self { connections, primaries, .. } = self;
        wait(|| owed(connections, primaries) == 0, messages, &mut bench.receiver);
        let (deliverer, after) = (Usage::of(outbound.process.child.id()), self.usage());
        let receiver_after = Usage::of(bench.receiver.process.child.id());
        let stats = bench.receiver.stats();
        let posts = stats.distinct().max(1) as f64;
        let shares: Vec<PrimaryShare> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| PrimaryShare {
                commands: (after.commands - before.commands) / posts,
                cpu_us: (after.cpu_us - before.cpu_us) / posts,
            })
            .collect();
        let run = Run {
            per_s: posts / stats.seconds.max(1e-6),
            deliverer_us: deliverer.cpu_us / posts,
            redis_us: shares.iter().map(|share| share.cpu_us).sum(),
            receiver_us: (receiver_after.cpu_us - receiver_before.cpu_us) / posts,
            peak_rss_mib: deliverer.peak_rss_mib,
            memory_mib: Vec::new(),
            tally: Tally::of(messages, &stats, 0),
            webhooks: Vec::new(),
            stats,
        };
        (run, shares)
    }

    fn append(&mut self, load: &Load, messages: usize) {
        for primary in 0..PRIMARIES {
            let numbers: Vec<usize> = (0..messages).filter(|n| self.primary(load.workspace(*n)) == primary).collect();
            for some in numbers.chunks(PIPELINE) {
                let mut pipeline = redis::pipe();
                for &n in some {
                    let number = load.workspace(n);
                    let cmd = pipeline.cmd("XADD").arg(store::stream(number)).arg("*");
                    cmd.arg("workspace").arg(store::workspace(number)).arg("message").arg(load.message(n)).ignore();
                }
                pipeline.query::<()>(&mut self.connections[primary]).expect("appended messages");
            }
        }
    }

    /// What each primary has done since its start.
    fn usage(&self) -> Vec<PrimaryShare> {
        let of = |n: usize| {
            let node = &self.cluster.nodes[n];
            let info: String = node.call(&["INFO", "stats"]);
            let commands = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
            let commands = commands.and_then(|number| number.trim().parse().ok()).expect("a number of commands");
            PrimaryShare { commands, cpu_us: Usage::of(node.pid()).cpu_us }
        };
        (0..PRIMARIES).map(of).collect()
    }
}

/// Messages that are not settled.
fn owed(connections: &mut [Connection], primaries: &[usize]) -> u64 {
    let each = connections.iter_mut().enumerate().map(|(primary, connection)| {
        let shards = primaries.iter().enumerate().filter(|(_, on)| **on == primary);
        store::entries(connection, shards.map(|(shard, _)| format!("outbound:{{{shard}}}:messages")))
    });
    each.sum()
}
