//! `embedded`: the backlog of `spread` on the embedded journal, in turns with Redis and the bare loop.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use outbound::journal::Journal as _;
use outbound::journal::embedded::Embedded;
use outbound::journal::port::{Holder, Poll};
use outbound::message::RawMessage;
use outbound::workspace::Time;

use super::backlog::even;
use super::process::Usage;
use super::progress;
use super::report::{Report, Target, over};
use super::run::{Backlog, Bench, Run, Tally, wait_all};
use super::scenario::Size;
use super::seen::unix_us;
use super::service::Outbound;
use super::store::{SHARDS, workspace};

/// Messages on their way to the file at a time: they share transactions.
const FEED_AT_ONCE: usize = 2_048;
const RATIO_MIN: f64 = 0.95;
/// How often the disk is asked to write, to find out how long it takes.
const SYNCS: usize = 50;

pub(crate) async fn measure(size: &Size) -> Report {
    let mut bench = Bench::start();
    let load = size.spread();
    let backlog = even(&load, size);
    let (mut bare, mut redis, mut ours, mut flushes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=size.pairs {
        let turn = format!("turn {turn} of {}", size.pairs);
        progress::step(&format!("{turn}, bare loop"));
        bare.push(bench.bare(&backlog));
        progress::step(&format!("{turn}, on Redis"));
        redis.push(bench.service(&backlog).await);
        progress::step(&format!("{turn}, on the embedded journal"));
        let (run, flushed) = on_file(&mut bench, &backlog).await;
        ours.push(run);
        flushes.extend(flushed);
    }
    let ratios: Vec<f64> = ours.iter().zip(&redis).map(|(ours, redis)| ours.per_s / redis.per_s).collect();
    let mut report = Report { redis_us: None, ..Report::beside(&ours, &bare) };
    report.measured("on_redis_per_s", &over(&redis, |run| run.per_s));
    let ratio = report.measured("ratio_to_redis", &ratios);
    report.measured("fdatasync_ms", &[sync_ms(&bench.data_dir())]);
    if !flushes.is_empty() {
        report.measured("fsyncs_per_s", &flushes);
    }
    report.targets = vec![Target::at_least("rate / that on Redis", ratio, RATIO_MIN)];
    report
}

/// Delivers a backlog that stands in a fresh file. Also how often a second the disk was told to write
/// everything down, where the system tells.
async fn on_file(bench: &mut Bench, backlog: &Backlog<'_>) -> (Run, Option<f64>) {
    let folder = tempfile::tempdir_in(bench.data_dir().parent().expect("the folder of a run")).expect("a folder");
    let file = folder.path().join("journal.redb");
    let journal = format!("embedded:{}", file.display());
    let load = backlog.load;
    let mut outbound = Outbound::start(&journal, folder.path(), backlog.flags);
    outbound.ready().await;
    outbound.configure((0..load.workspaces).map(|n| (n, bench.url("ok", n, backlog.endpoints)))).await;
    outbound.process.terminate();
    feed(&file, backlog).await;
    bench.receiver.process.tell("reset");
    let before = bench.others();
    let flushes = Flushes::of(folder.path());
    let mut outbound = Outbound::start(&journal, folder.path(), backlog.flags);
    wait_all(backlog.messages, &mut bench.receiver);
    let flushed = flushes.and_then(|before| Some(Flushes::of(folder.path())?.0 - before.0));
    let (usage, after) = (Usage::of(outbound.process.child.id()), bench.others());
    outbound.process.terminate();
    let run = bench.run(backlog.messages, usage, &before, &after);
    let (owed, rejected) = left(&file).await;
    assert_eq!(owed, 0, "the journal still owes messages that have arrived");
    let tally = Tally::of(backlog.messages, &run.stats, rejected);
    let per_s = flushed.map(|count| count as f64 / run.stats.seconds.max(1e-6));
    (Run { tally, ..run }, per_s)
}

fn open(file: &Path) -> Embedded {
    let clock = || Time::from_unix_ms(i64::try_from(unix_us() / 1_000).unwrap_or_default());
    Embedded::open(file, None, clock).expect("the journal of a service that has ended")
}

/// Publishes the backlog, as the API would.
pub(crate) async fn feed(file: &Path, backlog: &Backlog<'_>) {
    let journal = &open(file);
    let published = futures_util::stream::iter(0..backlog.messages).map(|n| async move {
        let id = workspace(backlog.load.workspace(n)).parse().expect("a workspace's id");
        let message = RawMessage::from_stored(backlog.load.message(n).into()).expect("a message");
        journal.publish(&id, &message).await.expect("a published message");
    });
    published.buffered(FEED_AT_ONCE).for_each(|()| async {}).await;
}

/// Messages that are not settled, and those set aside.
pub(crate) async fn left(file: &Path) -> (u64, u64) {
    let journal = open(file);
    let holder = Holder { node: "bench".to_owned(), lease: Duration::from_secs(10) };
    let mut owed = 0;
    for shard in 0..SHARDS {
        let mut held = journal.acquire(shard, &holder).await.expect("a shard that nobody holds");
        let polled = held.intake.poll(&Poll { probe: true, ..Poll::default() }).await.expect("a length");
        owed += polled.length.expect("a length when probed");
    }
    (owed, journal.rejected_counts().await.expect("counts").iter().sum())
}

/// How often the disk below a folder was told to write down what it holds, by whoever (iostat's `f/s`).
struct Flushes(u64);

impl Flushes {
    /// `None` where the folder stands on no disk of its own, or the kernel does not count.
    fn of(folder: &Path) -> Option<Self> {
        // Field 16 of the kernel's documentation of block device statistics.
        const FLUSHES: usize = 15;
        let device = fs::metadata(folder).ok()?.dev();
        let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
        let of_device = format!("/sys/dev/block/{major}:{minor}");
        // Only the whole disk counts them, not a partition of it.
        let is_partition = Path::new(&of_device).join("partition").exists();
        let stat = fs::read_to_string(format!("{of_device}{}/stat", if is_partition { "/.." } else { "" })).ok()?;
        Some(Self(stat.split_whitespace().nth(FLUSHES)?.parse().ok()?))
    }
}

/// How long the disk takes to write a page down for good.
fn sync_ms(folder: &Path) -> f64 {
    let mut file = tempfile::tempfile_in(folder).expect("a file");
    let began = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).expect("a written page");
    }
    began.elapsed().as_secs_f64() * 1e3 / SYNCS as f64
}
