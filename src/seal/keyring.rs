//! The keys that seal and open.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::sealable::{ConfidentialField, Sealable};
use crate::message::WorkspaceId;
use crate::workspace::confidential::Confidential;

/// Keys of a keyring at most: one a year outlives the service.
pub const KEYS_MAX: usize = 16;
/// Characters of a key's id at most.
pub const KEY_ID_MAX: usize = 32;
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Draws a nonce. Passed in, so that golden files can choose it.
pub type Nonces = fn() -> [u8; NONCE_BYTES];

/// The keys by id: the first one seals, each one opens. Without a key nothing is sealed, unless nothing may be
/// written in plain text either. Shows the keys to nobody.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<SealingKey>,
    nonces: Option<Nonces>,
    /// Whether what cannot be sealed may not be written at all.
    sealed_only: bool,
}

struct SealingKey {
    id: Box<str>,
    cipher: XChaCha20Poly1305,
}

/// How what was opened had been sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// As it would be sealed now.
    Present,
    /// Not at all although there is a key, or with another key than the first: it is sealed with that one
    /// when it is written next.
    Outdated,
}

/// The text is no list of keys. The keys are not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum InvalidKeys {
    /// Not `id:key`.
    #[error(
        "key {position} is not ID:KEY; write one or several, separated by commas or white space, the sealing one first"
    )]
    Form { position: usize },
    /// The id has other characters, or too many.
    #[error("the id of key {position} must have 1 to {KEY_ID_MAX} characters of A-Z a-z 0-9 _ . -")]
    Id { position: usize },
    /// Not 32 bytes in Base64.
    #[error("the key `{id}` must be the Base64 of {KEY_BYTES} bytes: make one with `openssl rand -base64 {KEY_BYTES}`")]
    Key { id: String },
    /// Two keys of one id.
    #[error("two keys have the id `{id}`: an id names one key for ever, give the new key a new one")]
    Twice { id: String },
    /// Over [`KEYS_MAX`].
    #[error("at most {KEYS_MAX} keys are taken")]
    TooMany,
    /// Nothing but white space.
    #[error("there is no key in it: write ID:KEY")]
    None,
}

/// Why a sealed value does not open. Nothing is lost: with the right key it opens again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum UnsealError {
    /// The key is not there.
    #[error(
        "its {field} is sealed with the key `{id}`, which this node does not have: add that key behind the first one and start again"
    )]
    NoKey { field: String, id: String },
    /// The tag does not fit.
    #[error(
        "its {field} does not open with the key `{id}`: another key has that id now, or the value is damaged or belongs elsewhere"
    )]
    Mismatch { field: String, id: String },
    /// Cut off, or not Base64.
    #[error("its {field} is sealed but cut off or damaged: restore it from a backup")]
    Damaged { field: String },
    /// Of another version of the program.
    #[error("its {field} is sealed in form {found}, this program opens form {VERSION}: start the newer program")]
    UnknownVersion { field: String, found: u8 },
}

