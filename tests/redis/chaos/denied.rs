//! Redis answers and refuses a part of what the service needs: its user lost a command while the service ran, or a key is
//! of another type. That is told, nothing is taken for damage by it, and all goes on when it is put right.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::chaos::bench::{Chaos, SHARDS, neighbours, parcel, parcels, stream_of};

fn deny(chaos: &Chaos, command: &str) {
    let () = chaos.redis.call(&["ACL", "SETUSER", "outbound", &format!("-{command}")]);
}

fn allow(chaos: &Chaos, command: &str) {
    let () = chaos.redis.call(&["ACL", "SETUSER", "outbound", &format!("+{command}")]);
}

async fn until_told(chaos: &Chaos, words: &str) {
    chaos.until_readyz(503, words, |body| body["reasons"].to_string().contains(words)).await;
}

async fn until_ready(chaos: &Chaos) {
    chaos.until_readyz(200, "it is ready again", |body| body["reasons"] == json!([])).await;
}

/// What may not be read now is whole: an operator who has it repaired loses nothing.
#[tokio::test]
async fn a_workspace_that_may_not_be_read_is_not_damaged_and_a_repair_takes_nothing_from_it() {
    let mut chaos = Chaos::start().await;
    let [workspace] = neighbours("w", 1).try_into().unwrap();
    for command in ["get", "xinfo|stream", "exists"] {
        chaos.save(std::slice::from_ref(&workspace)).await;
        let by_owner = chaos.api().with_token_of(&workspace, "owner").await;
        chaos.publish(&[parcel(&workspace, 0, command, "lorem")]);
        chaos.until_settled().await;
        // Nothing of it is in memory.
        assert_eq!(chaos.service.terminate().await.code(), Some(0));
        chaos.service.launch().await;
        let history = chaos.api().read(&workspace, "history").await.ok();
        let log = chaos.api().log(&workspace).await;

        deny(&chaos, command);
        let api = chaos.api();
        let path = format!("/v1/workspaces/{workspace}/repair");
        let repair = tokio::spawn(async move { api.call(Method::POST, &path, None).await.unwrap() });
        until_told(&chaos, "a request of shard 0 failed").await;
        let read = chaos.api().read(&workspace, "webhook").await;
        assert_eq!(read.problem(), (503, "store-refuses"), "{command}: {}", read.body);
        assert_eq!(read.body["detail"], "the store refuses to be read; the operator's log says why");
        allow(&chaos, command);
        assert_eq!(repair.await.unwrap().ok()["lost"], json!([]), "{command}");
        chaos.api().read(&workspace, "webhook").await.ok();
        until_ready(&chaos).await;
        assert_eq!(chaos.logged("corrupt"), 0, "{command}: {}", chaos.service.log());
        assert_eq!(chaos.api().read(&workspace, "history").await.ok(), history, "{command}");
        assert_eq!(chaos.api().log(&workspace).await, log, "{command}");
        // Its token opens it still.
        by_owner.read(&workspace, "webhook").await.ok();
    }
}

/// A commit of which a part may not be written writes nothing: half a first save is a workspace that nobody can load.
#[tokio::test]
async fn a_commit_that_may_not_be_written_whole_writes_nothing() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 3);
    for (workspace, command) in workspaces.iter().zip(["set", "zadd", "zrem"]) {
        deny(&chaos, command);
        let (api, url, to) = (chaos.api(), chaos.receiver.url(workspace), workspace.clone());
        let save = tokio::spawn(async move { api.save(&to, &json!({"url": url})).await });
        until_told(&chaos, &format!("may not run {}", command.to_uppercase())).await;
        let keys: Vec<String> = chaos.redis.call(&["KEYS", &format!("*:{workspace}")]);
        assert_eq!(keys, Vec::<String>::new(), "{command}");
        allow(&chaos, command);
        save.await.unwrap().ok();
        until_ready(&chaos).await;
    }
    let published = chaos.publish(&parcels(&workspaces, "a", 5, 1));
    chaos.check_each_came_once(&workspaces, &published).await;
}

