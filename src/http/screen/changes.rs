//! The change history: who made the configuration what it is, when, and from what; and who looked at the secret or made tokens.

use maud::{Markup, html};

use super::model::Model;
use super::parts::time;
use crate::workspace::access::{AccessAction, AccessDeed};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::headers::HeaderName;
use crate::workspace::history::{ChangeAction, ConfigurationChange};

/// Deeds that are shown, the newest; the API tells all that are remembered.
const DEEDS_SHOWN: usize = 50;

pub(super) fn section(model: &Model<'_>) -> Markup {
    let Model { changes, deeds, .. } = model;
    html! {
        section #history .panel aria-labelledby="history-title" {
            h2 #history-title { "Change history" }
            @if changes.is_empty() {
                p .empty { "Nothing was saved yet." }
            } @else {
                ol .changes tabindex="0" role="list" aria-label="Changes, newest first" {
                    @for change in *changes {
                        li {
                            p { (time(change.at)) " by " strong { (change.by) } }
                            ul { @for what in differences(change) { li { (what) } } }
                        }
                    }
                }
            }
            @if !deeds.is_empty() {
                h3 #access-title { "Secret and tokens" }
                ol #access .changes tabindex="0" role="list" aria-label="Who used the secret and the tokens, newest first" {
                    @for deed in deeds.iter().take(DEEDS_SHOWN) {
                        li {
                            p { (time(deed.at)) " by " strong { (deed.by) } }
                            ul { li { (done(deed)) } }
                        }
                    }
                }
            }
        }
    }
}

fn done(deed: &AccessDeed) -> Markup {
    let subject = deed.subject.as_deref().unwrap_or_default();
    html! {
        @match deed.action {
            AccessAction::SecretViewed => { "Signing secret looked at" },
            AccessAction::TokenMade => { "Token made for " span .id { (subject) } },
            AccessAction::TokenEnded => { "Token of " span .id { (subject) } " ended" },
        }
    }
}

/// What a change changed, each as a sentence without a full stop.
fn differences(change: &ConfigurationChange) -> Vec<Markup> {
    let to = &change.to;
    let before = change.from.as_ref();
    let from_url = before.and_then(|from| from.url.as_deref());
    let from_email = before.and_then(|from| from.owner_email.as_deref());
    let from_status = before.map_or(WebhookStatus::NotConfigured, |from| from.status);
    let mut what = Vec::new();
    if from_url != to.url.as_deref() {
        what.push(moved("Webhook URL", from_url, to.url.as_deref()));
    }
    if from_status != to.status {
        what.push(html! { (word(to.status)) });
    }
    if from_email != to.owner_email.as_deref() {
        what.push(moved("Owner email", from_email, to.owner_email.as_deref()));
    }
    if !change.changed_headers.is_empty() {
        let names: Vec<&str> = change.changed_headers.iter().map(HeaderName::as_str).collect();
        what.push(html! { "Custom headers changed: " span .id { (names.join(", ")) } });
    }
    match change.action {
        ChangeAction::SecretRotated => what.push(html! { "Signing secret rotated" }),
        ChangeAction::TokensRevoked => what.push(html! { "All tokens revoked" }),
        ChangeAction::Saved | ChangeAction::SwitchedOff => {}
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

fn word(status: WebhookStatus) -> &'static str {
    match status {
        WebhookStatus::NotConfigured => "No longer configured",
        WebhookStatus::Enabled => "Switched on",
        WebhookStatus::Disabled => "Switched off",
        WebhookStatus::DisabledByErrors => "Switched off by too many errors",
    }
}
