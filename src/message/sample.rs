//! A made-up message, for a workspace that has none to test with.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::id::EntryId;

/// What the `message_id` of a sample begins with.
const SAMPLE_PREFIX: &str = "sample-";
/// Numbers that nobody has: Ofcom keeps +44 7700 900000 to 900999 for fiction.
const ACCOUNT: &str = "+447700900001";
const CONTACT: &str = "+447700900002";

/// A sample: every member that a received text has, marked in its id and in its text. `id` tells it from other samples,
/// `at` is in seconds since the Unix epoch.
#[must_use]
pub fn sample(id: EntryId, at: i64) -> Bytes {
    let at = Timestamp::from_second(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S+0000").to_string();
    let account = json!({"full name": "Sample Account", "phone": ACCOUNT});
    let contact = json!({"full name": "Sample Contact", "phone": CONTACT});
    let message = json!({
        "whatsapp account": {"full name": "Sample Account", "email": "sample@example.com", "phone": ACCOUNT},
        "contact": {"full name": "Sample Contact", "is_group": false, "phone": CONTACT},
        "direction": "received",
        "timestamp": at,
        "message_id": format!("{SAMPLE_PREFIX}{id}"),
        "sender": contact,
        "receiver": account,
        "text": "This is a sample, made up by outbound. Nobody wrote it.",
    });
    message.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[test]
    fn a_sample_is_a_valid_message_that_is_marked() {
        let text = sample(EntryId { ms: 5, n: 0 }, 1_614_147_929);
        let message = Message::parse(text.clone()).unwrap();
        assert_eq!(&**message.message_id(), "sample-5-0");
        assert_eq!(message.raw().bytes(), &text, "it is written as it is sent");
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (&json["timestamp"], &json["contact"]["phone"]),
            (&json!("2021-02-24T06:25:29+0000"), &json!(CONTACT))
        );
    }
}
