//! The stored form of an attempt. A hundred attempts of every workspace are kept, so it holds nothing
//! twice: what follows from the rest of it is left out, and read back from there.
//!
//! | member | absent |
//! |---|---|
//! | `trigger` | `message` |
//! | `entry` | what `id` ends with: `msg_7_1769860800000-0` |
//! | `message_id` | the message's own |
//! | `errors` | 0; `null` when the attempt did not move the counter |
//! | `sig` | `sent` holds every header |
//! | `agent` | [`AGENT`] |
//! | `signed` | the second of `at` |
//! | `sent` | no header |
//! | `status` | 200 when delivered, else no response came; `null` when none came though it was delivered |
//! | `headers`, `malformed`, `body` | empty |
//! | `truncated` | `false` |
//! | `omitted` | the message is there; with it (why) neither the message nor what came back but the status |
//!
//! `id`, `ms` and `sig` are `webhook-id`, the duration and `webhook-signature`. With a `sig` the request had the
//! six headers that every request has, and those in `sent` behind them. `sent` and `headers` are texts, a line
//! `name:value` for each header; an array of `[name, value]` where one has a line break or a colon in its name.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::{EntryId, RawMessage, shown_id};
use crate::workspace::event::{Attempt, AttemptError, Header, Request, Response, STORE_FULL, Trigger, entry_named_by};
use crate::workspace::time::Time;

/// The version of the form.
pub(super) const VERSION: u64 = 2;

/// The `user-agent` that is left out: that of the program which wrote the form first.
const AGENT: &str = "outbound/0.1.0";
/// The status that is left out of a delivered attempt.
const STATUS: u16 = 200;
/// Bytes of an entry beside its texts: about as many as most have.
const REST: usize = 208;

/// The types of the events that are attempts.
pub(super) const DELIVERED: &str = "attempt_delivered";
pub(super) const FAILED: &str = "attempt_failed";

