//! A session of the screen: a token of its own audience in a cookie, for [`SESSION_MAX`] at most. One that a workspace
//! token began opens that workspace, never longer than the token, and is over when the workspace's tokens are revoked; it
//! has a cookie of its own, so that one browser can have several. The one that the admin token began opens every workspace
//! and is over when the admin token is another, or whoever has it signs out. A session opens the screen and nothing below `/v1`.
//!
//! [`SESSION_MAX`]: crate::config::SESSION_MAX

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::after_sign_in::AfterSignIn;
use super::frame;
use crate::http::auth::caller::{AuthError, Caller, Scope, named_workspace};
use crate::http::auth::cookie::SessionOf;
use crate::http::auth::failures::peer;
use crate::http::auth::jwt::{Audience, Claims, InvalidToken};
use crate::http::auth::public_origin::PublicOrigin;
use crate::http::body::FormFields;
use crate::http::connections::prove;
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::message::WorkspaceId;

/// What a session that nobody may have is told.
pub(super) const NO_SESSION_HERE: &str = "Nobody can sign in here, for the token and the session would travel in the clear. \
    Start the service with --public-url https://…, the address by which browsers reach it, or open it on 127.0.0.1.";

/// Who looks at the screen, proven by the cookie.
#[derive(Debug)]
pub(super) struct Session {
    /// Whose screen, and who: what commands are submitted with.
    pub(super) scope: Scope,
    /// Whether it opens every workspace.
    pub(super) is_operators: bool,
    /// Stands in every form of the session's pages, in the hidden field [`super::model::CSRF_FIELD`].
    pub(super) csrf: String,
}

impl FromRequestParts<Arc<FacadeState>> for Session {
    /// The page to sign in with, or what is wrong.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Response> {
        let workspace = named_workspace(parts, state).await.map_err(|problem| state.trouble(&problem))?;
        let origin = &state.facade.access.origin;
        let mut over = None;
        for of in [SessionOf::Workspace(&workspace), SessionOf::Operator] {
            let Some(token) = of.cookie(&parts.headers, origin) else { continue };
            match state.resume(token, &workspace, of).await {
                Ok(session) => {
                    prove(&parts.extensions, (!session.is_operators).then_some(&workspace));
                    return Ok(session);
                }
                Err(AuthError::Unread(problem)) => return Err(state.trouble(&problem)),
                Err(AuthError::Invalid(why)) => over = over.or(Some((why, of))),
            }
        }
        Err(match over {
            Some((why, of)) => state.ended(&workspace, why, of, peer(parts)),
            None => {
                let refused = (*origin == PublicOrigin::Open).then_some(NO_SESSION_HERE);
                state.sign_in(&workspace, StatusCode::UNAUTHORIZED, refused)
            }
        })
    }
}

impl FacadeState {
    /// The session that `token`, from the cookie of `of`, proves for `workspace`.
    async fn resume(&self, token: &str, workspace: &WorkspaceId, of: SessionOf<'_>) -> Result<Session, AuthError> {
        let claims = self.proven(token, of).await?;
        // The operator's ends with the admin token, not with the tokens of the workspace where it began.
        let claims = match of {
            SessionOf::Operator => Claims { ws: workspace.clone(), generation: u64::MAX, ..claims },
            SessionOf::Workspace(_) => claims,
        };
        Ok(self.session_of(claims, token, workspace))
    }

    /// What the session says that `token`, from the cookie of `of`, proves.
    pub(super) async fn proven(&self, token: &str, of: SessionOf<'_>) -> Result<Claims, AuthError> {
        let claims = self.signed(token, of).map_err(AuthError::Invalid)?;
        match of {
            SessionOf::Operator => self.lasting(&claims).await.map(|()| claims),
            SessionOf::Workspace(_) => self.unrevoked(claims).await,
        }
    }

