//! What the service's Redis user lacks is found at the start, by its name.

use std::collections::BTreeSet;
use std::error::Error;

use outbound::config::Durability;
use outbound::journal::redis::{Redis, RedisOptions, RedisStartError};

use crate::journal::kit::{journal, options};
use support::redis_server::RedisServer;

/// The sentence and its causes.
fn told(error: &RedisStartError) -> String {
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        told.push_str(&format!(": {error}"));
        cause = error.source();
    }
    told
}

/// The rights of the service's user in `redis/users.acl`.
fn rights() -> Vec<&'static str> {
    let users = include_str!("../../../redis/users.acl");
    let user = users.lines().find(|line| line.starts_with("user outbound ")).unwrap();
    user.split(' ').filter_map(|word| word.strip_prefix('+')).collect()
}

#[tokio::test]
async fn whichever_command_the_user_lacks_the_start_names_it() {
    let server = RedisServer::start();
    journal(&server.url()).await;
    let mut taken = BTreeSet::new();
    for right in rights() {
        let () = server.call(&["ACL", "SETUSER", "outbound", &format!("-{right}")]);
        match Redis::connect(&options(&server.url())).await {
            Ok(_) => drop(taken.insert(right)),
            Err(error) => {
                let told = told(&error);
                assert!(told.contains(right) && told.contains("ACL SETUSER"), "-{right}: {told}");
            }
        }
        let () = server.call(&["ACL", "SETUSER", "outbound", &format!("+{right}")]);
    }
    // What is only used in some set-ups, or has another way.
    let other = [
        "acl|whoami",
        "cluster|info",
        "cluster|keyslot",
        "cluster|slots",
        "config|get",
        "eval",
        "exec",
        "multi",
        "ping",
        "role",
        "select",
        "type",
        "unwatch",
        "wait",
        "watch",
        "xack",
        "xclaim",
        "xgroup|create",
        "xinfo|groups",
        "xpending",
        "xreadgroup",
    ];
    assert_eq!(taken, BTreeSet::from(other));
}

#[tokio::test]
async fn all_that_is_missing_is_named_at_once() {
    let server = RedisServer::start();
    let () = server.call(&["ACL", "SETUSER", "outbound", "-hset", "-xinfo|stream", "-wait"]);
    let error = Redis::connect(&options(&server.url())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Redis does not let the user outbound do what the service needs: allow it with ACL SETUSER outbound +hset \
         +xinfo|stream (ACL SAVE keeps that), or take the user of redis/users.acl"
    );
    let () = server.call(&["ACL", "SETUSER", "outbound", "+hset", "+xinfo|stream"]);
    let waits = RedisOptions { durability: Durability::Local, ..options(&server.url()) };
    let () = server.call(&["CONFIG", "SET", "appendfsync", "always"]);
    let sentence = Redis::connect(&waits).await.unwrap_err().to_string();
    assert!(sentence.contains("ACL SETUSER outbound +wait "), "{sentence}");
}

#[tokio::test]
async fn keys_that_the_user_may_not_use_are_named_by_their_pattern() {
    let server = RedisServer::start();
    let () = server.call(&["ACL", "SETUSER", "outbound", "resetkeys", "~outbound:*"]);
    journal(&server.url()).await;
    let other = RedisOptions { prefix: "other".to_owned(), ..options(&server.url()) };
    let sentence = Redis::connect(&other).await.unwrap_err().to_string();
    assert!(sentence.contains("ACL SETUSER outbound ~other:*"), "{sentence}");
}

#[tokio::test]
async fn a_command_that_has_another_name_there_is_named() {
    // A file of users that names it would be refused by that Redis.
    let server = RedisServer::start_with(&["--rename-command", "XSETID", "another", "--aclfile", ""]);
    let sentence = Redis::connect(&options(&server.own_url())).await.unwrap_err().to_string();
    assert!(sentence.contains("Redis does not know the command(s) xsetid"), "{sentence}");
}

#[tokio::test]
async fn what_is_needed_for_a_source_is_asked_for_where_there_is_one() {
    let server = RedisServer::start();
    let () = server.call(&["ACL", "SETUSER", "outbound", "-xreadgroup", "-xack"]);
    let journal = journal(&server.url()).await;
    let sentence = journal.check_source("orders").await.unwrap_err().to_string();
    assert!(sentence.contains("ACL SETUSER outbound +xack +xreadgroup"), "{sentence}");
    let () = server.call(&["ACL", "SETUSER", "outbound", "+xreadgroup", "+xack", "resetkeys", "~outbound:*"]);
    let sentence = journal.check_source("orders").await.unwrap_err().to_string();
    assert!(sentence.contains("ACL SETUSER outbound ~orders"), "{sentence}");
}
