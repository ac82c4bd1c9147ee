//! The built-in receiver: an endpoint to try the service against (`outbound receive`, `outbound demo`).
//!
//! It takes any POST, verifies the signature where it knows the secret, reports what came, and
//! answers as it was told. It never answers by what it verified: the report tells, so that a try-out
//! with a wrong secret is not switched off behind its back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::mpsc::Sender;

use super::body::{self, BODY};
use super::problem::{method_not_allowed, no_such_path};
use crate::sign::{self, ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, VerifyError};
use crate::workspace::time::{Clock, Time};

/// How the receiver treats requests for one path.
#[derive(Debug, Clone)]
pub struct Treatment {
    /// What the signature is verified with.
    pub secret: Option<Secret>,
    /// What is answered: 200 to 599.
    pub status: u16,
    /// How long the answer is held back.
    pub delay: Duration,
}

/// Says how requests for a path are treated; asked for each.
pub type Treat = Arc<dyn Fn(&str) -> Treatment + Send + Sync>;

/// One request, as it is reported before it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// When its body was complete.
    pub at: Time,
    /// Path and query.
    pub path: String,
    /// `webhook-id`, if there was one.
    pub webhook_id: Option<String>,
    /// Whether it is from who it says.
    pub signature: Signature,
    /// The body as it came.
    pub body: Bytes,
}

/// What became of the verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// No secret is known.
    Unchecked,
    /// It is right.
    Verified,
    /// It is not.
    Refused(Refused),
}

/// Why a request was not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header is absent or not as the Standard Webhooks specification wants it.
    #[error("the header {0} is absent or unreadable: is this a webhook of outbound?")]
    Header(&'static str),
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] VerifyError),
}

/// The receiver's routes. `reports` bounds how much is under way: while it is full, callers wait.
pub fn receiver(treat: Treat, reports: Sender<Received>, clock: Clock) -> Router {
    let receiver = Receiver { treat, reports, clock };
    Router::new()
        .route("/", post(receive))
        .route("/{*path}", post(receive))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(receiver)
}

#[derive(Clone)]
struct Receiver {
    treat: Treat,
    reports: Sender<Received>,
    clock: Clock,
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> Response {
    let headers = request.headers().clone();
    let uri = request.uri().clone();
    let body = match body::read(request.into_body(), BODY).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let treatment = (receiver.treat)(uri.path());
    let at = (receiver.clock)();
    let signature = match treatment.secret.as_ref().map(|secret| verify(secret, &headers, &body, at)) {
        None => Signature::Unchecked,
        Some(Ok(())) => Signature::Verified,
        Some(Err(refused)) => Signature::Refused(refused),
    };
    let path = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
    let webhook_id = header(&headers, ID_HEADER).ok().map(str::to_owned);
    let report = Received { at, path, webhook_id, signature, body };
    if receiver.reports.send(report).await.is_err() {
        // Nobody listens any more: the receiver is about to end, and what it takes in would be lost.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    tokio::time::sleep(treatment.delay).await;
    StatusCode::from_u16(treatment.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
}

fn verify(secret: &Secret, headers: &HeaderMap, body: &[u8], now: Time) -> Result<(), Refused> {
    let id = header(headers, ID_HEADER)?;
    let timestamp = header(headers, TIMESTAMP_HEADER)?.parse().map_err(|_| Refused::Header(TIMESTAMP_HEADER))?;
    let signatures = header(headers, SIGNATURE_HEADER)?;
    Ok(sign::verify(secret, id, timestamp, body, signatures, now.unix_seconds())?)
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refused> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Refused::Header(name))
}
