//! Which connection a request goes over: one that was kept from an earlier request, or a new one.
//!
//! Nothing is sent twice. A kept connection may turn out closed, and then hyper hands the request back if
//! it never took it up: only that goes out again, over another connection. From the moment a request is
//! taken up to be written, its outcome is what becomes of its connection.

use std::error::Error;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout};
use tower_service::Service as _;

use super::kept::{Kept, Origin};
use super::resolve::Resolver;
use super::reuse::Unkept;
use super::target::Address;
use crate::config::{CLOSE_MAX, ENDPOINT_KEEPALIVE};

/// The connections of a courier.
#[derive(Debug)]
pub(super) struct Connections {
    connector: HttpsConnector<HttpConnector<Resolver>>,
    http: Builder,
    kept: Arc<Kept>,
    unkept: Unkept,
}

/// What a request is sent with. Dropping it closes its connection, within [`CLOSE_MAX`] whatever the endpoint
/// does.
#[derive(Debug)]
pub(super) struct Sender {
    http: SendRequest<Full<Bytes>>,
    /// Drives the connection. `None` once it is being closed.
    task: Option<JoinHandle<()>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// No connection could be made: nothing of the request was written.
    Connect(Box<dyn Error + Send + Sync>),
    /// The connection broke, or what came over it is no HTTP.
    Http(hyper::Error),
}

impl Connections {
    /// Connections to the addresses that `resolver` lets through; `limit` is for making one.
    pub(super) fn new(resolver: Resolver, tls: ClientConfig, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(ENDPOINT_KEEPALIVE));
        tcp.set_keepalive_interval(Some(ENDPOINT_KEEPALIVE));
        tcp.set_connect_timeout(Some(limit));
        let connector = HttpsConnector::from((tcp, tls));
        Self { connector, http: Builder::new(), kept: Arc::default(), unkept: Unkept::default() }
    }

    /// Sends a request and waits for the head of its answer. The sender is to be given back with
    /// [`Self::keep`] when the whole answer was read; dropping it closes the connection.
    pub(super) async fn send(
        &self,
        to: &Address,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Sender, Response<Incoming>), SendError> {
        while let Some(mut sender) = self.kept_of(to).take(Instant::now()) {
            match sender.http.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Http(error.into_error())),
                },
            }
        }
        // In a place of its own: it is large, and needed for few requests.
        let mut sender = Box::pin(self.connect(to)).await?;
        let response = sender.http.send_request(request).await.map_err(SendError::Http)?;
        Ok((sender, response))
    }

    /// The endpoint broke a connection before it answered: for a while each request gets its own.
    pub(super) fn broke(&self, at: &Address) {
        self.unkept.insert(&at.origin, Instant::now());
        self.kept_of(at).close();
    }

    /// Keeps the connection, whose answer was read to its end, for the next request.
    pub(super) fn keep(&self, to: &Address, sender: Sender) {
        let now = Instant::now();
        if !self.unkept.contains(&to.origin, now) {
            self.kept_of(to).put(sender, now);
        }
    }

    fn kept_of<'a>(&self, address: &'a Address) -> &'a Origin {
        address.kept.get_or_init(|| self.kept.origin(&address.origin))
    }

    async fn connect(&self, to: &Address) -> Result<Sender, SendError> {
        // This connector is always ready: it has no limit of its own.
        let io = self.connector.clone().call(to.uri.clone()).await.map_err(SendError::Connect)?;
        let (http, connection) = self.http.handshake(io).await.map_err(SendError::Http)?;
        // How it ends is told to the request on it; without one nobody needs to know.
        let task = tokio::spawn(connection.map(drop));
        Ok(Sender { http, task: Some(task) })
    }
}

impl Sender {
    /// Whether a request can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        self.http.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.http.is_closed()
    }
}

impl Drop for Sender {
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
