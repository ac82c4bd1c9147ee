//! Standard Webhooks: sign and verify.
//!
//! The scheme is the symmetric one of the Standard Webhooks specification 1.0.0: `v1,` and the Base64 of
//! HMAC-SHA256 over `<id>.<timestamp>.<body>`, with the raw bytes of the body. `deliver` signs, the receiver
//! of `http` verifies; the published `standardwebhooks` crate is the oracle of the tests.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header that names the message: the same for every attempt at it.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the attempt's time, in whole seconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures, space separated.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// Seconds by which a timestamp may differ from the receiver's clock, as in the reference libraries.
pub const TOLERANCE_SECONDS: u64 = 5 * 60;
/// Bytes of a key, least and most (Standard Webhooks, "Signature scheme").
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
/// Characters of a signature: [`VERSION`] and the Base64 of 32 bytes.
const SIGNATURE_LENGTH: usize = VERSION.len() + 44;
/// Bytes of a key that we make: the length of what HMAC-SHA256 puts out.
const KEY_BYTES_MADE: usize = 32;

/// A signing secret: `whsec_` and the Base64 of 24–64 bytes. Keyed once; never printed by `Debug`.
#[derive(Clone)]
pub struct Secret {
    text: Box<str>,
    keyed: Hmac<Sha256>,
}

/// The text is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is whsec_ followed by the Base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

/// Why a request is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No signature of the header is one of this secret.
    #[error("no signature matches: check the secret, and sign or verify the body byte for byte")]
    Mismatch,
    /// The timestamp is too far in the past: perhaps a replay.
    #[error("the timestamp is more than 5 minutes old: check the clocks of both sides")]
    TooOld,
    /// The timestamp is too far in the future.
    #[error("the timestamp is more than 5 minutes ahead: check the clocks of both sides")]
    TooNew,
}

impl Secret {
    /// A new secret of 32 random bytes.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        let mut key = [0; KEY_BYTES_MADE];
        random.fill_bytes(&mut key);
        Self::keyed(format!("{PREFIX}{}", STANDARD.encode(key)), &key)
    }

    /// The secret as text, to be stored or shown to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn keyed(text: String, key: &[u8]) -> Self {
        Self { text: text.into_boxed_str(), keyed: Hmac::new_from_slice(key).expect("any length is a key") }
    }

    fn sign_into(&self, signatures: &mut String, id: &str, timestamp: i64, body: &[u8]) {
        let mut seconds = itoa::Buffer::new();
        let mut mac = self.keyed.clone();
        for part in [id.as_bytes(), b".", seconds.format(timestamp).as_bytes(), b".", body] {
            mac.update(part);
        }
        signatures.push_str(VERSION);
        STANDARD.encode_string(mac.finalize().into_bytes(), signatures);
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = text.strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok()).ok_or(InvalidSecret)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self::keyed(text.to_owned(), &key))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(whsec_…)")
    }
}

/// The value of `webhook-signature`: one signature for each secret, space separated.
///
/// `timestamp` is in seconds since the Unix epoch. An `id` must not contain a dot, as the signed content
/// is separated by dots.
#[must_use]
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut signatures = String::with_capacity(secrets.len() * (SIGNATURE_LENGTH + 1));
    for secret in secrets {
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        secret.sign_into(&mut signatures, id, timestamp, body);
    }
    signatures
}

