//! `--durability`: when what is stored counts as stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::journal::cluster::cluster_of;
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Service, message};

const SHARDS: &[&str] = &["--shards", "2"];

pub(crate) async fn with_replica() -> (RedisServer, RedisServer) {
    let primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    until("the replica is connected", async || {
        primary.call::<String>(&["INFO", "replication"]).contains("state=online")
    })
    .await;
    (primary, replica)
}

#[tokio::test]
async fn replicated_answers_and_settles_when_a_replica_has_it() {
    let (primary, replica) = with_replica().await;
    let receiver = Receiver::start();
    let service = Service::start(&primary.url(), &[SHARDS, &["--durability", "replicated"]].concat()).await;
    let api = service.api();
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    api.publish("acme", &message("+1", "m-1")).await.unwrap().ok();
    api.until("acme", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == "m-1").await;

    replica.pause();
    let waiting = api.clone();
    let published = tokio::spawn(async move { waiting.publish("acme", &message("+1", "m-2")).await });
    until("it is told", async || service.log().contains("not yet as durable as --durability asks for")).await;
    assert!(!published.is_finished(), "answered though no replica has it");
    replica.resume();
    published.await.unwrap().unwrap().ok();
    api.until("acme", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == "m-2").await;
    // What was answered survives the loss of the primary.
    let before = replica.call::<Vec<String>>(&["KEYS", "outbound:*"]);
    assert!(before.iter().any(|key| key.ends_with("snapshot:acme")), "{before:?}");
}

/// A replica that was promoted, or the same Redis after it lost what was not on disk: that it is durable there says nothing of
/// what the one before it had answered. Seen with sentinels: 6 of 352 messages were answered with 202 and gone.
#[tokio::test]
async fn what_another_server_than_the_one_that_took_it_may_lack_is_not_said_to_be_durable() {
    let (mut primary, replica) = with_replica().await;
    // It runs no shard, so nothing but Redis has the message.
    let service =
        Service::start(&primary.url(), &["--shards", "1", "--static-shards", "none", "--durability", "replicated"])
            .await;
    let api = service.api();
    api.publish("acme", &message("+1", "m-1")).await.unwrap().ok();
    let waiting = |redis: &RedisServer| redis.call::<usize>(&["XLEN", "outbound:{0}:messages"]);
    let before = primary.copy_data();

    replica.pause();
    let publisher = api.clone();
    let published = tokio::spawn(async move { publisher.publish("acme", &message("+1", "m-2")).await });
    until("Redis has taken it", async || waiting(&primary) == 2).await;
    primary.kill();
    primary.roll_back(&before);
    primary.restart();
    replica.resume();

    let answer = published.await.unwrap().unwrap();
    assert_eq!((waiting(&primary), answer.status.as_u16()), (1, 503), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("may have been stored"), "{}", answer.body);
    until("what is new is answered", async || {
        api.publish("acme", &message("+1", "m-3")).await.is_ok_and(|answer| answer.status == 202)
    })
    .await;
}

/// What is stored leaves a full Redis only once it is settled, so what its durability is waited for by must be taken too.
#[tokio::test]
async fn what_a_full_redis_holds_is_delivered_and_settled_at_any_level() {
    let (primary, _replica) = with_replica().await;
    let receiver = Receiver::start();
    let service = Service::start(&primary.url(), &[SHARDS, &["--durability", "replicated"]].concat()).await;
    let api = service.api();
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    receiver.hold();
    for n in 0..50 {
        api.publish("acme", &message(&format!("+{n}"), &format!("m-{n}"))).await.unwrap().ok();
    }
    let () = primary.call(&["CONFIG", "SET", "maxmemory", "1"]);
    receiver.release();
    let waiting =
        || (0..2).map(|n| primary.call::<usize>(&["XLEN", &format!("outbound:{{{n}}}:messages")])).sum::<usize>();
    until("all is settled", async || waiting() == 0).await;
    assert_eq!(receiver.ids("acme").len(), 50, "each once");
}

/// An fsync for every write: what Redis answers is on disk.
#[tokio::test]
async fn local_survives_a_kill_of_redis() {
    let mut redis = RedisServer::start_with(&["--appendfsync", "always"]);
    let receiver = Receiver::start();
    let service = Service::start(&redis.url(), &[SHARDS, &["--durability", "local"]].concat()).await;
    let api = service.api();
    receiver.hold();
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    api.publish("acme", &message("+1", "m-1")).await.unwrap().ok();
    redis.kill();
    redis.restart();
    receiver.release();
    api.until("acme", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == "m-1").await;
}

