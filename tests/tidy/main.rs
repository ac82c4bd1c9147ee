//! Keeps the architecture true: the rooms and their rules (Rooms in src/docs/design.md), read off the source text.
//!
//! Each rule is a function from sources to findings, so that it can be tried on a made-up source.

#![allow(clippy::expect_used, reason = "a source tree that cannot be read ends the test")]

mod circles;
mod citations;
mod promises;
mod source;
mod the_rules_find;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use source::{Named, Source};

/// The rooms, and what each may use of the others: a room, or one module of it. What stands in no
/// list may not be used; a room that may use everything has a `*`.
const ROOMS: &[(&str, &[&str])] = &[
    ("message", &[]),
    ("workspace", &["message"]),
    ("seal", &["message", "workspace"]),
    ("config", &["message", "seal", "workspace"]),
    ("telemetry", &["config", "message", "workspace"]),
    ("sign", &["config", "message", "workspace"]),
    ("journal", &["config", "message", "telemetry", "workspace"]),
    ("deliver", &["config", "message", "sign", "telemetry", "workspace"]),
    ("notify", &["config", "journal", "message", "telemetry", "workspace"]),
    ("actor", &["config", "deliver", "journal", "message", "notify", "seal", "sign", "telemetry", "workspace"]),
    (
        "http",
        &[
            "config",
            "deliver::guard",
            "deliver::Guard",
            "deliver::typed_endpoint",
            "journal",
            "message",
            "seal",
            "sign",
            "telemetry",
            "workspace",
        ],
    ),
    ("app", &["*"]),
    ("docs", &[]),
    ("cli", &["*"]),
];

/// Crates that only these places may name (a place is a module: its file, or everything below it).
const ONE_PLACE: &[(&str, &[&str])] = &[
    ("actix", &["actor"]),
    ("actix_rt", &["actor"]),
    ("axum", &["http"]),
    ("chacha20poly1305", &["seal"]),
    ("maud", &["http/screen"]),
    ("redis", &["journal/redis"]),
    ("redb", &["journal/embedded"]),
    ("reqwest", &["cli/client"]),
    ("lettre", &["notify"]),
    ("utoipa_swagger_ui", &["http/openapi/docs_page"]),
    ("zstd", &["journal/redis/compression"]),
];

/// The rooms without I/O, clock and randomness, and the crates that they may name: data only.
const PURE_ROOMS: &[&str] = &["message", "workspace"];
const PURE_CRATES: &[&str] = &[
    "bytes",
    "crc32fast",
    "icu_properties",
    "itoa",
    "jiff",
    "percent_encoding",
    "serde",
    "serde_json",
    "thiserror",
    "url",
    "utoipa",
];
const IMPURE_STD: &[&str] =
    &["std::time::SystemTime", "std::time::Instant", "std::fs", "std::io", "std::env", "std::process", "std::thread"];

/// Words that the glossary of src/docs/design.md has replaced: no type and no module is named with one.
const BANNED_WORDS: &[&str] = &[
    "desk", "fallen", "fold", "front", "given", "grown", "inbox", "kept", "lane", "lanes", "life", "lives", "mind",
    "news", "pace", "rest", "resting", "rise", "sentence", "slots", "strike", "strikes", "sweep", "term", "throttle",
    "way",
];

/// Lines of a source file, its tests apart.
const FILE_LINES_MAX: usize = 450;
/// Lines of code (no comment, not blank) of the file that opens a room with a folder (`src/http.rs`): it
/// shows what the room has, it does not do it.
const DOOR_CODE_MAX: usize = 200;
/// Lines of code of `main.rs`.
const MAIN_CODE_MAX: usize = 60;

#[test]
fn rooms_use_only_the_rooms_that_they_may_use() {
    report("a room uses only what ROOMS in tests/tidy allows it (src/docs/design.md, Rooms)", &imports(&sources()));
}

