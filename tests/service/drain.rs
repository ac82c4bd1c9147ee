//! SIGTERM: what is under way ends, the rest waits for the next start.

use std::collections::BTreeSet;

use serde_json::json;

use crate::bench::{Bench, Kind, Parcel, parcel};
use support::process::until;

#[tokio::test]
async fn sigterm_lets_attempts_end_and_repeats_none_on_the_embedded_journal() {
    sigterm_repeats_nothing(Kind::Embedded).await;
}

#[tokio::test]
async fn sigterm_lets_attempts_end_and_repeats_none_on_redis() {
    sigterm_repeats_nothing(Kind::Redis).await;
}

async fn sigterm_repeats_nothing(kind: Kind) {
    const CHATS: usize = 8;
    /// Answered before the end; then one of each chat is in flight.
    const ANSWERED: usize = CHATS + 3;
    const MESSAGES: usize = 2 * CHATS * ANSWERED;
    let mut bench = Bench::start(kind, &["--timeout", "60s"]).await;
    bench.save("acme", json!({})).await;
    bench.receiver.treat("acme", |manner| manner.answered_max = ANSWERED);
    let parcels: Vec<Parcel> =
        (0..MESSAGES).map(|n| parcel("acme", &format!("+{}", n % CHATS), &format!("m{n:03}"))).collect();
    bench.publish(&parcels).await;
    bench.receiver.until("one of each chat is in flight", |arrivals| arrivals.len() == ANSWERED + CHATS).await;
    bench.service.ask_to_end();
    until("nothing new is taken up", async || bench.service.log().contains("Draining: nothing new is taken up")).await;
    bench.receiver.treat("acme", |manner| manner.answered_max = usize::MAX);
    assert_eq!(bench.service.ended().await.code(), Some(0));

    let came: BTreeSet<String> = bench.receiver.ids("acme").into_iter().collect();
    let all: BTreeSet<String> = parcels.iter().map(|parcel| parcel.message_id.clone()).collect();
    assert_eq!(came.len(), ANSWERED + CHATS, "what was not in flight was attempted");
    assert_eq!(bench.owed().await, all.difference(&came).cloned().collect(), "what came is settled, the rest is owed");

    bench.service.launch().await;
    let last = (1 + MESSAGES).to_string();
    bench.api().until("acme", "all is logged", |webhook| webhook["last_attempt"]["id"] == last).await;
    let ids = bench.receiver.ids("acme");
    assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>()), (MESSAGES, all));
    let log = bench.api().log("acme").await;
    assert!(log.iter().all(|entry| entry["outcome"] == "delivered"), "{log:?}");
}
