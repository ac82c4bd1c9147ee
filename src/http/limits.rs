//! What holds for every request: how many at a time, and what a fault looks like.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::problem::{Kind, Problem};

/// Lets so many requests in at a time.
#[derive(Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }
}

/// Answers a request in a task of its own: a caller that goes away cancels nothing half done, the
/// request keeps its place in the gate until it is done, and a panic becomes an answer.
pub(super) async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Ok(permit) = gate.0.try_acquire_owned() else {
        return Problem::new(Kind::Overloaded, "too many requests are being answered; try again in a second")
            .into_response();
    };
    let answering = tokio::spawn(async move {
        let _permit = permit;
        next.run(request).await
    });
    let mut response = answering.await.unwrap_or_else(|fault| {
        tracing::error!(error = &fault as &dyn std::error::Error, "a request failed inside the facade");
        Problem::new(Kind::Internal, "the request failed inside the service; the operator's log says why")
            .into_response()
    });
    // Secrets, messages, states: nothing of a workspace belongs into a cache.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
