//! Workspace tokens and sessions as JWTs (RFC 7519): signed with HS256 and nothing else, checked before
//! anything in them is believed.
//!
//! `jsonwebtoken` reads, writes and pins the algorithm. Its own choices of cryptography bring RSA and the
//! curves along; what HS256 needs is here already, so [`PROVIDER`] knows that one algorithm only.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::cookie::SessionOf;
use crate::config::TOKEN_KEY_BYTES_MIN;
use crate::http::problem::{Problem, ProblemKind};
use crate::message::WorkspaceId;
use crate::workspace::Time;
use crate::workspace::access::AccessRecord;

/// The longest token that is looked at, in bytes: more than the longest that we make.
const TOKEN_BYTES_MAX: usize = 2_048;

/// Characters of a key's print: enough to tell keys apart.
const KEY_PRINT_MAX: usize = 16;

/// What workspace tokens and sessions are signed with.
#[derive(Clone)]
pub struct TokenKey {
    signing: EncodingKey,
    verifying: DecodingKey,
    keyed: Hmac<Sha256>,
}

/// The bytes are too few to be a key.
#[derive(Debug, thiserror::Error)]
#[error("the token key has {bytes} bytes; give it at least {TOKEN_KEY_BYTES_MIN} random ones")]
pub struct KeyTooShort {
    bytes: usize,
}

impl TokenKey {
    /// Takes at least [`TOKEN_KEY_BYTES_MIN`] random bytes.
    ///
    /// # Errors
    /// They are fewer.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyTooShort> {
        let too_short = KeyTooShort { bytes: bytes.len() };
        if bytes.len() < TOKEN_KEY_BYTES_MIN {
            return Err(too_short);
        }
        // A second key of this process finds it installed.
        PROVIDER.install_default().ok();
        let keyed = Hmac::new_from_slice(bytes).map_err(|_| too_short)?;
        Ok(Self { signing: EncodingKey::from_secret(bytes), verifying: DecodingKey::from_secret(bytes), keyed })
    }

    /// A print of the key: two nodes with one key have one print, and no key can be found from it.
    #[must_use]
    pub fn print(&self) -> String {
        self.seal("print", b"").chars().take(KEY_PRINT_MAX).collect()
    }

    /// Writes and signs a token.
    pub(in crate::http) fn sign(&self, claims: &Claims) -> Result<String, Problem> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a token could not be signed");
            Problem::new(ProblemKind::Internal, "no token could be made; the operator's log says why")
        })
    }

    /// Believes a token that this key signed for `audience`, as long as it lives. Whether its generation
    /// still holds, only its workspace can tell.
    pub(in crate::http) fn verify(&self, token: &str, audience: Audience, now: Time) -> Result<Claims, InvalidToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(InvalidToken::Unknown);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // The clock is passed in, and ours runs to the second.
        validation.validate_exp = false;
        // Which audience it must be is compared below, where the type says that there is one.
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation);
        let claims = decoded.map_err(|_| InvalidToken::Unknown)?.claims;
        if claims.aud != audience {
            return Err(InvalidToken::Unknown);
        }
        if claims.exp <= now.unix_seconds() { Err(InvalidToken::Expired) } else { Ok(claims) }
    }

    /// A value that only this key can make of `text`; `purpose` keeps what is made for one use from
    /// being good for another. No JWT begins with a purpose: they begin with the Base64 of a brace.
    pub(in crate::http) fn seal(&self, purpose: &str, text: &[u8]) -> String {
        let sealed = self.keyed.clone().chain_update(purpose).chain_update([0]).chain_update(text).finalize();
        URL_SAFE_NO_PAD.encode(sealed.into_bytes())
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// What a token says. A member that is missing makes it worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::http) struct Claims {
    /// What it is good for.
    pub(in crate::http) aud: Audience,
    /// The workspace that it opens.
    pub(in crate::http) ws: WorkspaceId,
    /// Who holds it: stands in the change history.
    pub(in crate::http) sub: String,
    /// The workspace's token generation when it was made.
    #[serde(rename = "gen")]
    pub(in crate::http) generation: u64,
    /// When it was made, in seconds since the Unix epoch.
    pub(in crate::http) iat: i64,
    /// From when on it is worth nothing, likewise.
    pub(in crate::http) exp: i64,
    /// Tells it apart from all others: by it one is ended alone. Tokens of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::http) jti: Option<String>,
    /// Of a session that the admin token began: the seal of that token, so that it ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::http) adm: Option<String>,
    /// Of a session that a workspace token began: that token's id, so that it ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::http) tok: Option<String>,
}

