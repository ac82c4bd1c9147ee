//! `/workspaces/{ws}/outbound/session`: a token, entered in a form, for a session of the screen.
//!
//! | call | does |
//! |---|---|
//! | `POST …/session` | a form with `token` → 303 to the screen with the cookie; a wrong token: the form again |
//! | `POST …/session/save`, `…/session/test` | the same with what had been sent without a session, which is saved then |
//! | `POST …/session/end` | signs out: 303 to the screen without the cookie |

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::after_sign_in::{AfterSignIn, UNSENT_FORM};
use super::session::{NO_SESSION_HERE, Session, put_cookie};
use super::submitted::{Submitted, from_elsewhere};
use crate::config::{SESSION_MAX, SIGN_IN_BODY_MAX, SIGN_IN_READ_TIMEOUT};
use crate::http::auth::caller::{ADMIN, AuthError, Caller, Scope, named_workspace};
use crate::http::auth::cookie::SessionOf;
use crate::http::auth::failures::peer;
use crate::http::auth::jwt::{Audience, Claims};
use crate::http::auth::public_origin::PublicOrigin;
use crate::http::body::{BodyBound, FormFields};
use crate::http::connections::prove;
use crate::http::places::Place;
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::message::WorkspaceId;
use crate::workspace::Time;
use crate::workspace::access::EndedBefore;
use crate::workspace::command::Action;

/// The form's bound: whoever has no token yet sends it.
pub(super) const FORM: BodyBound = BodyBound { bytes: SIGN_IN_BODY_MAX, within: SIGN_IN_READ_TIMEOUT };

/// Begins a session.
pub(super) async fn begin(State(state): State<Arc<FacadeState>>, request: Request) -> Response {
    match state.begin(request, FORM, None).await {
        Ok(Begun { session, cookie, .. }) => state.to(&state.screen_path(&session.scope.workspace), Some(&cookie)),
        Err(refused) => refused,
    }
}

/// Begins one, and saves what had been sent without.
pub(super) async fn begin_and_save(state: State<Arc<FacadeState>>, request: Request) -> Response {
    begin_and(state, request, AfterSignIn::Save).await
}

/// Begins one, and saves and tests what had been sent without.
pub(super) async fn begin_and_test(state: State<Arc<FacadeState>>, request: Request) -> Response {
    begin_and(state, request, AfterSignIn::SaveAndTest).await
}

async fn begin_and(State(state): State<Arc<FacadeState>>, request: Request, then: AfterSignIn) -> Response {
    match state.begin(request, UNSENT_FORM, Some(then)).await {
        Ok(Begun { session, fields, cookie }) => {
            let mut response = state.saved(Submitted { session, fields }, then).await;
            put_cookie(&mut response, &cookie);
            response
        }
        Err(refused) => refused,
    }
}

/// A session that has just begun.
struct Begun {
    session: Session,
    /// What came with the token.
    fields: FormFields,
    /// Holds it from now on.
    cookie: String,
}

/// Whose token stood in a form.
pub(super) struct SignedIn {
    pub(super) caller: Caller,
    /// What came with the token.
    pub(super) fields: FormFields,
    pub(super) address: IpAddr,
    _place: Place,
}

/// A session as its cookie holds it.
pub(super) struct NewSession {
    pub(super) claims: Claims,
    pub(super) token: String,
    pub(super) cookie: String,
}

/// Ends it, wherever its cookie has got to. Where that cannot be stored, this browser loses it all the same.
pub(super) async fn end(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    let session = submitted.session;
    let of = if session.is_operators { SessionOf::Operator } else { SessionOf::Workspace(&session.scope.workspace) };
    let removal = of.removal(&state.facade.access.origin);
    let Scope { caller, workspace } = &session.scope;
    let ended = match caller {
        Caller::Workspace(claims) if session.is_operators => state.end_operator_session(claims).await,
        Caller::Workspace(claims) => state.end_session(claims, workspace).await,
        Caller::Admin => Ok(()),
    };
    state.signed_out(ended, &state.screen_path(workspace), &removal)
}

impl FacadeState {
    /// The answer to whoever signed out: this browser loses the session also where its end could not be stored.
    pub(super) fn signed_out(&self, ended: Result<(), Problem>, place: &str, removal: &str) -> Response {
        match ended {
            Ok(()) => self.to(place, Some(removal)),
            Err(problem) => {
                let mut response = self.trouble(&problem);
                put_cookie(&mut response, removal);
                response
            }
        }
    }

    /// Remembers that a session ended before its time.
    async fn end_session(&self, claims: &Claims, workspace: &WorkspaceId) -> Result<(), Problem> {
        // Sessions of older programs have no id.
        let Some(id) = claims.jti.clone() else { return Ok(()) };
        let [began, until] = [claims.iat, claims.exp].map(|seconds| Time::from_unix_ms(seconds.saturating_mul(1_000)));
        let ended = Action::EndSession(EndedBefore { id, began, until });
        self.submit(workspace, &claims.sub, ended).await.map(drop)
    }

