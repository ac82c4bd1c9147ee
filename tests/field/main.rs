//! What was seen in the field: endpoints, names, mail servers and input as they are. One file a kind; each case says
//! what sends it.

#![expect(clippy::unwrap_used, reason = "a test ends where its support fails")]

mod answers;
mod early;
mod heads;
mod mail;
mod mail_addresses;
mod mail_answers;
mod mail_refusals;
mod names;
mod pasted;
mod producers;
mod redirects;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::config::network::EgressRules;
use outbound::deliver::{AttemptOutcome, Courier, CourierOptions, Egress, Post, PostResult, Target};
use outbound::workspace::Time;
use outbound::workspace::event::ErrorKind;
use outbound::workspace::headers::CustomHeaders;

fn courier(timeout: Duration) -> Courier {
    let reach = EgressRules { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressRules::default() };
    let clock = || Time::from_unix_ms(1_649_367_553_000);
    Courier::new(&CourierOptions { timeout, reach, clock, egress: Egress::default() }).unwrap()
}

async fn attempt(courier: &Courier, url: &str) -> AttemptOutcome {
    attempt_with(courier, url, Bytes::from(r#"{"message":{"direction":"sent"}}"#)).await
}

async fn attempt_with(courier: &Courier, url: &str, body: Bytes) -> AttemptOutcome {
    let secrets = vec!["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into()];
    let to = Target::new("acme".parse().unwrap(), url.into(), secrets, CustomHeaders::new());
    match courier.attempt(&Post { to: Arc::new(to), webhook_id: "msg_7_1-0".into(), body }).await {
        PostResult::Done(outcome) => outcome,
        PostResult::Unable(reason) => panic!("unable: {reason}"),
    }
}
