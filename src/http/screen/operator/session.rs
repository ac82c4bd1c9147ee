//! Who looks at the operators' screen: whoever holds the session that the admin token began.

use std::sync::{Arc, LazyLock};

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::config::OPERATOR_SESSION_WAIT;
use crate::http::auth::caller::{AuthError, Caller};
use crate::http::auth::cookie::SessionOf;
use crate::http::auth::failures::peer;
use crate::http::auth::jwt::{Claims, InvalidToken};
use crate::http::auth::public_origin::PublicOrigin;
use crate::http::body::FormFields;
use crate::http::connections::prove;
use crate::http::screen::frame;
use crate::http::screen::session::{NO_SESSION_HERE, put_cookie};
use crate::http::screen::sign_in::FORM;
use crate::http::state::FacadeState;
use crate::message::WorkspaceId;

/// An operator.
pub(super) struct OperatorSession {
    /// Stands in every form of the page.
    pub(super) csrf: String,
    claims: Claims,
}

impl FromRequestParts<Arc<FacadeState>> for OperatorSession {
    /// The page to sign in with, or what is wrong.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Response> {
        state.operator(parts, Unread::Passes).await
    }
}

/// What a session is taken for of which the store does not say whether it was ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// For one that lasts: to look, and to sign out.
    Passes,
    /// For none: what a form changes may be lost for good.
    Fails,
}

/// A form that a page of that session sent.
pub(super) struct OperatorForm {
    pub(super) fields: FormFields,
}

impl FromRequest<Arc<FacadeState>> for OperatorForm {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<FacadeState>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let session = state.operator(&mut parts, Unread::Fails).await?;
        Ok(Self { fields: state.own_form(parts, body, &session.csrf).await? })
    }
}

/// Begins a session. A workspace's token opens that workspace's screen.
pub(super) async fn begin(State(state): State<Arc<FacadeState>>, request: Request) -> Response {
    let refused = |status, error: &str, _: Option<&FormFields>| state.operator_sign_in(status, Some(error));
    let signed_in = match state.signed_in(request, FORM, refused).await {
        Ok(signed_in) => signed_in,
        Err(refused) => return refused,
    };
    let (workspace, place) = match &signed_in.caller {
        Caller::Admin => (NO_WORKSPACE.clone(), state.operator_path()),
        Caller::Workspace(claims) => (claims.ws.clone(), state.screen_path(&claims.ws)),
    };
    match state.new_session(signed_in.caller, &workspace, signed_in.address) {
        Ok(begun) => state.to(&place, Some(&begun.cookie)),
        Err(problem) => state.trouble(&problem),
    }
}

/// Stands in a session that belongs to no workspace; nothing asks for it there.
#[expect(clippy::expect_used, reason = "letters alone are a workspace id")]
static NO_WORKSPACE: LazyLock<WorkspaceId> = LazyLock::new(|| "operators".parse().expect("a workspace id"));

/// Ends the session, wherever its cookie has got to.
pub(super) async fn end(State(state): State<Arc<FacadeState>>, session: OperatorSession, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(refused) = state.own_form(parts, body, &session.csrf).await {
        return refused;
    }
    let removal = SessionOf::Operator.removal(&state.facade.access.origin);
    let ended = state.end_operator_session(&session.claims).await;
    state.signed_out(ended, &state.operator_path(), &removal)
}

impl FacadeState {
    /// The session whose cookie the request shows; else the page to sign in with, or what is wrong.
    async fn operator(&self, parts: &mut Parts, unread: Unread) -> Result<OperatorSession, Response> {
        let origin = &self.facade.access.origin;
        let Some(token) = SessionOf::Operator.cookie(&parts.headers, origin) else {
            let refused = (*origin == PublicOrigin::Open).then_some(NO_SESSION_HERE);
            return Err(self.operator_sign_in(StatusCode::UNAUTHORIZED, refused));
        };
        let proven = self.proven(token, SessionOf::Operator);
        let told = match unread {
            Unread::Fails => Some(proven.await),
            Unread::Passes => timeout(OPERATOR_SESSION_WAIT, proven).await.ok(),
        };
        if let Some(Ok(_)) = told {
            prove(&parts.extensions, None);
        }
        let judged = told.filter(|told| unread == Unread::Fails || !matches!(told, Err(AuthError::Unread(_))));
        match judged.unwrap_or_else(|| self.signed(token, SessionOf::Operator).map_err(AuthError::Invalid)) {
            Ok(claims) => Ok(OperatorSession { csrf: self.form_seal(token), claims }),
            Err(AuthError::Unread(problem)) => Err(self.trouble(&problem)),
            Err(AuthError::Invalid(InvalidToken::Unknown)) => {
                let status = self.failures.count(peer(parts), InvalidToken::Unknown).status();
                let mut response = self.operator_sign_in(status, Some("Sign in again."));
                put_cookie(&mut response, &SessionOf::Operator.removal(origin));
                Err(response)
            }
            Err(AuthError::Invalid(_)) => {
                Err(self.operator_sign_in(StatusCode::UNAUTHORIZED, Some("Your session has ended. Sign in again.")))
            }
        }
    }

    fn operator_sign_in(&self, status: StatusCode, error: Option<&str>) -> Response {
        let root = self.facade.access.origin.path();
        (status, frame::sign_in(root, &format!("{root}/operator"), None, error, None)).into_response()
    }

    /// The path of the operators' screen, as a browser sees it.
    pub(super) fn operator_path(&self) -> String {
        format!("{}/", self.facade.access.origin.path())
    }
}
