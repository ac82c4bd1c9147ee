//! `/v1/workspaces/{ws}/webhook`: the webhook and its state, and Save.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::Scope;
use super::body::Body;
use super::problem::Problem;
use super::{Shared, save};
use crate::workspace::command::Action;
use crate::workspace::view::WebhookView;

pub(super) async fn show(State(shared): State<Arc<Shared>>, scope: Scope) -> Result<Json<WebhookView>, Problem> {
    let reading = shared.read(&scope.workspace).await?;
    Ok(Json(WebhookView::new(&scope.workspace, &reading.state, &shared.facade.policy)))
}

pub(super) async fn save(
    State(shared): State<Arc<Shared>>,
    scope: Scope,
    Body(body): Body,
) -> Result<Json<WebhookView>, Problem> {
    let save = save::parse(&body, &shared.facade.guard)?;
    let applied = shared.submit(&scope, Action::Save(save)).await?;
    Ok(Json(*applied.webhook))
}
