//! What waits for its turn is told, as far as it was read.

use std::collections::BTreeMap;

use outbound::message::EntryId;
use outbound::workspace::Time;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, Parcel, parcel, shard};

#[tokio::test]
async fn what_waits_is_told_with_the_oldest_of_it() {
    let bench = Bench::start(Kind::Redis, &["--timeout", "60s"]).await;
    bench.save("acme", json!({})).await;
    assert_eq!(bench.api().webhook("acme").await["waiting"], Value::Null);
    bench.receiver.hold();
    // Of one chat, and more than a workspace may hold in memory.
    let parcels: Vec<Parcel> = (0..700).map(|n| parcel("acme", "+1", &format!("m-{n}"))).collect();
    bench.publish(&parcels).await;
    bench.receiver.until("the first is under way", |arrivals| arrivals.len() == 1).await;
    let enough = |webhook: &Value| webhook["waiting"]["count"].as_u64().is_some_and(|count| count >= 100);
    let webhook = bench.api().until("acme", "most of it is read", enough).await;
    let waiting = &webhook["waiting"];
    assert_eq!(waiting["at_least"], true, "{waiting}");
    assert!(waiting["count"].as_u64().unwrap() < 700, "{waiting}");
    // The first is under way; the second is the oldest that waits.
    let stream = format!("outbound:{{{}}}:messages", shard("acme"));
    let entries: Vec<(String, BTreeMap<String, String>)> =
        bench.redis().call(&["XRANGE", &stream, "-", "+", "COUNT", "2"]);
    let oldest = waiting["oldest_at"].as_str().unwrap().parse::<Time>().unwrap();
    assert_eq!(u64::try_from(oldest.unix_ms()).unwrap(), entries[1].0.parse::<EntryId>().unwrap().ms);
    // Another workspace waits for nothing, and a save tells the same.
    assert_eq!(bench.api().webhook("other").await["waiting"], Value::Null);
    bench.receiver.release();
    bench.api().until("acme", "nothing waits", |webhook| webhook["waiting"].is_null()).await;
    bench.receiver.until("all came", |arrivals| arrivals.len() == 700).await;
}
