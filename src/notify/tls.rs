//! TLS to the mail server, and what helps where it fails.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, OtherError, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::cleaned::Wire;
use crate::workspace::time::in_sentence;

/// How TLS is begun, and the name that the server must prove.
#[derive(Clone)]
pub(super) struct TlsSetup {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// TLS cannot be set up.
#[derive(Debug)]
pub(super) enum NoTlsSetup {
    /// No certificate can be made out to the name.
    Name,
    /// rustls cannot do it.
    Rustls(rustls::Error),
}

impl TlsSetup {
    /// The server must prove that it is `host`, with a certificate that leads to one of `roots`.
    pub(super) fn new(host: &str, roots: &Arc<RootCertStore>) -> Result<Self, NoTlsSetup> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| NoTlsSetup::Name)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(NoTlsSetup::Rustls)?
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth();
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    /// Begins TLS as a client.
    pub(super) async fn begin(&self, stream: TcpStream) -> io::Result<Wire> {
        Ok(Wire::Tls(Box::new(self.connector.connect(self.name.clone(), stream).await?)))
    }
}

/// What is known of why TLS could not begin.
enum Cause {
    /// Nobody whom we know vouches for the certificate.
    Stranger,
    /// A signature does not fit: of an authority that was made anew under its name, or with a key that is too weak.
    Signature,
    /// It is signed in a way that counts no more, such as with SHA-1.
    Algorithm,
    /// The certificate is one that signs others (CA:TRUE), as `openssl req -x509` makes them.
    Authority,
    /// The certificate is made out to another name.
    Name,
    /// The certificate has no name that counts: none at all, or none of version 3 of X.509.
    NoName,
    /// It is too late, or too early, for the certificate.
    Dates(String),
    /// It is made for something else than servers.
    Purpose,
    /// The server wants a certificate of ours.
    ClientCertificate,
    /// What came is no TLS.
    NoTls,
    /// No version of TLS, or no cipher, is common.
    NothingCommon,
    /// What the error says.
    Other,
}