impl Keyring {
    /// Reads `ID:KEY`, one or several, separated by commas or white space; the first seals.
    ///
    /// # Errors
    /// See [`InvalidKeys`].
    pub fn parse(text: &str, nonces: Nonces) -> Result<Self, InvalidKeys> {
        let mut keys: Vec<SealingKey> = Vec::new();
        let texts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty());
        for (index, text) in texts.enumerate() {
            if index >= KEYS_MAX {
                return Err(InvalidKeys::TooMany);
            }
            let key = SealingKey::parse(text, index + 1)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(InvalidKeys::Twice { id: key.id.into() });
            }
            keys.push(key);
        }
        if keys.is_empty() {
            Err(InvalidKeys::None)
        } else {
            Ok(Self { keys, nonces: Some(nonces), sealed_only: false })
        }
    }

    /// No key, on a journal that is sealed: nothing confidential may be written.
    #[must_use]
    pub fn missing() -> Self {
        Self { sealed_only: true, ..Self::default() }
    }

    /// Whether something confidential may be written: sealed, or in plain text where nothing is sealed.
    #[must_use]
    pub fn may_write(&self) -> bool {
        !self.sealed_only || !self.keys.is_empty()
    }

    /// Whether it opens what the key `id` sealed.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| *key.id == *id)
    }

    /// The id of the key that seals; none without a key.
    #[must_use]
    pub fn sealing(&self) -> Option<&str> {
        self.keys.first().map(|key| &*key.id)
    }

    /// A print of each key behind its id, the sealing one first: two nodes with one key have one print, and no key can
    /// be found from it.
    #[must_use]
    pub fn prints(&self) -> Vec<String> {
        self.keys.iter().map(|key| format!("{}:{:016x}", key.id, key.print())).collect()
    }

    /// The print of the key `id` alone; none without that key.
    #[must_use]
    pub fn print_of(&self, id: &str) -> Option<u64> {
        self.keys.iter().find(|key| *key.id == *id).map(SealingKey::print)
    }

    /// The ids of its keys that open nothing of what was sealed under their id in `holder`: one that opens anything is the key,
    /// and what it does not open is damaged.
    pub fn misfits(&self, workspace: &WorkspaceId, holder: &mut impl Sealable) -> BTreeSet<String> {
        let (mut misfits, mut fits) = (BTreeSet::new(), BTreeSet::new());
        let Ok(()) = holder.visit::<Infallible>(&mut |field, value| {
            let Some(sealed) = value.sealed() else { return Ok(()) };
            match self.open_one(workspace, field, sealed) {
                Err(UnsealError::Mismatch { id, .. }) => {
                    misfits.insert(id);
                }
                Err(_) => {}
                Ok((id, _)) => {
                    fits.insert(id);
                }
            }
            Ok(())
        });
        &misfits - &fits
    }

    /// Seals every open confidential value of the workspace in `holder`. Does nothing without a key.
    pub fn seal(&self, workspace: &WorkspaceId, holder: &mut impl Sealable) {
        let (Some(key), Some(nonces)) = (self.keys.first(), self.nonces) else { return };
        let Ok(()) = holder.visit::<Infallible>(&mut |field, value| {
            if value.sealed().is_none() {
                *value = Confidential::from_sealed(key.seal(workspace, field, value.expose(), nonces()));
            }
            Ok(())
        });
    }

    /// Opens every sealed confidential value of the workspace in `holder`.
    ///
    /// # Errors
    /// See [`UnsealError`]; some values may stay sealed then.
    pub fn open(&self, workspace: &WorkspaceId, holder: &mut impl Sealable) -> Result<Seal, UnsealError> {
        let mut seal = Seal::Present;
        holder.visit(&mut |field, value| {
            let Some(sealed) = value.sealed() else {
                if !self.keys.is_empty() {
                    seal = Seal::Outdated;
                }
                return Ok(());
            };
            let (id, text) = self.open_one(workspace, field, sealed)?;
            if self.sealing() != Some(&id) {
                seal = Seal::Outdated;
            }
            *value = text.into();
            Ok(())
        })?;
        Ok(seal)
    }

    /// The id of the key that sealed it, and the text.
    fn open_one(
        &self,
        workspace: &WorkspaceId,
        field: ConfidentialField<'_>,
        sealed: &str,
    ) -> Result<(String, String), UnsealError> {
        let (id, rest) = key_and_rest(field, sealed)?;
        let damaged = || UnsealError::Damaged { field: field.to_string() };
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let Some(key) = self.keys.iter().find(|key| *key.id == *id) else {
            return Err(UnsealError::NoKey { field: field.to_string(), id });
        };
        let data = associated_data(workspace, field);
        let payload = Payload { msg: ciphertext, aad: data.as_bytes() };
        let opened =
            key.cipher.decrypt(&XNonce::from(*nonce), payload).ok().and_then(|text| String::from_utf8(text).ok());
        match opened {
            Some(text) => Ok((id, text)),
            None => Err(UnsealError::Mismatch { field: field.to_string(), id }),
        }
    }
}

