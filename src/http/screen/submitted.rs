//! A form that a page of the screen sent: bounded, declared as one, and from our own page.
//!
//! Every form but the one to sign in with carries a field that only this session's pages have, so no
//! other site can send it in the session's name; a cookie that goes to our own site only
//! (`SameSite=Strict`) and what the browser says of where it comes from are the second line.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::model::CSRF_FIELD;
use super::session::Session;
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
        let session = Session::from_request_parts(&mut parts, state).await?;
        if state.facade.access.origin.is_cross_site(&parts.headers) {
            return Err(state.trouble(&from_elsewhere()));
        }
        let read = FormFields::read(Request::from_parts(parts, body), BODY).await;
        let fields = read.map_err(|problem| state.trouble(&problem))?;
        if !bool::from(fields.get(CSRF_FIELD).as_bytes().ct_eq(session.csrf.as_bytes())) {
            let detail = "nothing was changed: the form is of another session; reload the page and send it again";
            return Err(state.trouble(&Problem::new(ProblemKind::ForeignForm, detail)));
        }
        Ok(Self { session, fields })
    }
}

/// The answer to a form that another site's page sent.
pub(super) fn from_elsewhere() -> Problem {
    let detail = "nothing was changed: the form comes from another site. If it does not, the service's --public-url \
        is not the address that the browser shows";
    Problem::new(ProblemKind::ForeignForm, detail)
}
