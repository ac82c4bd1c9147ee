//! The backlog of `spread` delivered in several ways, in turns: what one costs beside another. With the log as JSON and as zstd it
//! is `compression`: what that costs; what it saves, `bytes` tells.

use super::backlog::even;
use super::progress;
use super::report::{Report, Target, over};
use super::run::{Backlog, Bench, Run};
use super::scenario::Size;
use super::store;

/// Smaller logs may cost so much of the rate.
const ZSTD_RATIO_MIN: f64 = 0.97;

/// A way to deliver, and the Redis that it is measured on.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    flags: &'static [&'static str],
    pub(crate) bench: Bench,
    runs: Vec<Run>,
}

impl Variant {
    pub(crate) fn new(name: &'static str, flags: &'static [&'static str], bench: Bench) -> Self {
        Self { name, flags, bench, runs: Vec::new() }
    }
}

/// Measures each in turns, once `prepare` is done with it. The report is that of the first, with the others beside it.
pub(crate) async fn measure<const N: usize>(
    mut variants: [Variant; N],
    size: &Size,
    prepare: impl Fn(&Variant),
) -> Report {
    let load = size.spread();
    for turn in 1..=size.pairs {
        for variant in &mut variants {
            progress::step(&format!("turn {turn} of {}, {}", size.pairs, variant.name));
            prepare(variant);
            let backlog = Backlog { flags: variant.flags, ..even(&load, size) };
            variant.runs.push(variant.bench.service(&backlog).await);
        }
    }
    let [first, others @ ..] = variants.as_slice() else { return Report::default() };
    let mut report = Report::of(&first.runs);
    for Variant { name, runs, .. } in others {
        let pairs = runs.iter().zip(&first.runs);
        let ratios: Vec<f64> = pairs.map(|(one, first)| one.per_s / first.per_s).collect();
        report.measured(&format!("{name}_ratio_to_{}", first.name), &ratios);
        report.measured(&format!("{name}_per_s"), &over(runs, |run| run.per_s));
        report.measured(&format!("{name}_service_us"), &over(runs, |run| run.deliverer_us));
        report.measured(&format!("{name}_redis_us"), &over(runs, |run| run.redis_us));
        report.tally = [report.tally].into_iter().chain(runs.iter().map(|run| run.tally)).sum();
    }
    report
}

/// What `--journal-compression` costs.
pub(crate) async fn compression(size: &Size) -> Report {
    let json = Variant::new("json", &["--journal-compression", "none"], Bench::on(store::start()));
    let zstd = Variant::new("zstd", &["--journal-compression", "zstd"], Bench::on(store::start()));
    let mut report = measure([json, zstd], size, |_| {}).await;
    let ratio = report.median_of("zstd_ratio_to_json");
    report.targets = vec![Target::at_least("rate of zstd / JSON", ratio, ZSTD_RATIO_MIN)];
    report
}
