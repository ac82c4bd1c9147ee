//! A start that cannot succeed ends with one sentence that says what to do, and the right exit code.

use std::net::TcpListener;
use std::time::Duration;

use crate::mail::port_that_refuses;
use support::redis_server::RedisServer;
use support::service::{Ended, Service};

/// The exit code of bad usage or configuration.
const USAGE: i32 = 2;

#[track_caller]
fn refused(ended: &Ended, code: i32, sentence: &str) {
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{ended:?}");
    assert!(errors[0].contains(sentence), "{:?} does not say {sentence:?}", errors[0]);
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
}

#[tokio::test]
async fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut service = Service::new("embedded", &[]);
    let address = taken.local_addr().unwrap().to_string();
    service.set("--listen", &address);
    refused(&service.refused(), 1, &format!("cannot listen on {address}: stop what uses the port, or choose another"));
}

#[tokio::test]
async fn a_data_directory_in_use_is_told_and_free_again_after_a_kill() {
    let mut first = Service::start("embedded", &["--shards", "2"]).await;
    let mut second = Service::new("embedded", &[]);
    second.share_data_dir(&first);
    refused(&second.refused(), 1, "is in use by another process (process ");
    first.kill();
    second.launch().await;
}

#[tokio::test]
async fn an_embedded_file_in_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let journal = format!("embedded:{}", folder.path().join("one.redb").display());
    let _first = Service::start(&journal, &["--shards", "2"]).await;
    let second = Service::new(&journal, &[]);
    refused(&second.refused(), 1, "one.redb is in use by another process: stop it, or choose another file");
}

#[tokio::test]
async fn another_number_of_shards_is_told() {
    let redis = RedisServer::start();
    for journal in ["embedded", &redis.url()] {
        let mut service = Service::start(journal, &["--shards", "2"]).await;
        assert_eq!(service.terminate().await.code(), Some(0));
        service.set("--shards", "3");
        refused(&service.refused(), USAGE, "shards");
        service.set("--shards", "2");
        service.launch().await;
    }
}

#[tokio::test]
async fn a_redis_that_nobody_answers_at_is_waited_for_ten_seconds_and_told() {
    let nobody = port_that_refuses();
    let address = nobody.local_addr().unwrap();
    let ended = Service::new(&format!("redis://{address}"), &[]).refused();
    refused(&ended, 1, "within 10s: check that it runs there, and the URL of --journal");
    assert!(ended.took >= Duration::from_secs(10) && ended.took < Duration::from_secs(45), "{:?}", ended.took);
}

#[tokio::test]
async fn a_redis_that_may_forget_is_refused_and_one_that_evicts_is_taken_when_it_is_allowed() {
    let redis = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let sentence = "maxmemory-policy is allkeys-lru, under which it deletes what must be kept: set it to noeviction";
    refused(&Service::new(&redis.url(), &[]).refused(), 1, sentence);
    Service::start(&redis.url(), &["--shards", "2", "--allow-volatile-redis"]).await;

    // A Redis that loses everything at a restart is not to be had.
    let redis = RedisServer::start_with(&["--appendonly", "no"]);
    for flags in [&[] as &[&str], &["--allow-volatile-redis"]] {
        let said = Service::new(&redis.url(), flags).refused();
        refused(&said, 1, "keeps nothing over a restart: set appendonly yes");
    }
}
