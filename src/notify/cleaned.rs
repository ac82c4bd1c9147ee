//! What a mail server says, made fit for lettre, which reads lines of UTF-8 that end with CR LF.
//!
//! Mail servers greet in Latin-1 or GBK, and some end lines with LF alone. The code of an answer decides and is
//! ASCII, so the rest is shown with what is no UTF-8 replaced; a text behind it may be missing (RFC 5321 section 4.2), but
//! not for lettre. Each command gets one answer: what comes behind that is dropped, for lettre would take it for the answer to
//! the next command. This stands above TLS: below it lies ciphertext.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::text::one_line;

/// Bytes read at a time.
const READ_MAX: usize = 2_048;
/// Bytes of a line that are kept: lettre takes 1,000, RFC 5321 section 4.5.3.1.5 allows 512.
const LINE_KEPT: usize = 900;
/// Bytes of one answer that are read; what is longer has no end. RFC 5321 names no bound.
const ANSWER_MAX: usize = 64 * 1024;
/// Lines of one answer that are kept beside its last one, which says the same: lettre reads all of them again at each line.
const LINES_KEPT: usize = 100;
/// Characters shown of what is no answer.
const SHOWN_MAX: usize = 100;
/// What a server may offer that we use. lettre knows it in capitals only, though any letters will do (RFC 5321 section 2.4), and
/// AUTH only without the `=` that it had before RFC 2554.
const OFFERED: [&str; 3] = ["STARTTLS", "AUTH", "SMTPUTF8"];
/// What a server that wants TLS at once sends to one that speaks without: an alert (RFC 8446 section 5.1).
const TLS_ALERT: u8 = 0x15;

/// A connection as it is, shared so that it can be had back from lettre when TLS begins on it.
#[derive(Debug)]
pub(super) enum Wire {
    /// Unprotected.
    Plain(TcpStream),
    /// Protected.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The command that a server is greeted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// As lettre does.
    Ehlo,
    /// As before there were extensions (RFC 821); the answer is one to EHLO that offers nothing.
    Helo,
}

/// Why what comes is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it closed the connection without an answer")]
    Closed,
    #[error("it said {0:?}, as no mail server does; see host and port of --smtp-url")]
    NotSmtp(String),
    #[error("it wants TLS at once; write smtps:// in --smtp-url")]
    Tls,
    #[error("it sent an answer of more than {ANSWER_MAX} bytes")]
    Endless,
}

/// A connection whose answers are cleaned.
pub(super) struct CleanedStream {
    wire: Arc<Mutex<Wire>>,
    peer: SocketAddr,
    verb: Verb,
    cleaner: Cleaner,
}

/// Makes lines of bytes, and of each what lettre can read.
#[derive(Debug, Default)]
struct Cleaner {
    /// What was read and not looked at yet.
    unread: Vec<u8>,
    /// The beginning of a line whose end has not come yet, as far as it is kept.
    begun: Vec<u8>,
    /// Of the answer that is being read: its bytes, and its lines that were kept.
    bytes: usize,
    lines: usize,
    /// One line that is clean, from `given` on.
    clean: String,
    given: usize,
    /// The clean line was the last of an answer.
    answered: bool,
}

impl Wire {
    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.peer_addr(),
            Self::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }

    /// Puts what comes behind `into`; says how much it was, none at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_MAX];
        let mut read = ReadBuf::new(&mut bytes);
        ready!(match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut read),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut read),
        })?;
        into.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

impl CleanedStream {
    /// Cleans what comes over `wire`. `said` is read first, as if the server had said it.
    pub(super) fn new(wire: Arc<Mutex<Wire>>, peer: SocketAddr, said: &[u8], verb: Verb) -> Self {
        let cleaner = Cleaner { unread: said.to_vec(), ..Cleaner::default() };
        Self { wire, peer, verb, cleaner }
    }

