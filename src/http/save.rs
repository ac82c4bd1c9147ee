//! The body of Save: every rule of CONTRACT section 4, all breaches reported at once.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::problem::{Kind, MemberError, Problem};
use crate::config::EMAIL_BYTES_MAX;
use crate::deliver::{Guard, parse_endpoint};
use crate::workspace::command::{Change, Save};

/// Members that are reported at most: a body of nothing but unknown ones gets no answer of its own size.
const ERRORS_MAX: usize = 20;
/// Characters of an unknown member's name that are shown at most.
const NAME_SHOWN_MAX: usize = 64;

/// Checks the body of Save.
pub(super) fn parse(body: &[u8], guard: &Guard) -> Result<Save, Problem> {
    let members: Members = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            let detail = "nothing was saved: send a JSON object, such as {\"url\":\"https://example.com/hook\"}";
            Problem::new(Kind::InvalidWebhook, detail)
        } else {
            let detail = format!("send one JSON object, such as {{\"url\":\"https://example.com/hook\"}}: {error}");
            Problem::new(Kind::InvalidJson, detail)
        }
    })?;
    check(&members, guard).map_err(Problem::invalid_webhook)
}

/// Checks the same members from a form, where each stands once.
pub(super) fn from_form(members: serde_json::Map<String, Value>, guard: &Guard) -> Result<Save, Problem> {
    check(&Members { by_name: members, repeated: BTreeSet::new() }, guard).map_err(Problem::invalid_webhook)
}

/// The members of the body. Programs differ in which of two members of one name they take (RFC 8259
/// section 4), so whoever stands between the caller and us may have checked another URL than the one
/// that we would save: a name that stands twice is a breach.
struct Members {
    by_name: serde_json::Map<String, Value>,
    repeated: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
                let mut members = Members { by_name: serde_json::Map::new(), repeated: BTreeSet::new() };
                while let Some((name, value)) = object.next_entry::<String, Value>()? {
                    if members.by_name.insert(name.clone(), value).is_some() {
                        members.repeated.insert(name);
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

fn check(Members { by_name: members, repeated }: &Members, guard: &Guard) -> Result<Save, Vec<MemberError>> {
    let mut errors = Vec::new();
    let mut wrong = |member: &str, detail: String| {
        if errors.len() < ERRORS_MAX {
            let member = member.chars().take(NAME_SHOWN_MAX).collect();
            errors.push(MemberError { member, detail });
        }
    };
    let url = url(members.get("url"), guard).unwrap_or_else(|detail| {
        wrong("url", detail);
        // Whether it may be enabled is judged once there is a URL to judge.
        Some(String::new())
    });
    let enabled = match members.get("enabled") {
        None => None,
        Some(Value::Bool(true)) if url.is_none() => {
            wrong("enabled", "a webhook without a URL cannot be enabled; send a URL or leave `enabled` out".to_owned());
            None
        }
        Some(Value::Bool(enabled)) => Some(*enabled),
        Some(_) => {
            wrong("enabled", "must be true or false; left out it means true when there is a URL".to_owned());
            None
        }
    };
    if members.get("event").is_some_and(|event| event != "new_message") {
        wrong("event", "must be \"new_message\", the only event there is, or be left out".to_owned());
    }
    let owner_email = owner_email(members.get("owner_email")).unwrap_or_else(|detail| {
        wrong("owner_email", detail);
        Change::Keep
    });
    for name in repeated {
        wrong(name, "stands more than once; send it once".to_owned());
    }
    for name in members.keys().filter(|name| !["url", "enabled", "event", "owner_email"].contains(&name.as_str())) {
        wrong(name, "is not known; take it out. Known are url, enabled, event, owner_email".to_owned());
    }
    if errors.is_empty() { Ok(Save { url, enabled, owner_email }) } else { Err(errors) }
}

/// The URL as typed, without the blanks around it; `None` clears it. It is kept as typed, so that what
/// is read is what was saved, and therefore must hold nothing that a URL parser would pass over.
fn url(value: Option<&Value>, guard: &Guard) -> Result<Option<String>, String> {
    let typed = match value {
        None => return Err("is required: send where to POST, or null to clear it".to_owned()),
        Some(Value::Null) => return Ok(None),
        Some(Value::String(typed)) => typed.trim(),
        Some(_) => return Err("must be a string, or null to clear it".to_owned()),
    };
    if typed.is_empty() {
        return Ok(None);
    }
    if typed.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("holds a blank or a control character; write it percent-encoded".to_owned());
    }
    parse_endpoint(typed, guard).map(|_| Some(typed.to_owned())).map_err(|error| error.to_string())
}

fn owner_email(value: Option<&Value>) -> Result<Change<String>, String> {
    match value {
        None => Ok(Change::Keep),
        Some(Value::Null) => Ok(Change::Clear),
        Some(Value::String(address)) if is_address(address) => Ok(Change::Set(address.clone())),
        Some(_) => Err(format!(
            "must be one mail address such as owner@example.com, at most {EMAIL_BYTES_MAX} bytes, or null to clear it"
        )),
    }
}

/// Whether the text can be one address in a mail's `To`. Whether it exists, only a mail can tell; a
/// domain without a dot is allowed, since a company's own mail server may have none.
fn is_address(text: &str) -> bool {
    let special = |c: char| c.is_whitespace() || c.is_control() || "<>()[]\\,;:\"".contains(c);
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    text.len() <= EMAIL_BYTES_MAX && !text.contains(special) && parts.is_some_and(|(_, domain)| !domain.contains('@'))
}
