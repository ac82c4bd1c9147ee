//! A request's body: bounded in size and time, declared as JSON or as a form.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::problem::{Problem, ProblemKind};
use crate::config::{REQUEST_BODY_MAX, REQUEST_READ_TIMEOUT};
use crate::message::{HALF_OF_A_CHARACTER, OtherEncoding, bare, half_of_a_character};

/// A body of JSON as it came, without what programs put around texts. May be empty; then nothing was declared either.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (declared_json, path) = (declares_json(request.headers()), request.uri().path().to_owned());
        let bytes = read(request.into_body(), BODY).await?;
        if declared_json || bytes.is_empty() {
            Ok(Self(bytes.slice_ref(bare(&bytes))))
        } else {
            let many = "; many messages, one a line, with `application/x-ndjson`";
            let many = if path.ends_with("/messages") { many } else { "" };
            let detail = format!("send JSON with `Content-Type: application/json`{many}");
            Err(Problem::new(ProblemKind::NotDeclaredJson, detail))
        }
    }
}

/// Whether the body is declared as JSON objects, one a line (NDJSON, JSON lines, a text sequence of RFC 7464).
pub(super) fn declares_lines(headers: &HeaderMap) -> bool {
    matches!(
        media(headers).as_str(),
        "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/json-seq"
    )
}

/// The members of a body that is one object of JSON. `undone` says what was not done, `example` is an object as it
/// should be; what is no such object is of the kind `kind`.
pub(super) fn object<T: DeserializeOwned>(
    body: &[u8],
    kind: ProblemKind,
    undone: &str,
    example: &str,
) -> Result<T, Problem> {
    let wanted = format!("{undone}; send one JSON object, such as {example}");
    serde_json::from_slice::<&RawValue>(body).map_err(|error| not_json(body, &error, &wanted))?;
    // What is derived reads an array as the members in their order, and names our types where it reads nothing.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::new(kind, wanted));
    }
    serde_json::from_slice(body).map_err(|error| {
        let why = half(body).unwrap_or_else(|| error.to_string());
        Problem::new(kind, format!("{wanted}: {why}"))
    })
}

/// What to say of a body of JSON of which a name or a value is no text.
pub(super) fn half(body: &[u8]) -> Option<String> {
    half_of_a_character(body)
        .map(|at| format!("its byte {} begins {HALF_OF_A_CHARACTER}; cut texts between characters", at + 1))
}

/// What to say of a body that is not JSON; `wanted` says what is.
pub(super) fn not_json(body: &[u8], error: &serde_json::Error, wanted: &str) -> Problem {
    let detail = if let Some(other) = OtherEncoding::of(body) {
        format!("the body is {other}")
    } else if let Err(error) = std::str::from_utf8(body) {
        format!("the body is not UTF-8 (its byte {} is none): encode it as UTF-8", error.valid_up_to() + 1)
    } else if body.is_empty() {
        format!("the body is empty: {wanted}")
    } else {
        format!("{wanted}: {error}")
    };
    Problem::new(ProblemKind::InvalidJson, detail)
}

/// How large a body may be, and how long it may take to arrive.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyBound {
    pub(super) bytes: usize,
    pub(super) within: Duration,
}

/// Holds for every body of which nothing else is said.
pub(super) const BODY: BodyBound = BodyBound { bytes: REQUEST_BODY_MAX, within: REQUEST_READ_TIMEOUT };

/// Reads the whole body within the bound. Of one that is larger twice the bound is passed over, so that a caller who
/// is still writing gets the answer.
pub(super) async fn read(body: Body, bound: BodyBound) -> Result<Bytes, Problem> {
    let BodyBound { bytes, within } = bound;
    match tokio::time::timeout(within, collect(body, bytes)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(Problem::new(ProblemKind::BodyTooLarge, format!("send at most {bytes} bytes"))),
        Ok(Err(_)) => Err(Problem::new(ProblemKind::BodyUnreadable, "the body broke off; send it again, whole")),
        Err(_) => {
            let detail = format!("send the whole body within {} s", within.as_secs());
            Err(Problem::new(ProblemKind::BodyTimeout, detail))
        }
    }
}

/// The body; `None` when it has more than `max` bytes.
async fn collect(mut body: Body, max: usize) -> Result<Option<Bytes>, axum::Error> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut read = Vec::with_capacity(if told <= max { told } else { 0 });
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        seen += data.len();
        if seen <= max {
            read.extend_from_slice(&data);
        } else if seen > 2 * max {
            break;
        }
    }
    Ok((seen <= max).then(|| read.into()))
}

/// `application/json` or any `application/…+json`, whatever parameters follow.
fn declares_json(headers: &HeaderMap) -> bool {
    let media = media(headers);
    media.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The declared type without parameters, in lower case.
fn media(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The fields of a form.
pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// The field's value; a field that is missing is empty, one that stands twice counts as it comes first.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether the field came.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
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
