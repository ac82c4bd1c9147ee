//! Streams of other people whose entries are handed over to the shards.

use std::str::FromStr;

/// How entries of sources are read. The same for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceForm {
    /// The field that names the workspace.
    pub workspace: String,
    /// The field that holds the message.
    pub message: String,
    /// Where in that field's JSON the message stands; `None`: it is the message.
    pub pointer: Option<JsonPointer>,
}

impl Default for SourceForm {
    fn default() -> Self {
        Self { workspace: "workspace".to_owned(), message: "message".to_owned(), pointer: None }
    }
}

/// The names of an entry's fields, as a flag says them: `workspace=ws,message=payload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFields {
    /// The field that names the workspace.
    pub workspace: String,
    /// The field that holds the message.
    pub message: String,
}

/// The text names no fields.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} names no fields: write workspace=NAME,message=NAME, or one of the two")]
pub struct InvalidSourceFields(String);

impl FromStr for SourceFields {
    type Err = InvalidSourceFields;

    fn from_str(text: &str) -> Result<Self, InvalidSourceFields> {
        let invalid = || InvalidSourceFields(text.to_owned());
        let (mut workspace, mut message) = (None, None);
        for part in text.split(',') {
            let (ours, theirs) = part.split_once('=').ok_or_else(invalid)?;
            let place = match ours.trim() {
                "workspace" => &mut workspace,
                "message" => &mut message,
                _ => return Err(invalid()),
            };
            if theirs.trim().is_empty() || place.replace(theirs.trim().to_owned()).is_some() {
                return Err(invalid());
            }
        }
        let form = SourceForm::default();
        let named = Self { workspace: workspace.unwrap_or(form.workspace), message: message.unwrap_or(form.message) };
        if named.workspace == named.message { Err(invalid()) } else { Ok(named) }
    }
}

/// A place in a JSON value (RFC 6901): `/data/message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPointer(String);

/// The text is no JSON pointer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is no JSON pointer: write each step behind a slash, such as /data/message (~1 for a slash, ~0 for a tilde)"
)]
pub struct InvalidJsonPointer(String);

impl JsonPointer {
    /// The pointer as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its steps, outermost first.
    pub fn steps(&self) -> impl Iterator<Item = String> {
        self.0.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
    }
}

impl FromStr for JsonPointer {
    type Err = InvalidJsonPointer;

    fn from_str(text: &str) -> Result<Self, InvalidJsonPointer> {
        let is_escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && is_escaped {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidJsonPointer(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_once_each() {
        let named = |workspace: &str, message: &str| {
            Ok(SourceFields { workspace: workspace.to_owned(), message: message.to_owned() })
        };
        assert_eq!("workspace=ws,message=payload".parse(), named("ws", "payload"));
        assert_eq!("message=payload".parse(), named("workspace", "payload"));
        assert_eq!(" workspace = tenant ".parse(), named("tenant", "message"));
        for text in [
            "",
            "ws",
            "workspace=",
            "workspace=a,workspace=b",
            "tenant=a",
            "workspace=a,message=a",
            "message=workspace",
        ] {
            assert!(text.parse::<SourceFields>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pointer_begins_with_a_slash_and_escapes_two_characters() {
        let steps = |text: &str| text.parse::<JsonPointer>().map(|pointer| pointer.steps().collect::<Vec<_>>());
        assert_eq!(steps("/data/message").unwrap(), ["data", "message"]);
        assert_eq!(steps("/a~1b/~01/0/").unwrap(), ["a/b", "~1", "0", ""]);
        for text in ["", "data", "/a~2", "/a~", "#/data"] {
            assert!(steps(text).is_err(), "{text}");
        }
    }
}
