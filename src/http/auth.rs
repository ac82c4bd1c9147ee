//! Who calls the API, and which workspace is asked for. A `Bearer` token is the only proof that counts
//! here: a cookie opens nothing below `/v1`, so no page of another site can use one there.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::Shared;
use super::access::Unproven;
use super::failures::peer;
use super::jwt::Claims;
use super::problem::{Kind, Problem};
use crate::message::{InvalidWorkspaceId, WorkspaceId};

/// Who calls, proven by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever holds the admin token.
    Admin,
    /// Whoever holds a token, or a session, of the workspace that it names.
    Workspace(Box<Claims>),
}

impl Caller {
    /// What commands and the change history call the caller.
    pub(super) fn subject(&self) -> &str {
        match self {
            Self::Admin => ADMIN,
            Self::Workspace(claims) => &claims.sub,
        }
    }

    /// Whether the caller may see and change the workspace. Where not, it is told the same as of
    /// what does not exist.
    pub(super) fn may(&self, workspace: &WorkspaceId) -> bool {
        match self {
            Self::Admin => true,
            Self::Workspace(claims) => claims.ws == *workspace,
        }
    }
}

/// What the change history calls whoever holds the admin token.
pub(super) const ADMIN: &str = "admin";

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let Some(token) = parts.headers.get(AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?)) else {
            let detail = "send `Authorization: Bearer <token>` with the admin token or a token of the workspace";
            return Err(Problem::new(Kind::Unauthorized, detail));
        };
        shared.recognise(token).await.map_err(|unproven| match unproven {
            Unproven::Wrong(why) => shared.failures.count(peer(parts), why),
            Unproven::Unread(problem) => problem,
        })
    }
}

/// Whoever holds the admin token: for what no workspace may do for itself.
pub(super) struct Admin;

impl FromRequestParts<Arc<Shared>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, shared).await?.admin()
    }
}

impl Caller {
    /// Refuses whoever does not hold the admin token.
    fn admin(&self) -> Result<Admin, Problem> {
        match self {
            Self::Admin => Ok(Admin),
            Self::Workspace(_) => Err(Problem::new(Kind::AdminOnly, "this call needs the admin token")),
        }
    }
}

/// The token of a `Bearer` header; the scheme's name is case-insensitive (RFC 9110 section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A workspace that the caller may see and change. The token is checked before the path, so that
/// nobody without one learns anything.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) caller: Caller,
    pub(super) workspace: WorkspaceId,
}

impl FromRequestParts<Arc<Shared>> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, shared).await?;
        let workspace = named_workspace(parts, shared).await?;
        if caller.may(&workspace) {
            Ok(Self { caller, workspace })
        } else {
            Err(Problem::new(Kind::NotFound, "there is no such workspace for this token"))
        }
    }
}

/// The workspace that the path names.
pub(super) async fn named_workspace(parts: &mut Parts, shared: &Arc<Shared>) -> Result<WorkspaceId, Problem> {
    // A segment that is no UTF-8 after decoding breaks the id's rule like any other.
    let Path(id) = Path::<String>::from_request_parts(parts, shared).await.map_err(|_| InvalidWorkspaceId)?;
    Ok(id.parse()?)
}

/// A workspace for whoever holds the admin token.
pub(super) struct AdminScope(pub(super) Scope);

impl FromRequestParts<Arc<Shared>> for AdminScope {
    type Rejection = Problem;

    /// Another workspace's token learns nothing of this one; its own is told what is missing.
    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let scope = Scope::from_request_parts(parts, shared).await?;
        scope.caller.admin()?;
        Ok(Self(scope))
    }
}
