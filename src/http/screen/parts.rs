//! Small things that several parts of the page are made of.

use std::time::Duration;

use maud::{Markup, html};

use crate::workspace::time::Time;

/// A time, in UTC; the script shows it in the reader's own time zone.
pub(super) fn time(at: Time) -> Markup {
    let text = at.to_string();
    html! { time datetime=(text) { (utc(&text)) } }
}

/// `2026-01-31T12:00:00.000Z` as people write it.
fn utc(text: &str) -> String {
    match text.split_once('T') {
        Some((day, rest)) => format!("{day} {} UTC", rest.split('.').next().unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `1 error`, `3 errors`.
pub(super) fn count(n: u64, one: &str) -> String {
    let n_text = grouped(n);
    if n == 1 { format!("{n_text} {one}") } else { format!("{n_text} {one}s") }
}

/// A duration for people.
pub(super) fn duration(ms: u32) -> String {
    format!("{} ms", grouped(u64::from(ms)))
}

/// A longer time for people, in its greatest unit.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", grouped(seconds / 86_400)),
    }
}

/// A number with a comma between thousands.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a page that is not known, and why.
pub(super) fn unknown(why: &str) -> Markup {
    html! { p .unknown { (Tone::Warning.icon()) " Not known now. " (why) } }
}

/// A picture of one line, for people who see it; what it means stands in words beside it.
pub(super) fn icon(name: Icon) -> Markup {
    let path = match name {
        Icon::Check => "M3.5 8.5l3 3 6-7",
        Icon::Cross => "M4 4l8 8M12 4l-8 8",
        Icon::Warning => "M8 3.5v5.5M8 12v.5",
        Icon::Pause => "M5.5 4v8M10.5 4v8",
    };
    html! {
        svg .icon viewBox="0 0 16 16" aria-hidden="true" focusable="false" { path d=(path) {} }
    }
}

/// See [`icon`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Icon {
    Check,
    Cross,
    Warning,
    Pause,
}

/// How something stands: a colour, a picture, and always words beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warning,
    Bad,
    Off,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }

    pub(super) fn icon(self) -> Markup {
        icon(match self {
            Self::Good => Icon::Check,
            Self::Warning => Icon::Warning,
            Self::Bad => Icon::Cross,
            Self::Off => Icon::Pause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let texts = [count(0, "error"), count(1, "error"), count(1_234_567, "message"), duration(999), duration(5_001)];
        assert_eq!(texts, ["0 errors", "1 error", "1,234,567 messages", "999 ms", "5,001 ms"]);
    }

    #[test]
    fn a_span_is_told_in_its_greatest_unit() {
        let told = [999, 27_400, 119_999, 120_000, 7_200_000, 172_800_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(told, ["999 ms", "27 s", "119 s", "2 min", "2 h", "2 days"]);
    }

    #[test]
    fn a_time_is_shown_in_utc_and_told_to_programs_in_full() {
        let shown = time(Time::from_unix_ms(1_769_860_800_123)).into_string();
        assert_eq!(shown, "<time datetime=\"2026-01-31T12:00:00.123Z\">2026-01-31 12:00:00 UTC</time>");
    }
}
