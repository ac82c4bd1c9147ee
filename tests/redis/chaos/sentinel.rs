//! Three sentinels, a primary that dies under load, and its replica that takes over.

use std::time::Duration;

use serde_json::json;

use crate::chaos::bench::{parcels, streams, workspaces};
use crate::chaos::cluster::{CHATS, ClusterLoad, MESSAGES, WORKSPACES};
use crate::journal::sentinel::Sentinel;
use crate::tally::Tally;
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::Service;

#[tokio::test]
async fn a_primary_that_is_killed_is_followed_by_the_one_that_the_sentinels_promote() {
    let mut primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    let sentinels = [(); 3].map(|()| Sentinel::start(&primary, 2));
    let all_know = || sentinels.iter().all(|one| one.says("num-slaves1") && one.says("num-other-sentinels2"));
    until("the sentinels know each other and the replica", async || all_know()).await;
    let follows = || replica.call::<String>(&["INFO", "replication"]).contains("master_link_status:up");
    until("the replica follows", async || follows()).await;
    let seeds = sentinels.each_ref().map(|one| format!("127.0.0.1:{}", one.port.number())).join(",");
    let service = Service::start(&format!("redis+sentinel://{seeds}/main"), &["--shards", "2"]).await;
    let (receiver, workspaces) = (Receiver::start(), workspaces("w", WORKSPACES));
    for workspace in &workspaces {
        receiver.treat(workspace, |how| how.delay = Duration::from_millis(60));
        service.api().save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
    }

    let urls = vec![primary.url(), replica.url()];
    let load = ClusterLoad::start(urls, 1, parcels(&workspaces, "m", MESSAGES, CHATS));
    load.until_sent(200).await;
    primary.kill();
    load.until_sent(WORKSPACES * MESSAGES).await;
    let acknowledged = load.finish();
    assert!(acknowledged.len() > WORKSPACES * MESSAGES / 2, "{} messages are replicated", acknowledged.len());
    let owed = || streams().iter().map(|stream| replica.call::<usize>(&["XLEN", stream])).sum::<usize>();
    until("nothing is owed", async || owed() == 0).await;
    assert!(replica.call::<String>(&["INFO", "replication"]).contains("role:master"));
    let tally = Tally::of(&acknowledged, &receiver.arrivals());
    tally.tell("a primary behind sentinels is killed");
    assert_eq!(tally.lost, Vec::<String>::new());
    // What the dead primary had acknowledged and not yet sent on: of each workspace what was under way.
    assert!(tally.repeated.len() <= WORKSPACES * CHATS, "{:?}", tally.repeated);
    until("the service is ready", async || service.api().get("/readyz").await.status == 200).await;
}
