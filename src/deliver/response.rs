//! The response, as far as it is read and retained: an endpoint decides neither.

use std::borrow::Cow;
use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderName, LOCATION};

use super::head::RawHead;
use crate::config::{RESPONSE_BODY_RETAINED_MAX, RESPONSE_HEADER_BYTES_RETAINED_MAX, RESPONSE_READ_MAX};
use crate::workspace::event::{Header, Response};

/// Content codings (IANA's registry) that leave no text. Others, such as `UTF-8`, are mistakes that change nothing.
const PACKING: [&str; 12] = [
    "aes128gcm",
    "br",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "gzip",
    "pack200-gzip",
    "x-compress",
    "x-gzip",
    "zstd",
];

/// A response that is being read.
#[derive(Debug)]
pub(super) struct ResponseReader {
    /// The status code.
    pub(super) status: u16,
    headers: Vec<Header>,
    malformed: Vec<String>,
    /// How the body is encoded although nobody asked for it.
    encoding: Option<String>,
    body: Vec<u8>,
    read: usize,
    /// The body was read to its end, and that end could be told.
    ended: bool,
}

impl ResponseReader {
    pub(super) fn new(status: u16, headers: &HeaderMap, malformed: Vec<String>) -> Self {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
        Self::with(status, retained(pairs), malformed)
    }

    /// The response whose head no parser takes, and whose body cannot be read.
    pub(super) fn of_raw(head: RawHead) -> Self {
        let pairs = head.headers.iter().map(|(name, value)| (&**name, Cow::Borrowed(&**value)));
        Self::with(head.status, retained(pairs), head.malformed)
    }

    fn with(status: u16, headers: Vec<Header>, malformed: Vec<String>) -> Self {
        let encodings = headers.iter().filter(|(name, _)| name == CONTENT_ENCODING.as_str()).map(|(_, value)| &**value);
        let packs = |coding: &&str| PACKING.iter().any(|known| known.eq_ignore_ascii_case(coding));
        let packing: Vec<&str> = encodings.flat_map(|value| value.split(',')).map(str::trim).filter(packs).collect();
        let encoding = (!packing.is_empty()).then(|| packing.join(", "));
        Self { status, headers, malformed, encoding, body: Vec::new(), read: 0, ended: false }
    }

    /// Where a redirect points to.
    pub(super) fn location(&self) -> Option<&str> {
        find(&self.headers, &LOCATION)
    }

    /// How long the endpoint promises to keep an idle connection (RFC 2068 section 19.7.1), whole seconds.
    pub(super) fn keep_alive(&self) -> Option<Duration> {
        let value = find(&self.headers, &HeaderName::from_static("keep-alive"))?;
        let seconds = value.split([',', ';']).find_map(|parameter| {
            let (name, seconds) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("timeout").then(|| seconds.trim().trim_matches('"').parse().ok())?
        });
        seconds.map(Duration::from_secs)
    }

    /// Whether the next bytes of the body should be read.
    pub(super) fn wants_more(&self) -> bool {
        self.read < RESPONSE_READ_MAX
    }

    /// Takes in the next bytes of the body.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = RESPONSE_BODY_RETAINED_MAX - self.body.len();
        self.body.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.read = self.read.saturating_add(bytes.len());
    }

    /// There is nothing more to read.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn finish(self) -> Response {
        let Self { status, headers, malformed, read, ended, .. } = self;
        if let Some(encoding) = self.encoding.filter(|_| read > 0) {
            // The bytes would be noise in the log.
            let body = format!("{encoding}, {read} bytes");
            return Response { status, headers, malformed, body, truncated: !ended };
        }
        let mut body = String::from_utf8_lossy(&self.body).into_owned();
        // A replaced byte takes three, so the text may be longer than the bytes were.
        let truncated = !ended || read > RESPONSE_BODY_RETAINED_MAX || body.len() > RESPONSE_BODY_RETAINED_MAX;
        body.truncate(body.floor_char_boundary(RESPONSE_BODY_RETAINED_MAX));
        Response { status, headers, malformed, body, truncated }
    }
}

fn find<'a>(headers: &'a [Header], name: &HeaderName) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name.as_str()).map(|(_, value)| &**value)
}

/// The headers that fit into [`RESPONSE_HEADER_BYTES_RETAINED_MAX`]; one that does not is left out.
fn retained<'a>(headers: impl Iterator<Item = (&'a str, Cow<'a, str>)>) -> Vec<Header> {
    let mut room = RESPONSE_HEADER_BYTES_RETAINED_MAX;
    let mut retained = Vec::with_capacity(headers.size_hint().0);
    for (name, value) in headers {
        if let Some(left) = room.checked_sub(name.len() + value.len()) {
            room = left;
            retained.push((name.to_owned().into(), value.into_owned().into()));
        }
    }
    retained
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn reader(body: &[&[u8]]) -> ResponseReader {
        let mut reader = ResponseReader::new(200, &HeaderMap::new(), Vec::new());
        for bytes in body {
            reader.push(bytes);
        }
        reader.end();
        reader
    }

    #[test]
    fn four_kib_are_retained_and_one_more_byte_is_cut() {
        let whole = reader(&[&[b'x'; RESPONSE_BODY_RETAINED_MAX - 1], b"y"]).finish();
        assert_eq!((whole.body.len(), whole.truncated), (RESPONSE_BODY_RETAINED_MAX, false));
        assert!(whole.body.ends_with("xy"));
        let held = reader(&[&[b'x'; RESPONSE_BODY_RETAINED_MAX - 1], b"yz", b"more"]);
        assert_eq!(held.body.len(), RESPONSE_BODY_RETAINED_MAX);
        let cut = held.finish();
        assert_eq!((cut.body.as_str(), cut.truncated), (whole.body.as_str(), true));
    }

    #[test]
    fn replaced_bytes_do_not_make_more_of_it() {
        let response = reader(&[&[0xff; RESPONSE_BODY_RETAINED_MAX]]).finish();
        assert_eq!(response.body, "\u{fffd}".repeat(RESPONSE_BODY_RETAINED_MAX / 3));
        assert!(response.truncated);
        let response = reader(&[b"a\xffb"]).finish();
        assert_eq!((response.body.as_str(), response.truncated), ("a\u{fffd}b", false));
    }

    #[test]
    fn sixteen_kib_are_read() {
        assert!(reader(&[&[b'x'; RESPONSE_READ_MAX - 1]]).wants_more());
        assert!(!reader(&[&[b'x'; RESPONSE_READ_MAX - 1], b"x"]).wants_more());
        assert!(!reader(&[&[b'x'; RESPONSE_READ_MAX * 2]]).wants_more());
    }

    #[test]
    fn headers_are_retained_as_long_as_they_fit() {
        let headers: HeaderMap = [
            ("a", "x".repeat(RESPONSE_HEADER_BYTES_RETAINED_MAX - 5)),
            ("b", "long".to_owned()),
            ("c", "fit".to_owned()),
            ("d", String::new()),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap()))
        .collect();
        let names =
            |reader: ResponseReader| reader.finish().headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(ResponseReader::new(200, &headers, Vec::new())), ["a", "c"]);
    }
}
