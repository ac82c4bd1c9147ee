//! What a redirect says to the people who run the endpoint. It is never followed.

use percent_encoding::percent_decode_str;
use url::Url;

/// Characters of an address that a sentence quotes at most.
const ADDRESS_QUOTED_MAX: usize = 1_000;

/// What an answer with a redirect says and what helps, as the end of a sentence that begins with who answered.
///
/// `url` is what was configured and `location` what the answer says. Neither's query, user info or fragment is
/// quoted, since a token may stand there; nor is a path into which one of them was put.
#[must_use]
pub fn redirect(url: &str, status: u16, location: Option<&str>) -> String {
    let Some(location) = location else {
        return format!(
            "answered {status}, a redirect that does not say where to; redirects are not followed, so save the address \
             that answers by itself"
        );
    };
    // Relative to the URL that answered (RFC 9110 section 10.2.2).
    let from = Url::parse(url).ok();
    // Bytes that are no UTF-8 were replaced, so where it points to is not known any more.
    let readable = Some(location).filter(|location| !location.contains(char::REPLACEMENT_CHARACTER));
    let to = |from: &Url| from.join(readable?).ok();
    let Some((from, to)) = from.and_then(|from| to(&from).map(|to| (from, to))) else {
        return format!(
            "answered {status}, a redirect whose address cannot be read; redirects are not followed, so save the \
             address that answers by itself"
        );
    };
    if !puts_into_path(&from, &to) {
        return format!("answered {status} and points to {}; {}", shown(&to), advice(status, &from, &to));
    }
    let mut place = to.clone();
    place.set_path("");
    let advice = match status {
        301 | 308 => "let the endpoint answer at the address that you saved".to_owned(),
        _ => advice(status, &from, &to),
    };
    format!(
        "answered {status} and points to {}, with a path that is not shown here, since it holds what stands in the query of \
         the address that you saved; {advice}",
        shown(&place)
    )
}

/// Characters of what stands in a query from which on it may be a secret.
const SECRET_CHARACTERS_MIN: usize = 4;

/// Whether the path of `to` holds what no sentence about `from` shows, however it is escaped: rules that rewrite
/// addresses put a query behind `%3F`, or a token of it between slashes.
fn puts_into_path(from: &Url, to: &Url) -> bool {
    let (known, path) = (unescaped(from.path()), unescaped(to.path()));
    !to.cannot_be_a_base() && hidden(from).any(|piece| path.contains(&piece) && !known.contains(&piece))
}

/// Whether a text tells the path of a configured URL, or what stands behind it: a server may repeat what it was asked for.
#[must_use]
pub fn repeats(url: &str, text: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return true };
    let (path, text) = (unescaped(url.path()), unescaped(text));
    path.len() > 1 && text.contains(&path) || hidden(&url).any(|piece| text.contains(&piece))
}

/// What no sentence shows of a configured URL beside its path.
fn hidden(url: &Url) -> impl Iterator<Item = String> {
    let query = url.query().unwrap_or_default();
    let pieces = query.split(['&', ';']).flat_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        [pair, if value.is_empty() { name } else { value }]
    });
    let others = [url.username(), url.password().unwrap_or_default(), url.fragment().unwrap_or_default()];
    let hidden = pieces.chain(others).map(unescaped);
    hidden.filter(|piece| piece.chars().count() >= SECRET_CHARACTERS_MIN)
}

fn unescaped(text: &str) -> String {
    // A redirect of a redirect escapes again.
    let once = |text: String| percent_decode_str(&text).decode_utf8_lossy().into_owned();
    (0..3).fold(text.to_owned(), |text, _| once(text)).to_lowercase()
}

