//! What people get wrong on the command line: each mistake ends with what is wrong and what to do about it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use support::process::outbound;
use support::redis_server::RedisServer;
use support::service::{Service, TOKEN};

/// Runs it, and answers with its exit code, its output and what it says on stderr.
fn ran(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code(), out, err)
}

#[track_caller]
pub(crate) fn fails(command: &mut Command, code: i32, parts: &[&str]) {
    let (ended, _, error) = ran(command);
    assert_eq!(ended, Some(code), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    // Nothing is said twice.
    let told: Vec<&str> = error.lines().map(|line| line.trim_start().trim_start_matches("caused by: ")).collect();
    for (n, line) in told.iter().enumerate().skip(1) {
        assert!(
            !told[..n].iter().any(|before| !line.is_empty() && before.contains(line)),
            "{line:?} is told twice: {error}"
        );
    }
}

pub(crate) fn with_token(arguments: &[&str]) -> Command {
    let mut command = outbound(arguments);
    command.env("OUTBOUND_ADMIN_TOKEN", TOKEN);
    command
}

#[test]
fn a_log_filter_that_would_silence_everything_is_refused_with_what_can_be_written() {
    let list = "neither a level (off, error, warn, info, debug, trace) nor a module of outbound";
    for filter in ["warning", "blah", "info,foo", "", "hyper", "outbound::blah=debug", "warn=info", "actor"] {
        fails(&mut outbound(&["shard", "a", "--log", filter]), 2, &[list, "outbound::NAME", "hyper=debug"]);
    }
    fails(outbound(&["shard", "a"]).env("OUTBOUND_LOG", "blah"), 2, &[list]);
    fails(
        &mut outbound(&["shard", "a", "--log", "outbound=blah"]),
        2,
        &["outbound=blah", "write a level such as info"],
    );
    for filter in ["WARN", "hyper=debug", "info,redis=trace", "outbound::actor=debug", "outbound", "off"] {
        let (code, _, error) = ran(&mut outbound(&["shard", "a", "--log", filter]));
        assert_eq!(code, Some(0), "{filter}: {error}");
    }
    assert_eq!(ran(outbound(&["shard", "a"]).env("OUTBOUND_LOG", "")).0, Some(0));
}

#[test]
fn a_level_for_one_module_leaves_the_others_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--journal", "redis://127.0.0.1:1/x", "--data-dir"];
    let (_, _, error) = ran(outbound(&serve).arg(&data).args(["--log", "hyper=debug"]));
    assert!(error.contains("There is no mail server"), "{error}");
}

#[test]
fn help_wraps_at_the_width_of_the_terminal_and_nowhere_else() {
    let commands = [
        "",
        "demo",
        "serve",
        "publish",
        "attempts",
        "workspaces",
        "rejected",
        "token",
        "shard",
        "receive",
        "completions",
    ];
    for command in commands {
        for columns in [80_usize, 100] {
            let arguments: Vec<_> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
            let (_, help, _) = ran(outbound(&arguments).env("COLUMNS", columns.to_string()));
            let lines: Vec<_> = help.lines().collect();
            for pair in lines.windows(2) {
                let (line, next) = (pair[0], pair[1]);
                let ends = line.is_empty() || line.ends_with(['.', ':']) || line.starts_with(' ');
                let word = next.split(' ').next().unwrap_or_default();
                if !ends && !word.is_empty() {
                    let room = columns.saturating_sub(line.chars().count());
                    assert!(room <= word.chars().count() + 1, "{command} breaks before {word:?}:\n{line}\n{next}");
                }
            }
        }
    }
}

#[test]
fn an_address_without_a_scheme_is_told_how_it_is_written() {
    let write = "write http:// or https:// and a host";
    for url in ["foo.example", "foo.example:8080", "/outbound", "ftp://foo.example", "http://"] {
        fails(&mut outbound(&["serve", "--public-url", url]), 2, &["--public-url", write]);
        fails(&mut with_token(&["attempts", "acme", "--server", url]), 2, &["--server", write]);
    }
}

#[test]
fn a_journal_that_is_not_there_is_told_and_no_other_service_asked() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = format!("embedded:{}", folder.path().join("none.redb").display());
    for command in [&["attempts", "acme"][..], &["publish", "--workspace", "acme"]] {
        fails(with_token(command).args(["--journal", &nothing]), 2, &["none.redb names no file"]);
        let folder = format!("embedded:{}", folder.path().display());
        fails(with_token(command).args(["--journal", &folder]), 2, &["names no file"]);
    }
    for journal in ["redis:/h", "h:6379", "redis+unix://x", "redis://:a/b@h", "redis+cluster://a,"] {
        fails(with_token(&["attempts", "acme"]).args(["--journal", journal]), 2, &["--journal"]);
    }
    let unreachable = ["attempts", "acme", "--server", "http://127.0.0.1:1"];
    fails(&mut with_token(&unreachable), 1, &["the service at http://127.0.0.1:1 cannot be reached", "outbound serve"]);
}

