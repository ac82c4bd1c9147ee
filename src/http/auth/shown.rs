//! What a request shows of its caller before anything is read for it: enough to give it a place, and no more.
//! Whether a token was revoked, and what it opens, is judged later.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::access::Access;
use super::cookie::SessionOf;
use super::jwt::Audience;
use crate::message::WorkspaceId;
use crate::workspace::Time;

/// What a request shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Shown {
    /// No valid token: a stranger.
    Nothing,
    /// The admin token.
    Admin,
    /// A token or a session of this workspace that we signed and that has not expired.
    Workspace(WorkspaceId),
}

impl Access {
    /// What the headers show to whoever asks for the screen of `workspace`.
    pub(in crate::http) fn shown_by(&self, headers: &HeaderMap, workspace: Option<&WorkspaceId>, now: Time) -> Shown {
        if let Some(token) = bearer(headers) {
            return self.shown_by_token(token, now);
        }
        let session = |of: SessionOf<'_>| {
            let token = of.cookie(headers, &self.origin)?;
            let claims = self.key.verify(token, Audience::Screen, now).ok()?;
            (self.is_current(&claims) && claims.session() == of).then_some(claims)
        };
        if let Some(claims) = workspace.and_then(|workspace| session(SessionOf::Workspace(workspace))) {
            return Shown::Workspace(claims.ws);
        }
        if session(SessionOf::Operator).is_some() { Shown::Admin } else { Shown::Nothing }
    }

    /// What a token of the API shows.
    pub(in crate::http) fn shown_by_token(&self, token: &str, now: Time) -> Shown {
        if self.admin.opens(token) {
            return Shown::Admin;
        }
        match self.key.verify(token, Audience::Api, now) {
            Ok(claims) => Shown::Workspace(claims.ws),
            Err(_) => Shown::Nothing,
        }
    }
}

/// The token of a `Bearer` header; the scheme's name is case-insensitive (RFC 9110 section 11.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
