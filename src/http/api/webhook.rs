//! `/v1/workspaces/{ws}/webhook`: the webhook and its state, Save, and Save and test.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::save_body;
use crate::http::api::save_body::SaveBody;
use crate::http::auth::caller::Scope;
use crate::http::body::JsonBody;
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{BODY, COMMAND, READ, SAVE, TOKEN, WORKSPACE};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::state::FacadeState;
use crate::workspace::command::{Action, NoAttempt};
use crate::workspace::state::Summary;
use crate::workspace::view::WebhookView;
use utoipa::openapi::Required;

pub(in crate::http) async fn show(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<Json<WebhookView>, Problem> {
    let reading = state.reader.workspace(&scope.workspace).await?;
    Ok(Json(WebhookView::new(&scope.workspace, &reading.state, &state.facade.policy)))
}

pub(in crate::http) async fn save(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    JsonBody(body): JsonBody,
) -> Result<Json<WebhookView>, Problem> {
    let save = save_body::parse(&body, &state.facade.guard)?;
    let applied = state.submit(&scope.workspace, scope.caller.subject(), Action::Save(save)).await?;
    Ok(Json(*applied.webhook))
}

/// What a test answers. `attempt` is null when none was made; then `reason` says why.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Tested {
    /// The webhook after the save, or as it is.
    webhook: Box<WebhookView>,
    /// The test; null when none was made.
    attempt: Option<Box<Summary>>,
    /// Why none was made; absent when one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<NoAttempt>,
}

pub(in crate::http) async fn test(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    JsonBody(body): JsonBody,
) -> Result<Json<Tested>, Problem> {
    let save = if body.is_empty() { None } else { Some(save_body::parse(&body, &state.facade.guard)?) };
    let applied = state.submit(&scope.workspace, scope.caller.subject(), Action::Test { save }).await?;
    Ok(Json(Tested { webhook: applied.webhook, attempt: applied.attempt, reason: applied.reason }))
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    let saves = [sample!("save", "On"), sample!("save-off", "Keep it, but off"), sample!("save-cleared", "Clear it")];
    let states = [
        sample!("webhook-not-configured", "Never saved"),
        sample!("webhook-disabled-by-errors", "Switched off by errors, and the owner was told"),
    ];
    let tests = [
        sample!("tested", "The endpoint took it"),
        sample!("tested-without-message", "The workspace has no message yet"),
    ];
    vec![
        ApiCall::get("/v1/workspaces/{workspace}/webhook", show)
            .named("showWebhook", "The webhook and its state")
            .says("A workspace that was never seen is `not_configured`.")
            .answers::<WebhookView>(200, "The webhook", &states)
            .refuses(&[TOKEN, WORKSPACE, READ]),
        ApiCall::put("/v1/workspaces/{workspace}/webhook", save)
            .named("saveWebhook", "Save")
            .says(
                "Saves the webhook and switches it on, or off where `enabled` is false. Every save sets the count of \
                 errors to 0. The first one makes the signing secret. What breaks a rule is refused whole: nothing is \
                 saved.",
            )
            .takes::<SaveBody>(Required::True, "The whole configuration", &saves)
            .answers::<WebhookView>(200, "Saved: the webhook as it is now", &[sample!("webhook-saved", "Saved")])
            .refuses(&[TOKEN, WORKSPACE, BODY, SAVE, COMMAND]),
        ApiCall::post("/v1/workspaces/{workspace}/webhook/test", test)
            .named("testWebhook", "Save and test")
            .says(
                "With a body saves first, as PUT does; then sends the workspace's newest message once and waits for \
                 the answer. Works while the webhook is off, and never moves the count of errors. One at a time, one \
                 a second.",
            )
            .takes::<SaveBody>(
                Required::False,
                "The configuration to save first; no body to test what is saved",
                &[sample!("test", "Save and test")],
            )
            .answers::<Tested>(200, "Tested, or why not", &tests)
            .refuses(&[TOKEN, WORKSPACE, BODY, SAVE, COMMAND, &[ProblemKind::TestUnderWay, ProblemKind::TestTooSoon]]),
    ]
}
