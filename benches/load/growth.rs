//! What it costs to grow: `growth`. One thing grows at a time, step by step; everything else stays as it is.
//!
//! A step's workspaces are loaded and their connections open before anything is measured: what a first message costs
//! more, `idle` and `takeover` tell. Then a backlog is delivered, which gives the CPU a delivery, and after it messages
//! come at a low, steady rate, which gives the time from XADD to arrival. What is owed grows as in `drain`: it is there
//! before the service starts, so nobody is offered anything meanwhile.

mod fits;
mod law;
mod shown;

use outbound::workspace::headers::HEADERS_MAX;
use serde::Serialize;

use super::idle::Stored;
use super::offered::Offer;
use super::process::Usage;
use super::progress;
use super::report::{Report, Spread, Target, median};
use super::run::{Backlog, Bench, Run, Tally, wait};
use super::scenario::Size;
use super::store::{Load, owed, stream};

pub(crate) use shown::{plot, table};

/// Flat is what takes at most so many times the smallest step.
const FLAT_MAX: f64 = 1.15;
/// Messages a second where their time is taken: far below what the service can do with the largest of them.
const OFFERED_PER_S: f64 = 1_000.0;
/// Bytes of a backlog at most: of large messages there are fewer.
const BACKLOG_BYTES_MAX: usize = 256 << 20;
/// Each step is measured so often at most: there are many.
const TURNS_MAX: usize = 3;
/// One with more messages is measured once: it takes a quarter of an hour.
const MESSAGES_IN_TURNS_MAX: usize = 1_000_000;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Axis {
    Known,
    Active,
    Bytes,
    Owed,
    Endpoints,
    Chats,
    Headers,
}

impl Axis {
    const ALL: [Self; 7] =
        [Self::Known, Self::Active, Self::Bytes, Self::Owed, Self::Endpoints, Self::Chats, Self::Headers];

    fn what(self) -> &'static str {
        match self {
            Self::Known => "workspaces known",
            Self::Active => "workspaces active",
            Self::Bytes => "bytes a message",
            Self::Owed => "messages owed",
            Self::Endpoints => "endpoints",
            Self::Chats => "chats a workspace",
            Self::Headers => "custom headers",
        }
    }

    /// Those of the points that are its own.
    fn of(self, points: &[Point]) -> Vec<&Point> {
        points.iter().filter(|point| point.axis == self).collect()
    }

    /// From the smallest on, at this size of the bench.
    fn steps(self, size: &Size) -> Vec<usize> {
        let times = |unit: usize, factors: &[usize]| factors.iter().map(|factor| unit.max(1) * factor).collect();
        let steps: Vec<usize> = match self {
            Self::Known => times(size.workspaces, &[1, 10, 100, 1_000]),
            Self::Active => times(size.backlog() / 1_000, &[1, 10, 100, 1_000]),
            Self::Bytes => vec![400, 1_000, 4_000, 16_000, 65_536],
            Self::Owed => times(size.backlog() / 10, &[1, 10, 100, 1_000]),
            Self::Endpoints => times(size.workspaces / 1_000, &[1, 10, 100, 1_000, 10_000]),
            Self::Chats => vec![1, 10, 100, 1_000],
            Self::Headers => vec![0, HEADERS_MAX / 4, HEADERS_MAX / 2, HEADERS_MAX],
        };
        steps.into_iter().take(size.steps).collect()
    }
}

/// One step, measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    pub(crate) axis: Axis,
    pub(crate) value: usize,
    /// CPU a delivery, in microseconds, and how much that is beside the smallest step: service and Redis together.
    pub(crate) service_us: f64,
    pub(crate) redis_us: f64,
    pub(crate) times_us: f64,
    /// From XADD to arrival; none for what is owed.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) rss_mib: f64,
}

impl Point {
    fn us(&self) -> f64 {
        self.service_us + self.redis_us
    }
}

/// What is measured with.
#[derive(Debug, Clone)]
struct Setting {
    load: Load,
    known: usize,
    endpoints: usize,
    headers: usize,
    messages: usize,
}

impl Setting {
    /// That of one step; whatever does not grow is as in `spread`.
    fn of(axis: Axis, value: usize, size: &Size) -> Self {
        let load = size.spread();
        let base =
            Self { known: load.workspaces, endpoints: load.workspaces, headers: 0, messages: size.backlog(), load };
        let of_load = |load: Load| Self { load, ..base.clone() };
        let setting = match axis {
            Axis::Known => Self { known: value, ..base },
            Axis::Active => of_load(Load { workspaces: value, ..base.load.clone() }),
            Axis::Bytes => of_load(Load { bytes: value, ..base.load.clone() }),
            Axis::Owed => Self { messages: value, ..base },
            // As many workspaces at each step as the last has endpoints.
            Axis::Endpoints => {
                let load = Load { workspaces: 10 * size.workspaces, ..base.load.clone() };
                Self { endpoints: value, load, ..base }
            }
            // Fewer workspaces, so that each has messages for so many chats.
            Axis::Chats => {
                of_load(Load { chats: value, workspaces: (size.workspaces / 10).max(1), ..base.load.clone() })
            }
            Axis::Headers => Self { headers: value, ..base },
        };
        let most = BACKLOG_BYTES_MAX / setting.load.bytes;
        let messages = if axis == Axis::Owed { setting.messages } else { setting.messages.min(most) };
        Self { known: setting.known.max(setting.load.workspaces), messages, ..setting }
    }
}

