//! What a scenario measured, as one JSON object, and on which machine.

use std::fmt;
use std::fs;
use std::process::Command;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::growth::Point;
use super::run::{Run, Tally};
use super::scenario::Scenario;

/// What every JSON line has; null where a scenario does not measure it.
const NAMES: [&str; 11] = [
    "scenario",
    "outbound_per_s",
    "bare_per_s",
    "ratio",
    "service_us",
    "redis_us",
    "receiver_us",
    "rss_mb",
    "p50_ms",
    "p99_ms",
    "accounted",
];

/// One line of the result.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: Option<Scenario>,
    /// Deliveries a second, medians over the pairs.
    #[serde(flatten, serialize_with = "Spread::outbound")]
    pub(crate) outbound_per_s: Option<Spread>,
    #[serde(flatten, serialize_with = "Spread::bare")]
    pub(crate) bare_per_s: Option<Spread>,
    /// Of each pair, so that what disturbs the machine for a while disturbs both sides.
    #[serde(flatten, serialize_with = "Spread::ratio")]
    pub(crate) ratio: Option<Spread>,
    /// CPU a delivery, in microseconds.
    pub(crate) service_us: Option<f64>,
    pub(crate) redis_us: Option<f64>,
    pub(crate) receiver_us: Option<f64>,
    /// CPU a delivery of the bare loop.
    pub(crate) bare_us: Option<f64>,
    pub(crate) bare_redis_us: Option<f64>,
    pub(crate) bare_receiver_us: Option<f64>,
    /// The most memory that the service had resident, in MiB.
    pub(crate) rss_mb: Option<f64>,
    /// From XADD to arrival.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Whether delivered + failed + skipped + rejected is what was sent.
    #[serde(flatten, serialize_with = "accounted")]
    pub(crate) tally: Tally,
    #[serde(flatten, serialize_with = "targets")]
    pub(crate) targets: Vec<Target>,
    /// What grows, step by step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) growth: Vec<Point>,
    /// The steps that this machine is too small for, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<String>,
    /// What else the scenario measures, by name.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

impl Report {
    /// Of measurements of the service: medians, and the most memory of all.
    pub(crate) fn of(runs: &[Run]) -> Self {
        let figure = |figure: fn(&Run) -> f64| Some(median(&over(runs, figure)));
        Self {
            outbound_per_s: Some(Spread::of(&over(runs, |run| run.per_s))),
            service_us: figure(|run| run.deliverer_us),
            redis_us: figure(|run| run.redis_us),
            receiver_us: figure(|run| run.receiver_us),
            rss_mb: Some(over(runs, |run| run.peak_rss_mib).into_iter().fold(0.0, f64::max)),
            tally: runs.iter().map(|run| run.tally).sum(),
            ..Self::default()
        }
    }

    /// Of measurements of the service and of the bare loop, taken in turns.
    pub(crate) fn beside(ours: &[Run], bare: &[Run]) -> Self {
        let figure = |figure: fn(&Run) -> f64| Some(median(&over(bare, figure)));
        let ratios: Vec<f64> = ours.iter().zip(bare).map(|(ours, bare)| ours.per_s / bare.per_s).collect();
        Self {
            bare_per_s: Some(Spread::of(&over(bare, |run| run.per_s))),
            ratio: Some(Spread::of(&ratios)),
            bare_us: figure(|run| run.deliverer_us),
            bare_redis_us: figure(|run| run.redis_us),
            bare_receiver_us: figure(|run| run.receiver_us),
            ..Self::of(ours)
        }
    }

    /// The ratio to the bare loop, where there is one.
    pub(crate) fn ratio_median(&self) -> f64 {
        self.ratio.map_or(f64::NAN, |ratio| ratio.median)
    }

    /// Notes what else was measured and answers its median.
    pub(crate) fn measured(&mut self, name: &str, values: &[f64]) -> f64 {
        let Spread { median, min, max } = Spread::of(values);
        self.more.insert(name.to_owned(), json!(median));
        if values.len() > 1 {
            self.more.insert(format!("{name}_min"), json!(min));
            self.more.insert(format!("{name}_max"), json!(max));
        }
        median
    }

    /// The median of what was measured under this name.
    pub(crate) fn median_of(&self, name: &str) -> f64 {
        self.more.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }

