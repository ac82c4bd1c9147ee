//! The body of Save: every rule of
//! [contract, section 4](crate::docs::contract#4-http), all breaches reported at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::deliver::{Guard, typed_endpoint};
use crate::http::body::{half, not_json};
use crate::http::problem::{MemberError, Problem, ProblemKind};
use crate::message::{HALF_OF_A_CHARACTER, half_of_a_character, without_halves};
use crate::workspace::command::{Change, Refusal, Save};
use crate::workspace::headers::{self, HEADERS_BYTES_MAX, HEADERS_MAX, HeaderChange, HeaderName, MASK};
use crate::workspace::owner_address;
use crate::workspace::pasted::trimmed;

/// Breaches that are reported at most: a body of nothing but unknown members gets no answer of its own size.
const ERRORS_MAX: usize = 20;
/// Members of an object that are kept, beside those that there are: a body of nothing but others costs no more than to read it.
const MEMBERS_MAX: usize = 64;
/// Characters of an unknown member's name that are shown at most.
const NAME_SHOWN_MAX: usize = 64;

/// What is said of a name that stands twice.
const REPEATED: &str = "stands more than once; send it once";

/// What to save. A member that is not known is refused.
#[derive(Deserialize, ToSchema)]
#[schema(as = Save)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only describes what `parse` takes apart")]
pub(in crate::http) struct SaveBody {
    /// Where to POST: http or https, without user info, at most 8,000 bytes, not at a forbidden address, without a blank
    /// or an invisible character (around it they are dropped). Empty or null
    /// clears it: the webhook is then off and `not_configured`, secret and `owner_email` are kept.
    #[schema(required, max_length = 8000, example = "https://crm.example.com/hooks/whatsapp")]
    url: Option<String>,
    /// Whether to POST. Left out it means true when there is a URL; true without a URL is refused.
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// The only event there is.
    #[schema(nullable = false)]
    event: Option<crate::workspace::configuration::SubscribedEvent>,
    /// Who gets the mail when errors switch the webhook off: one address of at most 254 bytes, which may be written as
    /// mail programs do (`Ann <ann@example.com>`) or as a `mailto:` link. Left out it stays, null clears it.
    #[schema(pattern = r"[^\s@]@[^\s@]", example = "owner@example.com")]
    owner_email: Option<String>,
    /// Headers that go with every POST: at most 20, at most 4 KiB of names and values. Left out they stay, null clears
    /// them, and `***` as a value keeps the value that is stored. A save that changes the URL's scheme, host or port must
    /// send every value again or take the header out; clearing the URL drops them. Some names are refused: those of the
    /// connection, of the body and of the signature.
    #[schema(value_type = Option<HashMap<String, String>>, example = json!({"x-api-key": "3f7c"}))]
    headers: Value,
}

/// A sample is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = Sample)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only describes what `parse_test` takes apart")]
pub(in crate::http) struct SampleBody {
    /// Sends a made-up message, where the workspace has none; stands alone, and only as `true`.
    #[schema(default = true)]
    sample: bool,
}

/// What a test may be asked to do first.
#[derive(Deserialize, ToSchema)]
#[schema(as = Test)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes what `parse_test` takes apart")]
pub(in crate::http) enum TestBody {
    Save(SaveBody),
    Sample(SampleBody),
}

/// What a test does.
pub(in crate::http) enum TestRequest {
    /// Sends the newest message.
    Newest,
    /// Saves, then sends the newest message.
    AfterSave(Save),
    /// Sends a made-up message.
    Sample,
}

/// The member of [`SampleBody`].
const SAMPLE: &str = "sample";

/// Checks the body of a test.
pub(in crate::http) fn parse_test(body: &[u8], guard: &Guard) -> Result<TestRequest, Problem> {
    if body.is_empty() {
        return Ok(TestRequest::Newest);
    }
    let members = members(body)?;
    let Some(sample) = members.by_name.get(SAMPLE) else {
        return check(&members, guard).map(TestRequest::AfterSave).map_err(Problem::invalid_webhook);
    };
    if sample.get() == "true" && members.by_name.len() == 1 && members.repeated.is_empty() {
        return Ok(TestRequest::Sample);
    }
    let detail = "must be true and stand alone: a sample saves nothing".to_owned();
    Err(Problem::invalid_webhook(vec![MemberError { member: SAMPLE.to_owned(), detail }]))
}