/// What is appended and not noted would be appended again, as often as it is tried.
#[tokio::test]
async fn a_hand_over_that_may_not_be_noted_hands_nothing_over() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 1);
    chaos.save(&workspaces).await;
    deny(&chaos, "hset");
    chaos.publish_to_source(&parcels(&workspaces, "a", 5, 1));
    chaos.until_logged("shards refuse messages of the common input", 0).await;
    assert_eq!(chaos.redis.call::<usize>(&["XLEN", &stream_of(&workspaces[0])]), 0);
    chaos.until_logged("the store refuses to tell which nodes there are, or to be told of this one: ", 0).await;
    allow(&chaos, "hset");
    chaos.until_received(5).await;
    chaos.until_settled().await;
    until_ready(&chaos).await;
    assert_eq!(chaos.receiver.count(), 5);
    chaos.check_log(&workspaces[0], 5, 1).await;
}

#[tokio::test]
async fn streams_that_may_not_be_read_are_told_once_and_read_on() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 2);
    chaos.save(&workspaces).await;
    deny(&chaos, "xread");
    let mut published = chaos.publish(&parcels(&workspaces, "a", 5, 1));
    until_told(&chaos, "shards 0-1: the streams cannot be read, so nothing new is taken up: ").await;
    chaos.until_logged("The store does not do all that this node needs", 0).await;
    allow(&chaos, "xread");
    published.acknowledged.extend(chaos.publish(&parcels(&workspaces, "b", 5, 1)).acknowledged);
    chaos.check_each_came_once(&workspaces, &published).await;
    until_ready(&chaos).await;
    chaos.until_logged("The store is back.", 0).await;
    let told = chaos.service.log().lines().filter(|line| line.contains("the streams cannot be read")).count();
    assert_eq!(told, 1, "one line for all shards and all tries: {}", chaos.service.log());
}

/// One shard's input is no stream.
#[tokio::test]
async fn a_stream_of_another_type_is_told_with_its_shard_and_what_callers_are_told_is_true() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 1);
    chaos.save(&workspaces).await;
    let stream = stream_of(&workspaces[0]);
    let () = chaos.redis.call(&["DEL", &stream]);
    let () = chaos.redis.call(&["SET", &stream, "in the way"]);
    until_told(&chaos, "shard 0: the streams cannot be read, so nothing new is taken up: ").await;
    let message = support::service::message("+1", "never stored");
    let reply = chaos.api().publish(&workspaces[0], &message).await.unwrap();
    assert_eq!(reply.problem(), (503, "store-refuses"), "{}", reply.body);
    assert_eq!(reply.body["detail"], "the store refuses messages, nothing was stored; the operator's log says why");
    assert_eq!(chaos.api().get("/v1/nodes").await.problem(), (503, "store-refuses"));
    let () = chaos.redis.call(&["DEL", &stream]);
    let published = chaos.publish(&parcels(&workspaces, "a", 5, 1));
    chaos.check_each_came_once(&workspaces, &published).await;
    let all: usize = chaos.api().get("/v1/nodes").await.ok()["shards"].as_array().unwrap().len();
    assert_eq!(all, usize::from(SHARDS));
    chaos.api().publish(&workspaces[0], &message).await.unwrap().ok();
    until_ready(&chaos).await;
}

/// Nobody else meets it than who asks: what Redis refuses him is told to the operator, too.
#[tokio::test]
async fn what_only_callers_are_refused_is_told_in_readyz_and_the_log() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 1);
    chaos.save(&workspaces).await;
    let (save, read) =
        (json!({"url": chaos.receiver.url(&workspaces[0])}), format!("/v1/workspaces/{}", workspaces[0]));
    let (webhook, history) = (format!("{read}/webhook"), format!("{read}/history"));
    let told = async |words: &str| {
        chaos.until_readyz(200, words, |body| body["reasons"].to_string().contains(words)).await;
    };
    for (command, path, refused) in [
        ("xrevrange", history.as_str(), "to tell the history in shard 0: "),
        ("get", webhook.as_str(), "to be read in shard 0: "),
        ("exists", webhook.as_str(), "to be read in shard 0: "),
        ("zrange", "/v1/workspaces", "to list workspaces: "),
        ("xrange", "/v1/nodes", "to count what is owed: "),
    ] {
        deny(&chaos, command);
        let reply = chaos.api().get(path).await;
        assert_eq!(reply.problem(), (503, "store-refuses"), "{command}: {}", reply.body);
        told(&format!("the store refuses {refused}")).await;
        allow(&chaos, command);
        chaos.api().get(path).await.ok();
        until_ready(&chaos).await;
    }
    chaos.until_logged("The store does not do all that this node needs", 0).await;
    // The key that every save of the shard reads first.
    let () = chaos.redis.call(&["DEL", "outbound:{0}:answers"]);
    let () = chaos.redis.call(&["SET", "outbound:{0}:answers", "in the way"]);
    let refused = chaos.api().save(&workspaces[0], &save).await;
    assert_eq!(refused.problem(), (503, "store-refuses"), "{}", refused.body);
    told("the store refuses to take or to answer commands in shard 0: ").await;
    let () = chaos.redis.call(&["DEL", "outbound:{0}:answers"]);
    chaos.save(&workspaces).await;
    until_ready(&chaos).await;
}

