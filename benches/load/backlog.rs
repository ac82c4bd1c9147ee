//! A backlog is delivered: `spread`, `one-host`, `hot`, `failing` and `drain`.

use serde_json::json;

use super::progress;
use super::report::{Report, Target, over};
use super::run::{Backlog, Bench, Run};
use super::scenario::Size;
use super::store::{Load, stream};

/// At least so many times the bare loop's rate: in `spread` and `one-host`, in `hot`, and in the others.
const SPREAD_RATIO_MIN: f64 = 1.1;
const HOT_RATIO_MIN: f64 = 1.15;
const OTHER_RATIO_MIN: f64 = 1.0;
/// At most so many times the CPU a delivery that the bare loop takes, and Redis for it.
const SERVICE_CPU_MAX: f64 = 0.9;
const REDIS_CPU_MAX: f64 = 0.7;
/// How many times the backlog of the other scenarios `drain` has.
const DRAIN: usize = 10;
/// What may come on top of the memory of a drain's first quarter, as a part of it, for it to be flat.
const FLAT_MAX: f64 = 1.1;
/// Samples of the memory that are shown.
const CURVE: usize = 12;
/// A rate is "the rate of `spread`" from here on.
const SAME_RATE_MIN: f64 = 0.95;
/// One workspace of so many has an endpoint that fails.
const FAILING_EVERY: usize = 10;
/// The 11th error in a row switches a webhook off.
const FAILING_ATTEMPTS: u64 = 11;
/// Messages of each workspace at least, so that the failing ones are owed more than they get.
const MESSAGES_MIN: usize = 20;

pub(crate) async fn spread(size: &Size) -> Report {
    with_less_cpu(beside_bare(&even(&size.spread(), size), SPREAD_RATIO_MIN, size).await)
}

pub(crate) async fn one_host(size: &Size) -> Report {
    with_less_cpu(beside_bare(&Backlog { endpoints: 1, ..even(&size.spread(), size) }, SPREAD_RATIO_MIN, size).await)
}

pub(crate) async fn hot(size: &Size) -> Report {
    let flags = &["--max-in-flight-per-workspace", "256"];
    beside_bare(&Backlog { endpoints: 1, threads: 1, flags, ..even(&size.hot(), size) }, HOT_RATIO_MIN, size).await
}

/// A backlog for as many endpoints as there are workspaces.
pub(crate) fn even<'a>(load: &'a Load, size: &Size) -> Backlog<'a> {
    let (messages, endpoints) = (size.backlog(), load.workspaces);
    Backlog { load, messages, endpoints, treatment: |_| "ok", threads: 2, stream, flags: &[] }
}

/// Delivers the same backlog with the bare loop and with the service, in turns.
async fn beside_bare(backlog: &Backlog<'_>, ratio_min: f64, size: &Size) -> Report {
    let (bare, ours) = pairs(backlog, size).await;
    let report = Report::beside(&ours, &bare);
    let target = Target::at_least("ratio", report.ratio_median(), ratio_min);
    Report { targets: vec![target], ..report }
}

/// The service and Redis also take less than they do for the bare loop.
fn with_less_cpu(mut report: Report) -> Report {
    let times = |ours: Option<f64>, bare: Option<f64>| ours.unwrap_or_default() / bare.unwrap_or_default();
    let service = times(report.service_us, report.bare_us);
    let redis = times(report.redis_us, report.bare_redis_us);
    report.targets.push(Target::at_most("CPU of the service / bare loop's", service, SERVICE_CPU_MAX));
    report.targets.push(Target::at_most("CPU of Redis / bare loop's", redis, REDIS_CPU_MAX));
    report
}

/// The bare loop's measurements and the service's, taken in turns.
pub(crate) async fn pairs(backlog: &Backlog<'_>, size: &Size) -> (Vec<Run>, Vec<Run>) {
    let mut bench = Bench::start();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for pair in 1..=size.pairs {
        progress::step(&format!("pair {pair} of {}, bare loop", size.pairs));
        bare.push(bench.bare(backlog));
        progress::step(&format!("pair {pair} of {}, outbound", size.pairs));
        ours.push(bench.service(backlog).await);
    }
    (bare, ours)
}

