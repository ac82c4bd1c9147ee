//! What is kept of an entry that is no valid message
//! ([contract, section 1](crate::docs::contract#1-the-message-in)), and how it becomes one again.

use std::borrow::Cow;

use bytes::Bytes;

use super::port::RawEntry;
use crate::message::{Message, WorkspaceId};
use crate::workspace::time::Time;

/// Bytes of an entry's names and values in all; a larger one is set aside whatever it holds.
pub const ENTRY_BYTES_MAX: usize = 512 * 1024;
/// A longer value is cut …
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// … to this.
pub const VALUE_BYTES_RETAINED: usize = 64 * 1024;
/// Fields kept in all, with ours.
pub const FIELDS_MAX: usize = 16;
/// Bytes of names and values kept in all, with ours.
pub const BYTES_MAX: usize = 512 * 1024;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 1024;
/// `_id`, `_reason`, `_at`, `_workspace`, `_bytes`.
const OWN_FIELDS: usize = 5;
/// What our own fields take at most: names, an id, a reason, a time, a workspace's id, a number.
const OWN_BYTES: usize = REASON_BYTES_MAX + 512;

/// The fields to keep of `entry`: its own, cut to the bounds, then `_id`, `_reason` and `_at`, and
/// when anything was cut `_bytes`, how many bytes it had.
#[must_use]
pub fn rejected_fields(entry: &RawEntry, reason: &str, at: Time) -> Vec<(Bytes, Bytes)> {
    rejected_fields_of(entry, entry.bytes(), reason, at, None)
}

/// The same for an entry that had `bytes`, of which the journal did not read all. Where its workspace is known, given or by what was
/// read whole, and what is kept does not name it, `_workspace` does.
#[must_use]
pub fn rejected_fields_of(
    entry: &RawEntry,
    bytes: usize,
    reason: &str,
    at: Time,
    workspace: Option<&WorkspaceId>,
) -> Vec<(Bytes, Bytes)> {
    let mut left = BYTES_MAX - OWN_BYTES;
    let mut fields = Vec::with_capacity(FIELDS_MAX);
    for (name, value) in entry.fields.iter().take(FIELDS_MAX - OWN_FIELDS) {
        // A name that leaves no room for a value tells nothing.
        if name.len() > VALUE_BYTES_RETAINED || name.len() >= left {
            continue;
        }
        let kept = if value.len() > VALUE_BYTES_MAX { VALUE_BYTES_RETAINED } else { value.len() };
        let kept = kept.min(left - name.len());
        left -= name.len() + kept;
        // Copies: what is kept until it is stored would keep all in memory that was read with it.
        fields.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(&value[..kept])));
    }
    let kept = fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let is_named = fields.iter().any(|(name, _)| name == "workspace");
    let read = || workspace_in(entry, "workspace").ok().filter(|_| ambiguous(entry, ["workspace"; 2]).is_none());
    let workspace = workspace.cloned().or_else(|| if entry.bytes() == bytes { read() } else { None });
    let mut own = |name: &'static str, value: String| fields.push((Bytes::from_static(name.as_bytes()), value.into()));
    own("_id", entry.id.to_string());
    own("_reason", reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned());
    own("_at", at.to_string());
    if let Some(workspace) = workspace.filter(|_| !is_named || kept < bytes) {
        own("_workspace", workspace.to_string());
    }
    if kept < bytes {
        own("_bytes", bytes.to_string());
    }
    fields
}

/// Why an entry of so many bytes is not taken; nothing where it is.
#[must_use]
pub fn too_large(bytes: usize) -> Option<String> {
    let wrong = || {
        format!("the entry has {bytes} bytes; at most {ENTRY_BYTES_MAX} are taken: send a link instead of the content")
    };
    (bytes > ENTRY_BYTES_MAX).then(wrong)
}

/// Why it cannot be told what an entry holds; nothing where it can. One of two messages would be lost.
#[must_use]
pub fn ambiguous(entry: &RawEntry, names: [&str; 2]) -> Option<String> {
    let name = entry.twice(&names)?;
    Some(format!("the field `{name}` stands twice in the entry: append an entry for each message"))
}

