//! What stands behind the `?` of the operators' screen: which workspaces are listed, and what the last form came to.

use url::form_urlencoded;

use crate::config::WORKSPACES_SHOWN;
use crate::http::api::workspaces::WorkspacesQuery;
use crate::http::screen::parts::{Tone, grouped};
use crate::http::screen::query::ScreenQuery;

/// Names behind the `?`.
pub(super) const PREFIX: &str = "prefix";
pub(super) const STATUS: &str = "status";
pub(super) const AFTER: &str = "after";
/// The field of a form that names a reason.
pub(super) const REASON: &str = "reason";
/// The field that names the oldest entry of that reason: what lies before it need not be looked at again.
pub(super) const OLDEST: &str = "oldest";
/// What a form came to: how many entries, and whether there may be more.
pub(super) const REQUEUED: &str = "requeued";
pub(super) const INVALID: &str = "invalid";
pub(super) const DISCARDED: &str = "discarded";
pub(super) const MORE: &str = "more";

/// Which workspaces are listed.
#[derive(Default)]
pub(super) struct ListChoice {
    pub(super) prefix: String,
    pub(super) status: String,
    pub(super) after: String,
}

impl ListChoice {
    pub(super) fn of(asked: &ScreenQuery) -> Self {
        let value = |name| asked.value(name).unwrap_or_default().trim().to_owned();
        Self { prefix: value(PREFIX), status: value(STATUS), after: value(AFTER) }
    }

    /// Whether all are listed, from the first on.
    pub(super) fn is_everything(&self) -> bool {
        self.prefix.is_empty() && self.status.is_empty() && self.after.is_empty()
    }

    /// The same as the API takes it.
    pub(super) fn query(&self) -> WorkspacesQuery {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let limit = Some(WORKSPACES_SHOWN.to_string());
        WorkspacesQuery { limit, status: some(&self.status), prefix: some(&self.prefix), after: some(&self.after) }
    }

    /// The same behind a `?`, from the page behind `after` on.
    pub(super) fn address(&self, root: &str, after: Option<&str>) -> String {
        let given = [(PREFIX, self.prefix.as_str()), (STATUS, &self.status), (AFTER, after.unwrap_or_default())];
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(given.into_iter().filter(|(_, value)| !value.is_empty()));
        match query.finish() {
            query if query.is_empty() => format!("{root}/#workspaces"),
            query => format!("{root}/?{query}#workspaces"),
        }
    }
}

/// What the last form came to, in words. Anybody may write any address; it shows numbers and no more.
pub(super) fn notice(asked: &ScreenQuery) -> Option<(Tone, String)> {
    let number = |name| asked.value(name).and_then(|text| text.parse::<u64>().ok());
    let more = if asked.value(MORE).is_some() { " There may be more: do it again." } else { "" };
    if let Some(moved) = number(REQUEUED) {
        let stay = match number(INVALID).unwrap_or(0) {
            0 => String::new(),
            1 => " 1 entry is still not valid and stays.".to_owned(),
            many => format!(" {} are still not valid and stay.", entries(many)),
        };
        let tone = if stay.is_empty() { Tone::Good } else { Tone::Warning };
        return Some((tone, format!("{} requeued.{stay}{more}", were(moved))));
    }
    number(DISCARDED).map(|discarded| (Tone::Good, format!("{} discarded for good.{more}", were(discarded))))
}

/// `1 entry`, `3 entries`.
pub(super) fn entries(n: u64) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(n)) }
}

/// `1 entry was`, `3 entries were`.
pub(super) fn were(n: u64) -> String {
    format!("{} {}", entries(n), if n == 1 { "was" } else { "were" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str) -> Option<String> {
        notice(&ScreenQuery::of(Some(query))).map(|(_, text)| text)
    }

    #[test]
    fn what_a_form_came_to_is_told_in_words() {
        assert_eq!(told(""), None);
        assert_eq!(told("requeued=<b>"), None);
        assert_eq!(told("requeued=1").as_deref(), Some("1 entry was requeued."));
        assert_eq!(
            told("requeued=1200&invalid=2&more=1").as_deref(),
            Some(
                "1,200 entries were requeued. 2 entries are still not valid and stay. There may be more: do it again."
            )
        );
        assert_eq!(
            told("requeued=0&invalid=1").as_deref(),
            Some("0 entries were requeued. 1 entry is still not valid and stays.")
        );
        assert_eq!(told("discarded=1").as_deref(), Some("1 entry was discarded for good."));
        assert_eq!(told("discarded=2").as_deref(), Some("2 entries were discarded for good."));
    }

    #[test]
    fn a_choice_is_written_as_it_is_read() {
        let choice = ListChoice::of(&ScreenQuery::of(Some("prefix=a%2Eb&status=&after=zz&other=1")));
        assert!(!choice.is_everything());
        assert_eq!(choice.address("/hooks", Some("c:d")), "/hooks/?prefix=a.b&after=c%3Ad#workspaces");
        assert_eq!(ListChoice::default().address("", None), "/#workspaces");
    }
}
