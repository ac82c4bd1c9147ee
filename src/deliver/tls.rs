//! What a TLS connection trusts.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};

/// Makes `ring` the crypto provider of the process, for the libraries that ask for a default. Calling it
/// again changes nothing. A [`super::Courier`] names its provider and does not need it.
pub fn install_crypto() {
    if CryptoProvider::get_default().is_none() {
        // It fails only when another thread was first, with the same provider.
        drop(ring::default_provider().install_default());
    }
}

/// The certificate authorities of the operating system (or of `SSL_CERT_FILE`), so that an operator's own
/// ones count; Mozilla's where the system has none, as in a bare container.
pub(super) fn platform_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's CA certificates cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::info!("the system has no CA certificates, so Mozilla's are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// Certificates are always verified; HTTP/1.1 is the only protocol offered.
pub(super) fn client_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
