//! The change history: who made the configuration what it is, when, and from what.

use maud::{Markup, html};

use super::parts::time;
use crate::workspace::history::{Change, Configuration, Done};
use crate::workspace::view::Status;

pub(super) fn section(changes: &[Change]) -> Markup {
    html! {
        section #history .panel aria-labelledby="history-title" {
            h2 #history-title { "Change history" }
            @if changes.is_empty() {
                p .empty { "Nothing was saved yet." }
            } @else {
                ol .changes {
                    @for change in changes {
                        li {
                            p { (time(change.at)) " by " strong { (change.by) } }
                            ul { @for what in differences(change) { li { (what) } } }
                        }
                    }
                }
            }
        }
    }
}

/// What a change changed, each as a sentence without a full stop.
fn differences(change: &Change) -> Vec<Markup> {
    let to = &change.to;
    let empty =
        Configuration { url: None, enabled: false, owner_email: None, status: Status::NotConfigured, ..to.clone() };
    let from = change.from.as_ref().unwrap_or(&empty);
    let mut what = Vec::new();
    if from.url != to.url {
        what.push(moved("Webhook URL", from.url.as_deref(), to.url.as_deref()));
    }
    if from.status != to.status {
        what.push(html! { (word(to.status)) });
    }
    if from.owner_email != to.owner_email {
        what.push(moved("Owner email", from.owner_email.as_deref(), to.owner_email.as_deref()));
    }
    if change.action == Done::SecretRotated {
        what.push(html! { "Signing secret rotated" });
    }
    if what.is_empty() {
        what.push(html! { "Saved without a change" });
    }
    what
}

fn moved(name: &str, from: Option<&str>, to: Option<&str>) -> Markup {
    html! {
        (name) " "
        @match (from, to) {
            (Some(from), Some(to)) => { "changed from " span .id { (from) } " to " span .id { (to) } },
            (None, Some(to)) => { "set to " span .id { (to) } },
            (Some(from), None) => { "cleared; it was " span .id { (from) } },
            (None, None) => { "empty" },
        }
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::NotConfigured => "No longer configured",
        Status::Enabled => "Switched on",
        Status::Disabled => "Switched off",
        Status::DisabledByErrors => "Switched off by too many errors",
    }
}
