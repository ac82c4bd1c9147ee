//! Somebody else takes a shard that the service holds.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use outbound::app::now;
use outbound::journal::Journal;
use outbound::journal::port::{AcquireError, Acquired, Batch, Holder, Poll, RawEntry, ShardConnectionError, Step};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::EntryId;
use serde_json::Value;

use crate::chaos::bench::{Chaos, SHARDS, check_arrivals, parcels, repeated, stream_of, workspaces};
use support::endpoint::Arrival;
use support::process::until;
use support::service::{PATIENCE, Service};

#[tokio::test]
async fn a_service_whose_shards_were_taken_waits_for_the_lease_to_end_and_takes_them_again() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", 8);
    workspaces.iter().for_each(|one| chaos.receiver.treat(one, |how| how.delay = Duration::from_millis(60)));
    chaos.save(&workspaces).await;
    let published = chaos.publish(&parcels(&workspaces, "m", 60, 3)).acknowledged;
    chaos.until_received(100).await;

    // Another process on a copy of the data directory: its node id opens the live lease to it.
    let other = other_process(&chaos).await;
    let node = fs::read_to_string(chaos.service.data_dir().join("node-id")).unwrap().trim().to_owned();
    let holder = Holder { node, lease: Duration::from_secs(8) };
    let mut connections = Vec::new();
    for shard in 0..SHARDS {
        connections.push(other.acquire(shard, &holder).await.unwrap().connection);
    }
    let owed = chaos.owed_messages();
    chaos.until_readyz(503, "the loss is told", |body| body.to_string().contains("is held by node")).await;
    chaos.until_logged("two processes share a data directory", 0).await;
    chaos.until_readyz(200, "the shards are taken again", |_| true).await;
    for connection in connections {
        let fenced = connection.commit(Batch::default()).await.unwrap_err();
        assert!(matches!(fenced, ShardConnectionError::Fenced { .. }), "{fenced:?}");
    }

    chaos.until_settled().await;
    let arrivals = chaos.receiver.arrivals();
    check_arrivals(&arrivals);
    assert_eq!(came(&arrivals), published);
    // What was in flight or not yet durable when the shards were lost.
    let again = repeated(&arrivals);
    assert!(again.is_subset(&owed), "attempted again: {again:?}, owed were {owed:?}");
    for workspace in &workspaces {
        chaos.check_log(workspace, 60, 1).await;
    }
}

/// A machine that slept for longer than its lease. What another node settled meanwhile is in its memory.
#[tokio::test]
async fn a_service_that_wakes_up_after_its_lease_attempts_nothing_that_another_node_settled() {
    let chaos = Chaos::start_with(&[], &["--max-in-flight-per-workspace", "1"]).await;
    let workspaces = workspaces("w", 1);
    chaos.receiver.treat(&workspaces[0], |how| how.delay = Duration::from_millis(400));
    chaos.save(&workspaces).await;
    let published = chaos.publish(&parcels(&workspaces, "m", 80, 8)).acknowledged;
    chaos.until_received(3).await;
    chaos.service.pause();

    let other = other_process(&chaos).await;
    let holder = Holder { node: "another".to_owned(), lease: Duration::from_secs(60) };
    let mut acquired = until_acquired(&other, crate::chaos::bench::shard(&workspaces[0]), &holder).await;
    let poll = Poll { messages: Some((EntryId::ZERO, 64)), ..Poll::default() };
    let read = acquired.intake.poll(&poll).await.unwrap().messages;
    let id =
        |message: &[u8]| serde_json::from_slice::<Value>(message).unwrap()["message_id"].as_str().unwrap().to_owned();
    // Those that came are not durable, and one more may have been on its way.
    let came_before = came(&chaos.receiver.arrivals());
    let did_not_come = |entry: &&RawEntry| !came_before.contains(&id(entry.field("message").unwrap()));
    let taken: Vec<&RawEntry> = read.iter().filter(did_not_come).skip(1).collect();
    assert!(taken.len() > 20, "{} are left to settle", taken.len());
    let settled: BTreeSet<String> = taken.iter().map(|entry| id(entry.field("message").unwrap())).collect();
    let entries: Vec<EntryId> = taken.iter().map(|entry| entry.id).collect();
    let step = Step { settled: entries, ..Step::default() };
    acquired.connection.commit(Batch { steps: vec![step], ..Batch::default() }).await.unwrap();
    acquired.connection.release().await.ok();

    chaos.service.resume();
    chaos.until_logged("The shard is loaded again", 0).await;
    chaos.until_settled().await;
    let arrivals = chaos.receiver.arrivals();
    check_arrivals(&arrivals);
    let came = came(&arrivals);
    let both: Vec<_> = came.intersection(&settled).collect();
    assert!(both.is_empty(), "attempted although another node had settled them: {both:?}");
    assert_eq!(came.len() + settled.len(), published.len());
    assert_eq!(chaos.redis.call::<usize>(&["XLEN", &stream_of(&workspaces[0])]), 0);
}

#[tokio::test]
async fn a_second_node_takes_over_what_the_first_held_when_that_is_killed() {
    let mut chaos = Chaos::start().await;
    let workspaces = workspaces("w", 8);
    workspaces.iter().for_each(|one| chaos.receiver.treat(one, |how| how.delay = Duration::from_millis(60)));
    chaos.save(&workspaces).await;
    let mut second = Service::new(&chaos.redis.url(), &["--shards", "2"]);
    second.spawn();
    let published = chaos.publish(&parcels(&workspaces, "m", 60, 3)).acknowledged;
    chaos.until_received(100).await;
    chaos.service.kill();
    let owed = chaos.owed_messages();
    chaos.until_settled().await;
    let arrivals = chaos.receiver.arrivals();
    check_arrivals(&arrivals);
    assert_eq!(came(&arrivals), published);
    let again = repeated(&arrivals);
    assert!(again.is_subset(&owed), "attempted again: {again:?}, owed were {owed:?}");
    until("the second node is ready", async || second.api().get("/readyz").await.status == 200).await;
}

fn came(arrivals: &[Arrival]) -> BTreeSet<String> {
    arrivals.iter().map(|one| one.message_id.clone()).collect()
}

async fn other_process(chaos: &Chaos) -> Redis {
    Redis::connect(&RedisOptions::new(chaos.redis.url(), now)).await.unwrap()
}

/// Acquires the shard as soon as its lease has ended.
async fn until_acquired(journal: &Redis, shard: u16, holder: &Holder) -> Acquired {
    let began = Instant::now();
    loop {
        match journal.acquire(shard, holder).await {
            Ok(acquired) => return acquired,
            Err(AcquireError::Held { remaining, .. }) => {
                assert!(began.elapsed() < PATIENCE, "the lease does not end");
                tokio::time::sleep(remaining.min(Duration::from_millis(200))).await; // Until it has ended.
            }
            Err(error) => panic!("{error}"),
        }
    }
}
