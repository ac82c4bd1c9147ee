//! The program as an operator meets it: arguments and environment in; output and exit code out.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use clap::CommandFactory;
use outbound::cli::Cli;
use outbound::cli::data_dir::DataDir;
use outbound::config::COMPRESSION_DEFAULT;
use outbound::config::private::FileSharing;
use outbound::sign::{self, Secret};
use rustix::process::Signal;
use uuid::Uuid;

use crate::mistakes::fails;
use crate::publish::line;
use support::process::{PATIENCE, Process, outbound, printed};
use support::redis_server::RedisServer;

#[test]
fn help_names_the_environment_variable_of_each_flag() {
    let serve = printed(&outbound(&["serve", "--help"]).output().unwrap());
    for flag in [
        "journal",
        "prefix",
        "data-dir",
        "listen",
        "shards",
        "allow-net",
        "deny-net",
        "require-https",
        "smtp-url",
        "mail-from",
        "public-url",
        "timeout",
        "max-in-flight",
        "max-in-flight-per-workspace",
        "error-limit",
        "error-counting",
        "allow-volatile-redis",
        "admin-token-file",
        "token-key-file",
        "log",
        "log-format",
    ] {
        let variable = format!("[env: OUTBOUND_{}", flag.to_uppercase().replace('-', "_"));
        assert!(serve.contains(&format!("--{flag}")) && serve.contains(&variable), "{flag}: {serve}");
    }
    assert!(serve.contains("[default: info; of the demo: error]"), "{serve}");
    for subcommand in ["demo", "publish", "receive", "shard"] {
        let output = outbound(&[subcommand, "--help"]).output().unwrap();
        assert!(printed(&output).contains("[env: OUTBOUND_"), "{output:?}");
    }
}

#[test]
fn the_operations_page_tells_every_flag_of_serve_and_its_default() {
    let page = include_str!("../../src/docs/operations.md");
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let flags = serve.get_arguments().chain(command.get_arguments()).filter(|arg| arg.get_env().is_some());
    for arg in flags {
        let start = format!("| `--{}` | `{}` | ", arg.get_long().unwrap(), arg.get_env().unwrap().display());
        let row = page.lines().find(|line| line.starts_with(&start)).expect(&start);
        let default = arg.get_default_values().first().filter(|_| arg.get_action().takes_values());
        if let Some(default) = default {
            let told = row[start.len()..].split('|').next().unwrap().trim().trim_matches('`');
            assert_eq!(told, default.to_str().unwrap(), "{start}");
        }
    }
}

#[test]
fn the_pages_tell_how_a_log_in_redis_is_stored_when_nothing_is_said() {
    let page = include_str!("../../src/docs/operations.md");
    let told =
        format!("| `--journal-compression` | `OUTBOUND_JOURNAL_COMPRESSION` | in Redis `{COMPRESSION_DEFAULT}` |");
    assert!(page.contains(&told), "{told}");
    let help = |subcommand: &str| {
        let help = printed(&outbound(&[subcommand, "--help"]).output().unwrap());
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(help("serve").contains(&format!("[default: {COMPRESSION_DEFAULT}; the embedded journal: none]")));
    assert!(help("attempts").contains(&format!("({COMPRESSION_DEFAULT} if it says nothing)")));
}

#[test]
fn help_does_not_show_a_password_from_the_environment() {
    let output = outbound(&["serve", "--help"])
        .env("OUTBOUND_JOURNAL", "redis://:hunter2@h")
        .env("OUTBOUND_SMTP_URL", "smtp://u:hunter2@h")
        .output()
        .unwrap();
    assert!(!printed(&output).contains("hunter2"));
}

#[test]
fn shard_prints_the_key_of_the_contract() {
    let key = |command: &mut Command| printed(&command.output().unwrap());
    // CRC32 as in zlib: of "123456789" 0xCBF43926 (the check value of its catalogue entry), of "a" 0xE8B7BE43.
    assert_eq!(key(&mut outbound(&["shard", "123456789"])), "outbound:{6}:messages\n");
    assert_eq!(key(&mut outbound(&["shard", "a"])), "outbound:{3}:messages\n");
    assert_eq!(key(&mut outbound(&["shard", "123456789", "--shards", "64", "--prefix", "eu"])), "eu:{38}:messages\n");
    assert_eq!(key(outbound(&["shard", "123456789"]).env("OUTBOUND_SHARDS", "64")), "outbound:{38}:messages\n");
    assert_eq!(key(outbound(&["shard", "123456789"]).env("OUTBOUND_SHARDS", "")), "outbound:{6}:messages\n");
}

#[test]
fn bad_usage_ends_with_2_and_a_sentence() {
    fails(&mut outbound(&[]), 2, &["Usage: outbound"]);
    fails(&mut outbound(&["start"]), 2, &["unrecognized subcommand 'start'"]);
    fails(&mut outbound(&["shard", "no spaces"]), 2, &["a workspace id has 1 to 128 characters"]);
    fails(&mut outbound(&["shard", "a", "--shards", "0"]), 2, &["write a whole number from 1 to 1024"]);
    fails(&mut outbound(&["serve", "--timeout", "0s"]), 2, &["--timeout", "must be longer than 0"]);
    fails(&mut outbound(&["serve", "--timeout", "5"]), 2, &["such as 500ms, 2s, 5m"]);
    fails(&mut outbound(&["serve", "--journal", "mysql://x"]), 2, &["error: --journal must be `embedded`"]);
    fails(&mut outbound(&["serve", "--smtp-url", "smtp://localhost"]), 2, &["error: --smtp-url needs --mail-from"]);
    fails(&mut outbound(&["receive", "--secret", "hunter2"]), 2, &["error: --secret", "whsec_"]);
    fails(&mut outbound(&["shard", "a", "--log", "outbound=loud"]), 2, &["error: --log"]);
}

#[test]
fn a_short_admin_token_is_refused_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let serve = ["serve", "--data-dir", data.to_str().unwrap()];
    let sentence = ["error: the admin token in OUTBOUND_ADMIN_TOKEN has 9 characters; it needs at least 32"];
    fails(outbound(&serve).env("OUTBOUND_ADMIN_TOKEN", "tooshort!"), 2, &sentence);
    let output = outbound(&serve).env("OUTBOUND_ADMIN_TOKEN", "tooshort!").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("tooshort!"));
    assert!(!data.exists());
}

