//! Redis has no memory left.

use serde_json::json;

use crate::chaos::bench::{Chaos, parcels, repeated, workspaces};
use support::service::message_with;

/// Messages in the shards' streams, and in the common input.
const MESSAGES: usize = 2_000;
const COMMON: usize = 2_000;

#[tokio::test]
async fn a_full_redis_is_emptied_says_what_it_is_and_takes_messages_again_afterwards() {
    let mut chaos = Chaos::start_with(&[], &["--timeout", "60s"]).await;
    let workspaces = workspaces("w", 2);
    let acme = &workspaces[0];
    chaos.save(&workspaces).await;
    chaos.receiver.hold();
    // So that nothing is handed over before Redis is full.
    chaos.service.terminate().await;
    let empty = used_memory(&chaos);
    let parcels_of = |name, n| parcels(&workspaces, name, n, 4);
    chaos.publish(&parcels_of("m", MESSAGES / 2));
    chaos.publish_to_source(&parcels_of("s", COMMON / 2));
    // A limit half-way down: below what is stored, above what the service needs for itself.
    let limit = empty + (used_memory(&chaos) - empty) / 2;
    chaos.redis.call::<()>(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    chaos.service.launch().await;

    // Publishing and saving are refused, and say why.
    let refused = chaos.api().publish(acme, &message_with("+1", "refused", "lorem")).await.unwrap();
    assert_eq!(refused.problem(), (503, "store-full"), "{}", refused.body);
    let refused = chaos.api().save(acme, &json!({"url": chaos.receiver.url(acme)})).await;
    assert_eq!(refused.problem(), (503, "store-full"), "{}", refused.body);

    // What is there is handed over, attempted and settled all the same, which frees it.
    chaos.receiver.release();
    chaos.until_settled().await;
    let arrivals = chaos.receiver.arrivals();
    assert_eq!((arrivals.len(), repeated(&arrivals).len()), (MESSAGES + COMMON, 0));

    chaos.api().save(acme, &json!({"url": chaos.receiver.url(acme)})).await.ok();
    let published = chaos.publish(&parcels_of("z", 10));
    assert_eq!(published.acknowledged.len(), 20);
    chaos.until_received(MESSAGES + COMMON + 20).await;
}

fn used_memory(chaos: &Chaos) -> u64 {
    let info: String = chaos.redis.call(&["INFO", "memory"]);
    info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}
