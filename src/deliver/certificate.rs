//! Certificates that do not hold: which one, why, and what helps.
//!
//! rustls' own verifier decides. What it refuses is described here, because it tells no self-signed certificate
//! from a chain that is not whole, and no expired intermediate certificate from an expired one.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, OtherError, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::workspace::time::in_sentence;

/// Names of a certificate that a sentence lists at most, and characters of each.
const NAMES_SHOWN_MAX: usize = 3;
const NAME_SHOWN_MAX: usize = 100;

/// rustls' verifier, whose refusals say what the server sent.
#[derive(Debug)]
pub(super) struct DescribingVerifier(Arc<WebPkiServerVerifier>);

impl DescribingVerifier {
    /// Certificates must lead to one of `roots`.
    pub(super) fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        verifier.map(Self).map_err(|error| TlsError::General(error.to_string()))
    }
}

impl ServerCertVerifier for DescribingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            TlsError::InvalidCertificate(error) => {
                refused(RefusedCertificate::new(error, end_entity, intermediates, now))
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, cert, dss).map_err(|error| of_signature(error, cert))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss).map_err(|error| of_signature(error, cert))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Why a certificate does not hold, with what the server sent.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct RefusedCertificate {
    error: CertificateError,
    self_signed: bool,
    /// It has alternative names: no other name counts.
    names_something: bool,
    /// It came without any other.
    alone: bool,
    /// Its own dates are right.
    in_time: bool,
    /// Who signed it, as it says.
    issuer: Option<String>,
    /// The bits of its RSA key, if those are too few.
    weak_rsa: Option<usize>,
}

/// Bits that the modulus of an RSA key needs.
const RSA_BITS_MIN: usize = 2048;

impl RefusedCertificate {
    fn new(error: CertificateError, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Self {
        let alone = others.is_empty();
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
            let (names_something, issuer, weak_rsa) = (true, None, None);
            return Self { error, self_signed: false, names_something, alone, in_time: false, issuer, weak_rsa };
        };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = leaf.validity();
        let issuer = leaf
            .issuer()
            .iter_common_name()
            .chain(leaf.issuer().iter_organization())
            .find_map(|name| name.as_str().ok());
        Self {
            error,
            self_signed: leaf.issuer().as_raw() == leaf.subject().as_raw(),
            names_something: !matches!(leaf.subject_alternative_name(), Ok(None)),
            alone,
            in_time: (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now),
            issuer: issuer.map(shown),
            weak_rsa: weak_rsa(&leaf),
        }
    }
}

/// See [`RefusedCertificate::weak_rsa`].
fn weak_rsa(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()).filter(|bits| (1..RSA_BITS_MIN).contains(bits)),
        _ => None,
    }
}

/// What a signature that does not hold says of the certificate whose key should have made it.
fn of_signature(error: TlsError, leaf: &CertificateDer<'_>) -> TlsError {
    let TlsError::InvalidCertificate(error) = error else { return error };
    let described = RefusedCertificate::new(error.clone(), leaf, &[], UnixTime::now());
    // Of anything but a weak key the certificate is no reason: it was accepted.
    if described.weak_rsa.is_some() { refused(described) } else { TlsError::InvalidCertificate(error) }
}

fn refused(refused: RefusedCertificate) -> TlsError {
    TlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
}

/// What is wrong with the certificate of `host`, as one sentence.
pub(super) fn certificate(host: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::Other(OtherError(cause)) => match cause.downcast_ref::<RefusedCertificate>() {
            Some(refused) => described(host, refused),
            None => plain(host, error),
        },
        error => plain(host, error),
    }
}

