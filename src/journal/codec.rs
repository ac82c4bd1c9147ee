//! The stored form of what a journal keeps: JSON that begins with its version.
//!
//! # Events
//! `{"v":1,"seq":7,"type":"attempt_failed","at":"2026-01-31T12:00:00.000Z",…}`. Only sequenced events
//! are stored ([`Event::is_sequenced`]), attempts as version 2. Members in parentheses may be absent; a reader passes over
//! members that it does not know.
//!
//! | type | members |
//! |---|---|
//! | `attempt_delivered`, `attempt_failed` of version 2 | `at`, (`trigger`: `message`, `test` or `again`), (`entry`), (`message_id`), `id`, `config`, (`errors`), `ms`, (`error`: `kind`, `detail`), `url`, (`agent`), (`signed`), (`sig`), (`sent`), `message` or `omitted`, (`status`), (`headers`), (`malformed`), (`body`), (`truncated`): see [`attempt`] |
//! | the same of version 1 | `at`, `trigger`, `entry`, `message_id`, `webhook_id`, `config`, (`errors`), `duration_ms`, (`error`), `request`: `url`, `headers`, `message`, (`response`: `status`, `headers`, `body`, `truncated`) |
//! | `webhook_saved` | `at`, `by`, (`url`), `enabled`, (`owner_email`), `secret`, (`headers`), (`changed_headers`) |
//! | `secret_rotated` | `at`, `by`, `secret`, `previous_until`, (`configuration`) |
//! | `tokens_revoked` | `at`, `by` |
//! | `webhook_disabled` | `at`, `errors`, `mail` |
//! | `owner_notified`, `mail_given_up`, `mail_dropped` | `at`, `disabled`: [`crate::workspace::event::MailId::owed_by`], (`kind`), (`detail`) |
//!
//! Headers are an array of `[name, value]`, in version 2 lines. `message` is the producer's object, byte for byte.
//!
//! # The rest
//! - Snapshot: `{"v":1,"seq":…,"webhook":{…},…}`, the members of [`State`].
//! - Newest skipped message: `{"v":1,"entry":…,"message":{…}}`.
//! - Bookmark of a shard: `{"v":1,"cursor":…,"left":[[workspace,first,last],…]}`, the members of [`Bookmark`].
//! - Mail that is owed: `{"v":1,"workspace":…,"disabled":…,…}`, the members of [`OwedMail`].
//!
//! # Compatibility
//! Members are only added, with a default; a name never gets a new meaning. What cannot be added so
//! gets a new version, which older programs refuse. Attempts are written as version 2; both are read. While nodes of an
//! older program share the store, what they read is written: see [`super::format`].
//! `tests/golden/` pins the bytes of every form.
#![deny(clippy::wildcard_enum_match_arm)]

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::port::{Bookmark, LoadError, Newest, OwedMail};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::event::{Attempt, Event, Response, Trigger};
use crate::workspace::state::State;

mod attempt;
#[cfg(test)]
mod golden;

pub use super::format::FORMAT;

/// The version of every form but the attempts'.
pub const VERSION: u64 = 1;

/// Why a stored form cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Written by another version of the program.
    #[error("the version of a stored {what} is {found}, this program reads up to {known}: start the newer program")]
    UnknownVersion {
        /// The form: `event`, `snapshot`, `newest message`, `bookmark` or `mail`.
        what: &'static str,
        /// The version found.
        found: u64,
        /// The greatest version that this program reads.
        known: u64,
    },
    /// An event of a type that this version does not have.
    #[error("an event has the type `{found}`, which version {known} does not have: start the newer program")]
    UnknownType {
        /// The type found.
        found: String,
        /// The greatest version that this program reads.
        known: u64,
    },
    /// Not the JSON that it must be.
    #[error("a stored {what} cannot be read")]
    Malformed {
        /// The form.
        what: &'static str,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
}

impl CodecError {
    /// The same, as what it means for loading `workspace`.
    #[must_use]
    pub fn of(self, workspace: &WorkspaceId) -> LoadError {
        let corrupt = |detail| LoadError::Corrupt { workspace: workspace.clone(), detail };
        match self {
            Self::UnknownVersion { what, found, known } => {
                LoadError::UnknownVersion { workspace: workspace.clone(), what, found, known }
            }
            Self::UnknownType { .. } => corrupt(self.to_string()),
            Self::Malformed { what, source } => corrupt(format!("a stored {what} cannot be read: {source}")),
        }
    }
}

