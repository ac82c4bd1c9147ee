//! A hibernated workspace loses nothing.

use std::sync::Arc;

use super::bench::{id, message, workspace_core};
use crate::actor::protocol::{Item, ToWorkspace};
use crate::message::{Chat, EntryId, Message};
use crate::workspace::command::{Action, Command, Save};
use crate::workspace::event::MailId;
use crate::workspace::time::Time;
use crate::workspace::{Policy, State};

const ENTRY: EntryId = EntryId { ms: 1, n: 0 };

fn command(action: Action) -> ToWorkspace {
    let at = Time::from_unix_ms(1_769_860_800_000);
    let command = Command { at, expires_at: at, by: "test".to_owned(), if_match: None, action };
    ToWorkspace::Command(ENTRY, Arc::new(command))
}

fn save(url: &str) -> ToWorkspace {
    command(Action::Save(Save { url: Some(url.to_owned()), ..Save::default() }))
}

#[test]
fn what_was_hibernated_goes_on_as_if_it_had_not() {
    let mut active = workspace_core(State::default(), vec![ENTRY]);
    active.handle(save("http://127.0.0.1:1/"));
    active.chat_queues.offer(ENTRY, Chat(1), item(ENTRY));
    active.chat_queues.begin(ENTRY, active.state.webhook.config);
    active.chat_queues.end(ENTRY, true, true, &active.state, &Policy::default());

    let mut reactivated = active.hibernate().unwrap().reactivate();
    assert_eq!((&reactivated.id, &reactivated.state), (&id("acme"), &active.state));
    let windows = [&reactivated, &active].map(|core| core.chat_queues.window(&core.state, &Policy::default()));
    assert_eq!(windows, [12, 12]);
    assert_eq!((&reactivated.attempted, reactivated.since_snapshot), (&active.attempted, active.since_snapshot));
    assert_eq!(reactivated.handle(save("http://127.0.0.1:2/")).steps, active.handle(save("http://127.0.0.1:2/")).steps);
}

#[test]
fn what_has_something_under_way_is_not_hibernated() {
    let mut waits = workspace_core(State::default(), Vec::new());
    waits.chat_queues.offer(ENTRY, Chat(1), item(ENTRY));
    assert!(waits.hibernate().is_none());
    let mut tests = workspace_core(State::default(), Vec::new());
    tests.handle(command(Action::Test { save: None }));
    assert!(tests.hibernate().is_none());
    let mut mails = workspace_core(State::default(), Vec::new());
    mails.mails_begun.push(MailId::disabled(1));
    assert!(mails.hibernate().is_none());
}

fn item(entry: EntryId) -> Arc<Item> {
    let message = Message::parse(message("+2", "m").into()).unwrap();
    Arc::new(Item { entry, message, webhook_id: "msg_0_1-0".into(), origin: None })
}
