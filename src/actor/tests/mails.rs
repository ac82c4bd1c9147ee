//! Mails: from the errors to the mailer, and what a drain does with those under way.

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::bench::{Bench, id, status};
use super::waiting::{MAIL, acquire, actions, admission, loaded, owed, shard_core};
use crate::actor::protocol::{Effect, MailNext, ToWorkspace};
use crate::actor::shard::core::{ShardAction, ShardCore};
use crate::config::{LEASE_MIN, MAIL_DRAIN_MAX};
use crate::journal::port::{ShardConnectionError, ShardRequest};
use crate::notify::Mailer;
use crate::workspace::command::{Action, Change, Save};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::decide::MailResult;

async fn publish(bench: &Bench, first: usize, count: usize) {
    for n in first..first + count {
        bench.publish("acme", &format!("+{n}"), &format!("m{n}")).await;
    }
}

#[tokio::test]
async fn a_streak_is_warned_of_once_told_when_it_switches_off_and_told_when_it_is_over() {
    let (show, mut shown) = mpsc::channel(8);
    let mut bench = Bench::with(|options| {
        (options.policy.mail_server, options.policy.mail_warning, options.policy.mail_recovered) = (true, true, true);
        options.mailer = Some(Mailer::capture(show, None));
    })
    .await;
    bench.treat("acme", status(500));
    let owner_email = Change::Set("owner@acme.example".to_owned());
    let save = || Save { url: Some(bench.url("acme")), owner_email: owner_email.clone(), ..Save::default() };
    bench.submit("acme", Action::Save(save())).await;
    publish(&bench, 0, 7).await;
    assert_eq!(shown.recv().await.unwrap().subject, "The webhook of workspace acme fails");
    bench.until("acme", "seven are logged", |r| r.attempts.len() == 7).await;

    let action = Action::Save(save());
    bench.restart().await;
    publish(&bench, 7, 6).await;
    assert_eq!(shown.recv().await.unwrap().subject, "The webhook of workspace acme was switched off");
    let off = |r: &crate::journal::port::Reading| r.state.skipped.count == 2;
    assert_eq!(bench.until("acme", "the rest is skipped", off).await.state.status(), WebhookStatus::DisabledByErrors);

    bench.treat("acme", status(200));
    bench.submit("acme", action).await;
    publish(&bench, 20, 3).await;
    let told = shown.recv().await.unwrap();
    assert_eq!(
        (told.subject.as_str(), told.to.as_str()),
        ("The webhook of workspace acme delivers again", "owner@acme.example")
    );
    assert!(told.text.contains("2 messages that arrived while it was off were not sent"), "{}", told.text);
    bench.until("acme", "all are logged", |r| r.attempts.len() == 14).await;
    bench.handle.take().unwrap().drain().await;
    assert!(shown.try_recv().is_err(), "nothing is told twice");
}

/// A shard whose workspace was asked about its mail.
fn shard_that_asked() -> ShardCore {
    let mut shard = shard_core(admission());
    actions(&mut shard);
    acquire(&mut shard, vec![owed()]);
    // The commit that acquire made.
    shard.committed(0, Instant::now() + LEASE_MIN, Instant::now());
    shard.loaded(&id("acme"), Ok(loaded()), Instant::now());
    all_done(&mut shard);
    shard
}

fn go_on(shard: &mut ShardCore, next: MailNext) -> Vec<ShardAction> {
    shard.decided(&id("acme"), Instant::now(), |entries| entries.effect(Effect::Mail(MAIL, next)));
    all_done(shard)
}

/// What the shard does while each of its commits is answered at once.
fn all_done(shard: &mut ShardCore) -> Vec<ShardAction> {
    let (mut all, mut next) = (Vec::new(), actions(shard));
    while !next.is_empty() {
        for action in &next {
            if let ShardAction::Send(ShardRequest::Commit { number, .. }) = action {
                shard.committed(*number, Instant::now() + LEASE_MIN, Instant::now());
            }
        }
        all.append(&mut next);
        next = actions(shard);
    }
    all
}

fn has(actions: &[ShardAction], wanted: impl Fn(&ShardAction) -> bool) -> bool {
    actions.iter().any(wanted)
}

#[tokio::test(start_paused = true)]
async fn a_drain_recalls_mails_and_waits_for_their_end_within_its_bound() {
    for answered in [Some(MailResult::NotBegun), None] {
        let mut shard = shard_that_asked();
        assert!(has(&go_on(&mut shard, MailNext::Send), |action| matches!(action, ShardAction::SendMail(_))));
        shard.drain(Instant::now());
        let begun = all_done(&mut shard);
        assert!(has(&begun, |action| matches!(action, ShardAction::RecallMails)), "{begun:?}");
        assert!(!has(&begun, |action| matches!(action, ShardAction::Release)), "it may have been taken: {begun:?}");
        match answered {
            Some(result) => shard.mail_sent(&id("acme"), MAIL, result, Instant::now()),
            None => tokio::time::advance(MAIL_DRAIN_MAX).await,
        }
        let ended = all_done(&mut shard);
        assert!(has(&ended, |action| matches!(action, ShardAction::Release)), "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_until_what_the_mail_server_answered_is_recorded() {
    let mut shard = shard_that_asked();
    go_on(&mut shard, MailNext::Send);
    shard.drain(Instant::now());
    all_done(&mut shard);
    shard.mail_sent(&id("acme"), MAIL, MailResult::Sent, Instant::now());
    tokio::time::advance(MAIL_DRAIN_MAX).await;
    let told = all_done(&mut shard);
    assert!(!has(&told, |action| matches!(action, ShardAction::Release)), "{told:?}");
}

/// A save would find it begun, and whoever runs the shard next would send what that save drops.
#[tokio::test(start_paused = true)]
async fn a_mail_that_was_asked_about_before_the_drain_is_not_begun() {
    let mut shard = shard_that_asked();
    shard.drain(Instant::now());
    let told = go_on(&mut shard, MailNext::Send);
    assert!(!has(&told, |action| matches!(action, ShardAction::SendMail(_))), "{told:?}");
}

/// Another node sends what is owed from then on.
#[tokio::test(start_paused = true)]
async fn mails_are_recalled_where_another_node_took_the_shard() {
    let mut shard = shard_that_asked();
    go_on(&mut shard, MailNext::Send);
    let fenced = ShardConnectionError::Fenced { shard: 0, by: "another".to_owned() };
    shard.line_failed(&fenced, Instant::now());
    let done = all_done(&mut shard);
    assert!(has(&done, |action| matches!(action, ShardAction::RecallMails)), "{done:?}");
    shard.mail_sent(&id("acme"), MAIL, MailResult::NotBegun, Instant::now());
    acquire(&mut shard, vec![owed()]);
    shard.loaded(&id("acme"), Ok(loaded()), Instant::now());
    let told = all_done(&mut shard);
    let is_told = |action: &ShardAction| {
        matches!(action, ShardAction::Tell(_, ToWorkspace::MailResult(MAIL, MailResult::NotBegun)))
    };
    assert!(has(&told, is_told), "{told:?}");
}
