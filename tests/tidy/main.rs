//! Keeps the architecture true: the rooms and their rules (Rooms in src/docs/design.md), read off the source text.
//!
//! Each rule is a function from sources to findings, so that it can be tried on a made-up source.

#![allow(clippy::expect_used, reason = "a source tree that cannot be read ends the test")]

mod rust_source;

use std::collections::BTreeSet;
use std::fs;

use rust_source::{Named, Source};

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
            "deliver::parse_endpoint",
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
    ("hyper_rustls", &["deliver/connection"]),
    ("reqwest", &["cli/client"]),
    ("lettre", &["notify"]),
    ("utoipa_swagger_ui", &["http/openapi/docs_page"]),
    ("zstd", &["journal/redis/compression"]),
];

/// The rooms without I/O, clock and randomness, and the crates that they may name: data only.
const PURE_ROOMS: &[&str] = &["message", "workspace"];
const PURE_CRATES: &[&str] = &["bytes", "crc32fast", "jiff", "serde", "serde_json", "thiserror", "url", "utoipa"];
const IMPURE_STD: &[&str] =
    &["std::time::SystemTime", "std::time::Instant", "std::fs", "std::io", "std::env", "std::process", "std::thread"];

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
        texts.push((source.file, source.raw.join("\n")));
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
    sources.iter().flat_map(|source| source.test_modules().into_iter().map(|name| inside(source, name))).collect()
}

/// Every path that production code names. A line under `#[cfg(test)]` is none of it.
fn production(sources: &[Source]) -> impl Iterator<Item = (&Source, &Named)> {
    let tests = test_modules(sources);
    let real = sources.iter().filter(move |source| !tests.iter().any(|place| is_in(module(source), place)));
    real.flat_map(|source| {
        source.paths.iter().filter(|named| !source.is_test(named.line)).map(move |named| (source, named))
    })
}

/// The path from the crate's root: `super` and `outbound` resolved, other paths as they are.
fn absolute(source: &Source, named: &Named) -> Vec<String> {
    let mut here: Vec<String> = std::iter::once("crate").chain(module(source).split('/')).map(str::to_owned).collect();
    let ups = named.segments.iter().take_while(|segment| *segment == "super").count();
    match named.segments[0].as_str() {
        "super" => {
            here.truncate(here.len().saturating_sub(ups).max(1));
            here.extend_from_slice(&named.segments[ups..]);
            here
        }
        "outbound" => std::iter::once("crate".to_owned()).chain(named.segments[1..].to_vec()).collect(),
        _ => named.segments.clone(),
    }
}

