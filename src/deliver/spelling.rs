//! How a person may write the URL of a webhook: stricter than what a URL parser takes.
//!
//! A URL parser mends much in silence: it drops tabs and line breaks, takes a backslash for a slash and a
//! missing slash for one. A webhook's URL is stored as it was typed, so what is typed must mean the same to
//! everybody who reads it. Only saves are judged so: a URL that is stored already is attempted as it is.

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use url::{Host, Url};

use super::guard::{Guard, InvalidUrl, parse_endpoint};
use crate::workspace::pasted::{first, first_unseen};

/// Characters of a host name at most, and of one of its labels (RFC 1035 section 2.3.4).
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Parses the URL of a webhook as [`parse_endpoint`] does, and holds it to how a person may write it.
///
/// # Errors
/// The first rule that it breaks.
pub fn typed_endpoint(text: &str, guard: &Guard) -> Result<Url, InvalidUrl> {
    if let Some(found) = first_unseen(text) {
        // A line that was copied with what stands before the URL.
        let (before, behind) = text.split_at(found.at);
        if !before.contains("://") && behind.trim_start().to_ascii_lowercase().starts_with("http") {
            return Err(InvalidUrl::Before);
        }
        return Err(InvalidUrl::Unseen { part: part_of(text, found.at), found });
    }
    // Dots as one character, or three within brackets.
    let shortened = text.contains(['…', '\u{2025}', '\u{22ef}', '\u{fe19}']);
    if shortened || text.trim_end_matches([']', ')', '>']).ends_with("...") {
        return Err(InvalidUrl::CutOff);
    }
    if let Some(found) = first(text, |c| c == '\\') {
        return Err(InvalidUrl::Backslash(found));
    }
    if let Some(found) = first(text, is_leftover) {
        return Err(InvalidUrl::Leftover(found));
    }
    let behind_scheme = text.split_once(':').map_or("", |(_, rest)| rest);
    let url = parse_endpoint(text, guard).map_err(|error| match error {
        // An IPv6 address without its brackets that begins with colons.
        InvalidUrl::NoHost if behind_scheme.starts_with("//::") => InvalidUrl::Port,
        error => error,
    })?;
    // The parser took one of these schemes, in any case.
    if behind_scheme.strip_prefix("//").is_none_or(|rest| rest.starts_with('/')) {
        return Err(InvalidUrl::Slashes);
    }
    let authority = behind_scheme.trim_start_matches('/').split(['/', '?', '#']).next().unwrap_or_default();
    // A parser takes an empty user for none.
    if authority.contains('@') {
        return Err(InvalidUrl::UserInfo);
    }
    // Some programs decode a host, others look for it as it stands.
    if authority.contains('%') {
        return Err(InvalidUrl::HostCharacter);
    }
    if url.port() == Some(0) {
        return Err(InvalidUrl::PortZero);
    }
    // Dashes and slashes of typeset text, which look like those of a host name and make it another one.
    let is_typeset = |c: char| {
        !c.is_ascii() && matches!(category(c), GeneralCategory::DashPunctuation | GeneralCategory::MathSymbol)
    };
    if let Some(found) = first(text, is_typeset).filter(|found| part_of(text, found.at) == "host") {
        return Err(InvalidUrl::Typeset(found));
    }
    if let Some(Host::Domain(host)) = url.host() {
        check_host(host)?;
    }
    Ok(url)
}

