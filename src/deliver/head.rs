//! The head of a response as it came, beside what hyper makes of it.
//!
//! Browsers and curl read heads that RFC 9112 forbids, so endpoints that send them are believed to work. What
//! hyper drops is named for the owner of the endpoint, what hyper refuses is read here, and here it is decided
//! whether the end of the response could be told: after one that could not, the connection is not reused.
//!
//! hyper sees a head when it is whole, with a status line that it takes: else whether it does would depend on how the
//! head was cut into packets.

use std::sync::Arc;

use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use memchr::{memchr, memmem};
use parking_lot::Mutex;

use crate::config::{
    INTERIM_BYTES_MAX, MALFORMED_LINE_BYTES_MAX, MALFORMED_LINES_MAX, OVERLONG_HEAD_BYTES_MAX, RAW_BODY_BYTES_MAX,
    RAW_HEAD_BYTES_MAX, RESPONSE_HEADERS_MAX,
};
use crate::workspace::event::Header;

/// What a connection read since its last request began, up to the end of the head.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadRecorder(Arc<Mutex<Recording>>);

#[derive(Debug, Default)]
struct Recording {
    bytes: Vec<u8>,
    stage: HeadStage,
    /// Bytes read behind the head, or behind as much of an overlong one as is recorded.
    behind: usize,
    /// Bytes of interim responses that came before the head.
    interim: usize,
    /// The first line of one of these takes all the room.
    endless_interim: bool,
    /// Where one of these ends is not told in one way, so the head may be what belongs to it.
    odd_interim: bool,
    /// A part of the last request is still here: the system has not taken it.
    unsent: bool,
}

/// How far a head has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum HeadStage {
    /// It is held back.
    #[default]
    Coming,
    Ended,
    /// It is too long to be held back any more.
    Overlong,
    /// What came begins no head of HTTP/1.
    Foreign,
}

/// What of the bytes that were read goes on to hyper.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    AsRead,
    Nothing,
    Instead(Vec<u8>),
    /// More came than any body needs that is looked at.
    TooMuch,
    /// More came of interim responses than of any that is followed by another.
    EndlessInterim,
}

/// What came in place of a head of HTTP/1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// How it begins.
    pub(super) began: String,
    /// An interim response came before.
    pub(super) after_interim: bool,
}

/// Interim responses without end, and none that counts.
#[derive(Debug, thiserror::Error)]
#[error("sent interim answers (1xx) of more than {} KiB and none that counts", INTERIM_BYTES_MAX / 1024)]
pub(super) struct EndlessInterim;

/// A head, read as far as it can be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawHead {
    /// The status code.
    pub(super) status: u16,
    /// The headers in order, folded lines unfolded, at most [`RESPONSE_HEADERS_MAX`]; empty unless asked for.
    pub(super) headers: Vec<Header>,
    /// Lines that are no header, at most [`MALFORMED_LINES_MAX`], each cut to [`MALFORMED_LINE_BYTES_MAX`].
    pub(super) malformed: Vec<String>,
    /// Whether where the body ends is told in exactly one well-formed way.
    pub(super) end_is_told: bool,
    /// It promises more bytes than can be counted: hyper takes it for a head that is too large.
    pub(super) is_endless: bool,
}

impl HeadRecorder {
    /// The head that was read since the last request was written, its headers too when `with_headers`; it is
    /// given out once. `None` when what came does not begin with a status line of HTTP/1.
    pub(super) fn take(&self, with_headers: bool) -> Option<RawHead> {
        let (bytes, is_judged) = {
            let mut recording = self.0.lock();
            (std::mem::take(&mut recording.bytes), recording.stage != HeadStage::Overlong && !recording.odd_interim)
        };
        let mut head = RawHead::parse(&bytes, with_headers)?;
        // What was not looked at may tell another end.
        head.end_is_told &= is_judged;
        Some(head)
    }

    /// How what came begins, if it is no HTTP/1 at all.
    pub(super) fn foreign(&self) -> Option<Foreign> {
        let recording = self.0.lock();
        let began = &recording.bytes[..recording.bytes.len().min(MALFORMED_LINE_BYTES_MAX)];
        let foreign =
            || Foreign { began: String::from_utf8_lossy(began).into_owned(), after_interim: recording.interim > 0 };
        (recording.stage == HeadStage::Foreign).then(foreign)
    }

