//! What an operator chooses and nobody else may read: the admin token, the key of workspace tokens and
//! the keys that secrets are sealed with.
//!
//! Each comes from an environment variable or a file, never from the arguments, which other users of a
//! machine can see. None is printed or logged.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand::CryptoRng;

use super::failure::{CommandError, EXIT_USAGE};
use crate::config::private::{Exposed, FileSharing};
use crate::config::{ADMIN_TOKEN_MIN, TOKEN_KEY_BYTES_MIN};
use crate::seal::keyring::{KEY_BYTES, KEY_ID_MAX, KEYS_MAX};
use crate::seal::{InvalidKeys, Keyring, Nonces};

/// The longest admin token in bytes: it must fit into one header.
pub const ADMIN_TOKEN_MAX: usize = 1_024;

/// A credential, and where it may come from.
#[derive(Debug, Clone, Copy)]
pub struct Credential {
    /// What it is, in words.
    pub what: &'static str,
    /// The environment variable that holds it.
    pub variable: &'static str,
    /// The flag that names a file that holds it.
    pub flag: &'static str,
    /// Bytes read of the file at most, white space around the text included: the path may name a device.
    pub file_max: u64,
}

/// Opens the whole service.
pub const ADMIN_TOKEN: Credential = Credential {
    what: "admin token",
    variable: "OUTBOUND_ADMIN_TOKEN",
    flag: "--admin-token-file",
    file_max: 2 * ADMIN_TOKEN_MAX as u64,
};

/// Signs the tokens that open one workspace.
pub const TOKEN_KEY: Credential =
    Credential { what: "token key", variable: "OUTBOUND_TOKEN_KEY", flag: "--token-key-file", file_max: 4_096 };

/// Seals signing secrets and custom headers. The file may hold every key in Base64, each with its id and
/// some white space.
pub const SECRET_KEY: Credential = Credential {
    what: "secret key",
    variable: "OUTBOUND_SECRET_KEY",
    flag: "--secret-key-file",
    file_max: (KEYS_MAX * (KEY_ID_MAX + 2 * KEY_BYTES)) as u64,
};

/// Where everything is remembered, with a password.
pub const JOURNAL: Credential =
    Credential { what: "journal", variable: "OUTBOUND_JOURNAL", flag: "--journal-file", file_max: 16_384 };

/// The mail server, with a password.
pub const SMTP_URL: Credential =
    Credential { what: "SMTP URL", variable: "OUTBOUND_SMTP_URL", flag: "--smtp-url-file", file_max: 16_384 };

impl Credential {
    /// The variable's value in this process.
    #[must_use]
    pub fn from_environment(&self) -> Option<String> {
        std::env::var_os(self.variable).map(|value| value.to_string_lossy().into_owned())
    }

