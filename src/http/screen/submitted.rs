//! A form that a page of the screen sent: bounded, declared as one, and from our own page.
//!
//! Every form but the one to sign in with carries a field that only this session's pages have, so no
//! other site can send it in the session's name; a cookie that goes to our own site only
//! (`SameSite=Strict`) and what the browser says of where it comes from are the second line.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::after_sign_in::{AfterSignIn, NOT_SAVED, UNSENT_FORM};
use super::model::CSRF_FIELD;
use super::session::Session;
use crate::http::auth::caller::named_workspace;
use crate::http::body::{BODY, FormFields};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::state::FacadeState;

/// A form of the session that its cookie proves.
pub(super) struct Submitted {
    pub(super) session: Session,
    pub(super) fields: FormFields,
}

impl FromRequest<Arc<FacadeState>> for Submitted {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<FacadeState>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let session = match Session::from_request_parts(&mut parts, state).await {
            Ok(session) => session,
            Err(refused) => return Err(state.keep(refused, parts, body).await),
        };
        let fields = state.own_form(parts, body, &session.csrf).await?;
        Ok(Self { session, fields })
    }
}

impl FacadeState {
    /// The fields of a form that a page of the session sent whose forms carry `csrf`.
    pub(super) async fn own_form(&self, parts: Parts, body: Body, csrf: &str) -> Result<FormFields, Response> {
        if self.facade.access.origin.is_cross_site(&parts.headers) {
            return Err(self.trouble(&from_elsewhere()));
        }
        let read = FormFields::read(Request::from_parts(parts, body), BODY).await;
        let fields = read.map_err(|problem| self.trouble(&problem))?;
        if !bool::from(fields.get(CSRF_FIELD).as_bytes().ct_eq(csrf.as_bytes())) {
            let detail = "nothing was changed: the form is of another session; reload the page and send it again";
            return Err(self.trouble(&Problem::new(ProblemKind::ForeignForm, detail)));
        }
        Ok(fields)
    }

    /// What the form that was sent without a session is answered: the page to sign in with, which brings along what was
    /// typed to be saved. A form of another site is not kept, or whoever signs in would save what that site wrote.
    async fn keep(self: &Arc<Self>, refused: Response, mut parts: Parts, body: Body) -> Response {
        let Some(then) = AfterSignIn::of(parts.uri.path()) else { return refused };
        if refused.status() != StatusCode::UNAUTHORIZED || self.facade.access.origin.is_cross_site(&parts.headers) {
            return refused;
        }
        let Ok(workspace) = named_workspace(&mut parts, self).await else { return refused };
        match FormFields::read(Request::from_parts(parts, body), UNSENT_FORM).await {
            Ok(fields) => self.sign_in_and(&workspace, StatusCode::UNAUTHORIZED, NOT_SAVED, then, &fields),
            Err(_) => refused,
        }
    }
}

/// The answer to a form that another site's page sent.
pub(super) fn from_elsewhere() -> Problem {
    let detail = "nothing was changed: the form comes from another site. If it does not, the service's --public-url \
        is not the address that the browser shows";
    Problem::new(ProblemKind::ForeignForm, detail)
}