/// What reasons of one kind have in common: what is wrong, without numbers and without what helps against it.
/// Nothing in it is of what a producer wrote.
#[must_use]
pub fn reason_kind(reason: &str) -> String {
    let wrong = reason.split([':', ';', '(']).next().unwrap_or_default().trim_end();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = wrong.split(' ').map(|word| if is_number(word) { "N" } else { word }).collect();
    words.join(" ")
}

/// A rejected entry, taken apart: what the producer wrote, and what was noted about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedEntry<'a> {
    /// The original fields, as far as they are kept.
    pub fields: &'a [(Bytes, Bytes)],
    /// Its id in the stream that it was read from.
    pub entry: Cow<'a, str>,
    /// Why it was set aside.
    pub reason: Cow<'a, str>,
    /// When.
    pub at: Cow<'a, str>,
    /// Its workspace, where it is known.
    pub workspace: Option<WorkspaceId>,
    /// Bytes of all its names and values before anything was cut.
    pub bytes: u64,
    /// Whether something was cut.
    pub cut: bool,
}

impl<'a> RetainedEntry<'a> {
    /// Takes apart what [`rejected_fields`] made. What is missing is shown as empty: somebody else may
    /// have written to the stream.
    #[must_use]
    pub fn of(entry: &'a RawEntry) -> Self {
        // The producer may have used our names too; ours stand at the end, and `_id` begins them.
        let own = entry.fields.iter().rposition(|(name, _)| name == "_id").unwrap_or(entry.fields.len());
        let (fields, own) = entry.fields.split_at(own);
        let noted = |wanted: &str| own.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
        let text = |name| noted(name).map_or(Cow::Borrowed(""), String::from_utf8_lossy);
        let size = text("_bytes").parse().ok();
        let kept = fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        // What was cut may be the beginning of another workspace's name.
        let theirs = || fields.iter().find(|(name, _)| size.is_none() && name == "workspace").map(|(_, value)| value);
        let named = noted("_workspace").or_else(|| theirs().map(AsRef::as_ref));
        let workspace = named.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
        Self {
            fields,
            workspace,
            entry: text("_id"),
            reason: text("_reason"),
            at: text("_at"),
            bytes: size.unwrap_or(kept as u64),
            cut: size.is_some(),
        }
    }
}

/// The workspace that an entry names in the field of that name.
///
/// # Errors
/// Why it names none, one sentence.
pub fn workspace_in(entry: &RawEntry, name: &str) -> Result<WorkspaceId, String> {
    let workspace = entry.field(name).ok_or_else(|| missing(name))?;
    let text = std::str::from_utf8(workspace).map_err(|_| format!("the field `{name}` is not UTF-8"))?;
    text.parse().map_err(|error| format!("the field `{name}` is not valid: {error}"))
}

/// Why an entry without this field is none.
#[must_use]
pub fn missing(name: &str) -> String {
    format!("the entry has no field `{name}`: publish it again with it")
}

/// To whom a rejected entry goes back, and the fields that it is appended with.
pub type RequeuedFields = (WorkspaceId, Vec<(Bytes, Bytes)>);

/// The workspace of a rejected entry that is valid after all, and the fields to append to its shard's
/// stream: the original ones, and an `origin` that names where it stood in `stream`, unless it came
/// from a source and has one. So however often it is appended, it has one `webhook-id`.
///
/// # Errors
/// Why it is still not valid, one sentence. The shard that it stood in is no reason.
pub fn requeued(entry: &RawEntry, stream: &str) -> Result<RequeuedFields, String> {
    let original = whole(entry)?;
    if let Some(reason) = ambiguous(&original, ["workspace", "message"]) {
        return Err(reason);
    }
    let workspace = workspace_in(&original, "workspace")?;
    let message = original.field("message").ok_or_else(|| missing("message"))?;
    Message::parse(message.clone()).map_err(|error| error.to_string())?;
    let has_origin = original.field("origin").is_some();
    let (id, mut fields) = (RetainedEntry::of(entry).entry, original.fields);
    if !has_origin && !id.is_empty() {
        fields.push((Bytes::from_static(b"origin"), format!("{stream}/{id}").into()));
    }
    Ok((workspace, fields))
}

