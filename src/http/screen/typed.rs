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
/// The hidden field that says at which revision of the webhook the form was made.
pub(super) const SEEN: &str = "seen";
/// In the order in which they are seen.
pub(super) const FIELDS: [&str; 5] = [ENABLED, EVENT, URL, EMAIL, HEADERS];

/// The values of the fields, and what is wrong with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) url: String,
    pub(super) enabled: bool,
    pub(super) owner_email: String,
    /// One `Name: value` a line; a value that is stored is shown as [`MASK`], and keeps it.
    pub(super) headers: String,
    /// The revision that who typed it saw; none that we ever had where the form did not say.
    pub(super) seen: Option<u64>,
    event: String,
    errors: Vec<MemberError>,
    /// What is saved now, in the fields where something else was typed.
    others: Vec<(&'static str, String)>,
}

impl Typed {
    /// What is saved. A save switches a webhook on
    /// ([contract, section 3](crate::docs::contract#3-the-rules)), so the box is ticked unless the
    /// operator has switched it off.
    pub(super) fn saved(webhook: &WebhookView, revision: u64) -> Self {
        Self {
            seen: Some(revision),
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
            seen: field(SEEN).parse().ok(),
            ..Self::default()
        }
    }

    /// What was typed, above what somebody else has saved since: sent again it takes its place.
    pub(super) fn above(self, saved: &Self) -> Self {
        let lines =
            |text: &str| text.lines().map(|line| trimmed(line).to_owned()).filter(|line| !line.is_empty()).collect();
        let (own, other): (Vec<String>, Vec<String>) = (lines(&self.headers), lines(&saved.headers));
        let switch = |enabled| if enabled { "ticked" } else { "not ticked" }.to_owned();
        let told = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
        let others = [
            (ENABLED, self.enabled != saved.enabled, switch(saved.enabled)),
            (URL, trimmed(&self.url) != saved.url, told(&saved.url)),
            (EMAIL, trimmed(&self.owner_email) != saved.owner_email, told(&saved.owner_email)),
            (HEADERS, own != other, told(&other.join(", "))),
        ];
        let others =
            others.into_iter().filter(|(_, differs, _)| *differs).map(|(field, _, now)| (field, now)).collect();
        Self { seen: saved.seen, others, ..self }
    }

    /// What is saved now in a field where something else was typed.
    pub(super) fn other(&self, field: &str) -> Option<&str> {
        self.others.iter().find(|(of, _)| *of == field).map(|(_, now)| now.as_str())
    }

    /// Whether saving it takes the place of what somebody else has saved.
    pub(super) fn replaces(&self) -> bool {
        !self.others.is_empty()
    }

    pub(super) fn with_errors(self, mut errors: Vec<MemberError>) -> Self {
        for error in &mut errors {
            let line = error.member.strip_prefix(HEADERS).and_then(|rest| rest.strip_prefix('.'));
            if line.is_some_and(|line| self.headers.lines().any(|typed| is_without_colon(typed, line))) {
                error.detail = "has no colon: write Name: value".to_owned();
            }
        }
        // Of one line both the name and the value may be refused.
        errors.dedup_by(|one, other| one.member == other.member && one.detail == other.detail);
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

/// Whether a line is the one that is told, and has no colon: then it is no name with a wrong value.
fn is_without_colon(typed: &str, told: &str) -> bool {
    let typed = trimmed(typed);
    !typed.contains(':') && !told.is_empty() && typed.to_lowercase().starts_with(&told.to_lowercase())
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
    fn what_somebody_else_saved_is_told_where_it_differs() {
        let saved =
            Typed { url: "https://b.example/".to_owned(), headers: "x-a: ***\n".to_owned(), ..Typed::default() };
        let saved = Typed { seen: Some(9), ..saved };
        let fields =
            [("url", "https://a.example/"), ("enabled", "yes"), ("headers", "x-a: ***\r\n\r\n"), ("seen", "7")];
        let typed = sent(&fields);
        assert_eq!(typed.seen, Some(7));
        let typed = typed.above(&saved);
        assert_eq!((typed.seen, typed.url.as_str(), typed.replaces()), (Some(9), "https://a.example/", true));
        let told = [URL, ENABLED, EMAIL, HEADERS].map(|field| typed.other(field));
        assert_eq!(told, [Some("https://b.example/"), Some("not ticked"), None, None]);
        assert!(!sent(&[("url", "https://b.example/"), ("headers", "x-a: ***")]).above(&saved).replaces());
    }

    #[test]
    fn an_error_stands_at_its_field_and_one_without_a_field_is_told_all_the_same() {
        let error = |member: &str| MemberError { member: member.to_owned(), detail: "…".to_owned() };
        let typed = sent(&[]).with_errors(vec![error("headers.x-a"), error("url"), error("colour")]);
        assert!(typed.is_wrong(HEADERS) && typed.is_wrong(URL) && !typed.is_wrong(EMAIL));
        assert!(typed.is_first_error(URL) && !typed.is_first_error(HEADERS));
        let typed = sent(&[("headers", "X-Api-Key abc\nX-B:")]);
        let typed = typed.with_errors(vec![error("headers.X-Api-Key abc"), error("headers.x-b")]);
        let told: Vec<_> = typed.errors(HEADERS).map(|error| error.detail.as_str()).collect();
        assert_eq!(told, ["has no colon: write Name: value", "…"]);
        let typed = sent(&[]).with_errors(vec![error("url"), error("colour")]);
        assert_eq!(typed.unplaced().map(|error| error.member.as_str()).collect::<Vec<_>>(), ["colour"]);
    }
}
