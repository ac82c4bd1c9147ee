//! The shard connection: whatever the network or Redis does, a commit is applied once, or the shard connection
//! says why not.

use std::time::Duration;

use outbound::journal::Journal as _;
use outbound::journal::port::{LoadError, ShardConnectionError, Step};
use outbound::workspace::command::{Action, Command, Save};
use tokio::time::Instant;

use crate::journal::kit::{
    LEASE, UNANSWERED, Workspace, acquire, batch, begun, done, entry, holder, journal, message, settle,
};
use support::process::{PATIENCE, until};
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

const ATTEMPTS: &str = "outbound:{0}:attempts:acme";

/// What must be there after commits that answered `Ok`: nothing twice, nothing lost.
fn assert_applied_once(server: &RedisServer, workspace: &Workspace, answers: usize) {
    assert_eq!(server.call::<usize>(&["XLEN", "outbound:{0}:answers"]), answers);
    let ids: Vec<(String, Vec<Vec<u8>>)> = server.call(&["XRANGE", ATTEMPTS, "-", "+"]);
    let ids: Vec<String> = ids.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, (2..=workspace.state.seq).map(|seq| format!("{seq}-0")).collect::<Vec<_>>());
}

/// A commit that would show if it were applied twice: its answer takes a new id each time.
fn answered(workspace: &mut Workspace, command: u64) -> Step {
    let step = workspace.attempted(entry(command));
    Step { answers: vec![(entry(command), done(command))], ..step }
}

#[tokio::test]
async fn an_answer_lost_after_the_script_ran_is_asked_for_again_and_nothing_is_applied_twice() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (_journal, connection, mut acme) = begun(&proxy.redis_url()).await;
    // The answer is `*3 $2 OK :0 :0`, 20 bytes: before the first, inside it, between the two, inside the second.
    for (round, after) in [0, 5, 20, 25].into_iter().enumerate() {
        let base = 10 * (round as u64 + 1);
        proxy.set(Mode::LoseAnswer { after });
        let first = connection.commit(batch([answered(&mut acme, base)]));
        let second = connection.commit(batch([answered(&mut acme, base + 1)]));
        let behind = connection.load(&acme.id);
        let (first, second, behind) = tokio::join!(first, second, behind);
        proxy.answer_lost().await;
        assert!(first.unwrap() <= second.unwrap());
        assert_eq!(behind.unwrap().unwrap().state, acme.state, "a load sees the commits before it");
        assert_applied_once(&server, &acme, 2 * (round + 1));
    }
    assert_eq!(server.call::<u64>(&["HGET", "outbound:{0}:owner", "head"]), 9);
}

#[tokio::test]
async fn commits_wait_for_a_redis_that_restarts_and_are_applied_once() {
    let mut server = RedisServer::start();
    let (_journal, connection, mut acme) = begun(&server.url()).await;
    server.kill();
    let first = connection.commit(batch([answered(&mut acme, 1)]));
    let second = connection.commit(batch([answered(&mut acme, 2)]));
    let loaded = connection.load(&acme.id);
    let before = Instant::now();
    let (first, second, loaded, ()) = tokio::join!(first, second, loaded, async { server.restart() });
    assert!(first.unwrap() >= before + LEASE, "the lease counts from the sending that was answered");
    second.unwrap();
    assert_eq!(loaded.unwrap().unwrap().state, acme.state);
    assert_applied_once(&server, &acme, 2);
}

#[tokio::test]
async fn a_redis_that_answers_nobody_is_left_for_a_new_connection() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (_journal, connection, mut acme) = begun(&proxy.redis_url()).await;
    proxy.set(Mode::BlackHole);
    let commit = tokio::spawn(connection.commit(batch([answered(&mut acme, 1)])));
    let connections = proxy.accepted();
    until("it connects again", async || proxy.accepted() > connections).await;
    proxy.set(Mode::Forward);
    commit.await.unwrap().unwrap();
    assert_applied_once(&server, &acme, 1);
}

#[tokio::test]
async fn a_redis_that_lost_acknowledged_commits_ends_the_line_and_the_next_one_works() {
    let mut server = RedisServer::start();
    let (journal, connection, mut acme) = begun(&server.url()).await;
    let durable = acme.state.clone();
    let copy = server.copy_data();
    connection.commit(batch([acme.attempted(entry(1))])).await.unwrap();
    server.roll_back(&copy);
    let lost = ShardConnectionError::Lost { shard: 0, expected: 2, found: 1 };
    assert_eq!(connection.load(&acme.id).await, Err(lost.clone()), "nothing older is read");
    assert_eq!(connection.commit(batch([acme.attempted(entry(2))])).await, Err(lost));
    let connection = acquire(&journal).await.connection;
    assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, durable);
    connection.commit(batch([])).await.unwrap();
    assert_eq!(server.call::<u64>(&["HGET", "outbound:{0}:owner", "head"]), 2);
}

