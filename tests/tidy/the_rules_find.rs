//! The rules, tried on made-up sources.

use crate::circles::circles;
use crate::citations::{Pages, anchors, broken_in};
use crate::*;

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
        "struct S {\n    #[cfg(test)]\n    a: u8,\n    b: crate::actor::Handle,\n}",
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
        "struct S {\n    #[cfg(test)]\n    a: crate::actor::X,\n}",
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
    assert_eq!(crates(&one("src/journal/port.rs", "fn f(c: ::redis::Client, d: redis::aio::X) {}")).len(), 2);
    assert_eq!(crates(&one("src/cli/serve.rs", "#[axum::debug_handler]\nfn f() {}")).len(), 1);
    assert_eq!(crates(&one("src/app.rs", "use crate::journal::redis::X; use crate::{journal::{redis::Y}};")).len(), 0);
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
    let pure = "use std::time::Duration; use serde::Serialize; use std::{fmt, sync::Arc}; fn f() { std::mem::take(x) }";
    assert_eq!(impurities(&one("src/workspace/decide.rs", pure), manifest), [""; 0]);
}

#[test]
fn files_that_are_too_long() {
    let long = "fn f() {}\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(sizes(&one("src/app.rs", &long)).len(), 1);
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(sizes(&one("src/app.rs", &tested)).len(), 0);
    assert_eq!(sizes(&one("src/http.rs", &"fn f() {}\n".repeat(DOOR_CODE_MAX + 1))).len(), 1);
    assert_eq!(
        sizes(&one("src/http.rs", &format!("{}fn f() {{}}\n", "/// Says much.\n\n".repeat(DOOR_CODE_MAX)))).len(),
        0
    );
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
    let polls = "fn f() {\n    while !condition() {\n        assert!(soon());\n        thread::sleep(d);\n    }\n}";
    assert_eq!(sleeps(&one("tests/x.rs", polls)).len(), 0);
    let says_why =
        "fn f() {\n    // The server needs a second without traffic: that is the case.\n    thread::sleep(d);\n}";
    assert_eq!(sleeps(&one("tests/x.rs", says_why)).len(), 0);
    assert_eq!(sleeps(&one("src/actor/x.rs", "fn f() { tokio::time::sleep(d) }")).len(), 0);
    assert_eq!(sleeps(&one("src/actor/x.rs", "#[cfg(test)]\nmod tests {\n    fn f() { time::sleep(d) }\n}")).len(), 1);
}

#[test]
fn a_path_of_a_machine() {
    let found = |text: &str| machine_paths(&[("x".to_owned(), text.to_owned())]).len();
    assert_eq!(found(&format!("let a = \"/{}/me/x\";", "home")), 1);
    assert_eq!(found(&format!("https://a.example/{}/x $(HOME)/{}/x", "tmp", "tmp")), 1);
    assert_eq!(found("https://a.example/v1/workspaces/x"), 0);
}

#[test]
fn a_name_of_two_types_and_a_word_that_was_replaced() {
    let twice = vec![
        Source::new("src/a.rs", "struct Line; mod x { enum Line {} }"),
        Source::new("src/b.rs", "trait Other { type Line; }\n#[cfg(test)]\nmod tests {\n    struct Other;\n}"),
    ];
    assert_eq!(namesakes(&twice), ["Line: src/a.rs:1, src/a.rs:1"]);
    assert_eq!(banned_words(&one("src/actor/desk.rs", "struct PaceOf; struct Restart;")).len(), 2);
}

#[test]
fn files_that_import_each_other() {
    let tree = |a: &str, b: &str, c: &str| {
        let door = Source::new("src/r.rs", "mod a; mod b; mod c; pub use c::C;");
        vec![door, Source::new("src/r/a.rs", a), Source::new("src/r/b.rs", b), Source::new("src/r/c.rs", c)]
    };
    assert_eq!(circles(&tree("use super::b::B;", "fn f() { crate::r::c::g(); }", "struct C;")), [""; 0]);
    // A re-export is no way around.
    assert_eq!(circles(&tree("use super::C;", "", "use super::b::B;")), [""; 0]);
    assert_eq!(circles(&tree("use super::C;", "use crate::r::a::A;", "use super::b::B;")), ["r/a, r/b, r/c"]);
    assert_eq!(circles(&tree("", "", "fn f() { super::g(); }")), ["r, r/c"]);
}

#[test]
fn a_citation_that_leads_nowhere() {
    let pages: Pages = [("design".to_owned(), anchors("# Design\n\n## 2. What is `on`\n```text\n# no\n```\n"))].into();
    assert_eq!(pages["design"], ["design", "2-what-is-on"]);
    let found = |text: &str| broken_in(&pages, "x", text).len();
    assert_eq!(
        found("[a](crate::docs::design#2-what-is-on), [b](crate::docs::design) and src/docs/design.md, Rooms"),
        0
    );
    assert_eq!(found("[a](crate::docs::design#no), [b](src/docs/design.md#no), [c](src/docs/attic.md)"), 3);
}

#[test]
fn a_promise_that_no_test_shows() {
    let text = "#[test]\nfn one() {}\n/// Why.\n#[tokio::test(start_paused = true)]\nasync fn two() {}\nfn kit() {}";
    let tests = promises::tests(&one("tests/a/b.rs", text));
    assert_eq!(tests.iter().map(String::as_str).collect::<Vec<_>>(), ["one", "two"]);
    let found = |rows: &str| {
        let head = "## What you can rely on\n\n| promise | shown by |\n|---|---|\n";
        promises::broken(&format!("{head}{rows}\n\n## Next\n| a | b |\n"), &tests).len()
    };
    assert_eq!(found("| A `flag` does. | `one`, `two` |"), 0);
    assert_eq!(found("| A `flag` does. | `one`, `kit` |\n| Another. | |"), 2);
    assert_eq!(found(""), 1);
    assert_eq!(promises::broken(&"\n".repeat(201), &tests).len(), 2, "it is too long, and promises nothing");
}
