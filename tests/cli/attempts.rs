//! `outbound attempts` against a running service, and the manners of what is printed: colours only where
//! they are wanted, JSON where a script reads, silence where the reader has gone.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use support::endpoint::Receiver;
use support::process::{outbound, printed, until};
use support::redis_server::RedisServer;
use support::service::{Service, TOKEN, message};

/// As XRANGE answers them: ids, and names and values.
type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

/// Runs the program with the admin token.
fn run(arguments: &[&str]) -> Output {
    outbound(arguments).env("OUTBOUND_ADMIN_TOKEN", TOKEN).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_printed_newest_last_and_whole_as_json() {
    let service = Service::start("embedded", &[]).await;
    let (api, receiver) = (service.api(), Receiver::start());
    let server = format!("http://{}", api.address());
    let attempts = |more: &[&str]| run(&[&["attempts", "acme", "--server", &server], more].concat());
    assert_eq!(printed(&attempts(&[])), "acme has no attempts yet\n");

    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    for id in ["m-1", "m-2-bad"] {
        api.publish("acme", &message("+1", id)).await.unwrap().ok();
    }
    api.until("acme", "one has failed", |webhook| webhook["consecutive_errors"] == 1).await;
    let output = attempts(&[]);
    let text = printed(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("Z  delivered  200  ") && lines[0].ends_with(" ms  m-1"), "{lines:?}");
    assert!(lines[1].contains("Z  failed     500  ") && lines[1].ends_with("  m-2-bad  127.0.0.1 answered 500"));
    assert_eq!(lines.len(), 2);
    let log: Value = serde_json::from_str(&printed(&attempts(&["--json"]))).unwrap();
    assert_eq!(log, Value::from(api.log("acme").await));

    api.publish("acme", &message("+1", "m-3\u{9b}2J\u{202e}")).await.unwrap().ok();
    until("all are logged", async || api.log("acme").await.len() == 3).await;
    let json = printed(&attempts(&["--json"]));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), Value::from(api.log("acme").await));
    assert!(json.contains(r"m-3\u009b2J\u202e") && !json.contains(['\u{9b}', '\u{202e}']), "{json}");

    let coloured = outbound(&["attempts", "acme", "--server", &server])
        .envs([("OUTBOUND_ADMIN_TOKEN", TOKEN), ("CLICOLOR_FORCE", "1")])
        .output()
        .unwrap();
    assert!(printed(&coloured).contains("\u{1b}[31mfailed"), "{}", printed(&coloured));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_read_without_a_service_whichever_form_its_log_has() {
    // Given a log that was written by services, one of which does not compress
    let redis = RedisServer::start();
    let url = redis.url();
    let attempts = |more: &[&str]| run(&[&["attempts", "acme", "--journal", &url], more].concat());
    let unused = attempts(&[]);
    assert_eq!(unused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unused.stderr).contains("no service has started on this Redis"), "{unused:?}");
    assert!(redis.keys().is_empty(), "nothing is written");
    let mut plain = Service::start(&url, &["--shards", "1", "--journal-compression", "none"]).await;
    let receiver = Receiver::start();
    plain.api().save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    let deliver = async |numbers: std::ops::Range<usize>| {
        for n in numbers {
            let message = message(&format!("+{}", n % 50), &format!("m-{n}")).to_string();
            redis.call::<()>(&["XADD", "outbound:{0}:messages", "*", "workspace", "acme", "message", &message]);
        }
        until("all are settled", async || redis.call::<usize>(&["XLEN", "outbound:{0}:messages"]) == 0).await;
    };
    deliver(0..50).await;
    plain.terminate().await;
    let mut service = Service::start(&url, &["--journal-compression", "zstd"]).await;
    let api = service.api();
    deliver(50..100).await;
    let entries: Entries = redis.call(&["XREVRANGE", "outbound:{0}:attempts:acme", "+", "-", "COUNT", "100"]);
    let names: Vec<_> = entries.iter().map(|(_, fields)| fields[0].0.as_str()).collect();
    assert!(names.contains(&"e") && names.contains(&"z"), "{names:?}");
    let log = Value::from(api.log("acme").await);
    let server = format!("http://{}", api.address());
    let lines = run(&["attempts", "acme", "--server", &server]);
    // When no service runs
    service.terminate().await;
    // Then the same is printed
    assert_eq!(printed(&attempts(&[])), printed(&lines));
    assert_eq!(serde_json::from_str::<Value>(&printed(&attempts(&["--json"]))).unwrap(), log);
    // And who names two ways, or another prefix, is told so
    let two = attempts(&["--server", "http://127.0.0.1:1"]);
    assert_eq!(two.status.code(), Some(2), "{two:?}");
    let other = outbound(&["attempts", "acme", "--journal", &url]).env("OUTBOUND_PREFIX", "other").output().unwrap();
    assert!(String::from_utf8_lossy(&other.stderr).contains("with this --prefix"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_is_told_to_a_script_as_json() {
    let service = Service::start("embedded", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.jsonl");
    std::fs::write(&file, format!("{}\n{}\n", message("+1", "m-1"), message("+1", "m-2"))).unwrap();
    let server = format!("http://{}", service.api().address());
    let output = run(&["publish", "--workspace", "acme", "--json", "--server", &server, file.to_str().unwrap()]);
    let result: Value = serde_json::from_str(&printed(&output)).unwrap();
    assert_eq!((&result["workspace"], &result["published"]), (&json!("acme"), &json!(2)));
    assert!(result["seconds"].is_f64() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_a_file_of_thousands_is_published_once() {
    let service = Service::start("embedded", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.jsonl");
    let lines: Vec<String> = (0..5_000).map(|n| message("+1", &format!("m-{n}"))).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let server = format!("http://{}", service.api().address());
    let output = run(&["publish", "--workspace", "acme", "--json", "--server", &server, file.to_str().unwrap()]);
    let result: Value = serde_json::from_str(&printed(&output)).unwrap();
    assert_eq!(result["published"], 5_000, "{result}");
    // Nobody has a webhook, so each is skipped in the end.
    service.api().until("acme", "all came", |webhook| webhook["skipped"]["count"] == 5_000).await;
}

#[test]
fn every_shell_gets_completions_for_every_subcommand() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        for word in ["attempts", "completions", "requeue", "--error-limit"] {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(printed(&output).contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn an_error_is_coloured_only_where_colours_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let without_token = |variables: &[(&str, &str)]| {
        let arguments = ["attempts", "acme", "--data-dir", folder.path().to_str().unwrap()];
        let output = outbound(&arguments).envs(variables.iter().copied()).output().unwrap();
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
    let child = outbound(&["completions", "bash"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &b""[..]));
}