#[test]
fn a_crate_with_a_room_of_its_own_is_named_nowhere_else() {
    report(
        "only the places in ONE_PLACE of tests/tidy may name this crate (src/docs/design.md, Rooms)",
        &crates(&sources()),
    );
}

#[test]
fn the_pure_rooms_have_no_clock_no_randomness_and_no_io() {
    let manifest = fs::read_to_string("Cargo.toml").expect("the manifest");
    report(
        "a pure room takes times, ids and outcomes as arguments (src/docs/design.md, Rooms)",
        &impurities(&sources(), &manifest),
    );
}

#[test]
fn files_are_short_enough_to_be_read() {
    report("split the file by what a reader looks for", &sizes(&sources()));
}

#[test]
fn the_architecture_page_names_every_room() {
    let lib = fs::read_to_string("src/lib.rs").expect("lib.rs");
    report("src/lib.rs is the architecture page: its docs name every public module", &undocumented(&lib));
}

#[test]
fn a_type_is_declared_once() {
    report("one word, one meaning: name the type by what it is in its room", &namesakes(&sources()));
}

#[test]
fn types_and_modules_have_the_words_of_the_glossary() {
    report("src/docs/design.md, Words, has another word for it", &banned_words(&sources()));
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    report("move what both need to a file below them", &circles::circles(&sources()));
}

#[test]
fn a_citation_leads_to_a_page_and_a_section() {
    report("cite a page of src/docs and the anchor of one of its headings", &citations::broken());
}

#[test]
fn every_promise_is_shown_by_a_test_that_is_there() {
    let mut all = sources();
    all.extend(Source::all_under("tests"));
    let readme = fs::read_to_string("README.md").expect("README.md");
    report(
        "name under `shown by` of README's promises the tests that show them",
        &promises::broken(&readme, &promises::tests(&all)),
    );
}

#[test]
fn tests_wait_for_conditions_and_none_is_left_out() {
    let mut all = sources();
    all.extend(Source::all_under("tests"));
    report(
        "a test waits for a condition and is never left out; where it must sleep outside a loop, a comment on the line or the line above says why",
        &sleeps(&all),
    );
}

#[test]
fn no_file_knows_the_machine_that_it_was_written_on() {
    let mut texts: Vec<(String, String)> = Vec::new();
    for source in sources().into_iter().chain(Source::all_under("tests")) {
        texts.push((source.file, source.lines.join("\n")));
    }
    for file in ["Cargo.toml", "Makefile", "Dockerfile", "compose.yaml", ".ci/run", ".config/nextest.toml"] {
        texts.push((file.to_owned(), fs::read_to_string(file).expect(file)));
    }
    report("take a path from the environment, a flag or a temporary folder", &machine_paths(&texts));
}

fn sources() -> Vec<Source> {
    let sources = Source::all_under("src");
    assert!(sources.len() > 10, "the tests run in the package's folder");
    sources
}

#[track_caller]
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

fn finding(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", source.file)
}

/// `src/journal/redis/lease.rs` → `journal/redis/lease`; `src/journal.rs` → `journal`.
fn module(source: &Source) -> &str {
    source.file.trim_start_matches("src/").trim_end_matches(".rs")
}

fn room(source: &Source) -> &str {
    module(source).split('/').next().unwrap_or_default()
}

