//! A hibernated workspace loses nothing, and goes on without a load.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bench::{id, item, workspace_core};
use super::waiting::{acquire, actions, admission, entry, loaded, shard_core};
use crate::actor::book::entries::{HeldAttempt, HeldEntries, HeldEntry};
use crate::actor::protocol::{Seed, Slot, ToWorkspace};
use crate::actor::shard::core::{ShardAction, ShardCore};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::config::{HIBERNATE_AFTER, IDLE_AFTER, LINGER};
use crate::journal::port::{Polled, RawEntry, Salvage, ShardConnectionError, ShardRequest, Step};
use crate::message::EntryId;
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
    let loaded = hibernated.loaded().unwrap();
    let seed = Seed { loaded, listed: hibernated.listed, test_in_flight: false, mails_begun: Vec::new() };
    let mut reactivated = WorkspaceCore::new(id("acme"), Slot(0), seed, Rc::clone(&active.context), &mut entries);
    assert_eq!((&reactivated.id, &reactivated.state), (&id("acme"), &active.state));
    assert_eq!(entries.window, 12);
    assert_eq!((&reactivated.attempted, reactivated.since_snapshot), (&active.attempted, active.since_snapshot));
    assert_eq!(reactivated.listed, active.listed);
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

/// A shard with one workspace, whose store answers at once.
struct Driven {
    shard: ShardCore,
    context: Rc<WorkspaceContext>,
    actor: Option<(Slot, u64, Box<WorkspaceCore>)>,
    /// What its actor is told, while it does not take that.
    told: Option<Vec<ToWorkspace>>,
    loads: usize,
}

impl Driven {
    fn new() -> Self {
        let context = Rc::clone(&workspace_core(State::default(), Vec::new()).0.context);
        let mut shard = shard_core(admission());
        actions(&mut shard);
        let mut driven = Self { shard, context, actor: None, told: None, loads: 0 };
        acquire(&mut driven.shard, Vec::new());
        driven.message(1);
        driven
    }

    fn run(&mut self) {
        let now = Instant::now();
        while let Some(action) = self.shard.next_action(now) {
            match action {
                ShardAction::Send(ShardRequest::Load(workspace)) => {
                    self.loads += 1;
                    self.shard.loaded(&workspace, Ok(loaded()), now);
                }
                ShardAction::Send(ShardRequest::Salvage(workspace)) => {
                    let state = State::default();
                    let (attempts, history, lost) = (Vec::new(), Vec::new(), Vec::new());
                    let salvage = Salvage { state, attempts, history, newest: None, tokens_unknown: false, lost };
                    self.shard.salvaged(&workspace, salvage, &Policy::default(), now);
                }
                ShardAction::Send(ShardRequest::Commit { number, .. }) => {
                    self.shard.committed(number, now + Duration::from_secs(10), now);
                }
                ShardAction::Activate { slot, incarnation, seed } => {
                    assert!(self.actor.is_none(), "two actors");
                    let core = self.shard.begin(slot, incarnation, *seed, &self.context, now);
                    self.actor = core.map(|core| (slot, incarnation, core));
                }
                ShardAction::Tell(_, mail) => match &mut self.told {
                    Some(told) => told.push(mail),
                    None => self.take(mail),
                },
                ShardAction::Forget(_) => self.actor = None,
                _ => {}
            }
            self.shard.audit();
        }
    }

    fn take(&mut self, mail: ToWorkspace) {
        let Some((slot, incarnation, core)) = &mut self.actor else { return };
        if !self.shard.decide(*slot, *incarnation, core, mail, Instant::now()) {
            self.actor = None;
        }
    }

    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::time::advance(Duration::from_millis(500)).await;
            self.shard.tick(Instant::now());
            self.run();
        }
    }

    fn message(&mut self, ms: u64) {
        self.shard.polled(Polled { messages: vec![entry(ms)], ..Polled::default() }, Instant::now());
        self.run();
    }

    fn command(&mut self, ms: u64, action: Action) {
        let at = Time::from_unix_ms(1_769_860_800_000);
        let command = Command { at, expires_at: at, by: "test".to_owned(), if_match: None, action };
        let text = serde_json::to_vec(&command).unwrap();
        let fields = vec![("workspace".into(), "acme".into()), ("command".into(), text.into())];
        let commands = vec![RawEntry { id: EntryId { ms, n: 0 }, fields }];
        self.shard.polled(Polled { commands, ..Polled::default() }, Instant::now());
        self.run();
    }

    fn skipped(&self) -> Option<EntryId> {
        self.actor.as_ref().and_then(|(_, _, core)| core.state.skipped.newest)
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_hibernated_workspace_starts_its_actor_without_a_load() {
    let mut driven = Driven::new();
    for ms in 2..5 {
        assert_eq!(driven.skipped(), Some(EntryId { ms: ms - 1, n: 0 }), "its webhook is off");
        driven.pass(2 * HIBERNATE_AFTER).await;
        assert!(driven.actor.is_none() && driven.shard.is_settled());
        driven.message(ms);
    }
    driven.pass(2 * HIBERNATE_AFTER).await;
    driven.command(5, Action::Save(Save { url: Some("http://127.0.0.1:1/".to_owned()), ..Save::default() }));
    let (_, _, core) = driven.actor.as_ref().unwrap();
    assert_eq!((core.state.skipped.newest, core.state.webhook.enabled), (Some(EntryId { ms: 4, n: 0 }), true));
    driven.pass(LINGER).await;
    assert!(driven.shard.is_settled());
    assert_eq!(driven.loads, 1);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_workspace_goes_into_hibernation_is_not_lost() {
    type Comes = fn(&mut Driven);
    let message: Comes = |driven| driven.message(2);
    let discard: Comes = |driven| driven.command(2, Action::Discard);
    for comes in [message, discard] {
        let mut driven = Driven::new();
        driven.pass(LINGER).await;
        driven.told = Some(Vec::new());
        driven.pass(2 * HIBERNATE_AFTER).await;
        comes(&mut driven);
        let told = driven.told.take().unwrap();
        assert!(matches!(told[..], [ToWorkspace::Hibernate]), "{told:?}");
        assert!(!driven.shard.is_settled());
        told.into_iter().for_each(|mail| driven.take(mail));
        driven.run();
        driven.pass(LINGER).await;
        assert!(driven.shard.is_settled(), "{}", driven.shard.describe());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hibernated_workspace_is_loaded_again_when_what_is_stored_counts() {
    let mut long_idle = Driven::new();
    long_idle.pass(IDLE_AFTER + 2 * HIBERNATE_AFTER).await;
    long_idle.message(2);

    let mut reloaded = Driven::new();
    reloaded.pass(2 * HIBERNATE_AFTER).await;
    reloaded.shard.line_failed(&ShardConnectionError::Failed { shard: 0, detail: String::new() }, Instant::now());
    actions(&mut reloaded.shard);
    acquire(&mut reloaded.shard, Vec::new());
    reloaded.message(2);

    let mut repaired = Driven::new();
    repaired.pass(2 * HIBERNATE_AFTER).await;
    repaired.command(2, Action::Repair);
    for (why, mut driven) in [("it was idle", long_idle), ("its shard", reloaded), ("a repair", repaired)] {
        driven.pass(LINGER).await;
        assert!(driven.shard.is_settled(), "{why}");
        assert!(driven.actor.is_some() && driven.loads >= 2, "{why}: {}", driven.loads);
    }
}
