//! Which connection a request goes over: one that was kept from an earlier request, or a new one.
//!
//! Nothing is sent twice. A kept connection may turn out closed, and then hyper hands the request back if
//! it never took it up: only that goes out again, over another connection. From the moment a request is
//! taken up to be written, its outcome is what becomes of its connection.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::quality::RandomState;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout};
use tower_service::Service as _;

use super::resolve::Resolver;
use super::reuse::Unkept;
use super::target::Address;
use crate::config::{CLOSE_MAX, ENDPOINT_KEEPALIVE, POOL_IDLE, POOL_IDLE_PER_HOST_MAX, POOL_SWEEP_EVERY};

/// The connections of a courier.
#[derive(Debug)]
pub(super) struct Connections {
    connector: HttpsConnector<HttpConnector<Resolver>>,
    http: Builder,
    kept: Arc<Kept>,
    unkept: Unkept,
}

/// What a request is sent with. Dropping it closes its connection.
#[derive(Debug)]
pub(super) struct Sender {
    http: SendRequest<Full<Bytes>>,
    /// Its drop has the connection's task close within [`CLOSE_MAX`].
    _open: oneshot::Sender<()>,
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
        while let Some(mut sender) = self.kept.take(&to.origin, Instant::now()) {
            match sender.http.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Http(error.into_error())),
                },
            }
        }
        let mut sender = self.connect(to).await?;
        let response = sender.http.send_request(request).await.map_err(SendError::Http)?;
        Ok((sender, response))
    }

    /// The endpoint broke a connection before it answered: for a while each request gets its own.
    pub(super) fn broke(&self, at: &Address) {
        self.unkept.insert(&at.origin, Instant::now());
        self.kept.close(&at.origin);
    }

    /// Keeps the connection, whose answer was read to its end, for the next request.
    pub(super) fn keep(&self, to: &Address, sender: Sender) {
        let now = Instant::now();
        if !self.unkept.contains(&to.origin, now) {
            self.kept.put(&to.origin, sender, now);
        }
    }

    async fn connect(&self, to: &Address) -> Result<Sender, SendError> {
        // This connector is always ready: it has no limit of its own.
        let io = self.connector.clone().call(to.uri.clone()).await.map_err(SendError::Connect)?;
        let (http, connection) = self.http.handshake(io).await.map_err(SendError::Http)?;
        let (open, closed) = oneshot::channel();
        tokio::spawn(async move {
            tokio::pin!(connection);
            // How it ends is told to the request on it; without one nobody needs to know.
            tokio::select! {
                _ = &mut connection => {}
                _ = closed => drop(timeout(CLOSE_MAX, connection).await),
            }
        });
        Ok(Sender { http, _open: open })
    }
}

/// What is kept, and a task that closes what is idle for too long.
#[derive(Debug, Default)]
struct Kept {
    /// The task runs while there is any origin, and only it forgets one.
    idle: Mutex<Idle>,
}

/// Idle connections by origin, the longest idle first. No more than requests ended within [`POOL_IDLE`] and a
/// sweep.
type Idle = HashMap<Arc<str>, Vec<(Sender, Instant)>, RandomState>;

impl Kept {
    /// The connection that was used last, if it can be used again.
    fn take(&self, origin: &str, now: Instant) -> Option<Sender> {
        let mut idle = self.lock();
        let senders = idle.get_mut(origin)?;
        while let Some((sender, since)) = senders.pop() {
            if now >= since + POOL_IDLE {
                senders.clear();
            } else if sender.http.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection that is ready for another request; any other one closes.
    fn put(self: &Arc<Self>, origin: &Arc<str>, sender: Sender, now: Instant) {
        if !sender.http.is_ready() {
            return;
        }
        let mut idle = self.lock();
        if idle.is_empty() {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        match idle.get_mut(origin) {
            Some(senders) if senders.len() < POOL_IDLE_PER_HOST_MAX => senders.push((sender, now)),
            Some(_) => {}
            None => drop(idle.insert(Arc::clone(origin), vec![(sender, now)])),
        }
    }

    /// Closes all of an origin.
    fn close(&self, origin: &str) {
        self.lock().get_mut(origin).into_iter().for_each(Vec::clear);
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle for too long, until nothing is kept.
async fn sweep(kept: Weak<Kept>) {
    loop {
        // The rhythm of the looks: what is too old in between is not used, only still open.
        tokio::time::sleep(POOL_SWEEP_EVERY).await;
        let Some(kept) = kept.upgrade() else { return };
        let now = Instant::now();
        let mut idle = kept.lock();
        idle.retain(|_, senders| {
            senders.retain(|(sender, since)| now < *since + POOL_IDLE && !sender.http.is_closed());
            !senders.is_empty()
        });
        if idle.is_empty() {
            idle.shrink_to_fit();
            return;
        }
    }
}
