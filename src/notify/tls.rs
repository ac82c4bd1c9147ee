//! TLS to the mail server, and what helps where it fails.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::cleaned::Wire;

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
    /// The certificate is one that signs others (CA:TRUE), as `openssl req -x509` makes them.
    Authority,
    /// The certificate is made out to another name.
    Name,
    /// What came is no TLS.
    NoTls,
    /// No version of TLS, or no cipher, is common.
    NothingCommon,
    /// What the error says.
    Other,
}

impl Cause {
    fn of(error: &io::Error) -> Self {
        use rustls::AlertDescription::{HandshakeFailure, ProtocolVersion};
        use rustls::CertificateError::{
            BadSignature, NotValidForName, NotValidForNameContext, Other as OtherCertificate, UnknownIssuer,
        };
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};
        match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
            // An authority that was made anew has the name of the old one, and another key.
            Some(InvalidCertificate(UnknownIssuer | BadSignature)) => Self::Stranger,
            Some(InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => Self::Name,
            // The verifier's own error is of a crate that is none of ours.
            Some(InvalidCertificate(OtherCertificate(other))) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                Self::Authority
            }
            Some(InvalidMessage(_)) => Self::NoTls,
            Some(AlertReceived(HandshakeFailure | ProtocolVersion) | PeerIncompatible(_)) => Self::NothingCommon,
            _ => Self::Other,
        }
    }
}

/// What a connection, or TLS on it, failed of.
pub(super) fn told(error: &io::Error) -> String {
    match Cause::of(error) {
        Cause::Stranger => "its certificate comes from an authority that we do not know".to_owned(),
        Cause::Authority => "its certificate is one of an authority (CA:TRUE), which no server may show".to_owned(),
        Cause::NoTls => "what it answers is no TLS".to_owned(),
        Cause::NothingCommon => "it takes no TLS that we speak".to_owned(),
        Cause::Name | Cause::Other => error.to_string(),
    }
}

/// What helps then, as the end of that sentence; empty where nobody knows. TLS was to begin `at_once`, or after STARTTLS.
pub(super) fn what_helps(error: &io::Error, at_once: bool) -> &'static str {
    match Cause::of(error) {
        Cause::Stranger => "; if that is one of your own, name it with --smtp-ca",
        Cause::Authority => {
            "; make one for the server (basicConstraints=CA:FALSE), and name who signs it with --smtp-ca"
        }
        Cause::Name => "; name it in --smtp-url as its certificate does, or have one issued for this name",
        Cause::NoTls if at_once => {
            "; name the port where TLS begins at once, mostly 465, or write smtp://…?tls=required in --smtp-url"
        }
        Cause::NothingCommon => "; have it offer TLS 1.2 or 1.3, with a key and ciphers that are common",
        Cause::NoTls | Cause::Other => "",
    }
}
