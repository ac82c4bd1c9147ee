//! The picture: deliveries a second of the service and of the bare loop, one pair of bars a scenario.

use std::fmt::Write as _;

use super::report::{Machine, Report, Spread};
use super::svg::{Style, picture};

/// Where the bars begin: the names stand before.
const LEFT: f64 = 96.0;
/// The longest bar; its figure stands behind.
const LONGEST: f64 = 500.0;
const TOP: f64 = 44.0;
const BAR: f64 = 14.0;
/// From one scenario to the next.
const STEP: f64 = 46.0;

const STYLE: Style = Style {
    both: ".range{stroke-width:1.5}",
    light: ".ours{fill:#0a7d5a}.bare{fill:#b4bac2}.range{stroke:#24292f}",
    dark: ".ours{fill:#2fbf8f}.bare{fill:#4b545e}.range{stroke:#e6edf3}",
};

/// `None` when no scenario has both rates.
pub(crate) fn plot(reports: &[&Report], machine: &Machine) -> Option<String> {
    // Where messages come at a steady rate, the rate says nothing.
    let drained = reports.iter().filter(|report| report.p99_ms.is_none());
    let both = |report: &&Report| Some((report.scenario?, report.outbound_per_s?, report.bare_per_s?));
    let rows: Vec<_> = drained.filter_map(both).collect();
    let most = rows.iter().map(|(_, ours, bare)| ours.max.max(bare.max)).reduce(f64::max)?;
    let scale = LONGEST / most;
    let mut svg = format!(
        "<rect class=\"ours\" x=\"{LEFT}\" y=\"12\" width=\"12\" height=\"12\"/><text x=\"{x1}\" y=\"22\">outbound</text>\
         <rect class=\"bare\" x=\"{x2}\" y=\"12\" width=\"12\" height=\"12\"/><text x=\"{x3}\" y=\"22\">bare loop</text>\
         <text class=\"small\" x=\"{x4}\" y=\"22\">deliveries a second; median, least and most</text>",
        x1 = LEFT + 18.0,
        x2 = LEFT + 100.0,
        x3 = LEFT + 118.0,
        x4 = LEFT + 200.0,
    );
    for (row, (name, ours, bare)) in rows.iter().enumerate() {
        let y = TOP + STEP * row as f64;
        write!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{name}</text>", x = LEFT - 10.0, y = y + BAR + 5.0)
            .expect("a string takes everything");
        bar(&mut svg, "ours", y, *ours, scale);
        bar(&mut svg, "bare", y + BAR + 2.0, *bare, scale);
    }
    let (title, foot) =
        ("Deliveries a second, outbound and the bare loop", [machine.to_string(), machine.command.clone()]);
    Some(picture(title, &STYLE, (LEFT, TOP + STEP * rows.len() as f64), &svg, &foot))
}

fn bar(svg: &mut String, class: &str, y: f64, spread: Spread, scale: f64) {
    let end = LEFT + spread.median * scale;
    let (least, most, middle) = (LEFT + spread.min * scale, LEFT + spread.max * scale, y + BAR / 2.0);
    write!(
        svg,
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>\
         <line class=\"range\" x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\
         <text class=\"small\" x=\"{x:.1}\" y=\"{text}\">{rate:.0}</text>",
        width = end - LEFT,
        x = end.max(most) + 6.0,
        text = y + BAR - 3.0,
        rate = spread.median,
    )
    .expect("a string takes everything");
}
