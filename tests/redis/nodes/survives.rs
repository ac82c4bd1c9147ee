//! What each level of `--durability` survives, loses and repeats: the table in src/docs/operations.md, a test a column. On a
//! Redis that knows WAITAOF `local` takes that, else an fsync for every write.

use serde_json::json;

use crate::nodes::durable::{knows_waitaof, with_replica};
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Service, message};

const LEVELS: [&str; 3] = ["memory", "local", "replicated"];

/// A service at one level, with a workspace whose endpoint is held back.
struct AtLevel {
    redis: RedisServer,
    replica: Option<RedisServer>,
    receiver: Receiver,
    service: Service,
}

impl AtLevel {
    async fn start(level: &str) -> Self {
        let (redis, replica) = match level {
            "replicated" => {
                let (primary, replica) = with_replica().await;
                (primary, Some(replica))
            }
            _ => {
                let fsync = match level {
                    "local" if knows_waitaof(&RedisServer::start()) => "everysec",
                    "local" => "always",
                    _ => "no",
                };
                (RedisServer::start_with(&["--appendfsync", fsync, "--repl-diskless-sync-delay", "0"]), None)
            }
        };
        let receiver = Receiver::start();
        let service = Service::start(&redis.own_url(), &["--shards", "2", "--durability", level]).await;
        service.api().save("acme", &json!({"url": receiver.url("acme")})).await.ok();
        receiver.hold();
        Self { redis, replica, receiver, service }
    }

    /// Answered: as durable as the level says.
    async fn publish(&self, id: &str) {
        self.service.api().publish("acme", &message("+1", id)).await.unwrap().ok();
    }

    /// The same while the service finds out that its Redis was away.
    async fn publish_later(&self, id: &str) {
        let is_taken = async || self.service.api().publish("acme", &message("+1", id)).await.is_ok_and(is_accepted);
        until("it is taken", is_taken).await;
    }

    async fn is_logged(&self, id: &str) -> bool {
        self.service.api().log("acme").await.iter().any(|attempt| attempt["message_id"] == id)
    }

    async fn until_logged(&self, id: &str) {
        until(&format!("{id} is logged"), async || self.is_logged(id).await).await;
    }

    /// How often a message came, with one `webhook-id`.
    fn came(&self, id: &str) -> usize {
        let arrivals = self.receiver.arrivals();
        let ids: Vec<&String> = arrivals.iter().filter(|one| one.message_id == id).map(|one| &one.webhook_id).collect();
        assert!(ids.iter().all(|one| *one == ids[0]), "{ids:?}");
        ids.len()
    }

    /// Begins to publish where the level cannot be reached, until `reach` lets it.
    async fn waits_until(&self, id: &'static str, reach: impl FnOnce(&Self)) {
        let api = self.service.api();
        let published = tokio::spawn(async move { api.publish("acme", &message("+1", id)).await });
        until("it is told", async || self.service.log().contains("not yet as durable as --durability asks for")).await;
        assert!(!published.is_finished(), "answered before it was as durable as asked for");
        reach(self);
        published.await.unwrap().unwrap().ok();
    }
}

impl AtLevel {
    /// The endpoint has one message, and holds the other.
    async fn with_one_settled_and_one_owed(level: &str) -> Self {
        let at = Self::start(level).await;
        at.receiver.release();
        at.publish("settled").await;
        at.until_logged("settled").await;
        at.receiver.hold();
        at.publish("owed").await;
        at
    }
}

fn is_accepted(reply: support::service::Reply) -> bool {
    reply.status == 202
}

#[tokio::test]
async fn a_killed_service_loses_nothing_and_repeats_nothing_that_was_settled() {
    for level in LEVELS {
        let mut at = AtLevel::with_one_settled_and_one_owed(level).await;
        at.service.kill();
        at.receiver.release();
        at.service.launch().await;
        at.until_logged("owed").await;
        assert_eq!(at.came("settled"), 1, "{level}");
        assert!((1..=2).contains(&at.came("owed")), "{level}");
    }
}

/// What was written to the file, fsynced or not, is there when only the process dies.
#[tokio::test]
async fn a_killed_redis_loses_nothing_that_it_had_written_out() {
    for level in LEVELS {
        let mut at = AtLevel::with_one_settled_and_one_owed(level).await;
        at.redis.restart();
        if let Some(replica) = &at.replica {
            until("the replica follows", async || {
                replica.call::<String>(&["INFO", "replication"]).contains("master_link_status:up")
            })
            .await;
        }
        at.receiver.release();
        at.until_logged("owed").await;
        at.publish_later("later").await;
        at.until_logged("later").await;
        assert_eq!(at.came("settled"), 1, "{level}");
    }
}

/// Its file is cut back to what was on disk.
#[tokio::test]
async fn a_machine_that_dies_loses_what_was_not_on_disk_and_with_local_nothing_that_was_answered() {
    let mut at = AtLevel::start("memory").await;
    at.publish("owed").await;
    let on_disk = at.redis.copy_data();
    at.publish("lost").await;
    at.receiver.release();
    at.until_logged("lost").await;
    at.redis.roll_back(&on_disk);
    at.publish_later("later").await;
    at.until_logged("later").await;
    // The outcome was lost, so it is attempted again; so would the lost one have been, had it not come already.
    until("the one whose outcome was lost comes again", async || at.came("owed") == 2).await;
    assert_eq!(at.came("lost"), 1);
    at.receiver.hold();
    let on_disk = at.redis.copy_data();
    at.publish("gone").await;
    at.redis.roll_back(&on_disk);
    at.receiver.release();
    at.publish_later("last").await;
    at.until_logged("last").await;
    assert!(at.came("gone") <= 1, "attempted again though Redis has lost it");
    assert!(!at.is_logged("lost").await);

    let mut at = AtLevel::start("local").await;
    at.publish("answered").await;
    let on_disk = at.redis.copy_data();
    if knows_waitaof(&at.redis) {
        let () = at.redis.call(&["CONFIG", "SET", "appendfsync", "no"]);
        at.waits_until("waits", |at| at.redis.call(&["CONFIG", "SET", "appendfsync", "everysec"])).await;
    }
    at.redis.roll_back(&on_disk);
    at.receiver.release();
    until("what was answered is delivered", async || at.is_logged("answered").await).await;
}

#[tokio::test]
async fn a_promoted_replica_lacks_what_it_did_not_have_and_with_replicated_nothing_that_was_answered() {
    for level in LEVELS {
        let mut at = AtLevel::start(level).await;
        let replica = match at.replica.take() {
            Some(replica) => replica,
            None => {
                let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &at.redis.port().to_string()]);
                until("the replica has the save", async || {
                    replica.call::<Vec<String>>(&["KEYS", "*:snapshot:acme"]).len() == 1
                })
                .await;
                replica
            }
        };
        if level == "replicated" {
            replica.pause();
            at.waits_until("answered", |_| replica.resume()).await;
            let () = replica.call(&["REPLICAOF", "NO", "ONE"]);
        } else {
            // Cut off from its primary.
            let () = replica.call(&["REPLICAOF", "NO", "ONE"]);
            at.publish("answered").await;
        }
        at.redis.kill();
        at.service.kill();
        at.service.set("--journal", &replica.own_url());
        at.service.set("--durability", "memory");
        at.receiver.release();
        at.service.launch().await;
        at.publish("later").await;
        at.until_logged("later").await;
        assert_eq!(at.is_logged("answered").await, level == "replicated", "{level}");
    }
}
