//! Who calls the API, and which workspace is asked for. A `Bearer` token is the only proof that counts
//! here: a cookie opens nothing below `/v1`, so no page of another site can use one there.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::failures::peer;
use super::jwt::{Audience, Claims, InvalidToken};
use super::shown::bearer;
use crate::http::connections::prove;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::state::FacadeState;
use crate::message::{InvalidWorkspaceId, WorkspaceId};

/// Who calls, proven by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Caller {
    /// Whoever holds the admin token.
    Admin,
    /// Whoever holds a token, or a session, of the workspace that it names.
    Workspace(Box<Claims>),
}

impl Caller {
    /// What commands and the change history call the caller.
    pub(in crate::http) fn subject(&self) -> &str {
        match self {
            Self::Admin => ADMIN,
            Self::Workspace(claims) => &claims.sub,
        }
    }

    /// The workspace whose token it is; the admin token is none's.
    pub(in crate::http) fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::Admin => None,
            Self::Workspace(claims) => Some(&claims.ws),
        }
    }

    /// Whether the caller may see and change the workspace. Where not, it is told the same as of
    /// what does not exist.
    pub(in crate::http) fn may(&self, workspace: &WorkspaceId) -> bool {
        match self {
            Self::Admin => true,
            Self::Workspace(claims) => claims.ws == *workspace,
        }
    }
}

/// What the change history calls whoever holds the admin token.
pub(in crate::http) const ADMIN: &str = "admin";

impl FromRequestParts<Arc<FacadeState>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Problem> {
        let Some(token) = bearer(&parts.headers) else {
            let detail = "send `Authorization: Bearer <token>` with the admin token or a token of the workspace";
            return Err(Problem::new(ProblemKind::Unauthorized, detail));
        };
        let caller = state.recognise(token).await.map_err(|error| match error {
            AuthError::Invalid(why) => state.failures.count(peer(parts), why),
            AuthError::Unread(problem) => problem,
        })?;
        prove(&parts.extensions, caller.workspace());
        Ok(caller)
    }
}

/// Whoever holds the admin token: for what no workspace may do for itself.
pub(in crate::http) struct Admin;

impl FromRequestParts<Arc<FacadeState>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, state).await?.admin()
    }
}

impl Caller {
    /// Refuses whoever does not hold the admin token.
    fn admin(&self) -> Result<Admin, Problem> {
        match self {
            Self::Admin => Ok(Admin),
            Self::Workspace(_) => Err(Problem::new(ProblemKind::AdminOnly, "this call needs the admin token")),
        }
    }
}

/// A workspace that the caller may see and change. The token is checked before the path, so that
/// nobody without one learns anything.
#[derive(Debug)]
pub(in crate::http) struct Scope {
    pub(in crate::http) caller: Caller,
    pub(in crate::http) workspace: WorkspaceId,
}

impl FromRequestParts<Arc<FacadeState>> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let workspace = named_workspace(parts, state).await?;
        if caller.may(&workspace) {
            Ok(Self { caller, workspace })
        } else {
            Err(Problem::new(ProblemKind::NotFound, "there is no such workspace for this token"))
        }
    }
}

/// The workspace that the path names.
pub(in crate::http) async fn named_workspace(
    parts: &mut Parts,
    state: &Arc<FacadeState>,
) -> Result<WorkspaceId, Problem> {
    // A segment that is no UTF-8 after decoding breaks the id's rule like any other.
    let names = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
    let Path(names) = names.map_err(|_| InvalidWorkspaceId)?;
    Ok(names.get("workspace").ok_or(InvalidWorkspaceId)?.parse()?)
}

/// A workspace for whoever holds the admin token.
pub(in crate::http) struct AdminScope(pub(in crate::http) Scope);

impl FromRequestParts<Arc<FacadeState>> for AdminScope {
    type Rejection = Problem;

    /// Another workspace's token learns nothing of this one; its own is told what is missing.
    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Problem> {
        let scope = Scope::from_request_parts(parts, state).await?;
        scope.caller.admin()?;
        Ok(Self(scope))
    }
}

/// Why a presented token does not tell who calls.
#[derive(Debug)]
pub(in crate::http) enum AuthError {
    /// It opens nothing.
    Invalid(InvalidToken),
    /// Whether it was revoked could not be read.
    Unread(Problem),
}

impl FacadeState {
    /// Who holds the token.
    pub(in crate::http) async fn recognise(&self, token: &str) -> Result<Caller, AuthError> {
        let access = &self.facade.access;
        if access.admin.opens(token) {
            return Ok(Caller::Admin);
        }
        let claims = access.key.verify(token, Audience::Api, (self.facade.clock)()).map_err(AuthError::Invalid)?;
        self.unrevoked(claims).await.map(|claims| Caller::Workspace(claims.into()))
    }

    /// The claims, if their workspace's tokens were not revoked since.
    pub(in crate::http) async fn unrevoked(&self, claims: Claims) -> Result<Claims, AuthError> {
        let snapshot = self.reader.snapshot(&claims.ws).await.map_err(AuthError::Unread)?;
        if snapshot.token_generation == claims.generation && !claims.has_ended(&snapshot.access) {
            Ok(claims)
        } else {
            Err(AuthError::Invalid(InvalidToken::Revoked))
        }
    }
}
