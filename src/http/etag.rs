//! Which revision of a webhook a caller saw: `ETag` out, `If-Match` in, or `If-None-Match: *` (RFC 9110, sections 8.8.3 and 13.1).
//!
//! The tag is the seq of the last change by a person. So it tells nothing of the values of custom headers, and neither
//! attempts nor a switch-off by errors change it.

use axum::extract::FromRequestParts;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

use super::problem::{Problem, ProblemKind};
use crate::config::IF_MATCH_TAGS_MAX;

/// The tag of a revision.
pub(super) fn etag(revision: u64) -> HeaderValue {
    // Digits between quotes are a header's value.
    HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// The revisions that a caller saw; `None` when it makes no condition, or any (`*`): a workspace that was never seen has
/// a webhook too, if only one that is not configured. Who wants to be the first (`If-None-Match: *`) has seen the revision
/// before every save.
pub(super) struct IfMatch(pub(super) Option<Vec<u64>>);

impl IfMatch {
    fn of(headers: &HeaderMap) -> Result<Self, Malformed> {
        let lines: Vec<&[u8]> = headers.get_all(IF_MATCH).iter().map(HeaderValue::as_bytes).collect();
        let list = lines.join(&b',');
        let mut others = headers.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
        match (others.next(), others.next()) {
            (None, _) => {}
            (Some(any), None) if any.trim_ascii() == b"*" && lines.is_empty() => return Ok(Self(Some(vec![UNSAVED]))),
            (Some(_), _) => return Err(Malformed::NotTheFirst),
        }
        if lines.is_empty() || list.trim_ascii() == b"*" {
            return Ok(Self(None));
        }
        let tags = tags(&list).ok_or(Malformed::NoTags)?;
        if tags.is_empty() || tags.len() > IF_MATCH_TAGS_MAX {
            return Err(Malformed::NoTags);
        }
        Ok(Self(Some(tags.into_iter().filter_map(revision).collect())))
    }
}

/// The revision of a webhook that nobody has saved.
const UNSAVED: u64 = 0;

/// There is no such condition.
#[derive(Debug, PartialEq, Eq)]
enum Malformed {
    /// `If-Match` is no list of entity tags.
    NoTags,
    /// `If-None-Match` is something else than `*`, or stands beside `If-Match`.
    NotTheFirst,
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        let detail = match malformed {
            Malformed::NoTags => format!(
                "nothing was saved: `If-Match` must be the ETag of the webhook with its quotes, such as \"7\", up to \
                 {IF_MATCH_TAGS_MAX} of them with commas between, or *"
            ),
            Malformed::NotTheFirst => {
                "nothing was saved: `If-None-Match` can only be *, without `If-Match`: it saves where \
                nobody has saved yet; send the ETag that you saw as `If-Match`"
                    .to_owned()
            }
        };
        Self::new(ProblemKind::InvalidIfMatch, detail)
    }
}

/// One tag of a list.
#[derive(Debug, Clone, Copy)]
struct Tag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

/// The tags of a list; empty elements are passed over (RFC 9110, section 5.6.1). `None` where it is none. A tag may hold
/// commas, so the list is not split at them.
fn tags(list: &[u8]) -> Option<Vec<Tag<'_>>> {
    let (mut tags, mut rest) = (Vec::new(), list);
    loop {
        rest = rest.trim_ascii_start();
        while let Some(more) = rest.strip_prefix(b",") {
            rest = more.trim_ascii_start();
        }
        if rest.is_empty() {
            return Some(tags);
        }
        let (is_weak, quoted) = rest.strip_prefix(b"W/").map_or((false, rest), |quoted| (true, quoted));
        let inside = quoted.strip_prefix(b"\"")?;
        let end = inside.iter().position(|byte| *byte == b'"')?;
        let (opaque, behind) = (&inside[..end], inside[end + 1..].trim_ascii_start());
        let is_allowed = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
        if !opaque.iter().all(is_allowed) || !(behind.is_empty() || behind.starts_with(b",")) {
            return None;
        }
        tags.push(Tag { is_weak, opaque });
        rest = behind;
    }
}

/// The revision that a tag names. A weak one matches nothing (RFC 9110, section 13.1.1), nor does one that is not ours.
fn revision(tag: Tag<'_>) -> Option<u64> {
    let digits = std::str::from_utf8(tag.opaque).ok()?;
    let number = digits.parse::<u64>().ok()?;
    (!tag.is_weak && number.to_string() == digits).then_some(number)
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[&str]) -> Result<Option<Vec<u64>>, Malformed> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        IfMatch::of(&headers).map(|seen| seen.0)
    }

    #[test]
    fn a_condition_is_read_as_the_rfc_says() {
        assert_eq!(seen(&[]), Ok(None));
        assert_eq!(seen(&[" * "]), Ok(None));
        assert_eq!(etag(7), "\"7\"");
        for (lines, revisions) in [
            (&["\"7\""][..], &[7][..]),
            (&["\"7\" ,\t\"9\"", "\"12\""], &[7, 9, 12]),
            (&[",\"7\",, "], &[7]),
            (&["\"x\", \"7\""], &[7]),
            (&["\"7,8\", \"9\""], &[9]),
            (&["W/\"7\""], &[]),
            (&["W/\"7\", \"8\""], &[8]),
            (&["\"\""], &[]),
            (&["\"07\""], &[]),
            (&["\"-1\""], &[]),
            (&["\"99999999999999999999\""], &[]),
            (&["\"é\""], &[]),
        ] {
            assert_eq!(seen(lines), Ok(Some(revisions.to_vec())), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        let many = "\"1\",".repeat(IF_MATCH_TAGS_MAX + 1);
        for line in
            ["", ",", "7", "\"7", "7\"", "\"7\" \"8\"", "w/\"7\"", "W/7", "*, \"7\"", "\"7\", *", "\"a b\"", &many]
        {
            assert_eq!(seen(&[line]), Err(Malformed::NoTags), "{line}");
        }
        assert_eq!(seen(&[&"\"1\",".repeat(IF_MATCH_TAGS_MAX)]).unwrap().unwrap().len(), IF_MATCH_TAGS_MAX);
    }

    #[test]
    fn who_wants_to_be_the_first_has_seen_the_revision_before_every_save() {
        let seen = |none: &[&str], lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for (name, values) in [(IF_NONE_MATCH, none), (IF_MATCH, lines)] {
                for value in values {
                    headers.append(&name, HeaderValue::from_str(value).unwrap());
                }
            }
            IfMatch::of(&headers).map(|seen| seen.0)
        };
        assert_eq!(seen(&[" * "], &[]), Ok(Some(vec![0])));
        for (none, lines) in [(&["\"7\""][..], &[][..]), (&[""], &[]), (&["*", "*"], &[]), (&["*"], &["\"7\""])] {
            assert_eq!(seen(none, lines), Err(Malformed::NotTheFirst), "{none:?} {lines:?}");
        }
    }
}
