//! Sentences for people: the detail of an error begins small and ends without a full stop.

/// With a capital and a full stop.
#[must_use]
pub fn sentence(detail: &str) -> String {
    with_full_stop(&with_capital(detail))
}

/// With a capital.
#[must_use]
pub fn with_capital(detail: &str) -> String {
    let mut letters = detail.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// With a full stop, where it does not end a sentence already.
#[must_use]
pub fn with_full_stop(detail: &str) -> String {
    let end = if detail.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{detail}{end}")
}