/// Ten times the backlog, in turns with the plain one: neither memory nor rate may follow its size.
pub(crate) async fn drain(size: &Size) -> Report {
    let mut bench = Bench::start();
    let load = size.spread();
    let plain = even(&load, size);
    let long = Backlog { messages: DRAIN * plain.messages, ..even(&load, size) };
    let (mut bare, mut spread, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=size.pairs {
        let turn = format!("turn {turn} of {}", size.pairs);
        progress::step(&format!("{turn}, bare loop"));
        bare.push(bench.bare(&plain));
        progress::step(&format!("{turn}, {} messages", plain.messages));
        spread.push(bench.service(&plain).await);
        progress::step(&format!("{turn}, {} messages", long.messages));
        ours.push(bench.service(&long).await);
    }
    let growth: Vec<f64> = ours.iter().map(growth).collect();
    let rates: Vec<f64> = ours.iter().zip(&spread).map(|(long, plain)| long.per_s / plain.per_s).collect();
    let mut report = Report::beside(&ours, &bare);
    let growth = report.measured("memory_growth", &growth);
    let rate = report.measured("ratio_to_spread", &rates);
    report.measured("spread_per_s", &over(&spread, |run| run.per_s));
    let curve = ours.last().map(|run| curve(&run.memory_mib)).unwrap_or_default();
    report.more.insert("memory_mib_over_time".to_owned(), json!(curve));
    report.targets = vec![
        Target::at_least("ratio", report.ratio_median(), OTHER_RATIO_MIN),
        Target::at_most("memory, late / early", growth, FLAT_MAX),
        Target::at_least("rate / spread's", rate, SAME_RATE_MIN),
    ];
    report
}

/// A few of many samples, evenly, rounded.
fn curve(samples: &[f64]) -> Vec<u64> {
    samples.iter().step_by(samples.len().div_ceil(CURVE).max(1)).map(|mib| mib.round() as u64).collect()
}

/// The most memory in the second half of the time, as a multiple of that in its first quarter.
fn growth(run: &Run) -> f64 {
    let samples = &run.memory_mib;
    let most = |part: &[f64]| part.iter().copied().fold(1e-6, f64::max);
    most(&samples[samples.len() / 2..]) / most(&samples[..samples.len().div_ceil(4)])
}

/// Some endpoints answer 500: each gets exactly 11 attempts and is left alone, the others get everything.
pub(crate) async fn failing(size: &Size) -> Report {
    let load = size.spread();
    let messages = size.backlog().max(MESSAGES_MIN * load.workspaces);
    let treatment = |workspace| if fails(workspace) { "fail" } else { "ok" };
    let backlog = Backlog { messages, treatment, ..even(&load, size) };
    let (bare, ours) = pairs(&backlog, size).await;
    let endpoints = load.workspaces.div_ceil(FAILING_EVERY);
    let undisturbed = messages - (0..messages).filter(|n| fails(load.workspace(*n))).count();
    let (eleven, off) = (least(&ours, eleven), least(&ours, disabled));
    let delivered = least(&ours, |run| run.stats.delivered as usize);
    let mut report = Report::beside(&ours, &bare);
    report.more.insert("failing_endpoints".to_owned(), json!(endpoints));
    report.more.insert("with_exactly_11_attempts".to_owned(), json!(eleven));
    report.more.insert("disabled_by_errors".to_owned(), json!(off));
    report.targets = vec![
        Target::at_least("ratio", report.ratio_median(), OTHER_RATIO_MIN),
        Target::exactly("with 11 attempts", eleven, endpoints),
        Target::exactly("switched off", off, endpoints),
        Target::exactly("delivered to the rest", delivered, undisturbed),
    ];
    report
}

fn least(runs: &[Run], count: impl Fn(&Run) -> usize) -> usize {
    runs.iter().map(count).min().unwrap_or_default()
}

/// Failing endpoints that got exactly 11 attempts.
fn eleven(run: &Run) -> usize {
    run.stats.failed_by_workspace.iter().filter(|(_, attempts)| *attempts == FAILING_ATTEMPTS).count()
}

fn disabled(run: &Run) -> usize {
    run.webhooks.iter().filter(|webhook| webhook["status"] == "disabled_by_errors").count()
}

fn fails(workspace: usize) -> bool {
    workspace.is_multiple_of(FAILING_EVERY)
}
