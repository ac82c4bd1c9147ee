//! A form that was sent without a session: it is kept until its sender has signed in, and done then.

use crate::config::{SIGN_IN_READ_TIMEOUT, UNSENT_FORM_BODY_MAX};
use crate::http::body::BodyBound;

/// What is told of a form that was sent without a session.
pub(super) const NOT_SAVED: &str =
    "Nothing was saved: there is no session any more. Sign in, and what you typed is saved.";

/// The bound of a form that is kept.
pub(super) const UNSENT_FORM: BodyBound = BodyBound { bytes: UNSENT_FORM_BODY_MAX, within: SIGN_IN_READ_TIMEOUT };

/// What is done with a kept form after the sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterSignIn {
    Save,
    SaveAndTest,
}

impl AfterSignIn {
    /// What a form that was sent there wanted.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.rsplit('/').next()? {
            "save" => Some(Self::Save),
            "test" => Some(Self::SaveAndTest),
            _ => None,
        }
    }

    /// The last part of the path that does it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::SaveAndTest => "test",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forms_that_save_are_kept() {
        let then = |last: &str| AfterSignIn::of(&format!("/workspaces/acme/outbound/{last}"));
        assert_eq!((then("save"), then("test")), (Some(AfterSignIn::Save), Some(AfterSignIn::SaveAndTest)));
        for other in ["rotate", "try", "sample", "again/7", "session/end"] {
            assert_eq!(then(other), None, "{other}");
        }
        assert_eq!(
            [AfterSignIn::Save, AfterSignIn::SaveAndTest].map(|then| AfterSignIn::of(then.word())),
            [Some(AfterSignIn::Save), Some(AfterSignIn::SaveAndTest)]
        );
    }
}
