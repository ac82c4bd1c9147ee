//! What stands around a text, what it is when it is no UTF-8, and what in it no text can be.

use std::borrow::Cow;
use std::str::Utf8Error;
use std::{fmt, iter};

/// The byte order mark in UTF-8: some editors and programs put it in front of a text (RFC 8259 section 8.1).
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What JSON allows around a value (RFC 8259 section 2). It is no part of the object, and dropping it
/// when a message comes in keeps what is POSTed now equal to what a journal gives back later.
pub(super) const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// What begins each text of a JSON text sequence (RFC 7464).
const RECORD_SEPARATOR: &[u8] = b"\x1e";

/// With what DOS, and some editors until today, end a file of text.
const END_OF_FILE: &[u8] = b"\x1a";

/// The text without what programs put around texts: byte order marks and record separators in front, of which joined
/// files have several, and ends of files behind.
#[must_use]
pub fn bare(mut text: &[u8]) -> &[u8] {
    while let Some(behind) = text.strip_prefix(MARK).or_else(|| text.strip_prefix(RECORD_SEPARATOR)) {
        text = behind;
    }
    while let Some(before) = text.strip_suffix(END_OF_FILE) {
        text = before;
    }
    text
}

/// Whether a line holds nothing.
#[must_use]
pub fn is_blank(line: &[u8]) -> bool {
    bare(line).iter().all(u8::is_ascii_whitespace)
}

/// What a text is that should be UTF-8, as the end of a sentence; nothing where it is.
#[must_use]
pub fn foreign(text: &[u8]) -> Option<String> {
    let other = OtherEncoding::of(text).map(|other| other.to_string());
    other.or_else(|| {
        let error = std::str::from_utf8(text).err()?;
        Some(format!("not UTF-8 (its byte {} is none): {}", error.valid_up_to() + 1, mend(text, error)))
    })
}

/// What helps against a byte that is no UTF-8.
pub(super) fn mend(text: &[u8], error: Utf8Error) -> &'static str {
    // Controls that no text has.
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 14..=31);
    let (mut characters, mut broken) = (0, 0);
    for chunk in text.utf8_chunks() {
        characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    match &text[error.valid_up_to()..] {
        [0xed, 0xa0..=0xbf, ..] | [0xc0, 0x80, ..] => {
            "half of a character stands there by itself, as CESU-8 and the modified UTF-8 of Java write it; encode whole \
             characters"
        }
        _ if text.iter().any(is_binary) || !text[0].is_ascii() => "it is no text; send a JSON object as text",
        _ if characters > broken => {
            "the rest is, so a text was cut inside a character, or comes from elsewhere in another encoding; cut between \
             characters, and convert each text for itself"
        }
        _ => "encode it as UTF-8, from Windows-1252 with `iconv -f WINDOWS-1252 -t UTF-8`",
    }
}

/// Another encoding of text than UTF-8, or a file that must be unpacked first; ends a sentence that begins
/// "the message is".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherEncoding {
    /// The name that `iconv` knows.
    Text(&'static str),
    /// The name, and the command that unpacks it.
    Packed(&'static str, &'static str),
}

impl OtherEncoding {
    /// What the first bytes tell: byte order marks, the marks of packed files, and where the zeros of an ASCII
    /// character are in wider encodings.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |(start, encoding): &(&[u8], Self)| bytes.starts_with(start).then_some(*encoding);
        STARTS.iter().find_map(begins).or(match bytes {
            [0, 0, 0, c, ..] if *c != 0 => Some(Self::Text("UTF-32BE")),
            [c, 0, 0, 0, ..] if *c != 0 => Some(Self::Text("UTF-32LE")),
            [0, c, ..] if *c != 0 => Some(Self::Text("UTF-16BE")),
            [c, 0, ..] if *c != 0 => Some(Self::Text("UTF-16LE")),
            _ => None,
        })
    }
}