fn described(host: &str, refused: &RefusedCertificate) -> String {
    let RefusedCertificate { error, self_signed, names_something, alone, in_time, issuer, weak_rsa } = refused;
    let by = issuer.as_ref().map_or(String::new(), |issuer| format!(" ({issuer})"));
    match error {
        CertificateError::BadSignature if weak_rsa.is_some() => format!(
            "the certificate of {host} has an RSA key of {} bits, which is too weak; have it issued anew with one of \
             {RSA_BITS_MIN} bits or more",
            weak_rsa.unwrap_or_default()
        ),
        CertificateError::ExpiredContext { time, not_after } if *in_time => format!(
            "a certificate that {host} sends along with its own expired on {}; let it send the chain that its \
             authority gives out today",
            in_sentence(not_after.as_secs(), time.as_secs())
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature if *self_signed => {
            let anew = match (*names_something, *weak_rsa) {
                (true, None) => String::new(),
                (true, Some(_)) => format!(", once it is made anew with an RSA key of {RSA_BITS_MIN} bits"),
                (false, None) => format!(", once it is made anew with {host} as a subject alternative name"),
                (false, Some(_)) => format!(
                    ", once it is made anew with {host} as a subject alternative name and an RSA key of {RSA_BITS_MIN} bits"
                ),
            };
            format!(
                "the certificate of {host} is self-signed, so nobody vouches for it; use one of a public authority, or \
                 have the operator add it to the system's authorities{anew}"
            )
        }
        CertificateError::UnknownIssuer if *alone => format!(
            "the certificate of {host} comes from an authority that we do not know{by}, and {host} sends no other \
             certificate; let it send the whole chain (often called fullchain.pem), or use one of a public authority"
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {host} comes from an authority that we do not know{by}; use one of a public authority, \
             or have the operator add this one to the system's"
        ),
        // Also where the operator has added it.
        CertificateError::Other(OtherError(cause))
            if *self_signed && matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
        {
            format!(
                "the certificate of {host} is self-signed and made for an authority (CA:TRUE), which no server may show; \
                 make it anew with basicConstraints=CA:FALSE and have the operator add it to the system's authorities, or \
                 use one of a public authority"
            )
        }
        error => plain(host, error),
    }
}

fn plain(host: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => format!("the certificate of {host} has expired; renew it"),
        CertificateError::ExpiredContext { time, not_after } => {
            format!(
                "the certificate of {host} expired on {}; renew it",
                in_sentence(not_after.as_secs(), time.as_secs())
            )
        }
        CertificateError::NotValidYet => format!("the certificate of {host} is not valid yet; check its dates"),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!(
                "the certificate of {host} is not valid before {}; check its dates",
                in_sentence(not_before.as_secs(), time.as_secs())
            )
        }
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} comes from an authority that we do not know; \
             it is self-signed, or the server does not send the whole chain"
        ),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
            "the certificate of {host} has no alternative name, and a common name alone counts no more; have it issued \
             anew with {host} as a subject alternative name"
        ),
        CertificateError::NotValidForNameContext { presented, .. } if is_listed_as_a_name(host, presented) => format!(
            "the certificate of {host} lists that address as if it were a name; have it issued anew with it as an address \
             (subjectAltName=IP:{})",
            bare_address(host)
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let all_wild = presented.iter().all(|name| name.contains('*'));
            let helps =
                if all_wild { "a * stands for exactly one part of a name" } else { "save the URL with that name" };
            let joined = if all_wild { ", so" } else { ", or" };
            format!(
                "the certificate of {host} is made out to another name ({}); {helps}{joined} use a certificate for {host}",
                names(presented)
            )
        }
        CertificateError::NotValidForName => format!("the certificate of {host} is made out to another name"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => format!(
            "the certificate of {host} is not made for servers; use one whose extended key usage has server \
             authentication"
        ),
        CertificateError::BadSignature => format!(
            "the certificate of {host} does not hold: a signature does not fit its key, or the key is too weak (an RSA key \
             needs 2048 bits); have it issued anew"
        ),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "the certificate of {host}, or one that it sends along, is signed in a way that we do not accept, such as with \
             SHA-1; have it issued anew, with SHA-256 and an RSA, P-256 or P-384 key"
        ),
        CertificateError::Other(OtherError(cause)) if cause.is::<webpki::Error>() => {
            flawed(host, cause.downcast_ref::<webpki::Error>())
        }
        error => format!("the certificate of {host} does not hold: {error}"),
    }
}

