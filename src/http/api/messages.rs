//! `/v1/workspaces/{ws}/messages`: publishing over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::STORE_ANSWER_MAX;
use crate::http::auth::caller::AdminScope;
use crate::http::body::JsonBody;
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::new_message::MessageBody;
use crate::http::openapi::problems::{ADMIN_ONLY, BODY, TOKEN, WORKSPACE};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::state::FacadeState;
use crate::message::{EntryId, Message};
use utoipa::openapi::Required;

/// A message that is durable.
#[derive(Serialize, ToSchema)]
#[schema(as = Published)]
pub(in crate::http) struct PublishedMessage {
    /// Its entry.
    id: EntryId,
}

/// Answers once the message is durable. The bytes are stored as they came.
pub(in crate::http) async fn publish(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<PublishedMessage>), Problem> {
    let message = Message::parse(body)?;
    let publish = state.facade.journal.publish(&scope.workspace, message.raw());
    match tokio::time::timeout(STORE_ANSWER_MAX, publish).await {
        Ok(id) => Ok((StatusCode::ACCEPTED, Json(PublishedMessage { id: id? }))),
        Err(_) => Err(Problem::publish_unknown()),
    }
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    vec![
        ApiCall::post("/v1/workspaces/{workspace}/messages", publish)
            .named("publishMessage", "Publish a message")
            .says(
                "Admin token only. The body is the message itself, at most 256 KiB and nested at most 128 deep; it is \
                 sent on byte for byte.",
            )
            .takes::<MessageBody>(Required::True, "The message", &[sample!("message", "With text and attachment")])
            .answers::<PublishedMessage>(202, "Durable; it will be sent", &[sample!("published", "Published")])
            .refuses(&[
                TOKEN,
                ADMIN_ONLY,
                WORKSPACE,
                BODY,
                &[ProblemKind::InvalidMessage, ProblemKind::StoreFull, ProblemKind::StoreAway],
            ]),
    ]
}