/// Checks the body of Save.
pub(in crate::http) fn parse(body: &[u8], guard: &Guard) -> Result<Save, Problem> {
    check(&members(body)?, guard).map_err(Problem::invalid_webhook)
}

/// The members of the body.
fn members(body: &[u8]) -> Result<JsonObject<&RawValue>, Problem> {
    let refused = |detail: String| Problem::new(ProblemKind::InvalidWebhook, format!("nothing was saved: {detail}"));
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            refused("send a JSON object, such as {\"url\":\"https://example.com/hook\"}".to_owned())
        } else if let (Ok(_), Some(half)) = (serde_json::from_slice::<&RawValue>(body), half(body)) {
            refused(half)
        } else {
            not_json(body, &error, "send one JSON object, such as {\"url\":\"https://example.com/hook\"}")
        }
    })
}

/// An object's members. Programs differ in which of two members of one name they take (RFC 8259
/// section 4), so whoever stands between the caller and us may have checked another URL than the one
/// that we would save: a name that stands twice is a breach.
struct JsonObject<V> {
    by_name: BTreeMap<String, V>,
    repeated: BTreeSet<String>,
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for JsonObject<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Reader<V> {
            type Value = JsonObject<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<JsonObject<V>, A::Error> {
                let mut members = JsonObject { by_name: BTreeMap::new(), repeated: BTreeSet::new() };
                while let Some(name) = object.next_key::<String>()? {
                    if members.by_name.contains_key(&name) {
                        members.by_name.insert(name.clone(), object.next_value()?);
                        members.repeated.insert(name);
                    } else if members.by_name.len() < MEMBERS_MAX || KNOWN.contains(&name.as_str()) {
                        members.by_name.insert(name, object.next_value()?);
                    } else {
                        object.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// What is wrong, by member; at most [`ERRORS_MAX`].
#[derive(Default)]
struct Breaches(Vec<MemberError>);

impl Breaches {
    fn add(&mut self, member: &str, detail: impl ToString) {
        if self.0.len() < ERRORS_MAX {
            let member = member.chars().take(NAME_SHOWN_MAX).collect();
            self.0.push(MemberError { member, detail: detail.to_string() });
        }
    }
}

/// The members that there are.
const KNOWN: [&str; 5] = ["url", "enabled", "event", "owner_email", "headers"];

fn check(members: &JsonObject<&RawValue>, guard: &Guard) -> Result<Save, Vec<MemberError>> {
    let mut breaches = Breaches::default();
    for (name, raw) in &members.by_name {
        if half_of_a_character(raw.get().as_bytes()).is_some() {
            breaches.add(name, format!("holds {HALF_OF_A_CHARACTER}; cut texts between characters"));
        }
    }
    // What cannot be read as any value (nested too deep) is none that a member may have.
    let value = |name| members.by_name.get(name).map(|raw| read(raw).unwrap_or(Value::Array(Vec::new())));
    let url = url(value("url").as_ref(), guard).unwrap_or_else(|detail| {
        breaches.add("url", detail);
        // Whether it may be enabled is judged once there is a URL to judge.
        Some(String::new())
    });
    let enabled = match value("enabled") {
        None => None,
        Some(Value::Bool(true)) if url.is_none() => {
            breaches.add("enabled", Refusal::EnabledWithoutUrl);
            None
        }
        Some(Value::Bool(enabled)) => Some(enabled),
        Some(_) => {
            breaches.add("enabled", "must be true or false; left out it means true when there is a URL");
            None
        }
    };
    if value("event").is_some_and(|event| event != "new_message") {
        breaches.add("event", "must be \"new_message\", the only event there is, or be left out");
    }
    let owner_email = owner_email(value("owner_email").as_ref()).unwrap_or_else(|detail| {
        breaches.add("owner_email", detail);
        Change::Keep
    });
    let headers = members.by_name.get("headers").map_or(Change::Keep, |raw| headers(raw, &mut breaches));
    for name in &members.repeated {
        breaches.add(name, REPEATED);
    }
    let known = KNOWN.join(", ");
    for name in members.by_name.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
        breaches.add(name, format_args!("is not known; take it out. Known are {known}"));
    }
    if breaches.0.is_empty() { Ok(Save { url, enabled, owner_email, headers }) } else { Err(breaches.0) }
}

/// A member's value. Half of a character in it is a breach of its own.
fn read<T: DeserializeOwned>(raw: &RawValue) -> serde_json::Result<T> {
    serde_json::from_slice(&without_halves(raw.get().as_bytes()))
}

/// The URL as typed, without what nobody sees around it; `None` clears it. It is stored as typed, so that what
/// is read is what was saved.
fn url(value: Option<&Value>, guard: &Guard) -> Result<Option<String>, String> {
    let typed = match value {
        None => return Err("is required: send where to POST, or null to clear it".to_owned()),
        Some(Value::Null) => return Ok(None),
        Some(Value::String(typed)) => trimmed(typed),
        Some(_) => return Err("must be a string, or null to clear it".to_owned()),
    };
    if typed.is_empty() {
        return Ok(None);
    }
    typed_endpoint(typed, guard).map(|_| Some(typed.to_owned())).map_err(|error| error.to_string())
}

fn owner_email(value: Option<&Value>) -> Result<Change<String>, String> {
    match value {
        None => Ok(Change::Keep),
        Some(Value::Null) => Ok(Change::Clear),
        Some(Value::String(typed)) => match owner_address::checked(typed) {
            Ok(address) => Ok(Change::Set(address.to_owned())),
            Err(error) => Err(format!("the address {error}")),
        },
        Some(_) => Err("must be one mail address such as owner@example.com, or null to clear it".to_owned()),
    }
}

/// The custom headers, all of them by name. Names differ in more than case; a value is a string, or
/// [`MASK`] for the one that is stored.
fn headers(raw: &RawValue, breaches: &mut Breaches) -> Change<BTreeMap<HeaderName, HeaderChange>> {
    let Ok(members) = read::<Option<JsonObject<Value>>>(raw) else {
        breaches
            .add("headers", "must be an object of names and values such as {\"X-Api-Key\":\"…\"}, or null to clear it");
        return Change::Keep;
    };
    let Some(members) = members else { return Change::Clear };
    if members.by_name.len() > HEADERS_MAX {
        breaches.add("headers", Refusal::TooManyHeaders);
        return Change::Keep;
    }
    let mut all = BTreeMap::new();
    for (typed, value) in &members.by_name {
        let member = format!("headers.{typed}");
        let name = typed.parse::<HeaderName>().map_err(|error| breaches.add(&member, format!("the name {error}")));
        let change = header_change(typed, value).map_err(|detail| breaches.add(&member, detail));
        let (Ok(name), Ok(change)) = (name, change) else { continue };
        if all.insert(name, change).is_some() || members.repeated.contains(typed) {
            breaches.add(&member, "stands more than once, names do not differ by case; send it once");
        }
    }
    let set = all.iter().filter_map(|(name, change)| match change {
        HeaderChange::Keep => None,
        HeaderChange::Set(value) => Some((name, value)),
    });
    if headers::bytes(set) > HEADERS_BYTES_MAX {
        breaches.add("headers", Refusal::TooManyHeaders);
    }
    Change::Set(all)
}

fn header_change(name: &str, value: &Value) -> Result<HeaderChange, String> {
    match value {
        // As it is read: what stands around a value is no part of it.
        Value::String(text) if trimmed(text) == MASK => Ok(HeaderChange::Keep),
        Value::String(text) => {
            headers::value(name, text).map(HeaderChange::Set).map_err(|error| format!("the value {error}"))
        }
        _ => Err("the value must be a string".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_body_of_unknown_members_those_are_kept_that_are_told_and_those_that_there_are() {
        let unknown: String = (0..26_000).map(|n| format!("\"{n}\":0,")).collect();
        let body = format!("{{{unknown}\"headers\":{{{unknown}\"x\":0}},\"url\":null}}");
        let members = members(body.as_bytes()).unwrap();
        assert_eq!(members.by_name.len(), MEMBERS_MAX + 2);
        let headers = read::<JsonObject<Value>>(members.by_name["headers"]).unwrap();
        assert_eq!(headers.by_name.len(), MEMBERS_MAX);
    }
}
