//! The input, line by line. It is read on a thread of its own, so that waiting for a pipe holds up
//! nothing; a bounded channel makes it wait for the messages in front of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::message::{Invalid, MESSAGE_BYTES_MAX, Message, is_blank};

/// Lines that are read ahead at most: enough for a batch. With the largest messages 64 MiB.
const READ_AHEAD_MAX: usize = 256;

/// One line of the input, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli::commands) struct InputLine {
    /// Its text. Of a line that no message can have, just more than a message may have.
    pub(in crate::cli::commands) text: Bytes,
    /// Its length in the input, with its end.
    pub(in crate::cli::commands) length: u64,
}

impl InputLine {
    /// Its message; a blank line has none.
    pub(super) fn message(self) -> Result<Option<Message>, Invalid> {
        if is_blank(&self.text) {
            return Ok(None);
        }
        let kept = self.text.len();
        Message::parse(self.text).map(Some).map_err(|invalid| match invalid {
            // Of one that was cut the end is not here, so it is told from the length: a line feed less.
            Invalid::TooLarge { bytes } if kept > MESSAGE_BYTES_MAX + 1 => {
                Invalid::TooLarge { bytes: bytes.max(usize::try_from(self.length - 1).unwrap_or(usize::MAX)) }
            }
            invalid => invalid,
        })
    }
}

/// Opens a file, or the standard input for `-`; tells the length when it is known.
pub(super) fn open(path: &Path) -> io::Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // A pipe or a device has no length worth showing.
    Ok((Box::new(BufReader::new(file)), metadata.is_file().then_some(metadata.len())))
}

/// Starts reading. The thread ends with the input, with an error, or when the receiver is dropped
/// (at the latest with the process: a pipe may stay silent for ever). Once `stop` is over, the lines that were read
/// ahead are followed by an error of the kind [`io::ErrorKind::Interrupted`], which no reading ends with.
pub(super) fn read(
    mut input: Box<dyn BufRead + Send>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> mpsc::Receiver<io::Result<InputLine>> {
    let (lines, receiver) = mpsc::channel(READ_AHEAD_MAX);
    // It must not keep the input from ending.
    let behind = lines.downgrade();
    tokio::spawn(async move {
        stop.await;
        if let Some(lines) = behind.upgrade() {
            lines.send(Err(io::ErrorKind::Interrupted.into())).await.ok();
        }
    });
    std::thread::spawn(move || {
        while let Some(line) = next(&mut *input).transpose() {
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

/// Keeps just more of a line than a message may have, however long the line is.
fn next(input: &mut dyn BufRead) -> io::Result<Option<InputLine>> {
    let (mut text, mut length) = (Vec::new(), 0);
    loop {
        let read = match input.fill_buf() {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..end.unwrap_or(read.len())];
        // Two more than fit, so that a line end of two bytes does not hide that it was too long.
        let kept = part.len().min((MESSAGE_BYTES_MAX + 2).saturating_sub(text.len()));
        text.extend_from_slice(&part[..kept]);
        let used = part.len() + usize::from(end.is_some());
        length += used as u64;
        let at_end = read.is_empty();
        input.consume(used);
        if at_end && length == 0 {
            return Ok(None);
        }
        if at_end || end.is_some() {
            if text.ends_with(b"\r") {
                text.pop();
            }
            return Ok(Some(InputLine { text: text.into(), length }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<InputLine> {
        // A buffer of 7 bytes cuts lines in the middle.
        let mut input = BufReader::with_capacity(7, text);
        std::iter::from_fn(|| next(&mut input).unwrap()).collect()
    }

    fn texts(text: &[u8]) -> Vec<Bytes> {
        all(text).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn line_ends_of_both_kinds_and_a_missing_last_one_are_read() {
        assert_eq!(texts(b"{\"first\":1}\r\n\n{\"last\":2}"), ["{\"first\":1}", "", "{\"last\":2}"]);
        assert_eq!(texts(b"a\n"), ["a"]);
        assert_eq!(texts(b""), [""; 0]);
    }

    #[test]
    fn lengths_add_up_to_the_input() {
        let text = b"{\"first\":1}\r\n\nlast";
        assert_eq!(all(text).iter().map(|line| line.length).sum::<u64>(), text.len() as u64);
    }

    #[test]
    fn of_an_endless_line_only_a_bounded_part_is_kept() {
        let mut text = vec![b'x'; 3 * MESSAGE_BYTES_MAX];
        text.extend_from_slice(b"\nnext");
        let lines = all(&text);
        assert_eq!(lines[0].text.len(), MESSAGE_BYTES_MAX + 2);
        assert_eq!(lines[1].text, "next");
    }
}
