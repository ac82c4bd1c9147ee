//! TLS to the mail server, and what helps where it fails.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
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

/// What helps where TLS failed with this error, as the end of a sentence; empty where nobody knows.
pub(super) fn what_helps(error: &io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        // An authority that was made anew has the name of the old one, and another key.
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "; if its certificate comes from an authority of your own, name that with --smtp-ca"
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
            if error.to_string().contains("CaUsedAsEndEntity") =>
        {
            "; the certificate is one of an authority (CA:TRUE), which no server may show: make one for the server \
             (basicConstraints=CA:FALSE), and name who signs it with --smtp-ca"
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "; it speaks no TLS there: name the port where TLS begins at once, mostly 465, or write \
             smtp://…?tls=required in --smtp-url"
        }
        _ => "",
    }
}
