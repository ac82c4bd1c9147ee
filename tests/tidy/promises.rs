//! What README promises: each promise names the tests that show it, and those are there.

use std::collections::BTreeSet;

use crate::source::Source;

/// The heading above the table of promises.
const HEADING: &str = "## What you can rely on";
/// Lines of README: what a newcomer needs, and no more.
const README_LINES_MAX: usize = 200;

/// What is wrong with the promises of `readme`, where these are the tests.
pub(crate) fn broken(readme: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = readme.lines().count();
    if lines > README_LINES_MAX {
        findings.push(format!("README.md has {lines} lines, at most {README_LINES_MAX}"));
    }
    let section = readme.lines().enumerate().skip_while(|(_, line)| *line != HEADING).skip(1);
    let section = section.take_while(|(_, line)| !line.starts_with("## "));
    // The first two are the table's head.
    let rows = section.filter(|(_, line)| line.starts_with('|')).skip(2).collect::<Vec<_>>();
    if rows.is_empty() {
        findings.push(format!("README.md has no table under `{HEADING}`"));
    }
    for (index, row) in rows {
        let shown_by = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            findings.push(format!("README.md:{}: no test shows this promise", index + 1));
        }
        let unknown = names.into_iter().filter(|name| !tests.contains(*name));
        findings.extend(unknown.map(|name| format!("README.md:{}: there is no test {name}", index + 1)));
    }
    findings
}

/// The names of all tests in these sources.
pub(crate) fn tests(sources: &[Source]) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in sources {
        let mut is_test = false;
        for line in source.lines.iter().map(|line| line.trim()) {
            if line.starts_with("#[") || line.starts_with("//") {
                is_test |= line.contains("test]") || line.contains("::test(");
                continue;
            }
            let named = line.split_once("fn ").filter(|(before, _)| matches!(*before, "" | "async "));
            if let Some((name, _)) = named.and_then(|(_, rest)| rest.split_once('(')).filter(|_| is_test) {
                tests.insert(name.to_owned());
            }
            is_test = false;
        }
    }
    tests
}
