//! Certificates that do not hold: which one, why, and what helps.
//!
//! rustls' own verifier decides. What it refuses is described here, because it tells no self-signed certificate
//! from a chain that is not whole, and no expired intermediate certificate from an expired one.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, OtherError, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

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
                let refused = RefusedCertificate::new(error, end_entity, intermediates, now);
                TlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
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
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss)
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
    /// It came without any other.
    alone: bool,
    /// Its own dates are right.
    in_time: bool,
    /// Who signed it, as it says.
    issuer: Option<String>,
}

impl RefusedCertificate {
    fn new(error: CertificateError, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Self {
        let alone = others.is_empty();
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
            return Self { error, self_signed: false, alone, in_time: false, issuer: None };
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
            alone,
            in_time: (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now),
            issuer: issuer.map(shown),
        }
    }
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
    let RefusedCertificate { error, self_signed, alone, in_time, issuer } = refused;
    let by = issuer.as_ref().map_or(String::new(), |issuer| format!(" ({issuer})"));
    match error {
        CertificateError::ExpiredContext { not_after, .. } if *in_time => format!(
            "a certificate that {host} sends along with its own expired on {}; let it send the chain that its \
             authority gives out today",
            day(*not_after)
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::NotValidForName
        | CertificateError::NotValidForNameContext { .. }
        | CertificateError::InvalidPurpose
        | CertificateError::InvalidPurposeContext { .. } => plain(host, error),
        _ if *self_signed => format!(
            "the certificate of {host} is self-signed, so nobody vouches for it; use one of a public authority, or have \
             the operator add it to the system's authorities"
        ),
        CertificateError::UnknownIssuer if *alone => format!(
            "the certificate of {host} comes from an authority that we do not know{by}, and {host} sends no other \
             certificate; let it send the whole chain (often called fullchain.pem), or use one of a public authority"
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {host} comes from an authority that we do not know{by}; use one of a public authority, \
             or have the operator add this one to the system's"
        ),
        error => plain(host, error),
    }
}

fn plain(host: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => format!("the certificate of {host} has expired; renew it"),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate of {host} expired on {}; renew it", day(*not_after))
        }
        CertificateError::NotValidYet => format!("the certificate of {host} is not valid yet; check its dates"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate of {host} is not valid before {}; check its dates", day(*not_before))
        }
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} comes from an authority that we do not know; \
             it is self-signed, or the server does not send the whole chain"
        ),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
            "the certificate of {host} has no alternative name, and a common name alone counts no more; have it issued \
             anew with {host} as a subject alternative name"
        ),
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate of {host} is made out to another name ({}); save the URL with that name, or use a \
             certificate for {host}",
            names(presented)
        ),
        CertificateError::NotValidForName => format!("the certificate of {host} is made out to another name"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => format!(
            "the certificate of {host} is not made for servers; use one whose extended key usage has server \
             authentication"
        ),
        error => format!("the certificate of {host} does not hold: {error}"),
    }
}

/// The first names, without the words of the library around them.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name.split_once('(').map_or(name.as_str(), |(_, inside)| inside.trim_end_matches(')'));
        shown(inside.trim_matches('"'))
    };
    let mut names: Vec<String> = presented.iter().take(NAMES_SHOWN_MAX).map(bare).collect();
    if presented.len() > NAMES_SHOWN_MAX {
        names.push(format!("{} more", presented.len() - NAMES_SHOWN_MAX));
    }
    names.join(", ")
}

/// A name that somebody else wrote, made fit for a sentence.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_SHOWN_MAX).collect()
}

/// The day in UTC, as it is written in a sentence.
fn day(at: UnixTime) -> String {
    let at = i64::try_from(at.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| "an impossible day".to_owned(), |at| at.strftime("%-d %B %Y").to_string())
}
