//! `/v1/workspaces/{ws}`: forgetting a workspace, and the history of its configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::auth::caller::{AdminScope, Scope};
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::workspace::command::Action;
use crate::workspace::history::{self, ConfigurationChange};

/// Answers once nothing is kept any more; the same when nothing was.
pub(in crate::http) async fn forget(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
) -> Result<StatusCode, Problem> {
    state.submit(&scope.workspace, scope.caller.subject(), Action::Forget).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The changes.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct History {
    /// Newest first, at most 100.
    history: Vec<ConfigurationChange>,
}

pub(in crate::http) async fn history(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<Json<History>, Problem> {
    let events = state.reader.bounded(state.facade.journal.history(&scope.workspace)).await?;
    Ok(Json(History { history: history::changes(&events) }))
}
