//! Redis has no memory left.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use serde_json::json;

use crate::chaos::bench::{Chaos, LOOK, Parcel, parcel, parcels, repeated, workspaces};
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
    chaos.save(&["off", "cleared", "forgotten"].map(str::to_owned)).await;
    let minted = chaos.api().call(Method::POST, "/v1/workspaces/off/tokens", Some("{}")).await.unwrap();
    let token = minted.ok();
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

    // What only takes away is done all the same.
    let off = chaos.api().save("off", &json!({"url": chaos.receiver.url("off"), "enabled": false})).await.ok();
    assert_eq!(off["status"], "disabled");
    let cleared = chaos.api().save("cleared", &json!({"url": ""})).await.ok();
    assert_eq!(cleared["status"], "not_configured");
    for path in [
        "/v1/workspaces/forgotten",
        "/v1/workspaces/cleared/tokens",
        &format!("/v1/workspaces/off/tokens/{}", token["id"].as_str().unwrap()),
        "/v1/workspaces/off/waiting",
    ] {
        let reply = chaos.api().call(Method::DELETE, path, None).await.unwrap();
        assert_eq!(reply.status, 204, "{path}: {}", reply.body);
    }

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

/// Workspaces whose endpoint answers more than a message has, and messages of each: their logs would take more than the
/// messages.
const TALKATIVE: usize = 40;
const EACH: usize = 200;
const TEXT_BYTES: usize = 2_000;
const ANSWER_BYTES: usize = 4_000;

#[tokio::test]
async fn a_full_redis_does_not_grow_while_logs_fill() {
    let mut chaos = Chaos::start_with(&[], &["--journal-compression", "none"]).await;
    let workspaces = workspaces("talkative", TALKATIVE);
    chaos.save(&workspaces).await;
    for workspace in &workspaces {
        chaos.receiver.treat(workspace, |manner| manner.body = "a".repeat(ANSWER_BYTES));
    }
    chaos.service.terminate().await;
    let text = "t".repeat(TEXT_BYTES);
    let parcels: Vec<Parcel> = (0..EACH)
        .flat_map(|n| workspaces.iter().map(move |workspace| (n, workspace)))
        .map(|(n, workspace)| parcel(workspace, n % 4, &format!("{workspace}-{n}"), &text))
        .collect();
    chaos.publish(&parcels);
    // Full, by a byte.
    let limit = used_memory(&chaos);
    chaos.redis.call::<()>(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);

    chaos.service.launch().await;
    let most = AtomicU64::new(0);
    let measured = async {
        loop {
            most.fetch_max(used_memory(&chaos), Ordering::Relaxed);
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = chaos.until_settled() => {}
        () = measured => {}
    }
    let most = most.into_inner();
    let percent = most * 100 / limit;
    assert!(percent <= 105, "{most} bytes were used, {percent} % of the limit");
    let arrivals = chaos.receiver.arrivals();
    assert_eq!((arrivals.len(), repeated(&arrivals).len()), (TALKATIVE * EACH, 0));

    let mut omitted = 0;
    for workspace in &workspaces {
        for attempt in chaos.api().log(workspace).await.iter().filter(|attempt| !attempt["omitted"].is_null()) {
            let [omitted_why, sent, came] =
                [&attempt["omitted"], &attempt["request"]["body"], &attempt["response"]["body"]];
            assert_eq!((omitted_why, sent, came), (&json!("store full"), &json!(null), &json!("")));
            assert_eq!(attempt["response"]["status"], 200);
            omitted += 1;
        }
    }
    assert!(omitted > 0, "every attempt has its bodies");
}

fn used_memory(chaos: &Chaos) -> u64 {
    let info: String = chaos.redis.call(&["INFO", "memory"]);
    info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}
