//! The stream that any producer may use: `common`. The backlog of `spread`, and messages at a low rate, appended to the common
//! stream, in turns with the same on the shards' own streams; the same once more where all that makes it slower is on: what is
//! settled is on disk (`durable_…`) and a consumer group is read beside it. And that backlog in someone else's stream.

use super::backlog::even;
use super::durability::for_local;
use super::offered::{self, Offer};
use super::progress;
use super::report::{Report, Target, over};
use super::run::{Backlog, Bench, Run};
use super::scenario::Size;
use super::store::{FOREIGN, common, foreign, stream};

const RATIO_MIN: f64 = 0.8;
/// Messages a second where their time is taken: so few that none waits for another, also on a slow machine.
const OFFERED_PER_S: f64 = 200.0;
/// What the hand-over may add between XADD and arrival at half of the messages.
const P50_MORE_MAX_MS: f64 = 0.2;

/// A service with these flags, and what was measured of it.
struct Side {
    /// What its figures' names begin with.
    prefix: &'static str,
    flags: &'static [&'static str],
    bench: Bench,
    direct: Vec<Run>,
    common: Vec<Run>,
    offered_direct: Vec<Run>,
    offered_common: Vec<Run>,
}

impl Side {
    fn new(prefix: &'static str, flags: &'static [&'static str], bench: Bench) -> Self {
        let (direct, common, offered_direct, offered_common) = Default::default();
        Self { prefix, flags, bench, direct, common, offered_direct, offered_common }
    }

    /// A backlog in these streams, and messages at a low rate.
    async fn of(&mut self, stream: fn(usize) -> String, size: &Size) -> (Run, Run) {
        let (load, flags) = (size.spread(), self.flags);
        let backlog = Backlog { stream, flags, ..even(&load, size) };
        let drained = self.bench.service(&backlog).await;
        let offer = Offer { per_s: OFFERED_PER_S, stream, flags };
        (drained, offered::to_service(&mut self.bench, size, &offer).await)
    }

    async fn measure(&mut self, size: &Size) {
        let (drained, offered) = self.of(stream, size).await;
        self.direct.push(drained);
        self.offered_direct.push(offered);
        let (drained, offered) = self.of(common, size).await;
        self.common.push(drained);
        self.offered_common.push(offered);
    }

    /// Notes the figures of this side and answers its targets.
    fn told(&self, report: &mut Report) -> [Target; 2] {
        let name = |figure: &str| format!("{}{figure}", self.prefix);
        let p50 = |runs: &[Run]| over(runs, |run| run.stats.p50_ms);
        let pairs = |ours: Vec<f64>, direct: Vec<f64>| ours.into_iter().zip(direct);
        let rates = pairs(over(&self.common, |run| run.per_s), over(&self.direct, |run| run.per_s));
        let more = pairs(p50(&self.offered_common), p50(&self.offered_direct));
        let ratio =
            report.measured(&name("ratio_to_spread"), &rates.map(|(ours, direct)| ours / direct).collect::<Vec<_>>());
        let more = report.measured(&name("p50_ms_more"), &more.map(|(ours, direct)| ours - direct).collect::<Vec<_>>());
        report.measured(&name("spread_per_s"), &over(&self.direct, |run| run.per_s));
        report.measured(&name("spread_service_us"), &over(&self.direct, |run| run.deliverer_us));
        report.measured(&name("spread_redis_us"), &over(&self.direct, |run| run.redis_us));
        report.measured(&name("p50_ms_direct"), &p50(&self.offered_direct));
        report.measured(&name("p50_ms_common"), &p50(&self.offered_common));
        report.measured(&name("p99_ms_direct"), &over(&self.offered_direct, |run| run.stats.p99_ms));
        report.measured(&name("p99_ms_common"), &over(&self.offered_common, |run| run.stats.p99_ms));
        let what = |target: &str| format!("{}{target}", self.prefix.replace('_', ", "));
        [
            Target::at_least(&what("rate / spread's"), ratio, RATIO_MIN),
            Target::at_most(&what("p50 above direct, ms"), more, P50_MORE_MAX_MS),
        ]
    }
}

pub(crate) async fn measure(size: &Size) -> Report {
    let mut memory = Side::new("", &[], Bench::start());
    let mut durable = Side::new("durable_", &["--source", FOREIGN, "--durability", "local"], Bench::on(for_local()));
    let load = size.spread();
    let others = Backlog { stream: foreign, flags: &["--source", FOREIGN], ..even(&load, size) };
    let (mut bare, mut theirs) = (Vec::new(), Vec::new());
    for turn in 1..=size.pairs {
        let step = |what: &str| progress::step(&format!("turn {turn} of {}, {what}", size.pairs));
        step("bare loop");
        bare.push(memory.bench.bare(&even(&load, size)));
        step("the shards' streams and the common stream");
        memory.measure(size).await;
        step("the same, durable and beside a consumer group");
        durable.measure(size).await;
        step("a backlog in someone else's stream");
        theirs.push(memory.bench.service(&others).await);
    }
    let mut report = Report::beside(&memory.common, &bare);
    report.targets = [&memory, &durable].into_iter().flat_map(|side| side.told(&mut report)).collect();
    let ratios = theirs.iter().zip(&memory.common).map(|(theirs, ours)| theirs.per_s / ours.per_s);
    report.measured("foreign_ratio_to_common", &ratios.collect::<Vec<_>>());
    report.measured("foreign_per_s", &over(&theirs, |run| run.per_s));
    report.measured("foreign_service_us", &over(&theirs, |run| run.deliverer_us));
    report.measured("foreign_redis_us", &over(&theirs, |run| run.redis_us));
    let more = theirs.iter().chain(&durable.common).map(|run| run.tally);
    report.tally = [report.tally].into_iter().chain(more).sum();
    report
}