/// A rejected entry as it came.
///
/// # Errors
/// It was cut.
pub fn whole(entry: &RawEntry) -> Result<RawEntry, String> {
    let kept = RetainedEntry::of(entry);
    if kept.cut {
        // A workspace's name that was cut may be another workspace's name.
        return Err(format!("it had {} bytes and was cut when it was set aside: publish it again, whole", kept.bytes));
    }
    Ok(RawEntry { id: entry.id, fields: kept.fields.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EntryId;

    fn entry(fields: Vec<(Bytes, Bytes)>) -> RawEntry {
        RawEntry { id: EntryId { ms: 5, n: 1 }, fields }
    }

    fn bytes(fields: &[(Bytes, Bytes)]) -> usize {
        fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn names(fields: &[(Bytes, Bytes)]) -> Vec<&str> {
        fields.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn reasons_of_one_kind_are_told_by_what_is_wrong() {
        for (reason, kind) in [
            ("`timestamp` must be a non-empty string", "`timestamp` must be a non-empty string"),
            ("the message has 300000 bytes; at most 262144 are taken: send a link", "the message has N bytes"),
            ("the message is not JSON: expected value at line 1 column 1", "the message is not JSON"),
            ("the message is not UTF-8 (its byte 7 is none): encode it", "the message is not UTF-8"),
            ("", ""),
        ] {
            assert_eq!(reason_kind(reason), kind);
        }
    }

    #[test]
    fn a_small_entry_is_kept_whole_with_id_reason_and_time() {
        let kept = rejected_fields(&entry(vec![("workspace".into(), "acme".into())]), "no message", Time::default());
        assert_eq!(names(&kept), ["workspace", "_id", "_reason", "_at"]);
        assert_eq!(kept[1].1, "5-1");
        assert_eq!(kept[2].1, "no message");
        assert_eq!(kept[3].1, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_workspace_that_the_producer_calls_otherwise_is_noted() {
        let read = entry(vec![("ws".into(), "acme".into()), ("_workspace".into(), "theirs".into())]);
        let kept = rejected_fields_of(&read, read.bytes(), "no message", Time::default(), "acme".parse().ok().as_ref());
        assert_eq!(names(&kept), ["ws", "_workspace", "_id", "_reason", "_at", "_workspace"]);
        let kept = entry(kept);
        let retained = RetainedEntry::of(&kept);
        assert_eq!((retained.workspace, retained.fields), ("acme".parse().ok(), &read.fields[..]));
    }

    #[test]
    fn a_value_over_the_limit_keeps_its_first_64_kib_and_its_length_is_told() {
        let whole =
            rejected_fields(&entry(vec![("m".into(), vec![b'x'; VALUE_BYTES_MAX].into())]), "", Time::default());
        assert_eq!(whole[0].1.len(), VALUE_BYTES_MAX);
        let kept =
            rejected_fields(&entry(vec![("m".into(), vec![b'x'; VALUE_BYTES_MAX + 1].into())]), "", Time::default());
        assert_eq!(kept[0].1.len(), VALUE_BYTES_RETAINED);
        assert_eq!(*kept.last().unwrap(), ("_bytes".into(), (VALUE_BYTES_MAX + 2).to_string().into()));
    }

    #[test]
    fn whose_it_is_is_known_of_what_is_cut_here_and_not_of_what_came_cut() {
        let large = |name: &str| ("message".into(), vec![b'x'; name.len() + VALUE_BYTES_MAX].into());
        let of = |names: &[&str], more| {
            let named = names.iter().map(|name| ("workspace".into(), Bytes::from((*name).to_owned())));
            let read = entry(named.chain([large("acme")]).collect());
            let kept = rejected_fields_of(&read, read.bytes() + more, "too large", Time::default(), None);
            RetainedEntry::of(&entry(kept)).workspace
        };
        assert_eq!(of(&["acme"], 0), "acme".parse().ok());
        assert_eq!(of(&["acme"], 1), None, "it may be the beginning of another one");
        assert_eq!(of(&["acme", "other"], 0), None);
        assert_eq!(of(&["no name"], 0), None);
    }

    #[test]
    fn whatever_comes_at_most_16_fields_and_512_kib_are_kept() {
        let many = (0..100).map(|n| (format!("f{n}").into(), vec![b'x'; 100 * 1024].into())).collect();
        let kept = rejected_fields(&entry(many), &"é".repeat(4096), Time::default());
        assert!(kept.len() <= FIELDS_MAX && bytes(&kept) <= BYTES_MAX);
        assert_eq!(names(&kept)[0], "f0");
        let names_alone = (0..12).map(|_| (vec![b'n'; VALUE_BYTES_RETAINED].into(), Bytes::new())).collect();
        assert!(bytes(&rejected_fields(&entry(names_alone), "", Time::default())) <= BYTES_MAX);
    }
    const MESSAGE: &str = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;

    fn retained(fields: &[(&str, &str)]) -> RawEntry {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into()));
        let read = entry(fields.collect());
        RawEntry { id: EntryId { ms: 9, n: 0 }, fields: rejected_fields(&read, "not valid", Time::default()) }
    }

    #[test]
    fn what_was_kept_is_taken_apart_even_when_the_producer_used_our_names() {
        let entry = retained(&[("_id", "theirs"), ("workspace", "acme"), ("_bytes", "7")]);
        let kept = RetainedEntry::of(&entry);
        assert_eq!(names(kept.fields), ["_id", "workspace", "_bytes"]);
        assert_eq!((&*kept.entry, &*kept.reason, &*kept.at), ("5-1", "not valid", "1970-01-01T00:00:00.000Z"));
        assert_eq!((kept.bytes, kept.cut, kept.workspace), (29, false, "acme".parse().ok()));
        let strange = RawEntry { id: EntryId::ZERO, fields: vec![("x".into(), "y".into())] };
        assert_eq!(
            (RetainedEntry::of(&strange).fields, &*RetainedEntry::of(&strange).entry),
            (&strange.fields[..], "")
        );
    }

    #[test]
    fn a_valid_entry_gets_back_its_fields_and_an_origin_once() {
        let (workspace, fields) = requeued(
            &retained(&[("extra", "e"), ("workspace", "acme"), ("message", MESSAGE)]),
            "outbound:{3}:messages",
        )
        .unwrap();
        assert_eq!(workspace.as_str(), "acme");
        assert_eq!(names(&fields), ["extra", "workspace", "message", "origin"]);
        assert_eq!(fields[3].1, "outbound:{3}:messages/5-1");
        let from_source = retained(&[("origin", "mine/1-0"), ("workspace", "acme"), ("message", MESSAGE)]);
        let (_, fields) = requeued(&from_source, "outbound:{3}:messages").unwrap();
        assert_eq!((names(&fields), &fields[0].1), (vec!["origin", "workspace", "message"], &Bytes::from("mine/1-0")));
    }

    #[test]
    fn what_is_still_not_valid_is_told() {
        let reason = |fields: &[(&str, &str)]| requeued(&retained(fields), "s").unwrap_err();
        assert!(reason(&[("message", MESSAGE)]).contains("no field `workspace`"));
        assert!(reason(&[("workspace", "acme")]).contains("no field `message`"));
        assert!(reason(&[("workspace", "no spaces"), ("message", MESSAGE)]).contains("a workspace id has"));
        assert!(reason(&[("workspace", "acme"), ("message", "{}")]).contains("`direction`"));
        let twice = reason(&[("workspace", "acme"), ("message", MESSAGE), ("message", MESSAGE)]);
        assert!(twice.contains("`message` stands twice"), "{twice}");
        let twice = reason(&[("workspace", "acme"), ("x", ""), ("message", MESSAGE), ("workspace", "other")]);
        assert!(twice.contains("`workspace` stands twice"), "{twice}");
    }

    #[test]
    fn an_entry_that_was_cut_is_never_requeued_though_what_is_left_is_valid() {
        let pad = "x".repeat(VALUE_BYTES_MAX + 1);
        let entry = retained(&[("workspace", "acme"), ("message", MESSAGE), ("pad", &pad)]);
        assert!(RetainedEntry::of(&entry).cut);
        assert!(requeued(&entry, "s").unwrap_err().contains("was cut"));
    }
}
