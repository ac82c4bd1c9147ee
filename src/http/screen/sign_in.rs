//! `/workspaces/{ws}/outbound/session`: a token, entered in a form, for a session of the screen.
//!
//! | call | does |
//! |---|---|
//! | `POST …/session` | a form with `token` → 303 to the screen with the cookie; a wrong token: the form again |
//! | `POST …/session/end` | signs out: 303 to the screen without the cookie |

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::session::{NO_SESSION_HERE, put_cookie};
use super::submitted::{Submitted, from_elsewhere};
use crate::config::{SESSION_MAX, SIGN_IN_BODY_MAX, SIGN_IN_READ_TIMEOUT};
use crate::http::auth::caller::{ADMIN, AuthError, Caller, Scope, named_workspace};
use crate::http::auth::cookie::{removal, set_cookie};
use crate::http::auth::failures::peer;
use crate::http::auth::jwt::{Audience, Claims};
use crate::http::auth::public_origin::PublicOrigin;
use crate::http::body::{BodyBound, FormFields};
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::message::WorkspaceId;
use crate::workspace::Time;
use crate::workspace::access::EndedBefore;
use crate::workspace::command::Action;

/// The form's bound: whoever has no token yet sends it.
const FORM: BodyBound = BodyBound { bytes: SIGN_IN_BODY_MAX, within: SIGN_IN_READ_TIMEOUT };

/// Begins a session.
pub(super) async fn begin(State(state): State<Arc<FacadeState>>, request: Request) -> Response {
    state.begin(request).await.unwrap_or_else(|refused| refused)
}

/// Ends it, wherever its cookie has got to. Where that cannot be stored, this browser loses it all the same.
pub(super) async fn end(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    let Scope { caller, workspace } = submitted.session.scope;
    let removal = removal(&state.facade.access.origin);
    let ended = match &caller {
        Caller::Workspace(claims) => claims.jti.clone().map(|id| EndedBefore {
            id,
            began: Time::from_unix_ms(claims.iat.saturating_mul(1_000)),
            until: Time::from_unix_ms(claims.exp.saturating_mul(1_000)),
        }),
        Caller::Admin => None,
    };
    if let Some(session) = ended
        && let Err(problem) = state.submit(&workspace, caller.subject(), Action::EndSession(session)).await
    {
        let mut response = state.trouble(&problem);
        put_cookie(&mut response, &removal);
        return response;
    }
    state.to_screen(&workspace, &removal)
}

impl FacadeState {
    async fn begin(self: &Arc<Self>, request: Request) -> Result<Response, Response> {
        let (mut parts, body) = request.into_parts();
        let workspace = named_workspace(&mut parts, self).await.map_err(|problem| self.trouble(&problem))?;
        let access = &self.facade.access;
        if access.origin == PublicOrigin::Open {
            return Err(self.sign_in(&workspace, StatusCode::FORBIDDEN, Some(NO_SESSION_HERE)));
        }
        if access.origin.is_cross_site(&parts.headers) {
            return Err(self.trouble(&from_elsewhere()));
        }
        let (address, extensions) = (peer(&parts), parts.extensions.clone());
        // Before it has a place among the requests: who sends it slowly holds up nobody.
        let read = FormFields::read(Request::from_parts(parts, body), FORM).await;
        let fields = read.map_err(|problem| self.trouble(&problem))?;
        let token = fields.get("token").trim();
        let shown = access.shown_by_token(token, (self.facade.clock)());
        let _place = self.places.take(&shown, &extensions).map_err(|problem| self.trouble(&problem))?;
        if token.is_empty() {
            return Err(self.sign_in(&workspace, StatusCode::UNAUTHORIZED, Some("Enter a token.")));
        }
        let caller = match self.recognise(token).await {
            Ok(caller) => caller,
            Err(AuthError::Unread(problem)) => return Err(self.trouble(&problem)),
            Err(AuthError::Invalid(why)) => {
                let problem = self.failures.count(address, why);
                return Err(self.sign_in(&workspace, problem.status(), Some(&problem.page_text())));
            }
        };
        if !caller.may(&workspace) {
            let elsewhere = "This token opens another workspace.";
            return Err(self.sign_in(&workspace, StatusCode::NOT_FOUND, Some(elsewhere)));
        }
        let now = (self.facade.clock)();
        let claims = self.session(caller, &workspace, now).await.map_err(|problem| self.trouble(&problem))?;
        let token = access.key.sign(&claims).map_err(|problem| self.trouble(&problem))?;
        tracing::info!(%workspace, by = claims.sub, %address, "a session began");
        Ok(self.to_screen(&workspace, &set_cookie(&access.origin, &token, claims.exp - now.unix_seconds())))
    }

    /// What the session of `caller` says.
    async fn session(&self, caller: Caller, workspace: &WorkspaceId, now: Time) -> Result<Claims, Problem> {
        let until = now.plus(SESSION_MAX).unix_seconds();
        let (sub, generation, exp, adm, tok) = match caller {
            Caller::Workspace(token) => (token.sub, token.generation, until.min(token.exp), None, token.jti),
            Caller::Admin => {
                let state = self.reader.snapshot(workspace).await?;
                (ADMIN.to_owned(), state.token_generation, until, Some(self.facade.access.admin_seal()), None)
            }
        };
        let jti = Some((self.facade.fresh_id)().simple().to_string());
        let (aud, ws, iat) = (Audience::Screen, workspace.clone(), now.unix_seconds());
        Ok(Claims { aud, ws, sub, generation, iat, exp, jti, adm, tok })
    }
}
