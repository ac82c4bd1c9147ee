//! What has to wait goes on when it may, and nothing is repeated in a loop meanwhile.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bench::{Bench, id, workspace_core};
use crate::actor::admission::{Admission, NodeCap};
use crate::actor::book::entries::{HeldAttempt, HeldEntry};
use crate::actor::maps::HashSet;
use crate::actor::protocol::{AttemptEnd, Effect, FinishedAttempt, MailNext, Slot, Start, ToWorkspace};
use crate::actor::shard::core::{ShardAction, ShardCore};
use crate::actor::shard::entry::ShardIdentity;
use crate::actor::shard::intake::Limits;
use crate::app::now;
use crate::config::{HIBERNATE_AFTER, LINGER, READ_BLOCK, READ_COUNT_MAX};
use crate::deliver::Target;
use crate::journal::port::{
    Holder, LoadError, Loaded, OwedMail, Poll, Polled, RawEntry, ShardConnectionError, ShardRequest, Step,
};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::State;
use crate::workspace::command::{Action as Imperative, Command, Save};
use crate::workspace::decide::MailResult;
use crate::workspace::event::{Event, MailId, MailState, Trigger, WebhookDisabled};
use crate::workspace::headers::CustomHeaders;
use crate::workspace::state::Webhook;
use support::endpoint::Manner;

#[tokio::test]
async fn what_waits_for_a_place_under_the_nodes_cap_is_attempted_in_the_end() {
    let bench = Bench::with(|options| options.in_flight_max = 2).await;
    for workspace in ["acme", "globex", "initech"] {
        bench.treat(workspace, Manner { delay: Duration::from_millis(20), ..Manner::default() });
        bench.save(workspace).await;
        for n in 0..10 {
            bench.publish(workspace, &format!("+{n}"), &format!("m{n}")).await;
        }
    }
    for workspace in ["acme", "globex", "initech"] {
        bench.until(workspace, "all are logged", |r| r.attempts.len() == 10).await;
    }
}

#[tokio::test]
async fn a_poison_message_is_set_aside_though_nothing_comes_after_it() {
    let mut bench = Bench::new().await;
    bench.save("acme").await;
    bench.publish("acme", "+2", "poison").await;
    let set_aside = async || bench.journal.rejected_counts().await.unwrap().into_iter().sum::<u64>();
    while set_aside().await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.handle.take().unwrap().drain().await;
    let holder = Holder { node: "node".to_owned(), lease: Duration::from_secs(10) };
    let mut acquired = bench.journal.acquire(id("acme").shard(2), &holder).await.unwrap();
    let all = Poll { messages: Some((EntryId::ZERO, 10)), ..Poll::default() };
    assert_eq!(acquired.intake.poll(&all).await.unwrap().messages, []);
}