    /// The same of the operator's, which no workspace remembers.
    pub(super) async fn end_operator_session(&self, claims: &Claims) -> Result<(), Problem> {
        let Some(id) = &claims.jti else { return Ok(()) };
        let until = Time::from_unix_ms(claims.exp.saturating_mul(1_000));
        let here_only = "that the session ended cannot be stored now: you are signed out in this browser only; sign out again later";
        self.reader.end_operator_session(id, until).await.map_err(|_| Problem::store_away(here_only))
    }

    async fn begin(
        self: &Arc<Self>,
        request: Request,
        bound: BodyBound,
        then: Option<AfterSignIn>,
    ) -> Result<Begun, Response> {
        let (mut parts, body) = request.into_parts();
        let workspace = named_workspace(&mut parts, self).await.map_err(|problem| self.trouble(&problem))?;
        let refused = |status, error: &str, fields: Option<&FormFields>| match then.zip(fields) {
            Some((then, fields)) => self.sign_in_and(&workspace, status, error, then, fields),
            None => self.sign_in(&workspace, status, Some(error)),
        };
        let signed_in = self.signed_in(Request::from_parts(parts, body), bound, refused).await?;
        if !signed_in.caller.may(&workspace) {
            return Err(refused(StatusCode::NOT_FOUND, "This token opens another workspace.", Some(&signed_in.fields)));
        }
        let NewSession { claims, token, cookie } = self
            .new_session(signed_in.caller, &workspace, signed_in.address)
            .map_err(|problem| self.trouble(&problem))?;
        let session = self.session_of(claims, &token, &workspace);
        Ok(Begun { session, fields: signed_in.fields, cookie })
    }

    /// Whose token stands in a form; `refused` makes the page that shows the form again.
    pub(super) async fn signed_in(
        &self,
        request: Request,
        bound: BodyBound,
        refused: impl Fn(StatusCode, &str, Option<&FormFields>) -> Response + Send + Sync,
    ) -> Result<SignedIn, Response> {
        let (parts, body) = request.into_parts();
        let access = &self.facade.access;
        if access.origin == PublicOrigin::Open {
            return Err(refused(StatusCode::FORBIDDEN, NO_SESSION_HERE, None));
        }
        if access.origin.is_cross_site(&parts.headers) {
            return Err(self.trouble(&from_elsewhere()));
        }
        let (address, extensions) = (peer(&parts), parts.extensions.clone());
        // Before it has a place among the requests: who sends it slowly holds up nobody.
        let read = FormFields::read(Request::from_parts(parts, body), bound).await;
        let fields = read.map_err(|problem| self.trouble(&problem))?;
        let token = fields.get("token").trim();
        let shown = access.shown_by_token(token, (self.facade.clock)());
        let place = self.places.take(&shown).map_err(|problem| self.trouble(&problem))?;
        if token.is_empty() {
            return Err(refused(StatusCode::UNAUTHORIZED, "Enter a token.", Some(&fields)));
        }
        match self.recognise(token).await {
            Ok(caller) => {
                prove(&extensions, caller.workspace());
                Ok(SignedIn { caller, fields, address, _place: place })
            }
            Err(AuthError::Unread(problem)) => Err(self.trouble(&problem)),
            Err(AuthError::Invalid(why)) => {
                let problem = self.failures.count(address, why);
                Err(refused(problem.status(), &problem.page_text(), Some(&fields)))
            }
        }
    }

    /// Begins a session of the caller, at the screen of `workspace`.
    pub(super) fn new_session(
        &self,
        caller: Caller,
        workspace: &WorkspaceId,
        address: IpAddr,
    ) -> Result<NewSession, Problem> {
        let (access, now) = (&self.facade.access, (self.facade.clock)());
        let claims = self.session(caller, workspace, now);
        let token = access.key.sign(&claims)?;
        tracing::info!(%workspace, by = claims.sub, %address, "a session began");
        let cookie = claims.session().set_cookie(&access.origin, &token, claims.exp - now.unix_seconds());
        Ok(NewSession { claims, token, cookie })
    }

    /// What the session of `caller` says.
    fn session(&self, caller: Caller, workspace: &WorkspaceId, now: Time) -> Claims {
        let until = now.plus(SESSION_MAX).unix_seconds();
        let (sub, generation, exp, adm, tok) = match caller {
            Caller::Workspace(token) => (token.sub, token.generation, until.min(token.exp), None, token.jti),
            Caller::Admin => {
                // It ends with the admin token.
                (ADMIN.to_owned(), 0, until, Some(self.facade.access.admin_seal()), None)
            }
        };
        let jti = Some((self.facade.fresh_id)().simple().to_string());
        let (aud, ws, iat) = (Audience::Screen, workspace.clone(), now.unix_seconds());
        Claims { aud, ws, sub, generation, iat, exp, jti, adm, tok }
    }
}