/// Whether `header`, the value of `webhook-signature`, holds a signature by `secret` that is fresh at `now`
/// (both times in seconds since the Unix epoch).
///
/// Signatures are compared whole and in constant time; one of another length never matches (comparing only
/// the common prefix was RUSTSEC-2024-0010).
///
/// # Errors
/// The timestamp is off by more than [`TOLERANCE_SECONDS`], or no signature matches.
pub fn verify(
    secret: &Secret,
    id: &str,
    timestamp: i64,
    body: &[u8],
    header: &str,
    now: i64,
) -> Result<(), VerifyError> {
    if now.abs_diff(timestamp) > TOLERANCE_SECONDS {
        return Err(if timestamp < now { VerifyError::TooOld } else { VerifyError::TooNew });
    }
    let mut expected = String::with_capacity(SIGNATURE_LENGTH);
    secret.sign_into(&mut expected, id, timestamp, body);
    let matches = |signature: &str| bool::from(signature.as_bytes().ct_eq(expected.as_bytes()));
    if header.split(' ').any(matches) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use hyper::header::{HeaderMap, HeaderValue};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use standardwebhooks::Webhook;

    use super::*;

    // The published vector (libraries/rust of the specification's repository).
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const AT: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn secret() -> Secret {
        SECRET.parse().unwrap()
    }

    fn other() -> Secret {
        Secret::generate(&mut StdRng::seed_from_u64(2))
    }

    fn check(header: &str) -> Result<(), VerifyError> {
        verify(&secret(), ID, AT, BODY, header, AT)
    }

    #[test]
    fn signs_the_published_vector() {
        assert_eq!(sign(&[secret()], ID, AT, BODY), SIGNATURE);
    }

    #[test]
    fn verifies_the_published_vector() {
        assert_eq!(check(SIGNATURE), Ok(()));
    }

    #[test]
    fn during_a_rotation_either_secret_verifies() {
        let header = sign(&[other(), secret()], ID, AT, BODY);
        assert_eq!(header.split(' ').count(), 2);
        assert_eq!(verify(&secret(), ID, AT, BODY, &header, AT), Ok(()));
        assert_eq!(verify(&other(), ID, AT, BODY, &header, AT), Ok(()));
    }

    #[test]
    fn a_signature_counts_only_whole() {
        for cut in 0..SIGNATURE.len() {
            assert_eq!(check(&SIGNATURE[..cut]), Err(VerifyError::Mismatch), "first {cut} characters");
        }
        assert_eq!(check(&format!("{SIGNATURE}x")), Err(VerifyError::Mismatch));
        assert_eq!(check(&SIGNATURE.replace("v1,", "v1a,")), Err(VerifyError::Mismatch));
    }

    #[test]
    fn another_id_time_body_or_secret_does_not_verify() {
        let mismatch = Err(VerifyError::Mismatch);
        assert_eq!(verify(&secret(), "msg_2", AT, BODY, SIGNATURE, AT), mismatch);
        assert_eq!(verify(&secret(), ID, AT + 1, BODY, SIGNATURE, AT), mismatch);
        assert_eq!(verify(&secret(), ID, AT, b"{}", SIGNATURE, AT), mismatch);
        assert_eq!(verify(&other(), ID, AT, BODY, SIGNATURE, AT), mismatch);
    }

    #[test]
    fn five_minutes_either_way_are_tolerated_and_no_second_more() {
        for (now, expected) in [
            (AT + 300, Ok(())),
            (AT - 300, Ok(())),
            (AT + 301, Err(VerifyError::TooOld)),
            (AT - 301, Err(VerifyError::TooNew)),
            (i64::MAX, Err(VerifyError::TooOld)),
            (i64::MIN, Err(VerifyError::TooNew)),
        ] {
            assert_eq!(verify(&secret(), ID, AT, BODY, SIGNATURE, now), expected, "at {now}");
        }
    }

    #[test]
    fn a_secret_has_its_prefix_and_24_to_64_bytes() {
        let text = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (text, valid) in [
            (text(23), false),
            (text(24), true),
            (text(64), true),
            (text(65), false),
            (text(32).replace("whsec_", ""), false),
            (text(32).replace("whsec_", "whpk_"), false),
            ("whsec_?".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(text.parse::<Secret>().is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn a_generated_secret_is_a_secret_and_never_the_same() {
        let mut random = StdRng::seed_from_u64(1);
        let (first, second) = (Secret::generate(&mut random), Secret::generate(&mut random));
        assert_ne!(first.expose(), second.expose());
        let read: Secret = first.expose().parse().unwrap();
        assert_eq!(sign(&[read], ID, AT, BODY), sign(&[first], ID, AT, BODY));
    }

    #[test]
    fn debug_does_not_print_the_secret() {
        assert_eq!(format!("{:?}", secret()), "Secret(whsec_…)");
    }

    fn now() -> i64 {
        let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        i64::try_from(elapsed.as_secs()).unwrap()
    }

    proptest! {
        #[test]
        fn the_published_library_verifies_what_we_sign(
            body in ".*", id in "msg_[a-z0-9_-]{1,40}", key in vec(any::<u8>(), KEY_BYTES),
        ) {
            let text = format!("{PREFIX}{}", STANDARD.encode(key));
            let at = now();
            let header = sign(&[other(), text.parse().unwrap()], &id, at, body.as_bytes());
            let mut headers = HeaderMap::new();
            headers.insert(ID_HEADER, HeaderValue::from_str(&id).unwrap());
            headers.insert(TIMESTAMP_HEADER, HeaderValue::from(at));
            headers.insert(SIGNATURE_HEADER, HeaderValue::from_str(&header).unwrap());
            Webhook::new(&text).unwrap().verify(body.as_bytes(), &headers).unwrap();
        }

        #[test]
        fn we_verify_what_the_published_library_signs(
            body in ".*", id in "msg_[a-z0-9_-]{1,40}", at: i64, key in vec(any::<u8>(), KEY_BYTES),
        ) {
            let text = format!("{PREFIX}{}", STANDARD.encode(key));
            let header = Webhook::new(&text).unwrap().sign(&id, at, body.as_bytes()).unwrap();
            prop_assert_eq!(verify(&text.parse().unwrap(), &id, at, body.as_bytes(), &header, at), Ok(()));
        }

        #[test]
        fn what_is_no_text_is_signed_too(body in vec(any::<u8>(), 0..2_000)) {
            let header = sign(&[secret()], ID, AT, &body);
            prop_assert_eq!(verify(&secret(), ID, AT, &body, &header, AT), Ok(()));
        }
    }
}
