//! The result for people: a table on a terminal, and one for a page.

use std::fmt::Write as _;
use std::path::{Component, Path};

use super::report::{Machine, Report, Spread, Target, short};

/// The places of a page that are the bench's, by the name in the two lines around each.
pub(crate) const TABLE: &str = "load bench";
pub(crate) const SUMMARY: &str = "load bench summary";
pub(crate) const GROWTH: &str = "load bench growth";

/// For a terminal.
pub(crate) fn table(reports: &[Report], machine: &Machine) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for report in reports {
        rows.extend(lines(report));
    }
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(text, "{}", cells.join("  ").trim_end()).expect("a string takes everything");
    }
    for more in reports.iter().filter_map(more) {
        writeln!(text, "{more}").expect("a string takes everything");
    }
    writeln!(text, "{machine}, {}", machine.command).expect("a string takes everything");
    text
}

/// For a page in Markdown: only the rates beside the bare loop. `plot` is the path of the picture as the page
/// sees it.
pub(crate) fn summary(reports: &[&Report], machine: &Machine, plot: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(plot) = plot {
        writeln!(text, "![Deliveries a second beside the bare loop]({plot})\n").expect("a string takes everything");
    }
    writeln!(text, "| {} |\n|{}", HEAD[..RATES].join(" | "), "---|".repeat(RATES)).expect("a string takes everything");
    for report in reports.iter().filter(|report| report.ratio.is_some() && report.p50_ms.is_none()) {
        let row = lines(report).swap_remove(0);
        writeln!(text, "| {} |", row[..RATES].join(" | ")).expect("a string takes everything");
    }
    writeln!(text, "\n{machine}, `{}`", machine.command).expect("a string takes everything");
    text
}

/// For a page in Markdown.
pub(crate) fn markdown(reports: &[&Report], machine: &Machine) -> String {
    let mut text = String::new();
    writeln!(text, "| {} |\n|{}", HEAD.join(" | "), "---|".repeat(COLUMNS)).expect("a string takes everything");
    for row in reports.iter().flat_map(|report| lines(report)) {
        writeln!(text, "| {} |", row.join(" | ")).expect("a string takes everything");
    }
    text.push('\n');
    for more in reports.iter().filter_map(|report| more(report)) {
        writeln!(text, "- {more}").expect("a string takes everything");
    }
    writeln!(text, "\n{machine}, `{}`", machine.command).expect("a string takes everything");
    text
}

/// The path of a file for a page that links to it; both are relative to the same folder.
pub(crate) fn as_seen_from(page: &Path, file: &Path) -> String {
    let folders = page
        .parent()
        .map_or(0, |folder| folder.components().filter(|part| matches!(part, Component::Normal(_))).count());
    format!("{}{}", "../".repeat(folders), file.display())
}

/// `page` with `text` between the two lines that mark `place`. `None` when it has none.
pub(crate) fn placed(page: &str, place: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {place}: begin -->"), format!("<!-- {place}: end -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", text.trim_end()))
}

const COLUMNS: usize = 11;
/// The columns that the summary shows, from the left.
const RATES: usize = 4;
const HEAD: [&str; COLUMNS] = [
    "scenario",
    "outbound/s",
    "bare loop/s",
    "ratio",
    "target",
    "measured",
    "met",
    "µs: service + Redis + receiver",
    "µs: bare + Redis + receiver",
    "peak MiB",
    "p50 / p99 ms",
];

/// One line, and a further one for each further target.
fn lines(report: &Report) -> Vec<[String; COLUMNS]> {
    let rate = |spread: Option<Spread>| {
        spread.map_or_else(String::new, |of| format!("{:.0} ({:.0}–{:.0})", of.median, of.min, of.max))
    };
    let ratio = report.ratio.map_or_else(String::new, |of| format!("{:.2} ({:.2}–{:.2})", of.median, of.min, of.max));
    let cpu = |parts: [Option<f64>; 3]| {
        let known: Vec<String> = parts.into_iter().flatten().map(|us| format!("{us:.1}")).collect();
        known.join(" + ")
    };
    let latency = report.p50_ms.zip(report.p99_ms).map(|(p50, p99)| format!("{p50:.2} / {p99:.2}"));
    let [target, measured, met] = cells(report.targets.first());
    let first = [
        name(report),
        rate(report.outbound_per_s),
        rate(report.bare_per_s),
        ratio,
        target,
        measured,
        met,
        cpu([report.service_us, report.redis_us, report.receiver_us]),
        cpu([report.bare_us, report.bare_redis_us, report.bare_receiver_us]),
        report.rss_mb.map_or_else(String::new, |mib| format!("{mib:.0}")),
        latency.unwrap_or_default(),
    ];
    let further = report.targets.iter().skip(1).map(|target| {
        let mut row: [String; COLUMNS] = std::array::from_fn(|_| String::new());
        row[4..7].clone_from_slice(&cells(Some(target)));
        row
    });
    std::iter::once(first).chain(further).collect()
}

fn cells(target: Option<&Target>) -> [String; 3] {
    target.map_or_else(Default::default, |target| {
        let met = if target.met { "yes" } else { "no" };
        [target.target.clone(), target.measured.clone(), met.to_owned()]
    })
}

/// What else a scenario measured, in one line.
fn more(report: &Report) -> Option<String> {
    let more: Vec<String> = report.more.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
    (!more.is_empty()).then(|| format!("{}: {}", name(report), more.join(", ")))
}

fn name(report: &Report) -> String {
    report.scenario.map(|name| name.to_string()).unwrap_or_default()
}

fn plain(value: &serde_json::Value) -> String {
    // As code: rustdoc takes brackets in a page for a link.
    if value.is_array() {
        return format!("`{value}`");
    }
    value.as_f64().filter(|_| value.is_f64()).map_or_else(|| value.to_string(), short)
}
