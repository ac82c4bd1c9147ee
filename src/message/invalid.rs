//! Why an entry is no valid message.

use super::encoding::{HALF_OF_A_CHARACTER, OtherEncoding};

/// The largest message in bytes ([contract, section 1](crate::docs::contract#1-the-message-in)).
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// The deepest nesting of a message, itself included
/// ([contract, section 1](crate::docs::contract#1-the-message-in)). Common parsers cope with it;
/// serde_json's `Value` stops a level earlier, so a message is read as `RawValue` wherever it passes.
pub const MESSAGE_DEPTH_MAX: usize = 128;

/// Why an entry is no valid message. Each sentence stands in `_reason` of the rejected entry.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// Over [`MESSAGE_BYTES_MAX`].
    #[error("the message has {bytes} bytes; at most {MESSAGE_BYTES_MAX} are taken: send a link instead of the content")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Another encoding of text, or no text.
    #[error("the message is {0}")]
    Encoding(OtherEncoding),
    /// Not UTF-8.
    #[error(
        "the message is not UTF-8 (its byte {} is none): encode it as UTF-8, from Windows-1252 with \
         `iconv -f WINDOWS-1252 -t UTF-8`",
        .0.valid_up_to() + 1
    )]
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
    /// A member that is looked at stands twice, so it has no one value.
    #[error("`{member}` stands twice in the message: send it once")]
    Twice {
        /// The member's name.
        member: &'static str,
    },
    /// A checked member is absent, empty or of the wrong kind.
    #[error("`{member}` must be {rule}")]
    Rule {
        /// The member's name.
        member: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// The body of a POST instead of the message in it.
    #[error("the message stands in a wrapper: send what is in `message` itself")]
    Wrapped,
    /// A checked member is a string that no text can be.
    #[error(
        "`{member}` holds {HALF_OF_A_CHARACTER}: the producer cut a text inside a character, often an emoji; cut \
         between characters"
    )]
    LoneSurrogate {
        /// The member's name.
        member: &'static str,
    },
}

impl Invalid {
    /// Whether the text ends in the middle of a value, as the first line of one that is written on several.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::NotJson(error) if error.is_eof())
    }
}
