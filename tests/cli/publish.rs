//! `outbound publish` as an operator meets it: lines in; what came of them out.

use std::io::Write;
use std::process::{Command, Stdio};

use outbound::cli::data_dir::admin_token_file;
use rustix::process::{Pid, Signal, kill_process};

use crate::mistakes::fails;
use support::endpoint::{Endpoint, Step, answer};
use support::process::{outbound, printed};
use support::redis_server::RedisServer;
use support::service::TOKEN;

/// More messages than any test publishes.
const ROOM_ENOUGH: usize = 100;

#[test]
fn publish_without_a_token_or_a_service_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let publish = ["publish", "--workspace", "acme", "--server", "http://127.0.0.1:1", "--data-dir", data];
    fails(&mut outbound(&publish), 2, &["error: no admin token: set OUTBOUND_ADMIN_TOKEN"]);
    let file = file_of(dir.path(), &[&line("a", 1)]);
    let parts = [
        "0 messages are published and it stopped; publish again everything from line 1 on",
        "is `outbound serve` running",
    ];
    fails(outbound(&publish).arg(file).env("OUTBOUND_ADMIN_TOKEN", TOKEN), 1, &parts);
}

#[test]
fn publish_sends_each_line_as_it_stands_and_in_order_with_the_kept_token() {
    let service = Service::start(ROOM_ENOUGH);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(admin_token_file(dir.path()), TOKEN).unwrap();
    let lines: Vec<String> = (0..40).map(|n| line(if n % 2 == 0 { "a" } else { "b" }, n)).collect();
    let file = file_of(dir.path(), &lines);
    let output = service.publish(dir.path()).arg(file).output().unwrap();
    assert!(printed(&output).starts_with("published 40 messages to acme in "), "{output:?}");
    for chat in ["a", "b"] {
        let of_chat =
            |lines: &[String]| lines.iter().filter(|line| line.contains(&chat_of(chat))).cloned().collect::<Vec<_>>();
        assert_eq!(of_chat(&service.got()), of_chat(&lines));
    }
    assert_eq!(service.got().len(), 40);
}