/// Writes an attempt.
pub(super) fn encode(seq: u64, delivered: bool, attempt: &Attempt) -> serde_json::Result<Vec<u8>> {
    let Attempt { request, response, .. } = attempt;
    let kept = response.as_ref().map_or(0, |response| response.body.len() + 40 * response.headers.len());
    let message = request.message.as_ref().map(RawMessage::bytes);
    let texts = request.url.len() + attempt.webhook_id.len() + message.map_or(0, |message| message.len());
    let mut json = Vec::with_capacity(REST + texts + kept);
    member(&mut json, r#"{"v":2,"seq":"#, &seq)?;
    before(&mut json, if delivered { DELIVERED } else { FAILED }, attempt)?;
    match message {
        Some(message) => {
            json.extend_from_slice(br#","message":"#);
            // Valid JSON by its invariant.
            json.extend_from_slice(message);
        }
        None => member(&mut json, r#","omitted":"#, STORE_FULL)?,
    }
    after(&mut json, response.as_deref(), delivered)?;
    json.push(b'}');
    Ok(json)
}

/// Writes what stands before the message.
fn before(json: &mut Vec<u8>, kind: &str, attempt: &Attempt) -> serde_json::Result<()> {
    let Attempt { at, trigger, entry, message_id, webhook_id, config, errors, duration_ms, error, request, .. } =
        attempt;
    let usual = Usual::of(&request.headers, webhook_id);
    let is_named = request.message.as_ref().is_some_and(|message| names(message.bytes(), message_id));
    member(json, r#","type":"#, kind)?;
    member(json, r#","at":"#, at)?;
    optional(json, r#","trigger":"#, Some(trigger).filter(|trigger| **trigger != Trigger::Message))?;
    optional(json, r#","entry":"#, Some(entry).filter(|entry| entry_named_by(webhook_id) != Some(**entry)))?;
    optional(json, r#","message_id":"#, Some(message_id).filter(|_| !is_named))?;
    member(json, r#","id":"#, webhook_id)?;
    member(json, r#","config":"#, config)?;
    optional(json, r#","errors":"#, Some(errors).filter(|errors| **errors != Some(0)))?;
    member(json, r#","ms":"#, duration_ms)?;
    optional(json, r#","error":"#, error.as_ref())?;
    member(json, r#","url":"#, &request.url)?;
    let mut sent = Lines(&request.headers);
    if let Some(Usual { agent, signed, sig, more }) = usual {
        optional(json, r#","agent":"#, Some(agent).filter(|agent| *agent != AGENT))?;
        optional(json, r#","signed":"#, Some(signed).filter(|signed| *signed != at.unix_seconds()))?;
        member(json, r#","sig":"#, sig)?;
        sent = Lines(more);
    }
    optional(json, r#","sent":"#, sent.if_any())
}

/// Writes what stands behind the message.
fn after(json: &mut Vec<u8>, response: Option<&Response>, delivered: bool) -> serde_json::Result<()> {
    let usual = if delivered { Some(STATUS) } else { None };
    let status = response.map(|response| response.status);
    // `null` where none came.
    optional(json, r#","status":"#, Some(status).filter(|status| *status != usual))?;
    let Some(Response { headers, malformed, body, truncated, .. }) = response else { return Ok(()) };
    optional(json, r#","headers":"#, Lines(headers).if_any())?;
    optional(json, r#","malformed":"#, Some(malformed).filter(|lines| !lines.is_empty()))?;
    optional(json, r#","body":"#, Some(body).filter(|body| !body.is_empty()))?;
    optional(json, r#","truncated":"#, Some(true).filter(|_| *truncated))
}

/// Writes a member: `name` with all that stands before the value. Not derived, for then each name is escaped each time.
#[inline]
fn member<T: Serialize + ?Sized>(json: &mut Vec<u8>, name: &str, value: &T) -> serde_json::Result<()> {
    json.extend_from_slice(name.as_bytes());
    serde_json::to_writer(json, value)
}

#[inline]
fn optional<T: Serialize>(json: &mut Vec<u8>, name: &str, value: Option<T>) -> serde_json::Result<()> {
    value.map_or(Ok(()), |value| member(json, name, &value))
}

/// Headers as HTTP writes them, a line each, or as pairs where a line would be read back as something else.
struct Lines<'a>(&'a [Header]);

impl Lines<'_> {
    fn if_any(self) -> Option<Self> {
        Some(self).filter(|lines| !lines.0.is_empty())
    }
}

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plain = |(name, value): &Header| !name.contains([':', '\n']) && !value.contains('\n');
        if !self.0.iter().all(plain) {
            return self.0.serialize(serializer);
        }
        let mut lines = String::with_capacity(self.0.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
        for (name, value) in self.0 {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.extend([&**name, ":", &**value]);
        }
        serializer.serialize_str(&lines)
    }
}

/// What [`Lines`] wrote.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredHeaders {
    Lines(String),
    Pairs(Vec<Header>),
}

impl Default for StoredHeaders {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

impl StoredHeaders {
    fn pairs(self) -> Vec<Header> {
        let pair = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned().into(), value.to_owned().into())
        };
        match self {
            Self::Lines(text) => text.split('\n').map(pair).collect(),
            Self::Pairs(pairs) => pairs,
        }
    }
}

/// The headers that every request has, when it has them as every request does.
struct Usual<'a> {
    agent: &'a str,
    signed: i64,
    sig: &'a str,
    more: &'a [Header],
}

impl<'a> Usual<'a> {
    fn of(headers: &'a [Header], webhook_id: &str) -> Option<Self> {
        let (usual, more) = headers.split_first_chunk::<6>()?;
        let [content, accept, agent, id, signed, sig] = usual.each_ref().map(|(name, value)| (&**name, &**value));
        let fixed = [content, accept, id] == [CONTENT_TYPE, ACCEPT, (ID, webhook_id)];
        let named = [agent.0, signed.0, sig.0] == [USER_AGENT, TIMESTAMP, SIGNATURE];
        // A number that is written otherwise would be read back in another way.
        let written = signed.1.bytes().all(|byte| byte.is_ascii_digit()) && !signed.1.starts_with('0');
        (fixed && named && written)
            .then(|| Some(Self { agent: agent.1, signed: signed.1.parse().ok()?, sig: sig.1, more }))?
    }
}

const CONTENT_TYPE: (&str, &str) = ("content-type", "application/json");
const ACCEPT: (&str, &str) = ("accept", "*/*");
const USER_AGENT: &str = "user-agent";
const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// Whether the message says that its `message_id` is `id`. What is no plain text says no.
fn names(message: &[u8], id: &str) -> bool {
    const NAME: &[u8] = br#""message_id""#;
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NAME));
    let says = |at: usize| -> Option<bool> {
        let value = message[at + NAME.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        Some(value.strip_prefix(b"\"")?.strip_prefix(id.as_bytes())?.starts_with(b"\""))
    };
    FINDER.find_iter(message).any(|at| says(at) == Some(true))
}

/// What [`encode`] wrote.
#[derive(Deserialize)]
struct StoredAttempt {
    at: Time,
    #[serde(default = "by_message")]
    trigger: Trigger,
    entry: Option<EntryId>,
    message_id: Option<Arc<str>>,
    id: Arc<str>,
    config: u64,
    #[serde(default = "zero")]
    errors: Option<u32>,
    ms: u32,
    error: Option<AttemptError>,
    url: Arc<str>,
    agent: Option<String>,
    signed: Option<i64>,
    sig: Option<String>,
    #[serde(default)]
    sent: StoredHeaders,
    message: Option<RawMessage>,
    omitted: Option<String>,
    #[serde(default, deserialize_with = "told")]
    status: Option<Option<u16>>,
    #[serde(default)]
    headers: StoredHeaders,
    #[serde(default)]
    malformed: Vec<String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    truncated: bool,
}

fn by_message() -> Trigger {
    Trigger::Message
}

#[expect(clippy::unnecessary_wraps, reason = "the default of a member that may be null")]
fn zero() -> Option<u32> {
    Some(0)
}

/// A member that stands there, `null` or not.
fn told<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u16>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(json: &[u8], delivered: bool) -> serde_json::Result<Attempt> {
    let stored: StoredAttempt = serde_json::from_slice(json)?;
    let entry = entry(stored.entry, &stored.id)?;
    if stored.message.is_none() && stored.omitted.is_none() {
        return Err(serde::de::Error::missing_field("message"));
    }
    let message_id = match (stored.message_id, &stored.message) {
        (Some(id), _) => id,
        (None, Some(message)) => named_by(message)?,
        (None, None) => return Err(serde::de::Error::missing_field("message_id")),
    };
    let status = stored.status.unwrap_or(delivered.then_some(STATUS));
    let StoredAttempt {
        at,
        trigger,
        id,
        config,
        errors,
        ms,
        error,
        url,
        message,
        headers,
        malformed,
        body,
        truncated,
        ..
    } = stored;
    let sent = match stored.sig {
        None => stored.sent.pairs(),
        Some(sig) => {
            let own = |name: &'static str, value: Cow<'static, str>| (Cow::Borrowed(name), value);
            let signed = stored.signed.unwrap_or(at.unix_seconds());
            let sent = stored.sent.pairs();
            let mut headers = Vec::with_capacity(6 + sent.len());
            headers.extend([
                own(CONTENT_TYPE.0, CONTENT_TYPE.1.into()),
                own(ACCEPT.0, ACCEPT.1.into()),
                own(USER_AGENT, stored.agent.map_or(AGENT.into(), Cow::Owned)),
                own(ID, id.as_ref().to_owned().into()),
                own(TIMESTAMP, signed.to_string().into()),
                own(SIGNATURE, sig.into()),
            ]);
            headers.extend(sent);
            headers
        }
    };
    Ok(Attempt {
        at,
        trigger,
        entry,
        message_id: shortened(message_id),
        webhook_id: id,
        config,
        errors,
        duration_ms: ms,
        error,
        request: Request { url, headers: sent.into(), message },
        response: status
            .map(|status| Arc::new(Response { status, headers: headers.pairs(), malformed, body, truncated })),
    })
}

/// The entry of a stored attempt, without the rest of it.
pub(super) fn decode_entry(json: &[u8]) -> serde_json::Result<EntryId> {
    #[derive(Deserialize)]
    struct AttemptId<'a> {
        entry: Option<EntryId>,
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let AttemptId { entry: told, id } = serde_json::from_slice(json)?;
    entry(told, &id)
}

fn entry(told: Option<EntryId>, id: &str) -> serde_json::Result<EntryId> {
    told.or_else(|| entry_named_by(id))
        .ok_or_else(|| serde::de::Error::custom("no `entry`, and `id` does not end with one"))
}

/// One of an earlier version may be longer than what is shown.
fn shortened(id: Arc<str>) -> Arc<str> {
    let shown = shown_id(&id);
    if shown.len() < id.len() { shown.into() } else { id }
}

fn named_by(message: &RawMessage) -> serde_json::Result<Arc<str>> {
    let id = crate::message::member(message.bytes(), "message_id");
    serde_json::from_str(id.ok_or_else(|| serde::de::Error::missing_field("message_id"))?.get())
}

#[cfg(test)]
mod tests;