fn imports(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (source, named) in production(sources) {
        let path = absolute(source, named);
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
        let is_ours = source.paths.iter().any(|other| {
            other.segments.len() > 1
                && matches!(other.segments[0].as_str(), "crate" | "self" | "super" | "outbound")
                && other.segments.last().is_some_and(|last| last == name)
        });
        if !is_ours && !places.iter().any(|place| is_in(module(source), place)) {
            findings.push(finding(
                source,
                named.line,
                &format!("names {name}, which belongs to {}", places.join(", ")),
            ));
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
    let tests = test_modules(sources);
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !tests.iter().any(|place| is_in(module(source), place))) {
        let lines = source.raw.len().min(source.tests_from - 1);
        let code = source.code[..lines].iter().filter(|line| !line.trim().is_empty()).count();
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
        for (index, code) in source.code.iter().enumerate() {
            let called =
                code.find("sleep(").is_some_and(|at| !code[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric()));
            let is_test = all || source.is_test(index + 1);
            if is_test
                && called
                && !code.contains("fn sleep(")
                && !explains(source, index)
                && !is_in_a_loop(source, index)
            {
                findings.push(finding(source, index + 1, code.trim()));
            }
        }
        for (index, _) in source.code.iter().enumerate().filter(|(_, code)| code.contains("#[ignore")) {
            findings.push(finding(source, index + 1, "#[ignore]"));
        }
    }
    findings
}

/// Whether a comment stands on the line at `index` or on the one above.
fn explains(source: &Source, index: usize) -> bool {
    source.raw[index.saturating_sub(1)..=index].iter().any(|text| text.contains("// "))
}

/// Whether a block around the line at `index`, up to its function, is that of a loop: it looks again
/// for a condition, or a peer takes its time step by step.
fn is_in_a_loop(source: &Source, index: usize) -> bool {
    let mut depth = 0_i32;
    for code in source.code[..index].iter().rev() {
        for c in code.chars().rev().filter(|c| "{}".contains(*c)) {
            depth += if c == '}' { 1 } else { -1 };
        }
        if depth < 0 {
            depth = 0;
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            match words.find(|word| matches!(*word, "loop" | "while" | "for" | "fn")) {
                Some("fn") => return false,
                Some(_) => return true,
                None => {}
            }
        }
    }
    false
}

fn machine_paths(texts: &[(String, String)]) -> Vec<String> {
    // Put together here, so that this file is no finding itself.
    let folders = ["home", "Users", "root", "work", "tmp"].map(|folder| format!("/{folder}/"));
    let mut findings = Vec::new();
    for (file, text) in texts {
        for (index, line) in text.lines().enumerate() {
            // A URL's path is no path of a machine.
            let starts =
                |folder: &String| line.match_indices(folder.as_str()).any(|(at, _)| is_path_start(&line[..at]));
            if let Some(folder) = folders.iter().find(|folder| starts(folder)) {
                findings.push(format!("{file}:{}: {folder}", index + 1));
            }
        }
    }
    findings
}

fn is_path_start(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || ".-_}/".contains(c))
}

mod the_rules_find {
    use super::*;

    fn one(file: &str, text: &str) -> Vec<Source> {
        vec![Source::new(file, text)]
    }

    #[test]
    fn a_room_that_uses_another_room_in_any_spelling() {
        for text in [
            "use crate::actor::Handle;",
            "use crate::{\n    message::{self, Message},\n    actor::handle as h,\n};",
            "fn f() { crate::actor::run() }",
            "use super::super::actor::Handle;",
            "pub use outbound::actor::{self as a, };",
            "fn f<'a>(c: char) -> &'a str { if c == '\"' { crate::actor::name() } else { \"\" } }",
        ] {
            assert_eq!(imports(&one("src/journal/port.rs", text)).len(), 1, "{text}");
        }
        assert_eq!(
            imports(&one("src/http.rs", "use crate::deliver::guard::Guard;\nuse crate::deliver::{Courier, guard};\n")),
            ["src/http.rs:2: `http` names crate::deliver::Courier"]
        );
    }

    #[test]
    fn nothing_in_comments_strings_tests_and_permitted_places() {
        for text in [
            "//! Only crate::actor::X names actix::Addr.\n/* use crate::actor::X; /* nested */ */",
            "const A: &str = \"crate::actor::X\"; const B: &str = r#\"use crate::actor::X;\"#; const C: char = '\\'';",
            "#[cfg(test)]\nmod tests {\n    use crate::actor::X;\n    use actix::Addr;\n}",
            "use crate::message::Message; use super::record; use serde::Serialize;",
        ] {
            let sources = one("src/journal/port.rs", text);
            assert_eq!(imports(&sources).len() + crates(&sources).len(), 0, "{text}");
        }
        let test_module = vec![
            Source::new("src/journal.rs", "#[cfg(test)]\npub(crate) mod conformance;\n"),
            Source::new("src/journal/conformance/laws.rs", "use crate::actor::X;"),
        ];
        assert_eq!(imports(&test_module).len(), 0);
    }

    #[test]
    fn a_crate_outside_its_place_but_not_a_module_of_the_same_name() {
        assert_eq!(crates(&one("src/app.rs", "use redis::Client;")).len(), 1);
        assert_eq!(crates(&one("src/journal/port.rs", "fn f(c: ::redis::Client, d: redis::aio::X) {}")).len(), 1);
        assert_eq!(crates(&one("src/cli/serve.rs", "#[axum::debug_handler]\nfn f() {}")).len(), 1);
        assert_eq!(
            crates(&one("src/app.rs", "use crate::journal::redis::X; use crate::{journal::{redis::Y}};")).len(),
            0
        );
        assert_eq!(
            crates(&one("src/app.rs", "use crate::journal::{port, redis::{self, R}};\nfn f() { redis::open() }")).len(),
            0
        );
        assert_eq!(crates(&one("src/journal/redis/script.rs", "use redis::Script;")).len(), 0);
        assert_eq!(crates(&one("src/cli/clients.rs", "use reqwest::Client;")).len(), 1);
    }

