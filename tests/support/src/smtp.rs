//! A mail server in the test process: it speaks enough SMTP for one mail a session, remembers what it
//! got, and misbehaves as its script says.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::process::PATIENCE;

/// What goes wrong in one session, and where: at `CONNECT` (the greeting), at a command (`EHLO`, `HELO`,
/// `AUTH`, `MAIL`, `RCPT`, `DATA`, `QUIT`) or at `.` (the mail has been received as a whole).
#[derive(Clone)]
pub enum Fault {
    /// Nothing.
    None,
    /// This reply instead of the good one.
    Reply(&'static str, &'static str),
    /// These bytes instead of the good reply, at every point that is named.
    Bytes(&'static [(&'static str, &'static [u8])]),
    /// These replies instead of the good ones, each once.
    Script(&'static [(&'static str, &'static str)]),
    /// No reply, ever; the connection stays open.
    Stall(&'static str),
    /// The connection is closed without a reply.
    Drop(&'static str),
    /// The reply waits until the test adds a permit.
    Wait(&'static str, Arc<Semaphore>),
    /// So does every reply but that to QUIT.
    Slow(Arc<Semaphore>),
}

/// How the server protects a connection.
#[derive(Clone)]
pub enum Protection {
    /// It does not.
    None,
    /// TLS from the first byte.
    Implicit(TlsAcceptor),
    /// It offers STARTTLS.
    StartTls(TlsAcceptor),
}

/// A mail that was received as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub data: String,
    pub secure: bool,
}

/// The running server; it ends when this is dropped.
pub struct SmtpServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    protection: Protection,
    /// Faults of the sessions to come; a session beyond them is without fault.
    script: Mutex<VecDeque<Fault>>,
    received: Mutex<Vec<Received>>,
    commands: Mutex<Vec<String>>,
    /// Which reply of [`Fault::Slow`] was the last to wait.
    slow_at: Mutex<Option<String>>,
    /// Sessions that are open, and sessions that there were in all.
    sessions: watch::Sender<(usize, usize)>,
}

impl SmtpServer {
    pub async fn start(script: impl IntoIterator<Item = Fault>) -> Self {
        Self::start_with(Protection::None, script).await
    }

    pub async fn start_with(protection: Protection, script: impl IntoIterator<Item = Fault>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            protection,
            script: Mutex::new(script.into_iter().collect()),
            received: Mutex::default(),
            commands: Mutex::default(),
            slow_at: Mutex::default(),
            sessions: watch::Sender::new((0, 0)),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// The mails that were received, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("not poisoned").clone()
    }

    /// The command lines that came, in order, over all sessions.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().expect("not poisoned").clone()
    }

    /// Which reply waits, or was the last that did, where all do.
    pub fn slow_at(&self) -> Option<String> {
        self.shared.slow_at.lock().expect("not poisoned").clone()
    }

    /// Waits until `wanted` holds for the numbers of open sessions and of sessions in all.
    pub async fn until(&self, wanted: impl FnMut(&(usize, usize)) -> bool) -> (usize, usize) {
        let mut sessions = self.shared.sessions.subscribe();
        let reached = tokio::time::timeout(PATIENCE, sessions.wait_for(wanted)).await;
        *reached.unwrap_or_else(|_| panic!("still {:?} sessions", *self.shared.sessions.borrow())).expect("it runs")
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let fault = shared.script.lock().expect("not poisoned").pop_front().unwrap_or(Fault::None);
        shared.sessions.send_modify(|(open, all)| (*open, *all) = (*open + 1, *all + 1));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A session that ends with an error is one that the client broke off.
            drop(serve(stream, &fault, &shared).await);
            shared.sessions.send_modify(|(open, _)| *open -= 1);
        });
    }
}

async fn serve(stream: TcpStream, fault: &Fault, shared: &Shared) -> io::Result<()> {
    let mut session = Session { fault, given: AtomicUsize::new(0), shared, secure: false };
    match &shared.protection {
        Protection::Implicit(tls) => {
            session.secure = true;
            session.run(&mut BufStream::new(tls.accept(stream).await?), true).await?;
        }
        Protection::None => {
            session.run(&mut BufStream::new(stream), true).await?;
        }
        Protection::StartTls(tls) => {
            let mut plain = BufStream::new(stream);
            if session.run(&mut plain, true).await? == End::StartTls {
                session.secure = true;
                session.run(&mut BufStream::new(tls.accept(plain.into_inner()).await?), false).await?;
            }
        }
    }
    Ok(())
}