    /// The text, and where it was found. A variable that is set to nothing counts as not set.
    fn text(
        &self,
        variable: Option<&str>,
        file: Option<&Path>,
        sharing: FileSharing,
    ) -> Result<Option<(String, CredentialOrigin)>, CredentialError> {
        match (variable.filter(|text| !text.is_empty()), file) {
            (Some(_), Some(_)) => Err(CredentialError::Twice { variable: self.variable, flag: self.flag }),
            (Some(text), None) => Ok(Some((text.to_owned(), CredentialOrigin::Variable(self.variable)))),
            (None, Some(path)) => self.read(path, sharing).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The text of a file, white space around it included.
    fn read(&self, path: &Path, sharing: FileSharing) -> Result<(String, CredentialOrigin), CredentialError> {
        let unreadable = |source| CredentialError::Unreadable { what: self.what, path: path.to_owned(), source };
        // Looked at through the open file: it cannot be another one by now.
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        sharing.check_file(path, &metadata).map_err(|source| CredentialError::Exposed {
            what: self.what,
            path: path.to_owned(),
            source,
        })?;
        let mut text = String::new();
        let bytes = file.take(self.file_max + 1).read_to_string(&mut text).map_err(unreadable)?;
        if bytes as u64 > self.file_max {
            return Err(CredentialError::FileTooLong { what: self.what, path: path.to_owned(), max: self.file_max });
        }
        Ok((text, CredentialOrigin::File(path.to_owned())))
    }

    /// The text of a file, for what may hold a password and is otherwise given on the command line.
    ///
    /// # Errors
    /// Not readable, or not this process' own.
    pub fn file_text(&self, path: &Path, sharing: FileSharing) -> Result<String, CredentialError> {
        Ok(self.read(path, sharing)?.0.trim().to_owned())
    }
}

/// Where a credential was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// In an environment variable.
    Variable(&'static str),
    /// In a file.
    File(PathBuf),
}

impl fmt::Display for CredentialOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a credential cannot be used. What it holds is not repeated.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum CredentialError {
    /// In the variable and in the file, which need not agree.
    #[error("both {variable} and {flag} are set: keep one")]
    Twice { variable: &'static str, flag: &'static str },
    /// The file cannot be read.
    #[error("the {what} file {} cannot be read: {}", path.display(), mend_file(source))]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file holds more than any such text has.
    #[error("the {what} file {} has more than {max} bytes: is it another file?", path.display())]
    FileTooLong { what: &'static str, path: PathBuf, max: u64 },
    /// A client has no admin token to show.
    #[error(
        "no admin token: set {} or --admin-token-file, or point --data-dir to the service's data directory ({} {})",
        ADMIN_TOKEN.variable,
        data_dir.display(),
        if data_dir.is_dir() { "holds none" } else { "is none" }
    )]
    NoAdminToken { data_dir: PathBuf },
    /// Others than this process may read or change the file.
    #[error("the {what} file {} is not private", path.display())]
    Exposed {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: Exposed,
    },
    /// The facade would be open to others under a token that nobody chose.
    #[error(
        "listening on {listen}, which others can reach, needs an admin token: set {} or \
         --admin-token-file (at least {ADMIN_TOKEN_MIN} characters), or listen on 127.0.0.1",
        ADMIN_TOKEN.variable
    )]
    Unprotected { listen: SocketAddr },
    /// Below [`ADMIN_TOKEN_MIN`].
    #[error(
        "the admin token in {from} has {length} characters; it needs at least {ADMIN_TOKEN_MIN}: make one with `openssl rand -base64 32`"
    )]
    TokenTooShort { from: CredentialOrigin, length: usize },
    /// Over [`ADMIN_TOKEN_MAX`].
    #[error("the admin token in {from} has more than {ADMIN_TOKEN_MAX} characters: make a shorter one")]
    TokenTooLong { from: CredentialOrigin },
    /// Characters that no header carries.
    #[error(
        "the admin token in {from} holds white space or characters outside ASCII: make one with `openssl rand -base64 32`"
    )]
    TokenCharacters { from: CredentialOrigin },
    /// Below [`TOKEN_KEY_BYTES_MIN`].
    #[error(
        "the token key in {from} has {bytes} bytes; it needs at least {TOKEN_KEY_BYTES_MIN} random ones: make it with `openssl rand -base64 32`"
    )]
    KeyTooShort { from: CredentialOrigin, bytes: usize },
    /// Not Base64.
    #[error("the token key in {from} is not Base64: make one with `openssl rand -base64 32`")]
    KeyEncoding { from: CredentialOrigin },
    /// Whoever has the admin token could sign tokens that outlive it.
    #[error("the token key in {from} is the admin token: make another with `openssl rand -base64 32`")]
    KeyIsAdminToken { from: CredentialOrigin },
    /// Not the form of secret keys.
    #[error("the secret keys in {from} cannot be used: {source}")]
    SecretKeys { from: CredentialOrigin, source: InvalidKeys },
}

/// What helps where a file cannot be read.
pub(in crate::cli) fn mend_file(source: &io::Error) -> &'static str {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    match source.kind() {
        NotFound => "there is none; check the path",
        PermissionDenied => "this user may not; run as the user of the service, or let this one read it",
        IsADirectory => "it is a directory; name a file",
        NotADirectory => "a part of its path is no directory; check the path",
        InvalidData => "it is no text",
        _ => "the cause says why",
    }
}

impl CredentialError {
    /// Whether its file could not be read at all, so that nothing is known of what it holds.
    pub(in crate::cli) fn hides_the_text(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() != io::ErrorKind::InvalidData)
    }
}

