//! A workspace whose stored data is damaged: it can be repaired, and forgotten and saved anew.

use std::process::Output;

use outbound::app::now;
use outbound::journal::Journal;
use outbound::journal::embedded::Embedded;
use outbound::journal::port::{Batch, Holder, Step};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, shard};
use support::process::{outbound, printed};
use support::service::{Reply, TOKEN};

#[tokio::test]
async fn a_damaged_workspace_is_forgotten_and_saved_anew_on_the_embedded_journal() {
    a_damaged_workspace_is_forgotten(Kind::Embedded, "{\"v\":1,\"seq\"").await;
}

#[tokio::test]
async fn a_damaged_workspace_is_forgotten_and_saved_anew_on_redis() {
    a_damaged_workspace_is_forgotten(Kind::Redis, "").await;
}

async fn a_damaged_workspace_is_forgotten(kind: Kind, snapshot: &str) {
    let mut bench = Bench::start(kind, &[]).await;
    bench.save("acme", json!({"owner_email": "owner@example.com"})).await;
    bench.save("other", json!({})).await;
    let token = minted(&bench).await;
    damage(&mut bench, snapshot).await;
    bench.publish_ids("acme", "+1", &["m-1"]).await;
    let save = json!({"url": bench.receiver.url("acme")});
    assert_eq!(bench.api().save("acme", &save).await.problem(), (503, "workspace-unavailable"));
    assert_eq!(delete(&bench).await.status, 204);
    let webhook = bench.api().webhook("acme").await;
    assert_eq!((&webhook["status"], &webhook["owner_email"]), (&json!("not_configured"), &Value::Null));
    bench.api().until("acme", "what waited is skipped", |webhook| webhook["skipped"]["count"] == 1).await;
    assert_eq!(bench.api().read("acme", "history").await.ok()["history"], json!([]));

    bench.save("acme", json!({})).await;
    bench.publish_ids("acme", "+1", &["m-2"]).await;
    bench.receiver.until("the next one is sent", |arrivals| arrivals.len() == 1).await;
    let mut jane = bench.api();
    jane.token = Some(token);
    assert_eq!(jane.read("acme", "webhook").await.status, 401, "its tokens ended with it");
    // Again, and after a restart.
    assert_eq!(delete(&bench).await.status, 204);
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    bench.service.launch().await;
    assert_eq!(bench.api().webhook("acme").await["status"], "not_configured");
    bench.save("acme", json!({})).await;
    assert_eq!(bench.api().webhook("other").await["status"], "enabled");
}

#[tokio::test]
async fn a_repair_keeps_what_can_be_read_on_the_embedded_journal() {
    a_repair_keeps_what_can_be_read(Kind::Embedded).await;
}

#[tokio::test]
async fn a_repair_keeps_what_can_be_read_on_redis() {
    a_repair_keeps_what_can_be_read(Kind::Redis).await;
}

async fn a_repair_keeps_what_can_be_read(kind: Kind) {
    let mut bench = Bench::start(kind, &[]).await;
    let saved = bench.save("acme", json!({"owner_email": "owner@example.com", "headers": {"x-key": "value"}})).await;
    let secret = bench.api().read("acme", "webhook/secret").await.ok();
    bench.publish_ids("acme", "+1", &["m-1", "m-2"]).await;
    bench.api().until("acme", "both are logged", |webhook| webhook["last_attempt"]["message_id"] == "m-2").await;
    let token = minted(&bench).await;
    assert_eq!(printed(&repair(&bench)), "nothing of acme is damaged\n");
    damage(&mut bench, "[]").await;
    bench.publish_ids("acme", "+1", &["m-3"]).await;
    assert_eq!(bench.api().read("acme", "webhook").await.problem(), (503, "workspace-unavailable"));

    let told = printed(&repair(&bench));
    let lost = "the snapshot cannot be read: the webhook is as its last change that can be read left it";
    assert!(told.starts_with("acme was repaired; what is lost:\n") && told.contains(lost), "{told}");
    bench.receiver.until("what waited is sent", |arrivals| arrivals.len() == 3).await;
    let arrivals = bench.receiver.arrivals();
    assert!(arrivals.iter().all(|one| one.verified == Some(true) && one.header("x-key") == Some("value")));
    let kept =
        bench.api().until("acme", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == "m-3").await;
    for member in ["url", "enabled", "owner_email", "headers", "status"] {
        assert_eq!(kept[member], saved[member], "{member}");
    }
    assert_eq!(bench.api().read("acme", "webhook/secret").await.ok(), secret);
    let ids: Vec<Value> = bench.api().log("acme").await.iter().map(|attempt| attempt["message_id"].clone()).collect();
    assert_eq!(ids, ["m-3", "m-2", "m-1"]);
    assert_eq!(bench.api().read("acme", "history").await.ok()["history"].as_array().unwrap().len(), 1);
    let mut jane = bench.api();
    jane.token = Some(token);
    assert_eq!(jane.read("acme", "webhook").await.status, 401, "how often tokens were revoked is not known any more");
    assert_eq!(printed(&repair(&bench)), "nothing of acme is damaged\n");
}

