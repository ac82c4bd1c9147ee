//! `outbound rejected` against a running service with a Redis of its own.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use support::process::{PATIENCE, Process, outbound};
use support::redis_server::RedisServer;

const MESSAGE: &str = r#"{"direction":"sent","timestamp":"t","message_id":"m-1","contact":{"phone":"+1"}}"#;
// CRC32 as in zlib, mod 16: of "123456789" 6, of "a" 3.
const OWN: &str = "outbound:{3}:messages";
const OTHER: &str = "outbound:{6}:messages";

/// A running service.
struct Service {
    redis: RedisServer,
    dir: TempDir,
    server: String,
    _process: Process,
}

impl Service {
    fn start() -> Self {
        let redis = RedisServer::start();
        let dir = tempfile::tempdir().unwrap();
        let mut serve = outbound(&["serve", "--journal", &redis.url(), "--listen", "127.0.0.1:0", "--data-dir"]);
        let (process, server) = Process::serve(serve.arg(dir.path()).stderr(Stdio::null()));
        Self { redis, dir, server, _process: process }
    }

    /// Appends an entry that no service would.
    fn add(&self, stream: &str, fields: &[&str]) -> String {
        let words: Vec<&str> = ["XADD", stream, "*"].into_iter().chain(fields.iter().copied()).collect();
        self.redis.call(&words)
    }

    /// Waits until so many entries stand in the shard's rejected stream; answers with their ids.
    fn rejected(&self, shard: u16, count: usize) -> Vec<String> {
        let began = Instant::now();
        loop {
            let key = format!("outbound:{{{shard}}}:rejected");
            let entries: Vec<(String, Vec<String>)> = self.redis.call(&["XRANGE", &key, "-", "+"]);
            if entries.len() == count {
                return entries.into_iter().map(|(id, _)| id).collect();
            }
            assert!(began.elapsed() < PATIENCE, "{} entries are rejected", entries.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = outbound(&["rejected"]);
        command.args(arguments).args(["--server", &self.server, "--data-dir"]).arg(self.dir.path());
        command.output().unwrap()
    }

    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn rejected_entries_are_listed_shown_and_requeued_through_the_service() {
    let service = Service::start();
    let astray = service.add(OTHER, &["workspace", "a", "message", MESSAGE]);
    service.add(OTHER, &["workspace", "a", "message", "{}", "note", "\u{1b}[2J"]);
    service.add(OWN, &["workspace", "a", "message", "not \u{1b}[2J JSON"]);
    let [kept, broken] = &service.rejected(6, 2)[..] else { panic!("two entries") };
    let [own] = &service.rejected(3, 1)[..] else { panic!("one entry") };

    let listed = service.prints(&["list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with(&format!("3/{own}  20")) && lines[0].contains("  a  the message is not JSON"));
    assert!(lines[1].starts_with(&format!("6/{kept}  ")) && lines[1].ends_with("belongs to outbound:{3}:messages"));
    assert!(lines[2].starts_with(&format!("6/{broken}  ")), "{listed}");
    let summary = [
        "3 rejected entries",
        "      2  the entry stands in another shard's stream",
        "      1  the message is not JSON",
    ];
    assert_eq!(lines[3..], summary);
    let json = service.prints(&["list", "--json", "--shard", "3"]);
    let line: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((line["shard"].as_u64(), line["id"].as_str()), (Some(3), Some(own.as_str())));

    let shown = service.prints(&["show", &format!("6/{kept}")]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((shown["entry"].as_str(), shown["fields"][1]["value"].as_str()), (Some(&*astray), Some(MESSAGE)));

    // The one that stood in the wrong stream is delivered to its workspace, which has no webhook: skipped.
    let output = service.run(&["requeue", "--all"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains(&format!("6/{kept}: requeued as 3/")) && printed.contains(" of a\n"), "{printed}");
    assert!(printed.contains(&format!("6/{broken}: the entry is still not valid: `direction`")), "{printed}");
    assert!(printed.contains(&format!("3/{own}: the entry is still not valid: the message is not JSON")), "{printed}");
    assert!(!printed.contains('\u{1b}') && !listed.contains('\u{1b}'), "no control character is printed");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("2 of 3 were not requeued; each line above says why"), "{error}");
    assert_eq!(service.rejected(6, 1), std::slice::from_ref(broken));
    let began = Instant::now();
    while !service.redis.call::<bool>(&["EXISTS", "outbound:{3}:last:a"]) {
        assert!(began.elapsed() < PATIENCE, "the requeued message was not skipped");
        std::thread::sleep(Duration::from_millis(20));
    }

    let output = service.run(&["requeue", &format!("6/{kept}")]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("it was requeued or discarded before"), "{printed}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn rejected_entries_are_discarded_by_name_by_reason_and_all_together() {
    let service = Service::start();
    for message in ["not JSON", "nor this", "{}", "{\"direction\":\"sent\"}", "[]"] {
        service.add(OWN, &["workspace", "a", "message", message]);
    }
    let first = format!("3/{}", service.rejected(3, 5)[0]);
    assert_eq!(service.prints(&["discard", &first]), "discarded 1 entry\n");
    let again = service.run(&["discard", &first]);
    assert_eq!(again.status.code(), Some(1));
    let printed = String::from_utf8(again.stdout).unwrap();
    assert!(printed.contains("it was requeued or discarded before"), "{printed}");
    assert_eq!(service.prints(&["discard", "--reason", "the message is not JSON"]), "discarded 1 entry\n");
    service.rejected(3, 3);
    let none = service.prints(&["discard", "--reason", "no such reason"]);
    assert!(
        none.starts_with("discarded 0 entries\nnothing is set aside for that reason: `outbound rejected list`"),
        "{none}"
    );
    assert_eq!(service.prints(&["discard", "--all", "--yes", "--shard", "5"]), "discarded 0 entries\n");
    assert_eq!(service.prints(&["discard", "--all", "--yes"]), "discarded 3 entries\n");
    service.rejected(3, 0);
    assert!(service.prints(&["list"]).contains("0 rejected entries"));
}

#[test]
fn bad_usage_of_rejected_ends_with_2_and_a_sentence() {
    for (arguments, part) in [
        (&["rejected"][..], "Usage: outbound rejected"),
        (&["rejected", "show", "7"], "a rejected entry is named <shard>/<id>"),
        (&["rejected", "requeue"], "<SHARD/ID>"),
        (&["rejected", "discard"], "<SHARD/ID>"),
        (&["rejected", "discard", "--all"], "--yes"),
        (&["rejected", "discard", "--all", "--yes", "7/1-0"], "cannot be used with"),
        (&["rejected", "discard", "--all", "--yes", "--reason", "x"], "cannot be used with"),
        (&["rejected", "requeue", "--all", "7/1-0"], "cannot be used with"),
        (&["rejected", "list", "--data-dir", "/nonexistent"], "no admin token"),
        (&["rejected", "list", "--server", "ftp://x"], "write http:// or https:// and a host"),
    ] {
        let token = "0123456789abcdef0123456789abcdef";
        let mut command = outbound(arguments);
        if arguments.contains(&"--server") {
            command.env("OUTBOUND_ADMIN_TOKEN", token);
        }
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}
