//! `/v1/workspaces/{ws}`: forgetting a workspace, and the history of its configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::auth::caller::{AdminScope, Scope};
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{ADMIN_ONLY, COMMAND, READ, TOKEN, WORKSPACE};
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::workspace::access::AccessDeed;
use crate::workspace::command::Action;
use crate::workspace::history::{self, ConfigurationChange};
use crate::workspace::view::WebhookView;

/// Answers once nothing is stored any more; the same when nothing was.
pub(in crate::http) async fn forget(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
) -> Result<StatusCode, Problem> {
    state.submit(&scope.workspace, scope.caller.subject(), Action::Forget).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a repair could keep.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Repaired {
    /// The webhook as it is now.
    webhook: Box<WebhookView>,
    /// What is lost, a sentence each; empty where nothing was damaged.
    lost: Vec<String>,
}

/// Answers once what could be read is all that is stored.
pub(in crate::http) async fn repair(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
) -> Result<Json<Repaired>, Problem> {
    let applied = state.submit(&scope.workspace, scope.caller.subject(), Action::Repair).await?;
    Ok(Json(Repaired { webhook: applied.webhook, lost: applied.lost }))
}

/// The changes.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct History {
    /// Newest first, at most 100.
    history: Vec<ConfigurationChange>,
    /// What was done with what opens the workspace, newest first, bounded apart: tokens that were made and ended, and
    /// who looked at the signing secret. Left out where nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    access: Vec<AccessDeed>,
}

pub(in crate::http) async fn history(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<Json<History>, Problem> {
    let events = state.reader.history(&scope.workspace).await?;
    let access = state.reader.snapshot(&scope.workspace).await?.access.deeds();
    Ok(Json(History { history: history::changes(&events), access }))
}

/// Discards what waits.
pub(in crate::http) async fn discard(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
) -> Result<StatusCode, Problem> {
    state.submit(&scope.workspace, scope.caller.subject(), Action::Discard).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    vec![
        ApiCall::get("/v1/workspaces/{workspace}/history", history)
            .named("listHistory", "Who changed what, and when")
            .says(
                "The last 100 changes of the configuration, newest first; beside them who looked at the signing secret, \
                 and the tokens that were made and ended. `by` is who holds the token, or `outbound` where errors \
                 switched it off.",
            )
            .answers::<History>(200, "The changes", &[sample!("history", "Saved, then switched off by errors")])
            .refuses(&[TOKEN, WORKSPACE, READ]),
        ApiCall::post("/v1/workspaces/{workspace}/repair", repair)
            .named("repairWorkspace", "Keep what can be read")
            .says(
                "Admin token only. For a workspace whose stored data is damaged, so that it answers 503: keeps what can \
                 be read and says what is lost. One that is whole stays as it is.",
            )
            .answers::<Repaired>(200, "What it is now", &[sample!("repaired", "The snapshot was damaged")])
            .refuses(&[TOKEN, ADMIN_ONLY, WORKSPACE, COMMAND]),
        ApiCall::delete("/v1/workspaces/{workspace}", forget)
            .named("forgetWorkspace", "Forget the workspace")
            .says(
                "Admin token only. Forgets the webhook, its secret, the attempts, the history, the newest message and \
                 mails that are owed. A message that comes later finds a workspace that was never seen.",
            )
            .answers_nothing(204, "Nothing is kept any more; the same when nothing was")
            .refuses(&[TOKEN, ADMIN_ONLY, WORKSPACE, COMMAND]),
        ApiCall::delete("/v1/workspaces/{workspace}/waiting", discard)
            .named("discardWaiting", "Discard what waits")
            .says(
                "Admin token only. Every message of the workspace that came until now and was not attempted yet is never \
                 sent: it is counted as skipped. What is under way ends as it does.",
            )
            .answers_nothing(204, "Nothing of it is sent; the same when nothing waited")
            .refuses(&[TOKEN, ADMIN_ONLY, WORKSPACE, COMMAND]),
    ]
}
