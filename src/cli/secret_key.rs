//! The keys that signing secrets and custom headers are sealed with: where they come from, and what is
//! refused. They are never printed, logged or taken from the arguments, which other users of a machine
//! can read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::seal::keyring::{KEY_BYTES, KEY_ID_MAX, KEYS_MAX};
use crate::seal::{InvalidKeys, Keyring, Nonces};

/// The environment variable that holds the keys themselves.
pub const SECRET_KEY_VARIABLE: &str = "OUTBOUND_SECRET_KEY";
/// Bytes read of the keys' file: every key in Base64, with its id and some white space.
const FILE_MAX: u64 = (KEYS_MAX * (KEY_ID_MAX + 2 * KEY_BYTES)) as u64;

/// Why there are no usable keys.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Error {
    /// Not the form of keys. They are not repeated.
    #[error("the secret keys in {from} cannot be used: {source}")]
    Invalid { from: String, source: InvalidKeys },
    /// Given twice.
    #[error("both {SECRET_KEY_VARIABLE} and --secret-key-file are set: keep one")]
    Twice,
    /// The file cannot be read.
    #[error("the secret key file {} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The keys that an operator gave; a keyring without a key when none was.
///
/// # Errors
/// See [`Error`].
pub fn given(variable: Option<&str>, file: Option<&Path>, nonces: Nonces) -> Result<Keyring, Error> {
    let (text, from) = match (variable.filter(|text| !text.is_empty()), file) {
        (Some(_), Some(_)) => return Err(Error::Twice),
        (Some(text), None) => (text.to_owned(), SECRET_KEY_VARIABLE.to_owned()),
        (None, Some(path)) => (read(path)?, path.display().to_string()),
        (None, None) => return Ok(Keyring::default()),
    };
    Keyring::parse(&text, nonces).map_err(|source| Error::Invalid { from, source })
}

fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    File::open(path)
        // Bounded, in case the path names a device.
        .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    Ok(text)
}

/// The variable's value in this process.
#[must_use]
pub fn variable() -> Option<String> {
    std::env::var_os(SECRET_KEY_VARIABLE).map(|value| value.to_string_lossy().into_owned())
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
        assert!(matches!(given(Some(KEY), Some(&file)), Err(Error::Twice)));
        assert!(matches!(given(None, Some(&dir.path().join("none"))), Err(Error::Unreadable { .. })));
    }

    #[test]
    fn a_refusal_says_where_the_keys_are_and_shows_none() {
        let error = given(Some(&format!("k1:{}", &KEY[4..])), None).unwrap_err().to_string();
        assert!(error.contains(SECRET_KEY_VARIABLE) && error.contains("`k1`"), "{error}");
        assert!(!error.contains(&KEY[4..]), "{error}");
    }
}
