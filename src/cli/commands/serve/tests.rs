use std::time::Duration;

use super::configuration::config;
use super::*;
use crate::cli::{Cli, CliCommand};
use crate::config::RedisFiles;
use crate::config::{COMPRESSION_DEFAULT, Compression};
use crate::workspace::Policy;
use crate::workspace::policy::Counting;

fn args(flags: &[&str]) -> Result<ServeArgs, String> {
    let line = ["outbound", "serve"].iter().chain(flags).map(Into::into);
    match Cli::from_arguments(line).map_err(|error| error.to_string())?.command {
        CliCommand::Serve(args) => Ok(*args),
        other => Err(format!("{other:?}")),
    }
}

fn configured(flags: &[&str]) -> Result<Config, String> {
    config(&args(flags)?).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(flags: &[&str], because: &str) {
    let error = configured(flags).unwrap_err();
    assert!(error.contains(because), "{error}");
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = configured(&[]).unwrap();
    assert_eq!(config.journal, JournalConfig::Embedded(None));
    assert_eq!(config.data_dir, PathBuf::from("./outbound-data"));
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!((config.shards, config.in_flight_max), (None, 4_096));
    assert_eq!(config.compression, Compression::None, "the embedded journal has no other form");
    let redis = configured(&["--journal", "redis://127.0.0.1:6379"]).unwrap();
    assert_eq!(redis.compression, COMPRESSION_DEFAULT);
    for (said, compression) in [("none", Compression::None), ("zstd", Compression::Zstd)] {
        let redis = configured(&["--journal", "redis://127.0.0.1:6379", "--journal-compression", said]).unwrap();
        assert_eq!((redis.compression, compression.to_string().as_str()), (compression, said));
    }
    assert_eq!(configured(&["--journal-compression", "none"]).unwrap().compression, Compression::None);
    assert_eq!(config.timeout, Duration::from_secs(5));
    assert_eq!(config.policy, Policy { mail_server: false, ..Policy::default() });
    assert_eq!(config.policy.error_limit, 10);
}

#[test]
fn every_flag_reaches_the_configuration() {
    let config = configured(&[
        "--journal",
        "redis://127.0.0.1:6379",
        "--prefix",
        "eu",
        "--allow-volatile-redis",
        "--journal-compression",
        "zstd",
        "--journal-format",
        "1",
        "--shards",
        "64",
        "--allow-net",
        "127.0.0.1/8,10.0.0.7:8443",
        "--allow-net",
        "fd00::/8",
        "--deny-net",
        "127.0.0.9,10.0.0.0/24",
        "--require-https",
        "--smtp-url",
        "smtp://localhost:2525",
        "--mail-from",
        "outbound@example.com",
        "--public-url",
        "https://example.com/outbound/",
        "--timeout",
        "1500ms",
        "--max-in-flight",
        "100",
        "--max-in-flight-per-workspace",
        "7",
        "--error-limit",
        "3",
        "--error-counting",
        "since-saved",
        "--mail-warning",
        "--mail-recovered",
    ])
    .unwrap();
    let (url, prefix) = ("redis://127.0.0.1:6379".into(), "eu".into());
    let redis = JournalConfig::Redis { url, prefix, allow_volatile: true, files: RedisFiles::default() };
    assert_eq!((config.journal, config.compression, config.format), (redis, Compression::Zstd, Some(1)));
    assert_eq!(
        config.reach.allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.0/8", "10.0.0.7/32:8443", "fd00::/8"]
    );
    assert_eq!(config.reach.deny, ["127.0.0.9".parse().unwrap(), "10.0.0.0/24".parse().unwrap()]);
    assert!(config.reach.require_https);
    assert_eq!(config.public_url.as_deref(), Some("https://example.com/outbound"));
    assert_eq!(config.mail.map(|mail| mail.from).as_deref(), Some("outbound@example.com"));
    assert_eq!((config.shards, config.in_flight_max), (Some(64), 100));
    let policy = Policy {
        error_limit: 3,
        counting: Counting::SinceSaved,
        in_flight_max: 7,
        mail_server: true,
        mail_warning: true,
        mail_recovered: true,
    };
    assert_eq!((config.policy, config.timeout), (policy, Duration::from_millis(1_500)));
}

#[test]
fn a_canary_and_an_age_reach_the_configuration() {
    let flags = ["--canary", "https://status.example.com/ok?from=outbound", "--log-max-age", "90d"];
    let config = configured(&flags).unwrap();
    assert_eq!(config.canary, Some("https://status.example.com/ok?from=outbound".parse().unwrap()));
    assert_eq!(config.log_max_age, Some(Duration::from_secs(90 * 24 * 60 * 60)));
    let config = configured(&[]).unwrap();
    assert_eq!((config.canary, config.log_max_age), (None, None));
}

#[test]
fn flags_that_cannot_hold_are_refused_with_a_sentence() {
    refused(&["--timeout", "0s"], "must be longer than 0");
    refused(&["--timeout", "6m"], "--timeout 360s is longer than 300s");
    refused(&["--shards", "0"], "--shards");
    refused(&["--shards", "1025"], "--shards");
    refused(&["--max-in-flight", "0"], "--max-in-flight");
    refused(&["--max-in-flight", "8"], "--max-in-flight-per-workspace 32 is greater than --max-in-flight 8");
    refused(&["--error-limit", "4294967295"], "--error-limit");
    refused(&["--error-limit=-1"], "--error-limit");
    refused(&["--listen", "localhost"], "an IP address and a port");
    refused(&["--allow-net", "everything"], "write a network such as");
    refused(&["--allow-net", "10.0.0.5:0"], "for one of its ports 10.0.0.5:8443");
    refused(&["--deny-net", "10.0.0.5:80"], "write a network such as");
    refused(&["--prefix", "{x}"], "a prefix has");
    refused(&["--journal", "memory"], "--journal must be");
    refused(&["--journal-compression", "zstd"], "--journal-compression zstd is for a Redis journal");
    refused(&["--journal", "embedded:j.redb", "--journal-compression", "zstd"], "is for a Redis journal");
    refused(&["--journal-compression", "gzip"], "--journal-compression");
    refused(&["--journal-format", "1"], "--journal-format is for a Redis journal");
    refused(&["--journal-format", "0"], "--journal-format");
    refused(&["--journal-format", "99"], "--journal-format");
    refused(&["--public-url", "ftp://example.com"], "--public-url");
    refused(&["--log-max-age", "0s"], "from 1s to 3650d");
    refused(&["--log-max-age", "500ms"], "from 1s to 3650d");
    refused(&["--log-max-age", "4000d"], "from 1s to 3650d");
    refused(&["--canary", "status.example.com"], "write http:// or https://");
    refused(&["--canary", "tcp://status.example.com:53"], "write http:// or https://");
    refused(&["--canary", "https://u@status.example.com"], "without a user name");
}

#[test]
fn a_mail_server_needs_a_sender_and_a_sender_a_mail_server() {
    refused(&["--smtp-url", "smtp://localhost"], "needs --mail-from");
    refused(&["--mail-from", "a@example.com"], "needs --smtp-url");
    refused(&["--mail-warning"], "--mail-warning needs --smtp-url");
    refused(&["--mail-recovered"], "--mail-recovered needs --smtp-url");
    refused(&["--smtp-url", "smtp://localhost", "--mail-from", "nobody"], "is no mail address");
    refused(&["--smtp-url", "localhost:25", "--mail-from", "a@example.com"], "--smtp-url must be");
}

#[test]
fn no_refusal_repeats_a_password() {
    for flags in [
        ["--smtp-url", "http://u:hunter2@h", "--mail-from", "a@example.com"].as_slice(),
        &["--public-url", "https://u:hunter2@example.com"],
        &["--journal", "http://:hunter2@h"],
    ] {
        let error = configured(flags).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_refused_configuration_leaves_no_data_directory_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let args = args(&["--data-dir", path.to_str().unwrap(), "--listen", "0.0.0.0:0"]).unwrap();
    let error = prepare(&args).unwrap_err();
    let cause = error.error().downcast_ref();
    assert!(matches!(cause, Some(CredentialError::Unprotected { .. })), "{error}");
    assert!(!path.exists());
}