    /// Whether a response has begun whose head has not come to its end.
    pub(super) fn has_begun(&self) -> bool {
        let recording = self.0.lock();
        !recording.bytes.is_empty() && recording.stage == HeadStage::Coming
    }

    /// Whether the system has taken the last request to its end. Where the endpoint has answered before, a further request
    /// would wait behind the rest, for as long as nobody reads it.
    pub(super) fn is_sent(&self) -> bool {
        !self.0.lock().unsent
    }

    /// Something is written: a request begins where all before it is sent.
    pub(super) fn write(&self) {
        let mut recording = self.0.lock();
        if !recording.unsent {
            recording.bytes.clear();
            let bytes = std::mem::take(&mut recording.bytes);
            *recording = Recording { bytes, unsent: true, ..Recording::default() };
        }
    }

    /// The system has taken all that was written.
    pub(super) fn sent(&self) {
        self.0.lock().unsent = false;
    }

    /// Takes in what was read.
    pub(super) fn record(&self, read: &[u8]) -> Passed {
        self.0.lock().record(read)
    }

    /// What is held back of a head that has not come to its end.
    pub(super) fn held_back(&self) -> Option<Vec<u8>> {
        let recording = self.0.lock();
        (recording.stage == HeadStage::Coming).then(|| recording.bytes.clone())
    }
}

impl Recording {
    /// Takes in what was read.
    fn record(&mut self, read: &[u8]) -> Passed {
        if self.stage != HeadStage::Coming {
            self.behind += read.len();
            let rest = if self.stage == HeadStage::Overlong { OVERLONG_HEAD_BYTES_MAX } else { 0 };
            let most = RAW_BODY_BYTES_MAX + rest;
            return if self.behind > most { Passed::TooMuch } else { Passed::AsRead };
        }
        // Nearly all heads come whole.
        if self.bytes.is_empty()
            && is_plain(read)
            && !is_interim(read)
            && let Some(end) = end_of_head(read).filter(|end| *end <= RAW_HEAD_BYTES_MAX)
            && !has_double_ends(&read[..end])
        {
            self.bytes.extend_from_slice(&read[..end]);
            self.stage = HeadStage::Ended;
            return Passed::AsRead;
        }
        let (mut passed, mut rest) = (Vec::new(), read);
        while self.stage == HeadStage::Coming && !rest.is_empty() {
            let (kept, over) = rest.split_at(rest.len().min(RAW_HEAD_BYTES_MAX - self.bytes.len()));
            // The end may stand across two reads.
            let from = self.bytes.len().saturating_sub(END_BYTES_MAX - 1);
            self.bytes.extend_from_slice(kept);
            rest = over;
            self.find_ends(from, &mut passed);
            if self.endless_interim || self.interim > INTERIM_BYTES_MAX {
                return Passed::EndlessInterim;
            }
        }
        passed.extend_from_slice(rest);
        if passed.is_empty() { Passed::Nothing } else { Passed::Instead(passed) }
    }

    /// Looks for the end of the head, from there on, and decides what is held back no more.
    fn find_ends(&mut self, mut from: usize, passed: &mut Vec<u8>) {
        if self.skip_line_ends() {
            from = 0;
        }
        while may_be_head(&self.bytes)
            && let Some(end) = end_of_head(&self.bytes[from..]).map(|end| from + end)
        {
            // An interim response (RFC 9110 section 15.2) is followed by the one that counts; nobody needs it.
            if !is_interim(&self.bytes) {
                self.stage = HeadStage::Ended;
                pass(&self.bytes[..end], passed);
                passed.extend_from_slice(&self.bytes[end..]);
                self.bytes.truncate(end);
                return;
            }
            self.interim += end;
            let head = RawHead::parse(&self.bytes[..end], false);
            self.odd_interim |= head.is_none_or(|head| !head.end_is_told);
            self.bytes.drain(..end);
            self.skip_line_ends();
            from = 0;
        }
        if !may_be_head(&self.bytes) {
            self.stage = HeadStage::Foreign;
        } else if self.bytes.len() < RAW_HEAD_BYTES_MAX {
            return;
        } else if is_interim(&self.bytes) {
            return self.shorten_interim();
        } else {
            self.stage = HeadStage::Overlong;
        }
        passed.extend_from_slice(&self.bytes);
    }

