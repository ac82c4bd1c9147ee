//! The routes of the facade.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

use super::api::{attempts, messages, rejected, secret, service, tokens, webhook, workspace};
use super::openapi::docs_page;
use super::state::{Facade, FacadeState};
use super::{layers, openapi, problem, screen};
use crate::config::{REQUEST_BODY_MAX, REQUESTS_AT_ONCE};

/// The routes. Each file of `api` holds the handlers of one resource.
pub fn router(facade: Facade) -> Router {
    let origin = facade.access.origin.clone();
    let state = Arc::new(FacadeState::new(facade, openapi::text()));
    let limit = layers::RequestLimit::new(REQUESTS_AT_ONCE);
    let resources = Router::new()
        .route("/v1/workspaces/{workspace}", delete(workspace::forget))
        .route("/v1/workspaces/{workspace}/webhook", get(webhook::show).put(webhook::save))
        .route("/v1/workspaces/{workspace}/webhook/test", post(webhook::test))
        .route("/v1/workspaces/{workspace}/webhook/secret", get(secret::show))
        .route("/v1/workspaces/{workspace}/webhook/secret/rotate", post(secret::rotate))
        .route("/v1/workspaces/{workspace}/attempts", get(attempts::list))
        .route("/v1/workspaces/{workspace}/attempts/log", get(attempts::log))
        .route("/v1/workspaces/{workspace}/attempts/live", get(attempts::live))
        .route("/v1/workspaces/{workspace}/history", get(workspace::history))
        .route("/v1/workspaces/{workspace}/messages", post(messages::publish))
        .route("/v1/workspaces/{workspace}/tokens", post(tokens::mint).delete(tokens::revoke))
        .route("/v1/rejected", get(rejected::list))
        .route("/v1/rejected/{shard}/{id}", get(rejected::show))
        .route("/v1/rejected/{shard}/{id}/requeue", post(rejected::requeue))
        .merge(screen::routes::routes())
        .layer(DefaultBodyLimit::max(REQUEST_BODY_MAX))
        .layer(from_fn_with_state(limit, layers::admit));
    let open = Router::new()
        .route("/healthz", get(service::alive))
        .route("/readyz", get(service::ready))
        .route("/openapi.json", get(service::describe))
        .route("/docs", get(docs_page::page))
        .route("/docs/{file}", get(docs_page::file))
        .route("/assets/{name}", get(screen::assets::asset));
    resources
        .merge(open)
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(origin, layers::harden))
        .with_state(state)
}
