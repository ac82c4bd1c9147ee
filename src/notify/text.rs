//! Words of others (producers, endpoints, mail servers) made fit to stand in a sentence of ours.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::workspace::Time;
use crate::workspace::pasted::steers;

/// `text` on one line and at most `max` characters long: what is cut off leaves an ellipsis, control
/// characters, marks of direction and runs of white space become one space. So nothing can start a line of its own, or
/// reorder one of ours.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || steers(c)).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.chars().nth(max).is_none() {
        return line;
    }
    line.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// `text` with the five characters escaped that mean something in HTML text or in a quoted attribute
/// (OWASP, Cross Site Scripting Prevention, rule 1).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A moment for people, to the second, in UTC.
pub(super) fn moment(at: Time) -> String {
    let mut shown = String::new();
    let written = Timestamp::from_millisecond(at.unix_ms())
        .map(|timestamp| write!(shown, "{}", timestamp.strftime("%Y-%m-%d %H:%M:%S UTC")));
    match written {
        Ok(Ok(())) => shown,
        _ => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_several_lines_becomes_one_line() {
        assert_eq!(one_line("  a\r\n.\r\nb\u{0}\tc \u{2028}d ", 100), "a . b c d");
        assert_eq!(one_line("\u{202e}moc.\u{9b}\u{61c}live\u{2069} 👩\u{200d}🚀", 100), "moc. live 👩\u{200d}🚀");
    }

    #[test]
    fn a_long_text_is_cut_to_the_bound_and_says_so() {
        assert_eq!(one_line("abcdef", 6), "abcdef");
        assert_eq!(one_line("abcdefg", 6), "abcde…");
        assert_eq!(one_line("abc defg", 6), "abc d…");
        for max in 1..12 {
            let cut = one_line("ab cde fghi jklmn öäü", max);
            assert!(cut.chars().count() <= max, "{cut:?} is longer than {max}");
            assert!(cut.ends_with('…'), "{cut:?} hides that something is missing");
        }
    }

    #[test]
    fn what_means_something_in_html_is_escaped() {
        assert_eq!(escape(r#"<b id="x">&'</b>"#), "&lt;b id=&quot;x&quot;&gt;&amp;&#39;&lt;/b&gt;");
    }

    #[test]
    fn a_moment_is_shown_to_the_second_and_in_utc() {
        assert_eq!(moment("2026-01-31T12:00:03.250Z".parse().unwrap()), "2026-01-31 12:00:03 UTC");
        assert_eq!(moment(Time::from_unix_ms(i64::MAX)), Time::from_unix_ms(i64::MAX).to_string());
    }
}
