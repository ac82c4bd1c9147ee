//! The cookie that holds a session of the screen: its name, how it is set and taken back, and how it is found.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use super::public_origin::PublicOrigin;

/// The cookie's name. The prefix binds it to this host and to https (RFC 6265bis section 4.1.3.2).
fn name(origin: &PublicOrigin) -> &'static str {
    match origin {
        PublicOrigin::Https { .. } => "__Host-outbound",
        PublicOrigin::Loopback | PublicOrigin::Open => "outbound",
    }
}

pub(in crate::http) fn set_cookie(origin: &PublicOrigin, token: &str, seconds: i64) -> String {
    let secure = if matches!(origin, PublicOrigin::Https { .. }) { "; Secure" } else { "" };
    format!("{}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(origin))
}

pub(in crate::http) fn removal(origin: &PublicOrigin) -> String {
    set_cookie(origin, "", 0)
}

/// The session's cookie, where there may be one.
pub(in crate::http) fn cookie<'a>(headers: &'a HeaderMap, origin: &PublicOrigin) -> Option<&'a str> {
    if *origin == PublicOrigin::Open {
        return None;
    }
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(';'));
    let mut named = all.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name(origin));
    named.next().map(|(_, token)| token).filter(|token| !token.is_empty())
}
