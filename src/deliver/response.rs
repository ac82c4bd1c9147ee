//! The response, as far as it is read and retained: an endpoint decides neither.

use hyper::header::{HeaderMap, LOCATION};

use crate::config::{RESPONSE_BODY_RETAINED_MAX, RESPONSE_HEADER_BYTES_RETAINED_MAX, RESPONSE_READ_MAX};
use crate::workspace::event::{Header, Response};

/// A response that is being read.
#[derive(Debug)]
pub(super) struct ResponseReader {
    /// The status code.
    pub(super) status: u16,
    headers: Vec<Header>,
    location: Option<String>,
    body: Vec<u8>,
    read: usize,
}

impl ResponseReader {
    pub(super) fn new(status: u16, headers: &HeaderMap) -> Self {
        let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Self { status, headers: retained(headers), location, body: Vec::new(), read: 0 }
    }

    /// Where a redirect points to.
    pub(super) fn location(&self) -> Option<&str> {
        self.location.as_deref()
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

    pub(super) fn finish(self) -> Response {
        let mut body = String::from_utf8_lossy(&self.body).into_owned();
        // A replaced byte takes three, so the text may be longer than the bytes were.
        let truncated = self.read > RESPONSE_BODY_RETAINED_MAX || body.len() > RESPONSE_BODY_RETAINED_MAX;
        body.truncate(body.floor_char_boundary(RESPONSE_BODY_RETAINED_MAX));
        Response { status: self.status, headers: self.headers, body, truncated }
    }
}

/// The headers that fit into [`RESPONSE_HEADER_BYTES_RETAINED_MAX`]; one that does not is left out.
fn retained(headers: &HeaderMap) -> Vec<Header> {
    let mut room = RESPONSE_HEADER_BYTES_RETAINED_MAX;
    let mut retained = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if let Some(left) = room.checked_sub(name.as_str().len() + value.len()) {
            room = left;
            retained.push((name.as_str().to_owned().into(), value.into_owned().into()));
        }
    }
    retained
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn reader(body: &[&[u8]]) -> ResponseReader {
        let mut reader = ResponseReader::new(200, &HeaderMap::new());
        for bytes in body {
            reader.push(bytes);
        }
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
        assert_eq!(names(ResponseReader::new(200, &headers)), ["a", "c"]);
    }
}
