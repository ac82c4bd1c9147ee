//! A Redis that is there and takes nothing: its role changes, or it has no place for us. It is waited for, and what it
//! said is told.

use std::time::Duration;

use redis::Connection;

use crate::chaos::bench::{Chaos, Published, parcels, workspaces};

const MESSAGES: usize = 20;

/// A connection that was there before.
fn operator(chaos: &Chaos) -> Connection {
    redis::Client::open(chaos.redis.own_url()).unwrap().get_connection().unwrap()
}

fn call(operator: &mut Connection, words: &[&str]) {
    redis::cmd(words[0]).arg(&words[1..]).query::<()>(operator).unwrap();
}

/// Closes every connection that waits for entries: a shard's, and those on which answers to saves are waited for.
fn close_reads(operator: &mut Connection) {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(operator).unwrap();
    for line in list.lines().filter(|line| line.split(' ').any(|word| word == "cmd=xread")) {
        let id = line.split(' ').find_map(|word| word.strip_prefix("id=")).unwrap();
        // It may be gone by itself.
        redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).query::<u64>(operator).unwrap();
    }
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

/// Redis answers, and takes nothing that is written: callers are told that nothing was stored, and who only reads is answered.
#[tokio::test]
async fn a_redis_that_takes_no_writes_refuses_and_is_not_away() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", 1);
    chaos.save(&workspaces).await;
    let webhook = serde_json::json!({"url": chaos.receiver.url(&workspaces[0])});
    let mut operator = operator(&chaos);
    for (on, off, words) in [
        (
            ["CONFIG", "SET", "min-replicas-to-write", "1"],
            ["CONFIG", "SET", "min-replicas-to-write", "0"],
            "Not enough good replicas to write",
        ),
        (
            ["REPLICAOF", "127.0.0.1", "1", ""],
            ["REPLICAOF", "NO", "ONE", ""],
            "can't write against a read only replica",
        ),
    ] {
        let words_of = |all: [&'static str; 4]| all.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
        call(&mut operator, &words_of(on));
        chaos.until_readyz(503, words, |body| body["reasons"].to_string().contains(words)).await;
        let reasons = chaos.api().get("/readyz").await.body["reasons"].to_string();
        assert!(reasons.contains("the store refuses what is written") && !reasons.contains("not answer"), "{reasons}");
        let saved = chaos.api().save(&workspaces[0], &webhook).await;
        assert_eq!(saved.problem(), (503, "store-refuses"), "{words}: {}", saved.body);
        assert!(saved.body["detail"].as_str().unwrap().contains("nothing was stored"), "{}", saved.body);
        let published = chaos.api().publish(&workspaces[0], &support::service::message("+1", "m")).await.unwrap();
        assert_eq!(published.problem(), (503, "store-refuses"), "{words}: {}", published.body);
        for path in ["/v1/nodes", "/v1/workspaces", &format!("/v1/workspaces/{}/webhook", workspaces[0])] {
            chaos.api().get(path).await.ok();
        }
        call(&mut operator, &words_of(off));
        chaos.until_readyz(200, "it is ready again", |_| true).await;
        chaos.save(&workspaces).await;
    }
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

/// A password that is rotated, and other programs that take the last places: the connections that there are work on, and so does
/// whoever needs a new one for a while; the operator is told before they are gone.
#[tokio::test]
async fn while_no_new_connection_is_taken_saves_are_answered_and_it_is_told() {
    let chaos = Chaos::start().await;
    // Of both shards: each has opened its connection again once something of it has arrived.
    let workspaces = workspaces("w", 6);
    let mut operator = operator(&chaos);
    let password = |operator: &mut Connection, new: &str| {
        call(operator, &["ACL", "SETUSER", "outbound", "resetpass", &format!(">{new}")]);
    };
    chaos.save(&workspaces).await;
    let mut published = Published::default();
    for (words, round) in [("Password authentication failed", "a"), ("max number of clients reached", "b")] {
        // The shards open theirs again for what comes; nobody needs another one for answers until the next save.
        close_reads(&mut operator);
        published.acknowledged.extend(chaos.publish(&parcels(&workspaces, round, MESSAGES, 4)).acknowledged);
        chaos.until_settled().await;
        match round {
            "a" => password(&mut operator, "another"),
            // Those that are there stay, whatever their number.
            _ => call(&mut operator, &["CONFIG", "SET", "maxclients", "1"]),
        }
        let began = std::time::Instant::now();
        chaos.save(&workspaces).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{words}: it took {:?}", began.elapsed());
        let told = |body: &serde_json::Value| body["reasons"].to_string().contains(words);
        chaos.until_readyz(200, words, told).await;
        chaos.until_logged(words, 0).await;
        match round {
            "a" => password(&mut operator, "change-me-outbound"),
            _ => call(&mut operator, &["CONFIG", "SET", "maxclients", "1000"]),
        }
        chaos.until_readyz(200, "it is ready again", |body| body["reasons"] == serde_json::json!([])).await;
    }
    published.acknowledged.extend(chaos.publish(&parcels(&workspaces, "c", MESSAGES, 4)).acknowledged);
    chaos.check_each_came_once(&workspaces, &published).await;
}
