//! An entry of someone else's stream as one of ours: its fields by our names, and its message taken out of what it is wrapped in.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::config::{JsonPointer, SourceForm};
use crate::journal::port::RawEntry;
use crate::journal::redis::source::{Judged, ORIGIN, too_many_fields};
use crate::journal::rejected::{ambiguous, missing, too_large, workspace_in};
use crate::message::{HALF_OF_A_CHARACTER, Message, bare, foreign, is_blank, member};

/// What an entry of so many bytes is. It is judged as a whole here, while it has its own fields: what is set aside keeps them,
/// so that another form can be tried on it, and reasons name them.
pub(in crate::journal::redis) fn judged(form: &SourceForm, entry: &RawEntry, bytes: usize) -> Judged {
    let (id, workspace) = (entry.id, workspace_in(entry, &form.workspace));
    let wrong = too_large(bytes)
        .or_else(|| ambiguous(entry, [&form.workspace, &form.message]))
        .or_else(|| too_many_fields(entry))
        .or(workspace.as_ref().err().cloned());
    let ours = wrong.map_or_else(|| as_ours(form, entry), Err).map_err(|wrong| (wrong, entry.clone()));
    Judged { id, bytes, workspace: workspace.ok(), ours }
}

/// The fields by our names, with the message unwrapped. Further fields are passed on, unless they have our names.
fn as_ours(form: &SourceForm, entry: &RawEntry) -> Result<Vec<(Bytes, Bytes)>, String> {
    let wrapped = entry.field(&form.message).ok_or_else(|| missing(&form.message))?;
    let message = match &form.pointer {
        None => wrapped.clone(),
        Some(pointer) => unwrapped(wrapped, pointer)
            .ok_or_else(|| format!("the field `{}` {}", form.message, why_not_unwrapped(wrapped, pointer)))?,
    };
    Message::parse(message.clone()).map_err(|error| error.to_string())?;
    let mut fields = Vec::with_capacity(entry.fields.len() + 1);
    for (name, value) in &entry.fields {
        if *name == form.workspace.as_bytes() {
            fields.push((Bytes::from_static(b"workspace"), value.clone()));
        } else if *name == form.message.as_bytes() {
            fields.push((Bytes::from_static(b"message"), message.clone()));
        } else if ![&b"workspace"[..], b"message", ORIGIN].contains(&name.as_ref()) {
            fields.push((name.clone(), value.clone()));
        }
    }
    Ok(fields)
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
            let wrong = as_ours(&form, &RawEntry { id: EntryId::ZERO, fields }).unwrap_err();
            assert!(wrong.contains(said), "{wrong}");
        }
    }

    #[test]
    fn fields_get_our_names_and_others_are_passed_on() {
        let form = SourceForm { workspace: "ws".into(), message: "payload".into(), pointer: None };
        let field = |name: &str, value: &str| (Bytes::from(name.to_owned()), Bytes::from(value.to_owned()));
        let message = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;
        let fields = vec![
            field("ws", "acme"),
            field("workspace", "other"),
            field("payload", message),
            field("x", "1"),
            field("origin", "o/1-0"),
        ];
        let ours = as_ours(&form, &RawEntry { id: EntryId::ZERO, fields });
        assert_eq!(ours, Ok(vec![field("workspace", "acme"), field("message", message), field("x", "1")]));
    }

    #[test]
    fn reasons_name_the_fields_as_they_are_called_there() {
        let form = SourceForm { workspace: "ws".into(), message: "payload".into(), pointer: None };
        let why = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into()));
            let entry = RawEntry { id: EntryId::ZERO, fields: fields.collect() };
            let judged = judged(&form, &entry, entry.bytes());
            let (wrong, kept) = judged.ours.unwrap_err();
            assert_eq!(kept, entry, "it is kept as it came");
            wrong
        };
        assert!(why(&[("ws", "acme"), ("message", "{}")]).starts_with("the entry has no field `payload`"));
        assert!(why(&[("workspace", "acme"), ("payload", "{}")]).starts_with("the entry has no field `ws`"));
        assert!(
            why(&[("ws", "a b"), ("payload", "{}")]).starts_with("the field `ws` is not valid: a workspace id has")
        );
        assert!(
            why(&[("ws", "a"), ("payload", "{}"), ("payload", "{}")]).starts_with("the field `payload` stands twice")
        );
        assert!(why(&[("ws", "a"), ("payload", "{}")]).contains("`direction`"));
    }
}
