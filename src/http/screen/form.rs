//! What stands in the webhook's form: what is saved, or what was typed with what is wrong about it.
//!
//! The form is turned into the members of the API's body and checked by the same rules
//! (`http::save`), so that both refuse the same things for the same reasons.

use serde_json::Value;

use super::super::problem::MemberError;
use crate::workspace::view::{Status, WebhookView};

/// The fields, named like the members of the API's body.
pub(super) const URL: &str = "url";
pub(super) const ENABLED: &str = "enabled";
pub(super) const EVENT: &str = "event";
pub(super) const EMAIL: &str = "owner_email";

/// The values of the fields, and what is wrong with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) url: String,
    pub(super) enabled: bool,
    pub(super) owner_email: String,
    event: String,
    errors: Vec<MemberError>,
}

impl Typed {
    /// What is saved. A save switches a webhook on (CONTRACT section 3), so the box is ticked unless the
    /// operator has switched it off.
    pub(super) fn saved(webhook: &WebhookView) -> Self {
        Self {
            url: webhook.url.as_deref().unwrap_or_default().to_owned(),
            enabled: webhook.status != Status::Disabled,
            owner_email: webhook.owner_email.clone().unwrap_or_default(),
            ..Self::default()
        }
    }

    /// What was sent; `field` gives a field's value, empty when it is missing.
    pub(super) fn sent(field: impl Fn(&str) -> String) -> Self {
        Self {
            url: field(URL),
            enabled: !field(ENABLED).is_empty(),
            owner_email: field(EMAIL),
            event: field(EVENT),
            errors: Vec::new(),
        }
    }

    pub(super) fn with_errors(self, errors: Vec<MemberError>) -> Self {
        Self { errors, ..self }
    }

    /// The same as the members of the API's body. A tick with a URL is left out: it means what the member
    /// means when it is left out, and an empty URL clears the webhook whatever is ticked.
    pub(super) fn members(&self) -> serde_json::Map<String, Value> {
        let mut members = serde_json::Map::new();
        members.insert(URL.to_owned(), self.url.clone().into());
        if !self.enabled {
            members.insert(ENABLED.to_owned(), false.into());
        }
        if !self.event.is_empty() {
            members.insert(EVENT.to_owned(), self.event.clone().into());
        }
        let email = self.owner_email.trim();
        members.insert(EMAIL.to_owned(), if email.is_empty() { Value::Null } else { email.into() });
        members
    }

    /// What is wrong with a field.
    pub(super) fn error(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.member == field).map(|error| error.detail.as_str())
    }

    /// What is wrong with members that have no field of their own.
    pub(super) fn unplaced(&self) -> impl Iterator<Item = &MemberError> {
        let known = [URL, ENABLED, EVENT, EMAIL];
        self.errors.iter().filter(move |error| !known.contains(&error.member.as_str()))
    }

    /// Whether this is the first field that is wrong: there the reader is taken.
    pub(super) fn is_first_error(&self, field: &str) -> bool {
        [ENABLED, EVENT, URL, EMAIL].into_iter().find(|name| self.error(name).is_some()) == Some(field)
    }
}
