//! The headers that tell browsers what our answers may do.

use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::access::Front;

/// What a page may load and where its forms may go: nothing of others, and no script or style inside
/// the page itself. A page that needs something else says so itself.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// How long a browser keeps to https: a year, in seconds.
const HTTPS_ONLY: &str = "max-age=31536000";

/// Adds the headers to every answer; those of pages to pages.
pub(super) async fn harden(State(front): State<Front>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // No browser guesses a type other than the one we declare, and none tells others of our addresses.
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, REFERRER_POLICY, "no-referrer");
    if matches!(front, Front::Https { .. }) {
        set(headers, STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"text/html"));
    if is_page {
        if !headers.contains_key(CONTENT_SECURITY_POLICY) {
            set(headers, CONTENT_SECURITY_POLICY, PAGE_POLICY);
        }
        // For browsers that do not know frame-ancestors.
        set(headers, X_FRAME_OPTIONS, "DENY");
        set(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
