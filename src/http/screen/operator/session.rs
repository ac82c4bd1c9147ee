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
        let origin = &state.facade.access.origin;
        let Some(token) = SessionOf::Operator.cookie(&parts.headers, origin) else {
            let refused = (*origin == PublicOrigin::Open).then_some(NO_SESSION_HERE);
            return Err(state.operator_sign_in(StatusCode::UNAUTHORIZED, refused));
        };
        match state.of_operator(token).await {
            Ok(claims) => Ok(Self { csrf: state.form_seal(token), claims }),
            Err(InvalidToken::Unknown) => {
                let status = state.failures.count(peer(parts), InvalidToken::Unknown).status();
                let mut response = state.operator_sign_in(status, Some("Sign in again."));
                put_cookie(&mut response, &SessionOf::Operator.removal(origin));
                Err(response)
            }
            Err(_) => {
                Err(state.operator_sign_in(StatusCode::UNAUTHORIZED, Some("Your session has ended. Sign in again.")))
            }
        }
    }
}

/// A form that a page of that session sent.
pub(super) struct OperatorForm {
    pub(super) fields: FormFields,
    session: OperatorSession,
}

impl FromRequest<Arc<FacadeState>> for OperatorForm {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<FacadeState>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let session = OperatorSession::from_request_parts(&mut parts, state).await?;
        let fields = state.own_form(parts, body, &session.csrf).await?;
        Ok(Self { fields, session })
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
pub(super) async fn end(State(state): State<Arc<FacadeState>>, form: OperatorForm) -> Response {
    let removal = SessionOf::Operator.removal(&state.facade.access.origin);
    let ended = state.end_operator_session(&form.session.claims).await;
    state.signed_out(ended, &state.operator_path(), &removal)
}

impl FacadeState {
    /// What the session says, unless the store tells in time that it was ended.
    async fn of_operator(&self, token: &str) -> Result<Claims, InvalidToken> {
        let claims = self.signed(token, SessionOf::Operator)?;
        match timeout(OPERATOR_SESSION_WAIT, self.lasting(&claims)).await {
            Ok(Err(AuthError::Invalid(why))) => Err(why),
            Ok(Ok(()) | Err(AuthError::Unread(_))) | Err(_) => Ok(claims),
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
