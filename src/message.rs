//! The inbound message: what a producer appended, checked and otherwise left alone.
//!
//! Invariant: what the producer wrote is what the endpoint gets, byte for byte. Nothing here
//! parses a message into values and writes it again; members are looked up in the text.
//! The rules are those of [contract, section 1](crate::docs::contract#1-the-message-in).

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::value::RawValue;

mod id;

pub use id::{EntryId, InvalidEntryId, InvalidWorkspaceId, WORKSPACE_ID_MAX, WorkspaceId};

/// The largest message in bytes ([contract, section 1](crate::docs::contract#1-the-message-in)).
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// The deepest nesting of a message, itself included
/// ([contract, section 1](crate::docs::contract#1-the-message-in)). Common parsers cope with it;
/// serde_json's `Value` stops a level earlier, so a message is read as `RawValue` wherever it passes.
pub const MESSAGE_DEPTH_MAX: usize = 128;

/// A message that passed [`Message::parse`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    raw: RawMessage,
    message_id: Arc<str>,
    chat: Chat,
}

impl Message {
    /// Checks the producer's text and remembers what ordering and the log need of it.
    ///
    /// # Errors
    /// [`Invalid`] names the member and the rule.
    pub fn parse(text: Bytes) -> Result<Self, Invalid> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(Invalid::TooLarge { bytes: text.len() });
        }
        let str = std::str::from_utf8(&text).map_err(Invalid::NotUtf8)?;
        check_depth(str)?;
        let (message_id, chat) = match Members::quick(str) {
            Some(members) => members.found()?,
            None => Members::thorough(str)?.found()?,
        };
        let raw = RawMessage(text.slice_ref(str.trim_matches(JSON_SPACE).as_bytes()));
        Ok(Self { message_id, chat, raw })
    }

    /// The producer's `message_id`.
    #[must_use]
    pub fn message_id(&self) -> &Arc<str> {
        &self.message_id
    }

    /// The chat that the message belongs to: the unit of order.
    #[must_use]
    pub fn chat(&self) -> Chat {
        self.chat
    }

    /// The producer's text.
    #[must_use]
    pub fn raw(&self) -> &RawMessage {
        &self.raw
    }
}

/// What JSON allows around a value (RFC 8259 section 2). It is no part of the object, and dropping it
/// when a message comes in keeps what is POSTed now equal to what a journal gives back later.
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A message's JSON object exactly as its producer wrote it. Always valid JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct RawMessage(Bytes);

impl RawMessage {
    /// The text, as written.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The body that is POSTed: `{"message":` + the producer's object + `}`
    /// ([contract, section 2](crate::docs::contract#2-the-post-out)).
    #[must_use]
    pub fn body(&self) -> Bytes {
        const HEAD: &[u8] = br#"{"message":"#;
        let mut body = Vec::with_capacity(HEAD.len() + self.0.len() + 1);
        body.extend_from_slice(HEAD);
        body.extend_from_slice(&self.0);
        body.push(b'}');
        body.into()
    }

    /// Takes a text that was valid when it was stored.
    ///
    /// # Errors
    /// The text is not one JSON value.
    pub fn from_stored(text: Bytes) -> Result<Self, serde_json::Error> {
        let value = serde_json::from_slice::<&RawValue>(&text)?;
        let range = text.slice_ref(value.get().as_bytes());
        Ok(Self(range))
    }
}

impl fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for RawMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(&self.0).map_err(ser::Error::custom)?;
        serde_json::from_str::<&RawValue>(text).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Bytes::from(Box::<str>::from(raw).into_string())))
    }
}

/// Why an entry is no valid message. Each sentence stands in `_reason` of the rejected entry.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// Over [`MESSAGE_BYTES_MAX`].
    #[error("the message has {bytes} bytes; at most {MESSAGE_BYTES_MAX} are taken: send a link instead of the content")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the message is not UTF-8: encode it as UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// Not JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// JSON, but no object.
    #[error("the message is JSON but not an object: send {{\"direction\":…}} itself, without a wrapper")]
    NotAnObject,
    /// Over [`MESSAGE_DEPTH_MAX`].
    #[error("the message is nested deeper than {MESSAGE_DEPTH_MAX}: flatten it")]
    TooDeep,
    /// A checked member has the wrong type or stands twice.
    #[error("a member of the message is not as it must be: {0}")]
    Member(serde_json::Error),
    /// A checked member is absent, empty or of the wrong kind.
    #[error("`{member}` must be {rule}")]
    Rule {
        /// The member's name.
        member: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

/// Just the members that are checked or decide the chat; everything else is skipped. `T` is how a text is
/// read, `P` how an account or a contact is.
#[derive(Deserialize)]
struct Members<T, P> {
    direction: Option<T>,
    timestamp: Option<T>,
    message_id: Option<T>,
    contact: Option<P>,
    #[serde(rename = "whatsapp account")]
    account: Option<P>,
}

impl<'a> Members<&'a str, Party<&'a str>> {
    /// Reads a message in the form that nearly all have, in one pass: no escape, no number, each member once.
    fn quick(text: &'a str) -> Option<Self> {
        is_object(text).then(|| serde_json::from_str(text).ok())?
    }
}