/// Writes an event. `None` for one that is not sequenced: its record is the snapshot alone.
#[must_use]
pub fn encode_event(seq: u64, event: &Event) -> Option<Bytes> {
    if !event.is_sequenced() {
        return None;
    }
    let (kind, body): (_, &dyn Encodable) = match event {
        Event::AttemptDelivered(attempt) => return Some(encode_attempt(seq, true, attempt)),
        Event::AttemptFailed(attempt) => return Some(encode_attempt(seq, false, attempt)),
        Event::WebhookSaved(saved) => ("webhook_saved", saved),
        Event::SecretRotated(rotated) => ("secret_rotated", rotated),
        Event::TokensRevoked(revoked) => ("tokens_revoked", revoked),
        Event::WebhookDisabled(disabled) => ("webhook_disabled", disabled),
        Event::OwnerNotified(ended) => ("owner_notified", ended),
        Event::MailGivenUp(ended) => ("mail_given_up", ended),
        Event::MailDropped(ended) => ("mail_dropped", ended),
        Event::MessagesSkipped(_)
        | Event::MessagesDiscarded(_)
        | Event::TestStarted(_)
        | Event::TestDropped(_)
        | Event::MailOwed(_)
        | Event::MailDeferred(_)
        | Event::SecretViewed(_)
        | Event::TestMailTaken(_)
        | Event::TokenMade(_)
        | Event::TokenEnded(_)
        | Event::SessionEnded(_)
        | Event::Forgotten(_)
        | Event::LogDropped(_) => return None,
    };
    Some(encode(&format!(r#","seq":{seq},"type":"{kind}""#), body))
}

/// Reads an event and its seq.
///
/// # Errors
/// See [`CodecError`].
pub fn decode_event(json: &[u8]) -> Result<(u64, Event), CodecError> {
    #[derive(Deserialize)]
    struct EventHead {
        seq: u64,
        #[serde(rename = "type")]
        kind: String,
    }
    const WHAT: &str = "event";
    let version = version(WHAT, json, attempt::VERSION)?;
    // Two steps, head then body: serde's tagged enums buffer the body, and a raw value cannot be
    // read from their buffer.
    let EventHead { seq, kind } = parse(WHAT, json)?;
    let event = match kind.as_str() {
        attempt::DELIVERED => Event::AttemptDelivered(decode_attempt(version, json, true)?.into()),
        attempt::FAILED => Event::AttemptFailed(decode_attempt(version, json, false)?.into()),
        _ if version > VERSION => {
            return Err(CodecError::UnknownVersion { what: WHAT, found: version, known: VERSION });
        }
        "webhook_saved" => Event::WebhookSaved(parse(WHAT, json)?),
        "secret_rotated" => Event::SecretRotated(parse(WHAT, json)?),
        "tokens_revoked" => Event::TokensRevoked(parse(WHAT, json)?),
        "webhook_disabled" => Event::WebhookDisabled(parse(WHAT, json)?),
        "owner_notified" => Event::OwnerNotified(parse(WHAT, json)?),
        "mail_given_up" => Event::MailGivenUp(parse(WHAT, json)?),
        "mail_dropped" => Event::MailDropped(parse(WHAT, json)?),
        _ => return Err(CodecError::UnknownType { found: kind, known: VERSION }),
    };
    Ok((seq, event))
}

#[expect(
    clippy::expect_used,
    reason = "a Vec takes every byte, and no member of an attempt is a map with other keys than strings"
)]
fn encode_attempt(seq: u64, delivered: bool, attempt: &Attempt) -> Bytes {
    attempt::encode(seq, delivered, attempt).expect("an attempt is written as a JSON object").into()
}

fn decode_attempt(version: u64, json: &[u8], delivered: bool) -> Result<Attempt, CodecError> {
    if version == attempt::VERSION {
        attempt::decode(json, delivered).map_err(malformed("event"))
    } else {
        parse("event", json)
    }
}

/// A stored attempt without its message and what came back but the status, for a store that is full. `None` for any
/// other event and for what cannot be read.
#[must_use]
pub fn without_bodies(stored: &[u8]) -> Option<Bytes> {
    let (seq, event) = decode_event(stored).ok()?;
    let delivered = matches!(event, Event::AttemptDelivered(_));
    let mut attempt = event.attempt()?.clone();
    attempt.request.message = None;
    attempt.response = attempt.response.map(|response| {
        let (status, truncated) = (response.status, response.truncated || !response.body.is_empty());
        Arc::new(Response { status, headers: Vec::new(), malformed: Vec::new(), body: String::new(), truncated })
    });
    Some(encode_attempt(seq, delivered, &attempt))
}

/// A stored attempt as programs up to `format` read it; `None` when it is so already. The trigger `again` becomes `test`,
/// and of an omitted message an empty one is left.
#[must_use]
pub fn in_format(format: u32, stored: &[u8]) -> Option<Bytes> {
    if format >= FORMAT {
        return None;
    }
    let (seq, event) = decode_event(stored).ok()?;
    let kind = if matches!(event, Event::AttemptDelivered(_)) { attempt::DELIVERED } else { attempt::FAILED };
    let mut attempt: Attempt = event.attempt()?.clone();
    if attempt.trigger == Trigger::Again {
        attempt.trigger = Trigger::Test;
    }
    if attempt.request.message.is_none() {
        attempt.request.message = RawMessage::from_stored(Bytes::from_static(b"{}")).ok();
    }
    Some(encode(&format!(r#","seq":{seq},"type":"{kind}""#), &attempt))
}

/// The entry that a stored attempt names, without reading the rest of it.
///
/// # Errors
/// See [`CodecError`].
pub fn attempt_entry(json: &[u8]) -> Result<EntryId, CodecError> {
    #[derive(Deserialize)]
    struct EntryOnly {
        entry: EntryId,
    }
    if version("event", json, attempt::VERSION)? == attempt::VERSION {
        return attempt::decode_entry(json).map_err(malformed("event"));
    }
    parse::<EntryOnly>("event", json).map(|attempt| attempt.entry)
}

/// Writes a snapshot.
#[must_use]
pub fn encode_snapshot(state: &State) -> Bytes {
    encode("", state)
}

/// Reads a snapshot.
///
/// # Errors
/// See [`CodecError`].
pub fn decode_snapshot(json: &[u8]) -> Result<State, CodecError> {
    check_version("snapshot", json)?;
    parse("snapshot", json)
}

/// The seq of a snapshot, without reading the rest of it.
///
/// # Errors
/// See [`CodecError`].
pub fn snapshot_seq(json: &[u8]) -> Result<u64, CodecError> {
    #[derive(Deserialize)]
    struct SeqOnly {
        seq: u64,
    }
    check_version("snapshot", json)?;
    parse::<SeqOnly>("snapshot", json).map(|snapshot| snapshot.seq)
}

/// Writes a workspace's newest skipped message.
#[must_use]
pub fn encode_newest(newest: &Newest) -> Bytes {
    encode("", &StoredNewest { entry: newest.entry, message: newest.message.clone() })
}

/// Reads a workspace's newest skipped message.
///
/// # Errors
/// See [`CodecError`].
pub fn decode_newest(json: &[u8]) -> Result<Newest, CodecError> {
    check_version("newest message", json)?;
    let StoredNewest { entry, message } = parse("newest message", json)?;
    Ok(Newest { entry, message })
}

#[derive(Serialize, Deserialize)]
struct StoredNewest {
    entry: EntryId,
    message: RawMessage,
}

/// Writes a mail that is owed.
#[must_use]
pub fn encode_mail(mail: &OwedMail) -> Bytes {
    encode("", mail)
}

/// Reads a mail that is owed.
///
/// # Errors
/// See [`CodecError`].
pub fn decode_mail(json: &[u8]) -> Result<OwedMail, CodecError> {
    check_version("mail", json)?;
    parse("mail", json)
}

/// Writes a bookmark.
#[must_use]
pub fn encode_bookmark(bookmark: &Bookmark) -> Bytes {
    encode("", bookmark)
}

/// Reads a bookmark. `None` for one that cannot be read: without it a shard is read from its start.
#[must_use]
pub fn decode_bookmark(json: &[u8]) -> Option<Bookmark> {
    check_version("bookmark", json).and_then(|()| parse("bookmark", json)).ok()
}

/// A body of any stored type: lets one function write all of them.
trait Encodable {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

impl<T: Serialize> Encodable for T {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }
}

/// `{"v":1` + `head` + the members of `body` + `}`.
#[expect(
    clippy::expect_used,
    reason = "a Vec takes every byte; no stored type has a map with other keys than strings, \
    and a RawMessage is JSON by its invariant"
)]
fn encode(head: &str, body: &dyn Encodable) -> Bytes {
    let mut json = Vec::with_capacity(1024);
    write!(json, r#"{{"v":{VERSION}{head}"#).expect("writing to a Vec");
    let brace = json.len();
    body.write(&mut json).expect("every stored type is written as a JSON object");
    // No body is empty, so its opening brace can become the comma that continues the head.
    json[brace] = b',';
    json.into()
}

fn check_version(what: &'static str, json: &[u8]) -> Result<(), CodecError> {
    version(what, json, VERSION).map(drop)
}

/// The version of a form that is read up to `known`.
fn version(what: &'static str, json: &[u8], known: u64) -> Result<u64, CodecError> {
    #[derive(Deserialize)]
    struct VersionOnly {
        v: u64,
    }
    match parse::<VersionOnly>(what, json)?.v {
        found if (VERSION..=known).contains(&found) => Ok(found),
        found => Err(CodecError::UnknownVersion { what, found, known }),
    }
}

fn parse<T: DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T, CodecError> {
    serde_json::from_slice(json).map_err(malformed(what))
}

fn malformed(what: &'static str) -> impl FnOnce(serde_json::Error) -> CodecError {
    move |source| CodecError::Malformed { what, source }
}
