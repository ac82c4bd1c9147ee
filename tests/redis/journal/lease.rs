//! The lease: one holder, by Redis' clock.

use std::time::Duration;

use outbound::journal::Journal as _;
use outbound::journal::port::{AcquireError, Acquired, Holder, ShardConnectionError};
use outbound::journal::redis::Redis;
use tokio::time::Instant;

use crate::journal::kit::{Workspace, acquire, batch, holder, journal};
use support::process::PATIENCE;
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

/// A lease that lives for longer than a test.
const LONG: Duration = Duration::from_secs(5 * 60);

#[tokio::test]
async fn a_live_lease_keeps_other_nodes_out_until_it_is_given_up() {
    let server = RedisServer::start();
    let journal_a = journal(&server.url()).await;
    let journal_b = journal(&server.url()).await;
    let long = Holder { lease: LONG, ..holder("node-a") };
    let connection = journal_a.acquire(0, &long).await.unwrap().connection;
    match journal_b.acquire(0, &holder("node-b")).await.err() {
        Some(AcquireError::Held { shard: 0, node, remaining }) => {
            assert_eq!(node, "node-a");
            assert!(remaining > LONG / 2 && remaining <= LONG, "{remaining:?}");
        }
        other => panic!("{other:?}"),
    }
    connection.release().await.unwrap();
    assert!(matches!(connection.commit(batch([])).await, Err(ShardConnectionError::Failed { .. })));
    journal_b.acquire(0, &holder("node-b")).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_by_itself_and_a_commit_renews_it() {
    let server = RedisServer::start();
    let journal_a = journal(&server.url()).await;
    let journal_b = journal(&server.url()).await;
    let long = Holder { lease: LONG, ..holder("node-a") };
    let connection = journal_a.acquire(0, &long).await.unwrap().connection;
    end_in(&server, Duration::ZERO);
    connection.commit(batch([])).await.unwrap();
    let other = holder("node-b");
    assert!(matches!(journal_b.acquire(0, &other).await, Err(AcquireError::Held { .. })));
    end_in(&server, Duration::from_millis(300));
    let taken = async {
        loop {
            match journal_b.acquire(0, &other).await {
                Ok(acquired) => break acquired,
                Err(AcquireError::Held { remaining, .. }) => tokio::time::sleep(remaining).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let taken = tokio::time::timeout(PATIENCE, taken).await.unwrap();
    taken.connection.commit(batch([])).await.unwrap();
    assert_eq!(
        connection.commit(batch([])).await,
        Err(ShardConnectionError::Fenced { shard: 0, by: "node-b".to_owned() })
    );
}

/// From now on the lease ends so long after this moment.
fn end_in(server: &RedisServer, span: Duration) {
    let [seconds, micros]: [u64; 2] = server.call(&["TIME"]);
    let expiry = Duration::from_secs(seconds) + Duration::from_micros(micros) + span;
    let () = server.call(&["HSET", "outbound:{0}:owner", "expiry", &expiry.as_millis().to_string()]);
}

/// A lease that ends an hour from now, as after Redis' clock was set back.
fn end_in_an_hour(server: &RedisServer) {
    end_in(server, Duration::from_secs(60 * 60));
}

async fn taken(journal: &Redis, by: &Holder) -> Acquired {
    let taken = async {
        loop {
            match journal.acquire(0, by).await {
                Ok(acquired) => return acquired,
                Err(AcquireError::Held { remaining, .. }) => tokio::time::sleep(remaining).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("the lease is taken in time")
}

#[tokio::test]
async fn a_lease_that_ends_an_hour_from_now_is_taken_when_it_was_not_renewed_for_its_length() {
    let server = RedisServer::start();
    let (journal_a, journal_b) = (journal(&server.url()).await, journal(&server.url()).await);
    let short = Holder { lease: Duration::from_millis(500), ..holder("node-a") };
    let connection = journal_a.acquire(0, &short).await.unwrap().connection;
    end_in_an_hour(&server);
    let begun = Instant::now();
    taken(&journal_b, &holder("node-b")).await;
    assert!(begun.elapsed() >= short.lease, "taken after {:?}", begun.elapsed());
    let fenced = ShardConnectionError::Fenced { shard: 0, by: "node-b".to_owned() };
    assert_eq!(connection.commit(batch([])).await, Err(fenced));
}

/// Written by a program that did not note it.
#[tokio::test]
async fn a_record_that_does_not_say_how_long_its_lease_is_is_believed_for_the_takers_own() {
    let server = RedisServer::start();
    let (journal_a, journal_b) = (journal(&server.url()).await, journal(&server.url()).await);
    let _connection = acquire(&journal_a).await;
    end_in_an_hour(&server);
    let () = server.call(&["HDEL", "outbound:{0}:owner", "lease"]);
    let short = Holder { lease: Duration::from_millis(500), ..holder("node-b") };
    taken(&journal_b, &short).await.connection.commit(batch([])).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_renews_keeps_its_shard_whatever_the_clock_says() {
    let server = RedisServer::start();
    let (journal_a, journal_b) = (journal(&server.url()).await, journal(&server.url()).await);
    let short = Holder { lease: Duration::from_secs(2), ..holder("node-a") };
    let connection = journal_a.acquire(0, &short).await.unwrap().connection;
    let begun = Instant::now();
    while begun.elapsed() < 2 * short.lease {
        let until = connection.commit(batch([])).await.unwrap();
        end_in_an_hour(&server);
        let answer = journal_b.acquire(0, &holder("node-b")).await;
        if answer.is_ok() {
            // A machine that stands still for a whole lease loses it, and rightly so.
            assert!(Instant::now() >= until, "the shard was taken while the lease lived");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_crashed_predecessors_lease_is_taken_at_once_but_only_the_first_time() {
    let server = RedisServer::start();
    let crashed = journal(&server.url()).await;
    let _line = acquire(&crashed).await;
    let successor = journal(&server.url()).await;
    let _line = acquire(&successor).await;
    let alive = crashed.acquire(0, &holder("node-a")).await;
    assert!(matches!(alive, Err(AcquireError::Held { .. })), "two processes with one node id take no turns");
}

#[tokio::test]
async fn a_process_that_reloads_a_shard_does_not_wait_for_its_own_lease() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let old = acquire(&journal).await.connection;
    let reloaded = acquire(&journal).await.connection;
    assert!(matches!(old.commit(batch([])).await, Err(ShardConnectionError::Fenced { .. })));
    reloaded.commit(batch([])).await.unwrap();
}

#[tokio::test]
async fn an_acquisition_whose_answer_was_lost_is_the_same_acquisition() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let journal = journal(&proxy.redis_url()).await;
    journal.ping().await.unwrap();
    proxy.set(Mode::LoseAnswer { after: 0 });
    let acquired = acquire(&journal).await;
    proxy.answer_lost().await;
    let mut acme = Workspace::new("acme");
    acquired.connection.commit(batch([acme.saved()])).await.unwrap();
    assert_eq!(server.call::<u64>(&["HGET", "outbound:{0}:owner", "head"]), 1);
}

#[tokio::test]
async fn a_redis_that_is_away_is_waited_for() {
    let mut server = RedisServer::start();
    let journal = journal(&server.url()).await;
    server.kill();
    let waiting = tokio::spawn({
        let journal = journal.clone();
        async move { acquire(&journal).await.connection.commit(batch([])).await }
    });
    assert!(journal.ping().await.is_err());
    server.restart();
    waiting.await.unwrap().unwrap();
}
