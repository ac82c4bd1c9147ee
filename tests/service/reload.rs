//! A commit that Redis refuses makes the shard load again, and repeats nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bench::{Bench, Kind, Parcel, parcel, shard};
use crate::support::service::PATIENCE;

#[tokio::test]
async fn commits_that_redis_refuses_are_made_again_and_no_message_is_sent_twice() {
    const MESSAGES: usize = 600;
    const BAD: usize = MESSAGES / 50;
    let bench = Bench::start(Kind::Redis, &[]).await;
    bench.save("acme", json!({})).await;
    let k = shard("acme");
    let rejected = format!("outbound:{{{k}}}:rejected");
    // Of another type than a stream: each commit that sets something aside breaks off in its middle.
    bench.redis().call::<()>(&["SET", &rejected, "in the way"]);
    let numbered = |n: usize| parcel("acme", &format!("+{}", n % 12), &format!("m{n:03}"));
    let mut parcels: Vec<Parcel> = (0..MESSAGES).map(numbered).collect();
    let ids: BTreeSet<String> = parcels.iter().map(|parcel| parcel.message_id.clone()).collect();
    for n in (0..BAD).rev() {
        let bad = Parcel { message: "{}".to_owned(), ..numbered(n) };
        parcels.insert(n * 50 + 25, bad);
    }
    bench.publish(&parcels).await;
    let began = Instant::now();
    while bench.service.log().matches("The shard is loaded again.").count() < 4 {
        assert!(began.elapsed() < PATIENCE, "the shard is not loaded again: {}", bench.service.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(bench.receiver.count() > 0, "nothing was in flight when the commits failed");
    bench.redis().call::<()>(&["DEL", &rejected]);

    let all = (1 + MESSAGES).to_string();
    bench.api().until("acme", "all is logged", |webhook| webhook["last_attempt"]["id"] == all).await;
    let came = bench.receiver.ids("acme");
    assert_eq!((came.len(), came.into_iter().collect()), (MESSAGES, ids));
    let stream = format!("outbound:{{{k}}}:messages");
    while bench.redis().call::<usize>(&["XLEN", &stream]) > 0 {
        assert!(began.elapsed() < PATIENCE, "the stream is not settled");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.redis().call::<usize>(&["XLEN", &rejected]), BAD);
}
