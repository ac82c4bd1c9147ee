//! A quick workspace behind the backlog of a slow one on its shard: `behind`.
//!
//! The slow one's endpoint never answers and is owed three times the backlog of the other scenarios; one message of the quick one
//! stands behind all of it. What is measured is how much later that message arrives after a start than it does where
//! nothing is owed, in turns: when the backlog came while no service ran (`unread`), and after a crash when it had been
//! read before (`read`). Beside them (`xread`) what a client that does nothing else needs to read past the same entries, as
//! many a read as the service: Redis has no index by workspace, so nobody who keeps the order gets past them sooner.

use std::time::Instant;

use outbound::config::READ_PASSED_MAX;
use redis::{Connection, Value};

use super::process::Usage;
use super::progress;
use super::report::{Report, Target};
use super::run::{Bench, wait};
use super::scenario::Size;
use super::service::Outbound;
use super::store::{self, Load, owed, shard, stream};

/// Entries of the slow workspace, as a multiple of the backlog of the other scenarios: 300,000.
const BACKLOGS: usize = 3;
/// What may come on top for the backlog, in milliseconds.
const MORE_MAX_MS: f64 = 300.0;
/// The slow one's attempt neither ends nor counts while this is measured.
const FLAGS: [&str; 2] = ["--timeout", "300s"];
const SLOW: usize = 0;

/// What one turn found, in milliseconds.
struct Turn {
    alone: f64,
    unread: f64,
    read: f64,
    xread: f64,
    rss_mib: f64,
}

pub(crate) async fn measure(size: &Size) -> Report {
    let mut bench = Bench::start();
    let mut turns = Vec::new();
    for turn in 1..=size.pairs {
        progress::step(&format!("turn {turn} of {}", size.pairs));
        turns.push(measure_turn(&mut bench, size).await);
    }
    let over = |figure: fn(&Turn) -> f64| turns.iter().map(figure).collect::<Vec<_>>();
    let mut report =
        Report { rss_mb: Some(over(|turn| turn.rss_mib).into_iter().fold(0.0, f64::max)), ..Report::default() };
    report.measured("alone_ms", &over(|turn| turn.alone));
    report.measured("xread_ms", &over(|turn| turn.xread));
    let unread = report.measured("unread_ms_more", &over(|turn| turn.unread - turn.alone));
    report.measured("unread_ratio_to_xread", &over(|turn| (turn.unread - turn.alone) / turn.xread));
    let read = report.measured("read_ms_more", &over(|turn| turn.read - turn.alone));
    report.targets = vec![
        Target::at_most("behind what was read before, ms more", read, MORE_MAX_MS),
        Target::at_most("behind what nobody has read, ms more", unread, MORE_MAX_MS),
    ];
    report
}

async fn measure_turn(bench: &mut Bench, size: &Size) -> Turn {
    let quick = (SLOW + 1..).find(|n| shard(*n) == shard(SLOW)).expect("one of the next hundred");
    let entries = BACKLOGS * size.backlog();
    let slow = Load { workspaces: SLOW + 1, ..size.spread() };
    let quick_one = Load { workspaces: quick + 1, ..size.spread() };
    store::empty(&bench.redis);
    let mut redis = bench.connect();
    let mut outbound = bench.outbound(&FLAGS).await;
    outbound.configure([(SLOW, bench.url("hang", SLOW, 2)), (quick, bench.url("ok", 1, 2))].into_iter()).await;
    outbound.process.terminate();

    // A message of the quick one arrives; how long after it was appended, which was just before the start.
    let mut sent = 0;
    let mut arrival = async |bench: &mut Bench, redis: &mut Connection| {
        let number = sent * quick_one.workspaces + quick;
        sent += 1;
        bench.receiver.process.tell("reset");
        let others = owed(redis);
        quick_one.append(redis, number..number + 1, &stream);
        let outbound = Outbound::start(&bench.redis.url(), &bench.data_dir(), &FLAGS);
        wait(|| owed(redis) == others, 1, &mut bench.receiver);
        let stats = bench.receiver.stats();
        assert_eq!(stats.delivered, 1, "the quick one's message arrives once");
        (stats.p50_ms, outbound)
    };
    let (alone, mut outbound) = arrival(bench, &mut redis).await;
    outbound.process.terminate();
    slow.append(&mut redis, 0..entries, &stream);
    let xread = xread_ms(&mut redis, entries);
    let (unread, mut outbound) = arrival(bench, &mut redis).await;
    outbound.process.kill();
    let (read, outbound) = arrival(bench, &mut redis).await;
    let rss_mib = Usage::of(outbound.process.child.id()).peak_rss_mib;
    Turn { alone, unread, read, xread, rss_mib }
}

/// Reads past all entries of the slow one's stream.
fn xread_ms(redis: &mut Connection, entries: usize) -> f64 {
    let began = Instant::now();
    let (mut from, mut read) = ("-".to_owned(), 0);
    loop {
        let range =
            redis::cmd("XRANGE").arg(stream(SLOW)).arg(&from).arg("+").arg("COUNT").arg(READ_PASSED_MAX).query(redis);
        let some: Vec<(String, Value)> = range.expect("entries");
        read += some.len();
        match some.last() {
            Some((last, _)) => from = format!("({last}"),
            None => break,
        }
    }
    assert_eq!(read, entries, "entries of the slow one");
    began.elapsed().as_secs_f64() * 1e3
}
