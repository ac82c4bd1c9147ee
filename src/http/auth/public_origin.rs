//! How browsers reach the screen, and whether a request comes from our own pages.

use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use url::{Host, Url};

/// How browsers reach the screen, which decides whether they may be given a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicOrigin {
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

impl PublicOrigin {
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
    pub(in crate::http) fn path(&self) -> &str {
        match self {
            Self::Https { path, .. } => path,
            Self::Loopback | Self::Open => "",
        }
    }

    /// Whether a browser says that another site's page sent the request. It says so in `Sec-Fetch-Site`,
    /// which old ones lack, and in `Origin`, which is `null` for the forms of a page with our
    /// `Referrer-Policy`. A program that is no browser says neither.
    pub(in crate::http) fn is_cross_site(&self, headers: &HeaderMap) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(public_url: Option<&str>, listen: &str) -> PublicOrigin {
        PublicOrigin::new(public_url, listen.parse().unwrap())
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn https_in_public_or_a_loopback_address_may_have_sessions() {
        let https = PublicOrigin::Https { origin: "https://example.com".to_owned(), path: "/outbound".to_owned() };
        assert_eq!(origin(Some("https://example.com/outbound"), "0.0.0.0:80"), https);
        assert_eq!(origin(Some("http://localhost:8080"), "127.0.0.1:8080"), PublicOrigin::Loopback);
        assert_eq!(origin(None, "[::1]:8080"), PublicOrigin::Loopback);
        assert_eq!(origin(Some("http://127.0.0.1:8080"), "127.0.0.1:8080"), PublicOrigin::Loopback);
        assert_eq!(origin(Some("http://example.com"), "127.0.0.1:8080"), PublicOrigin::Open);
        assert_eq!(origin(Some("http://example.com"), "0.0.0.0:8080"), PublicOrigin::Open);
        assert_eq!(origin(None, "10.0.0.1:8080"), PublicOrigin::Open);
    }

    #[test]
    fn a_browser_that_names_another_site_is_told_apart_from_one_that_names_ours_and_from_a_program() {
        let https = origin(Some("https://example.com"), "0.0.0.0:80");
        let loopback = origin(None, "127.0.0.1:8080");
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
