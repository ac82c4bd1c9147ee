//! Attempts against receivers on real sockets: each gets one request per message, whatever it does, and the
//! attempt ends in the right kind before its deadline.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its support fails")]

mod addresses;
mod answers;
mod connections;
mod mail;
mod mail_pace;
mod names;
mod outage;
mod race;
mod signatures;
mod standstill;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::config::network::EgressRules;
use outbound::deliver::{AttemptOutcome, Courier, CourierOptions, Egress, Post, PostResult, Target};
use outbound::workspace::event::ErrorKind;
use outbound::workspace::headers::CustomHeaders;
use outbound::workspace::{Confidential, Time};
use support::clock::StoppedClock;
use support::endpoint::{ClosedPort, Endpoint, Step, answer};

/// Longer than any machine takes for what does not wait for it; what does stops the clock and lets the time pass.
const DEADLINE: Duration = Duration::from_secs(20);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &str = r#"{"message":{"direction":"sent"}}"#;

fn options(allow: &[&str]) -> CourierOptions {
    let clock = || Time::from_unix_ms(1_649_367_553_000);
    CourierOptions { timeout: DEADLINE, reach: reach(allow, &[]), clock, egress: Egress::default() }
}

/// What the guard lets through.
fn reach(allow: &[&str], deny: &[&str]) -> EgressRules {
    EgressRules {
        allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
        deny: deny.iter().map(|network| network.parse().unwrap()).collect(),
        require_https: false,
    }
}

fn courier() -> Courier {
    Courier::new(&options(&["127.0.0.1/32"])).unwrap()
}

fn post(url: &str, id: &str) -> Post {
    post_to(target(url, vec![SECRET.into()], CustomHeaders::new()), id)
}

fn target(url: &str, secrets: Vec<Confidential>, headers: CustomHeaders) -> Target {
    Target::new("acme".parse().unwrap(), url.into(), secrets, headers)
}

fn post_to(target: Target, id: &str) -> Post {
    Post { to: Arc::new(target), webhook_id: Arc::from(id), body: Bytes::from(BODY) }
}

async fn attempt(courier: &Courier, url: &str) -> AttemptOutcome {
    match courier.attempt(&post(url, "msg_7_1-0")).await {
        PostResult::Done(done) => done,
        PostResult::Unable(reason) => panic!("unable: {reason}"),
    }
}

/// The first attempt at an endpoint that leaves it at what it answers at once.
async fn attempt_past(clock: &StoppedClock, courier: &Courier, endpoint: &Endpoint) -> AttemptOutcome {
    clock.after(endpoint.until(|seen| seen.answered == 1), attempt(courier, &endpoint.url())).await
}

/// One attempt at a receiver that follows `script`; it must have got exactly one request.
async fn once(script: Vec<Step>) -> AttemptOutcome {
    let endpoint = Endpoint::start(script);
    let done = attempt(&courier(), &endpoint.url()).await;
    endpoint.until(|seen| !seen.requests.is_empty()).await;
    assert_eq!((endpoint.seen().requests.len(), endpoint.seen().connections), (1, 1));
    done
}

/// The same at one that leaves it at what it answers at once.
async fn once_past(step: Step) -> AttemptOutcome {
    let (clock, endpoint) = (StoppedClock::stop(), Endpoint::start(vec![step]));
    let done = attempt_past(&clock, &courier(), &endpoint).await;
    assert_eq!((endpoint.seen().requests.len(), endpoint.seen().connections), (1, 1));
    done
}

#[track_caller]
fn assert_failed(done: &AttemptOutcome, kind: ErrorKind, sentence: &str) {
    let error = done.error.as_ref().expect("failed");
    assert_eq!(error.kind, kind, "{}", error.detail);
    assert_eq!(error.detail, sentence);
}

fn ok() -> Vec<u8> {
    answer("200 OK", "", "")
}

fn delivered(done: &AttemptOutcome) -> bool {
    done.error.is_none()
}
