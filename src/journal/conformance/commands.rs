//! Commands and their answers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::story::AT;
use super::{Subject, batch, hold, neighbours, soon};
use crate::journal::port::{Acquired, COMMANDS_WAITING_MAX, Journal, Poll, RawEntry, Step, SubmitError};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::command::{Action, Answer, Change, Command, Refusal, Save};
use crate::workspace::headers::HeaderChange;
use crate::workspace::time::Time;

/// A save that lives long.
pub(crate) fn save() -> Command {
    let far = Time::from_unix_ms(4_000_000_000_000);
    let save = Save {
        url: Some("https://example.com/hook".to_owned()),
        enabled: None,
        owner_email: Change::Set("owner@example.com".to_owned()),
        headers: Change::Set(BTreeMap::from([(
            "x-api-key".parse().unwrap(),
            HeaderChange::Set("key-of-the-endpoint".into()),
        )])),
    };
    Command { at: AT, expires_at: far, by: "admin".to_owned(), if_match: None, action: Action::Save(save) }
}

pub(crate) async fn a_command_gets_the_answer_of_the_commit_that_settles_it(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut held = hold(&journal, workspace).await;
    let command = save();
    let submit = journal.submit(workspace, &command, Duration::from_secs(3600));
    let settle = async {
        let [entry] = &commands(&mut held, 1).await[..] else { panic!("one command") };
        soon(held.connection.commit(batch([answered(entry, Refusal::Internal)]))).await.unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(submit, settle) }).await;
    assert_eq!(answer.unwrap(), Answer::Refused { refusal: Refusal::Internal });
    assert_eq!(waiting(&mut held).await, []);
}

pub(crate) async fn answers_reach_their_own_callers(subject: &mut impl Subject) {
    let (journal, spaces) = (subject.journal(), neighbours(2));
    let mut held = hold(&journal, &spaces[0]).await;
    let command = save();
    let submit = |n: usize| journal.submit(&spaces[n], &command, Duration::from_secs(3600));
    let settle = async {
        let entries = commands(&mut held, 2).await;
        let steps = entries.iter().rev().map(|entry| {
            let first = entry.field("workspace").unwrap() == spaces[0].as_str().as_bytes();
            answered(entry, if first { Refusal::TestTooSoon } else { Refusal::TestUnderWay })
        });
        soon(held.connection.commit(batch(steps))).await.unwrap();
    };
    let (first, second, ()) = soon(async { tokio::join!(submit(0), submit(1), settle) }).await;
    assert_eq!(first.unwrap(), Answer::Refused { refusal: Refusal::TestTooSoon });
    assert_eq!(second.unwrap(), Answer::Refused { refusal: Refusal::TestUnderWay });
}

pub(crate) async fn an_answer_may_come_after_the_commit_that_settles_its_command(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let mut held = hold(&journal, workspace).await;
    let command = save();
    let submit = journal.submit(workspace, &command, Duration::from_secs(3600));
    let settle = async {
        let [entry] = &commands(&mut held, 1).await[..] else { panic!("one command") };
        // As a test does: settled with its start, answered with its end.
        let settled = Step { settled_commands: vec![entry.id], ..Step::default() };
        soon(held.connection.commit(batch([settled]))).await.unwrap();
        let later = Step { settled_commands: Vec::new(), ..answered(entry, Refusal::Internal) };
        soon(held.connection.commit(batch([later]))).await.unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(submit, settle) }).await;
    assert_eq!(answer.unwrap(), Answer::Refused { refusal: Refusal::Internal });
}

pub(crate) async fn a_command_without_an_answer_is_stored_and_unknown(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let (command, mut tries) = (save(), 1);
    let mut answer = soon(journal.submit(workspace, &command, SHORT)).await;
    // On a slow machine it may not even be known that it is stored.
    while matches!(answer, Err(SubmitError::MaybeStored)) {
        tries += 1;
        answer = soon(journal.submit(workspace, &command, SHORT)).await;
    }
    assert!(matches!(answer, Err(SubmitError::OutcomeUnknown)), "{answer:?}");
    let stored = waiting(&mut hold(&journal, workspace).await).await.len();
    assert!((1..=tries).contains(&stored), "{stored} are stored of {tries}");
}

