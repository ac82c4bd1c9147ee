//! A request's body: bounded in size and time, declared as JSON, otherwise untouched.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};

use super::problem::{Kind, Problem};
use crate::config::{REQUEST_BODY_MAX, REQUEST_READ_TIMEOUT};

/// The bytes as they came. May be empty; then nothing was declared either.
pub(super) struct Body(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let declared_json = declares_json(request.headers());
        let bytes = read(request, state).await?;
        if declared_json || bytes.is_empty() {
            Ok(Self(bytes))
        } else {
            Err(Problem::new(Kind::NotDeclaredJson, "send JSON with `Content-Type: application/json`"))
        }
    }
}

/// Reads the whole body: at most what the router's body limit says, within [`REQUEST_READ_TIMEOUT`].
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    match tokio::time::timeout(REQUEST_READ_TIMEOUT, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::new(Kind::BodyTooLarge, format!("send at most {REQUEST_BODY_MAX} bytes")))
        }
        Ok(Err(_)) => Err(Problem::new(Kind::BodyUnreadable, "the body broke off; send it again, whole")),
        Err(_) => {
            let limit = REQUEST_READ_TIMEOUT.as_secs();
            Err(Problem::new(Kind::BodyTimeout, format!("send the whole body within {limit} s")))
        }
    }
}

/// `application/json` or any `application/…+json`, whatever parameters follow.
fn declares_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}
