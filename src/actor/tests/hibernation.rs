//! A hibernated workspace loses nothing.

use std::sync::Arc;

use tokio::time::Instant;

use super::bench::{id, item, workspace_core};
use crate::actor::book::account::{Account, HeldAttempt, HeldEntry};
use crate::actor::protocol::ToWorkspace;
use crate::actor::workspace::core::WorkspaceCore;
use crate::journal::port::Step;
use crate::message::EntryId;
use crate::workspace::State;
use crate::workspace::command::{Action, Command, Save};
use crate::workspace::event::MailId;
use crate::workspace::time::Time;

const ENTRY: EntryId = EntryId { ms: 1, n: 0 };

fn command(action: Action) -> ToWorkspace {
    let at = Time::from_unix_ms(1_769_860_800_000);
    let command = Command { at, expires_at: at, by: "test".to_owned(), action };
    ToWorkspace::Command(ENTRY, Arc::new(command))
}

fn save(url: &str) -> ToWorkspace {
    command(Action::Save(Save { url: Some(url.to_owned()), ..Save::default() }))
}

/// The steps that the workspace decides on a mail.
fn decided(core: &mut WorkspaceCore, account: &mut Account, mail: ToWorkspace) -> Vec<Step> {
    core.handle(mail, account, Instant::now());
    account.take_steps()
}

#[test]
fn what_was_hibernated_goes_on_as_if_it_had_not() {
    let ended = EntryId { ms: 2, n: 0 };
    let (mut active, mut account) = workspace_core(State::default(), vec![ENTRY]);
    decided(&mut active, &mut account, save("http://127.0.0.1:1/"));
    account.offer(held(ended));
    account.begin_and_end(ended, &active.state);

    let mut reactivated = active.hibernate(&account).unwrap().reactivate(&mut account);
    account.shrink();
    assert_eq!((&reactivated.id, &reactivated.state), (&id("acme"), &active.state));
    assert_eq!(account.window, 12);
    assert_eq!((&reactivated.attempted, reactivated.since_snapshot), (&active.attempted, active.since_snapshot));
    let again = || save("http://127.0.0.1:2/");
    let steps = decided(&mut reactivated, &mut account, again());
    assert_eq!(steps, decided(&mut active, &mut account, again()));
}

#[test]
fn what_has_something_under_way_is_not_hibernated() {
    let (waits, mut account) = workspace_core(State::default(), Vec::new());
    account.offer(held(ENTRY));
    assert!(waits.hibernate(&account).is_none());
    let (mut tests, mut account) = workspace_core(State::default(), Vec::new());
    tests.handle(command(Action::Test { save: None }), &mut account, Instant::now());
    assert!(tests.hibernate(&account).is_none());
    let (mut mails, account) = workspace_core(State::default(), Vec::new());
    mails.mails_begun.push(MailId::disabled(1));
    assert!(mails.hibernate(&account).is_none());
}

fn held(entry: EntryId) -> HeldEntry {
    HeldEntry { item: Arc::new(item(entry.ms)), bytes: 1, attempt: HeldAttempt::None }
}
