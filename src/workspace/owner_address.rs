//! The mail address of a webhook's owner: one that every mail server can take.
//!
//! What is saved can be sent, so the rules are those of RFC 5321 without what mail servers refuse in practice:
//! no quoted local part, no address literal, no local part beyond ASCII, which only some servers take
//! (RFC 6531). A domain beyond ASCII has a form in ASCII that every server takes (RFC 5890, A-labels).

use url::Host;

use super::pasted::{PastedCharacter, first, first_unseen, trimmed, without_end_sign};

/// Bytes of an address at most (RFC 3696, erratum 1690), its domain in A-labels.
pub const ADDRESS_BYTES_MAX: usize = 254;
/// Bytes of what is typed that are read at most: of an address that fits, in its longest spelling, with a name around it.
const TYPED_BYTES_MAX: usize = 4096;
/// Bytes of what stands before the `@` at most (RFC 5321 section 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Bytes of a label of the domain at most (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// What a link to an address begins with (RFC 6068).
const MAILTO: &str = "mailto:";

/// Why a text is no address that a mail can be sent to. Each begins behind "the address".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// There is no address.
    #[error("is empty: write one such as owner@example.com, or leave it out")]
    Empty,
    /// Brackets stand in it, and what is meant by them is not plain.
    #[error("stands in brackets or beside a name: write the address alone, such as owner@example.com")]
    Brackets,
    /// A link that holds more than an address, or one that is encoded.
    #[error("is written as a link and holds {0}: write the address alone, such as owner@example.com")]
    Link(PastedCharacter),
    /// Several addresses, or a sign that separates them.
    #[error(
        "must be one address and holds {0}, which stands between several: write the one that is to be told; a list of \
         your mail server can reach several people"
    )]
    Several(PastedCharacter),
    /// A blank: of what stands on its sides either may be meant, or both.
    #[error("holds {0}, which no address has: write one address alone, without a name beside it")]
    Blank(PastedCharacter),
    /// A character that nobody sees, or that is none of an address.
    #[error("holds {0}, which no address has: delete it")]
    Character(PastedCharacter),
    /// A sign that keyboards for other scripts have in place of `@`.
    #[error("holds {0} in place of its @: write the @ of ASCII, as in owner@example.com")]
    At(PastedCharacter),
    /// Not one `@` with something on both sides.
    #[error("must have a name, an @ and a domain, such as owner@example.com")]
    Parts,
    /// Letters beyond ASCII in front of the `@`.
    #[error("holds {0} before its @; many mail servers take only letters of ASCII there: use another address")]
    Local(PastedCharacter),
    /// Dots where mail servers allow none.
    #[error("has a dot at the beginning or the end of its name, or two in a row, which mail servers refuse")]
    Dots,
    /// See [`LOCAL_BYTES_MAX`].
    #[error("has more than {LOCAL_BYTES_MAX} characters before its @, which no mail server takes")]
    LocalTooLong,
    /// The domain can be none.
    #[error("has a domain that cannot exist: {0}")]
    Domain(&'static str),
    /// See [`ADDRESS_BYTES_MAX`].
    #[error("has more than {ADDRESS_BYTES_MAX} bytes, which no mail server takes")]
    TooLong,
}

/// Checks the address that was typed; returns it without what stands around it: what nobody sees, and what mail programs and
/// lists put there.
///
/// # Errors
/// The first rule that it breaks.
pub fn checked(typed: &str) -> Result<&str, InvalidAddress> {
    let typed = trimmed(typed);
    if typed.len() > TYPED_BYTES_MAX {
        return Err(InvalidAddress::TooLong);
    }
    let text = out_of_link(out_of_brackets(without_end_sign(typed))?)?;
    if text.is_empty() {
        return Err(InvalidAddress::Empty);
    }
    if text.contains(['<', '>']) {
        return Err(InvalidAddress::Brackets);
    }
    if let Some(found) = first(text, |c| matches!(c, ',' | ';' | '\u{ff0c}' | '\u{ff1b}' | '\u{3001}' | '\u{60c}')) {
        return Err(InvalidAddress::Several(found));
    }
    match first_unseen(text) {
        Some(found) if found.character.is_whitespace() => return Err(InvalidAddress::Blank(found)),
        Some(found) => return Err(InvalidAddress::Character(found)),
        None => {}
    }
    if let Some(found) = first(text, |c| matches!(c, '\u{ff20}' | '\u{fe6b}')) {
        return Err(InvalidAddress::At(found));
    }
    let (local, domain) = text.split_once('@').ok_or(InvalidAddress::Parts)?;
    if local.is_empty() || domain.is_empty() || domain.contains('@') {
        return Err(InvalidAddress::Parts);
    }
    if let Some(found) = first(local, |c| !c.is_ascii()) {
        return Err(InvalidAddress::Local(found));
    }
    // RFC 5322 section 3.2.3, `atext`, and the dot between atoms.
    if let Some(found) = first(local, |c| !c.is_ascii_alphanumeric() && !"!#$%&'*+-/=?^_`{|}~.".contains(c)) {
        return Err(InvalidAddress::Character(found));
    }
    if local.split('.').any(str::is_empty) {
        return Err(InvalidAddress::Dots);
    }
    if local.len() > LOCAL_BYTES_MAX {
        return Err(InvalidAddress::LocalTooLong);
    }
    let domain = ascii_domain(domain)?;
    if local.len() + 1 + domain.len() > ADDRESS_BYTES_MAX {
        return Err(InvalidAddress::TooLong);
    }
    Ok(text)
}

