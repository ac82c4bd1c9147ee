//! Commits of many attempts, which are transactions: applied once and whole, or not at all, as those by script are.

use std::ops::Range;

use outbound::config::{Compression, TRANSACTION_ATTEMPTS_MIN};
use outbound::journal::Journal as _;
use outbound::journal::codec;
use outbound::journal::port::{
    Batch, COMMIT_EVENTS_MAX, COMMIT_SETTLED_MAX, ShardConnection, ShardConnectionError, Step,
};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::EntryId;

use crate::journal::kit::{Workspace, acquire, batch, begun, entry, journal, message, options};
use support::process::until;
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

pub(crate) const MANY: u64 = TRANSACTION_ATTEMPTS_MIN as u64;
const ATTEMPTS: &str = "outbound:{0}:attempts:acme";
const OWNER: &str = "outbound:{0}:owner";

/// Attempts that settle these entries.
pub(crate) fn attempts(workspace: &mut Workspace, entries: Range<u64>) -> Vec<Step> {
    entries.map(|n| workspace.attempted(entry(n))).collect()
}

/// As many as make a transaction, with the snapshot that a load needs now and then.
pub(crate) fn many(workspace: &mut Workspace) -> Batch {
    let last = workspace.state.seq + MANY;
    let mut steps = attempts(workspace, last - MANY + 1..last);
    steps.push(workspace.attempted_with_snapshot(entry(last)));
    batch(steps)
}

/// A journal with shard 0 held, whose next commit of many attempts is a transaction.
async fn watching(url: &str) -> (Redis, Box<dyn ShardConnection>, Workspace) {
    let (journal, connection, mut acme) = begun(url).await;
    connection.commit(many(&mut acme)).await.unwrap();
    (journal, connection, acme)
}

