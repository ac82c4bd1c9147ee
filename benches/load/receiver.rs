//! The receiver: as light as it can be, so that it is never what is measured. A process of its own.
//!
//! What an endpoint does stands in its path: `/ok/7` answers 200, `/told/7` says more, `/fail/7` 500, `/hang/7` nothing at
//! all; 7 is the workspace. It is asked by lines on its standard input: `reset` forgets what was
//! counted, `mark` only when the first POST arrived, `count` answers with the number of distinct messages
//! and `stats` with one line of JSON.

use std::cell::RefCell;
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

use memchr::{memchr, memmem};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use support::process::Process;

use super::process::role;
use super::seen::{Arrival, Seen, Stats};

/// Connections that wait to be accepted: what `net.core.somaxconn` is by itself.
const BACKLOG: i32 = 4_096;
/// More than a request of the bench has: it comes in one read unless the network cut it.
const READ_BYTES: usize = 8 * 1024;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// As a real endpoint may answer: `/told/7`.
pub(crate) const TOLD: &[u8] = b"HTTP/1.1 200 OK\r\nserver: nginx\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\
    content-type: application/json; charset=utf-8\r\ncontent-length: 21\r\ncache-control: no-store\r\n\r\n\
    {\"status\":\"received\"}";
const FAIL: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// The loopback address of an endpoint: of 65,536 each has its own.
fn address(endpoint: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(endpoint).expect("an endpoint that has an address").to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// Where workspace `n` has its messages sent when `endpoints` share the work, and how that endpoint answers.
pub(crate) fn url(treatment: &str, n: usize, endpoints: usize, port: u16) -> String {
    format!("http://{}:{port}/{treatment}/{n}", address(n % endpoints))
}

/// The receiver, as the bench sees it.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let process = role(&["receiver"]);
        let port = process.line().parse().expect("a port");
        Self { process, port }
    }

    /// Distinct messages that have arrived.
    pub(crate) fn count(&mut self) -> u64 {
        self.process.tell("count");
        self.process.line().parse().expect("a number")
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.process.tell("stats");
        serde_json::from_str(&self.process.line()).expect("statistics")
    }
}

/// Serves until its standard input ends.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, serve());
}

async fn serve() {
    let seen = Rc::new(RefCell::new(Seen::new()));
    let listener = listen().expect("a port");
    let port = listener.local_addr().expect("its number").port();
    tokio::task::spawn_local(accept(listener, Rc::clone(&seen)));
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
            "mark" => seen.borrow_mut().forget_first(),
            "count" => say(&seen.borrow().distinct().to_string()),
            _ => say(&serde_json::to_string(&seen.borrow().stats()).expect("numbers are written as JSON")),
        }
    }
}

/// On every address of the loopback device and on no other: a listener an endpoint would take a descriptor each.
fn listen() -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind_device(Some(b"lo"))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
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
    let mut buffer: Vec<u8> = Vec::with_capacity(READ_BYTES);
    // Bytes that the next request has at least, as far as its head is known: nothing is read twice.
    let mut needed = 1;
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while buffer.len() >= needed {
            let request = match Request::read(&buffer) {
                Read::Whole(request) => request,
                Read::Needs(bytes) => {
                    needed = bytes;
                    break;
                }
            };
            seen.borrow_mut().take(&request.arrival);
            let (answer, length) = (request.arrival.treatment, request.length);
            let answer = match answer {
                b"ok" => OK,
                b"told" => TOLD,
                b"fail" => FAIL,
                _ => return fall_silent(stream).await,
            };
            buffer.drain(..length);
            needed = 1;
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// The connection stays open until the other side has enough.
async fn fall_silent(mut stream: TcpStream) {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

struct Request<'a> {
    arrival: Arrival<'a>,
    /// Of head and body.
    length: usize,
}

enum Read<'a> {
    Whole(Request<'a>),
    /// It has at least so many bytes, more than there are.
    Needs(usize),
}

impl<'a> Request<'a> {
    fn read(buffer: &'a [u8]) -> Read<'a> {
        let Some((head, body)) = head(buffer) else { return Read::Needs(buffer.len() + 1) };
        let length = head + body;
        match buffer.get(head..length) {
            None => Read::Needs(length),
            Some(body) => Read::Whole(Self { arrival: arrival(buffer, body).expect("a message of the bench"), length }),
        }
    }
}

/// Bytes of the head, its empty line included, and of the body that it announces. `None` while it is not
/// whole.
fn head(buffer: &[u8]) -> Option<(usize, usize)> {
    const LENGTH: &[u8] = b"content-length:";
    let (mut at, mut body) = (0, 0);
    loop {
        let end = at + memchr(b'\n', &buffer[at..])?;
        let line = &buffer[at..end];
        at = end + 1;
        if line == b"\r" {
            return Some((at, body));
        }
        if line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH)) {
            body = number(line[LENGTH.len()..].trim_ascii_start());
        }
    }
}

/// What a request tells: its path, and the message's id.
fn arrival<'a>(buffer: &'a [u8], body: &[u8]) -> Option<Arrival<'a>> {
    const ID: &[u8] = b"\"message_id\":\"";
    // `POST /ok/7 HTTP/1.1`
    let path = &buffer[memchr(b'/', buffer)? + 1..];
    let (treatment, rest) = path.split_at(memchr(b'/', path)?);
    let id = &body[memmem::find(body, ID)? + ID.len()..];
    let sent = &id[memchr(b'-', id)? + 1..];
    Some(Arrival { treatment, workspace: number(&rest[1..]), id: number(id), sent_us: number(sent) as u64 })
}

/// The number that `text` begins with.
fn number(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}
