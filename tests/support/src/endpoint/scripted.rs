//! An [`Endpoint`] follows a script: the n-th request is treated by the n-th step, every later one by the last.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Listening, read_request};
use crate::process::{PATIENCE, moment};

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write this and keep the connection.
    Reply(Vec<u8>),
    /// Write this and keep the connection; after this pause write that, behind the answer.
    ReplyAndMore(Vec<u8>, Duration, Vec<u8>),
    /// Write this and keep the connection, but answer nothing that comes later than so long after it.
    ReplyAndForget(Vec<u8>, Duration),
    /// Write this and close without having announced it.
    ReplyAndClose(Vec<u8>),
    /// Write this and end what we send below TLS, without its goodbye (close_notify).
    ReplyAndCut(Vec<u8>),
    /// Write this and do nothing more.
    ReplyAndStall(Vec<u8>),
    /// Write this over and over, for as long as it is taken.
    Flood(Vec<u8>, Vec<u8>),
    /// Write the first part at once, then the second byte by byte with this pause.
    Trickle(Vec<u8>, Vec<u8>, Duration),
    /// Close without a word.
    Close,
    /// Reset the connection.
    Reset,
    /// Reset the connection as soon as the first byte of the request is there, without reading it.
    ResetUnread,
}

/// What has happened at an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Connections that were accepted.
    pub connections: usize,
    /// Connections that the client has closed.
    pub closed: usize,
    /// Requests as they came, head and body; for [`Step::ResetUnread`] an empty one.
    pub requests: Vec<Vec<u8>>,
    /// Requests to which was written what is to be written at once.
    pub answered: usize,
}

/// A running receiver; it ends when it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens, on 127.0.0.1.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _listening: Listening,
}

/// How a connection begins.
#[derive(Clone)]
enum Opening {
    Plain,
    Tls(TlsAcceptor),
    /// This is said, and nothing more.
    Greeting(Vec<u8>),
}

impl Endpoint {
    /// A receiver that speaks plain HTTP.
    pub fn start(script: Vec<Step>) -> Self {
        Self::open(script, Opening::Plain)
    }

    /// A receiver behind TLS.
    pub fn start_tls(script: Vec<Step>, config: ServerConfig) -> Self {
        Self::open(script, Opening::Tls(TlsAcceptor::from(Arc::new(config))))
    }

    /// A receiver that closes every connection before a word is said.
    pub fn start_slamming() -> Self {
        Self::start_greeting(Vec::new())
    }

    /// A receiver that speaks first, ends, and does not listen.
    pub fn start_greeting(greeting: Vec<u8>) -> Self {
        Self::open(Vec::new(), Opening::Greeting(greeting))
    }

    fn open(script: Vec<Step>, opening: Opening) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let served = (Arc::new(script), Arc::clone(&seen));
        let listening = Listening::start(Ipv4Addr::LOCALHOST, |listener| serve(listener, served.0, opening, served.1));
        Self { address: listening.address, seen, _listening: listening }
    }

    /// A URL of this receiver.
    pub fn url(&self) -> String {
        format!("http://{}/hook?token=secret", self.address)
    }

    /// What has happened so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until what has happened fulfils `condition`.
    pub async fn until(&self, condition: impl Fn(&Seen) -> bool) {
        let started = Instant::now();
        while !condition(&self.seen()) {
            assert!(started.elapsed() < PATIENCE, "waited in vain; so far {:?}", self.seen());
            moment(Duration::from_millis(2)).await;
        }
    }
}

async fn serve(listener: TcpListener, script: Arc<Vec<Step>>, opening: Opening, seen: Arc<Mutex<Seen>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        seen.lock().unwrap().connections += 1;
        tokio::spawn(connection(stream, Arc::clone(&script), opening.clone(), Arc::clone(&seen)));
    }
}

