//! What a mail server says, made fit for lettre, which reads lines of UTF-8 that end with CR LF.
//!
//! Mail servers greet in Latin-1 or GBK, and some end lines with LF alone. The code of an answer decides and is
//! ASCII, so the rest is shown with what is no UTF-8 replaced; a text behind it may be missing (RFC 5321 section 4.2), but
//! not for lettre. This stands above TLS: below it lies ciphertext.

use std::fmt;
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

/// Bytes read at a time.
const READ_MAX: usize = 2_048;

/// A connection as it is, shared so that it can be had back from lettre when TLS begins on it.
#[derive(Debug)]
pub(super) enum Wire {
    /// Unprotected.
    Plain(TcpStream),
    /// Protected.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection whose answers are cleaned.
pub(super) struct CleanedStream {
    wire: Arc<Mutex<Wire>>,
    peer: SocketAddr,
    cleaner: Cleaner,
}

/// Replaces what is no UTF-8, gives bare codes a text, and ends lines with CR LF.
#[derive(Debug, Default)]
struct Cleaner {
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
    /// The byte before, and how many the line has so far.
    last: u8,
    line: usize,
    /// What was cleaned and is not read yet, from `read` on.
    cleaned: Vec<u8>,
    read: usize,
}

impl Wire {
    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.peer_addr(),
            Self::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}

impl CleanedStream {
    /// Cleans what comes over `wire`. `said` is read first, as if the server had said it.
    pub(super) fn new(wire: Arc<Mutex<Wire>>, peer: SocketAddr, said: &[u8]) -> Self {
        let mut cleaner = Cleaner::default();
        cleaner.take(said);
        Self { wire, peer, cleaner }
    }
}

impl Cleaner {
    fn take(&mut self, bytes: &[u8]) {
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(bytes);
        let mut rest = text.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => return self.push(valid),
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    self.push(&String::from_utf8_lossy(valid));
                    match error.error_len() {
                        Some(length) => {
                            self.push("\u{fffd}");
                            rest = &invalid[length..];
                        }
                        None => {
                            self.begun = invalid.to_vec();
                            return;
                        }
                    }
                }
            }
        }
    }

    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            let ends = byte == b'\r' || (byte == b'\n' && self.last != b'\r');
            match (self.line, self.last) {
                (3, _) if ends => self.cleaned.extend_from_slice(b" ok"),
                (4, b' ') if ends => self.cleaned.extend_from_slice(b"ok"),
                _ => {}
            }
            if ends && byte == b'\n' {
                self.cleaned.push(b'\r');
            }
            self.line = if byte == b'\n' { 0 } else { self.line + 1 };
            self.last = byte;
            self.cleaned.push(byte);
        }
    }

    /// Moves what is cleaned to `into`; says whether there was any.
    fn give(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let left = &self.cleaned[self.read..];
        let given = left.len().min(into.remaining());
        into.put_slice(&left[..given]);
        self.read += given;
        if self.read == self.cleaned.len() {
            self.cleaned.clear();
            self.read = 0;
        }
        given > 0
    }
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
        let this = &mut *self;
        while !this.cleaner.give(into) && into.remaining() > 0 {
            let mut bytes = [0; READ_MAX];
            let mut read = ReadBuf::new(&mut bytes);
            let mut wire = this.wire.lock();
            ready!(match &mut *wire {
                Wire::Plain(stream) => Pin::new(stream).poll_read(cx, &mut read),
                Wire::Tls(stream) => Pin::new(stream).poll_read(cx, &mut read),
            })?;
            if read.filled().is_empty() {
                break;
            }
            this.cleaner.take(read.filled());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CleanedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.wire.lock() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
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

    fn cleaned(parts: &[&[u8]]) -> String {
        let mut cleaner = Cleaner::default();
        parts.iter().for_each(|part| cleaner.take(part));
        let mut bytes = vec![0; 200];
        let mut into = ReadBuf::new(&mut bytes);
        cleaner.give(&mut into);
        String::from_utf8(into.filled().to_vec()).unwrap()
    }

    #[test]
    fn what_is_no_utf_8_is_replaced_and_lines_end_with_cr_lf() {
        for (parts, expected) in [
            (&[&b"220 caf\xe9 ready\r\n"[..]][..], "220 caf\u{fffd} ready\r\n"),
            (&[b"220 \xc4\xe3\xba\xc3\r\n"], "220 \u{fffd}\u{fffd}\u{fffd}\r\n"),
            (&[b"220 caf\xc3", b"\xa9\r", b"\n"], "220 café\r\n"),
            (&[b"220 caf\xe9", b"\r\n"], "220 caf\u{fffd}\r\n"),
            (&[b"250-a\n250 b\n"], "250-a\r\n250 b\r\n"),
            (&[b"220\r", b"\n25", b"0 \n354\n"], "220 ok\r\n250 ok\r\n354 ok\r\n"),
            (&[b"250-\r\n250-a\r\n250 b\r\n"], "250-\r\n250-a\r\n250 b\r\n"),
        ] {
            assert_eq!(cleaned(parts), expected, "{parts:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_given_later() {
        let mut cleaner = Cleaner::default();
        cleaner.take(b"\xff\xff");
        let mut all = Vec::new();
        let mut bytes = [0; 4];
        loop {
            let mut into = ReadBuf::new(&mut bytes);
            if !cleaner.give(&mut into) {
                break;
            }
            all.extend_from_slice(into.filled());
        }
        assert_eq!(all, "\u{fffd}\u{fffd}".as_bytes());
    }
}
