//! `/v1/workspaces/{ws}`: forgetting a workspace.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::Shared;
use super::auth::AdminScope;
use super::problem::Problem;
use crate::workspace::command::Action;

/// Answers once nothing is kept any more; the same when nothing was.
pub(super) async fn forget(
    State(shared): State<Arc<Shared>>,
    AdminScope(scope): AdminScope,
) -> Result<StatusCode, Problem> {
    shared.submit(&scope, Action::Forget).await?;
    Ok(StatusCode::NO_CONTENT)
}
