//! `/v1/workspaces/{ws}/webhook`: the webhook and its state, Save, and Save and test.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Required;
use utoipa::openapi::schema::ObjectBuilder;

use super::save_body::{self, SaveBody, TestBody, TestRequest};
use crate::config::IF_MATCH_TAGS_MAX;
use crate::http::auth::caller::Scope;
use crate::http::body::JsonBody;
use crate::http::etag::{IfMatch, etag};
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{BODY, COMMAND, CONDITION, READ, SAVE, TEST, TOKEN, WORKSPACE};
use crate::http::openapi::schemas::pattern;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::state::{Applied, FacadeState};
use crate::workspace::command::{Action, NoAttempt};
use crate::workspace::state::Summary;
use crate::workspace::view::WebhookView;

pub(in crate::http) async fn show(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
) -> Result<([(HeaderName, HeaderValue); 1], Json<WebhookView>), Problem> {
    let reading = state.reader.workspace(&scope.workspace).await?;
    let tag = etag(reading.state.webhook.revision());
    Ok(([(ETAG, tag)], Json(state.view(&scope.workspace, &reading.state))))
}

pub(in crate::http) async fn save(
    State(state): State<Arc<FacadeState>>,
    scope: Scope,
    IfMatch(seen): IfMatch,
    JsonBody(body): JsonBody,
) -> Result<Json<WebhookView>, Problem> {
    let save = save_body::parse(&body, &state.facade.guard)?;
    let applied = state.submit_if(&scope.workspace, scope.caller.subject(), seen, Action::Save(save)).await?;
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
    IfMatch(seen): IfMatch,
    JsonBody(body): JsonBody,
) -> Result<Json<Tested>, Problem> {
    let action = match save_body::parse_test(&body, &state.facade.guard)? {
        TestRequest::Newest => Action::Test { save: None },
        TestRequest::AfterSave(save) => Action::Test { save: Some(save) },
        TestRequest::Sample => Action::Sample,
    };
    Ok(Json(state.submit_if(&scope.workspace, scope.caller.subject(), seen, action).await?.into()))
}

impl From<Applied> for Tested {
    fn from(applied: Applied) -> Self {
        Self { webhook: applied.webhook, attempt: applied.attempt, reason: applied.reason }
    }
}

const ETAG_IS: &str = "The seq of the last change by a person; neither attempts nor a switch-off by errors change it";
const IF_MATCH: &str = "The `ETag` that the webhook had when it was read: nothing is saved or sent when somebody has \
    changed it since (412). Several with commas between, or `*` for any; left out it makes no condition";

const IF_NONE_MATCH: &str = "`*`: nothing is saved where somebody has saved before (412); not beside `If-Match`";

/// One tag or several, or `*`: as many as are read.
fn tags() -> ObjectBuilder {
    const TAG: &str = r#"(W/)?"[!#-~]*""#;
    let more = IF_MATCH_TAGS_MAX - 1;
    pattern("Entity tags (RFC 9110, section 13.1.1)", &format!(r"^(\*|{TAG}( *, *{TAG}){{0,{more}}})$"))
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
            .with_header(200, "ETag", ETAG_IS)
            .refuses(&[TOKEN, WORKSPACE, READ]),
        ApiCall::put("/v1/workspaces/{workspace}/webhook", save)
            .named("saveWebhook", "Save")
            .says(
                "Saves the webhook and switches it on, or off where `enabled` is false. Every save sets the count of \
                 errors to 0. The first one makes the signing secret. What breaks a rule is refused whole: nothing is \
                 saved.",
            )
            .header("If-Match", IF_MATCH, tags())
            .header("If-None-Match", IF_NONE_MATCH, pattern("Nobody yet (RFC 9110, section 13.1.2)", r"^\*$"))
            .takes::<SaveBody>(Required::True, "The whole configuration", &saves)
            .answers::<WebhookView>(200, "Saved: the webhook as it is now", &[sample!("webhook-saved", "Saved")])
            .refuses(&[TOKEN, WORKSPACE, BODY, SAVE, CONDITION, COMMAND]),
        ApiCall::post("/v1/workspaces/{workspace}/webhook/test", test)
            .named("testWebhook", "Save and test")
            .says(
                "With a body saves first, as PUT does; then sends the workspace's newest message once and waits for \
                 the answer. Where the workspace has no message yet, `{\"sample\":true}` sends a made-up one whose \
                 `message_id` begins `sample-`; it saves nothing. Works while the webhook is off, and never moves the count of errors. One at a time, one \
                 a second.",
            )
            .header("If-Match", IF_MATCH, tags())
            .takes::<TestBody>(
                Required::False,
                "The configuration to save first; no body to test what is saved; `sample` alone where there is no message",
                &[sample!("test", "Save and test"), sample!("test-sample", "Send a sample")],
            )
            .answers::<Tested>(200, "Tested, or why not", &tests)
            .refuses(&[TOKEN, WORKSPACE, BODY, SAVE, CONDITION, COMMAND, TEST, &[ProblemKind::HasMessages]]),
    ]
}