fn is_in(module: &str, place: &str) -> bool {
    module.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The modules, as `workspace/scenario`, that exist for tests only.
fn test_modules(sources: &[Source]) -> BTreeSet<String> {
    let inside = |source: &Source, name: String| match module(source) {
        "lib" | "main" => name,
        parent => format!("{parent}/{name}"),
    };
    sources.iter().flat_map(|source| source.test_modules.iter().map(|name| inside(source, name.clone()))).collect()
}

/// Every path that production code names. A line under `#[cfg(test)]` is none of it.
fn production(sources: &[Source]) -> impl Iterator<Item = (&Source, &Named)> {
    production_files(sources)
        .flat_map(|source| source.paths.iter().filter(|named| !named.test).map(move |named| (source, named)))
}

fn production_files(sources: &[Source]) -> impl Iterator<Item = &Source> {
    let tests = test_modules(sources);
    sources.iter().filter(move |source| !tests.iter().any(|place| is_in(module(source), place)))
}

/// The path from the crate's root: `super` and `outbound` resolved, other paths as they are.
fn absolute(source: &Source, segments: &[String]) -> Vec<String> {
    let mut here: Vec<String> = std::iter::once("crate").chain(module(source).split('/')).map(str::to_owned).collect();
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    match segments[0].as_str() {
        "super" => {
            here.truncate(here.len().saturating_sub(ups).max(1));
            here.extend_from_slice(&segments[ups..]);
            here
        }
        "outbound" => std::iter::once("crate".to_owned()).chain(segments[1..].to_vec()).collect(),
        "self" => here.into_iter().chain(segments[1..].to_vec()).collect(),
        _ => segments.to_vec(),
    }
}

fn imports(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (source, named) in production(sources) {
        let path = absolute(source, &named.segments);
        let [root, used, ..] = &path[..] else { continue };
        let mine = room(source);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == mine) else { continue };
        let is_room = root == "crate" && ROOMS.iter().any(|(name, _)| name == used);
        let below_root = path[1..].join("/");
        let may = used == mine || allowed.iter().any(|it| *it == "*" || is_in(&below_root, &it.replace("::", "/")));
        if is_room && !may {
            findings.push(finding(source, named.line, &format!("`{mine}` names {}", named.text())));
        }
    }
    findings
}

fn crates(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (source, named) in production(sources) {
        let Some((name, places)) = ONE_PLACE.iter().find(|(name, _)| named.segments[0] == *name) else { continue };
        // A module of ours that is imported under the same name, as crate::journal::redis is.
        let is_ours = source
            .imports
            .iter()
            .any(|(shown, path)| shown == name && matches!(path[0].as_str(), "crate" | "self" | "super" | "outbound"));
        if !is_ours && !places.iter().any(|place| is_in(module(source), place)) {
            let belongs = format!("names {name}, which belongs to {}", places.join(", "));
            findings.push(finding(source, named.line, &belongs));
        }
    }
    findings
}

/// The names of the dependencies in `manifest`, as code names them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or_default();
    section.lines().filter_map(|line| Some(line.split_once('=')?.0.trim().replace('-', "_"))).collect()
}

fn impurities(sources: &[Source], manifest: &str) -> Vec<String> {
    let dependencies = dependencies(manifest);
    let mut findings = Vec::new();
    for (source, named) in production(sources).filter(|(source, _)| PURE_ROOMS.contains(&room(source))) {
        let (root, text) = (named.segments[0].as_str(), named.text());
        let covers = text.trim_end_matches("::*");
        let is_under = |path: &str, parent: &str| is_in(&path.replace("::", "/"), &parent.replace("::", "/"));
        let foreign = dependencies.contains(root) && !PURE_CRATES.contains(&root);
        let impure = IMPURE_STD.iter().any(|it| is_under(&text, it) || (root == "std" && is_under(it, covers)));
        let clock = named.segments.last().is_some_and(|last| last == "now");
        if foreign || impure || clock {
            findings.push(finding(source, named.line, &format!("`{}` names {text}", room(source))));
        }
    }
    findings
}

