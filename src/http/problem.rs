//! Every error as a problem document (RFC 9457).
//!
//! `type` is `urn:outbound:problem:<name>`: absolute, as RFC 9457 section 3.1.1 asks, and the same
//! wherever the service runs. Programs decide by `type` and `status`; `detail` is one sentence for
//! people that says what to do. What is wrong with members of the body stands in `errors`, all of it
//! at once. Causes go to the log, never to the caller.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{CHANGES_TOLD_MAX, WRONG_TOKENS_WINDOW};
use crate::workspace::command::Refusal;
use crate::workspace::history::{self, ConfigurationChange};
use crate::workspace::wording;

mod causes;

/// The classes of errors: the last part of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProblemKind {
    /// No token, or a wrong one.
    Unauthorized,
    /// The token opens the workspace, but not this call.
    AdminOnly,
    /// Too many wrong tokens from one address.
    TooManyFailures,
    /// A form that no page of this session sent. Nothing is changed.
    ForeignForm,
    /// The path names nothing, or nothing that the token may see.
    NotFound,
    /// The path has no such method; `Allow` tells which it has.
    MethodNotAllowed,
    /// The workspace id breaks its rule ([contract, section 1](crate::docs::contract#1-the-message-in)).
    InvalidWorkspace,
    /// The body is not JSON.
    InvalidJson,
    /// The body is not declared as JSON.
    NotDeclaredJson,
    /// The body is not declared as a form.
    NotDeclaredForm,
    /// The request names no host, or several.
    InvalidHost,
    /// The request's head is larger than one may be.
    HeadTooLarge,
    /// The body is larger than a message may be.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body broke off.
    BodyUnreadable,
    /// The webhook's new configuration breaks a rule; `errors` tells which. Nothing is saved.
    InvalidWebhook,
    /// What is asked of a new token breaks a rule; `errors` tells which. No token is made.
    InvalidTokenRequest,
    /// What is asked of a rotation breaks a rule; `errors` tells which. Nothing is rotated.
    InvalidRotation,
    /// The message breaks a rule ([contract, section 1](crate::docs::contract#1-the-message-in)). Nothing is stored.
    InvalidMessage,
    /// A rejected entry is still not valid. It stays where it is.
    StillInvalid,
    /// A parameter behind the `?` breaks a rule.
    InvalidQuery,
    /// The webhook was never saved, so it has no secret.
    NoSecret,
    /// `If-Match` is no list of entity tags, or `If-None-Match` is not `*`. Nothing is saved.
    InvalidIfMatch,
    /// Somebody saved since the caller read the webhook. Nothing is saved.
    ChangedMeanwhile,
    /// One test at a time a workspace. Nothing is saved.
    TestUnderWay,
    /// One test a second a workspace. Nothing is saved.
    TestTooSoon,
    /// Three test mails a day a workspace. None is sent.
    TooManyTestMails,
    /// A sample is only for workspaces without a message. Nothing is sent.
    HasMessages,
    /// A token more than are remembered.
    TooManyTokens,
    /// What an attempt sent was not kept. Nothing is sent.
    BodyOmitted,
    /// Too many commands wait on the workspace's shard. Nothing is stored.
    TooManyCommands,
    /// The workspace's journal cannot be read. Nothing is applied.
    WorkspaceUnavailable,
    /// Secrets are encrypted in this journal, and this node has no key. Nothing is applied.
    NoSecretKey,
    /// Stored, but not answered in time.
    OutcomeUnknown,
    /// The store is out of memory. Nothing is stored.
    StoreFull,
    /// The store is away; the detail says whether anything may have been stored.
    StoreAway,
    /// The store answers and refuses what the service asks of it; the detail says whether anything may have been stored.
    StoreRefuses,
    /// Too many live streams at a time.
    TooManyStreams,
    /// Too many requests at a time.
    Overloaded,
    /// A fault of ours.
    Internal,
}

/// Whoever is told to stop may try again after that at the latest.
const WINDOW_SECONDS: u64 = WRONG_TOKENS_WINDOW.as_secs();

