//! Rust source read as text: what it names, without what stands in its comments and strings.

use std::fs;
use std::path::Path;

/// One file.
pub(crate) struct Source {
    /// Its path, as a reader of a message finds it.
    pub(crate) file: String,
    /// Its lines as they stand.
    pub(crate) raw: Vec<String>,
    /// Its lines without comments and without what is in strings.
    pub(crate) code: Vec<String>,
    /// Every path that it names, the groups of `use` written out.
    pub(crate) paths: Vec<Named>,
    /// The line from which everything is test code; beyond the end when there is none.
    pub(crate) tests_from: usize,
}

/// A path and the line (from 1) that names it.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

impl Named {
    /// The path as it is written.
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let blanked = blank(text);
        let code: Vec<String> = blanked.lines().map(str::to_owned).collect();
        Self {
            file: file.to_owned(),
            raw: text.lines().map(str::to_owned).collect(),
            paths: paths(&tokens(&code)),
            tests_from: tests_from(&code),
            code,
        }
    }

    /// Every Rust file under `folder`, by name.
    pub(crate) fn all_under(folder: &str) -> Vec<Self> {
        let mut found = Vec::new();
        collect(Path::new(folder), &mut found);
        found.sort_by(|a: &Self, b| a.file.cmp(&b.file));
        found
    }

    /// Whether line `line` (from 1) is test code of a file that is not all of it.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        line >= self.tests_from
    }

    /// The names of the modules that are declared for tests only, in files of their own.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let marked = self.code.windows(2).filter(|lines| is_test_mark(&lines[0]));
        marked.filter_map(|lines| Some(lines[1].trim().strip_suffix(';')?.rsplit_once("mod ")?.1.to_owned())).collect()
    }
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            found.push(Source::new(&path.display().to_string(), &text));
        }
    }
}

fn is_test_mark(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("#[cfg(") && line.contains("test")
}

/// By convention the tests of a file are one module at its end.
fn tests_from(code: &[String]) -> usize {
    let is_module = |line: &String| line.contains("mod ") && line.trim_end().ends_with('{');
    let at = code.windows(2).position(|lines| is_test_mark(&lines[0]) && is_module(&lines[1]));
    at.map_or(usize::MAX, |index| index + 1)
}

/// `text` with comments and the insides of strings and characters taken out; line ends stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut blanked = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            blanked.push(chars[at]);
            at += 1;
        } else {
            blanked.push(' ');
            blanked.extend(chars[at..end].iter().filter(|c| **c == '\n'));
            at = end;
        }
    }
    blanked
}

/// Where the comment, string or character that begins at `at` ends; `at` when none does.
fn skipped(chars: &[char], at: usize) -> usize {
    let is = |offset: usize, c: char| chars.get(at + offset) == Some(&c);
    let inside_a_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if is(1, '/') => end_of(chars, at, |rest| rest[0] == '\n'),
        '/' if is(1, '*') => end_of_block_comment(chars, at),
        '"' => end_of_quoted(chars, at, '"'),
        // A character, not a lifetime: 'x', '\n', '\u{1f600}'.
        '\'' if is(1, '\\') || is(2, '\'') => end_of_quoted(chars, at, '\''),
        'r' | 'b' | 'c' if !inside_a_name => {
            let prefix = chars[at..].iter().take_while(|c| "rbc".contains(**c)).count();
            let hashes = chars[at + prefix..].iter().take_while(|c| **c == '#').count();
            let raw = chars[at..at + prefix].contains(&'r');
            match chars.get(at + prefix + hashes) {
                Some('"') if raw => {
                    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    let body = at + prefix + hashes + 1;
                    (end_of(chars, body, |rest| rest.starts_with(&close)) + close.len()).min(chars.len())
                }
                Some(quote @ ('"' | '\'')) if hashes == 0 && prefix == 1 && !raw => {
                    end_of_quoted(chars, at + 1, *quote)
                }
                _ => at,
            }
        }
        _ => at,
    }
}

fn end_of(chars: &[char], from: usize, ends: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|at| ends(&chars[*at..])).unwrap_or(chars.len())
}

fn end_of_quoted(chars: &[char], open: usize, quote: char) -> usize {
    let mut at = open + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn end_of_block_comment(chars: &[char], open: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = open;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// A name, `::`, or any other single character, with its line.
type Token = (usize, String);

fn tokens(code: &[String]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.iter().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                ':' if rest.starts_with("::") => 2,
                c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
                c => c.len_utf8(),
            };
            tokens.push((index + 1, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn paths(tokens: &[Token]) -> Vec<Named> {
    let token = |at: usize| tokens.get(at).map_or("", |(_, text)| text.as_str());
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = if at == 0 { "" } else { token(at - 1) };
        if token(at) == "use" && token(at + 1) != "<" {
            at = use_tree(tokens, at + 1, &[], &mut paths);
        } else if token(at).starts_with(is_name) && token(at + 1) == "::" && !matches!(before, "::" | ".") {
            let line = tokens[at].0;
            let mut segments = vec![token(at).to_owned()];
            at += 1;
            while token(at) == "::" && token(at + 1).starts_with(is_name) {
                segments.push(token(at + 1).to_owned());
                at += 2;
            }
            paths.push(Named { line, segments });
        } else {
            at += 1;
        }
    }
    paths
}

/// Writes the `use` tree at `at` out into `paths`; returns where it ends.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<Named>) -> usize {
    let token = |at: usize| tokens.get(at).map_or("", |(_, text)| text.as_str());
    let mut segments = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    loop {
        match token(at) {
            "::" => at += 1,
            "{" => {
                at += 1;
                while !matches!(token(at), "}" | "") {
                    let end = use_tree(tokens, at, &segments, paths);
                    // A comma, or what no use tree holds: a macro's pattern.
                    at = if token(end) == "," || end == at { end + 1 } else { end };
                }
                return at + 1;
            }
            "as" => at += 2,
            // In a group it means what stands before the group.
            "self" if !segments.is_empty() => at += 1,
            name if name == "*" || name.starts_with(is_name) => {
                segments.push(name.to_owned());
                at += 1;
            }
            _ => {
                paths.push(Named { line, segments });
                return at;
            }
        }
    }
}