impl<'a> Members<&'a RawValue, Party<&'a RawValue>> {
    /// Reads a message in any form, or says what is wrong.
    fn thorough(text: &'a str) -> Result<Self, Invalid> {
        let members: Members<&RawValue, &RawValue> = match serde_json::from_str(text) {
            Ok(members) if is_object(text) => members,
            Ok(_) => return Err(Invalid::NotAnObject),
            Err(member) => {
                return Err(match serde_json::from_str::<&RawValue>(text) {
                    Err(syntax) => Invalid::NotJson(syntax),
                    Ok(_) if is_object(text) => Invalid::Member(member),
                    Ok(_) => Invalid::NotAnObject,
                });
            }
        };
        let Members { direction, timestamp, message_id, contact, account } = members;
        let party = |value: &&'a RawValue| -> Option<Party<_>> {
            value.get().starts_with('{').then(|| serde_json::from_str(value.get()).unwrap_or_default())
        };
        let (contact, account) = (contact.as_ref().and_then(party), account.as_ref().and_then(party));
        Ok(Self { direction, timestamp, message_id, contact, account })
    }
}

impl<'a, T: TextValue<'a>> Members<T, Party<T>> {
    /// The `message_id` and the chat.
    fn found(self) -> Result<(Arc<str>, Chat), Invalid> {
        let text = |value: Option<T>| value.and_then(T::text);
        match text(self.direction).as_deref() {
            Some("sent" | "received") => {}
            _ => return Err(Invalid::Rule { member: "direction", rule: "\"sent\" or \"received\"" }),
        }
        let non_empty = |value, member| {
            text(value).filter(|text| !text.is_empty()).ok_or(Invalid::Rule { member, rule: "a non-empty string" })
        };
        non_empty(self.timestamp, "timestamp")?;
        let message_id = non_empty(self.message_id, "message_id")?.into();
        let contact = self.contact.ok_or(Invalid::Rule { member: "contact", rule: "an object" })?;
        let name = |value: Option<T>| value.and_then(T::name).filter(|name| !name.is_empty());
        let (account, phone) = (name(self.account.unwrap_or_default().phone), name(contact.phone));
        Ok((message_id, Chat::of(account.as_deref(), phone.as_deref(), name(contact.full_name).as_deref())))
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start_matches(JSON_SPACE).starts_with('{')
}

/// The two members of an account or contact that name a chat. They are not checked.
struct Party<T> {
    phone: Option<T>,
    full_name: Option<T>,
}

impl<T> Default for Party<T> {
    fn default() -> Self {
        Self { phone: None, full_name: None }
    }
}

/// By hand, because a derived implementation takes an array as well.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Party<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartyVisitor(PhantomData))
    }
}

struct PartyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PartyVisitor<T> {
    type Value = Party<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut phone, mut full_name) = (None, None);
        while let Some(member) = map.next_key()? {
            let twice = match member {
                PartyMember::Phone => phone.replace(map.next_value()?).is_some(),
                PartyMember::FullName => full_name.replace(map.next_value()?).is_some(),
                PartyMember::Other => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            if twice {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Party { phone: phone.flatten(), full_name: full_name.flatten() })
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum PartyMember {
    #[serde(rename = "phone")]
    Phone,
    #[serde(rename = "full name")]
    FullName,
    #[serde(other)]
    Other,
}

/// A member's value that may be a text.
trait TextValue<'a> {
    /// A string's value.
    fn text(self) -> Option<Cow<'a, str>>;
    /// What names a party: a string's value, or a number as written, since some producers write phones so.
    fn name(self) -> Option<Cow<'a, str>>;
}

impl<'a> TextValue<'a> for &'a str {
    fn text(self) -> Option<Cow<'a, str>> {
        Some(Cow::Borrowed(self))
    }

    fn name(self) -> Option<Cow<'a, str>> {
        self.text()
    }
}

impl<'a> TextValue<'a> for &'a RawValue {
    fn text(self) -> Option<Cow<'a, str>> {
        serde_json::from_str::<String>(self.get()).ok().map(Cow::Owned)
    }

    fn name(self) -> Option<Cow<'a, str>> {
        let number = || Some(self.get()).filter(|json| json.starts_with(|c: char| c.is_ascii_digit()));
        self.text().or_else(|| number().map(Cow::Borrowed))
    }
}

/// Counts brackets outside strings. Runs before any parser, so that none can be made to recurse.
fn check_depth(text: &str) -> Result<(), Invalid> {
    // Nearly all messages have fewer brackets than levels are allowed, and counting is much cheaper.
    if text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= MESSAGE_DEPTH_MAX {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MESSAGE_DEPTH_MAX {
                    return Err(Invalid::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// A chat, as the hash of what names it. Two chats that share a hash are attempted one after the
/// other, which is allowed; messages of one chat always share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chat(pub u64);

impl Chat {
    /// The chat of an account's phone with a contact, by its phone or else its name.
    fn of(account: Option<&str>, phone: Option<&str>, full_name: Option<&str>) -> Self {
        let mut hasher = DefaultHasher::new();
        account.unwrap_or_default().hash(&mut hasher);
        match phone {
            Some(phone) => (0_u8, phone).hash(&mut hasher),
            None => (1_u8, full_name.unwrap_or_default()).hash(&mut hasher),
        }
        Self(hasher.finish())
    }
}

#[cfg(test)]
mod tests;