#[test]
fn without_an_admin_token_only_a_loopback_address_is_listened_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let serve = ["serve", "--data-dir", data.to_str().unwrap(), "--listen", "0.0.0.0:0"];
    let sentence = ["error: listening on 0.0.0.0:0", "OUTBOUND_ADMIN_TOKEN", "--admin-token-file"];
    fails(&mut outbound(&serve), 2, &sentence);
    assert!(!data.exists());
}

#[test]
fn a_second_process_is_kept_out_of_a_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let held = DataDir::open(dir.path(), Uuid::from_u128(1), FileSharing::Refused).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", dir.path().to_str().unwrap()];
    fails(&mut outbound(&serve), 1, &["is in use by another process", &std::process::id().to_string(), "--data-dir"]);
    drop(held);
}

#[test]
fn shard_asks_redis_for_the_number_of_shards() {
    let redis = RedisServer::start();
    let _: i64 = redis.call(&["HSET", "outbound:meta", "format", "1", "shards", "64"]);
    let output = outbound(&["shard", "123456789", "--journal", &redis.url()]).output().unwrap();
    assert_eq!(printed(&output), "outbound:{38}:messages\n", "{output:?}");
}

#[test]
fn the_demo_says_first_where_to_look_and_last_what_became_of_its_messages() {
    let demo = ["demo", "--messages", "60"];
    let output = outbound(&demo).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // Whoever watches sees the messages alone, unless a log was asked for.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let shown = printed(&output);
    assert!(shown.starts_with("screen:     http://127.0.0.1:"), "{shown}");
    assert!(shown.contains("\ntoken:      eyJ"), "{shown}");
    assert!(shown.contains("/, all workspaces at a glance\ntoken:      "), "{shown}");
    assert!(shown.contains("\nlook:       curl -H 'Authorization: Bearer "), "{shown}");
    let row = shown.lines().find(|line| line.starts_with("all ")).expect(&shown);
    let counts: Vec<u64> = row.split_whitespace().skip(1).map(|count| count.parse().unwrap()).collect();
    assert_eq!(counts[0], 60);
    assert_eq!(counts[1..].iter().sum::<u64>(), 60, "{shown}");
    assert!(shown.contains(&format!("\ndelivered {} of 60\n", counts[1])), "{shown}");

    let logged = outbound(&demo).env("OUTBOUND_LOG", "info").output().unwrap();
    assert!(String::from_utf8_lossy(&logged.stderr).contains("The service has started."), "{logged:?}");
}

#[test]
fn a_demo_that_is_stopped_early_says_so_and_does_not_end_with_0() {
    let mut demo = outbound(&["demo", "--messages", "1000000"]);
    let mut running = Process::start(demo.stderr(Stdio::piped()));
    assert!(running.line().starts_with("screen:"));
    running.signal(Signal::INT);
    let mut error = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(1), "{error}");
    assert!(error.starts_with("error: stopped before every message had an outcome"), "{error}");
}

