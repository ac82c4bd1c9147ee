//! Endpoints that answer with what they were sent (request bins, debug pages): the values of a webhook's own headers are
//! masked in what is retained of the response, for nothing shows them again.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, COOKIE, HeaderName, HeaderValue, USER_AGENT};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::MALFORMED_LINE_BYTES_MAX;
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
    /// Of a webhook's own headers: each value as a whole and those of its parts that are secrets by themselves, as they are and
    /// as programs write them into other texts.
    pub(super) fn of(headers: &[(HeaderName, HeaderValue)]) -> Self {
        let told = headers.iter().filter(|(name, _)| !NO_SECRETS.contains(name));
        let texts = told.filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
        let written = texts.flat_map(|(name, text)| parts(name, text)).flat_map(|part| written(&part));
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
        for (_, value) in &mut response.headers {
            if let Cow::Owned(masked) = self.masked_text(value) {
                *value = masked.into();
            }
        }
        for line in &mut response.malformed {
            self.mask(line, line.len() + char::MAX_LEN_UTF8 > MALFORMED_LINE_BYTES_MAX);
        }
        self.mask(&mut response.body, response.truncated);
        response
    }

    /// Takes them out of a text, and where it `is_cut` also what begins one at its end.
    pub(super) fn mask(&self, text: &mut String, is_cut: bool) {
        if let Cow::Owned(masked) = self.masked_text(text) {
            *text = masked;
        }
        if let Some(begun) = self.begun_at_the_end(text).filter(|_| is_cut) {
            text.truncate(text.len() - begun);
            text.push_str(MASK);
        }
    }

    /// A text without them.
    pub(super) fn masked_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for part in self.0.iter().map(Confidential::expose) {
            if masked.contains(part) {
                masked = masked.replace(part, MASK).into();
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

/// A value, and what of it is a secret by itself: what stands behind a scheme (`Bearer …`), the password of `Basic`, the
/// cookies.
fn parts(name: &HeaderName, text: &str) -> Vec<String> {
    let mut parts = vec![text.to_owned()];
    if *name == COOKIE {
        parts.extend(text.split(';').filter_map(|cookie| Some(cookie.split_once('=')?.1.trim().to_owned())));
    } else if let Some((scheme, rest)) = text.split_once(' ') {
        let rest = rest.trim();
        let decoded =
            Some(rest).filter(|_| scheme.eq_ignore_ascii_case("basic")).and_then(|rest| STANDARD.decode(rest).ok());
        if let Some(decoded) = decoded.and_then(|decoded| String::from_utf8(decoded).ok()) {
            parts.extend(decoded.split_once(':').map(|(_user, password)| password.to_owned()));
            parts.push(decoded);
        }
        parts.push(rest.to_owned());
    }
    parts
}

/// A text as it is, in JSON, in HTML and in URLs.
fn written(part: &str) -> [String; 9] {
    let json = part.replace('\\', "\\\\").replace('"', "\\\"");
    // PHP writes a slash so.
    let php = json.replace('/', "\\/");
    // Go, .NET and Ruby on Rails, whose pages may hold JSON.
    let for_pages = |hex: fn(u32) -> String| {
        let letters = json.chars().map(|c| match c {
            '&' | '<' | '>' | '\'' | '+' => hex(u32::from(c)),
            c => c.to_string(),
        });
        letters.collect::<String>()
    };
    let html = part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let in_url = utf8_percent_encode(part, UNRESERVED).to_string();
    // ASP.NET's hexadecimal digits are small, and Python leaves slashes.
    let (small, slashes) = (small_hex(&in_url), in_url.replace("%2F", "/"));
    [
        part.to_owned(),
        php,
        for_pages(|code| format!("\\u{code:04x}")),
        for_pages(|code| format!("\\u{code:04X}")),
        json,
        html,
        in_url,
        small,
        slashes,
    ]
}

/// Percent-encoded text with its hexadecimal digits small.
fn small_hex(encoded: &str) -> String {
    let mut pieces = encoded.split('%');
    let begin = pieces.next().unwrap_or_default().to_owned();
    // Behind a percent sign two digits follow, which the encoder wrote.
    let small =
        |piece: &str| piece.split_at_checked(2).map(|(hex, rest)| format!("%{}{rest}", hex.to_ascii_lowercase()));
    pieces.filter_map(small).fold(begin, |text, piece| text + &piece)
}

/// Everything but what a URL need not escape (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(values: &[&'static str], body: &str) -> String {
        masked_of("x-token", values, body)
    }

    fn masked_of(name: &'static str, values: &[&'static str], body: &str) -> String {
        let named = |value| (HeaderName::from_static(name), HeaderValue::from_static(value));
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

    #[test]
    fn values_are_masked_as_programs_write_them_into_other_texts() {
        for body in [
            r#"{"x":"a&b<c>d+e/f"}"#,
            r#"{"x":"a\u0026b\u003cc\u003ed\u002be/f"}"#,
            r#"{"x":"a\u0026b\u003Cc\u003Ed\u002Be/f"}"#,
            r#"{"x":"a&b<c>d+e\/f"}"#,
            "<td>a&amp;b&lt;c&gt;d+e/f</td>",
            "/login?key=a%26b%3Cc%3Ed%2Be%2Ff",
            "/login?key=a%26b%3cc%3ed%2be%2ff",
            "/login?key=a%26b%3Cc%3Ed%2Be/f",
        ] {
            let text = masked(&["a&b<c>d+e/f"], body);
            assert!(
                text.contains(MASK) && !text.contains("c>d") && !text.to_lowercase().contains("%3c"),
                "{body}: {text}"
            );
        }
        // "user:p4ssword-1"
        let basic = masked_of(
            "authorization",
            &["Basic dXNlcjpwNHNzd29yZC0x"],
            "PHP_AUTH_PW => p4ssword-1; dXNlcjpwNHNzd29yZC0x",
        );
        assert_eq!(basic, "PHP_AUTH_PW => ***; ***");
        assert_eq!(masked_of("cookie", &["a=1; sid=s3cret-cookie"], "sid is s3cret-cookie"), "sid is ***");
    }

    #[test]
    fn a_line_that_is_cut_off_shows_no_beginning() {
        let headers = [(HeaderName::from_static("x-token"), HeaderValue::from_static("s3cret-value-of-a-header"))];
        let line = format!("{}s3cret-value-of-a", "x".repeat(MALFORMED_LINE_BYTES_MAX - 17));
        let response =
            Response { status: 200, headers: Vec::new(), malformed: vec![line], body: String::new(), truncated: false };
        let masked = Echoes::of(&headers).masked(response);
        assert!(masked.malformed[0].ends_with("x***"), "{masked:?}");
    }
}
