//! The rules of [contract, section 3](crate::docs::contract#3-the-rules), seen from outside the shards.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bench::{Bench, status};
use crate::app::now;
use crate::workspace::command::{Action, Answer, NoAttempt, Refusal, Save};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{ErrorKind, Trigger};
use crate::workspace::policy::SECRET_OVERLAP;
use crate::workspace::time::Time;
use support::endpoint::Manner;

#[tokio::test]
async fn a_published_message_is_posted_once_and_logged() {
    let bench = Bench::new().await;
    bench.save("acme").await;
    bench.publish("acme", "+2", "m1").await;
    let reading = bench.until("acme", "one attempt is logged", |r| r.attempts.len() == 1).await;
    assert_eq!(bench.message_ids("acme"), ["m1"]);
    let (seq, attempt) = &reading.attempts[0];
    assert_eq!((*seq, attempt.error.as_ref(), attempt.response.as_ref().unwrap().status), (2, None, 200));
}

#[tokio::test]
async fn messages_of_a_chat_arrive_in_order_and_chats_do_not_wait_for_one_another() {
    let bench = Bench::new().await;
    bench.save("acme").await;
    for n in 0..60 {
        bench.publish("acme", &format!("+{}", n % 3), &format!("{}-{:02}", n % 3, n)).await;
    }
    bench.until_received("acme", 60).await;
    let ids = bench.message_ids("acme");
    for chat in ["0-", "1-", "2-"] {
        let of_chat: Vec<&String> = ids.iter().filter(|id| id.starts_with(chat)).collect();
        assert_eq!(of_chat.len(), 20);
        assert!(of_chat.is_sorted(), "chat {chat} came as {of_chat:?}");
    }
}

#[tokio::test]
async fn a_dead_endpoint_gets_exactly_eleven_posts_and_the_rest_is_skipped() {
    let bench = Bench::new().await;
    bench.treat("acme", status(500));
    bench.save("acme").await;
    for n in 0..200 {
        bench.publish("acme", &format!("+{n}"), &format!("m{n}")).await;
    }
    let reading = bench.until("acme", "all others are skipped", |r| r.state.skipped.count == 189).await;
    assert_eq!(bench.received("acme").len(), 11);
    assert_eq!(reading.state.status(), WebhookStatus::DisabledByErrors);
    assert_eq!(reading.state.errors, 11);
}

#[tokio::test]
async fn messages_while_off_are_skipped_counted_and_never_sent() {
    let bench = Bench::new().await;
    for n in 0..5 {
        bench.publish("acme", "+2", &format!("m{n}")).await;
    }
    bench.until("acme", "five are skipped", |r| r.state.skipped.count == 5).await;
    bench.save("acme").await;
    bench.publish("acme", "+2", "m5").await;
    bench.until_received("acme", 1).await;
    assert_eq!(bench.message_ids("acme"), ["m5"]);
}

#[tokio::test]
async fn save_and_test_sends_the_newest_message_even_while_off() {
    let bench = Bench::new().await;
    bench.publish("acme", "+2", "m1").await;
    bench.publish("acme", "+2", "m2").await;
    bench.until("acme", "two are skipped", |r| r.state.skipped.count == 2).await;
    let save = Save { url: Some(bench.url("acme")), enabled: Some(false), ..Save::default() };
    let answer = bench.submit("acme", Action::Test { save: Some(save) }).await;
    let Answer::Done { webhook, attempt: Some(attempt), reason: None } = answer else { panic!("{answer:?}") };
    assert_eq!((webhook.status, attempt.trigger, attempt.status), (WebhookStatus::Disabled, Trigger::Test, Some(200)));
    assert_eq!(bench.message_ids("acme"), ["m2"]);
}

#[tokio::test]
async fn a_test_without_a_message_or_url_says_why_and_the_save_holds() {
    let bench = Bench::new().await;
    let answer = bench.submit("acme", Action::Test { save: None }).await;
    assert!(matches!(answer, Answer::Done { reason: Some(NoAttempt::NoUrl), attempt: None, .. }), "{answer:?}");
    let save = Save { url: Some(bench.url("acme")), ..Save::default() };
    let answer = bench.submit("acme", Action::Test { save: Some(save) }).await;
    let Answer::Done { webhook, reason: Some(NoAttempt::NoMessage), attempt: None } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(webhook.status, WebhookStatus::Enabled);
}