/// What only a Redis can do to a workspace: keys that are gone, of another type, or cut.
#[tokio::test]
async fn whatever_happened_to_its_keys_a_workspace_is_repaired_and_its_shard_goes_on() {
    let bench = Bench::start(Kind::Redis, &[]).await;
    let shard = shard("acme");
    let key = |what: &str| format!("outbound:{{{shard}}}:{what}:acme");
    let redis = bench.redis();
    bench.save("acme", json!({})).await;
    let mut sent = 0;
    for (n, damage) in ["snapshot", "attempts", "journal", "last", "both", "event", "types"].into_iter().enumerate() {
        bench.publish_ids("acme", "+1", &[&format!("m-{n}")]).await;
        sent += 1;
        bench
            .api()
            .until("acme", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == format!("m-{n}"))
            .await;
        match damage {
            "both" => redis.call::<()>(&["DEL", &key("attempts"), &key("journal")]),
            "event" => redis.call::<()>(&["XADD", &key("attempts"), "9999999-0", "e", "{"]),
            "types" => {
                for what in ["attempts", "journal", "last", "snapshot"] {
                    redis.call::<()>(&["DEL", &key(what)]);
                    redis.call::<()>(&["LPUSH", &key(what), "x"]);
                }
            }
            what => {
                redis.call::<()>(&["DEL", &key(what)]);
                redis.call::<()>(&["LPUSH", &key(what), "x"]);
            }
        }
        let repaired = bench.api().call(Method::POST, "/v1/workspaces/acme/repair", None).await.unwrap().ok();
        assert_ne!(repaired["lost"], json!([]), "{damage}");
        bench.api().read("acme", "attempts/log").await.ok();
        bench.api().read("acme", "history").await.ok();
        let listed = bench.api().get("/v1/workspaces").await.ok();
        assert_eq!(listed["workspaces"][0]["status"], repaired["webhook"]["status"], "{damage}: {listed}");
        if repaired["webhook"]["status"] == "not_configured" {
            bench.save("acme", json!({})).await;
        }
    }
    bench.publish_ids("acme", "+1", &["m-last"]).await;
    bench.receiver.until("all are sent", |arrivals| arrivals.len() == sent + 1).await;
}

/// Damages the snapshot of acme, behind the service's back.
async fn damage(bench: &mut Bench, snapshot: &str) {
    if bench.store_folder().is_some() {
        let key = format!("outbound:{{{}}}:snapshot:acme", shard("acme"));
        assert_eq!(bench.service.terminate().await.code(), Some(0));
        bench.redis().call::<()>(&["SET", &key, snapshot]);
    } else {
        assert_eq!(bench.service.terminate().await.code(), Some(0));
        let journal = Embedded::open(&bench.service.data_dir().join("outbound.redb"), None, now).unwrap();
        let holder = Holder { node: "test".to_owned(), lease: std::time::Duration::from_secs(60) };
        let held = journal.acquire(shard("acme"), &holder).await.unwrap();
        let workspace = Some("acme".parse().unwrap());
        let step = Step { workspace, snapshot: Some(snapshot.to_owned().into()), ..Step::default() };
        held.connection.commit(Batch { steps: vec![step], ..Batch::default() }).await.unwrap();
    }
    bench.service.launch().await;
}

async fn minted(bench: &Bench) -> String {
    let made = bench.api().call(Method::POST, "/v1/workspaces/acme/tokens", None).await.unwrap().ok();
    made["token"].as_str().unwrap().to_owned()
}

async fn delete(bench: &Bench) -> Reply {
    bench.api().call(Method::DELETE, "/v1/workspaces/acme", None).await.unwrap()
}

fn repair(bench: &Bench) -> Output {
    let server = format!("http://{}", bench.api().address());
    outbound(&["repair", "acme", "--server", &server]).env("OUTBOUND_ADMIN_TOKEN", TOKEN).output().unwrap()
}