/// 301 and 308 name the address that counts from now on; any other redirect is for one request (RFC 9110
/// section 15.4).
fn advice(status: u16, from: &Url, to: &Url) -> String {
    if !matches!(status, 301 | 308) {
        let apps_script = from.host_str() == Some("script.google.com");
        let how = if apps_script {
            "let doPost return HtmlService.createHtmlOutput(\"ok\") instead of a ContentService text"
        } else {
            "let it answer the POST itself"
        };
        return format!(
            "this endpoint answers by redirect, and that address is for one request, so do not save it: {how}, with a \
             status from 200 to 209"
        );
    }
    if is_same_resource(from, to) {
        return "that is the address that you saved, so let it answer the POST itself, with a status from 200 to 209"
            .to_owned();
    }
    let without_query = is_same_resource(&bare(from), to);
    if query(from).is_some() && without_query {
        return "that is the address that you saved without its query, so let it answer the POST itself, with a status from \
                200 to 209"
            .to_owned();
    }
    let secret = match (query(from), query(to)) {
        (_, Some(_)) => ", with its query, which is not shown here",
        (Some(_), None) => ", and put the query of yours behind it, which that address has lost",
        (None, None) => "",
    };
    match (from.scheme(), to.scheme()) {
        ("https", "http") => {
            "that address is not encrypted, so let the endpoint answer at the one that you saved".to_owned()
        }
        (_, "http" | "https") if is_same_site(from, to) => format!("save that address instead{secret}"),
        (_, scheme) if !matches!(scheme, "http" | "https") => {
            "nothing can be sent there, so let the endpoint answer at the address that you saved".to_owned()
        }
        _ => {
            "redirects are not followed; it leads to another site, so save that address only if it is yours".to_owned()
        }
    }
}

/// A fragment is not sent, and user info is not stored.
fn is_same_resource(a: &Url, b: &Url) -> bool {
    (a.origin(), a.path(), query(a)) == (b.origin(), b.path(), query(b))
}

fn bare(url: &Url) -> Url {
    let mut bare = url.clone();
    bare.set_query(None);
    bare
}

/// An empty query tells nothing.
fn query(url: &Url) -> Option<&str> {
    url.query().filter(|query| !query.is_empty())
}

/// One host, or one below the other: `crm.example` and `www.crm.example`.
fn is_same_site(a: &Url, b: &Url) -> bool {
    let (Some(a), Some(b)) = (a.domain(), b.domain()) else { return a.host() == b.host() };
    let below = |a: &str, b: &str| b.contains('.') && a.strip_suffix(b).is_some_and(|rest| rest.ends_with('.'));
    a == b || below(a, b) || below(b, a)
}

/// A configured URL as sentences show it: without user info, query and fragment.
pub(super) fn shown_in_sentences(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "another one".to_owned(), |url| shown(&url))
}

