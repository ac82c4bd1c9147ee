//! What holds for every request and every answer: how many requests at a time, what a panic looks like, and
//! the headers that tell browsers what our answers may do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::public_origin::PublicOrigin;
use super::auth::shown::Shown;
use super::problem::{Problem, ProblemKind};
use super::state::FacadeState;
use crate::config::REQUEST_HEAD_MAX;
use crate::message::WorkspaceId;

/// Lets a request in while there is a place for its caller.
pub(super) async fn admit(State(state): State<Arc<FacadeState>>, request: Request, next: Next) -> Response {
    let named = workspace_in(request.uri().path());
    let shown = state.facade.access.shown_by(request.headers(), named.as_ref(), (state.facade.clock)());
    let place = match state.places.take(&shown) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let workspace = match shown {
        Shown::Workspace(workspace) => Some(workspace),
        Shown::Admin => named,
        Shown::Nothing => None,
    };
    let connection = request.extensions().get().cloned();
    let answer = next.run(request).await;
    drop(place);
    state.sending.hold(answer, workspace.as_ref(), connection).await
}

/// The workspace that a path names.
fn workspace_in(path: &str) -> Option<WorkspaceId> {
    let (_, rest) = path.split_once("/workspaces/")?;
    rest.split('/').next()?.parse().ok()
}

/// Answers a request in a task of its own: a caller that goes away cancels nothing half done, the
/// request holds its place until it is done, and a panic becomes an answer.
pub(super) async fn isolate(request: Request, next: Next) -> Response {
    let answering = tokio::spawn(async move { next.run(request).await });
    let mut response = answering.await.unwrap_or_else(|fault| {
        tracing::error!(error = &fault as &dyn std::error::Error, "a request failed inside the facade");
        Problem::new(ProblemKind::Internal, "the request failed inside the service; the operator's log says why")
            .into_response()
    });
    // Secrets, messages, states: nothing of a workspace belongs into a cache.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a page may load and where its forms may go: nothing of others, and no script or style inside
/// the page itself. A page that needs something else says so itself.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// How long a browser keeps to https: a year, in seconds.
const HTTPS_ONLY: &str = "max-age=31536000";

/// Adds the headers to every answer; those of pages to pages.
pub(super) async fn harden(State(origin): State<PublicOrigin>, request: Request, next: Next) -> Response {
    let mut response = if head_bytes(&request) > REQUEST_HEAD_MAX {
        let detail = format!("send at most {REQUEST_HEAD_MAX} bytes of path and headers");
        Problem::new(ProblemKind::HeadTooLarge, detail).into_response()
    } else if !names_its_host(&request) {
        let detail = "send one Host header with this service's name or address, as HTTP/1.1 asks";
        Problem::new(ProblemKind::InvalidHost, detail).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // No browser guesses a type other than the one we declare, and none tells others of our addresses.
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, REFERRER_POLICY, "no-referrer");
    if matches!(origin, PublicOrigin::Https { .. }) {
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

/// Whether a request has the one `Host` that HTTP/1.1 asks for (RFC 9112 section 3.2): of others the next server on the way
/// may read another one than we. Probes are answered in any case: those of balancers often send none, and one that fails
/// after an upgrade takes a whole service away.
fn names_its_host(request: &Request) -> bool {
    if request.version() != Version::HTTP_11 || matches!(request.uri().path(), "/healthz" | "/readyz") {
        return true;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    host.is_empty() || authority.is_some_and(|authority| !authority.as_str().contains('@'))
}

/// The path and the header lines, as they stood on the wire.
fn head_bytes(request: &Request) -> usize {
    const PUNCTUATION: usize = ": \r\n".len();
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + PUNCTUATION);
    request.uri().path_and_query().map_or(0, |path| path.as_str().len()) + lines.sum::<usize>()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
