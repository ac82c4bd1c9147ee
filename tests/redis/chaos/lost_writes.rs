//! Redis comes back older than it was: it has lost what it had acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::chaos::bench::{Chaos, SHARDS, check_arrivals, parcels, repeated, stream_of, workspaces};
use support::process::until;
use support::redis_server::{DataCopy, RedisServer};
use support::service::Service;

const WORKSPACES: usize = 8;
const MESSAGES: usize = 24;
const CHATS: usize = 3;

/// Three phases: what was published before the copy, after it, and after Redis went back to it.
#[tokio::test]
async fn a_redis_that_went_back_is_loaded_again_and_only_what_it_lost_is_lost() {
    let mut chaos = Chaos::start().await;
    let workspaces = workspaces("w", WORKSPACES);
    chaos.delay(&workspaces, Duration::from_millis(100));
    chaos.save(&workspaces).await;
    let before = chaos.publish(&parcels(&workspaces, "a", MESSAGES, CHATS)).acknowledged;
    chaos.until_received(60).await;
    let copy = copy(&chaos);
    let heads = heads(&chaos);
    let after = chaos.publish(&parcels(&workspaces, "b", MESSAGES, CHATS)).acknowledged;
    chaos
        .receiver
        .until("some of the second phase came", |arrivals| {
            arrivals.iter().filter(|one| after.contains(&one.message_id)).count() >= 20
        })
        .await;
    // Two may be unanswered; a third is known to be lost.
    let went_on = async || heads.iter().zip(self::heads(&chaos)).all(|(before, now)| now >= before + 3);
    until("each shard has committed since", went_on).await;

    chaos.redis.roll_back(&copy);
    chaos.until_logged("the store lost acknowledged writes", 0).await;
    chaos.until_readyz(200, "the service is ready again", |_| true).await;
    let then = chaos.publish(&parcels(&workspaces, "c", MESSAGES, CHATS)).acknowledged;
    chaos
        .receiver
        .until("the first and the third phase came", |arrivals| {
            let came: BTreeSet<&String> = arrivals.iter().map(|one| &one.message_id).collect();
            before.iter().chain(&then).all(|id| came.contains(id))
        })
        .await;
    chaos.until_settled().await;

    let arrivals = chaos.receiver.arrivals();
    check_arrivals(&arrivals);
    // Only what was read again from the older Redis may have been attempted again.
    let again = repeated(&arrivals);
    assert!(again.is_subset(&before), "attempted again: {again:?}");
    for workspace in &workspaces {
        let of_workspace = |id: &&String| id.starts_with(&format!("{workspace}-"));
        let kept = before.iter().chain(&then).filter(of_workspace).count();
        chaos.check_log(workspace, kept, 1).await;
    }
}

#[tokio::test]
async fn a_redis_that_went_back_behind_the_first_save_leaves_workspaces_that_work() {
    let mut chaos = Chaos::start().await;
    let workspaces = workspaces("w", 4);
    let waiting = chaos.publish(&[]);
    assert!(waiting.acknowledged.is_empty());
    let copy = copy(&chaos);
    chaos.receiver.hold();
    chaos.save(&workspaces).await;
    chaos.publish(&parcels(&workspaces, "a", 6, CHATS));
    chaos.until_received(4 * CHATS).await;
    chaos.redis.roll_back(&copy);
    chaos.until_logged("is loaded again", 0).await;
    chaos.until_readyz(200, "the service is ready again", |_| true).await;
    chaos.receiver.release();

    // Nobody has saved them now, as far as Redis knows.
    chaos.save(&workspaces).await;
    let published = chaos.publish(&parcels(&workspaces, "b", 6, CHATS)).acknowledged;
    chaos
        .receiver
        .until("what was published since came", |arrivals| {
            let came: BTreeSet<&String> = arrivals.iter().map(|one| &one.message_id).collect();
            published.iter().all(|id| came.contains(id))
        })
        .await;
    chaos.until_settled().await;
    assert_eq!(repeated(&chaos.receiver.arrivals()), BTreeSet::new());
    chaos.until_readyz(200, "all workspaces are loaded", |body| body["unavailable_workspaces"] == 0).await;
}

/// The stream's ids began anew, below what the service has read: nothing else tells it.
#[tokio::test]
async fn messages_whose_ids_went_backwards_are_found() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", 2);
    chaos.save(&workspaces).await;
    chaos.publish(&parcels(&workspaces, "a", 5, 1));
    chaos.until_received(10).await;
    chaos.until_settled().await;
    let stream = stream_of(&workspaces[0]);
    chaos.redis.call::<()>(&["DEL", &stream]);
    let message = support::service::message("+1", "backwards");
    for id in ["1-1", "1-2"] {
        chaos.redis.call::<()>(&["XADD", &stream, id, "workspace", &workspaces[0], "message", &message]);
    }
    chaos.until_received(12).await;
    chaos.until_settled().await;
    assert_eq!(chaos.logged("Entries lie behind the cursor"), 1);
    let ids: Vec<String> = chaos.receiver.arrivals()[10..].iter().map(|one| one.webhook_id.clone()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|id| id.ends_with("_1-1") || id.ends_with("_1-2")), "{ids:?}");
}

/// How many commits each shard has made.
fn heads(chaos: &Chaos) -> Vec<u64> {
    (0..SHARDS).map(|shard| chaos.redis.call(&["HGET", &format!("outbound:{{{shard}}}:owner"), "head"])).collect()
}

/// Copies Redis' files as of one moment.
fn copy(chaos: &Chaos) -> DataCopy {
    chaos.redis.pause();
    let copy = chaos.redis.copy_data();
    chaos.redis.resume();
    copy
}

/// A clock that was set back, a dump that was restored, a far id that somebody appended.
#[tokio::test]
async fn commands_that_come_with_lower_ids_than_before_are_read() {
    let redis = RedisServer::start();
    let service = Service::start(&redis.url(), &["--shards", "1"]).await;
    let api = service.api();
    let webhook = json!({"url": "https://crm.example/hook"});
    api.save("acme", &webhook).await.ok();
    let commands = "outbound:{0}:commands";
    redis.call::<String>(&["XADD", commands, "9999999999999-0", "x", "y"]);
    until("it is set aside", async || redis.call::<usize>(&["XLEN", commands]) == 0).await;
    redis.call::<()>(&["DEL", commands]);
    api.save("acme", &webhook).await.ok();
    api.save("other", &webhook).await.ok();
}
