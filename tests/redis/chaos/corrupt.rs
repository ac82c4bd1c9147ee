//! A workspace's journal contradicts itself.

use std::time::Duration;

use serde_json::json;

use crate::chaos::bench::{Chaos, neighbours, parcels};
use support::process::until;

#[tokio::test]
async fn a_workspace_whose_snapshot_is_gone_is_parked_until_it_is_back_and_its_neighbours_go_on() {
    let mut chaos = Chaos::start().await;
    let workspaces = neighbours("w", 3);
    let (broken, whole) = workspaces.split_first().unwrap();
    chaos.save(&workspaces).await;
    chaos.publish(&parcels(&workspaces, "a", 10, 2));
    chaos.until_received(30).await;
    chaos.until_settled().await;
    let (key, lost) = lose_snapshot(&mut chaos, broken).await;

    chaos.publish(&parcels(&workspaces, "b", 10, 2));
    chaos.until_received(50).await;
    for (method, path) in [("a save", "webhook"), ("a read", "attempts")] {
        let reply = match path {
            "webhook" => chaos.api().save(broken, &json!({"url": chaos.receiver.url(broken)})).await,
            _ => chaos.api().read(broken, path).await,
        };
        assert_eq!(reply.problem(), (503, "workspace-unavailable"), "{method}: {}", reply.body);
    }
    chaos.until_readyz(200, "it is counted", |body| body["unavailable_workspaces"] == 1).await;
    for workspace in whole {
        chaos.api().save(workspace, &json!({"url": chaos.receiver.url(workspace)})).await.ok();
    }
    until("only its messages wait", async || chaos.owed() == 10).await;
    assert_eq!(chaos.receiver.ids(broken).len(), 10);

    chaos.redis.call::<()>(&["RENAME", &lost, &key]);
    chaos.until_settled().await;
    let ids = chaos.receiver.ids(broken);
    assert_eq!(ids.len(), 20);
    chaos.until_readyz(200, "none is counted", |body| body["unavailable_workspaces"] == 0).await;
    chaos.check_log(broken, 20, 1).await;
    chaos.api().save(broken, &json!({"url": chaos.receiver.url(broken)})).await.ok();
}

/// Entries whose ids went backwards are below what was read, where those of the damaged workspace wait too.
#[tokio::test]
async fn messages_whose_ids_went_backwards_are_found_beside_a_workspace_that_is_parked() {
    let mut chaos = Chaos::start().await;
    let workspaces = neighbours("w", 2);
    let [broken, whole] = [&workspaces[0], &workspaces[1]];
    chaos.save(&workspaces).await;
    chaos.publish(&parcels(&workspaces, "a", 5, 1));
    chaos.until_received(10).await;
    chaos.until_settled().await;
    let (key, lost) = lose_snapshot(&mut chaos, broken).await;
    let stream = "outbound:{0}:messages";
    let add = |id: &str, workspace: &str, text: &str| {
        let message = support::service::message("+1", text);
        chaos.redis.call::<String>(&["XADD", stream, id, "workspace", workspace, "message", &message]);
    };
    add("*", broken, "waits");
    chaos.until_readyz(200, "it is counted", |body| body["unavailable_workspaces"] == 1).await;

    // Twice: a second time behind a cursor that went back once.
    for (round, came) in [(1, 12), (2, 14)] {
        chaos.redis.call::<()>(&["DEL", stream]);
        add(&format!("{round}-1"), whole, &format!("first {round}"));
        add(&format!("{round}-2"), broken, &format!("waits too {round}"));
        add(&format!("{round}-3"), whole, &format!("second {round}"));
        chaos.until_received(came).await;
    }
    chaos.redis.call::<()>(&["RENAME", &lost, &key]);
    chaos.until_settled().await;
    chaos.check_log(whole, 9, 1).await;
    chaos.check_log(broken, 6, 1).await;
}

/// A key of another type: what belongs to one workspace must not stop its shard.
#[tokio::test]
async fn a_workspace_whose_journal_is_no_stream_any_more_is_parked_and_its_neighbours_go_on() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 3);
    let (broken, whole) = workspaces.split_first().unwrap();
    chaos.delay(&workspaces, Duration::from_millis(50));
    chaos.save(&workspaces).await;
    chaos.publish(&parcels(&workspaces, "a", 10, 2));
    chaos.until_received(30).await;
    chaos.until_settled().await;
    let key = format!("outbound:{{0}}:attempts:{broken}");
    let lost = format!("lost:{{0}}:{broken}");
    chaos.redis.call::<()>(&["RENAME", &key, &lost]);
    chaos.redis.call::<()>(&["SET", &key, "no stream"]);
    chaos.publish(&parcels(&workspaces, "b", 20, 2));
    chaos
        .receiver
        .until("the neighbours' messages came", |arrivals| {
            arrivals.iter().filter(|one| whole.contains(&one.workspace)).count() >= 60
        })
        .await;
    chaos.until_readyz(200, "it is counted", |body| body["unavailable_workspaces"] == 1).await;

    chaos.redis.call::<()>(&["DEL", &key]);
    chaos.redis.call::<()>(&["RENAME", &lost, &key]);
    chaos.until_settled().await;
    for workspace in &workspaces {
        chaos.check_log(workspace, 30, 1).await;
    }
    assert_eq!(chaos.receiver.count(), 90, "none is attempted twice");
}

/// Takes a workspace's snapshot away while no service has it in memory. Answers its key, and where it is.
async fn lose_snapshot(chaos: &mut Chaos, workspace: &str) -> (String, String) {
    chaos.service.terminate().await;
    let (key, lost) = (format!("outbound:{{0}}:snapshot:{workspace}"), format!("lost:{{0}}:{workspace}"));
    chaos.redis.call::<()>(&["RENAME", &key, &lost]);
    chaos.service.launch().await;
    (key, lost)
}

/// One shard's lease is damaged: a node that starts holds the others, and says which key it is.
#[tokio::test]
async fn a_damaged_lease_keeps_a_node_from_its_shard_alone_and_is_named() {
    let mut chaos = Chaos::start().await;
    let owner = "outbound:{0}:owner";
    for outbox in [false, true] {
        let damage: &[&[&str]] = match outbox {
            true => &[&["SET", "outbound:{0}:outbox", "in the way"]],
            false => &[&["DEL", owner], &["SET", owner, "in the way"]],
        };
        assert_eq!(chaos.service.terminate().await.code(), Some(0));
        for words in damage {
            let () = chaos.redis.call(words);
        }
        chaos.service.spawn();
        let key = if outbox { "outbound:{0}:outbox" } else { owner };
        let words = format!("{key} is damaged, so its shard is held by nobody: delete it with DEL {key}");
        chaos.until_readyz(503, &words, |body| body["reasons"].to_string().contains(&words)).await;
        let held = |body: &serde_json::Value| body["shards"]["held"] == json!([1]);
        chaos.until_readyz(503, "the other one is held", held).await;
        let () = chaos.redis.call(&["DEL", key]);
        chaos.until_readyz(200, "it is held again", |_| true).await;
    }
    assert_eq!(chaos.service.terminate().await.code(), Some(0));
    // What another program writes there.
    let () = chaos.redis.call(&["HSET", owner, "expiry", "tomorrow"]);
    chaos.service.spawn();
    chaos.until_readyz(503, "it is named", |body| body["reasons"].to_string().contains("DEL outbound:{0}:owner")).await;
    let () = chaos.redis.call(&["DEL", owner]);
    chaos.until_readyz(200, "it is held again", |_| true).await;
}
