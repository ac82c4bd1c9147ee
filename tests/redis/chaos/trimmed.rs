//! A producer, or an operator, removes entries that are not settled.

use std::time::Duration;

use crate::chaos::bench::{Chaos, neighbours, parcels, repeated, stream_of};

#[tokio::test]
async fn entries_that_somebody_trims_are_missed_aloud_and_everything_else_goes_on() {
    let chaos = Chaos::start_with(&[], &["--timeout", "60s"]).await;
    let workspaces = neighbours("w", 2);
    let (trimmed, other) = (&workspaces[0], &workspaces[1]);
    chaos.save(&workspaces).await;
    chaos.receiver.hold();
    // More than a workspace holds in memory: the rest is parked behind it.
    chaos.publish(&parcels(std::slice::from_ref(trimmed), "a", 1_500, 4));
    chaos.until_received(4).await;
    chaos.redis.call::<()>(&["XTRIM", &stream_of(trimmed), "MAXLEN", "0"]);
    chaos.publish(&parcels(std::slice::from_ref(other), "b", 50, 4));
    chaos.receiver.release();
    chaos.until_settled().await;
    chaos
        .receiver
        .until("the neighbour's messages came", |arrivals| {
            arrivals.iter().filter(|one| one.workspace == *other).count() >= 50
        })
        .await;
    chaos.until_logged("entries vanished", 0).await;

    // What comes now finds the workspace past all that is gone.
    chaos.publish(&parcels(std::slice::from_ref(trimmed), "c", 50, 4));
    chaos
        .receiver
        .until("new messages came", |arrivals| {
            arrivals.iter().filter(|one| one.message_id.contains("-c")).count() >= 50
        })
        .await;
    assert!(repeated(&chaos.receiver.arrivals()).is_empty());
    chaos.until_settled().await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_under_load_costs_what_was_in_it_and_no_more() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 3);
    chaos.delay(&workspaces, Duration::from_millis(20));
    chaos.save(&workspaces).await;
    let load = chaos.load(parcels(&workspaces, "a", 300, 4), Duration::from_millis(2));
    for n in 1..=5 {
        load.until_sent(n * 150).await;
        chaos.redis.call::<()>(&["DEL", &stream_of(&workspaces[0])]);
    }
    load.finish();
    let published = chaos.publish(&parcels(&workspaces, "b", 20, 4)).acknowledged;
    chaos
        .receiver
        .until("what came after it came", |arrivals| {
            arrivals.iter().filter(|one| published.contains(&one.message_id)).count() >= 60
        })
        .await;
    chaos.until_settled().await;
    assert!(repeated(&chaos.receiver.arrivals()).is_empty());
}