#[tokio::test]
async fn a_commit_below_the_head_it_expects_is_refused_and_nothing_is_written() {
    let server = RedisServer::start();
    let (_journal, connection, mut acme) = begun(&server.url()).await;
    // As after a failover that the connection survived.
    let () = server.call(&["HSET", "outbound:{0}:owner", "head", "0"]);
    let commit = connection.commit(batch([acme.attempted(entry(1))]));
    assert_eq!(commit.await, Err(ShardConnectionError::Lost { shard: 0, expected: 1, found: 0 }));
    assert_eq!(server.call::<u64>(&["EXISTS", ATTEMPTS]), 0);
}

#[tokio::test]
async fn a_line_fenced_by_a_later_acquisition_changes_nothing_any_more() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let old = journal(&proxy.redis_url()).await;
    let zombie = acquire(&old).await.connection;
    let mut acme = Workspace::new("acme");
    let input = old.publish(&acme.id, &message("hello")).await.unwrap();
    zombie.commit(batch([acme.saved()])).await.unwrap();
    proxy.set(Mode::Stall);
    let late = zombie.commit(batch([acme.attempted(input)]));
    let later = zombie.commit(settle([input]));
    let connection = acquire(&journal(&server.url()).await).await.connection;
    proxy.set(Mode::Forward);
    let fenced = ShardConnectionError::Fenced { shard: 0, by: "node-a".to_owned() };
    assert_eq!(late.await, Err(fenced.clone()));
    assert_eq!(later.await, Err(fenced.clone()));
    assert_eq!(zombie.release().await, Err(fenced));
    assert_eq!(server.call::<u64>(&["EXISTS", ATTEMPTS]), 0);
    assert_eq!(connection.present(vec![input]).await.unwrap(), [input]);
    connection.commit(batch([])).await.unwrap();
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let server = RedisServer::start();
    let (journal, connection, mut acme) = begun(&server.url()).await;
    let () = server.call(&["SCRIPT", "FLUSH"]);
    connection.commit(batch([answered(&mut acme, 1)])).await.unwrap();
    let () = server.call(&["SCRIPT", "FLUSH"]);
    assert_eq!(journal.read(&acme.id).await.unwrap().state, acme.state);
    assert_applied_once(&server, &acme, 1);
}

#[tokio::test]
async fn a_redis_that_refuses_before_running_is_asked_again() {
    let server = RedisServer::start();
    let (_journal, connection, mut acme) = begun(&server.url()).await;
    // READONLY, as from a primary that a failover demoted.
    let () = server.call(&["REPLICAOF", "127.0.0.1", "1"]);
    let first = tokio::spawn(connection.commit(batch([answered(&mut acme, 1)])));
    let second = tokio::spawn(connection.commit(batch([answered(&mut acme, 2)])));
    let stats = || server.call::<String>(&["INFO", "errorstats"]);
    until("it is refused", async || stats().contains("errorstat_READONLY")).await;
    let () = server.call(&["REPLICAOF", "NO", "ONE"]);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_applied_once(&server, &acme, 2);
}

#[tokio::test]
async fn a_key_of_another_type_is_one_workspaces_trouble_when_it_is_read() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    let () = server.call(&["SET", ATTEMPTS, "not a stream"]);
    let acme = Workspace::new("acme");
    assert!(matches!(connection.load(&acme.id).await.unwrap(), Err(LoadError::Corrupt { .. })));
    assert_eq!(connection.load(&"other".parse().unwrap()).await.unwrap().unwrap().state.seq, 0);
    let mut acme = acme;
    let commit = connection.commit(batch([acme.attempted(entry(1))])).await;
    assert!(matches!(commit, Err(ShardConnectionError::Failed { .. })), "{commit:?}");
    assert!(matches!(connection.commit(batch([])).await, Err(ShardConnectionError::Failed { .. })));
    assert_eq!(server.call::<u64>(&["HGET", "outbound:{0}:owner", "head"]), 0);
}

