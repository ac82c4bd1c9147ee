//! `/v1/workspaces/{ws}/messages`: publishing over HTTP, one message or many.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{ContentBuilder, Required, Schema};

use crate::config::{PUBLISHED_BODY_MAX, PUBLISHED_LINES_MAX, REQUEST_READ_TIMEOUT, STORE_ANSWER_MAX};
use crate::http::auth::caller::AdminScope;
use crate::http::body::{self, BodyBound, JsonBody, declares_lines};
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::new_message::MessageBody;
use crate::http::openapi::problems::{ADMIN_ONLY, BODY, STORE, TOKEN, WORKSPACE};
use crate::http::openapi::schemas::{Schemas, text};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::reader::in_time;
use crate::http::state::FacadeState;
use crate::message::{EntryId, Invalid, Message, RawMessage, WorkspaceId, is_blank};

/// A message that is durable.
#[derive(Serialize, ToSchema)]
#[schema(as = Published)]
pub(in crate::http) struct PublishedMessage {
    /// Its entry.
    id: EntryId,
}

/// Messages that are durable.
#[derive(Serialize, ToSchema)]
#[schema(as = PublishedLines)]
pub(in crate::http) struct PublishedMessages {
    /// Their entries, in the order of the lines.
    ids: Vec<EntryId>,
}

/// The bound of a body of many messages.
const LINES: BodyBound = BodyBound { bytes: PUBLISHED_BODY_MAX, within: REQUEST_READ_TIMEOUT };

/// Answers once the message is durable, or all messages of a body of lines are. The bytes are stored as they came.
pub(in crate::http) async fn publish(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
    request: Request,
) -> Result<Response, Problem> {
    if declares_lines(request.headers()) {
        return Ok(
            (StatusCode::ACCEPTED, Json(publish_lines(&state, &scope.workspace, request).await?)).into_response()
        );
    }
    let JsonBody(body) = JsonBody::from_request(request, &state).await?;
    let message = Message::parse(body)?;
    let publish = state.facade.journal.publish(&scope.workspace, message.raw());
    let id = in_time(Instant::now() + STORE_ANSWER_MAX, publish, Problem::publish_unknown).await?;
    Ok((StatusCode::ACCEPTED, Json(PublishedMessage { id })).into_response())
}

async fn publish_lines(
    state: &FacadeState,
    workspace: &WorkspaceId,
    request: Request,
) -> Result<PublishedMessages, Problem> {
    let share = timeout(STORE_ANSWER_MAX, state.bodies.take(Some(workspace), 1)).await;
    let Ok(Some(_share)) = share else {
        let detail = "many messages are being published for this workspace or on this node; try again in a second";
        return Err(Problem::new(ProblemKind::Overloaded, detail));
    };
    let messages = messages(&body::read(request.into_body(), LINES).await?)?;
    let publish = state.facade.journal.publish_all(workspace, &messages);
    let ids = in_time(Instant::now() + STORE_ANSWER_MAX, publish, Problem::publish_unknown).await?;
    Ok(PublishedMessages { ids })
}

/// The messages of the lines, all of them checked. Blank lines are none.
fn messages(body: &Bytes) -> Result<Vec<RawMessage>, Problem> {
    let mut messages = Vec::new();
    for (line, number) in body.split(|byte| *byte == b'\n').zip(1_u64..) {
        let line = body.slice_ref(line);
        if is_blank(&line) {
            continue;
        }
        let message = Message::parse(line).map_err(|invalid| of_line(number, &invalid))?;
        if messages.len() == PUBLISHED_LINES_MAX {
            let detail =
                format!("line {number}: send at most {PUBLISHED_LINES_MAX} messages at a time; nothing was stored");
            return Err(Problem::new(ProblemKind::BodyTooLarge, detail));
        }
        messages.push(message.raw().clone());
    }
    if messages.is_empty() {
        return Err(Problem::new(ProblemKind::InvalidMessage, "the body has no message; send one JSON object a line"));
    }
    Ok(messages)
}

fn of_line(number: u64, invalid: &Invalid) -> Problem {
    let kind = match invalid {
        Invalid::TooLarge { .. } => ProblemKind::BodyTooLarge,
        _ => ProblemKind::InvalidMessage,
    };
    let one_line = if invalid.is_cut() { " (each message must stand on one line)" } else { "" };
    Problem::new(
        kind,
        format!("line {number}: {invalid}{one_line}; nothing was stored, correct the line and send all of them again"),
    )
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    let mut schemas = Schemas::default();
    let one_or_many =
        OneOfBuilder::new().item(schemas.add::<PublishedMessage>()).item(schemas.add::<PublishedMessages>()).build();
    let example = sample!("published", "Published");
    let published = ContentBuilder::new()
        .schema(Some(Schema::OneOf(one_or_many)))
        .examples_from_iter([(example.name, example.example())])
        .build();
    vec![
        ApiCall::post("/v1/workspaces/{workspace}/messages", publish)
            .named("publishMessage", "Publish a message, or many")
            .says(
                "Admin token only. The body is the message itself, at most 256 KiB and nested at most 128 deep; it is \
                 sent on byte for byte. As `application/x-ndjson` it is one message a line, at most 1,000 of together \
                 4 MiB: all of them are stored or none, and a bad line is named by its number. A byte order mark, \
                 CRLF and blank lines are fine, and so are the marks of `application/json-seq`.",
            )
            .takes::<MessageBody>(Required::True, "The message", &[sample!("message", "With text and attachment")])
            .also_takes("application/x-ndjson", ContentBuilder::new().schema(Some(text())).build())
            .answers_with(
                202,
                "Durable; it will be sent. `ids` of many are in the order of the lines",
                "application/json",
                published,
            )
            .needs(schemas)
            .refuses(&[
                TOKEN,
                ADMIN_ONLY,
                WORKSPACE,
                BODY,
                STORE,
                &[ProblemKind::InvalidMessage, ProblemKind::StoreFull],
            ]),
    ]
}
