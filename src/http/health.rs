//! `/healthz` and `/readyz`: for whoever starts, stops and routes to the process. No token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Shared;

/// Whether this node does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether every shard assigned to this node is owned and loaded.
    pub ready: bool,
    /// Why not, one sentence each; or what an operator should look at although it is.
    pub reasons: Vec<String>,
    /// Workspaces that cannot be loaded. They do not make the node unready; the log names them.
    pub unavailable_workspaces: u64,
}

/// Says only that the process answers.
#[derive(Serialize)]
pub(super) struct Alive {
    status: &'static str,
}

pub(super) async fn alive() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, Json<Readiness>) {
    let readiness = (shared.facade.readiness)();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
