//! Text that only its owner and the endpoint may see: a signing secret, the value of a custom header.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Text that is never printed by `Debug` and has no `Display`. Cheap to clone.
///
/// Between the journal and whoever uses the text it may be sealed ([`crate::seal`]); then it cannot be
/// read here. Nothing is decided with a sealed one: it is opened when a workspace is loaded or shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidential(Form);

/// As it is stored: a string, or an object with the one member `sealed`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Open(Arc<str>),
    Sealed { sealed: Arc<str> },
}

impl Confidential {
    /// The text, to be signed with, to be sent, or to be shown to its owner. Of a sealed one: nothing.
    #[must_use]
    pub fn expose(&self) -> &str {
        match &self.0 {
            Form::Open(text) => text,
            Form::Sealed { .. } => "",
        }
    }

    /// The sealed form, which shows nothing of the text; none when it is open.
    #[must_use]
    pub fn sealed(&self) -> Option<&str> {
        match &self.0 {
            Form::Open(_) => None,
            Form::Sealed { sealed } => Some(sealed),
        }
    }

    /// One that was sealed.
    #[must_use]
    pub fn from_sealed(sealed: String) -> Self {
        Self(Form::Sealed { sealed: sealed.into() })
    }
}

impl From<&str> for Confidential {
    fn from(text: &str) -> Self {
        Self(Form::Open(text.into()))
    }
}

impl From<String> for Confidential {
    fn from(text: String) -> Self {
        Self(Form::Open(text.into()))
    }
}

impl fmt::Debug for Confidential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confidential(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_text() {
        assert_eq!(format!("{:?}", Confidential::from("whsec_first")), "Confidential(…)");
        assert_eq!(format!("{:?}", Confidential::from_sealed("AQJr".to_owned())), "Confidential(…)");
    }

    #[test]
    fn open_is_a_string_and_sealed_an_object_whatever_the_text_is() {
        for (value, json) in [
            (Confidential::from("whsec_first"), r#""whsec_first""#),
            (Confidential::from(r#"{"sealed":"AQJr"}"#), r#""{\"sealed\":\"AQJr\"}""#),
            (Confidential::from_sealed("AQJr".to_owned()), r#"{"sealed":"AQJr"}"#),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<Confidential>(json).unwrap(), value);
        }
    }

    #[test]
    fn a_sealed_text_is_not_exposed() {
        let sealed = Confidential::from_sealed("AQJr".to_owned());
        assert_eq!((sealed.expose(), sealed.sealed()), ("", Some("AQJr")));
    }
}