impl ProblemKind {
    /// Status, last part of `type`, title, and `Retry-After` in seconds where trying again helps.
    #[allow(clippy::too_many_lines, reason = "a table with a row for each kind")]
    pub(super) const fn row(self) -> (StatusCode, &'static str, &'static str, Option<u64>) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "No valid token", None),
            Self::AdminOnly => (StatusCode::FORBIDDEN, "admin-only", "Needs the admin token", None),
            Self::TooManyFailures => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-failures", "Too many wrong tokens", Some(WINDOW_SECONDS))
            }
            Self::ForeignForm => (StatusCode::FORBIDDEN, "foreign-form", "A form from elsewhere", None),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Nothing here", None),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", None)
            }
            Self::InvalidWorkspace => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-workspace", "Invalid workspace id", None)
            }
            Self::InvalidJson => (StatusCode::BAD_REQUEST, "invalid-json", "The body is not JSON", None),
            Self::NotDeclaredJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is not declared as JSON", None)
            }
            Self::NotDeclaredForm => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is not declared as a form",
                None,
            ),
            Self::InvalidHost => (StatusCode::BAD_REQUEST, "invalid-host", "Not one Host header", None),
            Self::HeadTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "The head is too large", None)
            }
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", None),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body came too slowly", None),
            Self::BodyUnreadable => (StatusCode::BAD_REQUEST, "body-unreadable", "The body broke off", None),
            Self::InvalidWebhook => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-webhook", "Invalid webhook, nothing was saved", None)
            }
            Self::InvalidTokenRequest => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-token-request", "No token was made", None)
            }
            Self::InvalidRotation => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-rotation", "Nothing was rotated", None)
            }
            Self::InvalidMessage => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-message", "Invalid message, nothing was stored", None)
            }
            Self::StillInvalid => {
                (StatusCode::UNPROCESSABLE_ENTITY, "still-invalid", "Still not valid, nothing was requeued", None)
            }
            Self::InvalidQuery => (StatusCode::BAD_REQUEST, "invalid-query", "Invalid parameters", None),
            Self::NoSecret => (StatusCode::NOT_FOUND, "no-secret", "No signing secret yet", None),
            Self::InvalidIfMatch => (StatusCode::BAD_REQUEST, "invalid-if-match", "Invalid condition", None),
            Self::ChangedMeanwhile => {
                (StatusCode::PRECONDITION_FAILED, "changed-meanwhile", "Changed meanwhile, nothing was saved", None)
            }
            Self::TestUnderWay => (StatusCode::CONFLICT, "test-under-way", "A test is under way", None),
            Self::TestTooSoon => (StatusCode::TOO_MANY_REQUESTS, "test-too-soon", "One test a second", Some(1)),
            Self::TooManyTestMails => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-test-mails", "Too many test mails", None)
            }
            Self::HasMessages => (StatusCode::CONFLICT, "has-messages", "The workspace has messages", None),
            Self::TooManyTokens => (StatusCode::CONFLICT, "too-many-tokens", "Too many tokens", None),
            Self::BodyOmitted => (StatusCode::CONFLICT, "body-omitted", "The body was not kept", None),
            Self::TooManyCommands => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-commands", "Too many commands wait", Some(2))
            }
            Self::WorkspaceUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "workspace-unavailable", "Workspace unavailable", None)
            }
            Self::NoSecretKey => (StatusCode::SERVICE_UNAVAILABLE, "no-secret-key", "No key for secrets", None),
            Self::OutcomeUnknown => (StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown", "Outcome unknown", None),
            Self::StoreFull => (StatusCode::SERVICE_UNAVAILABLE, "store-full", "The store is full", Some(5)),
            Self::StoreAway => (StatusCode::SERVICE_UNAVAILABLE, "store-away", "The store is away", Some(2)),
            Self::StoreRefuses => (StatusCode::SERVICE_UNAVAILABLE, "store-refuses", "The store refuses", None),
            Self::TooManyStreams => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-streams", "Too many live streams", Some(5))
            }
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many requests at a time", Some(1)),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault of the service", None),
        }
    }
}

/// One error, ready to be answered.
#[derive(Debug)]
pub(super) struct Problem {
    kind: ProblemKind,
    detail: String,
    errors: Vec<MemberError>,
    /// What was saved meanwhile, newest first.
    changes: Vec<ConfigurationChange>,
}

/// What is wrong with one member of the body.
#[derive(Debug, Serialize, ToSchema, PartialEq, Eq)]
pub(super) struct MemberError {
    /// The member's name.
    pub(super) member: String,
    /// One sentence that says what to do.
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), changes: Vec::new() }
    }

    /// A body is refused for these reasons; `undone` says what was not done for that.
    pub(super) fn invalid(kind: ProblemKind, undone: &str, errors: Vec<MemberError>) -> Self {
        let detail = format!("{undone}: correct each member that stands in `errors` and send it again");
        Self { errors, ..Self::new(kind, detail) }
    }

    /// The webhook's new configuration is refused for these reasons.
    pub(super) fn invalid_webhook(errors: Vec<MemberError>) -> Self {
        Self::invalid(ProblemKind::InvalidWebhook, "nothing was saved", errors)
    }

    /// Somebody saved above the seq `since`; `changes` is the history, newest first.
    pub(super) fn changed_meanwhile(changes: Vec<ConfigurationChange>, since: u64) -> Self {
        let Some(meanwhile) = history::meanwhile(&changes, since) else {
            return Refusal::ChangedMeanwhile.into();
        };
        let detail = format!(
            "nothing was saved: the webhook was {} (at {}); read it again, then save with the new ETag",
            meanwhile.sentence(),
            meanwhile.at
        );
        let is_later = |change: &ConfigurationChange| change.id.parse::<u64>().is_ok_and(|seq| seq > since);
        let changes = changes.into_iter().take(CHANGES_TOLD_MAX).filter(is_later).collect();
        Self { changes, ..Self::new(ProblemKind::ChangedMeanwhile, detail) }
    }

    /// The same, with what came before it.
    pub(super) fn behind(self, told: &str) -> Self {
        Self { detail: format!("{told}: {}", self.detail), ..self }
    }

    /// Whether nothing was saved because somebody else had saved meanwhile.
    pub(super) fn is_changed_meanwhile(&self) -> bool {
        self.kind == ProblemKind::ChangedMeanwhile
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> ProblemKind {
        self.kind
    }

    pub(super) fn status(&self) -> StatusCode {
        self.kind.row().0
    }

    /// What is wrong with members of the body, in the order of the members.
    pub(super) fn errors(self) -> Vec<MemberError> {
        self.errors
    }

    /// The detail as a page shows it: with a capital and a full stop.
    pub(super) fn page_text(&self) -> String {
        wording::sentence(&self.detail)
    }

    /// The title of the class, for a page.
    pub(super) fn title(&self) -> &'static str {
        self.kind.row().2
    }

    /// `Retry-After`, where trying again helps.
    pub(super) fn retry_after(&self) -> Option<HeaderValue> {
        self.kind.row().3.map(HeaderValue::from)
    }

    fn invalid_member(member: String, refusal: &Refusal) -> Self {
        Self::invalid_webhook(vec![MemberError { member, detail: refusal.to_string() }])
    }

    pub(super) fn store_away(detail: &str) -> Self {
        Self::new(ProblemKind::StoreAway, detail)
    }

    /// The store was away while an entry was requeued.
    pub(super) fn requeue_unknown() -> Self {
        Self::store_away("the store is away, the entry may have been requeued; list the rejected entries to see")
    }

    /// The store was away while a message was published.
    pub(super) fn publish_unknown() -> Self {
        Self::store_away("the store is away, the message may have been stored; published again it may be sent twice")
    }
}