    /// Of an interim response its first line counts, and what may begin its end.
    fn shorten_interim(&mut self) {
        self.odd_interim = true;
        let end = self.bytes.len() - (END_BYTES_MAX - 1);
        let first_line = memchr(b'\n', &self.bytes).map_or(end, |at| at + 1);
        // One whose first line takes the room would be looked through again for each few bytes that come.
        self.endless_interim = first_line >= end / 2;
        self.interim += end.saturating_sub(first_line);
        self.bytes.drain(first_line.min(end)..end);
    }

    /// Line ends before a status line are skipped (RFC 9112 section 2.2). Says whether there were any.
    fn skip_line_ends(&mut self) -> bool {
        let ends = self.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.bytes.drain(..ends);
        ends > 0
    }
}

impl RawHead {
    /// Reads a head; its headers too, `with_headers`.
    fn parse(bytes: &[u8], with_headers: bool) -> Option<Self> {
        let status = status(bytes)?;
        let mut head =
            Self { status, headers: Vec::new(), malformed: Vec::new(), end_is_told: true, is_endless: false };
        let (mut framing, mut after_field) = (Framing::default(), false);
        for line in lines(bytes).skip(1).take_while(|line| !line.is_empty()) {
            if let [b' ' | b'\t', ..] = line {
                framing.folded();
                head.unfold(line, after_field, with_headers);
                continue;
            }
            let found = field(line);
            after_field = found.is_some();
            let Some((name, value)) = found else {
                head.reject(line);
                continue;
            };
            framing.header(name, value);
            if with_headers && head.headers.len() < RESPONSE_HEADERS_MAX {
                let name = name.trim_ascii_end().to_ascii_lowercase();
                let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into();
                head.headers.push((lossy(&name), lossy(value)));
            }
        }
        head.end_is_told =
            is_plain(bytes) && !has_double_ends(bytes) && framing.tells_the_end(status, bytes.starts_with(b"HTTP/1.0"));
        head.is_endless = framing.endless;
        Some(head)
    }

    /// A line goes on with the one before, which may be none.
    fn unfold(&mut self, line: &[u8], after_field: bool, with_headers: bool) {
        if !after_field {
            return self.reject(line);
        }
        let Some((_, value)) = self.headers.last_mut().filter(|_| with_headers) else { return };
        let more = String::from_utf8_lossy(line.trim_ascii());
        let gap = if value.is_empty() || more.is_empty() { "" } else { " " };
        *value = format!("{value}{gap}{more}").into();
    }

    fn reject(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if !line.is_empty() && self.malformed.len() < MALFORMED_LINES_MAX {
            let mut line = String::from_utf8_lossy(line).into_owned();
            line.truncate(line.floor_char_boundary(MALFORMED_LINE_BYTES_MAX));
            self.malformed.push(line);
        }
    }
}

/// What the headers say about where the body ends (RFC 9112 section 6.3), read strictly: a sender and a
/// receiver that read it differently would take the bytes of one response for the next.
#[derive(Debug, Default)]
struct Framing {
    lengths: usize,
    encodings: usize,
    /// The length is not zero.
    promises: bool,
    /// The length is beyond what hyper counts.
    endless: bool,
    odd: bool,
    last_was_framing: bool,
}

impl Framing {
    fn header(&mut self, name: &[u8], value: &[u8]) {
        let token = name.trim_ascii_end();
        let is_length = token.eq_ignore_ascii_case(CONTENT_LENGTH.as_str().as_bytes());
        let is_encoding = token.eq_ignore_ascii_case(TRANSFER_ENCODING.as_str().as_bytes());
        self.last_was_framing = is_length || is_encoding;
        if !self.last_was_framing {
            return;
        }
        self.lengths += usize::from(is_length);
        self.encodings += usize::from(is_encoding);
        self.promises |= is_length && value.iter().any(|byte| *byte != b'0');
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        self.endless |=
            is_length && value.len() >= LENGTH_DIGITS && number(value).is_some_and(|length| length > LENGTH_MAX);
        let well_formed = if is_length { is_number } else { value.eq_ignore_ascii_case(b"chunked") };
        self.odd |= !well_formed || token.len() != name.len();
    }

    /// The header before goes on.
    fn folded(&mut self) {
        self.odd |= self.last_was_framing;
    }

