//! What workspaces without work cost in memory: `idle`.
//!
//! Passive ones are only known to the store. A workspace becomes active with its first message and stays in
//! memory for `IDLE_AFTER`. Twice as many are made active in two halves: what the second half adds is what
//! they cost; what delivering costs once (connections, buffers) was paid with the first.

use std::time::{Duration, Instant};

use outbound::config::{HIBERNATE_AFTER, IDLE_AFTER};
use redis::Connection;
use support::process::Process;

use super::process::Usage;
use super::progress;
use super::report::{Report, Target};
use super::run::{Bench, wait};
use super::scenario::Size;
use super::store::{self, Load, owed, shard, stream, workspace};

/// Known workspaces for each active one.
const KNOWN: usize = 10;
/// Workspaces a pipeline.
const PIPELINE: usize = 500;
const ACTIVE_MAX_BYTES: f64 = 1_536.0;
/// Less than one start differs from another: all passive workspaces together.
const PASSIVE_MAX_MIB: f64 = 2.0;
const MIB: f64 = 1_048_576.0;
/// Memory that has not fallen by [`FALL_MIB`] for so long has settled: a workspace rests at the latest twice
/// [`HIBERNATE_AFTER`] after its last work.
const QUIET: Duration = Duration::from_secs(1 + 2 * HIBERNATE_AFTER.as_secs());
const FALL_MIB: f64 = 0.5;

pub(crate) async fn measure(size: &Size) -> Report {
    let active = size.backlog();
    let load = Load { workspaces: KNOWN * active, ..size.spread() };
    let mut bench = Bench::start();
    let mut redis = bench.connect();
    let stored = Stored::made_by(&bench, &mut redis, 0).await;

    progress::step("a start that knows no workspace");
    let without = resident(&bench.outbound(&[]).await.process);
    progress::step(&format!("{} workspaces become known", load.workspaces));
    stored.copy(&bench, &mut redis, load.workspaces, size.workspaces);
    progress::step("a start that knows them");
    let outbound = bench.outbound(&[]).await;
    let passive = resident(&outbound.process);

    progress::step(&format!("{active} of them get a message each"));
    bench.receiver.process.tell("reset");
    let (before, began) = (bench.others(), Instant::now());
    let mut halves = Vec::new();
    for half in [0..active / 2, active / 2..active] {
        load.append(&mut redis, half, &stream);
        wait(|| owed(&mut redis) == 0, active, &mut bench.receiver);
        halves.push(resident(&outbound.process));
    }
    let took = began.elapsed();
    assert!(took < IDLE_AFTER, "after {took:?} some are passive again: choose less --seconds");
    let (usage, after) = (Usage::of(outbound.process.child.id()), bench.others());
    let run = bench.run(active, usage, &before, &after);

    let added = halves[1] - halves[0];
    let mut report = Report { service_us: None, outbound_per_s: None, ..Report::of(&[run]) };
    report.measured("known", &[load.workspaces as f64]);
    report.measured("active", &[active as f64]);
    report.measured("passive_mib", &[passive - without]);
    report.measured("start_mib", &[without]);
    let bytes = report.measured("bytes_an_active", &[added * MIB / (active - active / 2) as f64]);
    report.measured("bytes_an_active_all_in", &[(halves[1] - passive) * MIB / active as f64]);
    report.targets = vec![
        Target::at_most("bytes RSS an active workspace", bytes, ACTIVE_MAX_BYTES),
        Target::at_most("MiB RSS for all passive ones", passive - without, PASSIVE_MAX_MIB),
    ];
    report
}

/// What a process has resident once it gives nothing back any more: an allocator may keep for a while what
/// was freed.
fn resident(process: &Process) -> f64 {
    let mut least = f64::INFINITY;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        let now = Usage::of(process.child.id()).rss_mib;
        if now < least - FALL_MIB {
            (least, since) = (now, Instant::now());
        }
        std::thread::sleep(QUIET / 20);
    }
    least
}

/// What Redis holds of a workspace whose webhook was saved once, as the service wrote it.
pub(crate) struct Stored {
    url: String,
    snapshot: String,
    saved: String,
}

impl Stored {
    /// Saves the webhook of one, with so many custom headers, and looks; the Redis is empty again afterwards.
    pub(crate) async fn made_by(bench: &Bench, redis: &mut Connection, headers: usize) -> Self {
        let url = bench.url("ok", 0, 1);
        let outbound = bench.outbound(&[]).await;
        outbound.configure_with(std::iter::once((0, url.clone())), headers).await;
        drop(outbound);
        let snapshot: String = redis::cmd("GET").arg(key("snapshot", 0)).query(redis).expect("a snapshot");
        let history = redis::cmd("XRANGE").arg(key("journal", 0)).arg("-").arg("+").query(redis);
        let [(_, [(_, saved)])]: [(String, [(String, String); 1]); 1] = history.expect("the one event of its history");
        assert!(snapshot.contains(&url) && saved.contains(&url), "the stored form has changed: {snapshot}");
        store::empty(&bench.redis);
        Self { url, snapshot, saved }
    }

    /// Writes the same for workspaces 0 to `known`, each with its own URL.
    pub(crate) fn copy(&self, bench: &Bench, redis: &mut Connection, known: usize, endpoints: usize) {
        for first in (0..known).step_by(PIPELINE) {
            let mut pipeline = redis::pipe();
            for n in first..known.min(first + PIPELINE) {
                let own = |stored: &str| stored.replace(&self.url, &bench.url("ok", n, endpoints));
                pipeline.cmd("SET").arg(key("snapshot", n)).arg(own(&self.snapshot)).ignore();
                pipeline.cmd("XADD").arg(key("journal", n)).arg("1-0").arg("e").arg(own(&self.saved)).ignore();
            }
            pipeline.query::<()>(redis).expect("known workspaces");
            progress::so_far(first as u64, known as u64);
        }
    }
}

fn key(kind: &str, n: usize) -> String {
    format!("outbound:{{{}}}:{kind}:{}", shard(n), workspace(n))
}
