//! `/v1/workspaces/{ws}/webhook/secret`: what the endpoint verifies our signatures with, and its rotation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::http::auth::caller::Scope;
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{COMMAND, READ, TOKEN, WORKSPACE};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::state::FacadeState;
use crate::workspace::Confidential;
use crate::workspace::command::{Action, Refusal};
use crate::workspace::time::Time;

/// The signing secret, and the end of the one before it.
#[derive(Serialize, ToSchema)]
#[schema(as = Secret)]
pub(in crate::http) struct SecretView {
    /// `whsec_` and the key as base64.
    #[schema(value_type = String, pattern = "^whsec_[A-Za-z0-9+/=]+$")]
    secret: Confidential,
    /// The secret before this one, while it is signed with too.
    previous: Option<PreviousView>,
}

/// A secret that was rotated out and is still signed with. It is not shown again: whoever verifies with
/// it has it already, and the new one verifies everything that is sent from now on.
#[derive(Serialize, ToSchema)]
#[schema(as = PreviousSecret)]
struct PreviousView {
    /// Until when.
    valid_until: Time,
}

pub(in crate::http) async fn show(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<Json<SecretView>, Problem> {
    let webhook = state.reader.workspace(&scope.workspace).await?.into_state().webhook;
    let previous = webhook.valid_previous_secret((state.facade.clock)());
    let previous = previous.map(|previous| PreviousView { valid_until: previous.valid_until });
    match webhook.secret {
        Some(secret) => Ok(Json(SecretView { secret, previous })),
        None => Err(Refusal::NoSecret.into()),
    }
}

/// Rotates. The answer to the command holds no secret, so that none is stored among the answers: what is
/// shown is read back.
pub(in crate::http) async fn rotate(state: State<Arc<FacadeState>>, scope: Scope) -> Result<Json<SecretView>, Problem> {
    let until = Instant::now() + state.facade.answer_wait;
    state.submit(&scope.workspace, scope.caller.subject(), Action::RotateSecret).await?;
    // Whoever is told that nothing happened rotates again, and that ends the secret that the endpoint knows.
    let unread = "the secret was rotated, but the store was away when it was read; GET it, do not rotate again";
    match timeout_at(until, show(state, scope)).await {
        Ok(Ok(shown)) => Ok(shown),
        Ok(Err(_)) | Err(_) => Err(Problem::store_away(unread)),
    }
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    vec![
        ApiCall::get("/v1/workspaces/{workspace}/webhook/secret", show)
            .named("showSecret", "The signing secret")
            .answers::<SecretView>(200, "The secret", &[sample!("secret", "Never rotated")])
            .refuses(&[TOKEN, WORKSPACE, READ, &[ProblemKind::NoSecret]]),
        ApiCall::post("/v1/workspaces/{workspace}/webhook/secret/rotate", rotate)
            .named("rotateSecret", "A new signing secret")
            .says("For 24 hours every POST carries two signatures, of the new secret and of the one before it.")
            .answers::<SecretView>(200, "The new secret", &[sample!("secret-rotated", "Just rotated")])
            .refuses(&[TOKEN, WORKSPACE, COMMAND, &[ProblemKind::NoSecret]]),
    ]
}
