//! A Redis that is there and takes nothing: its role changes, or it has no place for us. It is waited for, and what it
//! said is told.

use std::time::Duration;

use redis::Connection;

use crate::chaos::bench::{Chaos, parcels, workspaces};

const MESSAGES: usize = 20;

/// A connection that was there before.
fn operator(chaos: &Chaos) -> Connection {
    redis::Client::open(chaos.redis.own_url()).unwrap().get_connection().unwrap()
}

fn call(operator: &mut Connection, words: &[&str]) {
    redis::cmd(words[0]).arg(&words[1..]).query::<()>(operator).unwrap();
}

/// readyz and the log say it.
async fn until_told(chaos: &Chaos, words: &str) {
    chaos.until_readyz(503, words, |body| body["reasons"].to_string().contains(words)).await;
    chaos.until_logged(words, 0).await;
}

/// A failover, and one that was a mistake: reads that wait are broken off (UNBLOCKED), commits refused (READONLY).
#[tokio::test]
async fn a_role_that_changes_under_a_read_that_waits_is_told_and_waited_out() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", 4);
    workspaces.iter().for_each(|one| chaos.receiver.treat(one, |how| how.delay = Duration::from_millis(50)));
    chaos.save(&workspaces).await;
    let mut published = chaos.publish(&parcels(&workspaces, "a", MESSAGES, 4));
    let mut operator = operator(&chaos);
    for round in ["b", "c"] {
        chaos.until_settled().await;
        call(&mut operator, &["REPLICAOF", "127.0.0.1", "1"]);
        until_told(&chaos, "You can't write against a read only replica").await;
        call(&mut operator, &["REPLICAOF", "NO", "ONE"]);
        published.acknowledged.extend(chaos.publish(&parcels(&workspaces, round, MESSAGES, 4)).acknowledged);
        chaos.until_readyz(200, "it is ready again", |_| true).await;
    }
    // And while attempts are under way.
    published.acknowledged.extend(chaos.publish(&parcels(&workspaces, "d", MESSAGES, 4)).acknowledged);
    call(&mut operator, &["REPLICAOF", "127.0.0.1", "1"]);
    until_told(&chaos, "You can't write against a read only replica").await;
    call(&mut operator, &["REPLICAOF", "NO", "ONE"]);
    chaos.check_each_came_once(&workspaces, &published).await;
}

/// Other programs take all connections that Redis has, and ours are closed for good measure.
#[tokio::test]
async fn a_redis_without_a_place_for_us_is_told_and_waited_out() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", 4);
    chaos.save(&workspaces).await;
    let mut operator = operator(&chaos);
    let mut published = chaos.publish(&parcels(&workspaces, "a", MESSAGES, 4));
    for round in ["b", "c"] {
        call(&mut operator, &["CONFIG", "SET", "maxclients", "1"]);
        call(&mut operator, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        until_told(&chaos, "max number of clients reached").await;
        call(&mut operator, &["CONFIG", "SET", "maxclients", "1000"]);
        published.acknowledged.extend(chaos.publish(&parcels(&workspaces, round, MESSAGES, 4)).acknowledged);
        chaos.until_readyz(200, "it is ready again", |_| true).await;
    }
    chaos.check_each_came_once(&workspaces, &published).await;
}
