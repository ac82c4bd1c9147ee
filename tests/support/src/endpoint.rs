//! Endpoints on real sockets: one that behaves as badly as those outside, by a script, and one that
//! records and verifies what comes.
//!
//! Each runs on a thread of its own, so that what it does is not timed by the runtime of the test, and what
//! a test does costs its answers no time.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

pub use receiver::{Arrival, Manner, Receiver, first_appearances, is_bad};
pub use scripted::{Endpoint, Seen, Step};

mod receiver;
mod scripted;

/// An answer with a body and its length.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A thread that serves a port; it ends when this is dropped.
#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Listening {
    /// The port is open when this returns.
    fn start<S: Future<Output = ()>>(on: Ipv4Addr, serve: impl FnOnce(TcpListener) -> S + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind((on, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        // Made here, so that it is ready when the caller goes on.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(TcpListener::from_std(listener).unwrap()) => {}
                    _dropped = stopped => {}
                }
            });
        });
        Self { address, _stop: stop }
    }
}

/// A port of this host at which nobody listens, and which nobody else is given while this lives.
#[derive(Debug)]
pub struct ClosedPort {
    pub address: SocketAddr,
    /// Bound and never listening.
    _held: TcpSocket,
}

impl ClosedPort {
    pub fn hold() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self { address: held.local_addr().unwrap(), _held: held }
    }
}

/// One request, or `None` when the client closed before its end.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if request.len() >= end + length.parse::<usize>().unwrap() {
                return Some(request);
            }
        }
        if stream.read_buf(&mut request).await.is_ok_and(|count| count == 0) {
            return None;
        }
    }
}
