//! A connection to an endpoint: how it is made, whose certificates it trusts, how it closes.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{ServerName, TrustAnchor};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::certificate::DescribingVerifier;
use super::family;
use super::head::{Foreign, HeadRecorder, RawHead};
use super::race::{self, PreferredAddress};
use super::recorded_stream::RecordedStream;
use super::resolve::Resolver;
use super::sockets::{Socket, Sockets};
use super::this_host;
use crate::config::{CLOSE_MAX, CONNECTION_AGE_MAX};

/// Makes connections.
#[derive(Debug)]
pub(super) struct EndpointConnector {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
    http: Builder,
}

/// What one connection is made with.
pub(super) struct Dial<'a> {
    /// Its place.
    pub(super) place: Socket,
    /// Where further ones are taken from while several addresses are tried.
    pub(super) places: &'a Sockets,
    /// The address that is tried first.
    pub(super) preferred: &'a PreferredAddress,
    /// Until when.
    pub(super) deadline: Instant,
}

/// With TLS or without.
trait EndpointStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> EndpointStream for T {}

/// What a request is sent with. Dropping it closes the connection, within [`CLOSE_MAX`] whatever the endpoint
/// does.
#[derive(Debug)]
pub(super) struct EndpointConnection {
    pub(super) http: SendRequest<Full<Bytes>>,
    /// What the endpoint's last head was.
    pub(super) head: HeadRecorder,
    opened: Instant,
    /// Drives the connection. `None` once it is being closed.
    task: Option<JoinHandle<()>>,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// No connection could be made: nothing of the request was written.
    Connect(Box<dyn Error + Send + Sync>),
    /// The connection broke, or what came over it is no HTTP.
    Http(hyper::Error),
    /// The connection broke within the head of a response.
    Cut(hyper::Error),
}

/// No response that hyper takes.
pub(super) enum Unanswered {
    Failed(ExchangeError),
    /// What came is no HTTP/1.
    Foreign(Foreign),
    /// It refused this head, whose status can be read all the same.
    Refused(RawHead),
}

impl Unanswered {
    pub(super) fn new(error: hyper::Error, connection: &EndpointConnection) -> Self {
        if let Some(foreign) = connection.head.foreign() {
            return Self::Foreign(foreign);
        }
        // One that breaks off within its head decides nothing, however odd it begins.
        let is_whole = error.is_parse() && !connection.head.has_begun();
        let head = if is_whole { connection.head.take(true) } else { None };
        let head = head.filter(|head| !error.is_parse_too_large() || head.is_endless);
        head.map_or_else(|| Self::Failed(connection.broken(error)), Self::Refused)
    }
}

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
pub fn platform_roots() -> RootCertStore {
    static READ_ONCE: OnceLock<RootCertStore> = OnceLock::new();
    READ_ONCE.get_or_init(read_roots).clone()
}

/// The certificates of the system's authorities, those that can be used.
#[must_use]
pub fn platform_certificates() -> Vec<rustls::pki_types::CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.into_iter().filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok()).collect()
}

fn read_roots() -> RootCertStore {
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
    let is_public =
        |root: &TrustAnchor<'_>| webpki_roots::TLS_SERVER_ROOTS.iter().any(|web| web.subject == root.subject);
    if !roots.roots.iter().any(is_public) {
        tracing::warn!(
            authorities = roots.len(),
            "The system's certificate authorities (or those of SSL_CERT_FILE and SSL_CERT_DIR) are none of the public \
             ones, so endpoints with public certificates will fail. Add your own authorities to the system's; for a mail \
             server alone there is --smtp-ca."
        );
    }
    roots
}

impl EndpointConnector {
    /// Connects to the addresses that `resolver` lets through and verifies certificates by `roots`.
    pub(super) fn new(resolver: Resolver, roots: RootCertStore) -> Result<Self, rustls::Error> {
        let mut http = Builder::new();
        // As browsers and curl read heads; what is dropped is named (`head`).
        http.allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            // Servers exist that know names only in this case.
            .title_case_headers(true);
        Ok(Self { resolver, tls: Arc::new(tls_config(roots)?), http })
    }

