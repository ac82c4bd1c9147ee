//! The key that workspace tokens are signed with: where it comes from, and what is refused. It is never
//! printed or logged.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand::CryptoRng;

use super::admin_token::TokenText;
use super::given::{self, Given, Origin};
use crate::config::TOKEN_KEY_BYTES_MIN;

/// The environment variable that holds the key itself.
pub const TOKEN_KEY_VARIABLE: &str = "OUTBOUND_TOKEN_KEY";

/// Where it may be given.
pub const GIVEN: Given =
    Given { what: "token key", variable: TOKEN_KEY_VARIABLE, flag: "--token-key-file", file_max: 4_096 };

/// Padding may be there or not: commands that make keys differ in it.
const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// The key: at least [`TOKEN_KEY_BYTES_MIN`] bytes. Shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBytes(Box<[u8]>);

impl KeyBytes {
    /// Reads a key's Base64, of either alphabet. White space around it is dropped.
    ///
    /// # Errors
    /// No Base64, or of too few bytes; `from` says where it was found.
    pub fn parse(text: &str, from: &Origin) -> Result<Self, Error> {
        let text = text.trim();
        let bytes = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text));
        let bytes = bytes.map_err(|_| Error::Encoding { from: from.clone() })?;
        if bytes.len() < TOKEN_KEY_BYTES_MIN {
            return Err(Error::TooShort { from: from.clone(), bytes: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// Makes a key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; TOKEN_KEY_BYTES_MIN];
        rng.fill_bytes(&mut bytes);
        Self(bytes.into())
    }

    /// The key, for whoever signs.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its Base64, for the file that keeps it.
    #[must_use]
    pub fn text(&self) -> String {
        BASE64.encode(&self.0)
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(***)")
    }
}

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Error {
    /// Below [`TOKEN_KEY_BYTES_MIN`].
    #[error(
        "the token key in {from} has {bytes} bytes; it needs at least {TOKEN_KEY_BYTES_MIN} random ones: make it with `openssl rand -base64 32`"
    )]
    TooShort { from: Origin, bytes: usize },
    /// Not Base64.
    #[error("the token key in {from} is not Base64: make one with `openssl rand -base64 32`")]
    Encoding { from: Origin },
    /// Whoever has the admin token could sign tokens that outlive it.
    #[error("the token key in {from} is the admin token: make another with `openssl rand -base64 32`")]
    IsAdminToken { from: Origin },
    /// Given twice, or in a file that cannot be read.
    #[error(transparent)]
    Given(#[from] given::Error),
}

/// The key that an operator gave, if any. It must not be the admin token.
///
/// # Errors
/// See [`Error`].
pub fn given(
    variable: Option<&str>,
    file: Option<&Path>,
    admin_token: Option<&TokenText>,
) -> Result<Option<KeyBytes>, Error> {
    let Some((text, from)) = GIVEN.text(variable, file)? else { return Ok(None) };
    if admin_token.is_some_and(|token| token.as_str() == text.trim()) {
        return Err(Error::IsAdminToken { from });
    }
    KeyBytes::parse(&text, &from).map(Some)
}

/// Reads a key's file.
///
/// # Errors
/// See [`Error`].
pub fn read(path: &Path) -> Result<KeyBytes, Error> {
    KeyBytes::parse(&GIVEN.read(path)?, &Origin::File(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";

    fn taken(text: &str) -> Result<KeyBytes, Error> {
        given(Some(text), None, None).map(Option::unwrap)
    }

    #[test]
    fn a_key_is_read_from_either_alphabet_with_and_without_padding() {
        let key = taken(GOOD).unwrap();
        assert_eq!(key.bytes().len(), 32);
        for text in [&format!(" {GOOD}\n"), GOOD.trim_end_matches('='), &GOOD.replace('+', "-").replace('/', "_")] {
            assert_eq!(taken(text).unwrap(), key, "{text}");
        }
        assert_eq!(taken(&key.text()).unwrap(), key);
    }

    #[test]
    fn a_weak_or_unreadable_key_is_refused_without_showing_it() {
        for text in ["c2hvcnQ=", "no base64 at all, but long enough to be a key", &GOOD[4..]] {
            let error = taken(text).unwrap_err().to_string();
            assert!(error.contains(TOKEN_KEY_VARIABLE) && error.contains("openssl rand -base64 32"), "{error}");
            assert!(!error.contains(text), "{error}");
        }
    }

    #[test]
    fn the_admin_token_is_no_key_and_two_keys_are_too_many() {
        let admin = TokenText::parse(GOOD, &Origin::Variable("X")).unwrap();
        assert!(matches!(given(Some(GOOD), None, Some(&admin)), Err(Error::IsAdminToken { .. })));
        assert!(matches!(
            given(Some(GOOD), Some(Path::new("file")), None),
            Err(Error::Given(given::Error::Twice { .. }))
        ));
        assert_eq!(given(Some(""), None, None).unwrap(), None);
    }
}
