//! What opens the facade: the admin token, and the key that signs tokens of workspaces.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::jwt::{Claims, TokenKey};
use super::public_origin::PublicOrigin;
use crate::config::ADMIN_TOKEN_MIN;

/// What opens the facade.
#[derive(Debug)]
pub struct Access {
    /// Opens every workspace.
    pub admin: AdminToken,
    /// Signs what opens one workspace.
    pub key: TokenKey,
    /// How browsers reach the screen.
    pub origin: PublicOrigin,
}

/// The admin token, held as its SHA-256 only.
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
    pub(in crate::http) fn opens(&self, presented: &str) -> bool {
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

impl Access {
    /// What a session says that the present admin token began.
    pub(in crate::http) fn admin_seal(&self) -> String {
        self.key.seal("admin session", &self.admin.0)
    }

    /// Whether the session was begun by a workspace token, or by the admin token that is in use now.
    pub(in crate::http) fn is_current(&self, session: &Claims) -> bool {
        session.adm.as_ref().is_none_or(|seal| seal.as_bytes().ct_eq(self.admin_seal().as_bytes()).into())
    }
}
