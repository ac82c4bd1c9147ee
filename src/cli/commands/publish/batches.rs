//! Messages from lines to answers through a service: as many lines at a time as have been read, one batch after the
//! other, so that the order of the lines is kept. A batch is published whole or not at all.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TryRecvError};

use super::error::{PublishFailed, UnpublishedLines};
use super::lines::InputLine;
use crate::cli::client::RequestError;
use crate::config::PUBLISHED_LINES_MAX;
use crate::message::Invalid;

/// Bytes of a batch, beyond which no further line joins it: a quarter of what the service takes.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Sends every line until the input ends, a line is bad or a batch is refused. `passed` gets the length of the
/// lines that are done. Returns how many messages were published.
pub(super) async fn send_batches<S, F>(
    lines: &mut mpsc::Receiver<io::Result<InputLine>>,
    send: S,
    passed: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, PublishFailed>
where
    S: Fn(Bytes) -> F,
    F: Future<Output = Result<(), RequestError>>,
{
    let (mut line, mut published) = (0, 0);
    loop {
        let mut batch = LineBatch { first: line + 1, ..LineBatch::default() };
        let mut read = lines.recv().await;
        let end = loop {
            if let Err(end) = batch.take(read, &mut line) {
                break Some(end);
            }
            // Looked at first: a line that was taken from the channel must join the batch.
            if batch.is_full() {
                break None;
            }
            // Whoever writes into a pipe is not kept waiting for company.
            read = match lines.try_recv() {
                Ok(line) => Some(line),
                Err(TryRecvError::Empty) => break None,
                Err(TryRecvError::Disconnected) => None,
            };
        };
        if batch.messages > 0 {
            // One that is no message ended the batch and is not in it.
            let behind = if matches!(end, Some(InputEnd::BadLine(_))) { line } else { line + 1 };
            let sent = send(batch.text.into()).await;
            sent.map_err(|source| {
                let unpublished = if source.is_outcome_unknown() {
                    UnpublishedLines::new(Vec::new(), behind).unsure_of(batch.first..behind)
                } else {
                    UnpublishedLines::new(Vec::new(), batch.first)
                };
                PublishFailed::Stopped { published, unpublished: Box::new(unpublished), source }
            })?;
            published += batch.messages;
        }
        passed(batch.length);
        match end {
            None => {}
            Some(InputEnd::Whole) => return Ok(published),
            Some(InputEnd::Unreadable(source)) => return Err(PublishFailed::unread(line, published, source)),
            Some(InputEnd::BadLine(source)) => return Err(PublishFailed::BadLine { line, published, source }),
        }
    }
}

/// Lines that go together.
#[derive(Debug, Default)]
struct LineBatch {
    /// The number of the first one.
    first: u64,
    text: Vec<u8>,
    messages: u64,
    /// In the input, with line ends and blank lines.
    length: u64,
}

/// Why no further line is taken.
#[derive(Debug)]
enum InputEnd {
    Whole,
    Unreadable(io::Error),
    BadLine(Invalid),
}

impl LineBatch {
    fn is_full(&self) -> bool {
        self.messages >= PUBLISHED_LINES_MAX as u64 || self.text.len() >= BATCH_BYTES_MAX
    }

    /// Takes what was read; `line` counts.
    fn take(&mut self, read: Option<io::Result<InputLine>>, line: &mut u64) -> Result<(), InputEnd> {
        let read = read.ok_or(InputEnd::Whole)?.map_err(InputEnd::Unreadable)?;
        let length = read.length;
        *line += 1;
        if let Some(message) = read.message().map_err(InputEnd::BadLine)? {
            self.text.extend_from_slice(message.raw().bytes());
            self.text.push(b'\n');
            self.messages += 1;
        }
        self.length += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn no_line_is_lost_between_two_batches_however_they_are_full() {
        // More than go together by number, and by size.
        for (count, filling) in [(2_500, 1), (300, 20_000)] {
            let (sender, mut lines) = mpsc::channel(count);
            let text = |n: usize| {
                let filling = "x".repeat(filling);
                format!(r#"{{"direction":"sent","timestamp":"{filling}","message_id":"m-{n}","contact":{{}}}}"#)
            };
            for n in 0..count {
                let text = text(n);
                sender.try_send(Ok(InputLine { length: text.len() as u64, text: text.into() })).unwrap();
            }
            drop(sender);
            let batches = RefCell::new(Vec::new());
            let send = |batch: Bytes| {
                batches.borrow_mut().push(String::from_utf8(batch.to_vec()).unwrap());
                std::future::ready(Ok(()))
            };
            let published = send_batches(&mut lines, send, &mut |_| ()).await.unwrap();
            assert_eq!(published, count as u64);
            let batches = batches.into_inner();
            assert!(batches.len() > 1, "they do not fit into one");
            let sent: Vec<&str> = batches.iter().flat_map(|batch| batch.lines()).collect();
            assert_eq!(sent, (0..count).map(text).collect::<Vec<_>>());
        }
    }
}
