//! A hibernated workspace loses nothing.

use std::sync::Arc;

use tokio::time::Instant;

use super::bench::{id, item, workspace_core};
use crate::actor::book::entries::{HeldAttempt, HeldEntries, HeldEntry};
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
    let command = Command { at, expires_at: at, by: "test".to_owned(), if_match: None, action };
    ToWorkspace::Command(ENTRY, Arc::new(command))
}

fn save(url: &str) -> ToWorkspace {
    command(Action::Save(Save { url: Some(url.to_owned()), ..Save::default() }))
}

/// The steps that the workspace decides on a mail.
fn decided(core: &mut WorkspaceCore, entries: &mut HeldEntries, mail: ToWorkspace) -> Vec<Step> {
    core.handle(mail, entries, Instant::now());
    entries.take_steps()
}

#[test]
fn what_was_hibernated_goes_on_as_if_it_had_not() {
    let ended = EntryId { ms: 2, n: 0 };
    let (mut active, mut entries) = workspace_core(State::default(), vec![ENTRY]);
    decided(&mut active, &mut entries, save("http://127.0.0.1:1/"));
    entries.offer(held(ended));
    entries.begin_and_end(ended, &active.state);

    let hibernated = active.hibernate(&entries).unwrap();
    let mut entries = HeldEntries::new(entries.learned_window());
    let mut reactivated = hibernated.reactivate(&mut entries);
    assert_eq!((&reactivated.id, &reactivated.state), (&id("acme"), &active.state));
    assert_eq!(entries.window, 12);
    assert_eq!((&reactivated.attempted, reactivated.since_snapshot), (&active.attempted, active.since_snapshot));
    let again = || save("http://127.0.0.1:2/");
    let steps = decided(&mut reactivated, &mut entries, again());
    assert_eq!(steps, decided(&mut active, &mut entries, again()));
}

#[test]
fn what_has_something_under_way_is_not_hibernated() {
    let (waits, mut entries) = workspace_core(State::default(), Vec::new());
    entries.offer(held(ENTRY));
    assert!(waits.hibernate(&entries).is_none());
    let (mut tests, mut entries) = workspace_core(State::default(), Vec::new());
    tests.handle(command(Action::Test { save: None }), &mut entries, Instant::now());
    assert!(tests.hibernate(&entries).is_none());
    let (mut mails, entries) = workspace_core(State::default(), Vec::new());
    mails.mails_begun.push(MailId::disabled(1));
    assert!(mails.hibernate(&entries).is_none());
}

fn held(entry: EntryId) -> HeldEntry {
    HeldEntry { item: Arc::new(item(entry.ms)), bytes: 1, attempt: HeldAttempt::None }
}
