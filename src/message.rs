//! The inbound message: what a producer appended, checked and otherwise left alone.
//!
//! Invariant: what the producer wrote is what the endpoint gets, byte for byte. Nothing here
//! parses a message into values and writes it again; members are looked up in the text.
//! The rules are those of [contract, section 1](crate::docs::contract#1-the-message-in).

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::value::RawValue;

mod id;
mod members;
mod chat;
mod object;
mod encoding;
mod invalid;
mod sample;

pub use chat::Chat;
use encoding::JSON_SPACE;
pub use encoding::{HALF_OF_A_CHARACTER, OtherEncoding, bare, foreign, half_of_a_character, is_blank, without_halves};
pub use id::{EntryId, InvalidEntryId, InvalidWorkspaceId, WORKSPACE_ID_MAX, WorkspaceId};
pub use invalid::{Invalid, MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX};
use members::Members;
pub use members::{MESSAGE_ID_BYTES_MAX, shown_id};
pub use object::member;
pub use sample::sample;

/// Whether a text that is no message is a message in the object that an endpoint gets.
fn is_wrapped(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapper<'a> {
        #[serde(borrow)]
        message: &'a RawValue,
    }
    serde_json::from_slice(bare(text)).is_ok_and(|Wrapper { message }| message.get().starts_with('{'))
}

/// A message that passed [`Message::parse`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    raw: RawMessage,
    message_id: Arc<str>,
    chat: Option<Chat>,
}

impl Message {
    /// Checks the producer's text and remembers what ordering and the log need of it. What programs put around texts
    /// ([`bare`]) is no part of it.
    ///
    /// # Errors
    /// [`Invalid`] names the member and the rule.
    pub fn parse(text: Bytes) -> Result<Self, Invalid> {
        let whole = text.clone();
        Self::of_utf8(text.slice_ref(bare(&text))).map_err(|invalid| match invalid {
            Invalid::Rule { .. } if is_wrapped(&whole) => Invalid::Wrapped,
            invalid => OtherEncoding::of(&whole).map_or(invalid, Invalid::Encoding),
        })
    }

    fn of_utf8(text: Bytes) -> Result<Self, Invalid> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(Invalid::too_large(&text));
        }
        let str = std::str::from_utf8(&text).map_err(|error| Invalid::not_utf8(&text, error))?;
        check_depth(str)?;
        let (message_id, chat) = match Members::quick(str) {
            Some(members) => members.found()?,
            None => Members::thorough(str)?.found()?,
        };
        let raw = RawMessage(text.slice_ref(str.trim_matches(JSON_SPACE).as_bytes()));
        Ok(Self { message_id, chat, raw })
    }

    /// The producer's `message_id`, of a longer one the first [`MESSAGE_ID_BYTES_MAX`].
    #[must_use]
    pub fn message_id(&self) -> &Arc<str> {
        &self.message_id
    }

    /// The chat that the message belongs to, the unit of order; `of` tells a message that names none from
    /// all others.
    #[must_use]
    pub fn chat(&self, of: impl Hash) -> Chat {
        self.chat.unwrap_or_else(|| Chat::alone(of))
    }

    /// The producer's text.
    #[must_use]
    pub fn raw(&self) -> &RawMessage {
        &self.raw
    }
}

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

/// Counts brackets outside strings. Runs before any parser, so that none can be made to recurse.
fn check_depth(text: &str) -> Result<(), Invalid> {
    // Nearly all messages have fewer brackets than levels are allowed, and counting is much cheaper.
    // So many bytes at a time that a byte can count them: that is done for many bytes in one instruction.
    let brackets = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(matches!(byte, b'{' | b'['))).sum::<u8>();
    let chunks = text.as_bytes().chunks(usize::from(u8::MAX));
    if chunks.map(|chunk| usize::from(brackets(chunk))).sum::<usize>() <= MESSAGE_DEPTH_MAX {
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

#[cfg(test)]
mod tests;
