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
use utoipa::openapi::ContentBuilder;

use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::schemas::{self};
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

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    let document = ContentBuilder::new().schema(Some(schemas::anything())).build();
    vec![
        ApiCall::get("/healthz", alive).named("alive", "Whether the process answers").open().answers::<Alive>(
            200,
            "It does",
            &[sample!("alive", "Alive")],
        ),
        ApiCall::get("/readyz", ready)
            .named("ready", "Whether this node does its work")
            .open()
            .answers::<ReadinessReport>(
                200,
                "Every shard assigned to this node is owned and loaded",
                &[sample!("ready", "Ready")],
            )
            .answers::<ReadinessReport>(
                503,
                "Not yet, or not any more; `reasons` says why",
                &[sample!("not-ready", "A shard is missing")],
            ),
        ApiCall::get("/openapi.json", describe).named("describe", "This description").open().answers_with(
            200,
            "OpenAPI 3.1",
            "application/json",
            document,
        ),
    ]
}
