//! `takeover`: a crash with much owed. How soon the next start delivers, and how much is attempted twice.

use std::time::{Duration, Instant};

use outbound::config::PERMITS;

use support::process::PATIENCE;

use super::process::Usage;
use super::progress;
use super::receiver::Receiver;
use super::report::{Report, Target};
use super::run::{Bench, Run, wait};
use super::scenario::Size;
use super::seen::unix_us;
use super::service::Outbound;
use super::store::{self, SHARDS, owed, stream};

/// Entries that the service may hold, and so may have attempted without a durable outcome.
const TWICE_MAX: u64 = PERMITS as u64 * SHARDS as u64;
const FIRST_POST_MAX_MS: f64 = 1_000.0;
/// For so long nothing has arrived when what was under way at the crash is taken to have arrived.
const QUIET: Duration = Duration::from_millis(100);

/// What one crash found.
struct Crash {
    owed: u64,
    first_post_ms: f64,
    run: Run,
}

pub(crate) async fn takeover(size: &Size) -> Report {
    let mut bench = Bench::start();
    let mut crashes = Vec::new();
    for turn in 1..=size.pairs {
        progress::step(&format!("crash {turn} of {}", size.pairs));
        crashes.push(crash(&mut bench, size).await);
    }
    let over_all = |figure: fn(&Crash) -> f64| crashes.iter().map(figure).collect::<Vec<_>>();
    let twice = crashes.iter().map(|crash| crash.run.stats.repeated).max().unwrap_or_default();
    let first_post = over_all(|crash| crash.first_post_ms);
    let mut report = Report {
        rss_mb: Some(over_all(|crash| crash.run.peak_rss_mib).into_iter().fold(0.0, f64::max)),
        tally: crashes.iter().map(|crash| crash.run.tally).sum(),
        ..Report::default()
    };
    report.measured("owed_at_the_crash", &over_all(|crash| crash.owed as f64));
    let first_post = report.measured("first_post_ms", &first_post);
    report.measured("attempted_twice", &over_all(|crash| crash.run.stats.repeated as f64));
    report.targets = vec![
        Target::at_most("first POST, ms after the start", first_post, FIRST_POST_MAX_MS),
        Target::at_most("attempted twice", twice as f64, TWICE_MAX as f64),
    ];
    report
}

async fn crash(bench: &mut Bench, size: &Size) -> Crash {
    // A part is delivered before the crash, so that it comes amid work.
    let before_it = size.backlog() / 5;
    let messages = size.backlog() + 2 * before_it;
    let load = size.spread();
    store::empty(&bench.redis);
    let mut redis = bench.connect();
    let mut outbound = bench.outbound(&[]).await;
    outbound.configure((0..load.workspaces).map(|n| (n, bench.url("ok", n, load.workspaces)))).await;
    outbound.process.terminate();
    load.append(&mut redis, 0..messages, &stream);
    bench.receiver.process.tell("reset");
    let before = bench.others();
    let mut outbound = bench.outbound(&[]).await;
    wait_for(&mut bench.receiver, before_it as u64);
    outbound.process.kill();
    quiet(&mut bench.receiver);
    bench.receiver.process.tell("mark");
    let left = owed(&mut redis);
    let started_us = unix_us();
    let outbound = Outbound::start(&bench.redis.url(), &bench.data_dir(), &[]);
    wait(|| owed(&mut redis) == 0, messages, &mut bench.receiver);
    let (usage, after) = (Usage::of(outbound.process.child.id()), bench.others());
    let run = bench.run(messages, usage, &before, &after);
    assert!(run.stats.first_at_us > started_us, "a POST from before the crash was taken for the first one");
    let first_post_ms = (run.stats.first_at_us - started_us) as f64 / 1e3;
    Crash { owed: left, first_post_ms, run }
}

fn wait_for(receiver: &mut Receiver, count: u64) {
    let began = Instant::now();
    while receiver.count() < count {
        assert!(began.elapsed() < PATIENCE, "fewer than {count} messages arrive");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until nothing that the killed process had sent is still on its way.
fn quiet(receiver: &mut Receiver) {
    let (mut count, mut since) = (receiver.count(), Instant::now());
    while since.elapsed() < QUIET {
        std::thread::sleep(QUIET / 10);
        let now = receiver.count();
        if now != count {
            (count, since) = (now, Instant::now());
        }
    }
}
