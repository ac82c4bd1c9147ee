//! The cookie that holds a session of the screen: its name, how it is set and taken back, and how it is found.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use sha2::{Digest, Sha256};

use super::public_origin::PublicOrigin;
use crate::message::WorkspaceId;

/// Whose session a cookie holds. Each workspace's has a name of its own, so that one browser can have several; the
/// operator's opens every workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum SessionOf<'a> {
    Workspace(&'a WorkspaceId),
    Operator,
}

/// Bytes of a workspace's hash in a name: the id itself may hold what no name may.
const HASH_BYTES: usize = 8;

impl SessionOf<'_> {
    /// The cookie's name. The prefix binds it to this host and to https; it asks for the path `/` (RFC 6265bis section
    /// 4.1.3.2).
    fn name(self, origin: &PublicOrigin) -> String {
        let base = match origin {
            PublicOrigin::Https { .. } => "__Host-outbound",
            PublicOrigin::Loopback | PublicOrigin::Open => "outbound",
        };
        match self {
            Self::Operator => base.to_owned(),
            Self::Workspace(workspace) => {
                let hash = Sha256::digest(workspace.as_str());
                let hash: String = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
                format!("{base}-{hash}")
            }
        }
    }

    pub(in crate::http) fn set_cookie(self, origin: &PublicOrigin, token: &str, seconds: i64) -> String {
        let secure = if matches!(origin, PublicOrigin::Https { .. }) { "; Secure" } else { "" };
        format!("{}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", self.name(origin))
    }

    pub(in crate::http) fn removal(self, origin: &PublicOrigin) -> String {
        self.set_cookie(origin, "", 0)
    }

    /// The session's cookie, where there may be one.
    pub(in crate::http) fn cookie<'a>(self, headers: &'a HeaderMap, origin: &PublicOrigin) -> Option<&'a str> {
        if *origin == PublicOrigin::Open {
            return None;
        }
        let name = self.name(origin);
        let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut named = pairs.filter(|(key, _)| *key == name);
        named.next().map(|(_, token)| token).filter(|token| !token.is_empty())
    }
}
