//! `/v1/workspaces/{ws}/webhook/secret`: what the endpoint verifies our signatures with, and its rotation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use utoipa::openapi::Required;

use crate::config::duration::{self, LIFETIME_UNITS};
use crate::http::auth::caller::Scope;
use crate::http::body::{JsonBody, object};
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{BODY, COMMAND, TOKEN, WORKSPACE};
use crate::http::problem::{MemberError, Problem, ProblemKind};
use crate::http::state::FacadeState;
use crate::workspace::Confidential;
use crate::workspace::command::{Action, Refusal};
use crate::workspace::policy::{SECRET_OVERLAP_MAX, VIEW_INTERVAL};
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

/// What is shown is noted first: who looked is known, whoever it was.
pub(in crate::http) async fn show(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<Json<SecretView>, Problem> {
    state.note_view(&scope).await?;
    shown(&state, &scope).await
}

async fn shown(state: &FacadeState, scope: &Scope) -> Result<Json<SecretView>, Problem> {
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
pub(in crate::http) async fn rotate(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    JsonBody(body): JsonBody,
) -> Result<Json<SecretView>, Problem> {
    let overlap = overlap(&body)?;
    let until = Instant::now() + state.facade.answer_wait;
    state.submit(&scope.workspace, scope.caller.subject(), Action::RotateSecret { overlap }).await?;
    // Whoever is told that nothing happened rotates again, and that ends the secret that the endpoint knows.
    let unread = "the secret was rotated, but the store was away when it was read; GET it, do not rotate again";
    match timeout_at(until, shown(&state, &scope)).await {
        Ok(Ok(shown)) => Ok(shown),
        Ok(Err(_)) | Err(_) => Err(Problem::store_away(unread)),
    }
}

/// How to rotate. A member that is not known is refused; null is as good as left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Rotation {
    /// How long the secret before it is signed with too: a whole number and a unit of `s`, `m`, `h` or `d`, from `0s` to
    /// `7d`. Left out it is a day.
    #[schema(value_type = Option<String>, pattern = "^[0-9]+[smhd]$", example = "1h")]
    overlap: Option<Value>,
}

/// The overlap in seconds, if one is asked for.
fn overlap(body: &[u8]) -> Result<Option<u64>, Problem> {
    let rotation = match body {
        [] => Rotation::default(),
        body => object(body, ProblemKind::InvalidRotation, "nothing was rotated", r#"{"overlap":"1h"}"#)?,
    };
    let Some(asked) = rotation.overlap else { return Ok(None) };
    let parsed = duration::parse_in(asked.as_str().unwrap_or_default(), &LIFETIME_UNITS, SECRET_OVERLAP_MAX);
    parsed.map(|overlap| Some(overlap.as_secs())).map_err(|_| {
        let detail = "must be a whole number and a unit, such as 0s, 1h or 7d, at most 7 days".to_owned();
        let error = MemberError { member: "overlap".to_owned(), detail };
        Problem::invalid(ProblemKind::InvalidRotation, "nothing was rotated", vec![error])
    })
}

impl FacadeState {
    /// Notes that the caller looks at the secret, if there is one and that is not noted from a moment ago.
    pub(in crate::http) async fn note_view(&self, scope: &Scope) -> Result<(), Problem> {
        let state = self.reader.snapshot(&scope.workspace).await?;
        let by = scope.caller.subject();
        if state.webhook.secret.is_none() || state.access.viewed_lately(by, (self.facade.clock)(), VIEW_INTERVAL) {
            return Ok(());
        }
        self.submit(&scope.workspace, by, Action::NoteView).await.map(drop)
    }
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    vec![
        ApiCall::get("/v1/workspaces/{workspace}/webhook/secret", show)
            .named("showSecret", "The signing secret")
            .says("Who looked at it, and when, stands in the history.")
            .answers::<SecretView>(200, "The secret", &[sample!("secret", "Never rotated")])
            .refuses(&[TOKEN, WORKSPACE, COMMAND, &[ProblemKind::NoSecret]]),
        ApiCall::post("/v1/workspaces/{workspace}/webhook/secret/rotate", rotate)
            .named("rotateSecret", "A new signing secret")
            .says(
                "For 24 hours, or as long as `overlap` says, every POST carries two signatures, of the new secret and of \
                 the one before it.",
            )
            .takes::<Rotation>(Required::False, "How long", &[sample!("rotation", "For an hour")])
            .answers::<SecretView>(200, "The new secret", &[sample!("secret-rotated", "Just rotated")])
            .refuses(&[
                TOKEN,
                WORKSPACE,
                BODY,
                COMMAND,
                &[ProblemKind::NoSecret, ProblemKind::InvalidJson, ProblemKind::InvalidRotation],
            ]),
    ]
}