/// How many transactions the server was asked for.
fn transactions(server: &RedisServer) -> u64 {
    let stats: String = server.call(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_exec:calls="));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

fn ids(server: &RedisServer, stream: &str) -> Vec<String> {
    let entries: Vec<(String, Vec<Vec<u8>>)> = server.call(&["XRANGE", stream, "-", "+"]);
    entries.into_iter().map(|(id, _)| id).collect()
}

/// Nothing twice, nothing lost: the first event is the save, every other an attempt.
fn assert_applied_once(server: &RedisServer, workspace: &Workspace) {
    let stream = format!("outbound:{{0}}:attempts:{}", workspace.id);
    let from = workspace.state.seq.saturating_sub(100).max(1) + 1;
    let expected: Vec<String> = (from..=workspace.state.seq).map(|seq| format!("{seq}-0")).collect();
    let found = ids(server, &stream);
    assert!(found.ends_with(&expected), "{found:?}");
}

#[tokio::test]
async fn a_commit_of_many_attempts_is_a_transaction_and_settles_what_it_names() {
    let server = RedisServer::start();
    let (journal, connection, mut acme) = watching(&server.url()).await;
    let mut inputs = Vec::new();
    for _ in 0..=MANY {
        inputs.push(journal.publish(&acme.id, &message("hello")).await.unwrap());
    }
    let kept = inputs.pop().unwrap();
    let (before, asked) = (transactions(&server), server.call::<u64>(&["HGET", OWNER, "head"]));
    let steps: Vec<Step> = inputs.iter().map(|id| acme.attempted_with_snapshot(*id)).collect();
    connection.commit(batch(steps)).await.unwrap();
    assert_eq!(transactions(&server), before + 1);
    assert_eq!(server.call::<u64>(&["HGET", OWNER, "head"]), asked + 1);
    assert_eq!(ids(&server, "outbound:{0}:messages"), [kept.to_string()]);
    assert_applied_once(&server, &acme);
    let loaded = connection.load(&acme.id).await.unwrap().unwrap();
    assert_eq!((loaded.state, loaded.since_snapshot), (acme.state, 0));
}

#[tokio::test]
async fn commits_in_flight_land_in_order_with_what_is_asked_between_them() {
    let server = RedisServer::start();
    let (_journal, connection, mut acme) = watching(&server.url()).await;
    let before = transactions(&server);
    for round in 0..20 {
        let first = connection.commit(many(&mut acme));
        let at_first = acme.state.clone();
        let loaded = connection.load(&acme.id);
        // A small one behind it is a script.
        let second = if round % 4 == 0 { batch([acme.attempted(entry(1))]) } else { many(&mut acme) };
        let second = connection.commit(second);
        let at_second = connection.load(&acme.id);
        let (first, loaded, second, at_second) = tokio::join!(first, loaded, second, at_second);
        assert!(first.unwrap() <= second.unwrap());
        assert_eq!(loaded.unwrap().unwrap().state, at_first);
        assert_eq!(at_second.unwrap().unwrap().state, acme.state);
    }
    assert!(transactions(&server) >= before + 20, "most were transactions");
    assert_applied_once(&server, &acme);
}

#[tokio::test]
async fn whatever_part_of_an_answer_is_lost_nothing_is_applied_twice() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (_journal, connection, mut acme) = watching(&proxy.redis_url()).await;
    // `+OK`, `+QUEUED` for each attempt and once more, an array of ids, `*3 $2 OK :0 :0`, `+OK`, the owner.
    for after in [0, 3, 5, 40, 156, 165, 200, 300, 330, 345, 355, 370, 450] {
        // The one before made sure that the owner is watched again.
        connection.commit(many(&mut acme)).await.unwrap();
        connection.commit(many(&mut acme)).await.unwrap();
        let before = transactions(&server);
        proxy.set(Mode::LoseAnswer { after });
        let first = connection.commit(many(&mut acme));
        let second = connection.commit(many(&mut acme));
        let behind = connection.load(&acme.id);
        let (first, second, behind) = tokio::join!(first, second, behind);
        assert!(first.unwrap() <= second.unwrap());
        assert_eq!(behind.unwrap().unwrap().state, acme.state, "after {after} bytes");
        proxy.set(Mode::Forward);
        assert!(transactions(&server) > before, "after {after} bytes: it was a transaction");
        assert_applied_once(&server, &acme);
    }
}

#[tokio::test]
async fn a_takeover_before_a_transaction_arrives_leaves_nothing_of_it() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (old, zombie, mut acme) = watching(&proxy.redis_url()).await;
    let input = old.publish(&acme.id, &message("hello")).await.unwrap();
    let (durable, before) = (acme.state.clone(), transactions(&server));
    proxy.set(Mode::Stall);
    let mut steps = attempts(&mut acme, 100..100 + MANY);
    steps.push(acme.attempted_with_snapshot(input));
    let late = zombie.commit(batch(steps));
    let later = zombie.commit(many(&mut acme));
    let loaded = zombie.load(&acme.id);
    let connection = acquire(&journal(&server.url()).await).await.connection;
    assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, durable);
    proxy.set(Mode::Forward);
    let fenced = ShardConnectionError::Fenced { shard: 0, by: "node-a".to_owned() };
    assert_eq!(late.await, Err(fenced.clone()));
    assert_eq!(later.await, Err(fenced.clone()));
    assert_eq!(loaded.await, Err(fenced));
    assert_eq!(transactions(&server), before + 1, "it was one");
    assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, durable);
    assert_eq!(connection.present(vec![input]).await.unwrap(), [input]);
}

#[tokio::test]
async fn an_owner_that_somebody_touched_keeps_no_commit_from_its_holder() {
    let server = RedisServer::start();
    let (_journal, connection, mut acme) = watching(&server.url()).await;
    for _ in 0..3 {
        let () = server.call(&["HSET", OWNER, "note", "looked at"]);
        let first = connection.commit(many(&mut acme));
        let second = connection.commit(many(&mut acme));
        let (first, second) = tokio::join!(first, second);
        first.and(second).unwrap();
        assert_applied_once(&server, &acme);
    }
}

#[tokio::test]
async fn a_redis_that_lost_acknowledged_commits_without_a_restart_is_found_out() {
    let server = RedisServer::start();
    let (_journal, connection, mut acme) = watching(&server.url()).await;
    // As after a failover that the connection survived.
    let () = server.call(&["HSET", OWNER, "head", "1"]);
    let lost = connection.commit(many(&mut acme)).await;
    assert_eq!(lost, Err(ShardConnectionError::Lost { shard: 0, expected: 2, found: 1 }));
    assert_eq!(ids(&server, ATTEMPTS).len() as u64, MANY);
}

