//! `outbound attempts` against a running service, and the manners of what is printed: colours only where
//! they are wanted, JSON where a script reads, silence where the reader has gone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use support::receiver::Receiver;
use support::service::{Service, TOKEN, message, program};

mod support {
    pub(crate) mod receiver;
    pub(crate) mod service;
}

/// Runs the program with the admin token.
fn outbound(arguments: &[&str]) -> Output {
    program().args(arguments).env("OUTBOUND_ADMIN_TOKEN", TOKEN).output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_printed_newest_last_and_whole_as_json() {
    let service = Service::start("embedded", &[]).await;
    let (api, receiver) = (service.api(), Receiver::start());
    let server = format!("http://{}", api.address());
    let attempts = |more: &[&str]| outbound(&[&["attempts", "acme", "--server", &server], more].concat());
    assert_eq!(printed(&attempts(&[])), "acme has no attempts yet\n");

    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    for id in ["m-1", "m-2-bad"] {
        api.publish("acme", &message("+1", id)).await.unwrap().ok();
    }
    api.until("acme", "one has failed", |webhook| webhook["consecutive_errors"] == 1).await;
    let output = attempts(&[]);
    let lines: Vec<&str> = printed(&output).lines().collect();
    assert!(lines[0].contains("Z  delivered  200  ") && lines[0].ends_with(" ms  m-1"), "{lines:?}");
    assert!(lines[1].contains("Z  failed     500  ") && lines[1].ends_with("  m-2-bad  127.0.0.1 answered 500"));
    assert_eq!(lines.len(), 2);
    let log: Value = serde_json::from_str(printed(&attempts(&["--json"]))).unwrap();
    assert_eq!(log, Value::from(api.log("acme").await));

    let coloured = program()
        .args(["attempts", "acme", "--server", &server])
        .envs([("OUTBOUND_ADMIN_TOKEN", TOKEN), ("CLICOLOR_FORCE", "1")])
        .output()
        .unwrap();
    assert!(printed(&coloured).contains("\u{1b}[31mfailed"), "{}", printed(&coloured));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_is_told_to_a_script_as_json() {
    let service = Service::start("embedded", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.jsonl");
    std::fs::write(&file, format!("{}\n{}\n", message("+1", "m-1"), message("+1", "m-2"))).unwrap();
    let server = format!("http://{}", service.api().address());
    let output = outbound(&["publish", "--workspace", "acme", "--json", "--server", &server, file.to_str().unwrap()]);
    let result: Value = serde_json::from_str(printed(&output)).unwrap();
    assert_eq!((&result["workspace"], &result["published"]), (&json!("acme"), &json!(2)));
    assert!(result["seconds"].is_f64() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn every_shell_gets_completions_for_every_subcommand() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = outbound(&["completions", shell]);
        for word in ["attempts", "completions", "requeue", "--error-limit"] {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(printed(&output).contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(outbound(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn an_error_is_coloured_only_where_colours_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let without_token = |variables: &[(&str, &str)]| {
        let arguments = ["attempts", "acme", "--data-dir", folder.path().to_str().unwrap()];
        let output = program().args(arguments).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(without_token(&[]).starts_with("error: no admin token"), "no terminal");
    assert!(without_token(&[("CLICOLOR_FORCE", "1")]).contains("\u{1b}[31m"), "forced");
    assert!(without_token(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).starts_with("error: "), "refused");
}

#[test]
fn a_reader_that_has_enough_is_no_error_to_tell() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = program().args(["completions", "bash"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &b""[..]));
}
