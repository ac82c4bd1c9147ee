//! Listening: connections bounded in number, heads in size and time, stalls in time, and a drain with an end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_io_timeout::TimeoutStream;

use super::auth::failures::PeerAddress;
use super::connections::{Connections, OpenConnection};
use crate::config::{FACADE_DRAIN_MAX, REQUEST_BUFFER_MAX, REQUEST_READ_TIMEOUT, RESPONSE_STALL_MAX};

/// How long nothing is accepted after an error that is not the caller's, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a connection that was just opened may take for its first request although the service ends: a load balancer
/// opened it because the service answered, and its request is on the way, from a machine that may be busy.
const FIRST_REQUEST_WAIT: Duration = Duration::from_secs(1);
/// How many connections that wait to be accepted are taken at the end: as many as the operating system queues.
const BACKLOG_MAX: usize = 1024;

/// Goes along with every request: true from the moment on at which the service ends. An answer that
/// would have no end ends then.
#[derive(Clone)]
pub(super) struct Draining(pub(super) watch::Receiver<bool>);

/// Answers with `router` until `shutdown` is done. Then it accepts what has already connected and nothing more, closes
/// idle connections at once, waits for requests being answered for at most [`FACADE_DRAIN_MAX`], and cuts what is left.
/// Of connections on which no valid token was shown it holds `strangers_max`. Who takes nothing of his answer for
/// [`RESPONSE_STALL_MAX`] is cut at any time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    strangers_max: usize,
    shutdown: impl Future<Output = ()> + Send,
) {
    let all = Connections::new(strangers_max);
    let (drain, draining) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let take = |(stream, from): (TcpStream, SocketAddr)| {
        converse(stream, all.open(), PeerAddress(from.ip()), router.clone(), draining.clone())
    };
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    connections.spawn(take(accepted));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a connection was not accepted");
                    all.close_oldest();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    for accepted in waiting(listener) {
        connections.spawn(take(accepted));
    }
    drain.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FACADE_DRAIN_MAX, drained).await.is_err() {
        tracing::warn!("requests were still being answered at the end of the drain; their connections are cut");
    }
}

/// What had connected and was not accepted yet. Closed unanswered, its requests would fail.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| listener.accept().ok()).take(BACKLOG_MAX);
    let stream = |(stream, from): (std::net::TcpStream, SocketAddr)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, from))
    };
    accepted.filter_map(stream).collect()
}

/// One connection to its end. Errors on it are the peer's affair: it went away or broke the protocol.
async fn converse(
    stream: TcpStream,
    open: OpenConnection,
    peer: PeerAddress,
    router: Router,
    mut draining: watch::Receiver<bool>,
) {
    let (opened, asked) = (Instant::now(), Arc::new(Notify::new()));
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(RESPONSE_STALL_MAX));
    let stream = Box::pin(stream);
    let told = Draining(draining.clone());
    let handle = open.0.clone();
    let router = TowerToHyperService::new(router);
    let asks = Arc::clone(&asked);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        asks.notify_one();
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(told.clone());
        request.extensions_mut().insert(handle.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_READ_TIMEOUT)
        .max_buf_size(REQUEST_BUFFER_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let end = async {
        // A sender that is gone means the same.
        draining.changed().await.ok();
        timeout_at(opened + FIRST_REQUEST_WAIT, asked.notified()).await.ok();
    };
    let mut end = std::pin::pin!(end);
    let mut drains = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = open.0.closed() => return,
            () = end.as_mut(), if !drains => {
                connection.as_mut().graceful_shutdown();
                drains = true;
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
    }
}
