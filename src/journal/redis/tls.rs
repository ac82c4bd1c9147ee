//! TLS to Redis.

use std::sync::Arc;

use redis::{ClientTlsConfig, ErrorKind, RedisError, TlsCertificates};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// What TLS to Redis needs beside what is built in, in PEM form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// The certificate authorities that count; `None` for Mozilla's.
    pub authorities: Option<Vec<u8>>,
    /// Our own certificate and its key, for a Redis that asks for them.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisTls {
    /// For connections that the library opens.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        if *self == Self::default() {
            return None;
        }
        let identity = self.identity.clone();
        let client_tls = identity.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        Some(TlsCertificates { client_tls, root_cert: self.authorities.clone() })
    }

    /// The same for connections that the library does not open.
    ///
    /// # Errors
    /// What it holds cannot be used.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(pem) => {
                for authority in CertificateDer::pem_slice_iter(pem) {
                    roots.add(authority?)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match &self.identity {
            Some((certificates, key)) => {
                let certificates = CertificateDer::pem_slice_iter(certificates).collect::<Result<_, _>>()?;
                config.with_client_auth_cert(certificates, PrivateKeyDer::from_pem_slice(key)?)?
            }
            None => config.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

/// How the error is called in what the library takes.
pub(super) const TLS_UNUSABLE: &str = "what TLS to Redis needs cannot be used";

/// Why what [`RedisTls`] holds cannot be used.
#[derive(Debug, Error)]
pub(super) enum TlsError {
    #[error(transparent)]
    Pem(#[from] pem::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl From<TlsError> for RedisError {
    fn from(error: TlsError) -> Self {
        Self::from((ErrorKind::InvalidClientConfig, TLS_UNUSABLE, error.to_string()))
    }
}
