//! What came back, as far as it is kept: an endpoint decides neither how much we read nor how much we store.

use reqwest::header::{HeaderMap, LOCATION};

use crate::config::{RESPONSE_HEADER_BYTES_KEPT_MAX, RESPONSE_KEPT_MAX, RESPONSE_READ_MAX};
use crate::workspace::event::Response;

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    location: Option<String>,
    body: Vec<u8>,
    read: usize,
}

impl Answer {
    pub(super) fn new(status: u16, headers: &HeaderMap) -> Self {
        let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Self { status, headers: kept(headers), location, body: Vec::new(), read: 0 }
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
        let room = RESPONSE_KEPT_MAX - self.body.len();
        self.body.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.read = self.read.saturating_add(bytes.len());
    }

    pub(super) fn into_response(self) -> Response {
        let mut body = String::from_utf8_lossy(&self.body).into_owned();
        // A replaced byte takes three, so the text may be longer than the bytes were.
        let truncated = self.read > RESPONSE_KEPT_MAX || body.len() > RESPONSE_KEPT_MAX;
        body.truncate(body.floor_char_boundary(RESPONSE_KEPT_MAX));
        Response { status: self.status, headers: self.headers, body, truncated }
    }
}

/// The headers that fit into [`RESPONSE_HEADER_BYTES_KEPT_MAX`]; one that does not is left out.
fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut room = RESPONSE_HEADER_BYTES_KEPT_MAX;
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if let Some(left) = room.checked_sub(name.as_str().len() + value.len()) {
            room = left;
            kept.push((name.as_str().to_owned(), value.into_owned()));
        }
    }
    kept
}
