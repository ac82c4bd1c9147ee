//! The members of a message that are checked or decide its chat, looked up in its text.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::chat::{Chat, Party};
use super::encoding::JSON_SPACE;
use super::invalid::Invalid;
use super::object::each_member;

/// Just the members that are checked or decide the chat; everything else is skipped. `T` is how a text is
/// read, `P` how an account or a contact is.
#[derive(Deserialize)]
pub(super) struct Members<T, P> {
    direction: Option<T>,
    timestamp: Option<T>,
    message_id: Option<T>,
    contact: Option<P>,
    #[serde(rename = "whatsapp account")]
    account: Option<P>,
}

impl<'a> Members<&'a str, Party<&'a str>> {
    /// Reads a message in the form that nearly all have, in one pass: no escape, no number, each member once.
    pub(super) fn quick(text: &'a str) -> Option<Self> {
        is_object(text).then(|| serde_json::from_str(text).ok())?
    }
}

impl<'a> Members<&'a RawValue, Party<&'a RawValue>> {
    /// Reads a message in any form, or says what is wrong.
    pub(super) fn thorough(text: &'a str) -> Result<Self, Invalid> {
        if !is_object(text) {
            return Err(Invalid::no_object(text));
        }
        let [mut direction, mut timestamp, mut message_id, mut contact, mut account] = [None; 5];
        let mut twice = None;
        each_member(text.as_bytes(), |name, value| {
            let (member, place) = match name {
                "direction" => ("direction", &mut direction),
                "timestamp" => ("timestamp", &mut timestamp),
                "message_id" => ("message_id", &mut message_id),
                "contact" => ("contact", &mut contact),
                "whatsapp account" => ("whatsapp account", &mut account),
                _ => return,
            };
            if place.replace(value).is_some() {
                twice = Some(member);
            }
        })
        .map_err(|error| Invalid::not_json(text, error))?;
        if let Some(member) = twice {
            return Err(Invalid::Twice { member });
        }
        let party = |value: &'a RawValue| value.get().starts_with('{').then(|| Party::written(value));
        Ok(Self {
            direction,
            timestamp,
            message_id,
            contact: contact.and_then(party),
            account: account.and_then(party),
        })
    }
}

impl<'a, T: TextValue<'a>> Members<T, Party<T>> {
    /// The `message_id`, and the chat if anything names one.
    pub(super) fn found(self) -> Result<(Arc<str>, Option<Chat>), Invalid> {
        let text = |value: Option<T>, member, rule| {
            let value = value.ok_or(Invalid::Rule { member, rule })?;
            let wrong =
                || if value.is_broken() { Invalid::LoneSurrogate { member } } else { Invalid::Rule { member, rule } };
            value.text().ok_or_else(wrong)
        };
        let (member, rule) = ("direction", "\"sent\" or \"received\"");
        if !matches!(&*text(self.direction, member, rule)?, "sent" | "received") {
            return Err(Invalid::Rule { member, rule });
        }
        let non_empty = |value, member| {
            let rule = "a non-empty string";
            Some(text(value, member, rule)?).filter(|text| !text.is_empty()).ok_or(Invalid::Rule { member, rule })
        };
        non_empty(self.timestamp, "timestamp")?;
        let message_id = shown_id(&non_empty(self.message_id, "message_id")?).into();
        let contact = self.contact.ok_or(Invalid::Rule { member: "contact", rule: "an object" })?;
        let name = |value: Option<T>| value.and_then(T::name).filter(|name| !names_nobody(name));
        let (account, phone) = (name(self.account.unwrap_or_default().phone), name(contact.phone));
        let id = contact.ids.into_iter().flatten().find_map(|id| id.id().filter(|id| !names_nobody(id)));
        let full_name = name(contact.full_name);
        Ok((message_id, Chat::of(account.as_deref(), phone.as_deref(), id.as_deref(), full_name.as_deref())))
    }
}

/// Whether a text names nobody: blanks stand where nothing is known.
fn names_nobody(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_whitespace())
}

/// Bytes of a `message_id` that are shown and stored beside the message; what is POSTed holds all of it.
pub const MESSAGE_ID_BYTES_MAX: usize = 1_024;

/// What is shown of a `message_id`.
#[must_use]
pub fn shown_id(id: &str) -> &str {
    &id[..id.floor_char_boundary(MESSAGE_ID_BYTES_MAX)]
}

fn is_object(text: &str) -> bool {
    text.trim_start_matches(JSON_SPACE).starts_with('{')
}

/// A member's value that may be a text.
pub(super) trait TextValue<'a>: Copy {
    /// A string's value.
    fn text(self) -> Option<Cow<'a, str>>;
    /// Whether it is a string that no text can be: JSON's syntax allows a lone surrogate, Unicode does not.
    fn is_broken(self) -> bool;
    /// What names a party: a string's value, or as it is written a number, since some producers write phones so,
    /// or a string that no text can be.
    fn name(self) -> Option<Cow<'a, str>>;
    /// The same, or an object as it is written, since some producers pass on an id's parts.
    fn id(self) -> Option<Cow<'a, str>>;
}

impl<'a> TextValue<'a> for &'a str {
    fn text(self) -> Option<Cow<'a, str>> {
        Some(Cow::Borrowed(self))
    }

    fn is_broken(self) -> bool {
        false
    }

    fn name(self) -> Option<Cow<'a, str>> {
        self.text()
    }

    fn id(self) -> Option<Cow<'a, str>> {
        self.text()
    }
}

impl<'a> TextValue<'a> for &'a RawValue {
    fn text(self) -> Option<Cow<'a, str>> {
        serde_json::from_str::<String>(self.get()).ok().map(Cow::Owned)
    }

    fn is_broken(self) -> bool {
        self.get().starts_with('"') && self.text().is_none()
    }

    fn name(self) -> Option<Cow<'a, str>> {
        let written = || Some(self.get()).filter(|json| json.starts_with(|c: char| c.is_ascii_digit() || c == '"'));
        self.text().or_else(|| written().map(Cow::Borrowed))
    }

    fn id(self) -> Option<Cow<'a, str>> {
        let object = || Some(self.get()).filter(|json| json.starts_with('{') && json.contains(':'));
        self.name().or_else(|| object().map(Cow::Borrowed))
    }
}
