//! `/v1/workspaces/{ws}/history`: the last 100 changes of the configuration, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::Scope;
use super::problem::Problem;
use crate::workspace::history::{self, ConfigurationChange};

/// The changes.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// Newest first, at most 100.
    history: Vec<ConfigurationChange>,
}

pub(super) async fn list(State(shared): State<Arc<Shared>>, scope: Scope) -> Result<Json<History>, Problem> {
    let events = shared.within_reads(shared.facade.journal.history(&scope.workspace)).await?;
    Ok(Json(History { history: history::changes(&events) }))
}
