//! What opens the facade: the admin token, tokens of workspaces, and how the screen may be signed in to.

use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::{Host, Url};

use super::Shared;
use super::auth::Caller;
use super::jwt::{Audience, Claims, TokenKey, Wrong};
use super::problem::Problem;
use crate::config::ADMIN_TOKEN_MIN;

/// What opens the facade.
#[derive(Debug)]
pub struct Access {
    /// Opens every workspace.
    pub admin: AdminToken,
    /// Signs what opens one workspace.
    pub key: TokenKey,
    /// How browsers reach the screen.
    pub front: Front,
}

/// The admin token, kept as its SHA-256 only.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

/// The text is too short to be an admin token.
#[derive(Debug, thiserror::Error)]
#[error("the admin token has {characters} characters; give it at least {ADMIN_TOKEN_MIN}")]
pub struct TokenTooShort {
    characters: usize,
}

impl AdminToken {
    /// Takes a token of at least [`ADMIN_TOKEN_MIN`] characters.
    ///
    /// # Errors
    /// It is shorter.
    pub fn new(token: &str) -> Result<Self, TokenTooShort> {
        let characters = token.chars().count();
        if characters < ADMIN_TOKEN_MIN { Err(TokenTooShort { characters }) } else { Ok(Self(digest(token))) }
    }

    /// Compares digests in constant time, so that neither a prefix nor the length shows.
    pub(super) fn opens(&self, presented: &str) -> bool {
        self.0.ct_eq(&digest(presented)).into()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Access {
    /// What a session says that the present admin token began.
    pub(super) fn admin_seal(&self) -> String {
        self.key.seal("admin session", &self.admin.0)
    }

    /// Whether the session was begun by a workspace token, or by the admin token that is in use now.
    pub(super) fn is_current(&self, session: &Claims) -> bool {
        session.adm.as_ref().is_none_or(|seal| seal.as_bytes().ct_eq(self.admin_seal().as_bytes()).into())
    }
}

/// How browsers reach the screen, which decides whether they may be given a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Front {
    /// By https at the public URL: `origin` is its scheme, host and port, `path` what stands before ours.
    Https {
        /// Such as `https://example.com`.
        origin: String,
        /// Such as `/outbound`, or nothing.
        path: String,
    },
    /// Only from this machine.
    Loopback,
    /// From elsewhere without https, as far as we know: a session would travel in the clear.
    Open,
}

impl Front {
    /// What follows from the public URL, if there is one, and the address that is listened on.
    #[must_use]
    pub fn new(public_url: Option<&str>, listen: SocketAddr) -> Self {
        let public = public_url.and_then(|url| Url::parse(url).ok());
        match public {
            Some(url) if url.scheme() == "https" => Self::Https {
                origin: url.origin().ascii_serialization(),
                path: url.path().trim_end_matches('/').to_owned(),
            },
            // Where browsers come by another name, there is a proxy between them and us.
            public if listen.ip().is_loopback() && public.as_ref().is_none_or(is_local) => Self::Loopback,
            _ => Self::Open,
        }
    }

    /// What stands before our paths in a browser.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Https { path, .. } => path,
            Self::Loopback | Self::Open => "",
        }
    }

    /// Whether a browser says that another site's page sent the request. It says so in `Sec-Fetch-Site`,
    /// which old ones lack, and in `Origin`, which is `null` for the forms of a page with our
    /// `Referrer-Policy`. A program that is no browser says neither.
    pub(super) fn is_cross_site(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or_default());
        let fetched = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
        let came =
            text(ORIGIN.as_str()).is_none_or(|origin| origin == "null" || self.is_own(origin, text(HOST.as_str())));
        !(fetched && came)
    }

    fn is_own(&self, origin: &str, host: Option<&str>) -> bool {
        match self {
            Self::Https { origin: own, .. } => origin == own,
            Self::Loopback | Self::Open => {
                host.is_some_and(|host| origin.strip_prefix("http://").is_some_and(|place| place == host))
            }
        }
    }
}

/// Whether a URL can only be this machine's.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Why a presented token does not tell who calls.
#[derive(Debug)]
pub(super) enum Unproven {
    /// It opens nothing.
    Wrong(Wrong),
    /// Whether it was revoked could not be read.
    Unread(Problem),
}

impl Shared {
    /// Who holds the token.
    pub(super) async fn recognise(&self, token: &str) -> Result<Caller, Unproven> {
        let access = &self.facade.access;
        if access.admin.opens(token) {
            return Ok(Caller::Admin);
        }
        let claims = access.key.verify(token, Audience::Api, (self.facade.clock)()).map_err(Unproven::Wrong)?;
        self.unrevoked(claims).await.map(|claims| Caller::Workspace(claims.into()))
    }

    /// The claims, if their workspace's tokens were not revoked since.
    pub(super) async fn unrevoked(&self, claims: Claims) -> Result<Claims, Unproven> {
        let read = self.within_reads(self.facade.journal.snapshot(&claims.ws)).await;
        let state = read.map_err(Unproven::Unread)?;
        if state.token_generation == claims.generation { Ok(claims) } else { Err(Unproven::Wrong(Wrong::Revoked)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(public_url: Option<&str>, listen: &str) -> Front {
        Front::new(public_url, listen.parse().unwrap())
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn https_in_public_or_a_loopback_address_may_have_sessions() {
        let https = Front::Https { origin: "https://example.com".to_owned(), path: "/outbound".to_owned() };
        assert_eq!(front(Some("https://example.com/outbound"), "0.0.0.0:80"), https);
        assert_eq!(front(Some("http://localhost:8080"), "127.0.0.1:8080"), Front::Loopback);
        assert_eq!(front(None, "[::1]:8080"), Front::Loopback);
        assert_eq!(front(Some("http://127.0.0.1:8080"), "127.0.0.1:8080"), Front::Loopback);
        assert_eq!(front(Some("http://example.com"), "127.0.0.1:8080"), Front::Open);
        assert_eq!(front(Some("http://example.com"), "0.0.0.0:8080"), Front::Open);
        assert_eq!(front(None, "10.0.0.1:8080"), Front::Open);
    }

    #[test]
    fn a_browser_that_names_another_site_is_told_apart_from_one_that_names_ours_and_from_a_program() {
        let https = front(Some("https://example.com"), "0.0.0.0:80");
        let loopback = front(None, "127.0.0.1:8080");
        for own in [
            headers(&[]),
            headers(&[("origin", "null"), ("sec-fetch-site", "same-origin")]),
            headers(&[("sec-fetch-site", "none")]),
            headers(&[("origin", "null")]),
        ] {
            assert!(!https.is_cross_site(&own) && !loopback.is_cross_site(&own), "{own:?}");
        }
        let host = ("host", "127.0.0.1:8080");
        assert!(!https.is_cross_site(&headers(&[("origin", "https://example.com")])));
        assert!(!loopback.is_cross_site(&headers(&[("origin", "http://127.0.0.1:8080"), host])));
        for foreign in [
            headers(&[("origin", "https://example.com.evil.example"), host]),
            headers(&[("origin", "http://127.0.0.1:9999"), host]),
            headers(&[("origin", "null"), ("sec-fetch-site", "cross-site"), host]),
            headers(&[("sec-fetch-site", "same-site"), host]),
            headers(&[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin"), host]),
        ] {
            assert!(https.is_cross_site(&foreign) && loopback.is_cross_site(&foreign), "{foreign:?}");
        }
    }
}