    fn tells_the_end(&self, status: u16, is_1_0: bool) -> bool {
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        let contradicts = self.lengths + self.encodings > 1;
        let needless = bodiless && (self.encodings > 0 || self.promises);
        !(self.odd || contradicts || needless || (is_1_0 && self.encodings > 0))
    }
}

/// The greatest Content-Length that hyper takes.
const LENGTH_MAX: u64 = u64::MAX - 2;
/// The digits that it has.
const LENGTH_DIGITS: usize = 20;

/// The code of a status line: however it is spaced (RFC 9112 section 4), of any minor version (RFC 9110 section 2.5),
/// and with the protocol's name in any letter case, as browsers read it.
fn status(bytes: &[u8]) -> Option<u16> {
    let line = lines(bytes).next()?;
    let (name, rest) = line.split_at_checked(b"HTTP/1.".len())?;
    let (minor, rest) = rest.split_first()?;
    let code = rest.trim_ascii_start();
    if !name.eq_ignore_ascii_case(b"HTTP/1.") || !minor.is_ascii_digit() || code.len() == rest.len() {
        return None;
    }
    let digits = code.get(..3).filter(|_| code.get(3).is_none_or(u8::is_ascii_whitespace))?;
    number(digits).and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 100)
}

/// Whether a head begins with a status line as RFC 9112 section 4 writes it, of a version that hyper takes.
fn is_plain(bytes: &[u8]) -> bool {
    let Some(line) = lines(bytes).next().and_then(|line| line.strip_prefix(b"HTTP/1.")) else { return false };
    let [b'0' | b'1', b' ', code @ ..] = line else { return false };
    let Some((code, reason)) = code.split_at_checked(3) else { return false };
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 127);
    code.iter().all(u8::is_ascii_digit) && (reason.is_empty() || reason[0] == b' ') && reason.iter().all(is_text)
}

/// Whether another response follows (RFC 9110 section 15.2).
fn is_interim(bytes: &[u8]) -> bool {
    status(bytes).is_some_and(|status| (100..200).contains(&status) && status != 101)
}

/// Whether what has come of a head may become one whose status can be read.
fn may_be_head(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"http/1.";
    let name = bytes.len().min(NAME.len());
    bytes[..name].eq_ignore_ascii_case(&NAME[..name]) && (!bytes.contains(&b'\n') || status(bytes).is_some())
}

/// Adds a head as hyper takes it: with a status line of its own where that is oddly written, with single line ends.
fn pass(head: &[u8], passed: &mut Vec<u8>) {
    let mut behind_line = 0;
    if let Some(status) = status(head).filter(|_| !is_plain(head)) {
        let minor = if head.get(b"HTTP/1.".len()) == Some(&b'0') { 0 } else { 1 };
        passed.extend_from_slice(format!("HTTP/1.{minor} {status} \r\n").as_bytes());
        behind_line = memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    }
    let rest = &head[behind_line..];
    if !has_double_ends(rest) {
        return passed.extend_from_slice(rest);
    }
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        passed.extend_from_slice(line.strip_suffix(DOUBLE_END).unwrap_or(line));
        passed.extend_from_slice(if line.ends_with(DOUBLE_END) { b"\r\n" } else { b"" });
    }
}

/// The line end of programs that write CRLF on a system that makes a CRLF of each LF: curl reads it, too.
const DOUBLE_END: &[u8] = b"\r\r\n";

/// Whether a line of a head ends so: then its body may have more bytes than was counted, for the same reason.
fn has_double_ends(head: &[u8]) -> bool {
    memmem::find(head, DOUBLE_END).is_some()
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
}

/// Lines without their ends, which are LF, CRLF or [`DOUBLE_END`].
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

/// Name and value of a header line; the name may have spaces behind it. As hyper: a name of token characters
/// (RFC 9110 section 5.6.2), a value without control characters.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let token = name.trim_ascii_end();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 127);
    (!token.is_empty() && token.iter().all(is_token) && value.iter().all(is_text)).then_some((name, value))
}

/// Where the head ends that `bytes` hold the end of: behind its first empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let ends: [&[u8]; 3] = [b"\n\r\n", b"\n\n", b"\n\r\r\n"];
    ends.into_iter().filter_map(|end| memmem::find(bytes, end).map(|at| at + end.len())).min()
}

/// Bytes of the longest of them.
const END_BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests;
