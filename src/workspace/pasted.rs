//! Text that people copy from chats, mails and documents: it brings characters along that nobody sees.
//!
//! At the ends of a text they mean nothing and are left out. Elsewhere nobody can tell what was meant, so
//! they are named with their place and refused.

use std::fmt;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The text without the blanks and the invisible characters around it.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_unseen)
}

/// The text without the sign that ends a sentence, or an entry of a list, behind it.
#[must_use]
pub fn without_end_sign(text: &str) -> &str {
    text.strip_suffix(['.', ',', ';']).map_or(text, trimmed)
}

/// The first character of `text` that nobody sees: a blank, a control character or an invisible one.
#[must_use]
pub fn first_unseen(text: &str) -> Option<PastedCharacter> {
    first(text, is_unseen)
}

/// The first character of `text` that `wanted` wants.
pub(crate) fn first(text: &str, wanted: impl Fn(char) -> bool) -> Option<PastedCharacter> {
    let (number, (at, character)) = text.char_indices().enumerate().find(|(_, (_, c))| wanted(*c))?;
    Some(PastedCharacter { character, number: number + 1, at })
}

/// Blanks, control and format characters (Unicode chapter 23), what is shown as nothing by default, and two
/// that are drawn as nothing: the empty Braille pattern, and what stands for an embedded object.
fn is_unseen(c: char) -> bool {
    let format = || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format;
    let ignorable = || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    c.is_whitespace()
        || c.is_control()
        || (!c.is_ascii() && (matches!(c, '\u{2800}' | '\u{fffc}') || ignorable() || format()))
}

/// Whether a character moves what is shown around it: control characters, those that end a line or a paragraph, and marks of
/// direction (Unicode, annex 9).
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A character of a text and its place, as the middle of a sentence: `U+200B (zero width space) as character 24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastedCharacter {
    /// The character.
    pub character: char,
    /// How many characters it and those before it are.
    pub number: usize,
    /// How many bytes stand before it.
    pub at: usize,
}

impl fmt::Display for PastedCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}", u32::from(self.character))?;
        if let Some((_, name)) = NAMES.iter().find(|(c, _)| *c == self.character) {
            write!(f, " ({name})")?;
        } else if !is_unseen(self.character) {
            write!(f, " ({})", self.character)?;
        }
        write!(f, " as character {}", self.number)
    }
}

/// Those that come with a paste most often, by their names in Unicode.
const NAMES: [(char, &str); 26] = [
    ('\t', "tab"),
    ('\n', "line feed"),
    ('\r', "carriage return"),
    (' ', "space"),
    ('\u{a0}', "no-break space"),
    ('\u{ad}', "soft hyphen"),
    ('\u{200b}', "zero width space"),
    ('\u{200c}', "zero width non-joiner"),
    ('\u{200d}', "zero width joiner"),
    ('\u{200e}', "left-to-right mark"),
    ('\u{200f}', "right-to-left mark"),
    ('\u{2028}', "line separator"),
    ('\u{2029}', "paragraph separator"),
    ('\u{202a}', "left-to-right embedding"),
    ('\u{202b}', "right-to-left embedding"),
    ('\u{202c}', "pop directional formatting"),
    ('\u{202d}', "left-to-right override"),
    ('\u{202e}', "right-to-left override"),
    ('\u{202f}', "narrow no-break space"),
    ('\u{2060}', "word joiner"),
    ('\u{2066}', "left-to-right isolate"),
    ('\u{2067}', "right-to-left isolate"),
    ('\u{2068}', "first strong isolate"),
    ('\u{2069}', "pop directional isolate"),
    ('\u{3000}', "ideographic space"),
    ('\u{feff}', "byte order mark"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_left_out_at_the_ends_and_named_elsewhere() {
        let unseen = NAMES.iter().map(|(c, _)| *c);
        for c in unseen
            .chain("\u{0}\u{7f}\u{85}\u{61c}\u{180e}\u{2063}\u{2800}\u{3164}\u{fe0f}\u{fff9}\u{fffc}\u{e0020}".chars())
        {
            assert_eq!(trimmed(&format!("{c}{c}é b{c} {c}")), "é b", "{c:?}");
            let found = first_unseen(&format!("é{c}b")).unwrap();
            assert_eq!((found.character, found.number, found.at), (c, 2, 2));
        }
        for text in ["", "https://crm.example/%E2%80%8B?a=é&b=日本語", "🙂"] {
            assert_eq!((trimmed(text), first_unseen(text)), (text, None));
        }
    }

    #[test]
    fn a_character_is_named_as_people_can_look_it_up() {
        assert_eq!(first_unseen("ab\u{200b}").unwrap().to_string(), "U+200B (zero width space) as character 3");
        assert_eq!(first_unseen("\u{fff9}").unwrap().to_string(), "U+FFF9 as character 1");
        assert_eq!(first("aé", |c| c == 'é').unwrap().to_string(), "U+00E9 (é) as character 2");
    }
}