/// What one turn found.
struct Turn {
    drained: Run,
    /// Median and 99th percentile, in milliseconds.
    latency: Option<(f64, f64)>,
    tally: Tally,
}

pub(crate) async fn measure(size: &Size) -> Report {
    let mut report = Report::default();
    let mut tallies = Vec::new();
    for axis in Axis::ALL {
        let first = report.growth.len();
        for value in axis.steps(size) {
            let setting = Setting::of(axis, value, size);
            if let Some(lacks) = fits::lacks(axis, &setting) {
                let sentence = format!("{value} {} are left out: {lacks}.", axis.what());
                progress::note(&sentence);
                report.left_out.push(sentence);
                continue;
            }
            let mut turns = Vec::new();
            let often = if setting.messages > MESSAGES_IN_TURNS_MAX { 1 } else { size.pairs.min(TURNS_MAX) };
            for turn in 1..=often {
                progress::step(&format!("{value} {}, turn {turn} of {often}", axis.what()));
                turns.push(if axis == Axis::Owed { drained(&setting).await } else { steady(&setting, size).await });
            }
            tallies.extend(turns.iter().map(|turn| turn.tally));
            let point = point(axis, value, &turns);
            let times_us = report.growth.get(first).map_or(1.0, |smallest| point.us() / smallest.us());
            report.growth.push(Point { times_us, ..point });
        }
        let most = report.growth[first..].iter().map(|point| point.times_us).fold(0.0, f64::max);
        if report.growth.len() == first {
            continue;
        }
        let what = format!("{}: most CPU, × the smallest step's", axis.what());
        report.targets.push(Target::at_most(&what, most, FLAT_MAX));
    }
    Report { tally: tallies.into_iter().sum(), ..report }
}

fn point(axis: Axis, value: usize, turns: &[Turn]) -> Point {
    let over = |figure: fn(&Run) -> f64| turns.iter().map(|turn| figure(&turn.drained)).collect::<Vec<_>>();
    let latencies: Vec<(f64, f64)> = turns.iter().filter_map(|turn| turn.latency).collect();
    let latency = |figure: fn(&(f64, f64)) -> f64| {
        let values: Vec<f64> = latencies.iter().map(figure).collect();
        (!values.is_empty()).then(|| median(&values))
    };
    Point {
        axis,
        value,
        service_us: median(&over(|run| run.deliverer_us)),
        redis_us: median(&over(|run| run.redis_us)),
        times_us: 1.0,
        p50_ms: latency(|(p50, _)| *p50),
        p99_ms: latency(|(_, p99)| *p99),
        rss_mib: Spread::of(&over(|run| run.peak_rss_mib)).max,
    }
}

/// A backlog that is there when the service starts.
async fn drained(setting: &Setting) -> Turn {
    let backlog = Backlog {
        load: &setting.load,
        messages: setting.messages,
        endpoints: setting.endpoints,
        treatment: |_| "ok",
        threads: 1,
        stream,
        flags: &[],
    };
    let drained = Bench::start().service(&backlog).await;
    Turn { tally: drained.tally, latency: None, drained }
}

/// A service that is warm gets a backlog, and then messages at a steady rate.
async fn steady(setting: &Setting, size: &Size) -> Turn {
    let Setting { load, known, endpoints, headers, messages } = setting;
    let mut bench = Bench::start();
    let mut redis = bench.connect();
    let stored = Stored::made_by(&bench, &mut redis, *headers).await;
    stored.copy(&bench, &mut redis, *known, *endpoints);
    let outbound = bench.outbound(&[]).await;
    let pid = outbound.process.child.id();
    load.append(&mut redis, 0..load.workspaces, &stream);
    wait(|| owed(&mut redis) == 0, load.workspaces, &mut bench.receiver);
    let warm = Tally::of(load.workspaces, &bench.receiver.stats(), 0);

    bench.receiver.process.tell("reset");
    let (others, before) = (bench.others(), Usage::of(pid));
    load.append(&mut redis, 0..*messages, &stream);
    wait(|| owed(&mut redis) == 0, *messages, &mut bench.receiver);
    let after = Usage::of(pid);
    let used = Usage { cpu_us: after.cpu_us - before.cpu_us, ..after };
    let drained = bench.run(*messages, used, &others, &bench.others());

    bench.receiver.process.tell("reset");
    let offer = Offer { per_s: OFFERED_PER_S, stream, flags: &[] };
    offer.append(&mut redis, load, size).await;
    let offered = offer.messages(size);
    wait(|| owed(&mut redis) == 0, offered, &mut bench.receiver);
    let stats = bench.receiver.stats();
    // What was set aside before is counted with the backlog.
    let tally = [warm, drained.tally, Tally::of(offered, &stats, 0)].into_iter().sum();
    Turn { drained, latency: Some((stats.p50_ms, stats.p99_ms)), tally }
}
