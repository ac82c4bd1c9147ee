//! Static custom headers: what an operator adds to every POST, such as the endpoint's own token.
//!
//! A name is stored in lower case, as it is sent. A value is confidential: it is sent, and nothing shows it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::confidential::Confidential;
use super::pasted::{PastedCharacter, first, first_unseen, trimmed};

/// Custom headers of a webhook at most ([contract, section 4](crate::docs::contract#4-http)).
pub const HEADERS_MAX: usize = 20;
/// Bytes of all names and values of a webhook's custom headers at most.
pub const HEADERS_BYTES_MAX: usize = 4_096;
/// What stands for a value wherever headers are shown. Sent back, it keeps the value that is stored.
pub const MASK: &str = "***";

/// Names that nobody may set, with the reason that is told.
const FORBIDDEN: [(&[&str], &str); 4] = [
    (
        &[
            "connection",
            "content-length",
            "expect",
            "host",
            "http2-settings",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ],
        "belongs to the connection; take it out",
    ),
    (
        &["content-encoding", "content-type", "user-agent"],
        "is set by the service, since it describes what is sent; take it out",
    ),
    (&["accept-encoding"], "would make the log unreadable, as answers are not decompressed; take it out"),
    (&["metadata", "metadata-flavor"], METADATA),
];
/// As [`FORBIDDEN`], by what a name begins with.
const FORBIDDEN_PREFIXES: [(&str, &str); 4] = [
    ("proxy-", "speaks to a proxy, and none is used; take it out"),
    ("webhook-", "is kept for the signature; take it out"),
    ("x-aws-ec2-metadata-token", METADATA),
    ("x-google-", METADATA),
];
const METADATA: &str = "opens the metadata services of clouds; take it out";

/// A webhook's custom headers by name.
pub type CustomHeaders = BTreeMap<HeaderName, Confidential>;

/// The name of a custom header: a token (RFC 9110 section 5.6.2) that is not forbidden, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeaderName(Arc<str>);

/// Why a text is no name of a custom header. Each begins behind "the name".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Empty, or with a character that no token has.
    #[error("is none: send letters, digits and !#$%&'*+-.^_`|~ only")]
    NoToken,
    /// A character that nobody sees.
    #[error("holds {0}: delete it")]
    Unseen(PastedCharacter),
    /// The service needs it, or it must not reach any endpoint.
    #[error("{0}")]
    Forbidden(&'static str),
}

/// Why a text is no value of a custom header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// Nothing but blanks.
    #[error("is empty: send a value, or take the header out")]
    Empty,
    /// RFC 9110 section 5.5: new values keep to visible ASCII; a line break would begin another header.
    #[error("holds {0}: send visible ASCII and blanks only")]
    NotVisible(PastedCharacter),
    /// A whole line was pasted.
    #[error("begins with the header's name and a colon: send only what stands behind them")]
    Line,
}

impl HeaderName {
    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if let Some(found) = first_unseen(text) {
            return Err(InvalidName::Unseen(found));
        }
        if text.is_empty() || !text.bytes().all(token) {
            return Err(InvalidName::NoToken);
        }
        let name = text.to_ascii_lowercase();
        let named = FORBIDDEN.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, why)| *why);
        let begun = || FORBIDDEN_PREFIXES.iter().find(|(start, _)| name.starts_with(start)).map(|(_, why)| *why);
        match named.or_else(begun) {
            Some(why) => Err(InvalidName::Forbidden(why)),
            None => Ok(Self(name.into())),
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the value of the custom header `name`. Blanks around it are no part of it (RFC 9110 section 5.5), nor is what a
/// paste brought along.
///
/// # Errors
/// See [`InvalidValue`].
pub fn value(name: &str, text: &str) -> Result<Confidential, InvalidValue> {
    let value = trimmed(text);
    if value.is_empty() {
        return Err(InvalidValue::Empty);
    }
    if value.split_once(':').is_some_and(|(begun, _)| begun.trim().eq_ignore_ascii_case(name.trim())) {
        return Err(InvalidValue::Line);
    }
    match first(value, |c| !c.is_ascii_graphic() && !matches!(c, ' ' | '\t')) {
        Some(found) => Err(InvalidValue::NotVisible(found)),
        None => Ok(value.into()),
    }
}

/// What counts towards [`HEADERS_BYTES_MAX`].
#[must_use]
pub fn bytes<'a>(headers: impl IntoIterator<Item = (&'a HeaderName, &'a Confidential)>) -> usize {
    headers.into_iter().map(|(name, value)| name.as_str().len() + value.expose().len()).sum()
}

/// The names whose values differ, and those that stand on one side only, in order.
#[must_use]
pub fn changed(before: &CustomHeaders, after: &CustomHeaders) -> Vec<HeaderName> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(*value)).map(|(name, _)| name);
    let mut names: Vec<HeaderName> = gone.chain(set).cloned().collect();
    names.sort();
    names
}

