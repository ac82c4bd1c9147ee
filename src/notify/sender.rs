//! The sender of mails as operators write it: an address, or a name and behind it an address in brackets.

use lettre::Address;
use lettre::message::Mailbox;

use crate::workspace::owner_address::{self, InvalidAddress, in_ascii, in_brackets, is_same};
use crate::workspace::pasted::{PastedCharacter, first, first_unseen, trimmed, without_end_sign};

/// Why a text is no sender. Each begins behind the text.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSender {
    /// The address is none, or not one that every mail server takes.
    #[error("cannot be used: the address {0}")]
    Address(#[from] InvalidAddress),
    /// A name stands in front of an address without brackets.
    #[error("has no brackets around its address: write {name} <{address}>")]
    NoBrackets {
        /// What stands in front.
        name: String,
        /// The address.
        address: String,
    },
    /// It holds what separates an address from others.
    #[error("holds {0}, as if it named several: write one, such as Outbound <outbound@example.com>")]
    Several(PastedCharacter),
    /// The name holds a character that nobody sees.
    #[error("holds {0} in its name, which nobody sees: delete it")]
    Unseen(PastedCharacter),
    /// lettre knows no such address.
    #[error("has an address that no mail can be sent from: write one such as outbound@example.com")]
    Unknown,
}

/// The sender that `typed` means. A name may hold commas without being quoted: one that is followed by a single address
/// in brackets is no list.
pub(super) fn read(typed: &str) -> Result<Mailbox, InvalidSender> {
    let text = out_of_quotes(without_end_sign(trimmed(typed)));
    let (name, address) = match in_brackets(text) {
        Some((name, address)) => (trimmed(name), address),
        None => ("", text),
    };
    let address = owner_address::checked(address).map_err(|error| without_brackets(address, error))?;
    let name = if is_same(name, address) { None } else { shown(name)? };
    let address: Address = in_ascii(address).parse().map_err(|_| InvalidSender::Unknown)?;
    Ok(Mailbox::new(name, address))
}

/// What stands in quotes that are no part of it: files of environment variables keep those that a shell takes away.
fn out_of_quotes(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    within('"').or_else(|| within('\'')).map_or(text, trimmed)
}

/// What is wrong with a text without brackets, which may end with an address.
fn without_brackets(text: &str, error: InvalidAddress) -> InvalidSender {
    if let (InvalidAddress::Blank(_), Some((name, last))) = (&error, text.rsplit_once(char::is_whitespace))
        && let (false, Ok(address)) = (name.contains('@'), owner_address::checked(last))
    {
        return InvalidSender::NoBrackets { name: trimmed(name).to_owned(), address: address.to_owned() };
    }
    match error {
        // What is said of it to an owner is about who is told.
        InvalidAddress::Several(found) => InvalidSender::Several(found),
        error => error.into(),
    }
}

/// A name as it is shown, with single blanks and without the quotes that are written around it; none where it is empty.
fn shown(name: &str) -> Result<Option<String>, InvalidSender> {
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let bare = match quoted {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    if quoted.is_none()
        && let Some(found) = first(&bare, |c| matches!(c, '@' | '<' | '>'))
    {
        return Err(InvalidSender::Several(found));
    }
    let words = bare.split_whitespace().collect::<Vec<_>>().join(" ");
    // A joiner is a part of words in Persian and of signs that are drawn together.
    let belongs = |c: char| matches!(c, ' ' | '\u{200c}' | '\u{200d}' | '\u{fe0f}');
    if let Some(found) = first_unseen(&words.replace(belongs, "x")) {
        return Err(InvalidSender::Unseen(found));
    }
    Ok((!words.is_empty()).then_some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_taken() {
        for (typed, name, address) in [
            ("outbound@acme.example", None, "outbound@acme.example"),
            ("Outbound <outbound@acme.example>", Some("Outbound"), "outbound@acme.example"),
            ("Smith, Ann <a@x.example>", Some("Smith, Ann"), "a@x.example"),
            ("\"Smith, Ann\" <a@x.example>,", Some("Smith, Ann"), "a@x.example"),
            (r#""Ann \"Boss\" \\ Smith" <a@x.example>"#, Some(r#"Ann "Boss" \ Smith"#), "a@x.example"),
            ("Ann\u{a0}\t Smith\u{200b} <mailto:a@x.example>", Some("Ann Smith"), "a@x.example"),
            ("<a@x.example>", None, "a@x.example"),
            ("\"Ann <a@x.example>\"", Some("Ann"), "a@x.example"),
            ("'a@x.example'", None, "a@x.example"),
            ("a@x.example <a@X.example>", None, "a@X.example"),
            ("\"a@x.example\" <b@x.example>", Some("a@x.example"), "b@x.example"),
            ("Gr\u{fc}\u{df}e <a@b\u{fc}cher.example>", Some("Gr\u{fc}\u{df}e"), "a@xn--bcher-kva.example"),
        ] {
            let read = read(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!((read.name.as_deref(), read.email.to_string().as_str()), (name, address), "{typed}");
        }
    }

    #[test]
    fn what_is_not_plain_is_refused_with_its_part() {
        for (typed, said) in [
            ("Ann Smith a@x.example", "write Ann Smith <a@x.example>"),
            ("Ann\u{a0}Smith\u{a0}a@x.example", "write Ann\u{a0}Smith <a@x.example>"),
            ("a@x.example b@x.example", "U+0020 (space) as character 12"),
            ("a@x.example;b@x.example", "U+003B (;) as character 12"),
            ("Ann <a@x.example>, Bob <b@x.example>", "U+003C (<) as character 5, as if"),
            ("b@x.example <a@x.example>", "U+0040 (@) as character 2, as if"),
            ("Ann\u{200b}Smith <a@x.example>", "U+200B (zero width space) as character 4 in its name"),
            ("a\u{200b}@x.example", "U+200B (zero width space) as character 2, which no address has"),
            ("\u{f6}@x.example", "U+00F6"),
            ("outbound", "an @"),
            ("", "is empty"),
        ] {
            let error = read(typed).expect_err(typed).to_string();
            assert!(error.contains(said), "{typed}: {error}");
        }
    }
}
