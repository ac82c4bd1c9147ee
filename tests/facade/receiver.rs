//! The built-in receiver, signed to by the published library.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use outbound::http::receiver::{Received, Refused, Signature, Treatment, receiver};
use outbound::sign::VerifyError;
use outbound::workspace::Time;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kit::{NOW, Reply, call};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const BODY: &str = r#"{"message":{"n":1.50}}"#;

/// `/known` is verified with [`SECRET`], `/slow` is answered 500 after 3 s, anything else 204.
fn treatment(path: &str) -> Treatment {
    let slow = path == "/slow";
    Treatment {
        secret: (path == "/known").then(|| SECRET.parse().unwrap()),
        status: if slow { 500 } else { 204 },
        delay: Duration::from_secs(if slow { 3 } else { 0 }),
    }
}

async fn receive(request: Request<Body>) -> (Reply, Option<Received>) {
    let (reports, mut reported) = mpsc::channel(1);
    let reply = call(&receiver(Arc::new(treatment), reports, || NOW), request).await;
    (reply, reported.try_recv().ok())
}

fn signed(path: &str, secret: &str, at: Time) -> Request<Body> {
    let signer = standardwebhooks::Webhook::new(secret).unwrap();
    let signature = signer.sign("msg_0_1-1", at.unix_seconds(), BODY.as_bytes()).unwrap();
    Request::post(path)
        .header("webhook-id", "msg_0_1-1")
        .header("webhook-timestamp", at.unix_seconds())
        .header("webhook-signature", signature)
        .body(Body::from(BODY))
        .unwrap()
}

#[tokio::test]
async fn what_came_is_reported_whole_and_verified() {
    let (reply, received) = receive(signed("/known?a=1", SECRET, NOW)).await;
    assert_eq!(reply.status, 204);
    let expected = Received {
        at: NOW,
        path: "/known?a=1".to_owned(),
        webhook_id: Some("msg_0_1-1".to_owned()),
        signature: Signature::Verified,
        body: Bytes::from(BODY),
    };
    assert_eq!(received, Some(expected));
}

#[tokio::test]
async fn a_request_that_does_not_hold_is_reported_as_refused() {
    let old = Time::from_unix_ms(NOW.unix_ms() - 301_000);
    let unsigned = Request::post("/known").body(Body::from(BODY)).unwrap();
    let mut unreadable = signed("/known", SECRET, NOW);
    unreadable.headers_mut().insert("webhook-timestamp", "noon".parse().unwrap());
    let cases = [
        (signed("/known", OTHER, NOW), Refused::Signature(VerifyError::Mismatch)),
        (signed("/known", SECRET, old), Refused::Signature(VerifyError::TooOld)),
        (unsigned, Refused::Header("webhook-id")),
        (unreadable, Refused::Header("webhook-timestamp")),
    ];
    for (request, refused) in cases {
        let (reply, received) = receive(request).await;
        assert_eq!(reply.status, 204, "the answer does not depend on the signature");
        assert_eq!(received.unwrap().signature, Signature::Refused(refused));
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_verified() {
    let (_, received) = receive(signed("/", OTHER, NOW)).await;
    assert_eq!(received.unwrap().signature, Signature::Unchecked);
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_after_the_delay_with_the_status_of_the_path() {
    let asked = Instant::now();
    let (reply, received) = receive(signed("/slow", OTHER, NOW)).await;
    assert_eq!(reply.status, 500);
    assert_eq!(asked.elapsed(), Duration::from_secs(3));
    assert!(received.is_some());
}

#[tokio::test]
async fn only_a_post_of_bounded_size_is_taken() {
    let large = Request::post("/").body(Body::from(vec![b'x'; 300 * 1024])).unwrap();
    for (request, status) in [(large, 413), (Request::get("/any").body(Body::empty()).unwrap(), 405)] {
        let (reply, received) = receive(request).await;
        assert_eq!((reply.status.as_u16(), received), (status, None));
    }
}

#[tokio::test]
async fn a_receiver_that_nobody_listens_to_takes_nothing() {
    let (reports, _) = mpsc::channel(1);
    let reply = call(&receiver(Arc::new(treatment), reports, || NOW), signed("/", SECRET, NOW)).await;
    assert_eq!(reply.status, 503);
}