    /// Whether every message is accounted for.
    pub(crate) fn accounted(&self) -> bool {
        self.tally.accounted()
    }

    /// One line, with every name that a reader may rely on.
    pub(crate) fn json(&self) -> String {
        let line = serde_json::to_string(self).expect("numbers are written as JSON");
        let read: Value = serde_json::from_str(&line).expect("what was just written");
        let missing: Vec<_> = NAMES.iter().filter(|name| read.get(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?} are promised and missing in {line}");
        line
    }
}

/// One figure of every measurement.
pub(crate) fn over(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Vec<f64> {
    runs.iter().map(figure).collect()
}

/// The middle one of several measurements.
pub(crate) fn median(values: &[f64]) -> f64 {
    Spread::of(values).median
}

/// Several measurements of one figure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one measurement. The median of an even number lies between the middle two.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self { median: f64::midpoint(low, high), min: sorted[0], max: sorted[sorted.len() - 1] }
    }

    fn outbound<S: Serializer>(spread: &Option<Self>, serializer: S) -> Result<S::Ok, S::Error> {
        Self::named(spread, ["outbound_per_s", "outbound_per_s_min", "outbound_per_s_max"], serializer)
    }

    fn bare<S: Serializer>(spread: &Option<Self>, serializer: S) -> Result<S::Ok, S::Error> {
        Self::named(spread, ["bare_per_s", "bare_per_s_min", "bare_per_s_max"], serializer)
    }

    fn ratio<S: Serializer>(spread: &Option<Self>, serializer: S) -> Result<S::Ok, S::Error> {
        Self::named(spread, ["ratio", "ratio_min", "ratio_max"], serializer)
    }

    fn named<S: Serializer>(spread: &Option<Self>, names: [&str; 3], serializer: S) -> Result<S::Ok, S::Error> {
        let values = spread.map_or([None; 3], |spread| [Some(spread.median), Some(spread.min), Some(spread.max)]);
        serializer.collect_map(names.into_iter().zip(values))
    }
}

/// What a scenario should reach, and whether it did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Target {
    /// `ratio ≥ 0.9`
    pub(crate) target: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

impl Target {
    pub(crate) fn new(target: &str, measured: &str, met: bool) -> Self {
        Self { target: target.to_owned(), measured: measured.to_owned(), met }
    }

    pub(crate) fn at_least(what: &str, measured: f64, bound: f64) -> Self {
        Self::new(&format!("{what} ≥ {bound}"), &short(measured), measured >= bound)
    }

    pub(crate) fn at_most(what: &str, measured: f64, bound: f64) -> Self {
        Self::new(&format!("{what} ≤ {bound}"), &short(measured), measured <= bound)
    }

    pub(crate) fn exactly(what: &str, measured: usize, wanted: usize) -> Self {
        Self::new(&format!("{what} = {wanted}"), &measured.to_string(), measured == wanted)
    }
}

/// A figure for people.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn accounted<S: Serializer>(tally: &Tally, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Accounted {
        accounted: bool,
        #[serde(flatten)]
        tally: Tally,
    }
    Accounted { accounted: tally.accounted(), tally: *tally }.serialize(serializer)
}

/// `met` is null where there is no target.
fn targets<S: Serializer>(targets: &[Target], serializer: S) -> Result<S::Ok, S::Error> {
    let met = (!targets.is_empty()).then(|| targets.iter().all(|target| target.met));
    serializer.collect_map([("met", json!(met)), ("targets", json!(targets))])
}

/// Where, when and how the figures came about: no figure is shown without it.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    redis: String,
    date: String,
    pub(crate) command: String,
}

impl Machine {
    /// Looks at this one.
    pub(crate) fn here() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
        let processor = cpu.lines().find(|line| line.starts_with("model name")).and_then(value);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let version = Command::new("redis-server").arg("--version").output().ok();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let redis = version.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?").to_owned();
        let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let more = if arguments.is_empty() { String::new() } else { format!(" -- {}", arguments.join(" ")) };
        Self {
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib.unwrap_or_default() / 1024.0 / 1024.0,
            redis,
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            command: format!("cargo bench --bench load{more}"),
        }
    }
}

/// Everything but the command.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_gib, redis, date, .. } = self;
        write!(f, "{date}, {cores} cores ({processor}), {memory_gib:.0} GiB, Redis {redis}")
    }
}
