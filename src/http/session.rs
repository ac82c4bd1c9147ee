//! `/workspaces/{ws}/outbound/session`: a token, entered in a form, for a session of the screen.
//!
//! A session is a token of its own audience in a cookie: for one workspace, for [`SESSION_MAX`] at most,
//! never longer than the token that it was begun with, and over when the workspace's tokens are revoked
//! or the admin token that it was begun with is another. It opens the screen and nothing below `/v1`.
//!
//! | call | does |
//! |---|---|
//! | `POST …/session` | a form with `token` → 303 to the screen with the cookie; a wrong token: the form again |
//! | `POST …/session/end` | signs out: 303 to the screen without the cookie |

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::access::{Front, Unproven};
use super::auth::{ADMIN, Caller, Scope, named_workspace};
use super::failures::peer;
use super::form::{self, Submitted};
use super::jwt::{Audience, Claims, Wrong};
use super::problem::Problem;
use super::{Shared, screen};
use crate::config::SESSION_MAX;
use crate::message::WorkspaceId;
use crate::workspace::Time;

/// What a session that nobody may have is told.
const NO_SESSION_HERE: &str = "Nobody can sign in here, for the token and the session would travel in the clear. \
    Start the service with --public-url https://…, the address by which browsers reach it, or open it on 127.0.0.1.";

/// Who looks at the screen, proven by the cookie.
#[derive(Debug)]
pub(super) struct Session {
    /// Whose screen, and who: what commands are submitted with.
    pub(super) scope: Scope,
    /// Stands in every form of the session's pages, in the hidden field [`form::CSRF_FIELD`].
    pub(super) csrf: String,
}

impl FromRequestParts<Arc<Shared>> for Session {
    /// The page to sign in with, or what is wrong.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let workspace = named_workspace(parts, shared).await.map_err(|problem| shared.trouble(problem))?;
        let front = &shared.facade.access.front;
        let Some(token) = cookie(&parts.headers, front) else {
            let refused = (*front == Front::Open).then_some(NO_SESSION_HERE);
            return Err(shared.sign_in(&workspace, StatusCode::UNAUTHORIZED, refused));
        };
        match shared.resume(token, &workspace).await {
            Ok(session) => Ok(session),
            Err(Unproven::Unread(problem)) => Err(shared.trouble(problem)),
            Err(Unproven::Wrong(why)) => Err(shared.ended(&workspace, why, peer(parts))),
        }
    }
}

/// Begins a session.
pub(super) async fn begin(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.begin(request).await.unwrap_or_else(|refused| refused)
}

/// Ends it: in this browser. What ends a session everywhere is revoking the workspace's tokens.
pub(super) async fn end(State(shared): State<Arc<Shared>>, submitted: Submitted) -> Response {
    let Submitted { session, .. } = submitted;
    shared.to_screen(&session.scope.workspace, &removal(&shared.facade.access.front))
}

impl Shared {
    async fn begin(self: &Arc<Self>, request: Request) -> Result<Response, Response> {
        let (mut parts, body) = request.into_parts();
        let workspace = named_workspace(&mut parts, self).await.map_err(|problem| self.trouble(problem))?;
        let access = &self.facade.access;
        if access.front == Front::Open {
            return Err(self.sign_in(&workspace, StatusCode::FORBIDDEN, Some(NO_SESSION_HERE)));
        }
        if access.front.is_cross_site(&parts.headers) {
            return Err(self.trouble(form::from_elsewhere()));
        }
        let address = peer(&parts);
        let fields = form::read(Request::from_parts(parts, body)).await.map_err(|problem| self.trouble(problem))?;
        let token = fields.get("token").trim();
        if token.is_empty() {
            return Err(self.sign_in(&workspace, StatusCode::UNAUTHORIZED, Some("Enter a token.")));
        }
        let caller = match self.recognise(token).await {
            Ok(caller) => caller,
            Err(Unproven::Unread(problem)) => return Err(self.trouble(problem)),
            Err(Unproven::Wrong(why)) => {
                let problem = self.failures.count(address, why);
                return Err(self.sign_in(&workspace, problem.status(), Some(&problem.sentence())));
            }
        };
        if !caller.may(&workspace) {
            let elsewhere = "This token opens another workspace.";
            return Err(self.sign_in(&workspace, StatusCode::NOT_FOUND, Some(elsewhere)));
        }
        let now = (self.facade.clock)();
        let claims = self.session(caller, &workspace, now).await.map_err(|problem| self.trouble(problem))?;
        let token = access.key.sign(&claims).map_err(|problem| self.trouble(problem))?;
        tracing::info!(%workspace, by = claims.sub, %address, "a session began");
        Ok(self.to_screen(&workspace, &set_cookie(&access.front, &token, claims.exp - now.unix_seconds())))
    }

