//! A JSON text laid out for reading. Nothing is parsed into values, so order, numbers and repeated
//! names are shown as they went over the wire.

/// Deeper levels are indented no further, so that a layout is not much larger than its text.
const INDENT_MAX: usize = 20;

/// `json`, which is valid, with one member a line. Ends once it has more than `max` bytes; the second
/// value says whether anything is missing.
pub(super) fn layout(json: &str, max: usize) -> (String, bool) {
    let mut out = String::with_capacity(json.len().min(max) * 2);
    let mut depth = 0_usize;
    let mut letters = marked(json).peekable();
    while let Some((c, in_string)) = letters.next() {
        if out.len() > max {
            return (out, true);
        }
        match c {
            '{' | '[' if !in_string => {
                out.push(c);
                if let Some((close @ ('}' | ']'), false)) = letters.peek().copied() {
                    letters.next();
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' if !in_string => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' if !in_string => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' if !in_string => out.push_str(": "),
            _ => out.push(c),
        }
    }
    (out, false)
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(INDENT_MAX)));
}

/// The characters of a JSON text with whether each is part of a string, and without blanks outside of strings.
fn marked(json: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut in_string, mut escaped) = (false, false);
    json.chars().filter_map(move |c| {
        let was = in_string;
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' if !in_string => return None,
            _ => {}
        }
        Some((c, was || in_string))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(json: &str) -> String {
        layout(json, usize::MAX).0
    }

    #[test]
    fn every_member_gets_its_line() {
        let json = r#"{"a" :[1, 2.50],"b":{ },"c":[],"d":{"e":null}}"#;
        let expected =
            "{\n  \"a\": [\n    1,\n    2.50\n  ],\n  \"b\": {},\n  \"c\": [],\n  \"d\": {\n    \"e\": null\n  }\n}";
        assert_eq!(whole(json), expected);
    }

    #[test]
    fn what_stands_in_strings_stays() {
        let json = r#"{"a{,": "b: \" [ , \\", "c":"d  e"}"#;
        assert_eq!(whole(json), "{\n  \"a{,\": \"b: \\\" [ , \\\\\",\n  \"c\": \"d  e\"\n}");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let json = format!("[{}]", vec!["1"; 1_000].join(","));
        let (text, cut) = layout(&json, 100);
        assert!(cut && text.len() <= 110, "{}", text.len());
        assert!(!layout("[1]", 100).1);
    }
}