impl SealingKey {
    fn parse(text: &str, position: usize) -> Result<Self, InvalidKeys> {
        let (id, key) = text.split_once(':').ok_or(InvalidKeys::Form { position })?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if id.is_empty() || id.len() > KEY_ID_MAX || !id.bytes().all(known) {
            return Err(InvalidKeys::Id { position });
        }
        let key = STANDARD.decode(key).ok().and_then(|key| <[u8; KEY_BYTES]>::try_from(key).ok());
        let key = key.ok_or_else(|| InvalidKeys::Key { id: id.to_owned() })?;
        Ok(Self { id: id.into(), cipher: XChaCha20Poly1305::new(&key.into()) })
    }

    /// The tag of nothing, under a nonce that is drawn for no value; as much of it as tells keys apart.
    #[expect(clippy::expect_used, reason = "an empty text is below what the cipher takes, and a tag has 16 bytes")]
    fn print(&self) -> u64 {
        let payload = Payload { msg: b"", aad: b"the print of a secret key" };
        let tag = self.cipher.encrypt(&XNonce::from([0; NONCE_BYTES]), payload).expect("an empty text");
        u64::from_be_bytes(*tag.first_chunk().expect("a tag"))
    }

    #[expect(
        clippy::expect_used,
        reason = "a confidential text is far below the 256 GiB that the cipher takes, an id below 256 bytes"
    )]
    fn seal(
        &self,
        workspace: &WorkspaceId,
        field: ConfidentialField<'_>,
        text: &str,
        nonce: [u8; NONCE_BYTES],
    ) -> String {
        let data = associated_data(workspace, field);
        let payload = Payload { msg: text.as_bytes(), aad: data.as_bytes() };
        let ciphertext = self.cipher.encrypt(&XNonce::from(nonce), payload).expect("a short text");
        let length = u8::try_from(self.id.len()).expect("a short id");
        let bytes = [&[VERSION, length], self.id.as_bytes(), &nonce, &ciphertext].concat();
        STANDARD.encode(bytes)
    }
}

/// The keys that are needed to open what is confidential in `holder`; `None` among them stands for plain text. Opens
/// nothing, so it needs no key.
///
/// # Errors
/// [`UnsealError::Damaged`], [`UnsealError::UnknownVersion`].
pub fn keys_of(holder: &mut impl Sealable) -> Result<BTreeSet<Option<String>>, UnsealError> {
    let mut ids = BTreeSet::new();
    holder.visit(&mut |field, value| {
        let id = value.sealed().map(|sealed| key_and_rest(field, sealed)).transpose()?;
        ids.insert(id.map(|(id, _)| id));
        Ok(())
    })?;
    Ok(ids)
}

/// The id of the key that sealed it, and what follows the id.
fn key_and_rest(field: ConfidentialField<'_>, sealed: &str) -> Result<(String, Vec<u8>), UnsealError> {
    let damaged = || UnsealError::Damaged { field: field.to_string() };
    let bytes = STANDARD.decode(sealed).map_err(|_| damaged())?;
    let (version, rest) = bytes.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        return Err(UnsealError::UnknownVersion { field: field.to_string(), found: *version });
    }
    let (length, rest) = rest.split_first().ok_or_else(damaged)?;
    let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(damaged)?;
    let id = String::from_utf8(id.to_vec()).map_err(|_| damaged())?;
    Ok((id, rest.to_vec()))
}

/// Neither an id nor a field's name holds a line break, so no two of them share their data.
fn associated_data(workspace: &WorkspaceId, field: ConfidentialField<'_>) -> String {
    format!("outbound\n{workspace}\n{field}")
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}
