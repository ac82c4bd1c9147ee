//! What `--durability` costs: `durability`. The backlog of `spread` at each level, in turns, each on a Redis that can keep it:
//! `local` with WAITAOF where the server has it, else with an fsync for every write; `replicated` with a replica.

use std::time::{Duration, Instant};

use support::process::PATIENCE;
use support::redis_server::RedisServer;

use super::backlog::even;
use super::progress;
use super::report::{Report, over};
use super::run::{Backlog, Bench, Run};
use super::scenario::Size;
use super::store;

/// A level, and the Redis that it is measured on.
struct Level {
    name: &'static str,
    flags: &'static [&'static str],
    bench: Bench,
    runs: Vec<Run>,
}

impl Level {
    fn new(name: &'static str, flags: &'static [&'static str], redis: RedisServer) -> Self {
        Self { name, flags, bench: Bench::on(redis), runs: Vec::new() }
    }
}

pub(crate) async fn measure(size: &Size) -> Report {
    let load = size.spread();
    let replicated = store::start();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &replicated.port().to_string()]);
    let mut levels = [
        Level::new("memory", &[], store::start()),
        Level::new("local", &["--durability", "local"], for_local()),
        Level::new("replicated", &["--durability", "replicated"], replicated),
    ];
    for turn in 1..=size.pairs {
        for level in &mut levels {
            progress::step(&format!("turn {turn} of {}, {}", size.pairs, level.name));
            if level.name == "replicated" {
                until_follows(&level.bench.redis, &replica);
            }
            let backlog = Backlog { flags: level.flags, ..even(&load, size) };
            level.runs.push(level.bench.service(&backlog).await);
        }
    }
    let [memory, local, replicated] = &levels;
    let mut report = Report::of(&memory.runs);
    for level in [local, replicated] {
        let pairs = level.runs.iter().zip(&memory.runs);
        let ratios: Vec<f64> = pairs.map(|(one, memory)| one.per_s / memory.per_s).collect();
        report.measured(&format!("{}_ratio_to_memory", level.name), &ratios);
        report.measured(&format!("{}_per_s", level.name), &over(&level.runs, |run| run.per_s));
        report.measured(&format!("{}_service_us", level.name), &over(&level.runs, |run| run.deliverer_us));
        report.measured(&format!("{}_redis_us", level.name), &over(&level.runs, |run| run.redis_us));
        report.tally = [report.tally].into_iter().chain(level.runs.iter().map(|run| run.tally)).sum();
    }
    report
}

/// A Redis that can say when something is on disk.
fn for_local() -> RedisServer {
    let redis = store::start();
    let knows = redis.call::<Vec<redis::Value>>(&["COMMAND", "INFO", "WAITAOF"]).first() != Some(&redis::Value::Nil);
    if knows {
        // The user that the service has in redis/users.acl may not ask it: a Redis before 7.2 does not know the word.
        redis.call::<()>(&["ACL", "SETUSER", "outbound", "+waitaof"]);
        return redis;
    }
    RedisServer::start_with(&["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"])
}

/// Waits until the replica has what there is.
fn until_follows(primary: &RedisServer, replica: &RedisServer) {
    let began = Instant::now();
    while !replica.call::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        || !primary.call::<String>(&["INFO", "replication"]).contains("state=online")
    {
        assert!(began.elapsed() < PATIENCE, "the replica does not follow");
        std::thread::sleep(Duration::from_millis(20)); // Until it does.
    }
}
