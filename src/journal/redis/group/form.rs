//! An entry of someone else's stream as one of ours: its fields by our names, and its message taken out of what it is wrapped in.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::config::{JsonPointer, SourceForm};
use crate::journal::port::RawEntry;
use crate::message::{HALF_OF_A_CHARACTER, bare, foreign, is_blank, member};

/// The entry with its fields named as ours and its message unwrapped, and why that is not possible. Further fields
/// are passed on, unless they have our names.
pub(super) fn as_ours(form: &SourceForm, entry: &RawEntry) -> (RawEntry, Option<String>) {
    let mut wrong = None;
    let mut fields = Vec::with_capacity(entry.fields.len() + 1);
    for (name, value) in &entry.fields {
        if *name == form.workspace.as_bytes() {
            fields.push((Bytes::from_static(b"workspace"), value.clone()));
        } else if *name == form.message.as_bytes() {
            let message = form.pointer.as_ref().map(|pointer| (pointer, unwrapped(value, pointer)));
            let message = match message {
                None => value.clone(),
                Some((_, Some(message))) => message,
                Some((pointer, None)) => {
                    wrong = Some(format!("the field `{}` {}", form.message, why_not_unwrapped(value, pointer)));
                    value.clone()
                }
            };
            fields.push((Bytes::from_static(b"message"), message));
        } else if ![&b"workspace"[..], b"message", b"origin"].contains(&name.as_ref()) {
            fields.push((name.clone(), value.clone()));
        }
    }
    (RawEntry { id: entry.id, fields }, wrong)
}

/// Why nothing can be taken out of it, as the end of a sentence.
fn why_not_unwrapped(json: &[u8], pointer: &JsonPointer) -> String {
    if let Some(other) = foreign(json) {
        format!("is {other}")
    } else if is_blank(json) {
        "is empty".to_owned()
    } else if let Err(error) = serde_json::from_slice::<&RawValue>(bare(json)) {
        format!("is not JSON: {error}")
    } else if found(json, pointer).is_some() {
        format!("has a string at {} that holds {HALF_OF_A_CHARACTER}: cut texts between characters", pointer.as_str())
    } else {
        format!("has nothing at {}", pointer.as_str())
    }
}

/// What stands at the pointer, byte for byte; of a string what it holds.
fn unwrapped(json: &[u8], pointer: &JsonPointer) -> Option<Bytes> {
    let value = found(json, pointer)?;
    if value.get().starts_with('"') {
        return serde_json::from_str::<String>(value.get()).ok().map(Bytes::from);
    }
    Some(Bytes::copy_from_slice(value.get().as_bytes()))
}

/// What stands at the pointer, as it is written.
fn found<'a>(json: &'a [u8], pointer: &JsonPointer) -> Option<&'a RawValue> {
    let mut value: &RawValue = serde_json::from_slice(bare(json)).ok()?;
    for step in pointer.steps() {
        value = match value.get().as_bytes().first()? {
            b'{' => member(value.get().as_bytes(), &step)?,
            b'[' => {
                let items = serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?;
                *items.get(index(&step)?)?
            }
            _ => return None,
        };
    }
    Some(value)
}

/// A place in a list, as a pointer writes it: digits, without leading zeros.
fn index(step: &str) -> Option<usize> {
    let is_plain = step == "0" || step.starts_with(|first: char| first.is_ascii_digit() && first != '0');
    is_plain.then(|| step.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EntryId;

    #[test]
    fn a_wrapped_message_is_found_and_left_byte_for_byte() {
        let at = |json: &str, pointer: &str| {
            let found = unwrapped(&Bytes::from(json.to_owned()), &pointer.parse().unwrap());
            found.map(|found| String::from_utf8(found.to_vec()).unwrap())
        };
        let wrapped = r#"{"v":1, "data" : {"message": {"price":1.50, "x":"caf\u00e9"} ,"n":[0,{"a/b":2}]}}"#;
        assert_eq!(at(wrapped, "/data/message").as_deref(), Some(r#"{"price":1.50, "x":"caf\u00e9"}"#));
        assert_eq!(at(wrapped, "/data/n/1/a~1b").as_deref(), Some("2"));
        assert_eq!(at(r#"{"caf\u00e9":{"k":1}}"#, "/café/k").as_deref(), Some("1"));
        let text = r#"{"data":"{\"text\":\"caf\\u00e9\"}","n":["x"]}"#;
        assert_eq!(at(text, "/data").as_deref(), Some(r#"{"text":"caf\u00e9"}"#), "a string that holds it");
        assert_eq!(at("\u{feff}{\"a\":{}}", "/a").as_deref(), Some("{}"), "behind a byte order mark");
        let half = r#"{"\ud83d":0,"data":{"\ude00":"\ud83d"}}"#;
        assert_eq!(at(half, "/data").as_deref(), Some(r#"{"\ude00":"\ud83d"}"#), "half of a character beside it");
        for (json, pointer) in [
            ("{}", "/data"),
            ("[1]", "/1"),
            ("[1]", "/x"),
            ("[1]", "/+0"),
            ("[1]", "/00"),
            ("1", "/a"),
            ("not JSON", "/a"),
            ("", "/a"),
        ] {
            assert_eq!(at(json, pointer), None, "{json} {pointer}");
        }
    }

    #[test]
    fn what_holds_no_message_is_told_by_what_it_is() {
        let form =
            SourceForm { workspace: "ws".into(), message: "payload".into(), pointer: Some("/data".parse().unwrap()) };
        for (payload, said) in [
            (&b"\xff\xfe{\0}\0"[..], "the field `payload` is UTF-16: convert it"),
            (b"\x1f\x8b\x08", "the field `payload` is packed with gzip"),
            (b"{\"data\":\"caf\xe9\"}", "is not UTF-8 (its byte 13 is none): encode it as UTF-8, from Windows-1252"),
            (br#"{"data":"a\ud83d"}"#, "the field `payload` has a string at /data that holds half of a character"),
            (br#"{"data":"#, "the field `payload` is not JSON: EOF"),
            (b" ", "the field `payload` is empty"),
            (br#"{"date":{}}"#, "the field `payload` has nothing at /data"),
        ] {
            let fields = vec![("ws".into(), "acme".into()), ("payload".into(), Bytes::copy_from_slice(payload))];
            let wrong = as_ours(&form, &RawEntry { id: EntryId::ZERO, fields }).1.unwrap();
            assert!(wrong.contains(said), "{wrong}");
        }
    }

    #[test]
    fn fields_get_our_names_and_others_are_passed_on() {
        let form = SourceForm { workspace: "ws".into(), message: "payload".into(), pointer: None };
        let field = |name: &str, value: &str| (Bytes::from(name.to_owned()), Bytes::from(value.to_owned()));
        let fields = vec![
            field("ws", "acme"),
            field("workspace", "other"),
            field("payload", "{}"),
            field("x", "1"),
            field("origin", "o/1-0"),
        ];
        let (ours, wrong) = as_ours(&form, &RawEntry { id: EntryId::ZERO, fields });
        assert_eq!(
            (ours.fields, wrong),
            (vec![field("workspace", "acme"), field("message", "{}"), field("x", "1")], None)
        );
    }
}
