//! What any node does for any workspace: publish, submit and wait, read.

use std::time::Duration;

use outbound::journal::Journal as _;
use outbound::journal::port::{Poll, Step, SubmitError};
use outbound::message::EntryId;
use outbound::workspace::command::{Action, Command};

use crate::journal::kit::{UNANSWERED, Workspace, acquire, batch, done, journal, message, save_command, shared};
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

const WAIT: Duration = support::process::PATIENCE;

/// Answers every command with the number in its sender's name until `count` are answered.
async fn answer_all(journal: &outbound::journal::redis::Redis, count: usize) {
    let mut acquired = acquire(journal).await;
    let mut cursor = EntryId::ZERO;
    let mut answered = 0;
    while answered < count {
        let poll = Poll { commands: Some((cursor, 64)), block: Duration::from_secs(1), ..Poll::default() };
        let commands = acquired.intake.poll(&poll).await.unwrap().commands;
        let steps = commands.iter().map(|command| {
            let json: serde_json::Value = serde_json::from_slice(command.field("command").unwrap()).unwrap();
            let number = json["by"].as_str().unwrap().parse().unwrap();
            let answers = vec![(command.id, done(number))];
            Step { settled_commands: vec![command.id], answers, ..Step::default() }
        });
        let steps = batch(steps.collect::<Vec<_>>());
        answered += steps.steps.len();
        cursor = commands.last().map_or(cursor, |last| last.id);
        acquired.connection.commit(steps).await.unwrap();
    }
}

/// Submits `count` commands at once and asserts that each gets its own answer.
async fn submit_all(journal: &outbound::journal::redis::Redis, count: u64) {
    let submitted = (0..count).map(|number| {
        let journal = shared(journal);
        tokio::spawn(async move {
            let mut command = save_command(WAIT);
            command.by = number.to_string();
            let workspace = format!("ws-{number}").parse().unwrap();
            (number, journal.submit(&workspace, &command, WAIT).await)
        })
    });
    for submitted in submitted.collect::<Vec<_>>() {
        let (number, answer) = submitted.await.unwrap();
        assert_eq!(answer.unwrap(), done(number));
    }
}

#[tokio::test]
async fn every_caller_gets_the_answer_to_its_own_command() {
    let server = RedisServer::start();
    let (facade, node) = (journal(&server.url()).await, journal(&server.url()).await);
    tokio::join!(submit_all(&facade, 200), answer_all(&node, 200));
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:commands"]), 0);
}

#[tokio::test]
async fn callers_one_after_the_other_all_get_their_answers() {
    let server = RedisServer::start();
    let (facade, node) = (journal(&server.url()).await, journal(&server.url()).await);
    let one_by_one = async {
        for number in 0..50 {
            let mut command = save_command(WAIT);
            command.by = number.to_string();
            assert_eq!(facade.submit(&"acme".parse().unwrap(), &command, WAIT).await.unwrap(), done(number));
        }
    };
    tokio::join!(one_by_one, answer_all(&node, 50));
}

#[tokio::test]
async fn no_answer_is_lost_when_connections_break() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (facade, node) = (journal(&proxy.redis_url()).await, journal(&server.url()).await);
    let command = save_command(WAIT);
    let acme = "acme".parse().unwrap();
    let submit = facade.submit(&acme, &command, WAIT);
    let answer = async {
        let mut acquired = acquire(&node).await;
        let poll = Poll { commands: Some((EntryId::ZERO, 1)), block: WAIT, ..Poll::default() };
        let commands = acquired.intake.poll(&poll).await.unwrap().commands;
        // Nobody is connected at the moment of the answer.
        proxy.set(Mode::Refuse);
        let answers = vec![(commands[0].id, done(7))];
        acquired.connection.commit(batch([Step { answers, ..Step::default() }])).await.unwrap();
        proxy.set(Mode::Forward);
    };
    let (submitted, ()) = tokio::join!(submit, answer);
    // Cut before Redis' own answer to the submission arrived, its fate is unknown, and is said to be.
    match submitted {
        Ok(answer) => assert_eq!(answer, done(7)),
        Err(SubmitError::Store(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_command_that_nobody_answers_ends_as_unknown_and_stays_stored() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let acme = "acme".parse().unwrap();
    let by_wait = journal.submit(&acme, &save_command(WAIT), UNANSWERED).await;
    assert!(matches!(by_wait, Err(SubmitError::OutcomeUnknown)), "{by_wait:?}");
    let by_command = journal.submit(&acme, &save_command(UNANSWERED), WAIT).await;
    assert!(matches!(by_command, Err(SubmitError::OutcomeUnknown)), "{by_command:?}");
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:commands"]), 2);
}

#[tokio::test]
async fn the_thousand_and_first_waiting_command_is_refused() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let acme = "acme".parse().unwrap();
    for _ in 0..1_000 {
        server.call::<String>(&["XADD", "outbound:{0}:commands", "*", "workspace", "acme", "command", "{}"]);
    }
    let refused = journal.submit(&acme, &save_command(WAIT), WAIT).await;
    assert!(matches!(refused, Err(SubmitError::TooMany)), "{refused:?}");
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:commands"]), 1_000);
}

/// What takes away is stored on a full Redis, within a bound of its own.
#[tokio::test]
async fn on_a_full_redis_64_commands_wait_that_take_away_and_no_other() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let acme = "acme".parse().unwrap();
    for _ in 0..63 {
        server.call::<String>(&["XADD", "outbound:{0}:commands", "*", "workspace", "acme", "command", "{}"]);
    }
    server.call::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let command = |action| Command { action, ..save_command(WAIT) };
    let shown = "t-1".to_owned();
    let all = [
        (Action::NoteView, false),
        (Action::Sample, false),
        (Action::Repair, false),
        (Action::RotateSecret { overlap: None }, false),
        (Action::Test { save: None }, false),
        (Action::Forget, true),
        (Action::RevokeTokens, true),
        (Action::EndToken { id: shown }, true),
    ];
    for (n, (action, takes_away)) in all.into_iter().enumerate() {
        let submitted = journal.submit(&acme, &command(action.clone()), UNANSWERED).await;
        match (takes_away, n) {
            (false, _) => assert!(matches!(submitted, Err(SubmitError::Full)), "{action:?}: {submitted:?}"),
            // Stored; nobody answers here.
            (true, 5) => assert!(matches!(submitted, Err(SubmitError::OutcomeUnknown)), "{action:?}: {submitted:?}"),
            (true, _) => assert!(matches!(submitted, Err(SubmitError::TooMany)), "{action:?}: {submitted:?}"),
        }
    }
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:commands"]), 64);
}

#[tokio::test]
async fn a_broken_idle_connection_is_not_noticed_by_the_next_caller() {
    let mut server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut acme = Workspace::new("acme");
    acquire(&journal).await.connection.commit(batch([acme.saved()])).await.unwrap();
    journal.publish(&acme.id, &message("one")).await.unwrap();
    server.restart();
    // The shared connection is looked after once it was idle for so long.
    tokio::time::sleep(outbound::config::STORE_IDLE_CHECK).await;
    journal.publish(&acme.id, &message("two")).await.unwrap();
    assert_eq!(journal.read(&acme.id).await.unwrap().state, acme.state);
}
