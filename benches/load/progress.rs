//! Tells whoever waits what is going on: one changing line on a terminal, else a line for each step.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressStyle};

/// On a terminal only.
fn line() -> Option<&'static ProgressBar> {
    static LINE: OnceLock<Option<ProgressBar>> = OnceLock::new();
    LINE.get_or_init(|| {
        std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{elapsed_precise} {prefix}: {msg}").expect("a valid template");
            ProgressBar::new_spinner().with_style(style)
        })
    })
    .as_ref()
}

/// A new step begins.
pub(crate) fn step(what: &str) {
    match line() {
        Some(line) => {
            line.set_prefix(what.to_owned());
            line.set_message("…");
            line.tick();
        }
        None => eprintln!("{what}"),
    }
}

/// What whoever waits must not miss.
pub(crate) fn note(what: &str) {
    match line() {
        Some(line) => line.println(what),
        None => eprintln!("{what}"),
    }
}

/// How far the step is: nothing that a log needs.
pub(crate) fn so_far(count: u64, of: u64) {
    if let Some(line) = line() {
        line.set_message(format!("{count} of {of}"));
    }
}

/// Nothing goes on any more.
pub(crate) fn end() {
    if let Some(line) = line() {
        line.finish_and_clear();
    }
}
