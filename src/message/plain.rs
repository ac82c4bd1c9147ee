//! The quick way through a message: one pass that finds what is needed in the form that nearly all have.
//!
//! Whatever it does not expect (an escape in a name, a phone that is a number, a rule that is broken) is no
//! error here: the message is then read the thorough way, which knows every form and says what is wrong.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::Chat;

/// The `message_id` and the chat of a message that keeps all rules and writes its names plainly.
pub(super) fn read(text: &str) -> Option<(Arc<str>, Chat)> {
    let message: Members<'_> = serde_json::from_str(text).ok()?;
    let full = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    let keeps_rules = matches!(message.direction, Some("sent" | "received"))
        && full(message.timestamp)
        && full(message.message_id)
        && message.contact.is_some();
    if !keeps_rules {
        return None;
    }
    let (account, contact) = (message.account.unwrap_or_default(), message.contact?);
    Some((message.message_id?.into(), Chat::of(plain(account.phone), plain(contact.phone), plain(contact.full_name))))
}

/// What a member says that names something.
fn plain(member: Option<Option<&str>>) -> Option<&str> {
    member.flatten().filter(|name| !name.is_empty())
}

/// The members of a message that are checked or decide the chat.
#[derive(Default)]
struct Members<'a> {
    direction: Option<&'a str>,
    timestamp: Option<&'a str>,
    message_id: Option<&'a str>,
    contact: Option<Party<'a>>,
    account: Option<Party<'a>>,
}

/// The members of an account or a contact that decide the chat; the inner option is a `null`.
#[derive(Default)]
struct Party<'a> {
    phone: Option<Option<&'a str>>,
    full_name: Option<Option<&'a str>>,
}

/// Takes an object only: what serde derives would take an array as well.
struct Object<T>(T);

impl<'de> Visitor<'de> for Object<Members<'de>> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self(mut members) = self;
        while let Some(name) = map.next_key::<&str>()? {
            match name {
                "direction" => once(&mut members.direction, map.next_value()?)?,
                "timestamp" => once(&mut members.timestamp, map.next_value()?)?,
                "message_id" => once(&mut members.message_id, map.next_value()?)?,
                "contact" => once(&mut members.contact, map.next_value()?)?,
                "whatsapp account" => once(&mut members.account, map.next_value()?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

impl<'de> Visitor<'de> for Object<Party<'de>> {
    type Value = Party<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an account or a contact")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self(mut party) = self;
        while let Some(name) = map.next_key::<&str>()? {
            match name {
                "phone" => once(&mut party.phone, map.next_value()?)?,
                "full name" => once(&mut party.full_name, map.next_value()?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(party)
    }
}

/// A member that stands twice is for the thorough way.
fn once<T, E: Error>(member: &mut Option<T>, value: T) -> Result<(), E> {
    match member.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("twice")),
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(Self::default()))
    }
}

impl<'de> Deserialize<'de> for Party<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(Self::default()))
    }
}