pub(crate) async fn nobody_waits_longer_than_the_command_lives(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let expired = Command { expires_at: AT, ..save() };
    let begun = Instant::now();
    let answer = soon(journal.submit(workspace, &expired, Duration::from_secs(3600))).await;
    assert!(is_unknown(&answer), "{answer:?} after {:?}", begun.elapsed());
}

pub(crate) async fn more_than_1000_waiting_commands_are_refused(subject: &mut impl Subject) {
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let command = save();
    let mut held = hold(&journal, workspace).await;
    // On a slow machine some are not stored within their wait.
    let mut stored = 0;
    while stored < COMMANDS_WAITING_MAX {
        let submits = (stored..COMMANDS_WAITING_MAX).map(|_| journal.submit(workspace, &command, SHORT));
        // One that is stored after its wait makes the last of the next ones too many.
        for answer in soon(join_all(submits)).await {
            assert!(is_unknown(&answer) || matches!(answer, Err(SubmitError::TooMany)), "{answer:?}");
        }
        stored = waiting(&mut held).await.len();
    }
    let answer = soon(journal.submit(workspace, &command, PATIENCE)).await;
    assert!(matches!(answer, Err(SubmitError::TooMany)), "{answer:?}");

    let entries = waiting(&mut held).await;
    assert_eq!(entries.len(), COMMANDS_WAITING_MAX);
    soon(held.connection.commit(batch([answered(&entries[0], Refusal::Internal)]))).await.unwrap();
    while waiting(&mut held).await.len() < COMMANDS_WAITING_MAX {
        let answer = soon(journal.submit(workspace, &command, SHORT)).await;
        // One that is stored after its wait has taken the room for this one.
        assert!(is_unknown(&answer) || matches!(answer, Err(SubmitError::TooMany)), "{answer:?}");
    }
}

/// Long enough to be stored, and no answer comes.
const SHORT: Duration = Duration::from_millis(200);
/// No answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Stored and not answered; on a slow disk it may not even be known that it is stored.
fn is_unknown(answer: &Result<Answer, SubmitError>) -> bool {
    matches!(answer, Err(SubmitError::OutcomeUnknown | SubmitError::MaybeStored))
}

/// A step that settles a command.
fn answered(entry: &RawEntry, refusal: Refusal) -> Step {
    let answers = vec![(entry.id, Answer::Refused { refusal })];
    Step { settled_commands: vec![entry.id], answers, ..Step::default() }
}

/// Stores a command that nobody answers, in a shard without another one.
pub(crate) async fn store(journal: &dyn Journal, workspace: &WorkspaceId, command: &Command, held: &mut Acquired) {
    let stored = async {
        tokio::select! {
            _stored = commands(held, 1) => {}
            answer = journal.submit(workspace, command, Duration::from_secs(3600)) => panic!("nobody answers: {answer:?}"),
        }
    };
    soon(stored).await;
}

/// Waits until so many commands are there.
async fn commands(held: &mut Acquired, count: usize) -> Vec<RawEntry> {
    let mut entries: Vec<RawEntry> = Vec::new();
    while entries.len() < count {
        let after = entries.last().map_or(EntryId::ZERO, |entry| entry.id);
        let block = Duration::from_secs(1);
        let poll = Poll { commands: Some((after, count)), block, ..Poll::default() };
        entries.extend(held.intake.poll(&poll).await.unwrap().commands);
    }
    entries
}

/// The commands that are there.
pub(crate) async fn waiting(held: &mut Acquired) -> Vec<RawEntry> {
    let poll = Poll { commands: Some((EntryId::ZERO, 2_000)), probe: true, ..Poll::default() };
    soon(held.intake.poll(&poll)).await.unwrap().commands
}
