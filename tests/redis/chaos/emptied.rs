//! Somebody empties Redis under the running service, or Redis comes back without its files: what was stored is lost, and
//! what the service is on that store must not be.

use std::collections::BTreeMap;

use serde_json::json;

use crate::chaos::bench::{Chaos, SHARDS, neighbours, parcels};
use support::process::until;
use support::redis_server::RedisServer;
use support::service::Service;

/// 32 bytes in Base64.
const KEY: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn meta(redis: &RedisServer) -> BTreeMap<String, String> {
    redis.call(&["HGETALL", "outbound:meta"])
}

#[tokio::test]
async fn a_store_that_was_emptied_says_again_how_many_shards_it_has_and_what_seals_in_it() {
    let mut chaos = Chaos::start().await;
    assert_eq!(chaos.service.terminate().await.code(), Some(0));
    chaos.service.secret_key = Some(KEY.to_owned());
    chaos.service.launch().await;
    let workspaces = neighbours("w", 2);
    chaos.save(&workspaces).await;
    let before = meta(&chaos.redis);
    assert_eq!((before["shards"].as_str(), before["sealing-key/k1"].len()), ("2", 16), "{before:?}");

    for words in [["FLUSHALL"].as_slice(), &["DEL", "outbound:meta"], &["HDEL", "outbound:meta", "shards"]] {
        let () = chaos.redis.call(words);
        until("it is written again", async || meta(&chaos.redis) == before).await;
    }
    chaos.until_logged("What Redis says of the store was lost", 2).await;
    chaos.until_readyz(200, "it is ready again", |_| true).await;
    chaos.save(&workspaces).await;
    let published = chaos.publish(&parcels(&workspaces, "a", 5, 1));
    chaos.check_each_came_once(&workspaces, &published).await;

    // Whoever starts now takes the same number, and needs the key.
    let another = Service::new(&chaos.redis.url(), &[]).refused();
    assert!(another.stderr.contains("the key `k1`, which this node does not have"), "{another:?}");
    let another = Service::new(&chaos.redis.url(), &["--shards", "8"]).refused();
    assert!(another.stderr.contains("Redis holds 2 shards but 8 were asked for"), "{another:?}");
}

/// Another node was quicker, with another number: the two would run side by side and each miss what is the other's.
#[tokio::test]
async fn a_node_whose_store_has_another_number_of_shards_now_ends_and_says_so() {
    let mut chaos = Chaos::start().await;
    let () = chaos.redis.call(&["HSET", "outbound:meta", "shards", "16"]);
    assert_eq!(chaos.service.ended().await.code(), Some(1));
    let sentence = format!("the store says that it has 16 shards now, and this node runs with {SHARDS}");
    assert!(chaos.service.log().contains(&sentence), "{}", chaos.service.log());
    let ended = chaos.service.refused();
    assert!(ended.stderr.contains("Redis holds 16 shards but 2 were asked for"), "{ended:?}");
    chaos.redis.call::<()>(&["HSET", "outbound:meta", "shards", "2"]);
    chaos.service.launch().await;
    assert_eq!(chaos.api().get("/readyz").await.ok()["reasons"], json!([]));
}
