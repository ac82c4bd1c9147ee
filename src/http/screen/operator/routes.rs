//! What is asked for, and what follows: GET shows, POST does and sends the browser back (303).
//!
//! | call | does |
//! |---|---|
//! | `GET /` | the screen for a browser; whoever does not ask for a page is told that nothing is here |
//! | `POST /operator/session` | a form with `token` → 303 with the cookie; a wrong token: the form again |
//! | `POST /operator/session/end` | signs out, everywhere |
//! | `POST /operator/rejected/requeue`, `…/discard` | what was set aside for the `reason` of the form |

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, RawQuery, Request, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Method};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

use super::asked::{DISCARDED, INVALID, ListChoice, MORE, OLDEST, REASON, REQUEUED, notice};
use super::page::page;
use super::session::{self, OperatorForm, OperatorSession};
use crate::http::api::rejected::{RejectedId, discarding};
use crate::http::body::FormFields;
use crate::http::problem::no_such_path;
use crate::http::screen::frame;
use crate::http::screen::query::ScreenQuery;
use crate::http::screen::routes::back;
use crate::http::state::FacadeState;

/// The calls of the screen.
pub(in crate::http) fn routes() -> Router<Arc<FacadeState>> {
    Router::new()
        .route("/", get(show).fallback(no_such_path))
        .route("/operator/rejected/requeue", post(requeue).get(back))
        .route("/operator/rejected/discard", post(discard).get(back))
        .route("/operator/session/end", post(session::end).get(back))
}

/// The call that takes a token in a form, from whoever has none yet.
pub(in crate::http) fn sign_in() -> Router<Arc<FacadeState>> {
    Router::new().route("/operator/session", post(session::begin).get(back))
}

/// The screen.
async fn show(State(state): State<Arc<FacadeState>>, RawQuery(query): RawQuery, request: Request) -> Response {
    if !wants_page(request.headers()) {
        return no_such_path(request.uri().clone()).await.into_response();
    }
    let (mut parts, _) = request.into_parts();
    let session = match OperatorSession::from_request_parts(&mut parts, &state).await {
        Ok(session) => session,
        Err(refused) => return refused,
    };
    let asked = ScreenQuery::of(query.as_deref());
    let choice = ListChoice::of(&asked);
    let overview = Box::pin(state.overview(&session.csrf, &choice, notice(&asked))).await;
    Html(page(&overview)).into_response()
}

/// The answer where no route leads: a page for whoever typed the address into a browser, else a problem.
pub(in crate::http) async fn no_such_page(State(state): State<Arc<FacadeState>>, request: Request) -> Response {
    let problem = no_such_path(request.uri().clone()).await;
    let is_call = request.uri().path().starts_with("/v1/") || request.method() != Method::GET;
    if is_call || !wants_page(request.headers()) {
        return problem.into_response();
    }
    let page = frame::nothing_here(state.facade.access.origin.path());
    (problem.status(), page).into_response()
}

/// Whether a caller takes a page: browsers name it, programs take anything or JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_page = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("text/html"));
        let weight = parts.find_map(|parameter| parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")));
        is_page && weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))
    })
}

/// Checks what was set aside for a reason again.
async fn requeue(State(state): State<Arc<FacadeState>>, OperatorForm { fields, .. }: OperatorForm) -> Response {
    let done = state.requeue_kind(fields.get(REASON), oldest(&fields)).await;
    state.summaries.rejected.forget().await;
    match done {
        Ok(done) => {
            let more = if done.more { format!("&{MORE}=1") } else { String::new() };
            state.came_to(&format!("{REQUEUED}={}&{INVALID}={}{more}", done.moved, done.invalid))
        }
        Err(problem) => state.trouble(&problem),
    }
}

/// Deletes what was set aside for a reason.
async fn discard(State(state): State<Arc<FacadeState>>, OperatorForm { fields, .. }: OperatorForm) -> Response {
    let kind = fields.get(REASON);
    let done = discarding(state.discard_rejected(None, Some(kind), oldest(&fields))).await;
    state.summaries.rejected.forget().await;
    match done {
        Ok(done) => {
            tracing::info!(kind, discarded = done.discarded, "rejected entries were discarded");
            let more = if done.more { format!("&{MORE}=1") } else { String::new() };
            state.came_to(&format!("{DISCARDED}={}{more}", done.discarded))
        }
        Err(problem) => state.trouble(&problem),
    }
}

/// Where the entries of the form's reason begin; at the first of all where it does not say.
fn oldest(fields: &FormFields) -> RejectedId {
    RejectedId::parse(fields.get(OLDEST)).unwrap_or_default()
}

impl FacadeState {
    /// Shows the screen with what a form came to.
    fn came_to(&self, query: &str) -> Response {
        self.to(&format!("{}?{query}", self.operator_path()), None)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_browsers_ask_for_a_page() {
        let asks =
            |accept: &'static str| wants_page(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        for page in
            ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "a/b, TEXT/HTML;q=0.1"]
        {
            assert!(asks(page), "{page}");
        }
        for other in ["", "*/*", "application/json", "text/*", "text/html;q=0", "text/html;level=1; q=0.0"] {
            assert!(!asks(other), "{other}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }
}
