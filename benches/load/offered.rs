//! Messages come at a steady rate to a running service: `latency` and `hung`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::Connection;

use super::process::Usage;
use super::receiver::url;
use super::report::{Report, Target, median, over};
use super::run::{Bench, Others, Run, bare_owed, wait};
use super::scenario::Size;
use super::store::{self, Load, owed, stream};
use super::{bare, progress};

/// Messages a second in `latency` and `hung`.
const OFFERED_PER_S: f64 = 5_000.0;
const P50_MAX_MS: f64 = 1.0;
const P99_MAX_MS: f64 = 5.0;

/// One workspace of so many has an endpoint that never answers.
const HUNG_EVERY: usize = 100;
/// What hung neighbours may cost the others together: so many times, or so many milliseconds more.
const HUNG_P99_RATIO_MAX: f64 = 1.2;
const HUNG_P99_MORE_MAX_MS: f64 = 1.0;
/// … and each of them.
const HUNG_MEDIAN_RATIO_MAX: f64 = 2.0;

/// From XADD to arrival, beside the bare loop under the same offer.
pub(crate) async fn latency(size: &Size) -> Report {
    let mut bench = Bench::start();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for pair in 1..=size.pairs {
        progress::step(&format!("pair {pair} of {}, bare loop", size.pairs));
        bare.push(to_bare(&mut bench, size).await);
        progress::step(&format!("pair {pair} of {}, outbound", size.pairs));
        ours.push(to_service(&mut bench, size, &Offer { per_s: OFFERED_PER_S, stream, flags: &[] }).await);
    }
    let mut report = Report::beside(&ours, &bare);
    report.measured("bare_p50_ms", &over(&bare, |run| run.stats.p50_ms));
    report.measured("bare_p99_ms", &over(&bare, |run| run.stats.p99_ms));
    let (p50, p99) = (median(&over(&ours, |run| run.stats.p50_ms)), median(&over(&ours, |run| run.stats.p99_ms)));
    report.targets = vec![Target::at_most("p50, ms", p50, P50_MAX_MS), Target::at_most("p99, ms", p99, P99_MAX_MS)];
    Report { p50_ms: Some(p50), p99_ms: Some(p99), ..report }
}

/// What healthy workspaces feel of endpoints that never answer.
pub(crate) async fn hung(size: &Size) -> Report {
    // They stay on, so what they are owed is tried.
    let offer = Offer { per_s: OFFERED_PER_S, stream, flags: &["--error-limit", "1000000"] };
    let mut bench = Bench::start();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for pair in 1..=size.pairs {
        progress::step(&format!("pair {pair} of {}, all answer", size.pairs));
        without.push(to_endpoints(&mut bench, size, &offer, "ok").await);
        progress::step(&format!("pair {pair} of {}, some hang", size.pairs));
        with.push(to_endpoints(&mut bench, size, &offer, "hang").await);
    }
    let p99 = |runs: &[Run]| median(&over(runs, |run| run.stats.p99_ms));
    let (p99_with, p99_without) = (p99(&with), p99(&without));
    let (ratio, more) = (p99_with / p99_without, p99_with - p99_without);
    let slowest = slowest_median(&with, &without);
    let mut report = Report::of(&with);
    report.tally = with.iter().chain(&without).map(|run| run.tally).sum();
    report.measured("p99_ms_without", &[p99_without]);
    report.measured("p50_ms_without", &over(&without, |run| run.stats.p50_ms));
    report.measured("slowest_median_ratio", &[slowest]);
    report.targets = vec![
        Target::new(
            &format!("p99 of the healthy ≤ {HUNG_P99_RATIO_MAX} × or + {HUNG_P99_MORE_MAX_MS} ms"),
            &format!("{ratio:.2} ×, {more:+.1} ms"),
            ratio <= HUNG_P99_RATIO_MAX || more <= HUNG_P99_MORE_MAX_MS,
        ),
        Target::at_most("slowest healthy median, ×", slowest, HUNG_MEDIAN_RATIO_MAX),
    ];
    let p50 = median(&over(&with, |run| run.stats.p50_ms));
    Report { p50_ms: Some(p50), p99_ms: Some(p99_with), ..report }
}

