//! What a scenario measured.

use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use super::scenario::Name;

/// One line of the result. What a scenario does not measure is absent.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: Option<Name>,
    /// Deliveries a second, medians over the pairs.
    #[serde(flatten, serialize_with = "Spread::outbound", skip_serializing_if = "Option::is_none")]
    pub(crate) outbound_per_s: Option<Spread>,
    #[serde(flatten, serialize_with = "Spread::bare", skip_serializing_if = "Option::is_none")]
    pub(crate) bare_per_s: Option<Spread>,
    /// Of each pair, so that what disturbs the machine for a while disturbs both sides.
    #[serde(flatten, serialize_with = "Spread::ratio", skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<Spread>,
    /// CPU a delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receiver_us: Option<f64>,
    /// CPU a delivery of the bare loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bare_us: Option<f64>,
    /// The most memory that the service had resident, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_mb: Option<f64>,
    /// From XADD to arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_ms: Option<f64>,
    /// Whether delivered + failed + skipped + rejected is what was sent.
    pub(crate) accounted: bool,
    /// What else the scenario measures, by name.
    #[serde(flatten)]
    pub(crate) more: serde_json::Map<String, serde_json::Value>,
}

/// Several measurements of one figure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one measurement.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { median: sorted[sorted.len() / 2], min: sorted[0], max: sorted[sorted.len() - 1] }
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
        let values = spread.map(|spread| [spread.median, spread.min, spread.max]);
        serializer.collect_map(names.into_iter().zip(values.into_iter().flatten()))
    }
}

/// The middle one of several measurements.
pub(crate) fn median(values: &[f64]) -> f64 {
    Spread::of(values).median
}

/// For people.
pub(crate) fn table(reports: &[Report]) -> String {
    let mut text = format!(
        "{:<10} {:>26} {:>26} {:>18} {:>8} {:>6} {:>9} {:>7} {:>8} {:>8}\n",
        "scenario", "outbound/s", "bare loop/s", "ratio", "service", "redis", "receiver", "rss", "p50", "p99"
    );
    for report in reports {
        let name = report.scenario.map(|name| name.to_string()).unwrap_or_default();
        let rate = |spread: &Option<Spread>| {
            spread.map_or_else(String::new, |of| format!("{:.0} ({:.0}–{:.0})", of.median, of.min, of.max))
        };
        let ratio =
            report.ratio.map_or_else(String::new, |of| format!("{:.2} ({:.2}–{:.2})", of.median, of.min, of.max));
        let figure =
            |value: Option<f64>, unit: &str| value.map_or_else(String::new, |value| format!("{value:.1}{unit}"));
        writeln!(
            text,
            "{name:<10} {:>26} {:>26} {ratio:>18} {:>8} {:>6} {:>9} {:>7} {:>8} {:>8}",
            rate(&report.outbound_per_s),
            rate(&report.bare_per_s),
            figure(report.service_us, "µs"),
            figure(report.redis_us, "µs"),
            figure(report.receiver_us, "µs"),
            figure(report.rss_mb, "M"),
            figure(report.p50_ms, "ms"),
            figure(report.p99_ms, "ms"),
        )
        .expect("a string takes everything");
        for (name, value) in &report.more {
            writeln!(text, "           {name}: {value}").expect("a string takes everything");
        }
    }
    text
}