    /// What we signed and is valid still, whether or not it was ended.
    pub(super) fn signed(&self, token: &str, of: SessionOf<'_>) -> Result<Claims, InvalidToken> {
        let access = &self.facade.access;
        let claims = access.key.verify(token, Audience::Screen, (self.facade.clock)())?;
        if claims.session() == of && access.is_current(&claims) { Ok(claims) } else { Err(InvalidToken::Expired) }
    }

    /// Refuses a session of the operator that was ended.
    pub(super) async fn lasting(&self, claims: &Claims) -> Result<(), AuthError> {
        let Some(id) = &claims.jti else { return Ok(()) };
        match self.reader.has_operator_session_ended(id).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(AuthError::Invalid(InvalidToken::Expired)),
            Err(problem) => Err(AuthError::Unread(problem)),
        }
    }

    /// The session that `claims`, signed as `token`, make.
    pub(super) fn session_of(&self, claims: Claims, token: &str, workspace: &WorkspaceId) -> Session {
        let (csrf, is_operators) = (self.form_seal(token), claims.session() == SessionOf::Operator);
        let scope = Scope { caller: Caller::Workspace(claims.into()), workspace: workspace.clone() };
        Session { scope, is_operators, csrf }
    }

    /// What every form of the session's pages carries.
    pub(super) fn form_seal(&self, token: &str) -> String {
        self.facade.access.key.seal("csrf", token.as_bytes())
    }

    /// The cookie proves no session here. One that we never made is taken back, so that a browser that
    /// has it from another service on this address does not show it again and again.
    fn ended(&self, workspace: &WorkspaceId, why: InvalidToken, of: SessionOf<'_>, address: IpAddr) -> Response {
        let (status, text) = match why {
            InvalidToken::Unknown => (self.failures.count(address, why).status(), "Sign in again."),
            InvalidToken::Expired => {
                (StatusCode::UNAUTHORIZED, "Sign in: there is no session for this workspace any more.")
            }
            InvalidToken::Revoked => {
                (StatusCode::UNAUTHORIZED, "The tokens of this workspace were revoked. Sign in again.")
            }
        };
        let mut response = self.sign_in(workspace, status, Some(text));
        if why == InvalidToken::Unknown {
            put_cookie(&mut response, &of.removal(&self.facade.access.origin));
        }
        response
    }

    pub(super) fn sign_in(&self, workspace: &WorkspaceId, status: StatusCode, error: Option<&str>) -> Response {
        let root = self.facade.access.origin.path();
        (status, frame::sign_in(root, &self.screen_path(workspace), Some(workspace), error, None)).into_response()
    }

    /// The page to sign in with, after which what was typed is saved.
    pub(super) fn sign_in_and(
        &self,
        workspace: &WorkspaceId,
        status: StatusCode,
        error: &str,
        then: AfterSignIn,
        fields: &FormFields,
    ) -> Response {
        let root = self.facade.access.origin.path();
        let kept = Some((then, fields));
        (status, frame::sign_in(root, &self.screen_path(workspace), Some(workspace), Some(error), kept)).into_response()
    }

    /// Sends the browser to one of our pages.
    pub(super) fn to(&self, place: &str, cookie: Option<&str>) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        // A workspace id, a parsed URL's path and a query that we write hold no character that a header refuses.
        if let Ok(place) = HeaderValue::from_str(place) {
            response.headers_mut().insert(LOCATION, place);
        }
        if let Some(cookie) = cookie {
            put_cookie(&mut response, cookie);
        }
        response
    }

    /// The problem as a page.
    pub(super) fn trouble(&self, problem: &Problem) -> Response {
        let page = frame::trouble(self.facade.access.origin.path(), problem.title(), &problem.page_text());
        let mut response = (problem.status(), page).into_response();
        if let Some(seconds) = problem.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }

    /// The screen's path, as a browser sees it.
    pub(super) fn screen_path(&self, workspace: &WorkspaceId) -> String {
        format!("{}/workspaces/{workspace}/outbound", self.facade.access.origin.path())
    }
}

pub(super) fn put_cookie(response: &mut Response, cookie: &str) {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
}