/// Of every healthy workspace its own median with hung neighbours, as a multiple of that without; the
/// greatest of these. Each is taken over all runs: a workspace gets only a few messages in one.
fn slowest_median(with: &[Run], without: &[Run]) -> f64 {
    let of_each = |runs: &[Run]| {
        let mut medians: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (workspace, ms) in runs.iter().flat_map(|run| &run.stats.medians_ms) {
            medians.entry(*workspace).or_default().push(*ms);
        }
        medians
    };
    let alone = of_each(without);
    of_each(with).iter().map(|(workspace, ms)| median(ms) / median(&alone[workspace])).fold(0.0, f64::max)
}

/// Messages that come at a steady rate, and the service that they are offered to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub(crate) per_s: f64,
    /// Where the messages of a workspace are appended.
    pub(crate) stream: fn(usize) -> String,
    /// Further flags of the service.
    pub(crate) flags: &'a [&'a str],
}

impl Offer<'_> {
    /// How many are offered in the time of a measurement.
    pub(crate) fn messages(&self, size: &Size) -> usize {
        (size.seconds * self.per_s) as usize
    }

    /// Appends each at its time, until all are appended.
    pub(crate) async fn append(&self, redis: &mut Connection, load: &Load, size: &Size) {
        let (messages, began, mut sent) = (self.messages(size), Instant::now(), 0);
        while sent < messages {
            let due = ((began.elapsed().as_secs_f64() * self.per_s) as usize).min(messages);
            load.append(redis, sent..due, &self.stream);
            sent = due;
            // A step of the pace; what has become due meanwhile is appended at once.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn to_bare(bench: &mut Bench, size: &Size) -> Run {
    const THREADS: usize = 2;
    let load = size.spread();
    store::empty(&bench.redis);
    let mut redis = bench.connect();
    let process = bench.start_bare(load.workspaces, THREADS);
    bench.receiver.process.tell("reset");
    let begun = Spent::now(bench, process.child.id());
    let stream = |workspace| bare::stream(workspace % THREADS);
    let offer = Offer { per_s: OFFERED_PER_S, stream, flags: &[] };
    offer.append(&mut redis, &load, size).await;
    let (messages, spent) = (offer.messages(size), Spent::now(bench, process.child.id()));
    wait(|| bare_owed(&mut redis, THREADS) == 0, messages, &mut bench.receiver);
    let run = begun.run(bench, messages, &spent);
    assert!(run.tally.accounted(), "the bare loop lost messages: {:?}", run.tally);
    run
}

/// Every endpoint answers.
pub(crate) async fn to_service(bench: &mut Bench, size: &Size, offer: &Offer<'_>) -> Run {
    to_endpoints(bench, size, offer, "ok").await
}

/// Some workspaces' endpoints do `some`, all others answer.
async fn to_endpoints(bench: &mut Bench, size: &Size, offer: &Offer<'_>, some: &'static str) -> Run {
    let load = size.spread();
    store::empty(&bench.redis);
    let mut redis = bench.connect();
    let outbound = bench.outbound(offer.flags).await;
    let treatment = |n: usize| if n.is_multiple_of(HUNG_EVERY) { some } else { "ok" };
    let port = bench.receiver.port;
    let webhook = |n: usize| (n, url(treatment(n), n, load.workspaces, port));
    outbound.configure((0..load.workspaces).map(webhook)).await;
    bench.receiver.process.tell("reset");
    let begun = Spent::now(bench, outbound.process.child.id());
    offer.append(&mut redis, &load, size).await;
    let (messages, spent) = (offer.messages(size), Spent::now(bench, outbound.process.child.id()));
    // What endpoints that hang are still owed would take minutes: it is skipped.
    let hung = (0..load.workspaces).filter(|n| treatment(*n) == "hang");
    outbound.switch_off(hung.map(webhook)).await;
    wait(|| owed(&mut redis) == 0, messages, &mut bench.receiver);
    let run = begun.run(bench, messages, &spent);
    let webhooks = outbound.webhooks(0..load.workspaces).await;
    Run { tally: run.tally.with_skipped(&webhooks), webhooks, ..run }
}

/// What everybody had used at a moment: deliverers that run before and after the offer are measured during it.
struct Spent {
    deliverer: Usage,
    others: Others,
}

impl Spent {
    fn now(bench: &Bench, deliverer: u32) -> Self {
        Self { deliverer: Usage::of(deliverer), others: bench.others() }
    }

    fn run(&self, bench: &mut Bench, sent: usize, after: &Self) -> Run {
        let cpu_us = after.deliverer.cpu_us - self.deliverer.cpu_us;
        bench.run(sent, Usage { cpu_us, ..after.deliverer }, &self.others, &after.others)
    }
}
