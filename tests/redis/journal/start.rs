//! What the service refuses to start on, and the sentence that says what to do.

use outbound::journal::Journal as _;
use outbound::journal::redis::{Redis, RedisOptions, RedisStartError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::journal::kit::{Workspace, acquire, batch, options};
use support::process::until;
use support::redis_server::RedisServer;

async fn refused(options: &RedisOptions) -> String {
    Redis::connect(options).await.map(|_| ()).expect_err("a refusal").to_string()
}

#[tokio::test]
async fn a_redis_that_may_evict_is_refused_unless_that_is_allowed() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let sentence = refused(&options(&server.url())).await;
    assert!(sentence.contains("allkeys-lru") && sentence.contains("set it to noeviction"), "{sentence}");
    Redis::connect(&RedisOptions { allow_volatile: true, ..options(&server.url()) }).await.unwrap();
}

/// They delete keys with a TTL, and no key of ours has one.
#[tokio::test]
async fn a_redis_that_may_evict_keys_of_others_is_taken() {
    let server = RedisServer::start();
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let () = server.call(&["CONFIG", "SET", "maxmemory-policy", policy]);
        Redis::connect(&options(&server.url())).await.unwrap();
    }
}

#[tokio::test]
async fn a_redis_that_keeps_nothing_is_refused_whatever_is_allowed_and_save_points_are_enough() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    for allow_volatile in [false, true] {
        let sentence = refused(&RedisOptions { allow_volatile, ..options(&server.url()) }).await;
        assert_eq!(sentence, "Redis keeps nothing over a restart: set appendonly yes, or save points");
    }
    let () = server.call(&["CONFIG", "SET", "save", "3600 1"]);
    Redis::connect(&options(&server.url())).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_refused() {
    let server = RedisServer::start_with(&["--replicaof", "127.0.0.1 1"]);
    assert!(refused(&options(&server.url())).await.contains("give the URL of its primary"));
}

#[tokio::test]
async fn a_node_of_a_cluster_given_as_one_redis_is_refused() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    assert!(refused(&options(&server.url())).await.contains("redis+cluster://"));
}

#[tokio::test]
async fn an_old_redis_is_refused() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(old_redis(stream));
        }
    });
    let sentence = refused(&options(&url)).await;
    assert!(sentence.contains("6.2.14") && sentence.contains("upgrade it to 7.0"), "{sentence}");
}

/// Says yes to everything and 6.2.14 to INFO.
async fn old_redis(stream: TcpStream) {
    let (reads, mut writes) = stream.into_split();
    let mut lines = BufReader::new(reads);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let mut words = Vec::new();
        for _ in 0..line.trim_start_matches('*').trim().parse::<usize>().unwrap() {
            line.clear();
            lines.read_line(&mut line).await.unwrap();
            let mut word = vec![0; line.trim_start_matches('$').trim().parse::<usize>().unwrap() + 2];
            lines.read_exact(&mut word).await.unwrap();
            words.push(word);
        }
        let info = "redis_version:6.2.14\r\nrole:master";
        let bulk = format!("${}\r\n{info}\r\n", info.len());
        let answer = if words[0].starts_with(b"INFO") { bulk.as_str() } else { "+OK\r\n" };
        writes.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn the_number_of_shards_is_fixed_at_the_first_start() {
    let server = RedisServer::start();
    let with = |shards| RedisOptions { shards, ..options(&server.url()) };
    assert_eq!(Redis::connect(&with(Some(3))).await.unwrap().shards(), 3);
    assert_eq!(Redis::connect(&with(None)).await.unwrap().shards(), 3);
    let sentence = refused(&with(Some(4))).await;
    assert!(sentence.contains("3 shards but 4") && sentence.contains("leave --shards out"), "{sentence}");
    assert!(refused(&with(Some(0))).await.contains("use 1 to 1024"));
    let other = RedisOptions { prefix: "other".to_owned(), ..with(None) };
    assert_eq!(Redis::connect(&other).await.unwrap().shards(), 16);
}

#[tokio::test]
async fn many_nodes_that_start_at_once_agree_on_one_number_of_shards() {
    let server = RedisServer::start();
    let starts = (1..=8).map(|shards| {
        let options = RedisOptions { shards: Some(shards), ..options(&server.url()) };
        tokio::spawn(async move { Redis::connect(&options).await.map(|journal| journal.shards()) })
    });
    let mut agreed = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        match start.await.unwrap() {
            Ok(shards) => agreed.push(shards),
            Err(RedisStartError::Shards { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let stored: u16 = server.call(&["HGET", "outbound:meta", "shards"]);
    assert_eq!(agreed, [stored]);
}

#[tokio::test]
async fn keys_of_another_format_are_refused() {
    let server = RedisServer::start();
    let () = server.call(&["HSET", "outbound:meta", "format", "99", "shards", "16"]);
    assert!(refused(&options(&server.url())).await.contains("format 99"));
}

#[tokio::test]
async fn a_prefix_or_url_that_cannot_be_is_refused_before_anything_is_sent() {
    for prefix in ["", "a{b}", "a b"] {
        let options = RedisOptions { prefix: prefix.to_owned(), ..options("redis://127.0.0.1:1") };
        assert!(refused(&options).await.contains("prefix"), "{prefix:?}");
    }
    assert!(refused(&options("http://localhost")).await.contains("redis://"));
}

#[tokio::test]
async fn a_redis_that_is_still_loading_is_waited_for_and_everything_is_there_after_a_crash() {
    let mut server = RedisServer::start();
    let journal = Redis::connect(&options(&server.url())).await.unwrap();
    let mut acme = Workspace::new("acme");
    acquire(&journal).await.connection.commit(batch([acme.saved()])).await.unwrap();
    server.kill();
    let options = options(&server.url());
    let (again, ()) = tokio::join!(Redis::connect(&options), async { server.restart() });
    assert_eq!(again.unwrap().read(&acme.id).await.unwrap().state, acme.state);
}

#[tokio::test]
async fn a_redis_that_has_no_place_for_us_yet_is_waited_for() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.own_url()).unwrap();
    let mut only = client.get_connection().unwrap();
    redis::cmd("CONFIG").arg("SET").arg("maxclients").arg(1).query::<()>(&mut only).unwrap();
    let options = options(&server.url());
    let (journal, ()) = tokio::join!(Redis::connect(&options), async {
        until("somebody was refused", async || {
            let info: String = redis::cmd("INFO").arg("stats").query(&mut only).unwrap();
            !info.contains("rejected_connections:0\r")
        })
        .await;
        redis::cmd("CONFIG").arg("SET").arg("maxclients").arg(100).query::<()>(&mut only).unwrap();
    });
    journal.unwrap().ping().await.unwrap();
}

/// Servers of another kind than the URL says, and what is stored of the shards.
#[tokio::test]
async fn what_a_url_should_say_is_said_where_another_kind_of_server_answers() {
    let server = RedisServer::start();
    let sentinel = format!("redis+sentinel://127.0.0.1:{}/main", server.port());
    assert!(refused(&options(&sentinel)).await.contains("is a Redis and no sentinel: write redis://HOST:PORT"));
    let () = server.call(&["HSET", "outbound:meta", "format", "1", "shards", "abc"]);
    let sentence = refused(&options(&server.url())).await;
    assert!(sentence.contains("the field shards of outbound:meta is no number of shards"), "{sentence}");
}
