//! A workspace is forgotten while something of it is under way.

use tokio::sync::mpsc;

use super::bench::{Bench, status};
use crate::journal::port::Reading;
use crate::notify::{CapturedMail, Mailer};
use crate::workspace::State;
use crate::workspace::command::{Action, Answer, Change, NoAttempt, Save};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::MailState;

#[track_caller]
fn assert_forgotten(reading: &Reading) {
    let State { seq, forgotten, skipped, .. } = reading.state.clone();
    assert_eq!(reading.state, State { seq, forgotten, skipped, ..State::default() });
    assert_eq!((forgotten, reading.attempts.len()), (seq, 0));
}

async fn forget(bench: &Bench, workspace: &str) {
    let answer = bench.submit(workspace, Action::Forget).await;
    let Answer::Done { webhook, attempt: None, reason: None } = answer else { panic!("{answer:?}") };
    assert_eq!((webhook.status, webhook.last_attempt), (WebhookStatus::NotConfigured, None));
}

#[tokio::test]
async fn an_attempt_under_way_is_settled_without_a_trace_and_what_waits_is_skipped() {
    let mut bench = Bench::with(|options| options.policy.in_flight_max = 1).await;
    bench.receiver.hold();
    bench.save("acme").await;
    for n in 0..4 {
        bench.publish("acme", &format!("+{n}"), &format!("m{n}")).await;
    }
    bench.until_received("acme", 1).await;
    forget(&bench, "acme").await;
    bench.until("acme", "what waited is skipped", |r| r.state.skipped.count == 3).await;
    // A drain waits for the attempt, and what is not settled then would be taken up again.
    let drain = bench.handle.take().unwrap().drain();
    tokio::join!(drain, async { bench.receiver.release() });
    bench.restart().await;
    bench.save("acme").await;
    bench.publish("acme", "+0", "after").await;
    let reading = bench.until("acme", "the next message is logged", |r| !r.attempts.is_empty()).await;
    assert_eq!(bench.message_ids("acme"), ["m0", "after"]);
    assert_eq!((reading.attempts.len(), reading.state.skipped.count), (1, 3));
}

#[tokio::test]
async fn a_test_under_way_is_answered_at_once_and_the_next_may_begin() {
    let bench = Bench::new().await;
    bench.save("acme").await;
    bench.publish("acme", "+2", "m1").await;
    bench.until("acme", "its message is logged", |r| r.attempts.len() == 1).await;
    bench.receiver.hold();
    let test = bench.submit("acme", Action::Test { save: None });
    let forgotten = async {
        bench.until_received("acme", 2).await;
        forget(&bench, "acme").await;
    };
    let (answer, ()) = tokio::join!(test, forgotten);
    let Answer::Done { attempt: None, reason: Some(NoAttempt::Forgotten), .. } = answer else { panic!("{answer:?}") };
    assert_forgotten(&bench.read("acme").await);

    bench.publish("acme", "+2", "m2").await;
    bench.until("acme", "the message is skipped", |r| r.state.skipped.count == 1).await;
    let save = Save { url: Some(bench.url("acme")), ..Save::default() };
    let test = bench.submit("acme", Action::Test { save: Some(save) });
    let answered = async {
        bench.until_received("acme", 3).await;
        bench.receiver.release();
    };
    let (answer, ()) = tokio::join!(test, answered);
    assert!(matches!(answer, Answer::Done { attempt: Some(_), .. }), "{answer:?}");
    assert_eq!(bench.read("acme").await.attempts.len(), 1, "only the test of the new incarnation is logged");
}

#[tokio::test]
async fn a_mail_in_the_mailers_hands_is_not_recorded_any_more() {
    let (show, mut shown) = mpsc::channel(1);
    let before = CapturedMail {
        to: String::new(),
        message_id: String::new(),
        subject: String::new(),
        text: String::new(),
        html: String::new(),
        raw: Vec::new(),
    };
    // The mailer waits until somebody takes this one.
    show.send(before.clone()).await.unwrap();
    let bench = Bench::with(|options| {
        options.policy.mail_server = true;
        options.mailer = Some(Mailer::capture(show, None));
    })
    .await;
    bench.treat("acme", status(500));
    let owner_email = Change::Set("owner@acme.example".to_owned());
    let save = Save { url: Some(bench.url("acme")), owner_email, ..Save::default() };
    bench.submit("acme", Action::Save(save)).await;
    for n in 0..11 {
        bench.publish("acme", &format!("+{n}"), &format!("m{n}")).await;
    }
    let owed = |r: &Reading| r.state.mail.as_ref().is_some_and(|mail| mail.state == MailState::Owed);
    bench.until("acme", "a mail is owed", owed).await;
    forget(&bench, "acme").await;
    forget(&bench, "acme").await;
    assert_eq!(shown.recv().await.unwrap(), before);
    assert_eq!(shown.recv().await.unwrap().to, "owner@acme.example");
    bench.save("acme").await;
    let reading = bench.read("acme").await;
    assert_eq!((reading.state.seq, reading.state.mail), (reading.state.forgotten + 1, None));
}
