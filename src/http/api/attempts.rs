//! `/v1/workspaces/{ws}/attempts`: the last 100 attempts, short and (as the log) whole, and each as it is
//! made.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, FromRequestParts, Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::ContentBuilder;

use super::webhook::Tested;
use crate::http::auth::caller::Scope;
use crate::http::connections::ConnectionHandle;
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{COMMAND, READ, TEST, TOKEN, WORKSPACE};
use crate::http::openapi::schemas::{Schemas, array, text};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::server::Draining;
use crate::http::state::{Applied, FacadeState};
use crate::message::{RawMessage, WorkspaceId};
use crate::workspace::command::{Action, Refusal, SentMessage};
use crate::workspace::event::{self, Attempt, Header, STORE_FULL};
use crate::workspace::state::Summary;

/// The short form.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempts)]
pub(in crate::http) struct AttemptList {
    /// Newest first, at most 100.
    attempts: Vec<Summary>,
}

pub(in crate::http) async fn list(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<Json<AttemptList>, Problem> {
    let reading = state.reader.workspace(&scope.workspace).await?;
    let attempts = reading.attempts.iter().map(|(seq, attempt)| Summary::new(*seq, attempt)).collect();
    Ok(Json(AttemptList { attempts }))
}

/// Download log: the same attempts with request and response, as a file.
pub(in crate::http) async fn log(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    connection: Option<Extension<ConnectionHandle>>,
) -> Result<Response, Problem> {
    let connection = connection.map(|Extension(connection)| connection);
    state.download_log(&scope.workspace, None, |_| true, connection).await
}

impl FacadeState {
    /// The attempts that are `shown`, as a file that is named after the `word` for them.
    pub(in crate::http) async fn download_log(
        &self,
        workspace: &WorkspaceId,
        word: Option<&str>,
        shown: impl Fn(&Attempt) -> bool,
        connection: Option<ConnectionHandle>,
    ) -> Result<Response, Problem> {
        let download = self.sending.download(workspace).await?;
        let reading = self.reader.workspace(workspace).await?;
        let now = (self.facade.clock)().to_string();
        let date = now.split('T').next().unwrap_or_default();
        let word = word.map(|word| format!("-{word}")).unwrap_or_default();
        let name = format!("attachment; filename=\"outbound-log-{workspace}{word}-{date}.json\"");
        let disposition = HeaderValue::from_str(&name).map_err(|_| {
            Problem::new(
                ProblemKind::Internal,
                "the log's file name is no header value; the workspace id should forbid that",
            )
        })?;
        let write = |(seq, attempt): &(u64, Attempt)| serde_json::to_vec(&LogEntry::new(*seq, attempt));
        let mut attempts = reading.into_attempts();
        attempts.retain(|(_, attempt)| shown(attempt));
        let body = download.array(attempts, bytes_held, write, connection);
        let json = HeaderValue::from_static("application/json");
        Ok(([(CONTENT_DISPOSITION, disposition), (CONTENT_TYPE, json)], body).into_response())
    }
}

/// About how many bytes an attempt holds in memory.
fn bytes_held((_, attempt): &(u64, Attempt)) -> usize {
    const REST: usize = 1024;
    let headers = |headers: &[Header]| headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let sent = attempt.request.message.as_ref().map_or(0, |message| message.bytes().len())
        + attempt.request.url.len()
        + headers(&attempt.request.headers);
    let came = attempt.response.as_ref().map_or(0, |response| {
        response.body.len() + headers(&response.headers) + response.malformed.iter().map(String::len).sum::<usize>()
    });
    REST + sent + came
}

/// Sends what an attempt sent once more.
pub(in crate::http) async fn again(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    AttemptInPath(seq): AttemptInPath,
) -> Result<Json<Tested>, Problem> {
    Ok(Json(state.send_again(&scope, seq).await?.into()))
}

/// The body of an attempt was not kept.
pub(in crate::http) fn body_omitted() -> Problem {
    let detail = "the store was full when this attempt was logged: its body was not kept and cannot be sent";
    Problem::new(ProblemKind::BodyOmitted, detail)
}

/// The attempt that the path names.
pub(in crate::http) struct AttemptInPath(pub(in crate::http) u64);

impl FromRequestParts<Arc<FacadeState>> for AttemptInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Problem> {
        let names = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let id = names.ok().and_then(|Path(names)| names.get("id")?.parse().ok());
        id.map(Self).ok_or_else(|| Refusal::NoSuchAttempt.into())
    }
}