/// Whether what was asked for may have been done all the same, by the `type` of a problem that it was answered with.
#[must_use]
pub fn is_outcome_unknown(kind: &str) -> bool {
    let unknown = [ProblemKind::StoreAway, ProblemKind::OutcomeUnknown];
    unknown.into_iter().any(|unknown| kind == urn(unknown.row().1))
}

pub(super) fn urn(name: &str) -> String {
    format!("urn:outbound:problem:{name}")
}

/// The document's members, in the order of RFC 9457 section 3.1.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// The class of the error, for programs.
    #[schema(pattern = "^urn:outbound:problem:[a-z-]+$")]
    r#type: String,
    /// The class in words: the same for every error of the class.
    title: &'a str,
    /// The status of the response.
    status: u16,
    /// One sentence that says what is wrong and what to do.
    detail: &'a str,
    /// What is wrong with members of the body, all of it at once; absent where nothing is.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [MemberError],
    /// What was changed since the caller read the webhook, newest first; absent where nothing is known of it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changes: &'a [ConfigurationChange],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title, _) = self.kind.row();
        let document = Document {
            r#type: urn(name),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
            changes: &self.changes,
        };
        let mut response = (status, axum::Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, seconds);
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"outbound\""));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::ChangedMeanwhile => ProblemKind::ChangedMeanwhile,
            Refusal::HasMessages => ProblemKind::HasMessages,
            Refusal::NoSuchAttempt => ProblemKind::NotFound,
            Refusal::TestUnderWay => ProblemKind::TestUnderWay,
            Refusal::TestTooSoon => ProblemKind::TestTooSoon,
            Refusal::TooManyTestMails => ProblemKind::TooManyTestMails,
            Refusal::EnabledWithoutUrl => return Self::invalid_member("enabled".to_owned(), &refusal),
            Refusal::NoHeaderValue { ref name } => return Self::invalid_member(format!("headers.{name}"), &refusal),
            Refusal::HeadersOfAnotherOrigin { ref names } => {
                let wrong = |name| MemberError { member: format!("headers.{name}"), detail: refusal.to_string() };
                return Self::invalid_webhook(names.iter().map(wrong).collect());
            }
            Refusal::TooManyHeaders => return Self::invalid_member("headers".to_owned(), &refusal),
            Refusal::NoSecret => ProblemKind::NoSecret,
            Refusal::TooManyTokens => ProblemKind::TooManyTokens,
            Refusal::NoSuchToken => ProblemKind::NotFound,
            Refusal::NoSecretKey => ProblemKind::NoSecretKey,
            Refusal::WorkspaceUnavailable => ProblemKind::WorkspaceUnavailable,
            Refusal::Internal => ProblemKind::Internal,
        };
        Self::new(kind, refusal.to_string())
    }
}

/// The answer where no route leads.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(PATH_SHOWN_MAX).collect();
    Problem::new(
        ProblemKind::NotFound,
        format!(
            "there is nothing at {path}; /docs describes every call, and GET /v1/workspaces/<id>/webhook is the place to start"
        ),
    )
}

/// Characters of a wrong path that are shown at most.
const PATH_SHOWN_MAX: usize = 200;

/// The answer where a route leads, but not for this method. The router adds `Allow`.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(PATH_SHOWN_MAX).collect();
    Problem::new(
        ProblemKind::MethodNotAllowed,
        format!("{path} does not take {method}; use a method of the Allow header"),
    )
}