async fn connection(stream: TcpStream, script: Arc<Vec<Step>>, opening: Opening, seen: Arc<Mutex<Seen>>) {
    stream.set_nodelay(true).unwrap();
    if script.iter().any(|step| matches!(step, Step::Reset | Step::ResetUnread)) {
        stream.set_zero_linger().unwrap();
    }
    match opening {
        Opening::Plain => converse(stream, &script, &seen).await,
        Opening::Tls(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, &script, &seen).await;
            }
        }
        Opening::Greeting(greeting) => {
            let mut stream = stream;
            drop(stream.write_all(&greeting).await);
            drop(stream.shutdown().await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    }
}

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// What is below TLS.
    fn tcp(&mut self) -> &mut TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&mut self) -> &mut TcpStream {
        self.get_mut().0
    }
}

async fn converse(mut stream: impl Stream, script: &[Step], seen: &Mutex<Seen>) {
    loop {
        let step = |requests: usize| script[requests.min(script.len() - 1)].clone();
        let upcoming = step(seen.lock().unwrap().requests.len());
        if upcoming == Step::ResetUnread {
            let mut byte = [0];
            if stream.read(&mut byte).await.is_ok_and(|count| count == 1) {
                seen.lock().unwrap().requests.push(Vec::new());
            }
            return;
        }
        let Some(request) = read_request(&mut stream).await else {
            seen.lock().unwrap().closed += 1;
            return;
        };
        let step = {
            let mut seen = seen.lock().unwrap();
            let step = step(seen.requests.len());
            seen.requests.push(request);
            step
        };
        if !follow(step, &mut stream, seen).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn follow(step: Step, stream: &mut impl Stream, seen: &Mutex<Seen>) -> bool {
    match step {
        Step::Reply(bytes) => return answer(stream, &bytes, seen).await,
        Step::ReplyAndMore(bytes, pause, more) => {
            answer(stream, &bytes, seen).await;
            // The case is that more comes so long after the answer.
            tokio::time::sleep(pause).await;
            return stream.write_all(&more).await.is_ok();
        }
        Step::ReplyAndForget(bytes, patience) => {
            answer(stream, &bytes, seen).await;
            let mut first = [0];
            return match tokio::time::timeout(patience, stream.read(&mut first)).await {
                Ok(Ok(1)) => panic!("this step takes one request a connection"),
                _ => {
                    wait_for_end(stream, seen).await;
                    false
                }
            };
        }
        Step::ReplyAndClose(bytes) => {
            answer(stream, &bytes, seen).await;
            drop(stream.shutdown().await);
            wait_for_end(stream, seen).await;
        }
        Step::ReplyAndCut(bytes) => {
            answer(stream, &bytes, seen).await;
            drop(stream.flush().await);
            drop(stream.tcp().shutdown().await);
            wait_for_end(stream, seen).await;
        }
        Step::ReplyAndStall(bytes) => {
            answer(stream, &bytes, seen).await;
            wait_for_end(stream, seen).await;
        }
        Step::Flood(head, chunk) => {
            answer(stream, &head, seen).await;
            while stream.write_all(&chunk).await.is_ok() {}
            seen.lock().unwrap().closed += 1;
        }
        Step::Trickle(head, rest, pause) => {
            answer(stream, &head, seen).await;
            for byte in rest {
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            wait_for_end(stream, seen).await;
        }
        Step::Close | Step::Reset | Step::ResetUnread => {}
    }
    false
}

/// Writes what is to be written at once. Whether it was taken.
async fn answer(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], seen: &Mutex<Seen>) -> bool {
    let taken = stream.write_all(bytes).await.is_ok();
    seen.lock().unwrap().answered += 1;
    taken
}

/// Reads until the client closes.
async fn wait_for_end(stream: &mut (impl AsyncRead + Unpin), seen: &Mutex<Seen>) {
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
    let mut seen = seen.lock().unwrap();
    seen.closed += 1;
    if !rest.is_empty() {
        // Nobody reads it as a request, but it was written as one.
        seen.requests.push(rest);
    }
}
