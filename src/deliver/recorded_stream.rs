//! The stream below hyper: records each head as it comes, and lets an answer count that comes when it suits the endpoint.
//!
//! An endpoint may answer before it was asked, or before it has read all of the message, and close: browsers and curl take
//! that answer. hyper takes bytes that come before the request for a fault, and looks at nothing more once a write has
//! failed. So nothing is read before the first write, and after a write that failed what came before is read.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::head::{EndlessInterim, HeadRecorder, Passed};

/// See the module.
#[derive(Debug)]
pub(super) struct RecordedStream<S> {
    stream: S,
    recorder: HeadRecorder,
    /// What goes on to hyper before anything else is read.
    passed: Vec<u8>,
    ended: bool,
    requests: Requests,
}

/// How far requests were written.
#[derive(Debug)]
enum Requests {
    /// None yet; who waits for what is read.
    None(Option<Waker>),
    Written,
    /// The rest of this one cannot be: why, until that was told.
    Broken(Option<io::Error>),
}

/// Bytes read at a time: most responses are shorter.
const READ_BYTES: usize = 8 * 1024;

impl<S> RecordedStream<S> {
    pub(super) fn new(stream: S) -> (Self, HeadRecorder) {
        let recorder = HeadRecorder::default();
        let requests = Requests::None(None);
        (Self { stream, recorder: recorder.clone(), passed: Vec::new(), ended: false, requests }, recorder)
    }

    fn begin_write(&mut self) {
        self.recorder.write();
        if let Requests::None(waiting) = &mut self.requests {
            waiting.take().into_iter().for_each(Waker::wake);
            self.requests = Requests::Written;
        }
    }

    /// A write that failed counts as one of all `length` bytes: hyper then waits for the answer.
    fn written(&mut self, result: Poll<io::Result<usize>>, length: usize) -> Poll<io::Result<usize>> {
        match ready!(result) {
            Err(error) => {
                self.requests = Requests::Broken(Some(error));
                Poll::Ready(Ok(length))
            }
            written => Poll::Ready(written),
        }
    }

    /// Nothing more comes.
    fn end(&mut self) -> io::Result<()> {
        let Some(held_back) = self.recorder.held_back().filter(|_| !self.ended) else { return Ok(()) };
        (self.ended, self.passed) = (true, held_back);
        match &mut self.requests {
            Requests::Broken(error) if self.passed.is_empty() => error.take().map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }
}

impl<S: Read + Unpin> Read for RecordedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Requests::None(waiting) = &mut this.requests {
            *waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        while this.passed.is_empty() {
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
            let room = buf.remaining().min(READ_BYTES);
            let mut read = ReadBuf::uninit(&mut bytes[..room]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, read.unfilled()))?;
            if read.filled().is_empty() {
                // What was held back is all that comes.
                this.end()?;
                break;
            }
            match this.recorder.record(read.filled()) {
                Passed::AsRead => {
                    buf.put_slice(read.filled());
                    return Poll::Ready(Ok(()));
                }
                Passed::Nothing => {}
                Passed::Instead(passed) => this.passed = passed,
                Passed::TooMuch => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the response never ends")));
                }
                Passed::EndlessInterim => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, EndlessInterim)));
                }
            }
        }
        let count = buf.remaining().min(this.passed.len());
        buf.put_slice(&this.passed[..count]);
        this.passed.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for RecordedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.begin_write();
        if let Requests::Broken(_) = self.requests {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(result, buf.len())
    }

    /// hyper flushes when it has written all that it has, and not before.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Requests::Broken(_) = self.requests {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 0);
        ready!(self.written(flushed, 0))?;
        if let Requests::Written = self.requests {
            self.recorder.sent();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_write();
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if let Requests::Broken(_) = self.requests {
            return Poll::Ready(Ok(length));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(result, length)
    }
}