    /// Waits for the first line, which stays to be read; says whether it is a welcome.
    ///
    /// # Errors
    /// Nothing comes that a mail server could have said.
    pub(super) async fn heard(&mut self) -> io::Result<bool> {
        poll_fn(|cx| self.poll_line(cx)).await?;
        Ok(self.cleaner.clean.starts_with('2'))
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.cleaner.has_line().map_err(unfit)? {
            self.cleaner.unread.clear();
            if ready!(self.wire.lock().poll_read(cx, &mut self.cleaner.unread))? == 0 {
                return Poll::Ready(Err(unfit(self.cleaner.ended())));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Drops what came behind the answer to the last command, as far as it is there.
    fn drop_unasked(&mut self, cx: &mut Context<'_>) {
        self.cleaner.begun.clear();
        (self.cleaner.bytes, self.cleaner.lines) = (0, 0);
        let mut wire = self.wire.lock();
        loop {
            self.cleaner.unread.clear();
            // An end, and an error, is told where the next answer is read.
            let Poll::Ready(Ok(1..)) = wire.poll_read(cx, &mut self.cleaner.unread) else { return };
        }
    }
}

fn unfit(why: Unfit) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Cleaner {
    /// Whether there is a clean line; makes one of what is unread, as far as it goes.
    fn has_line(&mut self) -> Result<bool, Unfit> {
        while self.given == self.clean.len() {
            let end = self.unread.iter().position(|byte| *byte == b'\n');
            let part: Vec<u8> = self.unread.drain(..end.map_or(self.unread.len(), |end| end + 1)).collect();
            let kept = part.len().min(LINE_KEPT.saturating_sub(self.begun.len()));
            self.begun.extend_from_slice(&part[..kept]);
            self.bytes += part.len();
            if self.begun.first() == Some(&TLS_ALERT) {
                return Err(Unfit::Tls);
            }
            if self.bytes > ANSWER_MAX {
                return Err(Unfit::Endless);
            }
            if end.is_none() {
                return Ok(false);
            }
            let line = std::mem::take(&mut self.begun);
            let line = String::from_utf8_lossy(&line);
            // An empty line is passed over.
            let line = line.trim_end_matches(['\r', '\n']);
            self.clean = if line.is_empty() { String::new() } else { cleaned(line)? };
            self.given = 0;
            match goes_on(&self.clean) {
                true if self.lines == LINES_KEPT => self.clean.clear(),
                true => self.lines += 1,
                false if self.clean.is_empty() => {}
                false => (self.bytes, self.lines) = (0, 0),
            }
        }
        Ok(true)
    }

    /// Why the connection's end is no answer.
    fn ended(&self) -> Unfit {
        let begun = String::from_utf8_lossy(&self.begun);
        if begun.is_empty() || is_answer(&begun) { Unfit::Closed } else { not_smtp(&begun) }
    }

    /// Moves what is clean to `into`.
    fn give(&mut self, into: &mut ReadBuf<'_>) {
        let left = &self.clean.as_bytes()[self.given..];
        let given = left.len().min(into.remaining());
        into.put_slice(&left[..given]);
        self.given += given;
        self.answered = !goes_on(&self.clean);
    }
}

/// Whether the answer has another line behind this one.
fn goes_on(line: &str) -> bool {
    line.as_bytes().get(3) == Some(&b'-')
}

/// A line of an answer without its end, as lettre reads it.
fn cleaned(line: &str) -> Result<String, Unfit> {
    if !is_answer(line) {
        return Err(not_smtp(line));
    }
    let mut line = line[..line.floor_char_boundary(LINE_KEPT)].to_owned();
    if line.as_bytes()[1] > b'5' {
        line.replace_range(1..2, "5");
    }
    if line.as_bytes().get(3) == Some(&b'\t') {
        line.replace_range(3..4, " ");
    }
    match line.len() {
        3 => line.push_str(" ok"),
        _ if line[4..].trim().is_empty() => line.push_str("ok"),
        _ => {}
    }
    let keyword = line[4..].split([' ', '=']).next().unwrap_or_default();
    if line.starts_with("250") && OFFERED.iter().any(|known| known.eq_ignore_ascii_case(keyword)) {
        line = line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1);
    }
    Ok(line + "\r\n")
}

/// Whether it begins with a code that an answer may have (RFC 5321 section 4.2), or nearly: some refuse with 571, which lettre does
/// not know, and the first digit decides; some write a tab behind it.
fn is_answer(line: &str) -> bool {
    match line.as_bytes() {
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', rest @ ..] => matches!(rest.first(), None | Some(b' ' | b'-' | b'\t')),
        _ => false,
    }
}

fn not_smtp(line: &str) -> Unfit {
    Unfit::NotSmtp(one_line(line, SHOWN_MAX))
}

impl fmt::Debug for CleanedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CleanedStream({})", self.peer)
    }
}

