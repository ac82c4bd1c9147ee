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
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::message::{EntryId, Message};

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
