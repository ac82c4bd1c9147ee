//! Logs that nobody adds to any more.

use serde_json::{Value, json};
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Service, message};

#[tokio::test]
async fn old_logs_go_and_the_webhook_stays_in_redis() {
    let redis = RedisServer::start();
    old_logs_go(&redis.url()).await;
    let left = redis.keys();
    assert!(!left.iter().any(|key| key.ends_with(":invented")), "nothing stays of what a producer made up: {left:?}");
}

#[tokio::test]
async fn old_logs_go_and_the_webhook_stays_in_a_file() {
    old_logs_go("embedded").await;
}

async fn old_logs_go(journal: &str) {
    let receiver = Receiver::start();
    let mut service = Service::start(journal, &["--log-max-age", "2s"]).await;
    let api = service.api();
    api.save("acme", &json!({ "url": receiver.url("acme") })).await.ok();
    for n in 0..3 {
        api.publish("acme", &message("+1", &format!("m{n}"))).await.unwrap().ok();
    }
    api.publish("invented", &message("+1", "m")).await.unwrap().ok();
    receiver.until("all came", |arrivals| arrivals.len() == 3).await;
    let listed = async || {
        let list = api.get("/v1/workspaces").await.ok();
        list["workspaces"].as_array().unwrap().iter().map(|line| line["workspace"].clone()).collect::<Vec<_>>()
    };
    // Nothing is under way when the service is killed, and nothing comes to what was dropped.
    let all_is_settled = async || {
        let nodes = api.get("/v1/nodes").await.ok();
        nodes["shards"].as_array().unwrap().iter().all(|shard| shard["owed"] == 0)
    };
    let both_are_listed = async || {
        // What is older than two seconds goes; on a slow machine it may go before it is looked for.
        api.publish("invented", &message("+1", "m")).await.unwrap().ok();
        listed().await == ["acme", "invented"]
    };
    until("both are listed", both_are_listed).await;
    until("all is settled", all_is_settled).await;
    until("the log is dropped", async || api.log("acme").await.is_empty() && listed().await == ["acme"]).await;
    let webhook = api.webhook("acme").await;
    assert_eq!((&webhook["status"], &webhook["last_attempt"]), (&json!("enabled"), &Value::Null), "{webhook}");
    assert_eq!(api.read("acme", "history").await.ok()["history"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.webhook("invented").await["skipped"]["count"], 0);

    // It goes on, over a restart too.
    service.kill();
    service.set("--log-max-age", "1h");
    service.launch().await;
    api.publish("acme", &message("+1", "m3")).await.unwrap().ok();
    until("it is logged", async || api.log("acme").await.len() == 1).await;
    assert_eq!(receiver.ids("acme"), ["m0", "m1", "m2", "m3"]);
}
