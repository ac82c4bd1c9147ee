//! The table and the plot of `growth`.

use std::fmt::Write as _;

use super::law::law;
use super::{Axis, FLAT_MAX, Point};
use crate::report::{Machine, Report, short};
use crate::svg::{Style, picture};

/// For a page in Markdown; `plot` is the path of the picture as the page sees it.
pub(crate) fn table(report: &Report, machine: &Machine, plot: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(plot) = plot {
        text.push_str(&format!("![CPU a delivery beside that of the smallest step]({plot})\n\n"));
    }
    text.push_str("| what grows | to | µs: service + Redis | × | p50 / p99 ms | peak MiB | flat |\n|");
    text.push_str(&"---|".repeat(7));
    text.push('\n');
    for point in &report.growth {
        let Point { axis, value, service_us, redis_us, times_us, p50_ms, p99_ms, rss_mib } = point;
        let latency = p50_ms.zip(*p99_ms).map(|(p50, p99)| format!("{p50:.2} / {p99:.2}")).unwrap_or_default();
        let flat = if *times_us <= FLAT_MAX { "yes" } else { "no" };
        let (what, times) = (axis.what(), short(*times_us));
        let row =
            format!("{what} | {value} | {service_us:.1} + {redis_us:.1} | {times} | {latency} | {rss_mib:.0} | {flat}");
        text.push_str(&format!("| {row} |\n"));
    }
    text.push_str(&format!("\nFlat: at most {FLAT_MAX} × the smallest step. {machine}, `{}`\n\n", machine.command));
    let laws = Axis::ALL.into_iter().filter_map(|axis| law(axis, &axis.of(&report.growth)));
    for sentence in laws.chain(report.left_out.iter().cloned()) {
        text.push_str(&format!("- {sentence}\n"));
    }
    text
}

const LEFT: f64 = 56.0;
const TOP: f64 = 24.0;
const PLOT_WIDTH: f64 = 500.0;
const PLOT_HEIGHT: f64 = 300.0;
/// Of the axes, in their order: told apart also by those who see fewer colours, as their names stand at the lines' ends.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#767676"];
const STYLE: Style = Style {
    both: "polyline{fill:none;stroke-width:2}.flat{stroke-dasharray:4 4}",
    light: ".grid{stroke:#b4bac2}.flat{stroke:#57606a}",
    dark: ".grid{stroke:#4b545e}.flat{stroke:#9da7b3}",
};

/// CPU a delivery as so many times that of the smallest step, over how far the axis has grown. `None` without points.
pub(crate) fn plot(points: &[Point], machine: &Machine) -> Option<String> {
    let most = points.iter().map(|point| point.times_us).reduce(f64::max)?.max(2.0 * FLAT_MAX);
    let y = |times: f64| TOP + PLOT_HEIGHT * (1.0 - times / most);
    let title = "CPU a delivery, times the smallest step, while one thing grows";
    let mut svg = format!("<text class=\"small\" x=\"{LEFT}\" y=\"14\">{title}</text>");
    let line = |svg: &mut String, class: &str, times: f64| {
        let (right, at) = (LEFT + PLOT_WIDTH, y(times));
        let text = format!(
            "<text class=\"small\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{times}</text>",
            LEFT - 6.0,
            at + 4.0
        );
        write!(svg, "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>{text}")
    };
    line(&mut svg, "grid", 0.0).ok()?;
    line(&mut svg, "grid", 1.0).ok()?;
    line(&mut svg, "flat", FLAT_MAX).ok()?;
    let mut label_y = TOP + 12.0;
    for (axis, colour) in Axis::ALL.into_iter().zip(COLOURS) {
        let own = axis.of(points);
        let Some(last) = own.last() else { continue };
        // By steps: axes grow by different factors.
        let x = |step: usize| LEFT + PLOT_WIDTH * step as f64 / (own.len().max(2) - 1) as f64;
        let places = own.iter().enumerate().map(|(step, point)| format!("{:.1},{:.1}", x(step), y(point.times_us)));
        let name = format!("{}, {} to {}", axis.what(), own[0].value, last.value);
        write!(
            svg,
            "<polyline stroke=\"{colour}\" points=\"{}\"/>\
             <line x1=\"{x1}\" x2=\"{x2}\" y1=\"{line_y}\" y2=\"{line_y}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text class=\"small\" x=\"{text_x}\" y=\"{label_y}\">{name}</text>",
            places.collect::<Vec<_>>().join(" "),
            x1 = LEFT + PLOT_WIDTH + 8.0,
            x2 = LEFT + PLOT_WIDTH + 20.0,
            line_y = label_y - 4.0,
            text_x = LEFT + PLOT_WIDTH + 24.0,
        )
        .ok()?;
        label_y += 18.0;
    }
    let foot = ["from the smallest step to the largest".to_owned(), machine.to_string(), machine.command.clone()];
    Some(picture(title, &STYLE, (LEFT, TOP + PLOT_HEIGHT + 8.0), &svg, &foot))
}