/// Whether two URLs have the same scheme, host and port, however they are spelled: letter case, the default port, the
/// Unicode form of a name and the dot behind it make no difference. A text that is no URL is equal to itself only.
#[must_use]
pub fn same_origin(one: &str, other: &str) -> bool {
    let origin = |text: &str| {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        let host = host.strip_suffix('.').unwrap_or(host).to_owned();
        Some((url.scheme().to_owned(), host, url.port_or_known_default()))
    };
    one == other || origin(one).is_some_and(|found| Some(found) == origin(other))
}

/// What a save does with one header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderChange {
    /// The value that is stored stays: [`MASK`] was sent.
    Keep,
    /// This is the value.
    Set(Confidential),
}

/// The value of a header as it is shown: [`MASK`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Masked {
    /// There is one.
    #[default]
    #[serde(rename = "***")]
    Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_token_in_lower_case() {
        for (text, name) in
            [("X-Api-Key", "x-api-key"), ("Authorization", "authorization"), ("a!#$%&'*+-.^_`|~1", "a!#$%&'*+-.^_`|~1")]
        {
            assert_eq!(text.parse::<HeaderName>().unwrap().as_str(), name);
        }
        for text in ["", "x:y", "é", "(x)", "\"x\""] {
            assert_eq!(text.parse::<HeaderName>(), Err(InvalidName::NoToken), "{text}");
        }
        for text in ["x api", "x\r\ny", "\u{0}", "x\u{200b}", " x"] {
            assert!(matches!(text.parse::<HeaderName>(), Err(InvalidName::Unseen(_))), "{text:?}");
        }
    }

    #[test]
    fn what_the_service_or_the_connection_needs_cannot_be_set() {
        let forbidden = [
            "Host",
            "connection",
            "Content-Length",
            "transfer-encoding",
            "TE",
            "trailer",
            "upgrade",
            "expect",
            "keep-alive",
            "Proxy-Authorization",
            "proxy-connection",
            "webhook-id",
            "Webhook-Signature",
            "content-type",
            "content-encoding",
            "User-Agent",
            "accept-encoding",
            "http2-settings",
            "Metadata",
            "metadata-flavor",
            "X-aws-ec2-metadata-token",
            "x-aws-ec2-metadata-token-ttl-seconds",
            "X-Google-Metadata-Request",
        ];
        for text in forbidden {
            assert!(matches!(text.parse::<HeaderName>(), Err(InvalidName::Forbidden(_))), "{text}");
        }
        for text in ["accept", "hosts", "x-webhook-id", "metadata-x", "cookie"] {
            assert!(text.parse::<HeaderName>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_value_is_visible_ascii_without_the_blanks_around_it() {
        assert_eq!(value("authorization", " \tBearer a b\t").unwrap().expose(), "Bearer a b");
        for line in ["Authorization: Bearer a b", "authorization : Basic YTpi"] {
            assert_eq!(value("Authorization", line), Err(InvalidValue::Line), "{line}");
        }
        assert!(value("x-callback", "https://crm.example/").is_ok());
        for text in ["", " ", "\t"] {
            assert_eq!(value("authorization", text), Err(InvalidValue::Empty));
        }
        for text in ["a\r\nx: y", "a\nb", "a\u{0}b", "a\u{7f}b", "é", "a\rb", "a\u{200b}b"] {
            assert!(matches!(value("authorization", text), Err(InvalidValue::NotVisible(_))), "{text:?}");
        }
        for text in ["a\n", "\u{feff}a", "a\u{200b}\u{a0}"] {
            assert_eq!(value("authorization", text).unwrap().expose(), "a", "{text:?}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_however_they_are_spelled() {
        let url = "https://crm.example/hook?a=b";
        for same in [
            "https://crm.example/other",
            "https://CRM.example",
            "HTTPS://crm.example:443/hook",
            "https://crm.example./hook",
            "https://crm.example:/hook#there",
        ] {
            assert!(same_origin(url, same), "{same}");
        }
        for other in [
            "http://crm.example/hook",
            "https://crm.example:8443/hook",
            "https://www.crm.example/hook",
            "https://crm.example.evil.example/hook",
            "https://evil.example/https://crm.example/hook",
            "https://evil.example#@crm.example/hook",
            "crm.example",
        ] {
            assert!(!same_origin(url, other) && !same_origin(other, url), "{other}");
        }
        for (one, other) in [
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
            ("http://127.0.0.1/", "http://0x7f.1:80/"),
            ("http://[::1]/", "http://[0:0::1]/"),
            ("no url", "no url"),
        ] {
            assert!(same_origin(one, other), "{one} {other}");
        }
    }

    #[test]
    fn the_names_that_changed_are_told_in_order() {
        let of = |pairs: &[(&str, &str)]| -> CustomHeaders {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), (*value).into())).collect()
        };
        let (before, after) = (of(&[("a", "1"), ("c", "1"), ("d", "1")]), of(&[("b", "1"), ("c", "2"), ("d", "1")]));
        assert_eq!(changed(&before, &after).iter().map(HeaderName::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(changed(&before, &before), []);
    }
}