#[test]
fn shard_fixes_nothing_on_a_redis_that_was_never_used() {
    let mut redis = RedisServer::start();
    let output = outbound(&["shard", "123456789", "--journal", &redis.url()]).output().unwrap();
    assert_eq!(printed(&output), "outbound:{6}:messages\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("note: no service has started on this Redis yet"), "{error}");
    assert_eq!(redis.keys(), Vec::<String>::new());

    // A key for another number is none that any shard reads.
    let publish = ["publish", "--workspace", "123456789", "--journal", &redis.url(), "/dev/null"];
    assert!(outbound(&publish).output().unwrap().status.success());
    let output = outbound(&["shard", "123456789", "--shards", "64", "--journal", &redis.url()]).output().unwrap();
    assert_eq!(printed(&output), "outbound:{38}:messages\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "note: this Redis has 16 shards, and the key is for 64: leave --shards (OUTBOUND_SHARDS) out\n");
    redis.kill();
    let output = outbound(&["shard", "123456789", "--shards", "64", "--journal", &redis.url()]).output().unwrap();
    assert_eq!((printed(&output).as_str(), output.stderr.len()), ("outbound:{38}:messages\n", 0), "it is a sum");
}

#[test]
fn receive_prints_and_verifies_what_arrives_until_it_is_told_to_end() {
    let secret: Secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse().unwrap();
    let receive = ["receive", "--listen", "127.0.0.1:0", "--status", "204", "--secret", secret.expose()];
    let mut running = Process::start(&mut outbound(&receive));
    let first = running.line();
    let address = first.split_once("http://").and_then(|(_, rest)| rest.split_once('/')).expect(&first).0.to_owned();

    let body = format!(r#"{{"message":{}}}"#, line("a", 1));
    let now = jiff::Timestamp::now().as_second();
    let signature = sign::sign(&[secret], "msg_7_1-0", now, body.as_bytes());
    assert!(post_to(&address, now, &signature, &body).starts_with("HTTP/1.1 204 "));
    let printed = running.line();
    assert!(printed.contains(" /hook msg_7_1-0 verified: sent a1 hello"), "{printed}");

    assert!(post_to(&address, now, &signature, "{}").starts_with("HTTP/1.1 204 "));
    let printed = running.line();
    assert!(printed.contains("REFUSED (no signature matches"), "{printed}");

    running.signal(Signal::INT);
    assert_eq!(running.line(), "received 2: 1 verified, 1 refused, 0 not checked");
    assert!(running.child.wait().unwrap().success());
}

fn post_to(address: &str, timestamp: i64, signature: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /hook HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\nwebhook-id: msg_7_1-0\r\nwebhook-timestamp: {timestamp}\r\n\
         webhook-signature: {signature}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What ends a container before the service has ended would repeat what it had under way.
#[test]
fn containers_and_supervisors_are_told_to_wait_longer_than_the_service_takes_to_end() {
    use outbound::config::{DRAIN_EXTRA, FACADE_DRAIN_MAX, TIMEOUT_DEFAULT, WITHDRAW_MAX};
    let timeout: u64 = TIMEOUT_DEFAULT.trim_end_matches('s').parse().unwrap();
    let beyond_timeout = (FACADE_DRAIN_MAX + WITHDRAW_MAX + DRAIN_EXTRA).as_secs();
    let number = |file: &str, before: &str| {
        let text = std::fs::read_to_string(file).unwrap();
        let behind = text.split_once(before).unwrap_or_else(|| panic!("{file} says nothing of {before:?}")).1;
        behind.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap()
    };
    assert!(number("compose.yaml", "stop_grace_period: ") > timeout + beyond_timeout);
    assert!(number("src/docs/operations.md", "let the supervisor wait `--timeout` plus ") > beyond_timeout);
}

/// A terminal that is closed sends SIGHUP; `nohup` has it ignored.
#[test]
fn the_end_of_its_terminal_ends_a_service_in_order_unless_it_was_to_outlive_it() {
    for (how, ends) in [("--default-signal=HUP", true), ("--ignore-signal=HUP", false)] {
        let folder = tempfile::tempdir().unwrap();
        let program = outbound(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
        let log = folder.path().join("log");
        let mut command = Command::new("env");
        command.args(["--ignore-environment", how]).arg(program.get_program()).args(program.get_args());
        command.current_dir(folder.path()).stdin(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let (mut process, _) = Process::serve(&mut command);
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
        assert_eq!(u64::from_str_radix(caught, 16).unwrap() & 1 == 1, ends, "{status}");
        process.signal(Signal::HUP);
        if !ends {
            process.signal(Signal::TERM);
        }
        assert_eq!(process.child.wait().unwrap().code(), Some(0));
        assert!(std::fs::read_to_string(&log).unwrap().contains("Draining"));
    }
}

#[test]
fn what_ends_a_service_whose_log_is_collected_is_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let serve = ["serve", "--listen", &listen, "--data-dir", "data", "--log-format", "json"];
    let output = outbound(&serve).current_dir(folder.path()).output().unwrap();
    let lines = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((output.status.code(), &last["level"]), (Some(1), &serde_json::json!("ERROR")));
    assert!(last["message"].as_str().unwrap().contains(&listen), "{last}");
    assert!(last["causes"].as_str().unwrap().contains("in use"), "{last}");
}

/// The program that its log was piped to has ended.
#[test]
fn a_service_whose_log_nobody_takes_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, log) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = outbound(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    let (mut process, url) = Process::serve(command.current_dir(folder.path()).stderr(log));
    let mut connection = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(connection, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    connection.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    process.terminate();
}
