//! Endpoints that answer with what they were sent (request bins, debug pages): the values of a webhook's own headers are
//! masked in what is retained of the response, for nothing shows them again.

use std::borrow::Cow;

use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderName, HeaderValue, USER_AGENT};

use crate::workspace::Confidential;
use crate::workspace::event::Response;
use crate::workspace::headers::MASK;

/// What is looked for in responses.
#[derive(Debug, Default)]
pub(super) struct Echoes(Vec<Confidential>);

/// Headers whose values are no secrets, and stand in many responses anyway.
const NO_SECRETS: [HeaderName; 3] = [ACCEPT, ACCEPT_LANGUAGE, USER_AGENT];
/// Shorter values stand in any text by chance.
const ECHO_BYTES_MIN: usize = 6;

impl Echoes {
    /// Of a webhook's own headers: each value as a whole, what stands behind its scheme (`Bearer …`), and both as JSON writes them.
    pub(super) fn of(headers: &[(HeaderName, HeaderValue)]) -> Self {
        let told = headers.iter().filter(|(name, _)| !NO_SECRETS.contains(name));
        let texts = told.filter_map(|(_, value)| value.to_str().ok());
        let parts = texts.flat_map(|text| [Some(text), text.split_once(' ').map(|(_scheme, rest)| rest.trim())]);
        let written = parts.flatten().flat_map(|part| {
            let json = part.replace('\\', "\\\\").replace('"', "\\\"");
            // PHP writes a slash so.
            let php = json.replace('/', "\\/");
            [part.to_owned(), json, php]
        });
        let mut parts: Vec<String> = written.filter(|part| part.len() >= ECHO_BYTES_MIN).collect();
        // The longest first: one may hold another.
        parts.sort_unstable_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
        parts.dedup();
        Self(parts.into_iter().map(Into::into).collect())
    }

    /// The response without them.
    pub(super) fn masked(&self, mut response: Response) -> Response {
        if self.0.is_empty() {
            return response;
        }
        let values = response.headers.iter_mut().map(|(_, value)| value);
        for value in values {
            if let Some(masked) = self.masked_text(value) {
                *value = Cow::Owned(masked);
            }
        }
        for text in response.malformed.iter_mut().chain([&mut response.body]) {
            if let Some(masked) = self.masked_text(text) {
                *text = masked;
            }
        }
        if response.truncated
            && let Some(begun) = self.begun_at_the_end(&response.body)
        {
            response.body.truncate(response.body.len() - begun);
            response.body.push_str(MASK);
        }
        response
    }

    /// `None` if nothing is to be masked.
    fn masked_text(&self, text: &str) -> Option<String> {
        let mut masked: Option<String> = None;
        for part in self.0.iter().map(Confidential::expose) {
            let now = masked.as_deref().unwrap_or(text);
            if now.contains(part) {
                masked = Some(now.replace(part, MASK));
            }
        }
        masked
    }

    /// How many bytes at the end of a text that is cut off begin one.
    fn begun_at_the_end(&self, text: &str) -> Option<usize> {
        let begun = |part: &str| (ECHO_BYTES_MIN..part.len()).rev().find(|length| text.ends_with(&part[..*length]));
        self.0.iter().map(Confidential::expose).filter_map(begun).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(values: &[&'static str], body: &str) -> String {
        let named = |value| (HeaderName::from_static("x-token"), HeaderValue::from_static(value));
        let mut headers: Vec<_> = values.iter().copied().map(named).collect();
        headers.push((ACCEPT, HeaderValue::from_static("application/json")));
        let response = Response {
            status: 200,
            headers: Vec::new(),
            malformed: Vec::new(),
            body: body.to_owned(),
            truncated: true,
        };
        Echoes::of(&headers).masked(response).body
    }

    #[test]
    fn values_are_masked_wherever_they_stand_and_also_cut_off() {
        for (values, body, shown) in [
            (
                &["Bearer h34derS3cret"][..],
                "{\"authorization\":\"Bearer h34derS3cret\"}",
                "{\"authorization\":\"***\"}",
            ),
            (&["Bearer h34derS3cret"], "token=h34derS3cret, token=h34derS3cret", "token=***, token=***"),
            (&["Bearer h34derS3cret"], "… h34derS3", "… ***"),
            (&["abcdef", "abcdefgh"], "abcdefgh abcdef", "*** ***"),
            (&["Basic a/b\"cdef=="], r#"{"sent":"a\/b\"cdef=="}"#, r#"{"sent":"***"}"#),
            (&["12345"], "12345 is no secret", "12345 is no secret"),
            (&[], "application/json", "application/json"),
            (&[], "h34derS3cret", "h34derS3cret"),
        ] {
            assert_eq!(masked(values, body), shown, "{values:?}");
        }
    }
}