#[test]
fn publish_stops_at_a_bad_line_and_says_how_far_it_came() {
    let service = Service::start(ROOM_ENOUGH);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(admin_token_file(dir.path()), TOKEN).unwrap();
    let file =
        file_of(dir.path(), &[line("a", 1), String::new(), r#"{"direction":"sideways"}"#.to_owned(), line("a", 2)]);
    let parts =
        ["error: line 3 is no valid message", "before it 1 message is published", "caused by: `direction` must be"];
    fails(service.publish(dir.path()).arg(file), 1, &parts);
    assert_eq!(service.got(), [line("a", 1)]);
}

#[test]
fn publish_reads_a_pipe_and_tells_what_a_full_store_did_not_take() {
    let service = Service::start(1);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(admin_token_file(dir.path()), TOKEN).unwrap();
    let mut child = service.publish(dir.path()).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // More than go together, however many are read at once.
    let lines: Vec<String> = (0..8).map(|n| line(&"a".repeat(120 * 1024), n)).collect();
    // It may end before it has read all of them.
    child.stdin.take().unwrap().write_all(lines.join("\r\n").as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let got = service.got();
    let published: usize = error.strip_prefix("error: ").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((1..8).contains(&published), "{published}");
    let told = format!("published and it stopped; publish again everything from line {} on", published + 1);
    assert!(error.contains(&told), "{error}");
    assert!(error.contains("caused by: the service answered 503: the store is full"), "{error}");
    assert!(got[..published] == lines[..published], "what counts as published is what came, in order");
}

/// Whoever ends `tail -f | outbound publish` wants to know where to go on.
#[tokio::test]
async fn publish_that_is_interrupted_waits_for_its_answers_and_says_how_far_it_came() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(admin_token_file(dir.path()), TOKEN).unwrap();
    let begin = async |service: &Service| {
        let mut publish = service.publish(dir.path());
        let mut child = publish.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{}", line("a", 1)).unwrap();
        service.0.until(|seen| seen.requests.len() == 1).await;
        (child, input)
    };
    let service = Service::start(ROOM_ENOUGH);
    let (child, input) = begin(&service).await;
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = "error: interrupted after line 1; 1 message is published, all that came before: publish again everything \
                from line 2 on\n";
    assert_eq!((output.status.code(), &*String::from_utf8(output.stderr).unwrap()), (Some(1), told));
    drop(input);

    let silent = Service(Endpoint::start(vec![Step::ReplyAndStall(Vec::new())]));
    let (mut child, input) = begin(&silent).await;
    while child.try_wait().unwrap().is_none() {
        // Two that come at once may be taken for one.
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: interrupted twice, so nobody waited for the answers"), "{error}");
    assert_eq!(output.status.code(), Some(1));
    drop(input);
}

#[test]
fn publish_says_that_it_reads_from_the_terminal() {
    let service = Service::start(10);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(admin_token_file(dir.path()), TOKEN).unwrap();
    // A terminal, of which the standard input is what somebody types.
    let publish = service.publish(dir.path());
    let words: Vec<_> = [publish.get_program()].into_iter().chain(publish.get_args()).collect();
    let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut terminal = Command::new("script");
    terminal
        .args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"])
        .envs(publish.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut typed = terminal.stdin.take().unwrap();
    writeln!(typed, "{}", line("a", 1)).unwrap();
    typed.write_all(b"\x04").unwrap();
    let output = terminal.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("reading from this terminal: one message a line"), "{shown}");
    assert!(output.status.success() && shown.contains("published 1 message to"), "{shown}");
    drop(typed);
}

#[test]
fn publish_and_shard_reach_a_redis_without_a_service() {
    let redis = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..40).map(|n| line("a", n)).collect();
    let file = file_of(dir.path(), &lines);
    let journal = ["--journal", &redis.url()];
    let output = outbound(&["publish", "--workspace", "acme"]).args(journal).arg(file).output().unwrap();
    assert!(printed(&output).starts_with("published 40 messages to acme in "), "{output:?}");
    let key = printed(&outbound(&["shard", "acme"]).args(journal).output().unwrap());
    let entries: Vec<(String, Vec<String>)> = redis.call(&["XRANGE", key.trim_end(), "-", "+"]);
    let stored: Vec<Vec<String>> = entries.into_iter().map(|(_, fields)| fields).collect();
    let expected = lines.iter().map(|line| ["workspace", "acme", "message", line].map(str::to_owned).to_vec());
    assert_eq!(stored, expected.collect::<Vec<_>>());
}

fn chat_of(chat: &str) -> String {
    format!(r#""phone":"{chat}""#)
}

/// A message with unusual spacing, which must survive.
pub(crate) fn line(chat: &str, id: u32) -> String {
    let chat_member = chat_of(chat);
    format!(
        r#"{{ "contact": {{{chat_member}}},"direction":"sent",  "timestamp":"t","message_id":"{chat}{id}","text":"hello","n":1.0e3}}"#
    )
}

fn file_of(dir: &std::path::Path, lines: &[impl AsRef<str>]) -> std::path::PathBuf {
    let path = dir.join("messages.jsonl");
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// As much of a service as publishing needs: takes messages until its store is full.
struct Service(Endpoint);

impl Service {
    fn start(room: usize) -> Self {
        let mut script = vec![Step::Reply(answer("202 Accepted", "", r#"{"ids":["1-0"]}"#)); room];
        script.push(Step::Reply(answer("503 Service Unavailable", "", r#"{"detail":"the store is full"}"#)));
        Self(Endpoint::start(script))
    }

    fn publish(&self, data_dir: &std::path::Path) -> Command {
        let server = format!("http://{}", self.0.address);
        outbound(&["publish", "--workspace", "acme", "--server", &server, "--data-dir", data_dir.to_str().unwrap()])
    }

    /// The messages that came, with the path and the headers that they must have.
    fn got(&self) -> Vec<String> {
        let requests = self.0.seen().requests.into_iter().map(|request| String::from_utf8(request).unwrap());
        let bodies = requests.map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v1/workspaces/acme/messages HTTP/1.1\r\n"), "{head}");
            for header in [&format!("authorization: Bearer {TOKEN}"), "content-type: application/x-ndjson"] {
                assert!(head.lines().any(|line| line == header), "{header:?} is missing in: {head}");
            }
            body.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        bodies.flatten().collect()
    }
}