impl CommandError for CredentialError {
    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

/// The admin token that an operator chose, if any.
///
/// # Errors
/// In two places, not readable, or not usable.
pub fn admin_token(
    variable: Option<&str>,
    file: Option<&Path>,
    sharing: FileSharing,
) -> Result<Option<TokenText>, CredentialError> {
    ADMIN_TOKEN.text(variable, file, sharing)?.map(|(text, from)| TokenText::parse(&text, &from)).transpose()
}

/// The key of workspace tokens that an operator chose, if any. It must not be the admin token.
///
/// # Errors
/// In two places, not readable, or not usable.
pub fn token_key(
    variable: Option<&str>,
    file: Option<&Path>,
    admin_token: Option<&TokenText>,
    sharing: FileSharing,
) -> Result<Option<KeyBytes>, CredentialError> {
    let Some((text, from)) = TOKEN_KEY.text(variable, file, sharing)? else { return Ok(None) };
    if admin_token.is_some_and(|token| token.as_str() == text.trim()) {
        return Err(CredentialError::KeyIsAdminToken { from });
    }
    KeyBytes::parse(&text, &from).map(Some)
}

/// The secret keys that an operator chose; a keyring without a key when there are none.
///
/// # Errors
/// In two places, not readable, or not usable.
pub fn keyring(
    variable: Option<&str>,
    file: Option<&Path>,
    sharing: FileSharing,
    nonces: Nonces,
) -> Result<Keyring, CredentialError> {
    let Some((text, from)) = SECRET_KEY.text(variable, file, sharing)? else { return Ok(Keyring::default()) };
    Keyring::parse(&text, nonces).map_err(|source| CredentialError::SecretKeys { from, source })
}

/// The admin token as text, for who must send it or hand it on. Shows itself to nobody; the facade
/// keeps only its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(Box<str>);

impl TokenText {
    /// Takes a token that somebody chose. White space around it, such as a file's last line end, is dropped.
    ///
    /// # Errors
    /// Too short, too long, or of characters that no header carries; `from` says where it was found.
    pub fn parse(text: &str, from: &CredentialOrigin) -> Result<Self, CredentialError> {
        let token = text.trim();
        if token.len() < ADMIN_TOKEN_MIN {
            return Err(CredentialError::TokenTooShort { from: from.clone(), length: token.len() });
        }
        if token.len() > ADMIN_TOKEN_MAX {
            return Err(CredentialError::TokenTooLong { from: from.clone() });
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialError::TokenCharacters { from: from.clone() });
        }
        Ok(Self(token.into()))
    }

    /// Reads a token's file.
    ///
    /// # Errors
    /// Not readable, or not usable.
    pub fn read(path: &Path, sharing: FileSharing) -> Result<Self, CredentialError> {
        ADMIN_TOKEN.read(path, sharing).and_then(|(text, from)| Self::parse(&text, &from))
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

/// Padding may be there or not: commands that make keys differ in it.
const INDIFFERENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, INDIFFERENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, INDIFFERENT);

/// The key of workspace tokens: at least [`TOKEN_KEY_BYTES_MIN`] bytes. Shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBytes(Box<[u8]>);

impl KeyBytes {
    /// Reads a key's Base64, of either alphabet. White space around it is dropped.
    fn parse(text: &str, from: &CredentialOrigin) -> Result<Self, CredentialError> {
        let text = text.trim();
        let bytes = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text));
        let bytes = bytes.map_err(|_| CredentialError::KeyEncoding { from: from.clone() })?;
        if bytes.len() < TOKEN_KEY_BYTES_MIN {
            return Err(CredentialError::KeyTooShort { from: from.clone(), bytes: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// Reads a key's file.
    ///
    /// # Errors
    /// Not readable, or not usable.
    pub fn read(path: &Path, sharing: FileSharing) -> Result<Self, CredentialError> {
        TOKEN_KEY.read(path, sharing).and_then(|(text, from)| Self::parse(&text, &from))
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

    /// Its Base64, for the file that holds it.
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

#[cfg(test)]
mod tests;
