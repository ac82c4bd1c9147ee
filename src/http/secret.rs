//! `/v1/workspaces/{ws}/webhook/secret`: what the endpoint verifies our signatures with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::Scope;
use super::problem::{Kind, Problem};

/// What signatures are verified with.
#[derive(Serialize, ToSchema)]
#[schema(as = Secret)]
pub(super) struct SecretView {
    /// `whsec_` and the key as base64.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/=]+$")]
    secret: Arc<str>,
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, scope: Scope) -> Result<Json<SecretView>, Problem> {
    match shared.read(&scope.workspace).await?.state.webhook.secret {
        Some(secret) => Ok(Json(SecretView { secret })),
        None => Err(Problem::new(Kind::NoSecret, "the secret is made by the first save; PUT the webhook first")),
    }
}