/// Whoever may configure Redis can take the level away, and so can a restart or a fail-over: nothing is said to be durable then.
#[tokio::test]
async fn a_level_that_redis_does_not_keep_any_more_is_waited_for_and_told() {
    let redis = RedisServer::start_with(&["--appendfsync", "always"]);
    let receiver = Receiver::start();
    let service = Service::start(&redis.own_url(), &[SHARDS, &["--durability", "local"]].concat()).await;
    let api = service.api();
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    for (n, (name, less, enough)) in
        [("appendfsync", "everysec", "always"), ("appendonly", "no", "yes")].into_iter().enumerate()
    {
        api.publish("acme", &message("+1", &format!("{n}-before"))).await.unwrap().ok();
        let () = redis.call(&["CONFIG", "SET", name, less]);
        let (is_kept, id) = (Arc::<AtomicBool>::default(), format!("{n}-meanwhile"));
        let (may_be, text, publisher) = (Arc::clone(&is_kept), message("+1", &id), api.clone());
        let published = tokio::spawn(async move {
            let reply = publisher.publish("acme", &text).await.unwrap();
            (reply.status, may_be.load(Ordering::SeqCst))
        });
        until("readyz says it", async || {
            let reply = api.get("/readyz").await;
            let said = reply.body["reasons"].to_string();
            reply.status == 503 && said.contains("not yet as durable as --durability asks for: Redis does not sync")
        })
        .await;
        is_kept.store(true, Ordering::SeqCst);
        let () = redis.call(&["CONFIG", "SET", name, enough]);
        // On a slow machine it may have been told before that nobody knows.
        let (status, was_kept) = published.await.unwrap();
        assert!(status == 503 || (status == 202 && was_kept), "{status} though nothing says that it is on disk");
        until("readyz is content again", async || api.get("/readyz").await.status == 200).await;
        api.until("acme", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == id.as_str()).await;
        let told = service.log().matches("not yet as durable as --durability asks for; it is waited for").count();
        assert_eq!(told, n + 1, "told once for all shards: {}", service.log());
    }
    let attempted = receiver.ids("acme");
    assert_eq!(attempted, ["0-before", "0-meanwhile", "1-before", "1-meanwhile"], "each once");
}

/// Redis answers WAITAOF then, and never that anything is on disk.
#[tokio::test]
async fn a_log_that_is_not_synced_any_more_is_told_with_what_to_set() {
    let redis = RedisServer::start_with(&["--appendfsync", "everysec"]);
    if !knows_waitaof(&redis) {
        // Nothing but `appendfsync always` is taken there.
        return Service::new(&redis.own_url(), &["--durability", "local"])
            .refused()
            .code
            .map_or((), |code| assert_eq!(code, 1));
    }
    let receiver = Receiver::start();
    let service = Service::start(&redis.own_url(), &[SHARDS, &["--durability", "local"]].concat()).await;
    let api = service.api();
    let () = redis.call(&["CONFIG", "SET", "appendfsync", "no"]);
    let (saved, saver) = (json!({"url": receiver.url("acme")}), api.clone());
    let saving = tokio::spawn(async move { saver.save("acme", &saved).await.status });
    until("readyz says it", async || {
        let reply = api.get("/readyz").await;
        reply.status == 503 && reply.body["reasons"].to_string().contains("set appendfsync everysec or always")
    })
    .await;
    let () = redis.call(&["CONFIG", "SET", "appendfsync", "everysec"]);
    saving.await.unwrap();
    until("readyz is content again", async || api.get("/readyz").await.status == 200).await;
}

#[tokio::test]
async fn a_redis_that_cannot_keep_the_level_is_refused() {
    let redis = RedisServer::start_with(&["--appendfsync", "everysec"]);
    let volatile = RedisServer::start_with(&["--appendonly", "no", "--save", "60 1"]);
    let unsynced = RedisServer::start_with(&["--appendfsync", "no"]);
    let knows = knows_waitaof(&redis);
    for (journal, level, sentence) in [
        (redis.url(), "replicated", "--durability replicated needs a replica: none is connected"),
        (volatile.url(), "local", "--durability local needs Redis' append-only file: set appendonly yes"),
        (unsynced.url(), "local", "set appendfsync everysec (Redis 7.2 or newer, Valkey) or appendfsync always"),
        (redis.url(), "local", "--durability local needs Redis 7.2 or newer, Valkey, or appendfsync always"),
        ("embedded".to_owned(), "replicated", "--durability replicated is for a Redis journal"),
    ] {
        if knows && sentence.starts_with("--durability local needs Redis 7.2") {
            // The user of redis/users.acl is for Redis 7.0 too, which does not know the command.
            let ended = Service::new(&journal, &["--durability", level]).refused();
            assert!(ended.stderr.contains("+waitaof"), "{}", ended.stderr);
            Service::start(&redis.own_url(), &["--durability", level]).await;
            continue;
        }
        let ended = Service::new(&journal, &["--durability", level]).refused();
        assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
        assert_ne!(ended.code, Some(0));
    }
    Service::start("embedded", &[SHARDS, &["--durability", "local"]].concat()).await;
}

/// The user of redis/users.acl is for Redis 7.0 too, which does not know the command.
#[tokio::test]
async fn a_user_that_may_not_wait_for_the_disk_of_a_cluster_is_warned_of_once() {
    let nodes = cluster_of(&[]).await;
    let url = format!("redis+cluster://outbound:change-me-outbound@127.0.0.1:{}", nodes[0].port());
    let warnings = async || {
        let service = Service::start(&url, &[]).await;
        service.log().matches("may not use WAITAOF").count()
    };
    assert_eq!(warnings().await, usize::from(knows_waitaof(&nodes[0])));
    if knows_waitaof(&nodes[0]) {
        nodes.iter().for_each(|node| node.call(&["ACL", "SETUSER", "outbound", "+waitaof"]));
        assert_eq!(warnings().await, 0);
    }
}

/// WAITAOF came with 7.2.
pub(crate) fn knows_waitaof(redis: &RedisServer) -> bool {
    redis.call::<Vec<redis::Value>>(&["COMMAND", "INFO", "WAITAOF"]).first() != Some(&redis::Value::Nil)
}
