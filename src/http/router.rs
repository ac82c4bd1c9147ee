//! The routes of the facade.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use bytes::Bytes;

use super::openapi::docs_page;
use super::state::{Facade, FacadeState};
use super::{api, layers, openapi, problem, screen};

static DESCRIPTION: LazyLock<Bytes> = LazyLock::new(|| openapi::text(api::headings()));

/// The routes: the calls of the API as `api` lists them, and the pages.
pub fn router(facade: Facade) -> Router {
    let origin = facade.access.origin.clone();
    let state = Arc::new(FacadeState::new(facade, DESCRIPTION.clone()));
    let mut limited = screen::routes::routes().merge(screen::operator::routes::routes());
    let mut open = Router::new()
        .route("/docs", get(docs_page::page))
        .route("/docs/", get(docs_page::with_a_slash))
        .route("/docs/{file}", get(docs_page::file))
        .route("/assets/{name}", get(screen::assets::asset));
    for call in api::headings().into_iter().flat_map(|heading| heading.calls) {
        let routes = if call.is_open { &mut open } else { &mut limited };
        *routes = std::mem::take(routes).route(call.path, call.route);
    }
    limited
        .layer(from_fn_with_state(Arc::clone(&state), layers::admit))
        // Takes its place itself, when the form is there.
        .merge(screen::routes::sign_in())
        .merge(screen::operator::routes::sign_in())
        .layer(from_fn(layers::isolate))
        .merge(open)
        .fallback(screen::operator::routes::no_such_page)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(origin, layers::harden))
        .with_state(state)
}