    /// Connects; calls `reached` as soon as the host has answered.
    pub(super) async fn connect(
        &self,
        to: &Uri,
        dial: Dial<'_>,
        reached: impl FnOnce(),
    ) -> Result<EndpointConnection, ExchangeError> {
        let addresses = self.addresses(to).await.map_err(ExchangeError::Connect)?;
        let addresses = race::in_turn(addresses, dial.preferred.get(Instant::now()));
        let first = addresses.first().map(SocketAddr::ip);
        let places = (dial.place, || dial.places.try_take());
        let open = |address| async move {
            let tcp = race::open(address).await?;
            this_host::check(&self.resolver.guard, to.host().unwrap_or_default(), &tcp)?;
            Ok(tcp)
        };
        let raced = race::race(addresses, places, dial.deadline, open).await;
        let (tcp, place) = raced.map_err(|error| ExchangeError::Connect(error.into()))?;
        let won = tcp.peer_addr();
        reached();
        let stream = self.secured(to, tcp).await.map_err(ExchangeError::Connect)?;
        // Not before: a machine that is near and has another certificate would win for as long as it is preferred.
        if let Ok(address) = won {
            dial.preferred.note(address.ip(), first, Instant::now());
        }
        let (stream, head) = RecordedStream::new(TokioIo::new(stream));
        let (http, connection) = self.http.handshake(stream).await.map_err(ExchangeError::Http)?;
        // The request on the connection is told how it ends; without a request nobody needs to know.
        let task = tokio::spawn(connection.map(|_ended| drop(place)));
        Ok(EndpointConnection { http, head, opened: Instant::now(), task: Some(task) })
    }

    /// The connection as the URL wants it: with TLS but for `http`.
    async fn secured(&self, to: &Uri, tcp: TcpStream) -> Result<Box<dyn EndpointStream>, Box<dyn Error + Send + Sync>> {
        if to.scheme() == Some(&Scheme::HTTP) {
            return Ok(Box::new(tcp));
        }
        let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Box::new(TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await?))
    }

    /// The addresses that a connection may use.
    async fn addresses(&self, to: &Uri) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let host = to.host().unwrap_or_default();
        let port = to.port_u16().unwrap_or(if to.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
        match literal(host) {
            Some(address) => {
                family::usable(vec![SocketAddr::new(address, port)]).map_err(family::Unroutable::into_error)
            }
            None => self.resolver.resolve(host, port).await,
        }
    }
}

/// The address that a URL names itself: no resolver is asked about it.
fn literal(host: &str) -> Option<IpAddr> {
    let address: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(address.to_canonical())
}

/// Certificates are always verified; HTTP/1.1 is the only protocol offered.
fn tls_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = DescribingVerifier::new(roots, Arc::clone(&provider))?;
    // It asks rustls' own verifier and only describes what that one refuses.
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl EndpointConnection {
    /// Whether a request can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        self.http.is_ready()
    }

    /// Whether it has been open for as long as a connection may be reused: its name may lead elsewhere by now.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        now >= self.opened + CONNECTION_AGE_MAX
    }

    pub(super) fn is_closed(&self) -> bool {
        self.http.is_closed()
    }

    /// Why no response came over it, by how far that had come.
    pub(super) fn broken(&self, error: hyper::Error) -> ExchangeError {
        if self.head.has_begun() { ExchangeError::Cut(error) } else { ExchangeError::Http(error) }
    }
}

impl Drop for EndpointConnection {
    /// Without `http` the connection closes by itself, unless its endpoint does not read what it was sent.
    fn drop(&mut self) {
        let Some(mut task) = self.task.take().filter(|task| !task.is_finished()) else { return };
        // A runtime that is gone took its connections with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if timeout(CLOSE_MAX, &mut task).await.is_err() {
                    task.abort();
                }
            });
        }
    }
}
