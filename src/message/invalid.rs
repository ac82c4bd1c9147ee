//! Why an entry is no valid message.

use serde::de::IgnoredAny;

use super::encoding::{HALF_OF_A_CHARACTER, JSON_SPACE, OtherEncoding, mend};

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
    #[error("the message is not UTF-8 (its byte {byte} is none): {mend}")]
    NotUtf8 {
        /// Which byte, the first being 1.
        byte: usize,
        /// What helps.
        mend: &'static str,
    },
    /// Nothing but blanks.
    #[error("the message is empty: send a JSON object, such as {{\"direction\":…}}")]
    Empty,
    /// Not JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// A character stands between the values that only texts may hold. Many of these are seen by nobody.
    #[error("the message is not JSON: U+{:04X} stands there as its byte {byte}, outside of all texts; take it out", u32::from(*character))]
    OutOfPlace {
        /// The character.
        character: char,
        /// Its first byte, the first of the message being 1.
        byte: usize,
    },
    /// Another one stands behind it.
    #[error(
        "the message is followed by another one: send one a line (over HTTP as `application/x-ndjson`), as {} writes them",
        if *after_cr { "`tr '\\r' '\\n'`" } else { "`jq -c .`" }
    )]
    Several {
        /// Between them stands what older systems end lines with.
        after_cr: bool,
    },
    /// A list of messages, or a line of one.
    #[error(
        "the message is a list, or a line of one: send its objects one a line (over HTTP as `application/x-ndjson`), as \
         `jq -c '.[]'` writes them"
    )]
    List,
    /// A string of JSON whose text is an object.
    #[error("the message is a string that holds JSON: encode it once and not twice")]
    EncodedTwice,
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
    pub(super) fn not_utf8(text: &[u8], error: std::str::Utf8Error) -> Self {
        Self::NotUtf8 { byte: error.valid_up_to() + 1, mend: mend(text, error) }
    }

    /// Of a text over [`MESSAGE_BYTES_MAX`]: many messages in one are more often the reason than a large one.
    pub(super) fn too_large(text: &[u8]) -> Self {
        if text.trim_ascii_start().starts_with(b"[") {
            Self::List
        } else if text.windows(3).any(|bytes| bytes == b"}\r{") {
            Self::Several { after_cr: true }
        } else {
            Self::TooLarge { bytes: text.len() }
        }
    }

    /// Of a text that does not begin as an object.
    pub(super) fn no_object(text: &str) -> Self {
        if text.trim_start_matches(JSON_SPACE).starts_with('[') {
            return Self::List;
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            return Self::not_json(text, error);
        }
        match serde_json::from_str::<String>(text) {
            Ok(inner) if inner.trim_start().starts_with('{') => Self::EncodedTwice,
            _ => Self::NotAnObject,
        }
    }

    /// Of a text that is not JSON for `error`.
    pub(super) fn not_json(text: &str, error: serde_json::Error) -> Self {
        if text.trim_matches(JSON_SPACE).is_empty() {
            return Self::Empty;
        }
        let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let at = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
        let Some((before, rest)) = text.split_at_checked(at) else { return Self::NotJson(error) };
        let is_whole = || serde_json::from_str::<IgnoredAny>(before).is_ok();
        // Within a text the parser's own words are right.
        let is_in_text = || before.replace(r"\\", "").replace(r#"\""#, "").matches('"').count() % 2 == 1;
        match rest.chars().next() {
            Some('{' | '[' | '\u{1e}') if is_whole() => Self::Several { after_cr: before.ends_with('\r') },
            Some(',') if is_whole() => Self::List,
            Some(character) if !matches!(character, ' '..='~') && !JSON_SPACE.contains(&character) && !is_in_text() => {
                Self::OutOfPlace { character, byte: at + 1 }
            }
            _ => Self::NotJson(error),
        }
    }

    /// Whether the text ends in the middle of a value, as the first line of one that is written on several.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::NotJson(error) if error.is_eof())
    }
}

#[cfg(test)]
mod tests {
    use crate::message::Message;

    #[test]
    fn what_other_programs_write_is_named_with_what_mends_it() {
        let message = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;
        for (text, said) in [
            (String::new(), "the message is empty"),
            (" \r\n".to_owned(), "the message is empty"),
            ("\u{feff}\u{1a}".to_owned(), "the message is empty"),
            (format!("\u{200b}{message}"), "U+200B stands there as its byte 1,"),
            (format!(" \u{a0}{message}"), "U+00A0 stands there as its byte 2,"),
            (format!("{message}\u{2028}"), &format!("U+2028 stands there as its byte {},", message.len() + 1)),
            (format!("{message}\0\0"), "U+0000 stands there"),
            (message.replacen(':', ":\u{a0}", 1), "U+00A0 stands there as its byte 14,"),
            (message.replacen('"', "\u{201c}", 1), "U+201C stands there as its byte 2,"),
            (message.replacen(',', "\n\u{3000},", 1), "U+3000 stands there as its byte 21,"),
            ("\u{1a}".to_owned() + message, "U+001A stands there as its byte 1,"),
            (format!("{message}\r{message}"), r"`tr '\r' '\n'`"),
            (format!("{message}\r{message}").repeat(4_000), r"`tr '\r' '\n'`"),
            (format!("{message} {message}"), "followed by another one: send one a line"),
            (format!("{message}\n{message}\n"), "`application/x-ndjson`), as `jq -c .` writes them"),
            (format!("{message}\u{1e}{message}"), "followed by another one"),
            (format!("[{message},{message}]"), "`jq -c '.[]'`"),
            (format!(" [{message}").repeat(4_000), "`jq -c '.[]'`"),
            ("[".to_owned(), "`jq -c '.[]'`"),
            (format!("{message},"), "`jq -c '.[]'`"),
            (serde_json::to_string(message).unwrap(), "encode it once"),
            ("\"text\"".to_owned(), "is JSON but not an object"),
            ("{\"a\":\"\t\"}".to_owned(), "control character"),
            ("{'direction':'sent'}".to_owned(), "key must be a string"),
            ("{".to_owned(), "EOF while parsing"),
            (message.replace("sent", "sent\\x"), "invalid escape"),
        ] {
            let reason = Message::parse(text.clone().into()).unwrap_err().to_string();
            assert!(reason.contains(said), "{}: {reason}", &text[..text.len().min(200)]);
        }
        for around in ["\u{1e}", "\u{feff}\u{1e}"] {
            let framed = Message::parse(format!("{around}{message}\r\n\u{1a}").into()).unwrap();
            assert_eq!(framed.raw().bytes(), message);
        }
    }
}
