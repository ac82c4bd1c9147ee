//! What a terminal shows: text from elsewhere that cannot steer it, and progress bars.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use crate::workspace::pasted::steers;

/// Text from elsewhere, with what would move a terminal's cursor or reorder the line escaped.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|char| show(char, &mut shown));
    shown
}

fn show(char: char, shown: &mut String) {
    if steers(char) { shown.extend(char.escape_default()) } else { shown.push(char) }
}

/// The same JSON, with what in its strings would steer a terminal escaped. What JSON itself escapes of ASCII stays as it is:
/// outside of strings it is white space.
pub(super) fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for char in json.chars() {
        if !steers(char) || char < '\u{7f}' {
            shown.push(char);
        } else {
            shown += &format!("\\u{:04x}", u32::from(char));
        }
    }
    shown
}

/// The first `max` characters of a text from elsewhere, on one line.
pub(super) fn beginning(text: &str, max: usize) -> String {
    let mut shown = String::new();
    let mut chars = text.chars();
    for char in chars.by_ref().take(max) {
        show(char, &mut shown);
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A bar of a known length, a spinner when the length is not known, nothing when stderr is no terminal.
pub(super) fn progress_bar(length: Option<u64>, template: &str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_move_the_cursor_and_keeps_its_letters() {
        assert_eq!(printable("é\u{1b}[2J\n"), "é\\u{1b}[2J\\n");
        assert_eq!(
            printable("a\u{9b}2J\u{202e}b\u{61c}\u{2028}\u{2029}"),
            "a\\u{9b}2J\\u{202e}b\\u{61c}\\u{2028}\\u{2029}"
        );
        assert_eq!(beginning("\u{61c}a\u{9b}bc", 3), "\\u{61c}a\\u{9b}…");
    }

    #[test]
    fn json_stays_what_it_was_and_cannot_steer_a_terminal() {
        let text = "é\u{1b}\u{7f}\u{9b}2J\u{202e}\u{61c}\u{2028}\n\\ 👩\u{200d}🚀";
        let json = serde_json::json!({ text: [text] });
        for written in [format!("{json}"), format!("{json:#}")] {
            let shown = printable_json(&written);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
            assert!(!shown.chars().any(|c| steers(c) && c != '\n'), "{shown}");
            assert!(
                shown.contains("é")
                    && shown.contains("\\u009b2J\\u202e\\u061c\\u2028")
                    && shown.contains("👩\u{200d}🚀"),
                "{shown}"
            );
        }
    }
}
