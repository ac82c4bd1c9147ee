//! Text that only its owner and the endpoint may see: a signing secret, the value of a custom header.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Text that is never printed by `Debug` and has no `Display`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidential(Arc<str>);

impl Confidential {
    /// The text, to be signed with, to be sent, or to be shown to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Confidential {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Confidential {
    fn from(text: String) -> Self {
        Self(text.into())
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
    }
}
