//! The last attempts as a picture: the duration as height on a logarithmic scale, the outcome as colour
//! and, for who sees none, as shape and place: a failed attempt is a hollow bar with a mark below it.

use maud::{Markup, html};

use super::parts::{count, duration};
use crate::workspace::event::{Attempt, Trigger};

/// Width of the drawing area in its own units; it is stretched to the place that there is.
const WIDTH: usize = 1_000;
/// Height of the drawing area in pixels.
const HEIGHT: usize = 150;
/// Where the bars stand, and how high they may be.
const FLOOR: u32 = 120;
const BAR_MAX: u32 = 112;
/// Slots that there are at least, so that a few attempts are not drawn as wide as the picture.
const SLOTS_MIN: usize = 40;
/// Decades of the scale that there are at least: 1 ms to 10 s.
const DECADES_MIN: u32 = 4;

/// The picture, its legend, and what it says in words. `attempts` is newest first and not empty.
pub(super) fn figure(attempts: &[(u64, Attempt)]) -> Markup {
    let words = summary(attempts);
    let scale = Scale::of(attempts);
    html! {
        figure .plot {
            div .canvas {
                (scale.axis())
                svg .bars viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-labelledby="plot-title plot-words" {
                    title #plot-title { "Duration and outcome of the last attempts, oldest first" }
                    desc #plot-words { (words) }
                    @for decade in 0..=scale.decades {
                        line .grid x1="0" x2=(WIDTH) y1=(scale.y(decade)) y2=(scale.y(decade)) {}
                    }
                    (bars(attempts, &scale))
                }
            }
            figcaption {
                p { (words) }
                (legend(html! { rect .test-mark x="0" y="4" width="12" height="4" {} }, "test"))
            }
        }
    }
}

fn bars(attempts: &[(u64, Attempt)], scale: &Scale) -> Markup {
    let slots = attempts.len().max(SLOTS_MIN);
    let width = WIDTH / slots;
    html! {
        @for (place, (_, attempt)) in attempts.iter().enumerate() {
            @let x = WIDTH - width * (place + 1);
            @let height = scale.height(attempt.duration_ms);
            @let failed = attempt.error.is_some();
            g .attempt-bar .failed[failed] .test[attempt.trigger.is_asked_for()] {
                title { (told(attempt)) }
                // The place to point at.
                rect .slot x=(x) y="0" width=(width) height=(HEIGHT) {}
                rect .bar x=(x + width / 10) y=(FLOOR - height) width=(width - width / 5) height=(height) {}
                @if failed { rect .mark x=(x + width / 10) y="127" width=(width - width / 5) height="9" {} }
                @if attempt.trigger.is_asked_for() {
                    rect .test-mark x=(x + width / 10) y="141" width=(width - width / 5) height="4" {}
                }
            }
        }
    }
}

/// One attempt in words, for who points at it.
fn told(attempt: &Attempt) -> String {
    let what = match (attempt.trigger, attempt.error.is_some()) {
        (Trigger::Message, false) => "delivered",
        (Trigger::Message, true) => "failed",
        (Trigger::Test, false) => "test, delivered",
        (Trigger::Test, true) => "test, failed",
        (Trigger::Again, false) => "sent again, delivered",
        (Trigger::Again, true) => "sent again, failed",
    };
    let status = attempt.response.as_ref().map(|response| format!(", HTTP {}", response.status)).unwrap_or_default();
    format!("{}: {what}{status}, {}", attempt.at, duration(attempt.duration_ms))
}

/// What the picture shows, in words.
fn summary(attempts: &[(u64, Attempt)]) -> String {
    let all = attempts.len();
    let failed = attempts.iter().filter(|(_, attempt)| attempt.error.is_some()).count();
    let mut durations: Vec<u32> = attempts.iter().map(|(_, attempt)| attempt.duration_ms).collect();
    durations.sort_unstable();
    let median = durations.get(all / 2).copied().unwrap_or_default();
    let slowest = durations.last().copied().unwrap_or_default();
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    format!(
        "{}: {} delivered, {failed} failed. Half took at most {}, the slowest {}.",
        count(number(all), "attempt"),
        all - failed,
        duration(median),
        duration(slowest)
    )
}

/// What the bars mean; `third` is the mark that only this picture has, and its name.
pub(super) fn legend(third: Markup, name: &str) -> Markup {
    let bar = html! { rect .bar x="1" y="1" width="10" height="10" {} };
    let swatch = |mark: &Markup| html! { svg .swatch viewBox="0 0 12 12" { (mark) } };
    html! {
        ul .legend aria-hidden="true" {
            li { (swatch(&bar)) "delivered" }
            li .failed { (swatch(&bar)) "failed, with a mark below" }
            li { (swatch(&third)) (name) }
        }
    }
}

/// A logarithmic scale from 1 ms upwards.
struct Scale {
    decades: u32,
}

impl Scale {
    fn of(attempts: &[(u64, Attempt)]) -> Self {
        let slowest = attempts.iter().map(|(_, attempt)| attempt.duration_ms).max().unwrap_or_default();
        Self { decades: DECADES_MIN.max(slowest.max(1).ilog10() + u32::from(!is_power_of_ten(slowest))) }
    }

    /// The height of a decade's line, from above.
    fn y(&self, decade: u32) -> u32 {
        FLOOR - BAR_MAX * decade / self.decades
    }

    /// The height of a bar; the shortest attempt is still seen.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and BAR_MAX")]
    fn height(&self, ms: u32) -> u32 {
        let part = f64::from(ms.max(1)).log10() / f64::from(self.decades);
        ((f64::from(BAR_MAX) * part).round() as u32).clamp(2, BAR_MAX)
    }

    /// The lines' names. A picture of its own, so that it is not stretched.
    fn axis(&self) -> Markup {
        html! {
            svg .axis width="44" height=(HEIGHT) viewBox={ "0 0 44 " (HEIGHT) } aria-hidden="true" {
                @for decade in 0..=self.decades {
                    text x="40" y=(self.y(decade) + 4) text-anchor="end" { (label(decade)) }
                }
            }
        }
    }
}

fn is_power_of_ten(n: u32) -> bool {
    n > 0 && 10_u32.pow(n.ilog10()) == n
}

/// `1 ms`, `10 ms`, … `1 s`.
fn label(decade: u32) -> String {
    match 10_u64.pow(decade) {
        ms if ms < 1_000 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1_000),
    }
}