#[test]
fn a_data_directory_that_cannot_be_read_is_not_called_a_missing_token() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &Path| {
        let mut command = outbound(&["attempts", "acme", "--data-dir"]);
        command.arg(path);
        command
    };
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    fails(&mut at(&file), 2, &["file/admin-token cannot be read: a part of its path is no directory"]);
    fs::create_dir_all(folder.path().join("odd/admin-token")).unwrap();
    fails(&mut at(&folder.path().join("odd")), 2, &["admin-token cannot be read: it is a directory"]);
    std::os::unix::fs::symlink("admin-token", folder.path().join("admin-token")).unwrap();
    fails(&mut at(folder.path()), 2, &["admin-token cannot be read"]);
    fails(&mut at(&folder.path().join("none")), 2, &["no admin token: set OUTBOUND_ADMIN_TOKEN", "none is none"]);
    fails(outbound(&["attempts", "a"]).args(["--admin-token-file", "none"]), 2, &["there is none; check the path"]);
}

#[test]
fn a_journals_file_that_cannot_be_used_is_told_apart_from_a_directory_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |journal: &Path, parts: &[&str]| {
        let before = fs::read(journal).ok();
        let journal_flag = format!("embedded:{}", journal.display());
        let data = folder.path().join("data");
        let mut command = outbound(&["serve", "--listen", "127.0.0.1:0", "--journal", &journal_flag, "--data-dir"]);
        fails(command.arg(data), 1, parts);
        assert_eq!(before, fs::read(journal).ok(), "the file was changed");
    };
    refused(&folder.path().join("no/such.redb"), &["no/such.redb cannot be opened: its directory does not exist"]);
    refused(folder.path(), &["it is a directory; name a file"]);
    let damaged = folder.path().join("damaged.redb");
    for bytes in [b"this is a text, and long enough to hold a header of whatever kind".repeat(100), vec![0; 70_000]] {
        fs::write(&damaged, bytes).unwrap();
        fs::set_permissions(&damaged, fs::Permissions::from_mode(0o600)).unwrap();
        refused(&damaged, &["the file is damaged or no journal; it is left as it is"]);
    }
}

#[test]
fn each_way_in_which_a_redis_is_none_for_us_is_told_apart() {
    let redis = RedisServer::start();
    let locked = RedisServer::start();
    locked.call::<()>(&["CONFIG", "SET", "requirepass", "secret"]);
    redis.call::<()>(&["ACL", "SETUSER", "reader", "on", ">pw", "+@read", "~*"]);
    redis.call::<()>(&["SET", "other:meta", "x"]);
    let web = web_server();
    let (port, locked) = (redis.port(), locked.port());
    let own = |rest: &str| format!("redis://{rest}");
    for (journal, code, parts) in [
        (own(&format!("127.0.0.1:{locked}")), 2, &["refused the login", "USER:PASSWORD@"][..]),
        (own(&format!(":wrong@127.0.0.1:{locked}")), 2, &["refused the login"]),
        (own(&format!("joe:wrong@127.0.0.1:{locked}")), 2, &["refused the login"]),
        (own(&format!("reader:pw@127.0.0.1:{port}")), 1, &["does not let this user", "ACL SETUSER"]),
        (own(&format!("127.0.0.1:{port}/99")), 2, &["no such database"]),
        (own(&format!("127.0.0.1:{port}/abc")), 2, &["--journal cannot be used", "database number"]),
        (own(&format!("127.0.0.1:{web}")), 2, &["is no Redis: check host and port"]),
        (format!("rediss://127.0.0.1:{web}"), 2, &["does not speak TLS: write redis://"]),
        (format!("redis+cluster://127.0.0.1:{port}"), 2, &["is no cluster: give its URL as redis://"]),
    ] {
        let data = redis.folder().join("data");
        let data = data.to_str().unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--journal", &journal];
        fails(&mut outbound(&serve), code, parts);
        fails(&mut outbound(&["publish", "--workspace", "acme", "--journal", &journal]), code, parts);
    }
    let plain = own(&format!("127.0.0.1:{port}"));
    let publish = ["publish", "--workspace", "acme", "--journal", &plain];
    fails(
        outbound(&publish).args(["--prefix", "other"]),
        2,
        &["Redis holds something else under other:meta: choose another"],
    );
    redis.call::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    fails(&mut outbound(&publish), 1, &["Redis is full: free memory or raise maxmemory"]);
    redis.call::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    let replica = RedisServer::start();
    replica.call::<()>(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    fails(
        &mut outbound(&["publish", "--workspace", "acme", "--journal", &replica.url()]),
        1,
        &["is a replica: give the URL of its primary"],
    );
}

/// A server that answers whatever comes as web servers do; returns its port.
pub(crate) fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                if stream.read(&mut [0; 64]).is_ok() {
                    stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").ok();
                }
                // Closed before all was read that came, it would be reset, and the answer might not arrive.
                stream.shutdown(Shutdown::Write).and_then(|()| io::copy(&mut stream, &mut io::sink())).ok();
            });
        }
    });
    port
}

