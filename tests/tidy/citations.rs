//! Citations of the documents: the page must exist, and the heading that an anchor names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::source::Source;

/// What each page's headings are called as anchors, by the page's name.
pub(crate) type Pages = BTreeMap<String, Vec<String>>;

pub(crate) fn broken() -> Vec<String> {
    let pages: Pages = markdown("src/docs").into_iter().map(|(file, text)| (name(&file), anchors(&text))).collect();
    let mut findings = Vec::new();
    for source in Source::all_under("src").into_iter().chain(Source::all_under("tests")) {
        if !source.file.starts_with("tests/tidy/") {
            findings.extend(broken_in(&pages, &source.file, &source.lines.join("\n")));
        }
    }
    for (file, text) in [".", ".github", "src/docs"].into_iter().flat_map(markdown) {
        findings.extend(broken_in(&pages, &file, &text));
    }
    findings
}

/// Citations as Rust (`docs::page#anchor`) and as Markdown (`page.md#anchor`) that lead nowhere.
pub(crate) fn broken_in(pages: &Pages, file: &str, text: &str) -> Vec<String> {
    let is_anchor = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let rust = line.split("crate::docs::").skip(1).map(|rest| (rest, ""));
        let paths = line.match_indices("src/docs/").map(|(at, start)| (&line[at + start.len()..], ".md"));
        for (rest, extension) in rust.chain(paths) {
            let page: String = rest.chars().take_while(|c| is_anchor(*c)).collect();
            let Some(rest) = rest[page.len()..].strip_prefix(extension) else { continue };
            let anchor: String =
                rest.strip_prefix('#').unwrap_or_default().chars().take_while(|c| is_anchor(*c)).collect();
            let headings = pages.get(&page);
            if headings.is_none_or(|headings| !anchor.is_empty() && !headings.contains(&anchor)) {
                findings.push(format!("{file}:{}: {page}#{anchor}", index + 1));
            }
        }
    }
    findings
}

/// The headings of a page as anchors, as rustdoc and the usual viewers make them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        code ^= line.starts_with("```");
        if let Some((_, heading)) = line.split_once("# ").filter(|(start, _)| !code && start.chars().all(|c| c == '#'))
        {
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            found.push(kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect());
        }
    }
    found
}

fn markdown(folder: &str) -> Vec<(String, String)> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("a readable folder").path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.display().to_string(), fs::read_to_string(path).expect("a readable page"))).collect()
}

fn name(file: &str) -> String {
    Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
