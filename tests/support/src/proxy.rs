//! A TCP proxy inside the test that fails as networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to bytes from now on, on every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Forward,
    /// Requests pass. After this many more bytes of answers the next answer is swallowed and its
    /// connection cut; then it is [`Mode::Forward`] again.
    LoseAnswer { after: usize },
    /// They wait until the mode changes.
    Stall,
    /// They are read and lost, in both directions. Nothing passes on a connection that lost some, whatever the mode is
    /// later: TCP delivers all bytes up to a place and none after it.
    BlackHole,
    /// Connections are cut, and new ones closed at once.
    Refuse,
}

/// A running proxy. Ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    mode: watch::Sender<Mode>,
    /// Counts the cuts: a connection ends when it changes.
    cuts: watch::Sender<usize>,
    accepted: AtomicUsize,
    /// Seconds that Redis' clock is made to be ahead, in its answers to TIME.
    time_ahead: AtomicI64,
}

/// A connection's two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

impl Proxy {
    /// Starts one in front of a port of this machine.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the proxy");
        let address = listener.local_addr().expect("its number");
        let state = Arc::new(State {
            mode: watch::Sender::new(Mode::Forward),
            cuts: watch::Sender::new(0),
            accepted: AtomicUsize::new(0),
            time_ahead: AtomicI64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, port, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// The URL of a Redis behind it.
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
        if mode == Mode::Refuse {
            self.cut();
        }
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on Redis' clock shows so many seconds more in its answers to TIME. What its scripts read stays as it is.
    pub fn set_time_ahead(&self, seconds: i64) {
        self.state.time_ahead.store(seconds, Ordering::SeqCst);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Waits until an answer was lost, see [`Mode::LoseAnswer`].
    pub async fn answer_lost(&self) {
        let mut mode = self.state.mode.subscribe();
        mode.wait_for(|mode| *mode == Mode::Forward).await.expect("the proxy runs");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, port: u16, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        state.accepted.fetch_add(1, Ordering::SeqCst);
        if *state.mode.borrow() != Mode::Refuse {
            tokio::spawn(connection(client, port, Arc::clone(&state)));
        }
    }
}

async fn connection(client: TcpStream, port: u16, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    cuts.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    client.set_nodelay(true).expect("no delay");
    server.set_nodelay(true).expect("no delay");
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let has_lost = AtomicBool::new(false);
    // Whichever ends first drops both ends of both.
    tokio::select! {
        () = pump(client_reads, server_writes, Direction::Request, &state, &has_lost) => {}
        () = pump(server_reads, client_writes, Direction::Answer, &state, &has_lost) => {}
        _ = cuts.changed() => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    state: &State,
    has_lost: &AtomicBool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let mut mode = state.mode.subscribe();
        let mode = *mode.wait_for(|mode| *mode != Mode::Stall).await.expect("the proxy runs");
        if mode == Mode::BlackHole {
            has_lost.store(true, Ordering::SeqCst);
        }
        if has_lost.load(Ordering::SeqCst) {
            continue;
        }
        if direction == Direction::Answer
            && let Some(after) = state.lose(count)
        {
            to.write_all(&buffer[..after]).await.ok();
            return;
        }
        if direction == Direction::Answer {
            shift_time(&mut buffer[..count], state.time_ahead.load(Ordering::SeqCst));
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

impl State {
    /// Of an answer of so many bytes that is to be lost, how many still pass. The mode is looked at and changed at once,
    /// for answers come on several connections.
    fn lose(&self, count: usize) -> Option<usize> {
        let mut lost = None;
        self.mode.send_if_modified(|mode| {
            let Mode::LoseAnswer { after } = *mode else { return false };
            lost = (count > after).then_some(after);
            *mode = if lost.is_some() { Mode::Forward } else { Mode::LoseAnswer { after: after - count } };
            true
        });
        lost
    }
}

/// Adds to the seconds in an answer to TIME: a list of two texts, seconds since 1970 and at most six digits.
fn shift_time(answers: &mut [u8], seconds: i64) {
    const HEAD: &[u8] = b"*2\r\n$10\r\n";
    let digits = HEAD.len()..HEAD.len() + 10;
    for at in 0..answers.len() {
        let Some(answer) = answers.get_mut(at..at + digits.end) else { return };
        if seconds == 0 || !answer.starts_with(HEAD) || !answer[digits.clone()].iter().all(u8::is_ascii_digit) {
            continue;
        }
        let shown: i64 = std::str::from_utf8(&answer[digits.clone()]).unwrap().parse().unwrap();
        answer[digits.clone()].copy_from_slice(format!("{:010}", shown + seconds).as_bytes());
    }
}