impl Claims {
    /// Whether what it says, or the token that it was begun with, was ended before its time.
    pub(in crate::http) fn has_ended(&self, access: &AccessRecord) -> bool {
        let own = self.jti.as_deref();
        let is_over = match self.aud {
            Audience::Api => own.is_some_and(|id| access.has_ended_token(id)),
            Audience::Screen => {
                let began = Time::from_unix_ms(self.iat.saturating_mul(1_000));
                own.is_some_and(|id| access.has_ended_session(id, began))
            }
        };
        is_over || self.tok.as_deref().is_some_and(|id| access.has_ended_token(id))
    }
}

impl Claims {
    /// Whose a session is: that of the operator opens every workspace, any other its own.
    pub(in crate::http) fn session(&self) -> SessionOf<'_> {
        if self.adm.is_some() { SessionOf::Operator } else { SessionOf::Workspace(&self.ws) }
    }
}

/// What a token is good for: one kind never passes for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::http) enum Audience {
    /// A workspace token: the API, and the beginning of a session.
    #[serde(rename = "outbound:api")]
    Api,
    /// A session of the screen: its cookie.
    #[serde(rename = "outbound:screen")]
    Screen,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum InvalidToken {
    /// Not signed by us, for this use, in this form.
    Unknown,
    /// Ours, but its time is over.
    Expired,
    /// Ours, but the workspace's tokens were revoked since.
    Revoked,
}

impl InvalidToken {
    /// For whoever presented it. Only who holds a token that was right once is told why it is not now.
    pub(in crate::http) fn detail(self) -> &'static str {
        match self {
            Self::Unknown => "the token is wrong; use the admin token or a token of the workspace",
            Self::Expired => "the token has expired; ask the operator for a new one",
            Self::Revoked => "the token was revoked; ask the operator for a new one",
        }
    }
}

/// HS256 by the crates that sign webhooks already.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.as_bytes())?)),
    verifier_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.try_get_as_bytes()?)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, Error> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// Compares in constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.clone().chain_update(message).verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> TokenKey {
        TokenKey::new(&[byte; 32]).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            aud: Audience::Api,
            ws: "acme".parse().unwrap(),
            sub: "jane@acme.example".to_owned(),
            generation: 3,
            iat: 1_000,
            exp: 2_000,
            jti: None,
            adm: None,
            tok: None,
        }
    }

    fn at(seconds: i64) -> Time {
        Time::from_unix_ms(seconds * 1_000)
    }

    #[test]
    fn a_token_is_believed_until_its_last_second_and_by_its_own_key_only() {
        let token = key(1).sign(&claims()).unwrap();
        assert_eq!(key(1).verify(&token, Audience::Api, at(1_999)), Ok(claims()));
        assert_eq!(key(1).verify(&token, Audience::Api, at(2_000)), Err(InvalidToken::Expired));
        assert_eq!(key(1).verify(&token, Audience::Screen, at(1_999)), Err(InvalidToken::Unknown));
        assert_eq!(key(2).verify(&token, Audience::Api, at(1_999)), Err(InvalidToken::Unknown));
    }

    /// RFC 7515 appendix A.1: the key, the token and its claims as published.
    #[test]
    fn the_published_example_of_hs256_is_reproduced() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let hs256 = Hs256::new(Algorithm::HS256, &URL_SAFE_NO_PAD.decode(secret).unwrap()).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(hs256.sign(signed.as_bytes()));
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_key_of_31_bytes_is_refused_and_none_is_ever_shown() {
        assert!(TokenKey::new(&[7; 31]).is_err());
        assert_eq!(format!("{:?}", key(7)), "TokenKey(…)");
    }

    #[test]
    fn a_seal_is_good_for_its_purpose_and_text_only() {
        let sealed = key(1).seal("csrf", b"a");
        assert_eq!(sealed, key(1).seal("csrf", b"a"));
        for other in [key(1).seal("csrf", b"b"), key(1).seal("other", b"a"), key(2).seal("csrf", b"a")] {
            assert_ne!(sealed, other);
        }
    }
}