/// The name in front of an address in brackets, and the address, as RFC 5322 section 3.4 writes them.
pub(crate) fn in_brackets(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix('>').and_then(|text| text.rsplit_once('<'))
}

/// What stands between the brackets, where a name in front of them can be no other address.
fn out_of_brackets(text: &str) -> Result<&str, InvalidAddress> {
    match in_brackets(text) {
        Some((name, address)) => {
            let address = without_end_sign(trimmed(address));
            // Mail programs write a contact without a name so.
            let is_again = is_same(trimmed(name).trim_matches(['"', '\'']), address);
            if !is_again && name.contains(['@', '<', '>', ';']) { Err(InvalidAddress::Brackets) } else { Ok(address) }
        }
        None => Ok(text),
    }
}

/// What a link leads to, if it is one to an address and to nothing else.
fn out_of_link(text: &str) -> Result<&str, InvalidAddress> {
    match text.split_at_checked(MAILTO.len()) {
        Some((scheme, address)) if scheme.eq_ignore_ascii_case(MAILTO) => {
            match first(text, |c| matches!(c, '?' | '%' | '&')) {
                Some(found) => Err(InvalidAddress::Link(found)),
                None => Ok(trimmed(address.trim_start_matches('/'))),
            }
        }
        _ => Ok(text),
    }
}

/// The address with its domain in A-labels, as it is sent; one that is none stays as it is.
#[must_use]
pub fn in_ascii(address: &str) -> String {
    let ascii = |(local, domain)| ascii_domain(domain).ok().map(|domain| format!("{local}@{domain}"));
    address
        .rsplit_once('@')
        .filter(|(_, domain)| !domain.is_ascii())
        .and_then(ascii)
        .unwrap_or_else(|| address.to_owned())
}

/// Whether both name the same mailbox: letter case and encoding of a domain say nothing (RFC 5321 section 2.4).
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let parts = |address: &str| {
        let (local, domain) = address.rsplit_once('@')?;
        Some((local.to_owned(), ascii_domain(domain).ok()?))
    };
    one == other || parts(one).is_some_and(|one| parts(other) == Some(one))
}

