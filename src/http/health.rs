//! `/healthz` and `/readyz`: for whoever starts, stops and routes to the process. No token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::Shared;
use crate::config::{REJECTED_COUNT_MAX_AGE, REJECTED_COUNT_WAIT};
use crate::journal::port::Journal;

/// Whether this node does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether every shard assigned to this node is owned and loaded.
    pub ready: bool,
    /// Why not, one sentence each; or what an operator should look at although it is.
    pub reasons: Vec<String>,
    /// Workspaces that cannot be loaded. They do not make the node unready; the log names them.
    pub unavailable_workspaces: u64,
}

/// What `/readyz` answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    #[serde(flatten)]
    readiness: Readiness,
    /// Entries that all shards have set aside; null while the store does not tell. They do not make
    /// the node unready; `outbound rejected list` shows them.
    rejected: Option<u64>,
}

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    /// Always `alive`.
    status: &'static str,
}

/// Says only that the process answers.
pub(super) async fn alive() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, Json<Ready>) {
    let readiness = (shared.facade.readiness)();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let rejected = shared.rejected.total(shared.facade.journal.as_ref()).await;
    (status, Json(Ready { readiness, rejected }))
}

/// The number of rejected entries as it was a moment ago: whoever asks needs no token, so asking must
/// not be work for the store, nor wait for it.
#[derive(Debug, Default)]
pub(super) struct RejectedTotal(Mutex<Option<Counted>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Instant,
    total: Option<u64>,
}

impl RejectedTotal {
    async fn total(&self, journal: &dyn Journal) -> Option<u64> {
        let mut last = self.0.lock().await;
        if let Some(counted) = last.filter(|counted| counted.at.elapsed() < REJECTED_COUNT_MAX_AGE) {
            return counted.total;
        }
        let counts = timeout(REJECTED_COUNT_WAIT, journal.rejected_counts()).await;
        let total = counts.ok().and_then(Result::ok).map(|counts| counts.iter().sum());
        *last = Some(Counted { at: Instant::now(), total });
        total
    }
}