/// The address without user info, query and fragment.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    let bare = shown.set_username("").and_then(|()| shown.set_password(None));
    match bare {
        Ok(()) => shown.as_str().chars().take(ADDRESS_QUOTED_MAX).collect(),
        // Only a URL without a host refuses a user and a password.
        Err(()) => format!("{}:", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOK: &str = "https://me:pw@crm.example/hook?token=s3cret#frag";

    #[test]
    fn no_sentence_shows_what_may_be_a_token() {
        for status in [300, 301, 302, 303, 304, 307, 308] {
            for location in [
                "/hook/?token=s3cret",
                "?token=s3cret",
                "https://u:s3cret@crm.example/hook/",
                "//crm.example/hook/#s3cret",
                "https://other.example/?t=s3cret",
                "mailto:a@b.example?subject=s3cret",
                "intent:s3cret",
                "https://[s3cret/",
                "/hook%3Ftoken=s3cret",
                "/hook%253Ftoken%253Ds3cret",
                "/hook;token=s3cret",
                "/hook/S3cret/",
                "/hook/%73%33cret",
                "https://other.example/s3cret",
                "ftp://crm.example/s3cret",
                "",
            ] {
                let text = redirect(HOOK, status, Some(location));
                assert!(text.starts_with(&format!("answered {status}")) && !text.contains("s3cret"), "{text}");
                assert!(!text.contains("pw@"), "{text}");
            }
        }
    }

    #[test]
    fn an_address_is_shown_absolute_and_advised_where_it_counts_from_now_on() {
        for (status, location, shown, advice) in [
            (301, "/hook/?token=s3cret", "https://crm.example/hook/", "save that address instead, with its query"),
            (308, "https://www.crm.example/hook", "https://www.crm.example/hook", "save that address instead"),
            (301, "https://crm.example:8443/x", "https://crm.example:8443/x", "save that address instead"),
            (301, "http://crm.example/hook", "http://crm.example/hook", "not encrypted"),
            (301, "https://other.example/", "https://other.example/", "another site"),
            (301, "https://evilcrm.example/", "https://evilcrm.example/", "another site"),
            (301, "/hook?token=s3cret", "https://crm.example/hook", "that is the address that you saved"),
            (308, "#other", "https://crm.example/hook", "that is the address that you saved"),
            (301, "", "https://crm.example/hook", "that is the address that you saved"),
            (301, "//crm.example:443/hook?token=s3cret", "https://crm.example/hook", "the address that you saved"),
            (301, "javascript:s3cret", "javascript:", "nothing can be sent there"),
            (308, "mailto:owner@crm.example", "mailto:", "nothing can be sent there"),
            (301, "ftp://crm.example/", "ftp://crm.example/", "nothing can be sent there"),
            (302, "/login", "https://crm.example/login", "do not save it"),
            (303, "done", "https://crm.example/done", "do not save it"),
            (307, "https://crm.example/b", "https://crm.example/b", "let it answer the POST itself"),
            (301, "/token/", "https://crm.example/token/", "save that address instead, and put the query of yours"),
            (301, "/hook/", "https://crm.example/hook/", "save that address instead, and put the query of yours"),
            (308, "/hook", "https://crm.example/hook", "that you saved without its query"),
            (301, "?", "https://crm.example/hook", "that you saved without its query"),
            (301, "/frags", "https://crm.example/, with a path that is not shown here, since", "that you saved"),
        ] {
            let text = redirect(HOOK, status, Some(location));
            assert!(text.contains(&format!("points to {shown}")) && text.contains(advice), "{text}");
        }
        for location in ["/hook%3Ftoken=s3cret", "/hook;token=s3cret", "/s3cret"] {
            let text = redirect(HOOK, 301, Some(location));
            assert!(text.contains("points to https://crm.example/, with a path that is not shown"), "{text}");
            assert!(text.ends_with("let the endpoint answer at the address that you saved"), "{text}");
            assert!(redirect(HOOK, 302, Some(location)).contains("do not save it"));
        }
        // What stands in the path that was saved is no secret.
        let text = redirect("https://crm.example/hook?to=hook&a=1", 301, Some("/hook/1/"));
        assert!(text.contains("points to https://crm.example/hook/1/; save that address"), "{text}");
        for location in ["?", "/hook?#a"] {
            let text = redirect("https://crm.example/hook", 301, Some(location));
            assert!(text.contains("that is the address that you saved"), "{text}");
        }
        assert!(redirect("https://crm.example/hook?", 301, Some("/hook")).contains("that you saved"));
        assert!(redirect("https://crm.example/hook", 301, Some("/b?")).ends_with("save that address instead"));
        assert!(redirect(HOOK, 301, None).contains("does not say where to"));
        for unreadable in ["https://[/", "/caf\u{fffd}", "https://crm.example:70000/"] {
            assert!(redirect(HOOK, 301, Some(unreadable)).contains("cannot be read"));
        }
        for text in ["500 unknown command POST /Hook?a", "token=S3CRET", "%2Fhook", "s3%63ret"] {
            assert!(repeats(HOOK, text), "{text}");
        }
        assert!(!repeats(HOOK, "220 mail.example ESMTP") && !repeats("https://crm.example/", "RTSP/1.0 400"));
        let script = "https://script.google.com/macros/s/AKfyc/exec";
        let text = redirect(script, 302, Some("https://script.googleusercontent.com/macros/echo?user_content_key=k"));
        assert!(text.contains("HtmlService") && !text.contains("user_content_key"), "{text}");
    }
}
