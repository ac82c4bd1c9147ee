//! The response, as far as it is read and retained: an endpoint decides neither.

use std::borrow::Cow;
use std::time::Duration;

use hyper::header::{CONNECTION, CONTENT_ENCODING, HeaderMap, LOCATION};

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

/// A Location that came and was not retained: what holds U+FFFD is an address that cannot be read.
const UNREADABLE_LOCATION: &str = "\u{fffd}";

/// A response that is being read.
#[derive(Debug)]
pub(super) struct ResponseReader {
    /// The status code.
    pub(super) status: u16,
    headers: Vec<Header>,
    malformed: Vec<String>,
    /// A Location came, retained or not.
    has_location: bool,
    /// How long the endpoint promises to keep an idle connection.
    keep_alive: Option<Duration>,
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
        let mut reader = Self::with(status, retained(pairs), malformed);
        // Of all headers, also those that are not retained.
        reader.keep_alive = keep_alive(headers);
        reader.has_location |= headers.contains_key(LOCATION);
        reader
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
        let is_location = |line: &String| line.to_ascii_lowercase().starts_with("location");
        let (has_location, keep_alive, body) = (malformed.iter().any(is_location), None, Vec::new());
        Self { status, headers, malformed, has_location, keep_alive, encoding, body, read: 0, ended: false }
    }

    /// Where a redirect points to.
    pub(super) fn location(&self) -> Option<&str> {
        let is_location = |(name, _): &&Header| name == LOCATION.as_str();
        let retained = self.headers.iter().find(is_location).map(|(_, value)| &**value);
        retained.or_else(|| self.has_location.then_some(UNREADABLE_LOCATION))
    }

    /// How long the endpoint promises to keep an idle connection, whole seconds.
    pub(super) fn keep_alive(&self) -> Option<Duration> {
        self.keep_alive
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

/// The least of all promises to keep an idle connection (RFC 2068 section 19.7.1): lines of one name are one list
/// (RFC 9110 section 5.3). One that cannot be read promises nothing.
fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    // Some write it behind `Connection: keep-alive`.
    let lines = headers.get_all("keep-alive").iter().chain(headers.get_all(CONNECTION));
    let promised = |line: &[u8]| line.split(|byte| matches!(byte, b',' | b';')).filter_map(promised_seconds).min();
    lines.filter_map(|line| promised(line.as_bytes())).min().map(Duration::from_secs)
}

/// The whole seconds of a parameter `timeout=2`, however it is written: `Timeout = "2"`, `timeout: 2.5`, `timeout=2s`, `2`.
fn promised_seconds(parameter: &[u8]) -> Option<u64> {
    let parameter = parameter.trim_ascii();
    let name = parameter.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (name, value) = parameter.split_at(name);
    let is_bare = || name.is_empty() && value.first().is_some_and(u8::is_ascii_digit);
    if !name.eq_ignore_ascii_case(b"timeout") && !is_bare() {
        return None;
    }
    let is_mark = |byte: &&u8| matches!(byte, b'=' | b':' | b'"' | b'\'' | b' ' | b'\t');
    let value = &value[value.iter().take_while(is_mark).count()..];
    let (whole, rest) = value.split_at(value.iter().take_while(|byte| byte.is_ascii_digit()).count());
    // What is left are a part of a second and its unit; any other unit is not known.
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    let unit = &rest[rest.iter().take_while(|byte| byte.is_ascii_digit()).count()..];
    let is_known = matches!(unit.trim_ascii(), b"" | b"s" | b"S" | b"\"" | b"'" | b"sec" | b"seconds");
    let seconds =
        || whole.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(if is_known { seconds() } else { 0 })
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
    fn the_least_promise_counts_however_it_is_written() {
        for (lines, seconds) in [
            (&["timeout=2"][..], Some(2)),
            (&["max=5", "timeout=2"], Some(2)),
            (&["timeout=60", "max=5; TimeOut = \"3\""], Some(3)),
            (&["timeout=60, timeout=2"], Some(2)),
            (&["timeout=2.9"], Some(2)),
            (&["timeout=.5"], Some(0)),
            (&["timeout=2s"], Some(2)),
            (&["timeout = 2 seconds"], Some(2)),
            (&["timeout: 2"], Some(2)),
            (&["5"], Some(5)),
            (&["timeout"], Some(0)),
            (&["timeout="], Some(0)),
            (&["timeout=-1"], Some(0)),
            (&["timeout=+2"], Some(0)),
            (&["timeout=500ms"], Some(0)),
            (&["timeout=\u{e9}"], Some(0)),
            (&["timeout=99999999999999999999999"], Some(u64::MAX)),
            (&["max=100"], None),
            (&["timeouts=2", "x-timeout=2"], None),
            (&[""], None),
            (&[], None),
        ] {
            let name = HeaderName::from_static("keep-alive");
            let value = |line: &&str| (name.clone(), HeaderValue::from_bytes(line.as_bytes()).unwrap());
            let headers: HeaderMap = lines.iter().map(value).collect();
            let reader = ResponseReader::new(200, &headers, Vec::new());
            assert_eq!(reader.keep_alive(), seconds.map(Duration::from_secs), "{lines:?}");
        }
        let headers = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("keep-alive, timeout=2"))]);
        assert_eq!(ResponseReader::new(200, &headers, Vec::new()).keep_alive(), Some(Duration::from_secs(2)));
        // Behind more than is retained.
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_str(&"x".repeat(RESPONSE_HEADER_BYTES_RETAINED_MAX)).unwrap());
        headers.append("keep-alive", HeaderValue::from_static("timeout=2"));
        assert_eq!(ResponseReader::new(200, &headers, Vec::new()).keep_alive(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_location_that_is_not_retained_is_one_that_cannot_be_read() {
        let location = |value: &str, malformed: Vec<String>| {
            let value = HeaderValue::from_str(value).unwrap();
            let headers = HeaderMap::from_iter([(if malformed.is_empty() { LOCATION } else { CONNECTION }, value)]);
            ResponseReader::new(301, &headers, malformed).location().map(str::to_owned)
        };
        assert_eq!(location("/x", Vec::new()).as_deref(), Some("/x"));
        let long = "x".repeat(RESPONSE_HEADER_BYTES_RETAINED_MAX);
        assert_eq!(location(&long, Vec::new()).as_deref(), Some(UNREADABLE_LOCATION));
        assert_eq!(location("close", vec!["Location: /a\u{7}".to_owned()]).as_deref(), Some(UNREADABLE_LOCATION));
        assert_eq!(location("close", vec!["what is this".to_owned()]), None);
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