#[tokio::test]
async fn a_stream_that_another_program_broke_settles_nothing_and_the_others_attempts_are_found() {
    for broken in [
        // No stream any more.
        ["SET", "outbound:{0}:attempts:beta", "no stream", "", ""],
        // Its ids are used up.
        ["XADD", "outbound:{0}:attempts:beta", "99-0", "e", "{}"],
    ] {
        let server = RedisServer::start();
        let (journal, connection, mut acme) = watching(&server.url()).await;
        let mut beta = Workspace::new("beta");
        connection.commit(batch([beta.saved()])).await.unwrap();
        connection.commit(many(&mut acme)).await.unwrap();
        let input = journal.publish(&acme.id, &message("hello")).await.unwrap();
        let (head, before) = (server.call::<u64>(&["HGET", OWNER, "head"]), transactions(&server));
        let words: Vec<&str> = broken.into_iter().filter(|word| !word.is_empty()).collect();
        server.call::<redis::Value>(&words);
        let mut steps = attempts(&mut beta, 200..202);
        steps.push(acme.attempted_with_snapshot(input));
        steps.extend(attempts(&mut acme, 300..300 + MANY));
        let failed = connection.commit(batch(steps)).await;
        assert!(matches!(failed, Err(ShardConnectionError::Failed { .. })), "{failed:?}");
        assert_eq!(transactions(&server), before + 1);
        assert_eq!(server.call::<u64>(&["HGET", OWNER, "head"]), head);
        let connection = acquire(&journal).await.connection;
        assert_eq!(connection.present(vec![input]).await.unwrap(), [input], "what belongs to the attempts waits");
        let loaded = connection.load(&acme.id).await.unwrap().unwrap();
        assert!(loaded.attempted.contains(&input), "and is known to be attempted");
        assert_eq!(loaded.state, acme.state);
    }
}

#[tokio::test]
async fn texts_of_scripts_that_redis_forgot_are_none_that_a_transaction_needs() {
    let server = RedisServer::start();
    let (_journal, connection, mut acme) = watching(&server.url()).await;
    let () = server.call(&["SCRIPT", "FLUSH"]);
    let before = transactions(&server);
    connection.commit(many(&mut acme)).await.unwrap();
    assert_eq!(transactions(&server), before + 1, "nor did it take a new connection, which tries one first");
    assert_applied_once(&server, &acme);
}

