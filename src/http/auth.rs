//! Who calls, and which workspace is asked for.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Shared;
use super::problem::{Kind, Problem};
use crate::config::ADMIN_TOKEN_MIN;
use crate::message::{InvalidWorkspaceId, WorkspaceId};

/// The admin token, kept as its SHA-256 only.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

/// The text is too short to be an admin token.
#[derive(Debug, thiserror::Error)]
#[error("the admin token has {characters} characters; give it at least {ADMIN_TOKEN_MIN}")]
pub struct TokenTooShort {
    characters: usize,
}

impl AdminToken {
    /// Takes a token of at least [`ADMIN_TOKEN_MIN`] characters.
    ///
    /// # Errors
    /// It is shorter.
    pub fn new(token: &str) -> Result<Self, TokenTooShort> {
        let characters = token.chars().count();
        if characters < ADMIN_TOKEN_MIN { Err(TokenTooShort { characters }) } else { Ok(Self(digest(token))) }
    }

    /// Compares digests in constant time, so that neither a prefix nor the length shows.
    fn opens(&self, presented: &str) -> bool {
        self.0.ct_eq(&digest(presented)).into()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Who calls, proven by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever holds the admin token.
    Admin,
}

impl Caller {
    /// What commands and the change history call the caller.
    pub(super) fn subject(&self) -> &str {
        match self {
            Self::Admin => "admin",
        }
    }

    /// Whether the caller may see and change the workspace. Where not, it is told the same as of
    /// what does not exist.
    fn may(&self, _workspace: &WorkspaceId) -> bool {
        match self {
            Self::Admin => true,
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let Some(token) = parts.headers.get(AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?)) else {
            return Err(Problem::new(Kind::Unauthorized, "send `Authorization: Bearer <token>` with the admin token"));
        };
        if shared.facade.admin_token.opens(token) {
            Ok(Self::Admin)
        } else {
            Err(Problem::new(
                Kind::Unauthorized,
                "the token is wrong; the admin token is the one the service was started with",
            ))
        }
    }
}

/// Whoever holds the admin token: for what belongs to no workspace.
pub(super) struct Admin;

impl FromRequestParts<Arc<Shared>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, shared).await? {
            Caller::Admin => Ok(Self),
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
pub(super) struct Scope {
    pub(super) caller: Caller,
    pub(super) workspace: WorkspaceId,
}

impl FromRequestParts<Arc<Shared>> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, shared).await?;
        // A segment that is no UTF-8 after decoding breaks the id's rule like any other.
        let Path(id) = Path::<String>::from_request_parts(parts, shared).await.map_err(|_| InvalidWorkspaceId)?;
        let workspace: WorkspaceId = id.parse()?;
        if caller.may(&workspace) {
            Ok(Self { caller, workspace })
        } else {
            Err(Problem::new(Kind::NotFound, "there is no such workspace for this token"))
        }
    }
}
