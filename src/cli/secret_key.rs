//! The keys that signing secrets and custom headers are sealed with: where they come from, and what is
//! refused. They are never printed or logged.

use std::path::Path;

use super::given::{self, Given, Origin};
use crate::seal::keyring::{KEY_BYTES, KEY_ID_MAX, KEYS_MAX};
use crate::seal::{InvalidKeys, Keyring, Nonces};

/// The environment variable that holds the keys themselves.
pub const SECRET_KEY_VARIABLE: &str = "OUTBOUND_SECRET_KEY";

/// Where they may be given. The file may hold every key in Base64, each with its id and some white space.
pub const GIVEN: Given = Given {
    what: "secret key",
    variable: SECRET_KEY_VARIABLE,
    flag: "--secret-key-file",
    file_max: (KEYS_MAX * (KEY_ID_MAX + 2 * KEY_BYTES)) as u64,
};

/// Why there are no usable keys.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Error {
    /// Not the form of keys. They are not repeated.
    #[error("the secret keys in {from} cannot be used: {source}")]
    Invalid { from: Origin, source: InvalidKeys },
    /// Given twice, or in a file that cannot be read.
    #[error(transparent)]
    Given(#[from] given::Error),
}

/// The keys that an operator gave; a keyring without a key when none was.
///
/// # Errors
/// See [`Error`].
pub fn given(variable: Option<&str>, file: Option<&Path>, nonces: Nonces) -> Result<Keyring, Error> {
    let Some((text, from)) = GIVEN.text(variable, file)? else { return Ok(Keyring::default()) };
    Keyring::parse(&text, nonces).map_err(|source| Error::Invalid { from, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    fn given(variable: Option<&str>, file: Option<&Path>) -> Result<Keyring, Error> {
        super::given(variable, file, || [0; 24])
    }

    #[test]
    fn keys_come_from_the_environment_or_a_file_but_not_from_both() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        std::fs::write(&file, format!("k2:{KEY}\nk1:{KEY}\n")).unwrap();
        assert_eq!(given(None, Some(&file)).unwrap().sealing(), Some("k2"));
        assert_eq!(given(Some(&format!("k1:{KEY}")), None).unwrap().sealing(), Some("k1"));
        assert_eq!(given(None, None).unwrap().sealing(), None);
        assert_eq!(given(Some(""), None).unwrap().sealing(), None);
        assert!(matches!(given(Some(KEY), Some(&file)), Err(Error::Given(given::Error::Twice { .. }))));
        assert!(matches!(
            given(None, Some(&dir.path().join("none"))),
            Err(Error::Given(given::Error::Unreadable { .. }))
        ));
    }

    #[test]
    fn a_refusal_says_where_the_keys_are_and_shows_none() {
        let error = given(Some(&format!("k1:{}", &KEY[4..])), None).unwrap_err().to_string();
        assert!(error.contains(SECRET_KEY_VARIABLE) && error.contains("`k1`"), "{error}");
        assert!(!error.contains(&KEY[4..]), "{error}");
    }
}
