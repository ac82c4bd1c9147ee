//! The change history: who made the configuration what it is, when, from what, to what.
//!
//! It is read off the events that are no attempts, of which a journal retains enough for the last 100
//! changes and the one before them: `journal::port::HISTORY_RETAINED` has the arithmetic. A change is a save that
//! changed something, a rotation of the secret, a revocation of the tokens or an automatic switch-off; every other such event is
//! the end of a switch-off's mail. A save and a rotation hold the configuration, and a switch-off has a save
//! right before it but for rotations, revocations and such ends. So each change that is shown has what was
//! before it; a revocation that came before everything that is retained is not shown.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::configuration::{Configuration, SubscribedEvent, WebhookStatus};
use super::event::{Event, WebhookSaved};
use super::headers::HeaderName;
use super::redirect;
use super::time::Time;

/// Changes that are shown.
pub const CHANGES_SHOWN: usize = 100;
/// Who does what nobody asked for.
pub const SERVICE: &str = "outbound";

/// One change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Change)]
pub struct ConfigurationChange {
    /// The event's seq, as a string.
    pub id: String,
    /// When.
    pub at: Time,
    /// The subject of the token, or `outbound` for an automatic switch-off.
    pub by: Arc<str>,
    /// What was done.
    pub action: ChangeAction,
    /// The custom headers that a save added, took out or gave another value.
    pub changed_headers: Vec<HeaderName>,
    /// What it was before; absent before the first save.
    pub from: Option<Configuration>,
    /// What it is since.
    pub to: Configuration,
}

/// What a change was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeAction {
    /// An operator saved.
    Saved,
    /// Too many errors in a row.
    SwitchedOff,
    /// An operator asked for a new signing secret; the configuration is the same before and after.
    SecretRotated,
    /// An operator ended every token of the workspace; the configuration is the same before and after.
    TokensRevoked,
}

/// What people have saved since somebody read the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meanwhile {
    /// Who, the last first.
    pub by: Vec<Arc<str>>,
    /// When the last of them did.
    pub at: Time,
    /// What is not as it was, and how it is now: each `the URL, now https://crm.example`. Nothing confidential.
    pub now: Vec<String>,
}

/// What was saved above the seq `since`, which the reader saw; `changes` come newest first. `None` when nothing that is
/// shown was.
#[must_use]
pub fn meanwhile(changes: &[ConfigurationChange], since: u64) -> Option<Meanwhile> {
    let is_later = |change: &&ConfigurationChange| {
        change.action == ChangeAction::Saved && change.id.parse::<u64>().is_ok_and(|seq| seq > since)
    };
    let later: Vec<_> = changes.iter().filter(is_later).collect();
    let (last, first) = (later.first()?, later.last()?);
    let mut by: Vec<Arc<str>> = Vec::new();
    for change in &later {
        if !by.contains(&change.by) {
            by.push(Arc::clone(&change.by));
        }
    }
    let (from, to) = (first.from.as_ref(), &last.to);
    let mut now = Vec::new();
    if from.and_then(|from| from.url.as_ref()) != to.url.as_ref() {
        let shown = |url: Option<&str>| url.map_or("none".to_owned(), redirect::shown_in_sentences);
        let (before, after) = (shown(from.and_then(|from| from.url.as_deref())), shown(to.url.as_deref()));
        // What is not shown of it may be all that differs.
        let but = if before == after { " with another query" } else { "" };
        now.push(format!("the URL, now {after}{but}"));
    }
    if from.is_some_and(|from| from.enabled) != to.enabled {
        now.push(format!("the switch, now {}", if to.enabled { "on" } else { "off" }));
    }
    if from.and_then(|from| from.owner_email.as_ref()) != to.owner_email.as_ref() {
        now.push(format!("the owner email, now {}", to.owner_email.as_deref().unwrap_or("none")));
    }
    if later.iter().any(|change| !change.changed_headers.is_empty()) {
        let names: Vec<&str> = to.headers.iter().map(HeaderName::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        now.push(format!("the custom headers, now {names}"));
    }
    Some(Meanwhile { by, at: last.at, now })
}

impl Meanwhile {
    /// Who changed what, as the rest of a sentence: `changed meanwhile by jane: the URL, now https://crm.example`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let what = if self.now.is_empty() { "and back again".to_owned() } else { self.now.join("; ") };
        format!("changed meanwhile by {}: {what}", self.by.join(", "))
    }
}

/// The last [`CHANGES_SHOWN`] changes, newest first. `events` are those that are no attempts, with
/// their seqs, oldest first; those that change no configuration are passed over.
#[must_use]
pub fn changes(events: &[(u64, Event)]) -> Vec<ConfigurationChange> {
    let mut present: Option<Configuration> = None;
    let mut changes = Vec::new();
    for (seq, event) in events {
        let (at, by, action, to) = match event {
            Event::WebhookSaved(saved) => (saved.at, saved.by.as_str(), ChangeAction::Saved, self::saved(saved)),
            Event::SecretRotated(rotated) => {
                // Without the save before it the configuration is known from the rotation itself.
                let Some(same) = present.clone().or_else(|| rotated.configuration.clone()) else { continue };
                present.get_or_insert_with(|| same.clone());
                (rotated.at, rotated.by.as_str(), ChangeAction::SecretRotated, same)
            }
            Event::TokensRevoked(revoked) => {
                let Some(before) = present.clone() else { continue };
                (revoked.at, revoked.by.as_str(), ChangeAction::TokensRevoked, before)
            }
            Event::WebhookDisabled(disabled) => {
                // Without the save before it there is nothing to tell: it is older than what is retained.
                let Some(before) = present.clone() else { continue };
                (disabled.at, SERVICE, ChangeAction::SwitchedOff, before.switched_off())
            }
            Event::AttemptDelivered(_)
            | Event::AttemptFailed(_)
            | Event::OwnerNotified(_)
            | Event::MailGivenUp(_)
            | Event::MailDropped(_)
            | Event::MessagesSkipped(_)
            | Event::MessagesDiscarded(_)
            | Event::TestStarted(_)
            | Event::TestDropped(_)
            | Event::MailOwed(_)
            | Event::MailDeferred(_)
            | Event::SecretViewed(_)
            | Event::TestMailTaken(_)
            | Event::TokenMade(_)
            | Event::TokenEnded(_)
            | Event::SessionEnded(_)
            | Event::Forgotten(_)
            | Event::LogDropped(_) => continue,
        };
        let changed_headers = match event {
            Event::WebhookSaved(saved) => saved.changed_headers.clone(),
            _ => Vec::new(),
        };
        let from = present.replace(to.clone());
        // It set the count of errors to 0, no more.
        if action == ChangeAction::Saved && changed_headers.is_empty() && from.as_ref() == Some(&to) {
            continue;
        }
        changes.push(ConfigurationChange { id: seq.to_string(), at, by: by.into(), action, changed_headers, from, to });
    }
    changes.reverse();
    changes.truncate(CHANGES_SHOWN);
    changes
}

/// The configuration that an operator saved.
fn saved(saved: &WebhookSaved) -> Configuration {
    Configuration {
        url: saved.url.clone(),
        enabled: saved.enabled,
        event: SubscribedEvent::NewMessage,
        owner_email: saved.owner_email.clone(),
        headers: saved.headers.keys().cloned().collect(),
        status: WebhookStatus::new(saved.url.is_some(), saved.enabled, false),
    }
}