    /// What the session of `caller` says.
    async fn session(&self, caller: Caller, workspace: &WorkspaceId, now: Time) -> Result<Claims, Problem> {
        let until = now.plus(SESSION_MAX).unix_seconds();
        let (sub, generation, exp, adm) = match caller {
            Caller::Workspace(token) => (token.sub, token.generation, until.min(token.exp), None),
            Caller::Admin => {
                let state = self.within_reads(self.facade.journal.snapshot(workspace)).await?;
                (ADMIN.to_owned(), state.token_generation, until, Some(self.facade.access.admin_seal()))
            }
        };
        let jti = Some((self.facade.fresh_id)().simple().to_string());
        let (aud, ws, iat) = (Audience::Screen, workspace.clone(), now.unix_seconds());
        Ok(Claims { aud, ws, sub, generation, iat, exp, jti, adm })
    }

    /// The session that `token` proves for `workspace`.
    async fn resume(&self, token: &str, workspace: &WorkspaceId) -> Result<Session, Unproven> {
        let access = &self.facade.access;
        let claims = access.key.verify(token, Audience::Screen, (self.facade.clock)()).map_err(Unproven::Wrong)?;
        // One cookie serves one workspace: who looks at another one signs in there.
        if claims.ws != *workspace || !access.is_current(&claims) {
            return Err(Unproven::Wrong(Wrong::Expired));
        }
        let claims = self.unrevoked(claims).await?;
        let csrf = access.key.seal("csrf", token.as_bytes());
        let scope = Scope { caller: Caller::Workspace(claims.into()), workspace: workspace.clone() };
        Ok(Session { scope, csrf })
    }

    /// The cookie proves no session here. One that we never made is taken back, so that a browser that
    /// kept it from another service on this address does not show it again and again.
    fn ended(&self, workspace: &WorkspaceId, why: Wrong, address: IpAddr) -> Response {
        let (status, sentence) = match why {
            Wrong::Unknown => (self.failures.count(address, why).status(), "Sign in again."),
            Wrong::Expired => (StatusCode::UNAUTHORIZED, "Sign in: there is no session for this workspace any more."),
            Wrong::Revoked => (StatusCode::UNAUTHORIZED, "The tokens of this workspace were revoked. Sign in again."),
        };
        let mut response = self.sign_in(workspace, status, Some(sentence));
        if why == Wrong::Unknown {
            put_cookie(&mut response, &removal(&self.facade.access.front));
        }
        response
    }

    fn sign_in(&self, workspace: &WorkspaceId, status: StatusCode, error: Option<&str>) -> Response {
        let root = self.facade.access.front.path();
        (status, screen::sign_in(root, &self.screen_path(workspace), workspace, error)).into_response()
    }

    fn to_screen(&self, workspace: &WorkspaceId, cookie: &str) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        // A workspace id and a parsed URL's path hold no character that a header refuses.
        if let Ok(place) = HeaderValue::from_str(&self.screen_path(workspace)) {
            response.headers_mut().insert(LOCATION, place);
        }
        put_cookie(&mut response, cookie);
        response
    }

    /// The problem as a page.
    pub(super) fn trouble(&self, problem: Problem) -> Response {
        problem.into_page(self.facade.access.front.path())
    }

    /// The screen's path, as a browser sees it.
    pub(super) fn screen_path(&self, workspace: &WorkspaceId) -> String {
        format!("{}/workspaces/{workspace}/outbound", self.facade.access.front.path())
    }
}

fn put_cookie(response: &mut Response, cookie: &str) {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// The cookie's name. The prefix binds it to this host and to https (RFC 6265bis section 4.1.3.2).
fn name(front: &Front) -> &'static str {
    match front {
        Front::Https { .. } => "__Host-outbound",
        Front::Loopback | Front::Open => "outbound",
    }
}

fn set_cookie(front: &Front, token: &str, seconds: i64) -> String {
    let secure = if matches!(front, Front::Https { .. }) { "; Secure" } else { "" };
    format!("{}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(front))
}

fn removal(front: &Front) -> String {
    set_cookie(front, "", 0)
}

/// The session's cookie, where there may be one.
fn cookie<'a>(headers: &'a HeaderMap, front: &Front) -> Option<&'a str> {
    if *front == Front::Open {
        return None;
    }
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(';'));
    let mut named = all.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name(front));
    named.next().map(|(_, token)| token).filter(|token| !token.is_empty())
}
