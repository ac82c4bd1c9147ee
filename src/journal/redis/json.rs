//! What is stored as JSON and is none of the codec's forms.

use serde::Serialize;

#[expect(clippy::expect_used, reason = "what is stored so has only members that JSON can hold")]
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value is written as JSON")
}