/// A domain in A-labels. One without a dot may be that of a company's own mail server.
fn ascii_domain(domain: &str) -> Result<String, InvalidAddress> {
    if domain.starts_with('[') {
        return Err(InvalidAddress::Domain("write a name instead of a number in brackets"));
    }
    let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let no_name = InvalidAddress::Domain("a domain has letters, digits, hyphens and dots");
    if !domain.chars().all(allowed) {
        return Err(no_name);
    }
    let ascii = match Host::parse(domain) {
        Ok(Host::Domain(ascii)) => ascii,
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => {
            return Err(InvalidAddress::Domain("write a name instead of a number"));
        }
        Err(_) => return Err(no_name),
    };
    for label in ascii.split('.') {
        if label.is_empty() {
            return Err(InvalidAddress::Domain("it begins or ends with a dot, or has two in a row"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(InvalidAddress::Domain("a part of it begins or ends with a hyphen"));
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(InvalidAddress::Domain("a part of it has more than 63 characters"));
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(no_name);
        }
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_mail_server_takes_is_refused_with_its_reason() {
        let long = |local: usize, label: usize, labels: usize| {
            format!("{}@{}example", "a".repeat(local), format!("{}.", "b".repeat(label)).repeat(labels))
        };
        for (text, said) in [
            ("", "is empty"),
            (" \u{200b}", "is empty"),
            ("owner", "an @"),
            ("@example.com", "an @"),
            ("owner@", "an @"),
            ("owner@@example.com", "an @"),
            ("<>", "is empty"),
            (".", "is empty"),
            ("jane@example.com <other@example.com>", "alone"),
            ("Bob Smith; Jane <jane@example.com>", "alone"),
            ("<jane@example.com", "alone"),
            ("jane@example.com>", "alone"),
            ("<jane@example.com> Jane", "alone"),
            ("Jane <jane@example.com>, Bob <bob@example.com>", "alone"),
            ("a@example.com, b@example.com", "U+002C (,) as character 14, which stands between several"),
            ("a@example.com;b@example.com", "U+003B (;) as character 14, which stands between several"),
            ("a@example.com,,", "must be one address"),
            ("a@example.com\u{ff0c}b@example.com", "U+FF0C (\u{ff0c}) as character 14, which stands between several"),
            ("a\u{ff20}example.com", "U+FF20 (\u{ff20}) as character 2 in place of its @"),
            ("a@example.com b@example.com", "U+0020 (space) as character 14, which no address has: write one address"),
            ("Jane a@example.com", "without a name beside it"),
            ("a\u{a0}@example.com", "U+00A0 (no-break space) as character 2, which no address has: write one address"),
            ("a\u{200b}@example.com", "U+200B (zero width space) as character 2"),
            ("a@exa\u{ad}mple.com", "U+00AD (soft hyphen) as character 6"),
            ("a@example.com\r\nRCPT TO:<b@c>", "alone"),
            ("a@example.com\r\nDATA", "U+000D (carriage return)"),
            ("mailto:a@example.com?subject=x", "as a link and holds U+003F (?) as character 21"),
            ("mailto:a%2Bb@example.com", "as a link and holds U+0025 (%)"),
            ("mailto:", "is empty"),
            ("\"a b\"@example.com", "U+0020"),
            ("\"a\"@example.com", "U+0022"),
            ("a(b)@example.com", "U+0028"),
            ("ow\u{f6}ner@example.com", "U+00F6 (\u{f6}) as character 3 before its @"),
            ("a..b@docomo.example", "dot"),
            ("user.@docomo.example", "dot"),
            (".user@docomo.example", "dot"),
            (&long(65, 3, 1), "64 characters"),
            (&long(64, 46, 4), "254 bytes"),
            ("owner@-bad.example", "hyphen"),
            ("owner@bad-.example", "hyphen"),
            ("owner@example..com", "two in a row"),
            ("owner@.example.com", "begins or ends with a dot"),
            ("owner@example.com..", "begins or ends with a dot"),
            (&long(1, 64, 1), "63 characters"),
            ("owner@[192.0.2.1]", "in brackets"),
            ("owner@[IPv6:2001:db8::1]", "in brackets"),
            ("owner@192.0.2.1", "a number"),
            ("owner@127.1", "a number"),
            ("owner@exa_mple.com", "letters, digits, hyphens"),
            ("owner@ex%61mple.com", "letters, digits, hyphens"),
            ("owner@example.com/x", "letters, digits, hyphens"),
            ("owner@xn--a.example", "letters, digits, hyphens"),
        ] {
            let error = checked(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_far_too_long_is_not_read_for_what_else_is_wrong() {
        assert_eq!(checked(&format!("a @{}", "b\u{fc}.".repeat(2_000))), Err(InvalidAddress::TooLong));
    }

    #[test]
    fn what_can_be_sent_is_taken_without_what_stands_around_it() {
        for text in [
            "owner@example.com",
            "o'hara+x/y=z@mail",
            "a.b-c_d@b\u{fc}cher.example",
            "a@xn--bcher-kva.example",
            "1@2.example",
        ] {
            assert_eq!(checked(&format!("\u{feff} {text}\n\u{200b}")), Ok(text));
        }
        let longest = format!("{}@{}.example", "a".repeat(64), [60; 2].map(|length| "b".repeat(length)).join("."));
        assert!(checked(&longest).is_ok());
    }

    #[test]
    fn an_address_is_found_in_what_mail_programs_put_around_it() {
        for text in [
            "<a@b.example>",
            "Ann <a@b.example>",
            "\"Smith, Ann\" <a@b.example>",
            "Smith, Ann < a@b.example >,",
            "mailto:a@b.example",
            "MAILTO: a@b.example",
            "<mailto:a@b.example>;",
            "mailto://a@b.example",
            "a@b.example <a@b.example>",
            "'a@B.example' <a@b.example>",
            "a@b.example.",
            "a@b.example,\u{200b}",
            "<a@b.example.>",
        ] {
            assert_eq!(checked(text), Ok("a@b.example"), "{text}");
        }
    }

    #[test]
    fn a_domain_is_sent_in_a_labels() {
        assert_eq!(in_ascii("owner@b\u{fc}cher.example"), "owner@xn--bcher-kva.example");
        assert_eq!(in_ascii("owner@B\u{dc}CHER\u{3002}example"), "owner@xn--bcher-kva.example");
        for text in ["owner@Example.com", "\u{f6}@example.com", "\u{fc}", "a@\u{fc}..b"] {
            assert_eq!(in_ascii(text), text);
        }
    }
}
