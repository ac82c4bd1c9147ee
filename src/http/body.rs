//! A request's body: bounded in size and time, declared as JSON or as a form.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::LengthLimitError;
use url::form_urlencoded;

use super::problem::{Problem, ProblemKind};
use crate::config::{REQUEST_BODY_MAX, REQUEST_READ_TIMEOUT};
use crate::message::marks;

/// A body of JSON as it came, without a byte order mark in front. May be empty; then nothing was declared either.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let declared_json = declares_json(request.headers());
        let bytes = read(request.into_body(), BODY).await?;
        if declared_json || bytes.is_empty() {
            Ok(Self(bytes.slice(marks(&bytes)..)))
        } else {
            Err(Problem::new(ProblemKind::NotDeclaredJson, "send JSON with `Content-Type: application/json`"))
        }
    }
}

/// How large a body may be, and how long it may take to arrive.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyBound {
    pub(super) bytes: usize,
    pub(super) within: Duration,
}

/// Holds for every body of which nothing else is said.
pub(super) const BODY: BodyBound = BodyBound { bytes: REQUEST_BODY_MAX, within: REQUEST_READ_TIMEOUT };

/// Reads the whole body within the bound.
pub(super) async fn read(body: Body, bound: BodyBound) -> Result<Bytes, Problem> {
    let BodyBound { bytes, within } = bound;
    let too_large = || Problem::new(ProblemKind::BodyTooLarge, format!("send at most {bytes} bytes"));
    // A length that is told beforehand is believed: what is refused anyway is not waited for.
    if body.size_hint().lower() > bytes as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(within, to_bytes(body, bytes)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(ProblemKind::BodyUnreadable, "the body broke off; send it again, whole")),
        Err(_) => {
            let detail = format!("send the whole body within {} s", within.as_secs());
            Err(Problem::new(ProblemKind::BodyTimeout, detail))
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<LengthLimitError>())
}

/// `application/json` or any `application/…+json`, whatever parameters follow.
fn declares_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The fields of a form.
pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// The field's value; a field that is missing is empty, one that stands twice counts as it comes first.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Reads the fields of a request that declares a form.
    pub(super) async fn read(request: Request, bound: BodyBound) -> Result<Self, Problem> {
        let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = declared.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail = "send a form with `Content-Type: application/x-www-form-urlencoded`";
            return Err(Problem::new(ProblemKind::NotDeclaredForm, detail));
        }
        let bytes = read(request.into_body(), bound).await?;
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }
}
