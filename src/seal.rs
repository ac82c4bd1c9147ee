//! Sealing: what is confidential enters the journal sealed, and is opened by whoever read it.
//!
//! Architecture invariants: only this room encrypts; a journal never sees an open value while there is a
//! key. The actors seal what they commit and open what they load; the facade seals the commands that it
//! submits and opens what it reads. Nobody opens the history, since it shows nothing confidential.
//!
//! Reading order: the keys ([`keyring`]), and which fields they seal (`sealable`).
//!
//! # The stored form
//! A sealed value is `{"sealed":"<Base64>"}` where an open one is a string, so each is known from the other
//! and both can always be read: a journal from before the first key stays usable. The bytes are
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version, 1 |
//! | 1 | the length of the key's id |
//! | 1–32 | the key's id |
//! | 24 | the nonce, random for every value that is written |
//! | rest | XChaCha20-Poly1305: the text, and its tag of 16 bytes |
//!
//! The associated data is `outbound`, the workspace's id and the field's name, one a line. So a value that
//! is copied to another workspace, or to another field of its own, does not open.

pub mod keyring;
mod sealable;

#[cfg(test)]
mod tests;

pub use keyring::{InvalidKeys, Keyring, Nonces, Seal, UnsealError, keys_of};
pub use sealable::{ConfidentialField, Sealable};
