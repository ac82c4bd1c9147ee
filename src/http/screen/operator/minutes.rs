//! What became of messages in the last hour, minute by minute: a picture, and the same as a table. An outcome has a
//! colour and, for who sees none, a place and a shape: failed messages are hollow and marked below the line.

use maud::{Markup, html};

use super::overview::Overview;
use crate::http::screen::parts::{Tone, count, grouped, time};
use crate::http::screen::plot::legend;
use crate::workspace::outcomes::{MINUTES, Outcomes};
use crate::workspace::time::Time;

/// Width of the drawing area in its own units; it is stretched to the place that there is.
const WIDTH: u64 = 1_020;
/// The place of one minute.
const SLOT: u64 = WIDTH / MINUTES as u64;
/// Height of the drawing area in pixels, and of what stands above the line.
const HEIGHT: u64 = 150;
const FLOOR: u64 = 120;
const BAR_MAX: u64 = 112;
const MINUTE_MS: i64 = 60_000;

pub(super) fn section(overview: &Overview<'_>) -> Markup {
    let minutes = &overview.all.last_hour;
    let mut sum = Outcomes::default();
    minutes.iter().for_each(|minute| sum += *minute);
    html! {
        section #minutes .panel aria-labelledby="minutes-title" {
            h2 #minutes-title { "Messages a minute, the last hour" }
            @if sum.total() == 0 {
                p .empty { "No message was attempted or skipped in the last hour." }
            } @else {
                (figure(minutes, sum))
                (table(minutes, overview.now))
            }
            @if overview.all.missing.is_empty() {
                p .hint { "All nodes together, each as it told within the last seconds." }
            }
            @for missing in &overview.all.missing { p .unknown { (Tone::Warning.icon()) " " (missing) } }
        }
    }
}

fn figure(minutes: &[Outcomes], sum: Outcomes) -> Markup {
    let most = minutes.iter().map(|minute| minute.total()).max().unwrap_or_default();
    let top = scale_top(most);
    let words = format!(
        "{}: {} delivered, {} failed, {} skipped. The most in a minute were {}.",
        count(sum.total(), "message"),
        grouped(sum.delivered),
        grouped(sum.failed),
        grouped(sum.skipped),
        grouped(most)
    );
    html! {
        figure .plot {
            div .canvas {
                svg .axis width="52" height=(HEIGHT) viewBox={ "0 0 52 " (HEIGHT) } aria-hidden="true" {
                    @for (y, of) in [(FLOOR, 0), (FLOOR - BAR_MAX / 2, top / 2), (FLOOR - BAR_MAX, top)] {
                        text x="48" y=(y + 4) text-anchor="end" { (short(of)) }
                    }
                }
                svg .bars viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-labelledby="minutes-plot minutes-words" {
                    title #minutes-plot { "Messages delivered, failed and skipped in each minute of the last hour, oldest first" }
                    desc #minutes-words { (words) }
                    @for y in [FLOOR, FLOOR - BAR_MAX / 2, FLOOR - BAR_MAX] {
                        line .grid x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                    }
                    @for (place, minute) in (0_u64..).zip(minutes) { (bar(place, *minute, top)) }
                }
            }
            div .hours aria-hidden="true" { span { "60 min ago" } span { "30 min" } span { "now" } }
            figcaption {
                p { (words) }
                (legend(html! { rect .skipped-bar x="1" y="1" width="10" height="10" {} }, "skipped"))
            }
        }
    }
}

/// One minute: what was delivered stands on the line, then what was skipped, then what failed.
fn bar(place: u64, minute: Outcomes, top: u64) -> Markup {
    let x = place * SLOT;
    let ago = MINUTES as u64 - 1 - place;
    let delivered = height(minute.delivered, top);
    let skipped = height(minute.skipped, top);
    let failed = height(minute.failed, top);
    let (delivered_y, skipped_y) = (FLOOR - delivered.min(FLOOR), FLOOR.saturating_sub(delivered + skipped));
    let failed_y = FLOOR.saturating_sub(delivered + skipped + failed);
    html! {
        g .attempt-bar {
            title {
                (if ago == 0 { "this minute".to_owned() } else { format!("{ago} min ago") })
                ": " (grouped(minute.delivered)) " delivered, " (grouped(minute.failed)) " failed, "
                (grouped(minute.skipped)) " skipped"
            }
            // The place to point at.
            rect .slot x=(x) y="0" width=(SLOT) height=(HEIGHT) {}
            @if delivered > 0 { rect .bar x=(x + 2) y=(delivered_y) width=(SLOT - 4) height=(delivered) {} }
            @if skipped > 0 { rect .skipped-bar x=(x + 2) y=(skipped_y) width=(SLOT - 4) height=(skipped) {} }
            @if failed > 0 {
                g .failed {
                    rect .bar x=(x + 2) y=(failed_y) width=(SLOT - 4) height=(failed) {}
                    rect .mark x=(x + 2) y="126" width=(SLOT - 4) height="8" {}
                }
            }
        }
    }
}

/// Whatever there is is seen.
fn height(n: u64, top: u64) -> u64 {
    if n == 0 { 0 } else { (n.saturating_mul(BAR_MAX) / top.max(1)).max(2) }
}

/// The top of the scale: an even number of at most two digits and noughts, not below `most`.
fn scale_top(most: u64) -> u64 {
    let mut step = 1_u64;
    while most > step.saturating_mul(10) {
        step = step.saturating_mul(10);
    }
    let steps = [2, 4, 6, 8, 10].into_iter().find(|steps| step.saturating_mul(*steps) >= most).unwrap_or(10);
    step.saturating_mul(steps)
}

/// `2,000`, `12k`, `3M`.
fn short(n: u64) -> String {
    match n {
        0..10_000 => grouped(n),
        10_000..10_000_000 => format!("{}k", grouped(n / 1_000)),
        _ => format!("{}M", grouped(n / 1_000_000)),
    }
}

/// The minutes in which anything happened, newest first.
fn table(minutes: &[Outcomes], now: Time) -> Markup {
    let this_minute = now.unix_ms().div_euclid(MINUTE_MS);
    let rows = (0_i64..).zip(minutes.iter().rev()).filter(|(_, minute)| minute.total() > 0);
    html! {
        details {
            summary { "As a table" }
            div .scroll tabindex="0" role="region" aria-label="Messages a minute" {
                table {
                    thead { tr { th scope="col" { "Minute" } th scope="col" { "Delivered" } th scope="col" { "Failed" } th scope="col" { "Skipped" } } }
                    tbody {
                        @for (ago, minute) in rows {
                            tr {
                                th scope="row" { (time(Time::from_unix_ms((this_minute - ago) * MINUTE_MS))) }
                                td { (grouped(minute.delivered)) }
                                td { (grouped(minute.failed)) }
                                td { (grouped(minute.skipped)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_even_number_that_holds_all() {
        let tops: Vec<u64> = [0, 1, 2, 3, 10, 11, 21, 99, 1_234, 81_000].into_iter().map(scale_top).collect();
        assert_eq!(tops, [2, 2, 2, 4, 10, 20, 40, 100, 2_000, 100_000]);
        assert_eq!([9_999, 10_000, 12_345_678].map(short), ["9,999", "10k", "12M"]);
    }

    #[test]
    fn what_there_is_is_seen_and_stays_inside() {
        assert_eq!((height(0, 10), height(1, 1_000_000), height(10, 10)), (0, 2, BAR_MAX));
        assert!(
            bar(59, Outcomes { delivered: 1, failed: 1, skipped: 1 }, u64::MAX).into_string().contains("this minute")
        );
    }
}
