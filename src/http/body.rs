//! A request's body: bounded in size and time, declared as JSON or as a form.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use url::form_urlencoded;

use super::problem::{Problem, ProblemKind};
use crate::config::{REQUEST_BODY_MAX, REQUEST_READ_TIMEOUT};
use crate::message::marks;

/// A body of JSON as it came, without a byte order mark in front. May be empty; then nothing was declared either.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let declared_json = declares_json(request.headers());
        let bytes = read(request, state).await?;
        if declared_json || bytes.is_empty() {
            Ok(Self(bytes.slice(marks(&bytes)..)))
        } else {
            Err(Problem::new(ProblemKind::NotDeclaredJson, "send JSON with `Content-Type: application/json`"))
        }
    }
}

/// Reads the whole body: at most what the router's body limit says, within [`REQUEST_READ_TIMEOUT`].
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    match tokio::time::timeout(REQUEST_READ_TIMEOUT, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::new(ProblemKind::BodyTooLarge, format!("send at most {REQUEST_BODY_MAX} bytes")))
        }
        Ok(Err(_)) => Err(Problem::new(ProblemKind::BodyUnreadable, "the body broke off; send it again, whole")),
        Err(_) => {
            let limit = REQUEST_READ_TIMEOUT.as_secs();
            Err(Problem::new(ProblemKind::BodyTimeout, format!("send the whole body within {limit} s")))
        }
    }
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
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = declared.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail = "send a form with `Content-Type: application/x-www-form-urlencoded`";
            return Err(Problem::new(ProblemKind::NotDeclaredForm, detail));
        }
        let bytes = read(request, &()).await?;
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }
}
