//! What stands in the webhook's form: what is saved, or what was typed with what is wrong about it.
//!
//! The form is turned into the members of the API's body and checked by the same rules
//! (`http::api::save_body`), so that both refuse the same things for the same reasons.

use serde_json::Value;

use crate::http::problem::MemberError;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::headers::MASK;
use crate::workspace::pasted::trimmed;
use crate::workspace::view::WebhookView;

/// The fields, named like the members of the API's body.
pub(super) const URL: &str = "url";
pub(super) const ENABLED: &str = "enabled";
pub(super) const EVENT: &str = "event";
pub(super) const EMAIL: &str = "owner_email";
pub(super) const HEADERS: &str = "headers";
/// In the order in which they are seen.
const FIELDS: [&str; 5] = [ENABLED, EVENT, URL, EMAIL, HEADERS];

/// The values of the fields, and what is wrong with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) url: String,
    pub(super) enabled: bool,
    pub(super) owner_email: String,
    /// One `Name: value` a line; a value that is stored is shown as [`MASK`], and keeps it.
    pub(super) headers: String,
    event: String,
    errors: Vec<MemberError>,
}

impl Typed {
    /// What is saved. A save switches a webhook on
    /// ([contract, section 3](crate::docs::contract#3-the-rules)), so the box is ticked unless the
    /// operator has switched it off.
    pub(super) fn saved(webhook: &WebhookView) -> Self {
        Self {
            url: webhook.url.as_deref().unwrap_or_default().to_owned(),
            enabled: webhook.status != WebhookStatus::Disabled,
            owner_email: webhook.owner_email.clone().unwrap_or_default(),
            headers: webhook.headers.keys().map(|name| format!("{}: {MASK}\n", name.as_str())).collect(),
            ..Self::default()
        }
    }

    /// What was sent; `field` gives a field's value, empty when it is missing.
    pub(super) fn sent(field: impl Fn(&str) -> String) -> Self {
        Self {
            url: field(URL),
            enabled: !field(ENABLED).is_empty(),
            owner_email: field(EMAIL),
            headers: field(HEADERS),
            event: field(EVENT),
            errors: Vec::new(),
        }
    }

    pub(super) fn with_errors(self, errors: Vec<MemberError>) -> Self {
        Self { errors, ..self }
    }

    /// The same as the API's body. A tick is left out: with a URL that means what it says, and without
    /// one the webhook is cleared whatever is ticked. A header that stands twice does so in the body.
    pub(super) fn body(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let email = trimmed(&self.owner_email);
        let headers: Vec<String> = self
            .headers
            .lines()
            .filter(|line| !trimmed(line).is_empty())
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| format!("{}:{}", text(trimmed(name)), text(trimmed(value))))
            .collect();
        let mut members = vec![
            format!("\"{URL}\":{}", text(&self.url)),
            format!("\"{EMAIL}\":{}", if email.is_empty() { "null".to_owned() } else { text(email) }),
            format!("\"{HEADERS}\":{{{}}}", headers.join(",")),
        ];
        if !self.enabled {
            members.push(format!("\"{ENABLED}\":false"));
        }
        if !self.event.is_empty() {
            members.push(format!("\"{EVENT}\":{}", text(&self.event)));
        }
        format!("{{{}}}", members.join(","))
    }

    /// What is wrong with a field.
    pub(super) fn errors(&self, field: &str) -> impl Iterator<Item = &MemberError> {
        self.errors.iter().filter(move |error| place(error) == Some(field))
    }

    pub(super) fn is_wrong(&self, field: &str) -> bool {
        self.errors(field).next().is_some()
    }

    /// What is wrong with members that have no field of their own.
    pub(super) fn unplaced(&self) -> impl Iterator<Item = &MemberError> {
        self.errors.iter().filter(|error| place(error).is_none())
    }

    /// Whether this is the first field that is wrong: there the reader is taken.
    pub(super) fn is_first_error(&self, field: &str) -> bool {
        FIELDS.into_iter().find(|name| self.is_wrong(name)) == Some(field)
    }
}

/// The field that a member belongs to: a header's name stands behind that of the field.
fn place(error: &MemberError) -> Option<&'static str> {
    let member = error.member.split('.').next().unwrap_or_default();
    FIELDS.into_iter().find(|field| *field == member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(fields: &[(&str, &str)]) -> Typed {
        Typed::sent(|name| fields.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value).to_owned())
    }

    #[test]
    fn the_form_is_the_body_of_the_api() {
        for (fields, body) in [
            (
                &[("url", "https://a.example/\"x"), ("enabled", "yes")][..],
                r#"{"url":"https://a.example/\"x","owner_email":null,"headers":{}}"#,
            ),
            (&[("url", "")], r#"{"url":"","owner_email":null,"headers":{},"enabled":false}"#),
            (
                &[
                    ("enabled", "yes"),
                    ("event", "other"),
                    ("owner_email", " a@b "),
                    ("headers", "X-A: 1:2\r\n\r\nX-A:***\r\nodd"),
                ],
                r#"{"url":"","owner_email":"a@b","headers":{"X-A":"1:2","X-A":"***","odd":""},"event":"other"}"#,
            ),
        ] {
            assert_eq!(sent(fields).body(), body);
        }
    }

    #[test]
    fn an_error_stands_at_its_field_and_one_without_a_field_is_told_all_the_same() {
        let error = |member: &str| MemberError { member: member.to_owned(), detail: "…".to_owned() };
        let typed = sent(&[]).with_errors(vec![error("headers.x-a"), error("url"), error("colour")]);
        assert!(typed.is_wrong(HEADERS) && typed.is_wrong(URL) && !typed.is_wrong(EMAIL));
        assert!(typed.is_first_error(URL) && !typed.is_first_error(HEADERS));
        assert_eq!(typed.unplaced().map(|error| error.member.as_str()).collect::<Vec<_>>(), ["colour"]);
    }
}