fn sizes(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in production_files(sources) {
        let real = source.lines.iter().enumerate().filter(|(index, _)| !source.is_test(index + 1));
        let real: Vec<&str> = real.map(|(_, line)| line.trim()).collect();
        let lines = real.len();
        let code = real.iter().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        let name = source.file.rsplit('/').next().unwrap_or_default();
        let code_max = match module(source) {
            "main" => MAIN_CODE_MAX,
            // These have no parts of note: they are the room.
            "app" | "config" | "message" | "sign" => usize::MAX,
            path if !path.contains('/') => DOOR_CODE_MAX,
            _ => usize::MAX,
        };
        if lines > FILE_LINES_MAX {
            findings.push(finding(source, lines, &format!("{lines} lines, at most {FILE_LINES_MAX}")));
        }
        if code > code_max {
            findings.push(finding(source, lines, &format!("{code} lines of code, at most {code_max} in a {name}")));
        }
    }
    findings
}

fn undocumented(lib: &str) -> Vec<String> {
    let docs: String = lib.lines().filter_map(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join("\n");
    let words: BTreeSet<&str> = docs.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut findings = Vec::new();
    for (index, line) in lib.lines().enumerate() {
        let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.split([';', ' ']).next()) else { continue };
        if !words.contains(name) {
            findings.push(format!("src/lib.rs:{}: its docs do not name {name}", index + 1));
        }
        if !ROOMS.iter().any(|(room, _)| *room == name) {
            findings.push(format!("src/lib.rs:{}: ROOMS in tests/tidy does not say what {name} may use", index + 1));
        }
    }
    findings
}

/// Sleeping and left-out tests, in files under `tests` and in the test code of `src`.
fn sleeps(sources: &[Source]) -> Vec<String> {
    let tests = test_modules(sources);
    let mut findings = Vec::new();
    for source in sources {
        let all = source.file.starts_with("tests/") || tests.iter().any(|place| is_in(module(source), place));
        let sleeps = source.sleeps.iter().filter(|sleep| (all || sleep.test) && !explains(source, sleep.line));
        findings.extend(sleeps.map(|sleep| finding(source, sleep.line, source.lines[sleep.line - 1].trim())));
        findings.extend(source.ignored.iter().map(|line| finding(source, *line, "#[ignore]")));
    }
    findings
}

/// Whether a comment stands on the line or on the one above.
fn explains(source: &Source, line: usize) -> bool {
    source.lines[line.saturating_sub(2)..line].iter().any(|text| text.contains("// "))
}

/// Types that are declared more than once, by name.
fn namesakes(sources: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in production_files(sources) {
        for declared in source.types.iter().filter(|declared| !declared.test) {
            places.entry(&declared.segments[0]).or_default().push(format!("{}:{}", source.file, declared.line));
        }
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    twice.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

/// Types and modules that are named with a word of [`BANNED_WORDS`].
fn banned_words(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let name = module(source).rsplit('/').next().unwrap_or_default();
        let types = source.types.iter().map(|declared| (declared.line, declared.segments[0].as_str()));
        for (line, name) in types.chain([(1, name)]) {
            if words(name).iter().any(|word| BANNED_WORDS.contains(&word.as_str())) {
                findings.push(finding(source, line, name));
            }
        }
    }
    findings
}

/// `ReportQueue` and `report_queue` → `report`, `queue`.
fn words(name: &str) -> Vec<String> {
    let spaced: String = name.chars().flat_map(|c| if c.is_uppercase() { vec!['_', c] } else { vec![c] }).collect();
    spaced.split('_').filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn machine_paths(texts: &[(String, String)]) -> Vec<String> {
    // Put together here, so that this file is no finding itself.
    let folders = ["home", "Users", "root", "work", "tmp"].map(|folder| format!("/{folder}/"));
    // A URL's path is no path of a machine.
    let starts = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || ".-_}/".contains(c));
    let lines = texts.iter().flat_map(|(file, text)| text.lines().enumerate().map(move |line| (file, line)));
    let found = lines.filter_map(|(file, (index, line))| {
        let is_in = |folder: &&String| line.match_indices(folder.as_str()).any(|(at, _)| starts(&line[..at]));
        folders.iter().find(is_in).map(|folder| format!("{file}:{}: {folder}", index + 1))
    });
    found.collect()
}