#[test]
fn a_number_is_asked_for_with_its_bounds_and_a_password_is_not_repeated() {
    for (command, bounds) in [
        (&["serve", "--shards"][..], "from 1 to 1024"),
        (&["serve", "--max-in-flight"], "from 1 to 65536"),
        (&["serve", "--error-limit"], "from 0 to 1000000"),
        (&["shard", "a", "--shards"], "from 1 to 1024"),
        (&["receive", "--status"], "from 200 to 599"),
        (&["demo", "--messages"], "from 1 to 10000000"),
        (&["rejected", "list", "--shard"], "from 0 to 1023"),
    ] {
        let (flag, before) = command.split_last().unwrap();
        for value in ["", "x", "1.5", "-1", "99999999999999999999"] {
            fails(outbound(before).arg(format!("{flag}={value}")), 2, &[flag, "write a whole number", bounds]);
        }
    }
    for value in ["-1", "-5s"] {
        fails(&mut outbound(&["serve", "--timeout", value]), 2, &["tip: no value of this program is negative"]);
    }
    for (flag, url) in
        [("--canary", "tcp://u:hunter2@h"), ("--canary", "http://u:hunter2@h"), ("--public-url", "ftp://u:hunter2@h")]
    {
        let (code, _, error) = ran(&mut outbound(&["serve", flag, url]));
        assert!(code == Some(2) && error.contains(flag) && !error.contains("hunter2"), "{error}");
    }
    let (code, _, error) = ran(&mut with_token(&["attempts", "a", "--server", "http//u:hunter2@h"]));
    assert!(code == Some(2) && error.contains("--server") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_wrong_value_of_a_variable_is_told_with_its_name() {
    for (name, value, flag) in [
        ("OUTBOUND_SHARDS", "x", "--shards"),
        ("OUTBOUND_TIMEOUT", "5", "--timeout"),
        ("OUTBOUND_LISTEN", "8080", "--listen"),
        ("OUTBOUND_DURABILITY", "full", "--durability"),
        ("OUTBOUND_LOG_FORMAT", "xml", "--log-format"),
        ("OUTBOUND_ALLOW_NET", "foo", "--allow-net"),
    ] {
        fails(outbound(&["serve"]).env(name, value), 2, &[&format!("'{value}' for '{name} ({flag})'")]);
        // The flag counts where both are given, so it is the flag that is wrong.
        for given in [vec![flag.to_owned(), value.to_owned()], vec![format!("{flag}={value}")]] {
            let (code, _, error) = ran(outbound(&["serve"]).args(given).env(name, value));
            assert!(code == Some(2) && error.contains(flag) && !error.contains(name), "{error}");
        }
    }
    let nets = "10.0.0.0/8,foo";
    fails(outbound(&["serve"]).env("OUTBOUND_ALLOW_NET", nets), 2, &["'foo' for 'OUTBOUND_ALLOW_NET (--allow-net)'"]);
    let list = ["token", "--workspace", "acme", "--ttl", "1d"];
    fails(outbound(&list).env("OUTBOUND_LIST", "yes"), 2, &["OUTBOUND_LIST (--list)"]);
    for name in ["OUTBOUND_REQUIRE_HTTPS", "OUTBOUND_MAIL_WARNING"] {
        fails(outbound(&["serve"]).env(name, "maybe"), 2, &["'maybe'", name, "write yes or no"]);
    }
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["shard", "acme"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        fails(outbound(arguments).stdout(full), 1, &["the output cannot be written"]);
    }
}

#[test]
fn what_is_not_utf_8_is_named() {
    let odd = || OsStr::from_bytes(b"\xff\xfe");
    fails(outbound(&["serve"]).env("OUTBOUND_LISTEN", odd()), 2, &["the value of OUTBOUND_LISTEN is not UTF-8"]);
    fails(outbound(&["shard"]).arg(odd()), 2, &["the argument", "is not UTF-8: write it in UTF-8"]);
}

#[test]
fn what_goes_together_and_what_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.redb");
    fails(
        outbound(&["repair", "--file"]).arg(&missing),
        1,
        &["there is no file", "missing.redb to repair: check the path"],
    );
    fails(&mut outbound(&["rejected", "requeue"]), 2, &["outbound rejected requeue --all [--shard <SHARD>]"]);
    fails(&mut outbound(&["rejected", "discard"]), 2, &["outbound rejected discard --all --yes"]);
    fails(
        outbound(&["reseal", "--dry-run", "--data-dir"]).arg(folder.path()),
        2,
        &["there is no journal at", "--data-dir"],
    );
    fails(&mut outbound(&["receive", "--secret", "x"]), 2, &["copy it from the screen", "whsec_ followed by"]);
    let pretty = folder.path().join("pretty.json");
    fs::write(&pretty, "{\n  \"direction\": \"sent\"\n}\n").unwrap();
    fails(
        with_token(&["publish", "--workspace", "acme"]).arg(&pretty),
        1,
        &["line 1 is no valid message", "each message must stand on one line, as `jq -c .` writes it"],
    );
}

#[test]
fn publish_says_as_json_too_how_far_it_came_and_why_it_stopped() {
    let told = |command: &mut Command, code| {
        let (ended, out, error) = ran(command);
        assert_eq!(ended, Some(code), "{error}");
        assert!(error.starts_with("error: "), "{error}");
        serde_json::from_str::<Value>(&out).unwrap_or_else(|_| panic!("no JSON: {out:?}"))
    };
    let publish = ["publish", "--workspace", "acme", "--json", "--server", "http://127.0.0.1:1"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages");
    let missing = told(with_token(&publish).arg(&file), 1);
    assert_eq!((&missing["workspace"], &missing["published"]), (&"acme".into(), &0.into()), "{missing}");
    assert!(missing["error"].as_str().unwrap().contains("cannot be opened: there is none"), "{missing}");
    fs::write(&file, "nonsense\n").unwrap();
    let bad = told(with_token(&publish).arg(&file), 1);
    assert!(bad["error"].as_str().unwrap().starts_with("line 1 is no valid message"), "{bad}");
    assert!(bad["causes"][0].as_str().unwrap().contains("not JSON"), "{bad}");
    let no_token = told(outbound(&publish).arg(&file).args(["--data-dir", folder.path().to_str().unwrap()]), 2);
    assert!(no_token["error"].as_str().unwrap().starts_with("no admin token"), "{no_token}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_and_another_server_are_told() {
    let service = Service::start("embedded", &["--shards", "1"]).await;
    let server = format!("http://{}", service.api().address());
    let wrong = "fedcba9876543210fedcba9876543210";
    for command in [&["attempts", "acme"][..], &["rejected", "list"], &["token", "--workspace", "acme"]] {
        let mut command = outbound(command);
        command.args(["--server", &server]).env("OUTBOUND_ADMIN_TOKEN", wrong);
        fails(&mut command, 1, &["the service answered 401", "token"]);
    }
    let other = format!("http://127.0.0.1:{}", web_server());
    fails(with_token(&["attempts", "acme"]).args(["--server", &other]), 1, &["is --server right?"]);
}

#[test]
fn a_variable_of_a_flag_takes_every_form_of_yes_and_no() {
    let unreachable = ["--server", "http://127.0.0.1:1"];
    let with = |command: &[&str], name: &str, value: &str| {
        let mut command = with_token(command);
        command.args(unreachable).env(name, value);
        command
    };
    for (command, name) in [
        (&["attempts", "acme"][..], "OUTBOUND_JSON"),
        (&["nodes"], "OUTBOUND_JSON"),
        (&["workspaces"], "OUTBOUND_JSON"),
        (&["rejected", "list"], "OUTBOUND_JSON"),
        (&["token", "--workspace", "acme"], "OUTBOUND_JSON"),
        (&["discard", "acme"], "OUTBOUND_YES"),
        (&["rejected", "requeue", "7/1-0"], "OUTBOUND_ALL"),
    ] {
        for value in ["0", "no", "off", "false", "", "No"] {
            fails(&mut with(command, name, value), 1, &["cannot be reached"]);
        }
        for value in ["maybe", "2", "yes, please"] {
            fails(&mut with(command, name, value), 2, &[name, "write yes or no"]);
        }
    }
    for value in ["1", "yes", "on", "true"] {
        fails(&mut with(&["attempts", "acme"], "OUTBOUND_JSON", value), 1, &["cannot be reached"]);
        fails(&mut with(&["rejected", "requeue"], "OUTBOUND_ALL", value), 1, &["cannot be reached"]);
        let (code, out, _) = ran(with(&["publish", "--workspace", "acme"], "OUTBOUND_JSON", value).arg("none"));
        assert!(code == Some(1) && out.starts_with('{'), "{value}: {out}");
    }
}
