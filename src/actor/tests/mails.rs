//! The mails that an operator asked for, from the errors to the mailer.

use tokio::sync::mpsc;

use super::bench::{Bench, status};
use crate::notify::Mailer;
use crate::workspace::command::{Action, Change, Save};
use crate::workspace::configuration::WebhookStatus;

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