/// What is wrong with how a certificate is made.
fn flawed(host: &str, flaw: Option<&webpki::Error>) -> String {
    match flaw {
        Some(webpki::Error::CaUsedAsEndEntity) => format!(
            "the certificate of {host} is made for an authority (CA:TRUE), which no server may show; have one issued for \
             the server (basicConstraints=CA:FALSE)"
        ),
        Some(webpki::Error::EndEntityUsedAsCa) => format!(
            "the certificate of {host} is signed by one that is not made for an authority (CA:FALSE); have it issued anew \
             by an authority"
        ),
        Some(webpki::Error::UnsupportedCertVersion) => format!(
            "the certificate of {host}, or one that it sends along, is not of version 3 of X.509, so it has no alternative \
             name; have it issued anew with {host} as a subject alternative name"
        ),
        Some(webpki::Error::UnsupportedCriticalExtension) => format!(
            "the certificate of {host}, or one that it sends along, has a critical extension that we do not know; have it \
             issued anew without that"
        ),
        Some(webpki::Error::NameConstraintViolation) => format!(
            "the authority of the certificate of {host} may not issue for that name; use a certificate of another authority"
        ),
        flaw => {
            let named = flaw.map_or(String::new(), |flaw| format!(" ({flaw})"));
            format!(
                "the certificate of {host}, or one that it sends along, is not made as the rules demand{named}; have it \
                 issued anew with tools of today"
            )
        }
    }
}

/// Whether the host is an address that stands among the names.
fn is_listed_as_a_name(host: &str, presented: &[String]) -> bool {
    let Ok(address) = bare_address(host).parse::<IpAddr>() else { return false };
    presented.iter().filter(|name| name.starts_with("DnsName")).any(|name| bare(name).parse() == Ok(address))
}

/// An address without the brackets that it has in a URL.
fn bare_address(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The first names.
fn names(presented: &[String]) -> String {
    let mut names: Vec<String> = presented.iter().take(NAMES_SHOWN_MAX).map(|name| shown(bare(name))).collect();
    if presented.len() > NAMES_SHOWN_MAX {
        names.push(format!("{} more", presented.len() - NAMES_SHOWN_MAX));
    }
    names.join(", ")
}

/// A name without the words of the library around it.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, inside)| inside.trim_end_matches(')')).trim_matches('"')
}

/// A name that somebody else wrote, made fit for a sentence.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// `openssl req -x509 -newkey rsa:1024 -subj /CN=crm.example -addext subjectAltName=DNS:crm.example`
    const WEAK: &str = "\
        MIICHDCCAYWgAwIBAgIUPDiGR9NOujYlt9q1TgZLLbP+3zUwDQYJKoZIhvcNAQELBQAwFjEUMBIGA1UEAwwLY3JtLmV4YW1wbGUwIBcNMjYxMT\
        I5MTc1NjMyWhgPMjMwMDA5MTQxNzU2MzJaMBYxFDASBgNVBAMMC2NybS5leGFtcGxlMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDGFeEh\
        5BWDVglKYBeSTr9JrmrSUDr48OtP5DeI8lUtbWb5SaIkv4HOa4p9Q6j+PcssKlaKf36CG1MB2+av45PCE6XSfW0DHyhE/ru+qeDoPrZHJjpxsk\
        kmpmRnIE6eTxpvj1J0zxFk8gl7MDWkMpcFuXt50eWhPcxQLXSns/MLywIDAQABo2UwYzAdBgNVHQ4EFgQU4m/s1tSdo7IScHU4jZFtAF2Saj8w\
        HwYDVR0jBBgwFoAU4m/s1tSdo7IScHU4jZFtAF2Saj8wFgYDVR0RBA8wDYILY3JtLmV4YW1wbGUwCQYDVR0TBAIwADANBgkqhkiG9w0BAQsFAA\
        OBgQAtEsoIQBlgmHL0vXcgkPKNofwz0AzzWvSNBnsgaGRFuMo94f2JgvnIjqlKYGXR/j8fzfZDLxkcUQZSaGXzcA5o1NRM3QZVSAR/Sn0uLCu0\
        9YC9pzu7cGRR9VS0d1u9eZgPazaR5na4355KU9WumkK/tHw0wFslZxV6hI0HhxPVFg==";

    #[test]
    fn a_weak_key_is_said_to_be_the_reason() {
        let leaf = CertificateDer::from(STANDARD.decode(WEAK).unwrap());
        let said = |error| match refused(RefusedCertificate::new(error, &leaf, &[], UnixTime::now())) {
            TlsError::InvalidCertificate(error) => certificate("crm.example", &error),
            other => panic!("{other}"),
        };
        assert_eq!(
            said(CertificateError::BadSignature),
            "the certificate of crm.example has an RSA key of 1024 bits, which is too weak; have it issued anew with one of \
             2048 bits or more"
        );
        assert!(said(CertificateError::UnknownIssuer).ends_with("made anew with an RSA key of 2048 bits"));
        assert!(said(CertificateError::Expired).ends_with("has expired; renew it"));
    }
}