/// A command is stored, and what became of it may not be read in any way: the caller is told so long before the wait is over.
#[tokio::test]
async fn whoever_waits_for_an_answer_that_may_not_be_read_is_told_early() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 1);
    chaos.save(&workspaces).await;
    ["xread", "xrange"].iter().for_each(|command| deny(&chaos, command));
    let (saved, began) = (json!({"url": chaos.receiver.url(&workspaces[0])}), Instant::now());
    let reply = chaos.api().save(&workspaces[0], &saved).await;
    assert_eq!(reply.problem(), (503, "outcome-unknown"), "{}", reply.body);
    assert!(reply.body["detail"].as_str().unwrap().contains("its answer cannot be read"), "{}", reply.body);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    until_told(&chaos, "the store refuses to take or to answer commands in shard 0: ").await;
    ["xread", "xrange"].iter().for_each(|command| allow(&chaos, command));
    chaos.save(&workspaces).await;
    until_ready(&chaos).await;
}

#[tokio::test]
async fn a_common_input_of_another_type_is_told_and_the_shards_go_on() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 1);
    chaos.save(&workspaces).await;
    let () = chaos.redis.call(&["SET", "outbound:messages", "in the way"]);
    let words = "the common input cannot be handed over, and waits: ";
    chaos.until_readyz(200, words, |body| body["reasons"].to_string().contains(words)).await;
    chaos.until_logged("The source cannot be handed over; it is tried again.", 0).await;
    chaos.publish(&parcels(&workspaces, "a", 2, 1));
    chaos.until_received(2).await;
    let () = chaos.redis.call(&["DEL", "outbound:messages"]);
    chaos.publish_to_source(&parcels(&workspaces, "b", 2, 1));
    chaos.until_received(4).await;
    until_ready(&chaos).await;
}

/// A first save whose last write fails leaves a workspace that can be loaded, and the save is answered when that is mended.
#[tokio::test]
async fn a_list_of_another_type_leaves_the_workspace_whole_that_was_to_be_listed() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 1);
    let () = chaos.redis.call(&["SET", "outbound:{0}:workspaces", "in the way"]);
    let (api, url, to) = (chaos.api(), chaos.receiver.url(&workspaces[0]), workspaces[0].clone());
    let save = tokio::spawn(async move { api.save(&to, &json!({"url": url})).await });
    until_told(&chaos, "a request of shard 0 failed").await;
    let () = chaos.redis.call(&["DEL", "outbound:{0}:workspaces"]);
    save.await.unwrap().ok();
    let published = chaos.publish(&parcels(&workspaces, "a", 3, 1));
    chaos.check_each_came_once(&workspaces, &published).await;
    assert_eq!(chaos.logged("corrupt"), 0, "{}", chaos.service.log());
}

/// What lies between us and Redis lets no large answer through, as hosted ones and proxies do: less is read at a time.
#[tokio::test]
async fn large_messages_come_although_a_connection_takes_few_of_them_at_a_time() {
    let chaos = Chaos::start().await;
    let workspaces = neighbours("w", 1);
    chaos.save(&workspaces).await;
    let () = chaos.redis.call(&["CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0"]);
    let text = "t".repeat(240_000);
    let large: Vec<_> = (0..12).map(|n| parcel(&workspaces[0], n, &format!("large{n}"), &text)).collect();
    chaos.delay(&workspaces, Duration::from_millis(1));
    let published = chaos.publish(&large);
    chaos.until_received(12).await;
    chaos.publish_to_source(
        &large.iter().map(|one| parcel(&one.workspace, 0, &format!("source-{}", one.id), &text)).collect::<Vec<_>>(),
    );
    chaos.until_received(24).await;
    chaos.until_settled().await;
    assert_eq!((published.acknowledged.len(), chaos.receiver.count(), SHARDS), (12, 24, 2));
}
