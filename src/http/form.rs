//! A form that a page of the screen sent: bounded, declared as one, and from our own page.
//!
//! Every form but the one to sign in with carries a field that only this session's pages have, so no
//! other site can send it in the session's name; a cookie that goes to our own site only
//! (`SameSite=Strict`) and what the browser says of where it comes from are the second line.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::problem::{Kind, Problem};
use super::session::Session;
use super::{Shared, body};

/// The hidden field that holds [`Session::csrf`].
pub(super) const CSRF_FIELD: &str = "csrf";

/// A form of the session that its cookie proves.
pub(super) struct Submitted {
    pub(super) session: Session,
    pub(super) fields: Fields,
}

impl FromRequest<Arc<Shared>> for Submitted {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let session = Session::from_request_parts(&mut parts, shared).await?;
        if shared.facade.access.front.is_cross_site(&parts.headers) {
            return Err(shared.trouble(from_elsewhere()));
        }
        let fields = read(Request::from_parts(parts, body)).await.map_err(|problem| shared.trouble(problem))?;
        if !bool::from(fields.get(CSRF_FIELD).as_bytes().ct_eq(session.csrf.as_bytes())) {
            let detail = "nothing was changed: the form is of another session; reload the page and send it again";
            return Err(shared.trouble(Problem::new(Kind::ForeignForm, detail)));
        }
        Ok(Self { session, fields })
    }
}

/// The fields of a form.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The field's value; a field that is missing is empty, one that stands twice counts as it comes first.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Reads a form's fields.
pub(super) async fn read(request: Request) -> Result<Fields, Problem> {
    let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = declared.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let detail = "send a form with `Content-Type: application/x-www-form-urlencoded`";
        return Err(Problem::new(Kind::NotDeclaredForm, detail));
    }
    let bytes = body::read(request, &()).await?;
    Ok(Fields(form_urlencoded::parse(&bytes).into_owned().collect()))
}

/// The answer to a form that another site's page sent.
pub(super) fn from_elsewhere() -> Problem {
    let detail = "nothing was changed: the form comes from another site. If it does not, the service's --public-url \
        is not the address that the browser shows";
    Problem::new(Kind::ForeignForm, detail)
}