impl Cause {
    fn of(error: &io::Error) -> Self {
        use rustls::AlertDescription::{CertificateRequired, HandshakeFailure, ProtocolVersion};
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};
        match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
            Some(InvalidCertificate(why)) => Self::of_certificate(why),
            Some(InvalidMessage(_)) => Self::NoTls,
            Some(AlertReceived(HandshakeFailure | ProtocolVersion) | PeerIncompatible(_)) => Self::NothingCommon,
            Some(AlertReceived(CertificateRequired)) => Self::ClientCertificate,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::Stranger,
            CertificateError::BadSignature => Self::Signature,
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Algorithm,
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => Self::NoName,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            CertificateError::Expired => Self::Dates("has expired".to_owned()),
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Dates(format!("expired on {}", in_sentence(not_after.as_secs(), time.as_secs())))
            }
            CertificateError::NotValidYet => Self::Dates("is not valid yet".to_owned()),
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::Dates(format!("is not valid before {}", in_sentence(not_before.as_secs(), time.as_secs())))
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
            CertificateError::Other(OtherError(flaw)) => match flaw.downcast_ref() {
                Some(webpki::Error::CaUsedAsEndEntity) => Self::Authority,
                Some(webpki::Error::UnsupportedCertVersion) => Self::NoName,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// What a connection, or TLS on it, failed of.
pub(super) fn told(error: &io::Error) -> String {
    match Cause::of(error) {
        Cause::Stranger => "its certificate comes from an authority that we do not know".to_owned(),
        Cause::Signature => {
            "its certificate does not hold: a signature does not fit the key of its authority, or a key is too \
                             weak (an RSA key needs 2048 bits)"
                .to_owned()
        }
        Cause::Algorithm => "its certificate is signed in a way that we do not accept, such as with SHA-1".to_owned(),
        Cause::Authority => "its certificate is one of an authority (CA:TRUE), which no server may show".to_owned(),
        Cause::NoName => {
            "its certificate has no subject alternative name, and a common name alone counts no more".to_owned()
        }
        Cause::Dates(what) => format!("its certificate {what}"),
        Cause::Purpose => "its certificate is not made for servers".to_owned(),
        Cause::ClientCertificate => "it wants a certificate of ours, and we have none".to_owned(),
        Cause::NoTls => "what it answers is no TLS".to_owned(),
        Cause::NothingCommon => "it takes no TLS that we speak".to_owned(),
        Cause::Name | Cause::Other => error.to_string(),
    }
}

/// What helps then, as the end of that sentence; empty where nobody knows. TLS was to begin `at_once`, or after STARTTLS.
pub(super) fn what_helps(error: &io::Error, at_once: bool) -> &'static str {
    match Cause::of(error) {
        Cause::Stranger => "; if that is one of your own, name it with --smtp-ca",
        Cause::Signature => {
            "; have it issued anew, and where its authority is one of your own, name that one's present certificate with \
             --smtp-ca"
        }
        Cause::Algorithm => "; have it issued anew, with SHA-256 and an RSA, P-256 or P-384 key",
        Cause::Authority => {
            "; make one for the server (basicConstraints=CA:FALSE), and name who signs it with --smtp-ca"
        }
        Cause::Name => "; name it in --smtp-url as its certificate does, or have one issued for this name",
        Cause::NoName => "; have it issued anew, with the name in --smtp-url as a subject alternative name",
        Cause::Dates(_) => "; renew it, or check the clock of this machine",
        Cause::Purpose => "; have one issued whose extended key usage has server authentication",
        Cause::ClientCertificate => "; have it take mails from here without one, or with a login in --smtp-url",
        Cause::NoTls if at_once => {
            "; name the port where TLS begins at once, mostly 465, or write smtp://…?tls=required in --smtp-url"
        }
        Cause::NothingCommon => "; have it offer TLS 1.2 or 1.3, with a key and ciphers that are common",
        Cause::NoTls | Cause::Other => "",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn each_refusal_of_tls_is_told_in_words_and_with_what_helps() {
        let (time, later) = [1_700_000_000, 1_800_000_000]
            .map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
            .into();
        let name = || ServerName::try_from("mx.acme.example").unwrap();
        let flaw = |flaw: webpki::Error| CertificateError::Other(OtherError(Arc::new(flaw)));
        for (error, said, helps) in [
            (CertificateError::UnknownIssuer, "an authority that we do not know", "name it with --smtp-ca"),
            (CertificateError::BadSignature, "an RSA key needs 2048 bits", "have it issued anew"),
            (
                CertificateError::ExpiredContext { time: later, not_after: time },
                "expired on 14 November 2023",
                "renew it",
            ),
            (
                CertificateError::NotValidYetContext { time, not_before: later },
                "is not valid before 15 January 2027",
                "check the clock",
            ),
            (
                CertificateError::NotValidForNameContext { expected: name(), presented: Vec::new() },
                "no subject alternative name",
                "as a subject alternative name",
            ),
            (flaw(webpki::Error::UnsupportedCertVersion), "no subject alternative name", "have it issued anew"),
            (flaw(webpki::Error::CaUsedAsEndEntity), "CA:TRUE", "CA:FALSE"),
            (
                CertificateError::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: vec![6, 9, 42],
                    supported_algorithms: Vec::new(),
                },
                "such as with SHA-1",
                "with SHA-256",
            ),
            (CertificateError::InvalidPurpose, "not made for servers", "server authentication"),
        ] {
            let shown = format!("{error:?}");
            let error = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error));
            assert!(told(&error).contains(said), "{shown}: {}", told(&error));
            assert!(what_helps(&error, true).contains(helps), "{shown}: {}", what_helps(&error, true));
        }
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let error = io::Error::new(io::ErrorKind::InvalidData, alert);
        assert_eq!(told(&error), "it wants a certificate of ours, and we have none");
    }
}