#[tokio::test]
async fn a_redis_that_refuses_transactions_for_a_while_is_asked_again() {
    let server = RedisServer::start();
    let errors = |code: &str| server.call::<String>(&["INFO", "errorstats"]).contains(&format!("errorstat_{code}"));
    let (_journal, connection, mut acme) = watching(&server.url()).await;
    for (code, refuse, allow) in [
        ("READONLY", ["REPLICAOF", "127.0.0.1", "1"].as_slice(), ["REPLICAOF", "NO", "ONE"].as_slice()),
        (
            "NOREPLICAS",
            ["CONFIG", "SET", "min-replicas-to-write", "1"].as_slice(),
            ["CONFIG", "SET", "min-replicas-to-write", "0"].as_slice(),
        ),
    ] {
        let () = server.call(refuse);
        let first = tokio::spawn(connection.commit(many(&mut acme)));
        let second = tokio::spawn(connection.commit(many(&mut acme)));
        until("it is refused", async || errors(code)).await;
        let () = server.call(allow);
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert_applied_once(&server, &acme);
        connection.commit(many(&mut acme)).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_redis_takes_many_attempts_without_their_bodies() {
    let server = RedisServer::start();
    let (journal, connection, mut acme) = watching(&server.url()).await;
    let mut inputs: Vec<EntryId> = Vec::new();
    for _ in 0..2 * MANY {
        inputs.push(journal.publish(&acme.id, &message("hello")).await.unwrap());
    }
    let () = server.call(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let (one, other) = inputs.split_at(inputs.len() / 2);
    let [first, second] = [one, other].map(|some| batch(some.iter().map(|id| acme.attempted(*id)).collect::<Vec<_>>()));
    let (first, second) = tokio::join!(connection.commit(first), connection.commit(second));
    first.and(second).unwrap();
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:messages"]), 0);
    let reading = journal.read(&acme.id).await.unwrap();
    assert_eq!(reading.state, acme.state);
    let bodies = |from: u64| reading.attempts.iter().filter(move |(seq, _)| *seq > from);
    assert!(bodies(acme.state.seq - 2 * MANY).all(|(_, attempt)| attempt.request.message.is_none()));
    let () = server.call(&["CONFIG", "SET", "maxmemory", "0"]);
    until_a_transaction(&server, &*connection, &mut acme).await;
}

/// Commits until one is a transaction again.
async fn until_a_transaction(server: &RedisServer, connection: &dyn ShardConnection, workspace: &mut Workspace) {
    let goes_on = async {
        let before = transactions(server);
        while transactions(server) == before {
            connection.commit(many(workspace)).await.unwrap();
        }
    };
    tokio::time::timeout(support::process::PATIENCE, goes_on).await.expect("a transaction in time");
}

#[tokio::test]
async fn who_may_not_use_transactions_commits_by_script() {
    for refused in ["-multi", "-exec", "-watch", "-eval"] {
        let server = RedisServer::start();
        let () = server.call(&["ACL", "SETUSER", "service", "on", ">secret", "~*", "+@all", refused]);
        let url = format!("redis://service:secret@127.0.0.1:{}", server.port());
        let (_journal, connection, mut acme) = watching(&url).await;
        for _ in 0..3 {
            connection.commit(many(&mut acme)).await.unwrap();
        }
        assert_applied_once(&server, &acme);
    }
}

/// Taken away while the connection lives: what arrives of a transaction runs command by command then.
#[tokio::test]
async fn who_loses_the_right_to_transactions_reloads_the_shard_and_finds_everything_once() {
    let server = RedisServer::start();
    let () = server.call(&["ACL", "SETUSER", "service", "on", ">secret", "~*", "+@all"]);
    let url = format!("redis://service:secret@127.0.0.1:{}", server.port());
    let (journal, connection, mut acme) = watching(&url).await;
    let () = server.call(&["ACL", "SETUSER", "service", "-multi"]);
    let refused = connection.commit(many(&mut acme)).await;
    assert!(matches!(refused, Err(ShardConnectionError::Failed { .. })), "{refused:?}");
    let connection = acquire(&journal).await.connection;
    assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, acme.state);
    connection.commit(many(&mut acme)).await.unwrap();
    assert_applied_once(&server, &acme);
}

#[tokio::test]
async fn the_largest_commit_is_a_transaction_too() {
    let server = RedisServer::start();
    let options = RedisOptions { compression: Compression::Zstd, ..options(&server.url()) };
    let journal = Redis::connect(&options).await.unwrap();
    let connection = acquire(&journal).await.connection;
    let mut workspaces: Vec<Workspace> = (0..64).map(|n| Workspace::new(&format!("w{n}"))).collect();
    let mut raw = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    for first in [1_000, 5_000] {
        let ids: Vec<EntryId> = (first..first + COMMIT_SETTLED_MAX as u64).map(entry).collect();
        let mut input = redis::pipe();
        for id in &ids {
            input.cmd("XADD").arg("outbound:{0}:messages").arg(id.to_string()).arg("message").arg("{}");
        }
        input.exec(&mut raw).unwrap();
        let before = transactions(&server);
        let each = COMMIT_EVENTS_MAX as u64 / workspaces.len() as u64;
        let mut steps: Vec<Step> = workspaces.iter_mut().flat_map(|one| attempts(one, first..first + each)).collect();
        steps.extend(workspaces.iter().map(|one| Step {
            snapshot: Some(codec::encode_snapshot(&one.state)),
            workspace: Some(one.id.clone()),
            ..Step::default()
        }));
        steps.push(Step { settled: ids[each as usize..].to_vec(), ..Step::default() });
        connection.commit(batch(steps)).await.unwrap();
        let probe_or_transaction = 1;
        assert_eq!(transactions(&server) - before, probe_or_transaction);
        assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:messages"]), 0);
    }
    for workspace in &workspaces {
        assert_eq!(connection.load(&workspace.id).await.unwrap().unwrap().state, workspace.state);
    }
}
