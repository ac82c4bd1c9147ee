//! `/v1/workspaces/{ws}/webhook/test`: Save and test, or just test.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Scope;
use super::body::Body;
use super::problem::Problem;
use super::{Shared, save};
use crate::workspace::command::{Action, NoAttempt};
use crate::workspace::state::Summary;
use crate::workspace::view::WebhookView;

/// What a test answers. `attempt` is null when none was made; then `reason` says why.
#[derive(Serialize, ToSchema)]
pub(super) struct Tested {
    /// The webhook after the save, or as it is.
    webhook: Box<WebhookView>,
    /// The test; null when none was made.
    attempt: Option<Box<Summary>>,
    /// Why none was made; absent when one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<NoAttempt>,
}

pub(super) async fn run(
    State(shared): State<Arc<Shared>>,
    scope: Scope,
    Body(body): Body,
) -> Result<Json<Tested>, Problem> {
    let save = if body.is_empty() { None } else { Some(save::parse(&body, &shared.facade.guard)?) };
    let applied = shared.submit(&scope, Action::Test { save }).await?;
    Ok(Json(Tested { webhook: applied.webhook, attempt: applied.attempt, reason: applied.reason }))
}
