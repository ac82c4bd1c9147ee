//! `/v1/workspaces/{ws}/messages`: publishing over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::AdminScope;
use super::body::Body;
use super::problem::Problem;
use crate::config::STORE_ANSWER_MAX;
use crate::message::{EntryId, Message};

/// A message that is durable.
#[derive(Serialize, ToSchema)]
pub(super) struct Published {
    /// Its entry.
    id: EntryId,
}

/// Answers once the message is durable. The bytes are stored as they came.
pub(super) async fn publish(
    State(shared): State<Arc<Shared>>,
    AdminScope(scope): AdminScope,
    Body(body): Body,
) -> Result<(StatusCode, Json<Published>), Problem> {
    let message = Message::parse(body)?;
    let publish = shared.facade.journal.publish(&scope.workspace, message.raw());
    match tokio::time::timeout(STORE_ANSWER_MAX, publish).await {
        Ok(id) => Ok((StatusCode::ACCEPTED, Json(Published { id: id? }))),
        Err(_) => Err(Problem::publish_unknown()),
    }
}