    #[test]
    fn a_clock_randomness_and_io_in_a_pure_room() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nserde = \"1\"\nfutures-util = \"1\"\ntokio = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
        for text in [
            "use std::time::{Duration, Instant};",
            "use std::time::*;",
            "use tokio::sync::mpsc;",
            "fn f() { futures_util::pin() }",
            "fn f() -> Timestamp { Timestamp::now() }",
            "fn f() { std::fs::read(\"x\"); }",
        ] {
            assert_eq!(impurities(&one("src/workspace/decide.rs", text), manifest).len(), 1, "{text}");
            assert_eq!(impurities(&one("src/journal/port.rs", text), manifest).len(), 0, "{text}");
        }
        let pure =
            "use std::time::Duration; use serde::Serialize; use std::{fmt, sync::Arc}; fn f() { std::mem::take(x) }";
        assert_eq!(impurities(&one("src/workspace/decide.rs", pure), manifest), [""; 0]);
    }

    #[test]
    fn files_that_are_too_long() {
        let long = "fn f() {}\n".repeat(FILE_LINES_MAX + 1);
        assert_eq!(sizes(&one("src/app.rs", &long)).len(), 1);
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(sizes(&one("src/app.rs", &tested)).len(), 0);
        assert_eq!(sizes(&one("src/http.rs", &"fn f() {}\n".repeat(DOOR_CODE_MAX + 1))).len(), 1);
        assert_eq!(sizes(&one("src/http.rs", &"/// Says much.\n\n".repeat(DOOR_CODE_MAX))).len(), 0);
    }

    #[test]
    fn a_room_that_the_architecture_page_forgets() {
        assert_eq!(undocumented("//! `message` and [`workspace`].\npub mod message;\npub mod workspace;\n").len(), 0);
        assert_eq!(undocumented("//! `messages`.\npub mod message;\n").len(), 1);
        assert_eq!(undocumented("//! `message`, `attic`.\npub mod attic;\n").len(), 1);
    }

    #[test]
    fn a_test_that_sleeps_without_saying_why_or_is_left_out() {
        for text in [
            "fn f() { std::thread::sleep(d); }",
            "fn f() {\n    for x in y {\n        z();\n    }\n    sleep(d);\n}",
            "#[ignore]\nfn f() {}",
        ] {
            assert_eq!(sleeps(&one("tests/x.rs", text)).len(), 1, "{text}");
        }
        let polls = "while !condition() {\n    assert!(soon());\n    thread::sleep(d);\n}";
        assert_eq!(sleeps(&one("tests/x.rs", polls)).len(), 0);
        let says_why = "// The server needs a second without traffic: that is the case.\nthread::sleep(d);";
        assert_eq!(sleeps(&one("tests/x.rs", says_why)).len(), 0);
        assert_eq!(sleeps(&one("src/actor/x.rs", "fn f() { tokio::time::sleep(d) }")).len(), 0);
        assert_eq!(
            sleeps(&one("src/actor/x.rs", "#[cfg(test)]\nmod tests {\n    fn f() { time::sleep(d) }\n}")).len(),
            1
        );
    }

    #[test]
    fn a_path_of_a_machine() {
        let found = |text: &str| machine_paths(&[("x".to_owned(), text.to_owned())]).len();
        assert_eq!(found(&format!("let a = \"/{}/me/x\";", "home")), 1);
        assert_eq!(found(&format!("https://a.example/{}/x $(HOME)/{}/x", "tmp", "tmp")), 1);
        assert_eq!(found("https://a.example/v1/workspaces/x"), 0);
    }
}