/// By first bytes; where one begins like another the longer one is first.
const STARTS: [(&[u8], OtherEncoding); 16] = [
    (b"\xff\xfe\0\0", OtherEncoding::Text("UTF-32")),
    (b"\0\0\xfe\xff", OtherEncoding::Text("UTF-32")),
    (b"\xff\xfe", OtherEncoding::Text("UTF-16")),
    (b"\xfe\xff", OtherEncoding::Text("UTF-16")),
    (b"\x1f\x8b", OtherEncoding::Packed("gzip", "gunzip -c")),
    (b"PK\x03\x04", OtherEncoding::Packed("zip", "unzip -p")),
    (b"\x28\xb5\x2f\xfd", OtherEncoding::Packed("zstd", "zstd -dc")),
    (b"\xfd7zXZ", OtherEncoding::Packed("xz", "xz -dc")),
    (b"BZh", OtherEncoding::Packed("bzip2", "bzip2 -dc")),
    (b"7z\xbc\xaf\x27\x1c", OtherEncoding::Packed("7z", "7z x -so")),
    (b"\x1f\x9d", OtherEncoding::Packed("compress", "gunzip -c")),
    (b"\x04\x22\x4d\x18", OtherEncoding::Packed("lz4", "lz4 -dc")),
    (b"\x78\x01", OtherEncoding::Packed("zlib", "pigz -dc")),
    (b"\x78\x9c", OtherEncoding::Packed("zlib", "pigz -dc")),
    (b"\x78\xda", OtherEncoding::Packed("zlib", "pigz -dc")),
    // `{"` of mainframes.
    (b"\xc0\x7f", OtherEncoding::Text("IBM1047")),
];

impl fmt::Display for OtherEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(name) => write!(f, "{name}: convert it to UTF-8, with `iconv -f {name} -t UTF-8`"),
            Self::Packed(name, unpack) => write!(f, "packed with {name}: unpack it first, with `{unpack}`"),
        }
    }
}

/// What a lone surrogate is called; stands behind "holds".
pub const HALF_OF_A_CHARACTER: &str = "half of a character, a lone surrogate such as \\ud83d without its second half";

/// Where the first half of a character stands in a text of JSON, counted in bytes from 0.
#[must_use]
pub fn half_of_a_character(json: &[u8]) -> Option<usize> {
    halves(json).next()
}

/// The same text of JSON with U+FFFD in place of each half of a character, for those who read all of it as text.
#[must_use]
pub fn without_halves(json: &[u8]) -> Cow<'_, [u8]> {
    let mut whole = Cow::Borrowed(json);
    for at in halves(json) {
        whole.to_mut()[at..at + ESCAPE].copy_from_slice(br"\ufffd");
    }
    whole
}

/// Bytes of an escaped code unit.
const ESCAPE: usize = br"\ud83d".len();

/// Where code units stand that are half of a pair without the other half. JSON's syntax allows them, Unicode does not
/// (RFC 8259 section 8.2), and most readers of JSON refuse them.
fn halves(json: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    iter::from_fn(move || {
        loop {
            let at = from + json.get(from..)?.iter().position(|byte| *byte == b'\\')?;
            let (unit, next) = (escaped(json, at), escaped(json, at + ESCAPE));
            from = at + if unit.is_some() { ESCAPE } else { 2 };
            match (unit, next) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => from += ESCAPE,
                (Some(0xd800..=0xdfff), _) => return Some(at),
                _ => {}
            }
        }
    })
}

