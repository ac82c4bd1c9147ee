//! Attempts against receivers on real sockets: each gets one request per message, whatever it does, and the
//! attempt ends in the right kind before its deadline.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its support fails")]

mod addresses;
mod answers;
mod connections;
mod mail;
mod names;
mod outage;
mod signatures;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outbound::config::network::EgressRules;
use outbound::deliver::{AttemptOutcome, Courier, CourierOptions, Egress, Post, PostResult, Target};
use outbound::workspace::event::ErrorKind;
use outbound::workspace::headers::CustomHeaders;
use outbound::workspace::{Confidential, Time};
use support::endpoint::{Endpoint, Step, answer};

const DEADLINE: Duration = Duration::from_millis(500);
/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_millis(500);
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
    let started = Instant::now();
    let report = courier.attempt(&post(url, "msg_7_1-0")).await;
    assert!(started.elapsed() < DEADLINE + SLACK, "took {:?}", started.elapsed());
    match report {
        PostResult::Done(done) => done,
        PostResult::Unable(reason) => panic!("unable: {reason}"),
    }
}

/// One attempt at a receiver that follows `script`; it must have got exactly one request.
async fn once(script: Vec<Step>) -> AttemptOutcome {
    let endpoint = Endpoint::start(script);
    let done = attempt(&courier(), &endpoint.url()).await;
    endpoint.until(|seen| !seen.requests.is_empty()).await;
    assert_eq!(endpoint.seen().requests.len(), 1);
    assert_eq!(endpoint.seen().connections, 1);
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
