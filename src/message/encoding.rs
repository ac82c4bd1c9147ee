//! What stands around a text, and what it is when it is no UTF-8.

use std::fmt;

/// The byte order mark in UTF-8: some editors and programs put it in front of a text (RFC 8259 section 8.1).
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What JSON allows around a value (RFC 8259 section 2). It is no part of the object, and dropping it
/// when a message comes in keeps what is POSTed now equal to what a journal gives back later.
pub(super) const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// How many bytes of byte order marks stand in front of a text; joined files have several.
#[must_use]
pub fn marks(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some(behind) = rest.strip_prefix(MARK) {
        rest = behind;
    }
    text.len() - rest.len()
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
const STARTS: [(&[u8], OtherEncoding); 10] = [
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
];

impl fmt::Display for OtherEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(name) => write!(f, "{name}: convert it to UTF-8, with `iconv -f {name} -t UTF-8`"),
            Self::Packed(name, unpack) => write!(f, "packed with {name}: unpack it first, with `{unpack}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_encoding_is_told_by_the_first_bytes() {
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let utf_32 = |text: &str, bytes: fn(u32) -> [u8; 4]| text.chars().map(u32::from).flat_map(bytes).collect();
        let cases: [(Vec<u8>, &str); 10] = [
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
        ];
        for (bytes, name) in cases {
            let told = OtherEncoding::of(&bytes).unwrap().to_string();
            assert!(told.contains(&format!("{name}: ")), "{name}: {told}");
        }
        for text in ["", "{", "{}", "\u{feff}{}", "\0\0", " \n{}", "P", "é"] {
            assert_eq!(OtherEncoding::of(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn byte_order_marks_in_front_are_counted() {
        for (text, bytes) in [("", 0), ("{}", 0), ("\u{feff}{}", 3), ("\u{feff}\u{feff}", 6), (" \u{feff}", 0)] {
            assert_eq!(marks(text.as_bytes()), bytes, "{text:?}");
        }
    }
}
