//! `--durability`, when the server that was written to is gone before that is durable: what took its place may not have it.

use outbound::config::Durability;
use outbound::journal::Journal as _;
use outbound::journal::redis::{Redis, RedisOptions};

use crate::journal::kit::{Workspace, acquire, batch, message, options, save_command};
use crate::nodes::durable::with_replica;
use support::process::{PATIENCE, until};
use support::redis_server::RedisServer;

const MESSAGES: &str = "outbound:{0}:messages";

/// What the primary does when its replica is paused and something was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is started anew, and has all that it was given.
    Restarted,
    /// It is started anew, or another one takes its place, and what was written is lost.
    Lost,
}

/// A primary and its replica, and a journal that waits for that.
async fn replicated() -> (RedisServer, RedisServer, Redis) {
    let (primary, replica) = with_replica().await;
    let options = RedisOptions { durability: Durability::Replicated, ..options(&primary.url()) };
    let journal = Redis::connect(&options).await.unwrap();
    (primary, replica, journal)
}

/// Writes while no replica takes anything, and lets the replica follow again after the primary's fate.
async fn meet<T>(
    (primary, replica): (&mut RedisServer, &RedisServer),
    fate: Fate,
    write: impl Future<Output = T> + Send + 'static,
    is_written: impl Fn(&RedisServer) -> bool,
) -> T
where
    T: Send + 'static,
{
    let before = primary.copy_data();
    replica.pause();
    let writing = tokio::spawn(write);
    until("it is written", async || is_written(primary)).await;
    assert!(!writing.is_finished(), "no replica has it");
    match fate {
        Fate::Restarted => primary.restart(),
        Fate::Lost => primary.roll_back(&before),
    }
    replica.resume();
    tokio::time::timeout(PATIENCE, writing).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn a_message_that_another_server_may_not_have_is_not_said_to_be_stored() {
    let (mut primary, replica, journal) = replicated().await;
    for fate in [Fate::Lost, Fate::Restarted] {
        let publisher = journal.clone();
        let publish = async move { publisher.publish(&"acme".parse().unwrap(), &message("hello")).await };
        let is_written = |primary: &RedisServer| primary.call::<u64>(&["XLEN", MESSAGES]) == 1;
        let published = meet((&mut primary, &replica), fate, publish, is_written).await;
        assert!(published.is_err(), "nobody knows");
        let stored = primary.call::<u64>(&["XLEN", MESSAGES]);
        assert_eq!(stored, u64::from(fate == Fate::Restarted));
        let () = primary.call(&["DEL", MESSAGES]);
        // What comes next is stored on that server.
        let next = async || journal.publish(&"acme".parse().unwrap(), &message("next")).await.is_ok();
        until("the connection of before is given up", next).await;
        let () = primary.call(&["DEL", MESSAGES]);
    }
}

#[tokio::test]
async fn a_commit_is_answered_when_the_server_that_is_there_then_has_it_and_lost_when_it_has_not() {
    for (fate, answered) in [(Fate::Restarted, true), (Fate::Lost, false)] {
        let (mut primary, replica, journal) = replicated().await;
        let acquired = acquire(&journal).await;
        let mut acme = Workspace::new("acme");
        acquired.connection.commit(batch([acme.saved()])).await.unwrap();
        let input = journal.publish(&acme.id, &message("hello")).await.unwrap();
        let step = acme.attempted_with_snapshot(input);
        let connection = acquired.connection;
        let commit = async move { connection.commit(batch([step])).await };
        let is_written = |primary: &RedisServer| primary.call::<u64>(&["XLEN", MESSAGES]) == 0;
        let committed = meet((&mut primary, &replica), fate, commit, is_written).await;
        assert_eq!(committed.is_ok(), answered, "{committed:?}");
        assert_eq!(primary.call::<u64>(&["XLEN", MESSAGES]), u64::from(!answered));
    }
}

/// A command of which nobody knows whether it was stored is said to be one.
#[tokio::test]
async fn a_command_that_another_server_may_not_have_is_answered_as_unknown() {
    let (mut primary, replica, journal) = replicated().await;
    let submitter = journal.clone();
    let submit = async move { submitter.submit(&"acme".parse().unwrap(), &save_command(PATIENCE), PATIENCE).await };
    let answer = async {
        let acquired = acquire(&journal).await;
        let poll = outbound::journal::port::Poll {
            commands: Some((Default::default(), 1)),
            block: PATIENCE,
            ..Default::default()
        };
        let mut intake = acquired.intake;
        let id = intake.poll(&poll).await.unwrap().commands[0].id;
        let answers = vec![(id, crate::journal::kit::done(3))];
        let step = outbound::journal::port::Step { answers, ..Default::default() };
        // It is written, and waits as the command does.
        let answering = acquired.connection.commit(batch([step]));
        tokio::spawn(answering);
        acquired.connection
    };
    let is_written = |primary: &RedisServer| primary.call::<u64>(&["XLEN", "outbound:{0}:answers"]) == 1;
    let (_connection, submitted) = tokio::join!(answer, meet((&mut primary, &replica), Fate::Lost, submit, is_written));
    assert!(submitted.is_err(), "{submitted:?}");
}
