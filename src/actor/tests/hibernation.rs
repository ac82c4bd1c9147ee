//! A workspace at rest is none the poorer for it.

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
    let command = Command { at, expires_at: at, by: "test".to_owned(), action };
    ToWorkspace::Command(ENTRY, Arc::new(command))
}

fn save(url: &str) -> ToWorkspace {
    command(Action::Save(Save { url: Some(url.to_owned()), ..Save::default() }))
}

#[test]
fn what_went_to_rest_goes_on_as_if_it_had_not() {
    let mut awake = workspace_core(State::default(), vec![ENTRY]);
    awake.handle(save("http://127.0.0.1:1/"));
    awake.chat_queues.offer(ENTRY, Chat(1), item(ENTRY));
    awake.chat_queues.begin(ENTRY, awake.state.webhook.config);
    awake.chat_queues.end(ENTRY, true, true, &awake.state, &Policy::default());

    let mut woken = awake.rest().unwrap().wake();
    assert_eq!((&woken.id, &woken.state), (&id("acme"), &awake.state));
    let windows = [&woken, &awake].map(|core| core.chat_queues.window(&core.state, &Policy::default()));
    assert_eq!(windows, [12, 12]);
    assert_eq!((&woken.attempted, woken.since_snapshot), (&awake.attempted, awake.since_snapshot));
    assert_eq!(woken.handle(save("http://127.0.0.1:2/")).steps, awake.handle(save("http://127.0.0.1:2/")).steps);
}

#[test]
fn what_has_something_under_way_does_not_rest() {
    let mut waits = workspace_core(State::default(), Vec::new());
    waits.chat_queues.offer(ENTRY, Chat(1), item(ENTRY));
    assert!(waits.rest().is_none());
    let mut tests = workspace_core(State::default(), Vec::new());
    tests.handle(command(Action::Test { save: None }));
    assert!(tests.rest().is_none());
    let mut mails = workspace_core(State::default(), Vec::new());
    mails.mails_begun.push(MailId::disabled(1));
    assert!(mails.rest().is_none());
}

fn item(entry: EntryId) -> Arc<Item> {
    let message = Message::parse(message("+2", "m").into()).unwrap();
    Arc::new(Item { entry, message, webhook_id: "msg_0_1-0".into(), origin: None })
}