#[tokio::test]
async fn a_second_test_is_refused_while_the_first_is_under_way_and_within_a_second() {
    // The second test is never asked for later than a second after the first, however slow the machine is.
    let bench = Bench::with(|options| options.clock = standing).await;
    bench.save("acme").await;
    bench.publish("acme", "+2", "m1").await;
    bench.until("acme", "its message is logged", |r| r.attempts.len() == 1).await;
    bench.receiver.hold();
    let first = bench.submit("acme", Action::Test { save: None });
    let second = async {
        bench.until("acme", "the test is under way", |r| r.state.test.is_some()).await;
        let save = Save { url: None, ..Save::default() };
        let second = bench.submit("acme", Action::Test { save: Some(save) }).await;
        bench.receiver.release();
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(first, Answer::Done { attempt: Some(_), .. }), "{first:?}");
    assert_eq!(second, Answer::Refused { refusal: Refusal::TestUnderWay });
    let third = bench.submit("acme", Action::Test { save: None }).await;
    assert_eq!(third, Answer::Refused { refusal: Refusal::TestTooSoon });
    assert_eq!(bench.read("acme").await.state.status(), WebhookStatus::Enabled);
}

/// A clock that stands still from the moment on at which it is first looked at.
fn standing() -> Time {
    static STOOD_AT: OnceLock<Time> = OnceLock::new();
    *STOOD_AT.get_or_init(now)
}

#[tokio::test]
async fn a_save_is_answered_while_a_backlog_waits() {
    let bench = Bench::with(|options| {
        options.policy.in_flight_max = 1;
        // The first one is held back while thousands are published: it must not end by a timeout.
        (options.deliver.timeout, options.lease) = (Duration::from_secs(300), Duration::from_secs(600));
    })
    .await;
    bench.receiver.hold();
    bench.save("acme").await;
    for n in 0..3_000 {
        bench.publish("acme", "+2", &format!("m{n}")).await;
    }
    bench.until_received("acme", 1).await;
    // Answered although nothing of the backlog comes to its end.
    let off = Save { url: Some(bench.url("acme")), enabled: Some(false), ..Save::default() };
    let answer = bench.submit("acme", Action::Save(off)).await;
    let Answer::Done { webhook, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(webhook.status, WebhookStatus::Disabled);
    bench.receiver.release();
    let reading = bench.until("acme", "the backlog is skipped", |r| r.state.skipped.count == 2_999).await;
    bench.until("acme", "the first is logged", |r| r.attempts.len() == 1).await;
    assert_eq!(reading.state.status(), WebhookStatus::Disabled);
}

#[tokio::test]
async fn a_timeout_is_an_error_and_nothing_is_sent_again() {
    let bench = Bench::with(|options| options.deliver.timeout = Duration::from_secs(2)).await;
    bench.receiver.hold();
    bench.save("acme").await;
    bench.publish("acme", "+2", "m1").await;
    let reading = bench.until("acme", "the attempt is logged", |r| r.attempts.len() == 1).await;
    assert_eq!(reading.attempts[0].1.error.as_ref().unwrap().kind, ErrorKind::Timeout);
    bench.until_received("acme", 1).await;
    assert_eq!(bench.received("acme").len(), 1);
}

#[tokio::test]
async fn a_drained_service_has_settled_what_it_attempted() {
    let mut bench = Bench::new().await;
    bench.treat("acme", Manner { delay: Duration::from_millis(100), ..Manner::default() });
    bench.save("acme").await;
    for n in 0..40 {
        bench.publish("acme", &format!("+{n}"), &format!("m{n}")).await;
    }
    bench.until_received("acme", 5).await;
    bench.restart().await;
    bench.until("acme", "all are logged", |r| r.attempts.len() == 40).await;
    assert_eq!(bench.received("acme").len(), 40, "no message is attempted twice");
}

/// How far the actors' clock is ahead of the machine's, in milliseconds.
static AHEAD_MS: AtomicU64 = AtomicU64::new(0);

fn ahead() -> Time {
    now().plus(Duration::from_millis(AHEAD_MS.load(Ordering::Relaxed)))
}

#[tokio::test]
async fn messages_are_signed_with_the_rotated_secret_too_until_a_day_has_passed() {
    let bench = Bench::with(|options| options.clock = ahead).await;
    bench.save("acme").await;
    let old = bench.read("acme").await.state.webhook.secret.unwrap();
    bench.submit("acme", Action::RotateSecret { overlap: None }).await;
    let new = bench.read("acme").await.state.webhook.secret.unwrap();
    assert_ne!(old, new);
    let mut told = Vec::new();
    for passed in [Duration::ZERO, SECRET_OVERLAP] {
        AHEAD_MS.store(u64::try_from(passed.as_millis()).unwrap(), Ordering::Relaxed);
        for secret in [&old, &new] {
            let secret = Some(secret.expose().to_owned());
            bench.treat("acme", Manner { secret, ..Manner::default() });
            bench.publish("acme", "+2", "m").await;
            bench.until_received("acme", told.len() + 1).await;
            told.push(bench.received("acme").last().unwrap().verified.unwrap());
        }
    }
    assert_eq!(told, [true, true, false, true]);
}

#[tokio::test]
async fn a_rotation_before_the_first_save_is_refused() {
    let bench = Bench::new().await;
    let answer = bench.submit("acme", Action::RotateSecret { overlap: None }).await;
    assert_eq!(answer, Answer::Refused { refusal: Refusal::NoSecret });
}