impl FacadeState {
    /// Sends what the attempt with the seq `seq` sent once more.
    pub(in crate::http) async fn send_again(&self, scope: &Scope, seq: u64) -> Result<Applied, Problem> {
        let reading = self.reader.workspace(&scope.workspace).await?;
        let named = reading.attempts.iter().find(|(of, _)| *of == seq);
        let (_, attempt) = named.ok_or(Refusal::NoSuchAttempt)?;
        let message = attempt.request.message.as_ref().ok_or_else(body_omitted)?;
        let sent = SentMessage {
            attempt: seq,
            entry: attempt.entry,
            webhook_id: attempt.webhook_id.as_ref().to_owned(),
            message: String::from_utf8_lossy(message.bytes()).into_owned(),
        };
        drop(reading);
        self.submit(&scope.workspace, scope.caller.subject(), Action::Again(sent)).await
    }
}

/// Each attempt as it is made: see [`crate::http::live`].
pub(in crate::http) async fn live(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    draining: Option<Extension<Draining>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.stream(scope, draining.map(|Extension(draining)| draining), &headers).await
}

/// Writes the log as `…/attempts/log` answers it, for whoever reads a journal himself. `attempts` come with
/// their seqs.
///
/// # Errors
/// Nobody takes the output.
pub fn write_log(attempts: &[(u64, Attempt)], out: &mut dyn Write) -> io::Result<()> {
    let entries: Vec<LogEntry<'_>> = attempts.iter().map(|(seq, attempt)| LogEntry::new(*seq, attempt)).collect();
    Ok(serde_json::to_writer(out, &entries)?)
}

/// One attempt with what was sent and what came back.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LogEntry<'a> {
    #[serde(flatten)]
    summary: Summary,
    /// What was sent.
    request: LoggedRequest<'a>,
    /// What came back; null when no response came.
    response: Option<LoggedResponse<'a>>,
    /// Why the bodies and the response's headers were not kept: `store full`. Left out where they are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<&'static str>,
}

/// What was sent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LoggedRequest<'a> {
    /// Always `POST`.
    method: &'static str,
    /// The URL as it was saved.
    url: &'a str,
    /// The values of a repeated name are joined with `, `.
    #[schema(value_type = HashMap<String, String>)]
    headers: JoinedHeaders<'a>,
    /// The JSON as it was sent; null where it was omitted.
    #[schema(value_type = Option<Object>)]
    body: Option<SentBody<'a>>,
}

/// What came back.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LoggedResponse<'a> {
    /// The status code.
    status: u16,
    /// At most 100; the values of a repeated name are joined with `, `.
    #[schema(value_type = HashMap<String, String>)]
    headers: JoinedHeaders<'a>,
    /// Lines among the headers that are no header and were dropped; left out when there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    malformed: &'a [String],
    /// At most 4 KiB; bytes that are no UTF-8 are replaced. Of an encoded body its encoding and size: `gzip, 38 bytes`.
    body: &'a str,
    /// Whether the body was longer than what is kept, or its end was not seen.
    truncated: bool,
}

impl<'a> LogEntry<'a> {
    fn new(seq: u64, attempt: &'a Attempt) -> Self {
        let event::Request { url, headers, message } = &attempt.request;
        let response = attempt.response.as_ref().map(|response| LoggedResponse {
            status: response.status,
            headers: JoinedHeaders(&response.headers),
            malformed: &response.malformed,
            body: &response.body,
            truncated: response.truncated,
        });
        let request = LoggedRequest {
            method: "POST",
            url,
            headers: JoinedHeaders(headers),
            body: message.as_ref().map(SentBody),
        };
        let omitted = message.is_none().then_some(STORE_FULL);
        Self { summary: Summary::new(seq, attempt), request, response, omitted }
    }
}