impl AsyncTokioStream for CleanedStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for CleanedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_line(cx))?;
        self.cleaner.give(into);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CleanedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.cleaner.answered) {
            self.drop_unasked(cx);
        }
        let said_as_helo = match bytes.strip_prefix(b"EHLO") {
            Some(rest) if self.verb == Verb::Helo => Some([b"HELO", rest].concat()),
            _ => None,
        };
        let bytes = said_as_helo.as_deref().unwrap_or(bytes);
        let written = ready!(match &mut *self.wire.lock() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        })?;
        // It is the first that is said; the mail may have a line with it, too.
        self.verb = Verb::Ehlo;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.wire.lock() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.wire.lock() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of what comes in these parts.
    fn lines(parts: &[&[u8]]) -> Result<String, Unfit> {
        let mut cleaner = Cleaner::default();
        let mut all = Vec::new();
        for part in parts {
            cleaner.unread.extend_from_slice(part);
            while cleaner.has_line()? {
                let mut bytes = [0; 7];
                let mut into = ReadBuf::new(&mut bytes);
                cleaner.give(&mut into);
                all.extend_from_slice(into.filled());
            }
        }
        Ok(String::from_utf8(all).unwrap())
    }

    #[test]
    fn what_is_no_utf_8_is_replaced_and_lines_end_with_cr_lf() {
        for (parts, expected) in [
            (&[&b"220 caf\xe9 ready\r\n"[..]][..], "220 caf? ready\r\n"),
            (&[b"220 \xc4\xe3\xba\xc3\r\n"], "220 ???\r\n"),
            (&[b"220 caf\xc3", b"\xa9\r", b"\n"], "220 caf?\r\n"),
            (&[b"\r\n\n220-a\n220 b\n"], "220-a\r\n220 b\r\n"),
            (&[b"220\r", b"\n45", b"0 \n354\n"], "220 ok\r\n450 ok\r\n354 ok\r\n"),
            (&[b"550-\r\n550-a\r\n550 b\r\n"], "550-ok\r\n550-a\r\n550 b\r\n"),
        ] {
            let clean = lines(parts).unwrap();
            assert_eq!(clean.replace(|c: char| !c.is_ascii(), "?"), expected, "{parts:?}");
        }
    }

    #[test]
    fn what_is_offered_is_told_as_lettre_knows_it() {
        let offered = b"250-mx\r\n250-starttls\r\n250-auth=plain login\r\n250 Auth Plain\r\n";
        assert_eq!(lines(&[offered]).unwrap(), "250-mx\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 AUTH PLAIN\r\n");
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let mut cleaner = Cleaner::default();
        let mut read = 0;
        let ended = loop {
            cleaner.unread = b"220 ".repeat(512);
            read += cleaner.unread.len();
            match cleaner.has_line() {
                Ok(false) => assert!(cleaner.begun.capacity() <= 2 * READ_MAX, "{read}"),
                ended => break ended,
            }
        };
        assert!(matches!(ended, Err(Unfit::Endless)) && read <= ANSWER_MAX + READ_MAX, "{ended:?} after {read}");
        let long = [&b"550 "[..], &[b'x'; 5_000], b"\r\n220 b\r\n"].concat();
        assert_eq!(lines(&[&long]).unwrap(), format!("550 {}\r\n220 b\r\n", "x".repeat(LINE_KEPT - 4)));
        let long = [&b"550 "[..], &[0xff; 5_000], b"\r\n"].concat();
        assert!(lines(&[&long]).unwrap().len() <= LINE_KEPT + 2);
    }

    #[test]
    fn of_a_long_answer_the_first_lines_and_the_last_one_are_kept() {
        let long = format!("{}250 end\r\n", "250-x\r\n".repeat(5_000));
        let kept = format!("{}250 end\r\n", "250-x\r\n".repeat(LINES_KEPT));
        assert_eq!(lines(&[long.as_bytes(), long.as_bytes()]).unwrap(), kept.repeat(2), "each by itself");
        for endless in ["250-x\r\n", "\r\n", "250-x\n\n\n"] {
            let refused = lines(&[endless.repeat(ANSWER_MAX / endless.len() + 1).as_bytes()]);
            assert!(matches!(refused, Err(Unfit::Endless)), "{endless:?}: {refused:?}");
        }
    }

    #[test]
    fn what_no_mail_server_says_is_told_as_that() {
        for said in ["HTTP/1.1 400 Bad Request", "+OK POP3 ready", "250ok", "999 what", "25", "\u{1}\u{2}"] {
            let refused = lines(&[format!("{said}\r\n").as_bytes()]);
            assert!(matches!(refused, Err(Unfit::NotSmtp(_))), "{said:?}: {refused:?}");
        }
        assert!(matches!(lines(&[b"\x15\x03\x01"]), Err(Unfit::Tls)));
    }
}
