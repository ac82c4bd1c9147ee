//! What slow endpoints hold of a shard leaves room for their neighbours, whatever it weighs.

use serde_json::json;

use crate::bench::{Bench, Kind, Parcel, parcel, shard};
use support::endpoint::Arrival;
use support::service::message_with;

/// Attempts whose answers are waited for cannot be given back to the stream: those of six workspaces, 11 of 250 KB each,
/// filled all that a shard may hold, so nothing of anybody else was read.
#[tokio::test]
async fn a_few_slow_endpoints_with_large_messages_hold_up_nobody_else() {
    hold_up_nobody_else(6, 20, 250_000).await;
}

/// The same with the number of entries that a shard may hold.
#[tokio::test]
async fn many_slow_endpoints_hold_up_nobody_else() {
    hold_up_nobody_else(190, 24, 10).await;
}

async fn hold_up_nobody_else(slow: usize, messages: usize, bytes: usize) {
    let bench = Bench::start(Kind::Redis, &["--timeout", "60s"]).await;
    let quick = "quick";
    let beside_it = (0..).map(|n| format!("slow-{n}")).filter(|name| shard(name) == shard(quick));
    let slow: Vec<String> = beside_it.take(slow).collect();
    bench.save(quick, json!({})).await;
    for workspace in &slow {
        bench.save(workspace, json!({})).await;
        bench.receiver.treat(workspace, |manner| manner.answered_max = 0);
    }
    let text = "x".repeat(bytes);
    // All at once, one after the other in the stream, and each message of a chat of its own.
    let of_slow = (0..messages).flat_map(|n| slow.iter().map(move |workspace| (n, workspace)));
    let parcels: Vec<Parcel> = of_slow
        .map(|(n, workspace)| {
            let (chat, id) = (format!("+{n}"), format!("{workspace}-{n}"));
            let message = message_with(&chat, &id, &text);
            Parcel { message, ..parcel(workspace, &chat, &id) }
        })
        .collect();
    bench.publish(&parcels).await;
    let ids: Vec<String> = (0..50).map(|n| format!("m-{n:02}")).collect();
    let of_quick: Vec<Parcel> = ids.iter().map(|id| parcel(quick, "+1", id)).collect();
    bench.publish(&of_quick).await;
    let came = |workspace: &str| bench.receiver.ids(workspace);
    let of_quick = |arrivals: &[Arrival]| arrivals.iter().filter(|one| one.workspace == quick).count();
    bench.receiver.until("the quick one's came", |arrivals| of_quick(arrivals) == ids.len()).await;
    assert_eq!(came(quick), ids);
    assert!(slow.iter().all(|workspace| !came(workspace).is_empty()), "each of the others has one under way");
}
