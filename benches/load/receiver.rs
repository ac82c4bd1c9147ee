//! The receiver: as light as it can be, so that it is never what is measured. A process of its own.
//!
//! What an endpoint does stands in its path: `/ok/7` answers 200, `/fail/7` 500, `/hang/7` nothing at
//! all; 7 is the workspace. It is asked by lines on its standard input: `reset` forgets what was
//! counted, `mark` only when the first POST arrived, `count` answers with the number of distinct messages
//! and `stats` with one line of JSON.

use std::cell::RefCell;
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Addresses that it listens on, one an endpoint.
pub(crate) const ADDRESSES: usize = 1_000;
/// Ids below this are told apart from their repetitions.
pub(crate) const IDS_MAX: usize = 4_000_000;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const FAIL: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// The loopback address of an endpoint.
pub(crate) fn address(endpoint: usize) -> Ipv4Addr {
    let [_, _, high, low] = u32::try_from(endpoint % ADDRESSES).unwrap_or_default().to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// What has arrived since the last reset.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Distinct messages that were answered with 200.
    pub(crate) delivered: u64,
    /// POSTs that were answered with 500.
    pub(crate) failed: u64,
    /// POSTs that were never answered.
    pub(crate) hung: u64,
    /// POSTs of messages that had arrived before.
    pub(crate) repeated: u64,
    /// From the first to the last arrival, in seconds.
    pub(crate) seconds: f64,
    /// When the first POST arrived, in Unix microseconds.
    pub(crate) first_at_us: u64,
    /// From XADD to arrival over all that were answered with 200, in milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// By workspace the median of the same.
    pub(crate) medians_ms: Vec<(usize, f64)>,
    /// By workspace how many POSTs were answered with 500.
    pub(crate) failed_by_workspace: Vec<(usize, u64)>,
}

/// Serves until its standard input ends.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, serve());
}

async fn serve() {
    let seen = Rc::new(RefCell::new(Seen::new()));
    let first = TcpListener::bind((address(0), 0)).await.expect("a port");
    let port = first.local_addr().expect("its number").port();
    let mut listeners = vec![first];
    for endpoint in 1..ADDRESSES {
        let at = SocketAddr::from((address(endpoint), port));
        listeners.push(TcpListener::bind(at).await.expect("the same port on every address"));
    }
    for listener in listeners {
        tokio::task::spawn_local(accept(listener, Rc::clone(&seen)));
    }
    let (tell, mut told) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    say(&port.to_string());
    while let Some(line) = told.recv().await {
        match line.as_str() {
            "reset" => *seen.borrow_mut() = Seen::new(),
            "mark" => seen.borrow_mut().first_us = 0,
            "count" => say(&seen.borrow().distinct.to_string()),
            _ => say(&serde_json::to_string(&seen.borrow().stats()).expect("numbers are written as JSON")),
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody who reads");
}

async fn accept(listener: TcpListener, seen: Rc<RefCell<Seen>>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        tokio::task::spawn_local(answer(stream, Rc::clone(&seen)));
    }
}

async fn answer(mut stream: TcpStream, seen: Rc<RefCell<Seen>>) {
    let mut buffer: Vec<u8> = Vec::with_capacity(8 * 1024);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while let Some(request) = Request::parse(&buffer) {
            let answer = match request.treatment {
                b"ok" => OK,
                b"fail" => FAIL,
                _ => b"",
            };
            seen.borrow_mut().take(&request);
            let length = request.length;
            if answer.is_empty() {
                // The connection stays open and silent until the other side has enough.
                let mut rest = [0; 1024];
                while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                return;
            }
            buffer.drain(..length);
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

struct Request<'a> {
    treatment: &'a [u8],
    workspace: usize,
    /// Number and Unix microseconds of the message, both from its id.
    id: usize,
    sent_us: u64,
    length: usize,
}

impl<'a> Request<'a> {
    fn parse(buffer: &'a [u8]) -> Option<Self> {
        let head = find(buffer, b"\r\n\r\n")? + 4;
        let at = find_ignoring_case(&buffer[..head], b"\r\ncontent-length:")? + 17;
        let length = head + number(buffer[at..head].trim_ascii_start());
        let body = buffer.get(head..length)?;
        let mut path = buffer.split(|byte| *byte == b' ').nth(1)?.split(|byte| *byte == b'/').skip(1);
        let (treatment, workspace) = (path.next()?, number(path.next()?));
        let mut id = body[find(body, b"\"message_id\":\"")? + 14..].split(|byte| *byte == b'-');
        let (id, sent_us) = (number(id.next()?), number(id.next()?));
        Some(Self { treatment, workspace, id, sent_us: sent_us as u64, length })
    }
}

fn number(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn find_ignoring_case(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part))
}

/// Everything that arrived.
struct Seen {
    ids: Vec<u64>,
    delivered: u64,
    failed: u64,
    hung: u64,
    repeated: u64,
    distinct: u64,
    first_us: u64,
    last_us: u64,
    /// Workspace and microseconds from XADD to arrival of each that was answered with 200.
    latencies: Vec<(u32, u32)>,
    failed_by_workspace: Vec<u64>,
}

impl Seen {
    fn new() -> Self {
        Self {
            ids: vec![0; IDS_MAX / 64],
            delivered: 0,
            failed: 0,
            hung: 0,
            repeated: 0,
            distinct: 0,
            first_us: 0,
            last_us: 0,
            latencies: Vec::new(),
            failed_by_workspace: Vec::new(),
        }
    }

    fn take(&mut self, request: &Request<'_>) {
        let now = unix_us();
        if self.first_us == 0 {
            self.first_us = now;
        }
        self.last_us = now;
        let (word, bit) = (request.id / 64 % self.ids.len(), 1 << (request.id % 64));
        let again = self.ids[word] & bit != 0;
        self.ids[word] |= bit;
        if again {
            self.repeated += 1;
            return;
        }
        self.distinct += 1;
        match request.treatment {
            b"ok" => {
                self.delivered += 1;
                let took = u32::try_from(now.saturating_sub(request.sent_us)).unwrap_or(u32::MAX);
                self.latencies.push((u32::try_from(request.workspace).unwrap_or_default(), took));
            }
            b"fail" => {
                self.failed += 1;
                if self.failed_by_workspace.len() <= request.workspace {
                    self.failed_by_workspace.resize(request.workspace + 1, 0);
                }
                self.failed_by_workspace[request.workspace] += 1;
            }
            _ => self.hung += 1,
        }
    }

    fn stats(&self) -> Stats {
        let mut all: Vec<u32> = self.latencies.iter().map(|(_, took)| *took).collect();
        all.sort_unstable();
        let mut by_workspace = self.latencies.clone();
        by_workspace.sort_unstable();
        let medians = by_workspace.chunk_by(|a, b| a.0 == b.0).map(|own| (own[0].0 as usize, ms(own[own.len() / 2].1)));
        let failed = self.failed_by_workspace.iter().copied().enumerate().filter(|(_, count)| *count > 0);
        Stats {
            delivered: self.delivered,
            failed: self.failed,
            hung: self.hung,
            repeated: self.repeated,
            seconds: (self.last_us - self.first_us) as f64 / 1e6,
            first_at_us: self.first_us,
            p50_ms: quantile(&all, 0.50),
            p99_ms: quantile(&all, 0.99),
            medians_ms: medians.collect(),
            failed_by_workspace: failed.collect(),
        }
    }
}

fn quantile(sorted: &[u32], part: f64) -> f64 {
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().map(ms).unwrap_or_default()
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1e3
}

/// The time of day, in microseconds.
pub(crate) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_micros() as u64).unwrap_or_default()
}