/// How a part of a session ended.
#[derive(PartialEq)]
enum End {
    Closed,
    StartTls,
}

struct Session<'a> {
    fault: &'a Fault,
    /// How many of a script's replies were given.
    given: AtomicUsize,
    shared: &'a Shared,
    secure: bool,
}

impl Session<'_> {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufStream<S>, greet: bool) -> io::Result<End> {
        if greet && !self.reply(stream, "CONNECT", "220 fake ESMTP").await? {
            return Ok(End::Closed);
        }
        let mut mail = Received { from: String::new(), to: Vec::new(), data: String::new(), secure: self.secure };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(End::Closed);
            }
            let line = line.trim_end();
            self.shared.commands.lock().expect("not poisoned").push(line.to_owned());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let good = match verb.as_str() {
                "EHLO" => self.extensions(),
                "HELO" => "250 fake",
                "STARTTLS" => {
                    stream.write_all(b"220 go ahead\r\n").await?;
                    stream.flush().await?;
                    return Ok(End::StartTls);
                }
                "AUTH" => "235 welcome",
                "MAIL" => {
                    mail.from = path(line);
                    "250 sender noted"
                }
                "RCPT" => {
                    mail.to.push(path(line));
                    "250 recipient noted"
                }
                "DATA" => "354 end with a dot",
                "QUIT" => "221 bye",
                _ => "500 what?",
            };
            let stays = self.reply(stream, &verb, good).await?;
            let taking = verb == "DATA" && stays && !matches!(self.fault, Fault::Reply("DATA", _));
            if taking {
                mail.data = data(stream).await?;
                self.shared.received.lock().expect("not poisoned").push(mail.clone());
            }
            let stays = stays && (!taking || self.reply(stream, ".", "250 taken").await?);
            if !stays || verb == "QUIT" {
                return Ok(End::Closed);
            }
        }
    }

    fn extensions(&self) -> &'static str {
        match (&self.shared.protection, self.secure) {
            (Protection::StartTls(_), false) => "250-fake\r\n250 STARTTLS",
            _ => "250-fake\r\n250 AUTH PLAIN LOGIN",
        }
    }

    /// Answers `good`, or as the script wants it at this point. `false`: the connection is to be closed.
    async fn reply<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        at: &str,
        good: &str,
    ) -> io::Result<bool> {
        if let Fault::Bytes(replies) = self.fault
            && let Some((_, bytes)) = replies.iter().find(|(point, _)| *point == at)
        {
            stream.write_all(bytes).await?;
            stream.flush().await?;
            return Ok(true);
        }
        let text = match self.fault {
            Fault::Reply(point, text) if *point == at => text,
            Fault::Script(replies) => match replies.get(self.given.load(Ordering::Relaxed)) {
                Some((point, text)) if *point == at => {
                    self.given.fetch_add(1, Ordering::Relaxed);
                    text
                }
                _ => good,
            },
            Fault::Drop(point) if *point == at => return Ok(false),
            Fault::Stall(point) if *point == at => {
                let mut rest = String::new();
                while stream.read_line(&mut rest).await? > 0 {}
                return Ok(false);
            }
            Fault::Wait(point, gate) if *point == at => {
                gate.acquire().await.expect("an open gate").forget();
                good
            }
            Fault::Slow(gate) if at != "QUIT" => {
                *self.shared.slow_at.lock().expect("not poisoned") = Some(at.to_owned());
                gate.acquire().await.expect("an open gate").forget();
                good
            }
            _ => good,
        };
        stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        stream.flush().await?;
        Ok(true)
    }
}

/// The address between the angle brackets.
fn path(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

/// Everything up to the line with the dot alone, without the transparency dots (RFC 5321 section 4.5.2).
async fn data<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> io::Result<String> {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(all);
        }
        all.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