/// Headers as an object, in the order of their first appearance; the values of a repeated name are
/// joined with `, ` (RFC 9110 section 5.3).
struct JoinedHeaders<'a>(&'a [Header]);

impl Serialize for JoinedHeaders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut merged: Vec<(&str, String)> = Vec::with_capacity(self.0.len());
        for (name, value) in self.0 {
            match merged.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, values)) => {
                    values.push_str(", ");
                    values.push_str(value);
                }
                None => merged.push((name, value.to_string())),
            }
        }
        let mut object = serializer.serialize_map(Some(merged.len()))?;
        for (name, value) in &merged {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }
}

/// The body that was POSTed, byte for byte: it is JSON, so it stands in the log as it is.
struct SentBody<'a>(&'a RawMessage);

impl Serialize for SentBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = self.0.body();
        let json: &RawValue = serde_json::from_slice(&body).map_err(S::Error::custom)?;
        json.serialize(serializer)
    }
}

/// What sending again is.
const AGAIN: &str = "Sends what that attempt sent once more and waits for the answer: the body and the `webhook-id` as \
    then, so that the endpoint can tell that it knows the message; URL, headers and signature of today. It is logged with \
    trigger `again`. Otherwise it is a test: it works while the webhook is off and never moves the count of errors, one at \
    a time, one a second. Nothing is ever sent again without being asked for.";

/// What the live stream tells.
const LIVE: &str = "Server-sent events, beginning with the present `state`: `attempt` with an attempt as `listAttempts` \
    shows it, `state` with the webhook as `showWebhook` does, and `gap` (`{\"after\",\"before\"}`) where attempts \
    between two of them are no longer among the last 100. Come back with the `id` of the last event as `Last-Event-ID` \
    and you miss nothing else. A comment every 15 s says that the stream is alive. It ends when the service does and \
    when the token expires or is revoked. At most 16 streams a workspace.";

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    let mut schemas = Schemas::default();
    let entries = array(schemas.add::<LogEntry<'_>>());
    let example = sample!("log", "One delivered, then one that failed");
    let entries =
        ContentBuilder::new().schema(Some(entries)).examples_from_iter([(example.name, example.example())]).build();
    let events = ContentBuilder::new().schema(Some(text())).build();
    let attempts = sample!("attempts", "One delivered, then one that failed");
    vec![
        ApiCall::get("/v1/workspaces/{workspace}/attempts", list)
            .named("listAttempts", "The last attempts")
            .says("The last 100, newest first, without request and response.")
            .answers::<AttemptList>(200, "The attempts", &[attempts])
            .refuses(&[TOKEN, WORKSPACE, READ]),
        ApiCall::get("/v1/workspaces/{workspace}/attempts/log", log)
            .named("downloadLog", "Download log")
            .says("The same attempts with request and response, as a file.")
            .answers_with(200, "The log", "application/json", entries)
            .with_header(200, "Content-Disposition", "Names the file: `outbound-log-<workspace>-<date>.json`")
            .needs(schemas)
            .refuses(&[TOKEN, WORKSPACE, READ]),
        ApiCall::post("/v1/workspaces/{workspace}/attempts/{id}/again", again)
            .named("sendAgain", "Send again")
            .says(AGAIN)
            .answers::<Tested>(200, "Sent, or why not", &[sample!("sent-again", "The endpoint took it")])
            .refuses(&[TOKEN, WORKSPACE, READ, COMMAND, TEST, &[ProblemKind::BodyOmitted]]),
        ApiCall::get("/v1/workspaces/{workspace}/attempts/live", live)
            .named("followAttempts", "Each attempt as it is made")
            .says(LIVE)
            .answers_with(200, "The events, without an end", "text/event-stream", events)
            .refuses(&[TOKEN, WORKSPACE, READ, &[ProblemKind::InvalidQuery, ProblemKind::TooManyStreams]]),
    ]
}
