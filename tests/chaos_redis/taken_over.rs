//! Somebody else takes a shard that the service holds.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use outbound::app::now;
use outbound::journal::Journal;
use outbound::journal::port::{Batch, Holder, LineError};
use outbound::journal::redis::{Redis, RedisOptions};

use crate::chaos::{Chaos, SHARDS, check_arrivals, parcels, repeated, workspaces};

#[tokio::test]
async fn a_service_whose_shards_were_taken_waits_for_the_lease_to_end_and_takes_them_again() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", 8);
    workspaces
        .iter()
        .for_each(|workspace| chaos.receiver.treat(workspace, |how| how.delay = Duration::from_millis(60)));
    chaos.save(&workspaces).await;
    let published = chaos.publish(&parcels(&workspaces, "m", 60, 3)).acknowledged;
    chaos.until_received(100).await;

    // Another process on a copy of the data directory: its node id opens the live lease to it.
    let options = RedisOptions {
        url: chaos.redis.url(),
        prefix: "outbound".to_owned(),
        shards: None,
        allow_volatile: false,
        clock: now,
    };
    let zombie = Redis::connect(&options).await.unwrap();
    let node = fs::read_to_string(chaos.service.data_dir().join("node-id")).unwrap().trim().to_owned();
    let holder = Holder { node, lease: Duration::from_secs(4) };
    let mut lines = Vec::new();
    for shard in 0..SHARDS {
        lines.push(zombie.acquire(shard, &holder).await.unwrap().line);
    }
    chaos.until_readyz(503, "the loss is told", |body| body.to_string().contains("is held by node")).await;
    chaos.until_logged("two processes share a data directory", 0).await;
    // It holds its own messages back until it is alone: what it has in flight ends within its deadline.
    chaos.until_readyz(200, "the shards are taken again", |_| true).await;
    for line in lines {
        let fenced = line.commit(Batch::default()).await.unwrap_err();
        assert!(matches!(fenced, LineError::Fenced { .. }), "{fenced:?}");
    }

    chaos.until_settled().await;
    let arrivals = chaos.receiver.arrivals();
    check_arrivals(&arrivals);
    let came: BTreeSet<String> = arrivals.iter().map(|one| one.message_id.clone()).collect();
    assert_eq!(came, published);
    // What was in flight or not yet durable when the shards were lost.
    let again = repeated(&arrivals);
    assert!(again.len() <= 8 * 3 * 2, "{} attempted again: {again:?}", again.len());
    for workspace in &workspaces {
        chaos.check_log(workspace, 60, 1).await;
    }
}
