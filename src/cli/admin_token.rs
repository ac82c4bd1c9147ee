//! The admin token: where it comes from, and what is refused. It is never printed or logged.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::CryptoRng;

use super::given::{self, Given, Origin};
use crate::config::ADMIN_TOKEN_MIN;

/// The environment variable that holds the admin token itself.
pub const ADMIN_TOKEN_VARIABLE: &str = "OUTBOUND_ADMIN_TOKEN";
/// The longest admin token in bytes: it must fit into one header.
pub const ADMIN_TOKEN_MAX: usize = 1_024;

/// Where it may be given.
pub const GIVEN: Given = Given {
    what: "admin token",
    variable: ADMIN_TOKEN_VARIABLE,
    flag: "--admin-token-file",
    file_max: 2 * ADMIN_TOKEN_MAX as u64,
};

/// The admin token as text, for who must send it or hand it on. Shows itself to nobody; the facade
/// keeps only its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(Box<str>);

impl TokenText {
    /// Takes a token that somebody chose. White space around it, such as a file's last line end, is dropped.
    ///
    /// # Errors
    /// Too short, too long, or of characters that no header carries; `from` says where it was found.
    pub fn parse(text: &str, from: &Origin) -> Result<Self, Error> {
        let token = text.trim();
        if token.len() < ADMIN_TOKEN_MIN {
            return Err(Error::TooShort { from: from.clone(), length: token.len() });
        }
        if token.len() > ADMIN_TOKEN_MAX {
            return Err(Error::TooLong { from: from.clone() });
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Characters { from: from.clone() });
        }
        Ok(Self(token.into()))
    }

    /// Makes a token of 256 random bits.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// The token, for whoever compares or sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(***)")
    }
}

/// Why there is no usable admin token.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Error {
    /// Below [`ADMIN_TOKEN_MIN`].
    #[error(
        "the admin token in {from} has {length} characters; it needs at least {ADMIN_TOKEN_MIN}: make one with `openssl rand -base64 32`"
    )]
    TooShort { from: Origin, length: usize },
    /// Over [`ADMIN_TOKEN_MAX`].
    #[error("the admin token in {from} has more than {ADMIN_TOKEN_MAX} characters: make a shorter one")]
    TooLong { from: Origin },
    /// Characters that no header carries.
    #[error(
        "the admin token in {from} holds white space or characters outside ASCII: make one with `openssl rand -base64 32`"
    )]
    Characters { from: Origin },
    /// Given twice, or in a file that cannot be read.
    #[error(transparent)]
    Given(#[from] given::Error),
    /// The facade would be open to others under a token that nobody chose.
    #[error(
        "listening on {listen}, which others can reach, needs an admin token: set {ADMIN_TOKEN_VARIABLE} or \
         --admin-token-file (at least {ADMIN_TOKEN_MIN} characters), or listen on 127.0.0.1"
    )]
    Exposed { listen: std::net::SocketAddr },
    /// A client has none to show.
    #[error(
        "no admin token: set {ADMIN_TOKEN_VARIABLE} or --admin-token-file, or point --data-dir to the service's data directory"
    )]
    Missing,
}

/// The token that an operator gave, if any.
///
/// # Errors
/// See [`Error`].
pub fn given(variable: Option<&str>, file: Option<&Path>) -> Result<Option<TokenText>, Error> {
    GIVEN.text(variable, file)?.map(|(text, from)| TokenText::parse(&text, &from)).transpose()
}

/// Reads a token's file.
///
/// # Errors
/// See [`Error`].
pub fn read(path: &Path) -> Result<TokenText, Error> {
    TokenText::parse(&GIVEN.read(path)?, &Origin::File(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const GOOD: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_of_32_characters_is_taken_without_its_line_end() {
        let token = given(Some(&format!("{GOOD}\n")), None).unwrap().unwrap();
        assert_eq!(token.as_str(), GOOD);
        assert!(!format!("{token:?}").contains(GOOD));
    }

    #[test]
    fn a_weak_or_unusable_token_is_refused_without_showing_it() {
        for text in [
            &GOOD[1..],
            "short",
            "0123456789abcdef 0123456789abcdef",
            "ü123456789abcdef0123456789abcdef",
            &"x".repeat(1_025),
        ] {
            let error = given(Some(text), None).unwrap_err().to_string();
            assert!(error.contains(ADMIN_TOKEN_VARIABLE), "{error}");
            assert!(!error.contains(text), "{error}");
        }
    }

    #[test]
    fn an_empty_variable_is_no_token_and_two_tokens_are_too_many() {
        assert_eq!(given(Some(""), None).unwrap(), None);
        assert!(matches!(given(Some(GOOD), Some(Path::new("file"))), Err(Error::Given(given::Error::Twice { .. }))));
    }

    #[test]
    fn a_made_token_passes_its_own_check() {
        let token = TokenText::random(&mut rand::rngs::StdRng::seed_from_u64(7));
        assert_eq!(TokenText::parse(token.as_str(), &Origin::Variable(ADMIN_TOKEN_VARIABLE)).unwrap(), token);
    }
}