/// The code unit that stands there as an escape.
fn escaped(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_encoding_is_told_by_the_first_bytes() {
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let utf_32 = |text: &str, bytes: fn(u32) -> [u8; 4]| text.chars().map(u32::from).flat_map(bytes).collect();
        let cases: [(Vec<u8>, &str); 12] = [
            (utf_16("\u{feff}{}", u16::to_le_bytes), "UTF-16"),
            (utf_16("\u{feff}{}", u16::to_be_bytes), "UTF-16"),
            (utf_16("{\"é\"", u16::to_le_bytes), "UTF-16LE"),
            (utf_16("{\"é\"", u16::to_be_bytes), "UTF-16BE"),
            (utf_16("\r", u16::to_le_bytes), "UTF-16LE"),
            (utf_32("\u{feff}{}", u32::to_le_bytes), "UTF-32"),
            (utf_32("\u{feff}{}", u32::to_be_bytes), "UTF-32"),
            (utf_32("{}", u32::to_le_bytes), "UTF-32LE"),
            (utf_32("{}", u32::to_be_bytes), "UTF-32BE"),
            (b"\x1f\x8b\x08".to_vec(), "gzip"),
            (b"\x78\x9c\xab".to_vec(), "zlib"),
            (b"\xc0\x7f\x84".to_vec(), "IBM1047"),
        ];
        for (bytes, name) in cases {
            let told = OtherEncoding::of(&bytes).unwrap().to_string();
            assert!(told.contains(&format!("{name}: ")), "{name}: {told}");
        }
        for text in ["", "{", "{}", "\u{feff}{}", "\0\0", " \n{}", "P", "é", "x", "x^"] {
            assert_eq!(OtherEncoding::of(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_programs_put_around_a_text_is_no_part_of_it() {
        for (text, left) in [
            ("", ""),
            ("{}", "{}"),
            ("\u{feff}{}", "{}"),
            ("\u{feff}\u{feff}", ""),
            ("\u{1e}{}\n", "{}\n"),
            ("\u{1e}\u{feff}\u{1e}{}", "{}"),
            ("{}\r\n\u{1a}\u{1a}", "{}\r\n"),
            (" \u{feff}{}", " \u{feff}{}"),
            ("{}\u{1a} ", "{}\u{1a} "),
            ("\u{1a}{\u{1e}}", "\u{1a}{\u{1e}}"),
        ] {
            assert_eq!(bare(text.as_bytes()), left.as_bytes(), "{text:?}");
        }
        for (line, blank) in
            [("", true), ("\u{feff}\r", true), ("\u{1a}", true), ("\u{1e} \t", true), ("\u{a0}", false)]
        {
            assert_eq!(is_blank(line.as_bytes()), blank, "{line:?}");
        }
    }

    #[test]
    fn what_is_no_utf_8_gets_the_advice_that_helps() {
        let advice = |text: &[u8]| mend(text, std::str::from_utf8(text).unwrap_err());
        for (text, said) in [
            (&b"{\"text\":\"caf\xe9\"}"[..], "WINDOWS-1252"),
            (b"{\"text\":\"\xcf\xf0\xe8\xe2\xe5\xf2\"}", "WINDOWS-1252"),
            (b"{\"text\":\"\xed\xa0\xbd\xed\xb8\x80\"}", "half of a character"),
            (b"{\"text\":\"caf\xc3\xa9 \xed\xb8\x80\"}", "half of a character"),
            (b"{\"text\":\"a\xc0\x80b\"}", "half of a character"),
            (b"{\"text\":\"\xd0\xbf\xd1\x80\xd0\"}", "cut inside a character"),
            (b"{\"text\":\"\xc3\xa9\xc3\xa8 \xe9\"}", "cut inside a character"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "it is no text"),
            (b"\x80\x04\x95\x10", "it is no text"),
            (b"\x84\xa9direction\xa4sent", "it is no text"),
            (b"{\xff\x00}", "it is no text"),
        ] {
            assert!(advice(text).contains(said), "{}: {}", String::from_utf8_lossy(text), advice(text));
        }
    }

    #[test]
    fn halves_of_characters_are_found_and_replaced() {
        for (json, at, whole) in [
            (r#""\ud83d""#, Some(1), r#""\ufffd""#),
            (r#""a\uDE00b""#, Some(2), r#""a\ufffdb""#),
            (r#"{"\ud83d\u0041":1}"#, Some(2), r#"{"\ufffd\u0041":1}"#),
            (r#""\ud83d\ud83d\ude00\ude00""#, Some(1), r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\ude00\ud83d""#, Some(1), r#""\ufffd\ufffd""#),
            (r#""\\\ud83d\n""#, Some(3), r#""\\\ufffd\n""#),
        ] {
            assert_eq!(half_of_a_character(json.as_bytes()), at, "{json}");
            assert_eq!(without_halves(json.as_bytes()), whole.as_bytes(), "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(json).is_err(), "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(whole).is_ok(), "{whole}");
        }
        for json in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#""\u00e9\uffff""#, "{}", "", "\\", r"\u", r"\ud83"] {
            assert_eq!(half_of_a_character(json.as_bytes()), None, "{json}");
            assert!(matches!(without_halves(json.as_bytes()), Cow::Borrowed(same) if same == json.as_bytes()));
        }
    }
}