#[tokio::test]
async fn calls_take_effect_in_the_order_in_which_they_were_made_not_polled() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    let mut acme = Workspace::new("acme");
    let nothing = connection.load(&acme.id);
    let saved = connection.commit(batch([acme.saved()]));
    let loaded = connection.load(&acme.id);
    let attempted = connection.commit(batch([acme.attempted(entry(1))]));
    let all = connection.load(&acme.id);
    assert_eq!(all.await.unwrap().unwrap().state, acme.state);
    attempted.await.unwrap();
    assert_eq!(loaded.await.unwrap().unwrap().state.seq, 1);
    saved.await.unwrap();
    assert_eq!(nothing.await.unwrap().unwrap().state.seq, 0);
}

#[tokio::test]
async fn hundreds_of_loads_between_commits_all_see_what_was_committed_before_them() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    let mut acme = Workspace::new("acme");
    let mut loads = Vec::new();
    for round in 0..10 {
        let step = if round == 0 { acme.saved() } else { acme.attempted(entry(round)) };
        let commit = connection.commit(batch([step]));
        loads.extend((0..100).map(|_| (acme.state.seq, connection.load(&acme.id))));
        commit.await.unwrap();
    }
    for (seq, load) in loads {
        assert_eq!(load.await.unwrap().unwrap().state.seq, seq);
    }
}

#[tokio::test]
async fn a_line_on_which_too_much_waits_fails_instead_of_growing() {
    let mut server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    server.kill();
    let acme = Workspace::new("acme");
    let bound = outbound::config::SHARD_REQUESTS_WAITING_MAX + outbound::config::SHARD_REQUESTS_UNANSWERED_MAX;
    let loads = (0..=bound).map(|_| connection.load(&acme.id)).collect::<Vec<_>>();
    let all = tokio::time::timeout(PATIENCE, futures_util::future::join_all(loads)).await.unwrap();
    assert!(all.iter().all(|load| matches!(load, Err(ShardConnectionError::Failed { .. }))));
    assert!(matches!(connection.commit(batch([])).await, Err(ShardConnectionError::Failed { .. })));
}

#[tokio::test]
async fn a_dropped_future_changes_nothing_about_its_commit() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    let mut acme = Workspace::new("acme");
    drop(connection.commit(batch([acme.saved()])));
    let loaded = tokio::time::timeout(PATIENCE, connection.load(&acme.id)).await.unwrap();
    assert_eq!(loaded.unwrap().unwrap().state, acme.state);
}

#[tokio::test]
async fn a_full_redis_takes_commits_but_neither_messages_nor_commands() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    let mut acme = Workspace::new("acme");
    let input = journal.publish(&acme.id, &message("hello")).await.unwrap();
    let next = journal.publish(&acme.id, &message("hello")).await.unwrap();
    let () = server.call(&["XADD", "outbound:messages", "*", "workspace", "acme", "message", "{}"]);
    let () = server.call(&["CONFIG", "SET", "maxmemory", "1mb"]);

    let full = journal.publish(&acme.id, &message("hello")).await;
    assert!(matches!(full, Err(outbound::journal::port::PublishError::Full)), "{full:?}");
    let url = Some("https://example.com/hook".to_owned());
    let save = Action::Save(Save { url, ..Save::default() });
    let command = Command { action: save, ..crate::journal::kit::save_command(PATIENCE) };
    let full = journal.submit(&acme.id, &command, PATIENCE).await;
    assert!(matches!(full, Err(outbound::journal::port::SubmitError::Full)), "{full:?}");

    let forget = Command { action: Action::Forget, ..command };
    let stored = journal.submit(&acme.id, &forget, UNANSWERED).await;
    assert!(matches!(stored, Err(outbound::journal::port::SubmitError::OutcomeUnknown)), "{stored:?}");

    // Two in flight: the one behind was sent before the first was refused.
    let (first, second) = (batch([acme.saved(), acme.attempted(input)]), batch([acme.attempted(next)]));
    let (first, second) = tokio::join!(connection.commit(first), connection.commit(second));
    first.and(second).unwrap();
    assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, acme.state);
    let reading = journal.read(&acme.id).await.unwrap();
    assert_eq!(reading.state, acme.state);
    assert!(reading.attempts.iter().all(|(_, attempt)| attempt.request.message.is_none()), "{:?}", reading.attempts);
    let hand_over = async || journal.hand_over(10, Duration::from_millis(10)).await.unwrap().count;
    assert_eq!((hand_over().await, hand_over().await), (1, 0));
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:messages"]), 0, "what was handed over leaves with the next call");
    let restarted = crate::journal::kit::journal(&server.url()).await;
    restarted.acquire(0, &holder("node-a")).await.unwrap().connection.commit(batch([])).await.unwrap();
}