/// A shortage of this machine outlasts every deadline of its own without becoming the customer's fault.
#[tokio::test(start_paused = true)]
async fn what_this_machine_cannot_attempt_waits_for_as_long_as_that_lasts_and_counts_nothing() {
    let (mut core, mut entries) = workspace_core(State::default(), Vec::new());
    core.context.admission.set_lease(Some(Instant::now() + Duration::from_secs(24 * 60 * 60)));
    let action = Imperative::Save(Save { url: Some("http://127.0.0.1:1/".to_owned()), ..Save::default() });
    let command = Command { at: now(), expires_at: now(), by: "test".to_owned(), if_match: None, action };
    core.handle(ToWorkspace::Command(EntryId { ms: 1, n: 0 }, command.into()), &mut entries, Instant::now());
    entries.take_steps();
    entries.offer(HeldEntry { item: Arc::new(super::bench::item(2)), bytes: 1, attempt: HeldAttempt::None });
    let (mut tries, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_secs(60 * 60) {
        core.handle(ToWorkspace::Wake, &mut entries, Instant::now());
        let starved = entries.effects.iter().any(|effect| matches!(effect, Effect::Starve));
        let posts = entries.take_posts();
        assert!(starved != (posts.len() == 1), "it is woken again while it waits");
        for (start, in_flight) in posts {
            tries += 1;
            drop(in_flight);
            assert!(entries.put_back(&start, Instant::now()));
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(core.state.errors, 0);
    assert!((3_600..3_700).contains(&tries), "about once a second: {tries}");
}

/// It could only starve again, 256 of them every 10 ms.
#[tokio::test(start_paused = true)]
async fn a_workspace_whose_attempts_cannot_be_made_is_left_alone_until_it_may_try_again() {
    let context = workspace_core(State::default(), Vec::new()).0.context;
    let mut shard = shard_core(Rc::clone(&context.admission));
    actions(&mut shard);
    acquire(&mut shard, Vec::new());
    shard.polled(Polled { messages: vec![entry(50)], ..Polled::default() }, Instant::now());
    actions(&mut shard);
    let webhook = Webhook { url: Some("http://127.0.0.1:1/".into()), enabled: true, ..Webhook::default() };
    let state = State { webhook, ..State::default() };
    shard.loaded(&id("acme"), Ok(Loaded { state, ..loaded() }), Instant::now());
    let (mut workspace, mut tries, mut wakes, began) = (None, 0, 0, Instant::now());
    while tries < 3 && began.elapsed() < Duration::from_secs(1) {
        let now = Instant::now();
        while let Some(action) = shard.next_action(now) {
            match action {
                ShardAction::Activate { slot, incarnation, seed } => {
                    workspace = shard.begin(slot, incarnation, *seed, &context, now).map(|core| (incarnation, core));
                }
                ShardAction::Tell(slot, mail) => {
                    let (incarnation, core) = workspace.as_mut().unwrap();
                    assert!(shard.decide(slot, *incarnation, core, mail, now));
                    wakes += 1;
                }
                ShardAction::Post(start, place) => {
                    drop(place);
                    let end = AttemptEnd::Unable("no port is left".to_owned());
                    shard.ended(FinishedAttempt { start, began: crate::app::now(), end }, now);
                    tries += 1;
                }
                _ => {}
            }
        }
        tokio::time::advance(shard.wake_at(now) - now).await;
        shard.tick(Instant::now());
    }
    assert_eq!((tries, wakes), (3, 3));
}

/// Each that is told takes a turn of its actor, and the messages of others wait for all of them.
#[tokio::test(start_paused = true)]
async fn of_many_workspaces_that_fall_idle_together_a_few_are_hibernated_at_a_time() {
    let mut shard = shard_core(admission());
    actions(&mut shard);
    let workspaces: Vec<WorkspaceId> = (0..200).map(|n| id(&format!("w{n}"))).collect();
    let owed = workspaces.iter().map(|workspace| OwedMail { workspace: workspace.clone(), ..owed() }).collect();
    let mut todo = acquire(&mut shard, owed);
    while !todo.is_empty() {
        for action in std::mem::take(&mut todo) {
            if let ShardAction::Send(ShardRequest::Load(workspace)) = action {
                shard.loaded(&workspace, Ok(loaded()), Instant::now());
                shard.decided(&workspace, Instant::now(), |entries| {
                    entries.effect(Effect::Mail(MAIL, MailNext::Later));
                });
            }
        }
        todo.extend(actions(&mut shard));
    }
    tokio::time::advance(2 * HIBERNATE_AFTER).await;
    let mut told = Vec::new();
    while told.len() < workspaces.len() {
        shard.tick(Instant::now());
        let before = told.len();
        told.extend(actions(&mut shard).into_iter().filter_map(|action| match action {
            ShardAction::Tell(slot, ToWorkspace::Hibernate) => Some(slot),
            _ => None,
        }));
        assert!((1..=64).contains(&(told.len() - before)), "{} after {before}", told.len());
        let next = shard.wake_at(Instant::now()) - Instant::now();
        assert!(told.len() == workspaces.len() || next <= Duration::from_millis(10), "{next:?}");
        tokio::time::advance(next).await;
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), workspaces.len(), "each is told once");
}

pub(super) fn admission() -> Rc<Admission> {
    Admission::new(NodeCap::new(8), Duration::from_secs(5))
}

pub(super) fn shard_core(admission: Rc<Admission>) -> ShardCore {
    let identity = ShardIdentity { shard: 0, shards: 1, prefix: "outbound".into() };
    ShardCore::new(identity, Limits::default(), now, admission, Instant::now())
}

pub(super) fn actions(shard: &mut ShardCore) -> Vec<ShardAction> {
    std::iter::from_fn(|| shard.next_action(Instant::now())).collect()
}

pub(super) fn acquire(shard: &mut ShardCore, outbox: Vec<OwedMail>) -> Vec<ShardAction> {
    let until = Instant::now() + Duration::from_secs(10);
    shard.acquired(outbox, None, &HashSet::default(), until, Instant::now());
    actions(shard)
}

pub(super) const MAIL: MailId = MailId::disabled(2);

pub(super) fn owed() -> OwedMail {
    OwedMail {
        workspace: id("acme"),
        id: MAIL,
        at: now(),
        to: "owner@example.com".to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
        errors: 11,
        failing_since: now(),
        recent: Vec::new(),
        errors_left: None,
        skipped: None,
        by: None,
    }
}

/// A mail that is due again while nothing else happens.
fn shard_with_a_mail_to_come() -> ShardCore {
    let mut shard = shard_core(admission());
    actions(&mut shard);
    acquire(&mut shard, vec![owed()]);
    let error = LoadError::Corrupt { workspace: id("acme"), detail: String::new() };
    shard.loaded(&id("acme"), Err(error), Instant::now());
    actions(&mut shard);
    shard
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_is_asked_about_a_mail_is_loaded_at_once() {
    let mut shard = shard_with_a_mail_to_come();
    tokio::time::advance(Duration::from_secs(6)).await;
    shard.tick(Instant::now());
    let done = actions(&mut shard);
    let loaded = done.iter().any(|action| matches!(action, ShardAction::Send(ShardRequest::Load(_))));
    assert!(loaded, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_draining_shard_does_not_turn_in_circles() {
    let mut shard = shard_with_a_mail_to_come();
    shard.drain(Instant::now());
    tokio::time::advance(Duration::from_secs(6)).await;
    shard.tick(Instant::now());
    actions(&mut shard);
    assert!(shard.wake_at(Instant::now()) > Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_a_save_dropped_is_not_asked_about() {
    let mut shard = shard_with_a_mail_to_come();
    shard.polled(Polled { commands: vec![test_command()], ..Polled::default() }, Instant::now());
    actions(&mut shard);
    shard.loaded(&id("acme"), Ok(loaded()), Instant::now());
    actions(&mut shard);
    let step = Step { workspace: Some(id("acme")), mails_ended: vec![MAIL], ..Step::default() };
    shard.decided(&id("acme"), Instant::now(), |entries| entries.commit(step));
    tokio::time::advance(LINGER).await;
    actions(&mut shard);
    shard.committed(1, Instant::now() + Duration::from_secs(10), Instant::now());
    tokio::time::advance(Duration::from_secs(6)).await;
    shard.tick(Instant::now());
    let asked =
        actions(&mut shard).iter().any(|action| matches!(action, ShardAction::Tell(_, ToWorkspace::MailTurn(_))));
    assert!(!asked);
}

#[tokio::test(start_paused = true)]
async fn a_mail_whose_end_is_not_durable_is_not_sent_again() {
    let mut shard = shard_core(admission());
    actions(&mut shard);
    acquire(&mut shard, vec![owed()]);
    let now = Instant::now();
    shard.loaded(&id("acme"), Ok(loaded()), now);
    shard.decided(&id("acme"), now, |entries| entries.effect(Effect::Mail(MAIL, MailNext::Send)));
    assert!(actions(&mut shard).iter().any(|action| matches!(action, ShardAction::SendMail(_))));
    shard.mail_sent(&id("acme"), MAIL, MailResult::Sent, now);
    let step = Step { workspace: Some(id("acme")), mails_ended: vec![MAIL], ..Step::default() };
    shard.decided(&id("acme"), now, |entries| {
        entries.commit(step);
        entries.effect(Effect::Mail(MAIL, MailNext::Over));
    });
    shard.line_failed(&ShardConnectionError::Failed { shard: 0, detail: String::new() }, Instant::now());
    actions(&mut shard);
    acquire(&mut shard, vec![owed()]);
    shard.loaded(&id("acme"), Ok(loaded()), now);
    let told = actions(&mut shard);
    let asked = told.iter().any(|action| matches!(action, ShardAction::Tell(_, ToWorkspace::MailTurn(_))));
    let known = told
        .iter()
        .any(|action| matches!(action, ShardAction::Tell(_, ToWorkspace::MailResult(MAIL, MailResult::Sent))));
    assert!(known && !asked, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_commits_fail_each_time_is_acquired_ever_more_rarely() {
    let mut shard = shard_core(admission());
    actions(&mut shard);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        acquire(&mut shard, Vec::new());
        // The lease is renewed and the streams are read before the commit that fails.
        shard.committed(0, Instant::now() + Duration::from_secs(10), Instant::now());
        shard.polled(Polled::default(), Instant::now());
        shard.line_failed(
            &ShardConnectionError::Failed { shard: 0, detail: "a key of another type".to_owned() },
            Instant::now(),
        );
        pauses.extend(actions(&mut shard).into_iter().filter_map(|action| match action {
            ShardAction::Acquire { after, .. } => Some(after),
            _ => None,
        }));
    }
    assert!(pauses.is_sorted_by(|a, b| a < b), "{pauses:?}");
}

#[tokio::test]
async fn a_mail_that_a_save_dropped_is_not_dropped_once_more() {
    let mut state = State::default();
    state.evolve(&Event::WebhookDisabled(WebhookDisabled { at: now(), errors: 11, mail: MailState::Owed }));
    let (mut core, mut entries) = workspace_core(state, Vec::new());
    let url = Some("http://127.0.0.1:1/".to_owned());
    let action = Imperative::Save(Save { url, ..Save::default() });
    let command = Command { at: now(), expires_at: now(), by: "test".to_owned(), if_match: None, action };
    let mail = MailId::disabled(1);
    core.handle(ToWorkspace::Command(EntryId { ms: 1, n: 0 }, command.into()), &mut entries, Instant::now());
    assert_eq!(entries.take_steps()[0].mails_ended, [mail]);
    let dropped = core.state.mail.clone();
    core.handle(ToWorkspace::MailTurn(mail), &mut entries, Instant::now());
    assert!(matches!(entries.effects.last(), Some(Effect::Mail(over, MailNext::Over)) if *over == mail));
    assert_eq!(core.state.mail, dropped, "the reason stays");
    assert!(entries.take_steps().iter().all(|step| step.history.is_empty()), "history tells of it once");
}

#[tokio::test]
async fn a_read_waits_for_new_messages_only_when_the_last_one_found_no_more_than_there_were() {
    let mut shard = shard_core(admission());
    actions(&mut shard);
    let read = |actions: Vec<ShardAction>| {
        let mut actions = actions.into_iter();
        actions.find_map(|action| match action {
            ShardAction::Poll(Poll { messages: Some((_, count)), block, .. }) => Some((count, block)),
            _ => None,
        })
    };
    assert_eq!(read(acquire(&mut shard, Vec::new())), Some((READ_COUNT_MAX, READ_BLOCK)));
    let ids = 1..=u64::try_from(READ_COUNT_MAX).unwrap();
    shard.polled(Polled { messages: ids.map(entry).collect(), ..Polled::default() }, Instant::now());
    assert_eq!(read(actions(&mut shard)), Some((READ_COUNT_MAX, Duration::ZERO)));
    shard.polled(Polled { messages: vec![entry(100)], ..Polled::default() }, Instant::now());
    assert_eq!(read(actions(&mut shard)), Some((READ_COUNT_MAX, READ_BLOCK)));
}

pub(super) fn entry(ms: u64) -> RawEntry {
    let text = super::bench::message(&format!("+{ms}"), "m");
    let fields = vec![("workspace".into(), "acme".into()), ("message".into(), text.into())];
    RawEntry { id: EntryId { ms, n: 0 }, fields }
}

fn test_command() -> RawEntry {
    let command = Command {
        at: now(),
        expires_at: now(),
        by: "test".to_owned(),
        if_match: None,
        action: Imperative::Test { save: None },
    };
    let text = serde_json::to_vec(&command).unwrap();
    let fields = vec![("workspace".into(), "acme".into()), ("command".into(), text.into())];
    RawEntry { id: EntryId { ms: 1, n: 0 }, fields }
}

pub(super) fn loaded() -> Loaded {
    Loaded { state: State::default(), since_snapshot: 0, attempted: Vec::new() }
}

/// After a reload the stream is read from its start, below what remains from before the reload.
#[tokio::test(start_paused = true)]
async fn what_is_parked_above_the_cursor_hides_nothing_below() {
    let admission = admission();
    let mut shard = shard_core(Rc::clone(&admission));
    actions(&mut shard);
    acquire(&mut shard, Vec::new());
    let now = Instant::now();
    shard.polled(Polled { messages: vec![entry(50), entry(100)], ..Polled::default() }, now);
    actions(&mut shard);
    shard.loaded(&id("acme"), Ok(loaded()), now);
    actions(&mut shard);
    let to = Arc::new(Target::new(id("acme"), "http://127.0.0.1:1/".into(), Vec::new(), CustomHeaders::new()));
    let place = admission.try_start_test(now).unwrap();
    shard.decided(&id("acme"), now, |entries| {
        let item = Arc::clone(entries.item(EntryId { ms: 100, n: 0 }).unwrap());
        let webhook_id = Arc::clone(&item.webhook_id);
        entries.post(
            Start { slot: Slot(0), item, to, config: 1, trigger: Trigger::Message, test: None, webhook_id },
            place,
        );
    });
    let posts = actions(&mut shard).into_iter().find_map(|action| match action {
        ShardAction::Post(start, _) => Some(start),
        _ => None,
    });
    let start = posts.unwrap();

    shard.line_failed(&ShardConnectionError::Failed { shard: 0, detail: String::new() }, Instant::now());
    actions(&mut shard);
    shard.acquired(
        Vec::new(),
        None,
        &[EntryId { ms: 100, n: 0 }].into_iter().collect(),
        now + Duration::from_secs(10),
        now,
    );
    actions(&mut shard);
    let end = AttemptEnd::Unable("no port is left".to_owned());
    shard.ended(FinishedAttempt { start, began: crate::app::now(), end }, now);
    actions(&mut shard);
    let error = LoadError::Corrupt { workspace: id("acme"), detail: String::new() };
    shard.loaded(&id("acme"), Err(error), now);
    actions(&mut shard);
    shard.polled(Polled { messages: vec![entry(50), entry(100)], ..Polled::default() }, now);
    actions(&mut shard);
    tokio::time::advance(Duration::from_secs(1)).await;
    shard.tick(Instant::now());
    let catch_up = actions(&mut shard).into_iter().find_map(|action| match action {
        ShardAction::Send(ShardRequest::CatchUp { from, .. }) => Some(from),
        _ => None,
    });
    assert_eq!(catch_up, Some(EntryId { ms: 50, n: 0 }));
}
