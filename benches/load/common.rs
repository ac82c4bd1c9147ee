//! The stream that any producer may use: `common`. The backlog of `spread` and the offer of `latency`, appended to
//! the common stream, in turns with the same on the shards' own streams; and that backlog in someone else's stream.

use super::backlog::even;
use super::offered;
use super::progress;
use super::report::{Report, Target, over};
use super::run::{Backlog, Bench};
use super::scenario::Size;
use super::store::{FOREIGN, common, foreign};

const RATIO_MIN: f64 = 0.8;
/// What the hand-over may add between XADD and arrival at half of the messages.
const P50_MORE_MAX_MS: f64 = 0.2;

pub(crate) async fn measure(size: &Size) -> Report {
    let mut bench = Bench::start();
    let load = size.spread();
    let direct = even(&load, size);
    let backlog = Backlog { stream: common, ..even(&load, size) };
    let others = Backlog { stream: foreign, flags: &["--source", FOREIGN], ..even(&load, size) };
    let (mut bare, mut spread, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut at_shards, mut at_common) = (Vec::new(), Vec::new());
    for turn in 1..=size.pairs {
        let turn = format!("turn {turn} of {}", size.pairs);
        progress::step(&format!("{turn}, bare loop"));
        bare.push(bench.bare(&direct));
        progress::step(&format!("{turn}, a backlog in the shards' streams"));
        spread.push(bench.service(&direct).await);
        progress::step(&format!("{turn}, a backlog in the common stream"));
        ours.push(bench.service(&backlog).await);
        progress::step(&format!("{turn}, a backlog in someone else's stream"));
        theirs.push(bench.service(&others).await);
        progress::step(&format!("{turn}, offered to the shards' streams"));
        at_shards.push(offered::to_service(&mut bench, size, direct.stream).await);
        progress::step(&format!("{turn}, offered to the common stream"));
        at_common.push(offered::to_service(&mut bench, size, common).await);
    }
    let ratios: Vec<f64> = ours.iter().zip(&spread).map(|(ours, spread)| ours.per_s / spread.per_s).collect();
    let more: Vec<f64> =
        at_common.iter().zip(&at_shards).map(|(ours, direct)| ours.stats.p50_ms - direct.stats.p50_ms).collect();
    let mut report = Report::beside(&ours, &bare);
    let ratio = report.measured("ratio_to_spread", &ratios);
    report.measured("spread_per_s", &over(&spread, |run| run.per_s));
    report.measured("spread_service_us", &over(&spread, |run| run.deliverer_us));
    report.measured("spread_redis_us", &over(&spread, |run| run.redis_us));
    let foreign_ratios: Vec<f64> = theirs.iter().zip(&ours).map(|(theirs, ours)| theirs.per_s / ours.per_s).collect();
    report.measured("foreign_ratio_to_common", &foreign_ratios);
    report.measured("foreign_per_s", &over(&theirs, |run| run.per_s));
    report.measured("foreign_service_us", &over(&theirs, |run| run.deliverer_us));
    report.measured("foreign_redis_us", &over(&theirs, |run| run.redis_us));
    report.tally = [report.tally].into_iter().chain(theirs.iter().map(|run| run.tally)).sum();
    report.measured("p50_ms_direct", &over(&at_shards, |run| run.stats.p50_ms));
    report.measured("p50_ms_common", &over(&at_common, |run| run.stats.p50_ms));
    report.measured("p99_ms_common", &over(&at_common, |run| run.stats.p99_ms));
    let more = report.measured("p50_ms_more", &more);
    report.targets = vec![
        Target::at_least("rate / spread's", ratio, RATIO_MIN),
        Target::at_most("p50 above direct, ms", more, P50_MORE_MAX_MS),
    ];
    report
}