/// Of JSON, HTML, Markdown, templates, typeset text and texts that were decoded wrongly.
fn is_leftover(c: char) -> bool {
    let is_quote = || matches!(category(c), GeneralCategory::InitialPunctuation | GeneralCategory::FinalPunctuation);
    matches!(c, '"' | '<' | '>' | '`' | '{' | '}' | '„' | '‚' | '´' | '′' | '″' | '＂' | '＇' | '\u{fffd}')
        || is_quote()
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// What no name server can know. A name without a dot may be one of the operator's own network, a dot at
/// the end says that the name is complete, and an underscore is no letter of a host name but is in use.
fn check_host(host: &str) -> Result<(), InvalidUrl> {
    if matches!(host, "http" | "https") {
        return Err(InvalidUrl::SchemeTwice);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > HOST_MAX {
        return Err(InvalidUrl::HostTooLong);
    }
    for label in name.split('.') {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if label.is_empty() {
            return Err(InvalidUrl::EmptyLabel);
        }
        if label.len() > LABEL_MAX {
            return Err(InvalidUrl::LabelTooLong);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(InvalidUrl::Hyphen(label.to_owned()));
        }
        if !label.bytes().all(allowed) {
            return Err(InvalidUrl::HostCharacter);
        }
    }
    Ok(())
}

/// The part of a URL that a byte of its text stands in.
fn part_of(text: &str, at: usize) -> &'static str {
    let Some(host) = text.find("://").map(|scheme| scheme + 3).filter(|host| at >= *host) else { return "scheme" };
    let before = &text[host..at];
    let parts = [('#', "fragment"), ('?', "query"), ('/', "path")];
    parts.into_iter().find(|(begins, _)| before.contains(*begins)).map_or("host", |(_, part)| part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        typed_endpoint(text, &Guard::default()).expect_err(text).to_string()
    }

    #[test]
    fn what_nobody_sees_is_named_with_its_place() {
        for (text, place) in [
            ("https://crm.example/ho\u{200b}ok", "U+200B (zero width space) as character 23, in its path"),
            ("https://crm\u{ad}.example/", "U+00AD (soft hyphen) as character 12, in its host"),
            ("https://crm.example?a=\u{2066}1", "U+2066 (left-to-right isolate) as character 23, in its query"),
            ("https://crm.example/#/?\u{feff}a", "U+FEFF (byte order mark) as character 24, in its fragment"),
            ("ht\ntps://crm.example/", "U+000A (line feed) as character 3, in its scheme"),
            ("https://crm.example/a b", "U+0020 (space) as character 22, in its path"),
        ] {
            assert!(refused(text).contains(place), "{}", refused(text));
        }
    }

    #[test]
    fn what_a_parser_would_mend_or_no_server_can_have_is_refused() {
        let long = |label: usize, labels: usize| {
            format!("https://{}example/", format!("{}.", "a".repeat(label)).repeat(labels))
        };
        for (text, said) in [
            ("https://crm.example/ho…", "cut off"),
            ("https://crm.exa…/hook", "cut off"),
            ("https://crm.example/ho...", "cut off"),
            ("https://https://crm.example/hook", "stands twice"),
            ("https://http//crm.example/hook", "stands twice"),
            ("HTTPS://HTTP:8080/hook", "stands twice"),
            ("https:/crm.example/hook", "two slashes"),
            ("https:crm.example/hook", "two slashes"),
            ("https:///crm.example/hook", "two slashes"),
            ("https:\\\\crm.example\\hook", "backslash"),
            ("https://crm.example/a\\b", "backslash"),
            ("https://crm.example/hook\"", "U+0022 (\") as character 25"),
            ("<https://crm.example/hook>", "U+003C (<) as character 1"),
            ("https://crm.example/<your-id>", "U+003C (<) as character 21"),
            ("https://crm.example/hook`", "no URL has"),
            ("https://crm.example/hook?a=”", "no URL has"),
            ("https://crm.example/\u{fffd}", "no URL has"),
            ("http//crm.example/", "no URL"),
            ("https://-crm.example/", "`-crm`"),
            ("https://crm-.example/", "`crm-`"),
            ("https://crm..example/", "two dots"),
            ("https://.crm.example/", "two dots"),
            ("https://crm.example../", "two dots"),
            ("https://./", "two dots"),
            (&long(64, 1), "63"),
            (&long(61, 4), "253"),
            ("https://crm,example/", "no host name has"),
            ("https://*.crm.example/", "no host name has"),
            ("https://crm%2eexample/", "no host name has"),
            ("https://%63rm.example/", "no host name has"),
            ("https://crm%00.example/", "no host name has"),
            ("https://xn--a.example/", "no host name has"),
            ("https://crm.example%40evil.example/", "no host name has"),
            ("https://@crm.example/", "user name"),
            ("https://:@crm.example/", "user name"),
            ("https://256.1.1.1/", "is none"),
            ("https://1.2.3.4.5/", "is none"),
            ("https://crm.123/", "is none"),
            ("https://[fe80::1%25eth0]/", "without a zone"),
            ("https://[fe80::1%eth0]/", "without a zone"),
            ("https://[2606:4700::1111/", "in brackets"),
            ("https://2606:4700::1111/", "in brackets"),
            ("https://crm.example:0/", "port 0"),
            ("https://crm.example:70000/", "65535"),
            ("https://crm.example:80a/", "65535"),
        ] {
            assert!(refused(text).contains(said), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn what_typesetters_templates_and_other_lines_leave_is_named() {
        for (text, said) in [
            ("https://crm.example/{your-id}", "U+007B ({) as character 21"),
            ("https://crm.example/hook?id=${ID}", "U+007B ({) as character 30"),
            ("https://crm.example/hook’", "U+2019 (’) as character 25"),
            ("‘https://crm.example/hook", "U+2018 (‘) as character 1"),
            ("‚https://crm.example/hook", "no URL has"),
            ("https://crm.example/hook›", "no URL has"),
            ("https://crm.example/hook´", "no URL has"),
            ("https://crm.example/hook＇", "no URL has"),
            ("https://crm–api.example/", "U+2013 (–) as character 12"),
            ("https://crm\u{2010}api.example/", "U+2010"),
            ("https://crm\u{2212}api.example/", "U+2212"),
            ("https://crm.example\u{2044}hook", "U+2044"),
            ("https://crm.example\u{2215}hook", "U+2215"),
            ("POST https://crm.example/hook", "begin with https://"),
            ("URL: https://crm.example/hook", "begin with https://"),
            ("https://::1/hook", "in brackets"),
        ] {
            assert!(refused(text).contains(said), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn what_is_written_well_is_taken() {
        let longest =
            format!("https://{}.{}.example/", [61; 3].map(|length| "a".repeat(length)).join("."), "b".repeat(59));
        for text in [
            "https://crm.example.",
            "https://crm.example.:8443/hook?a=b#c",
            "http://crm/hook",
            "https://my_crm.example/",
            "https://a--b.example/",
            "https://xn--bcher-kva.example/",
            "https://bücher.example/ä",
            "https://crm.example/a–b?c=−1",
            "https://col·legi.example/",
            "https://カー・ド.example/",
            "https://crm.example/it's",
            "https://crm.example/%E2%80%8B%20%0A?next=https://https://a&b=..",
            "https://crm.example/..",
            "https://8.8.8.8/",
            "HTTPS://CRM.EXAMPLE:/Hook?to=a@b%40c",
            "https://crm.example/100%?a=%zz",
            "https://[2606:4700::1111]:1/",
            &longest,
        ] {
            assert!(typed_endpoint(text, &Guard::default()).is_ok(), "{text}");
        }
    }
}
