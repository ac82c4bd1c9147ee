//! What the published Standard Webhooks library makes of the requests, before, during and after a rotation.

use outbound::workspace::command::Save;
use outbound::workspace::decide::{self, SaveContext};
use outbound::workspace::policy::SECRET_OVERLAP;
use outbound::workspace::{Confidential, State};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;

use crate::*;

const ROTATED: &str = "whsec_bmV3ZXItc2VjcmV0LW9mLTI0LWJ5dGVz";

/// A webhook that was saved, and rotated at `rotated_at`.
fn rotated(rotated_at: Time) -> State {
    let mut state = State::default();
    let context = SaveContext {
        at: rotated_at,
        by: "admin",
        fresh_secret: &Confidential::from(SECRET),
        mails_begun: &[],
        mail_server: false,
    };
    let save = Save { url: Some("https://crm.example/".to_owned()), ..Save::default() };
    decide::save(&state, &save, &context).unwrap().iter().for_each(|event| state.evolve(event));
    let fresh = Confidential::from(ROTATED);
    decide::rotate(&state, rotated_at, "admin", &fresh, SECRET_OVERLAP)
        .unwrap()
        .iter()
        .for_each(|event| state.evolve(event));
    state
}

/// Which of the old and the new secret verify a request that is signed with these.
async fn verified_by(secrets: Vec<Confidential>) -> (bool, bool) {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    // The published library compares the timestamp with the machine's clock.
    let courier = Courier::new(&CourierOptions { clock: outbound::app::now, ..options(&["127.0.0.1/32"]) }).unwrap();
    let post = post_to(target(&endpoint.url(), secrets, CustomHeaders::new()), "msg_7_1-0");
    let PostResult::Done(done) = courier.attempt(&post).await else { panic!("it was not attempted") };
    assert!(delivered(&done));
    let request = String::from_utf8(endpoint.seen().requests.remove(0)).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let pairs = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
    let headers: HeaderMap = pairs
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let verifies = |secret: &str| Webhook::new(secret).unwrap().verify(body.as_bytes(), &headers).is_ok();
    (verifies(SECRET), verifies(ROTATED))
}

#[tokio::test]
async fn both_secrets_verify_for_a_day_after_a_rotation_and_then_only_the_new_one() {
    let at = Time::from_unix_ms(1_769_860_800_000);
    let webhook = rotated(at).webhook;
    let secrets = |at| webhook.secrets(at).cloned().collect();
    let almost = Time::from_unix_ms(at.plus(SECRET_OVERLAP).unix_ms() - 1);
    assert_eq!(verified_by(secrets(at)).await, (true, true));
    assert_eq!(verified_by(secrets(almost)).await, (true, true));
    assert_eq!(verified_by(secrets(at.plus(SECRET_OVERLAP))).await, (false, true));
}
