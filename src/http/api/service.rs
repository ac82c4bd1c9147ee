//! `/healthz`, `/readyz` and `/openapi.json`: for whoever starts, stops, routes to and calls the process. No
//! token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::{FacadeState, Readiness};

/// What `/readyz` answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Ready)]
pub(in crate::http) struct ReadinessReport {
    #[serde(flatten)]
    readiness: Readiness,
    /// Entries that all shards have set aside; null while the store does not tell. They do not make
    /// the node unready; `outbound rejected list` shows them.
    rejected: Option<u64>,
}

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Alive {
    /// Always `alive`.
    status: &'static str,
}

/// Says only that the process answers.
pub(in crate::http) async fn alive() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

pub(in crate::http) async fn ready(State(state): State<Arc<FacadeState>>) -> (StatusCode, Json<ReadinessReport>) {
    let readiness = (state.facade.readiness)();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let rejected = state.reader.rejected_total().await;
    (status, Json(ReadinessReport { readiness, rejected }))
}

/// Answers with the description of the API.
pub(in crate::http) async fn describe(State(state): State<Arc<FacadeState>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], state.description.clone()).into_response()
}
