//! `/v1/workspaces/{ws}/webhook`: the webhook and its state, Save, and Save and test.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::save_body;
use crate::http::auth::caller::Scope;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::workspace::command::{Action, NoAttempt};
use crate::workspace::state::Summary;
use crate::workspace::view::WebhookView;

pub(in crate::http) async fn show(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<Json<WebhookView>, Problem> {
    let reading = state.reader.workspace(&scope.workspace).await?;
    Ok(Json(WebhookView::new(&scope.workspace, &reading.state, &state.facade.policy)))
}

pub(in crate::http) async fn save(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    JsonBody(body): JsonBody,
) -> Result<Json<WebhookView>, Problem> {
    let save = save_body::parse(&body, &state.facade.guard)?;
    let applied = state.submit(&scope.workspace, scope.caller.subject(), Action::Save(save)).await?;
    Ok(Json(*applied.webhook))
}

/// What a test answers. `attempt` is null when none was made; then `reason` says why.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Tested {
    /// The webhook after the save, or as it is.
    webhook: Box<WebhookView>,
    /// The test; null when none was made.
    attempt: Option<Box<Summary>>,
    /// Why none was made; absent when one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<NoAttempt>,
}

pub(in crate::http) async fn test(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    JsonBody(body): JsonBody,
) -> Result<Json<Tested>, Problem> {
    let save = if body.is_empty() { None } else { Some(save_body::parse(&body, &state.facade.guard)?) };
    let applied = state.submit(&scope.workspace, scope.caller.subject(), Action::Test { save }).await?;
    Ok(Json(Tested { webhook: applied.webhook, attempt: applied.attempt, reason: applied.reason }))
}
