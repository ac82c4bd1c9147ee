//! What `--durability` costs: `durability`. The backlog of `spread` at each level, in turns, each on a Redis that can keep it:
//! `local` with WAITAOF where the server has it, else with an fsync for every write; `replicated` with a replica.

use std::time::{Duration, Instant};

use support::process::PATIENCE;
use support::redis_server::RedisServer;

use super::report::Report;
use super::run::Bench;
use super::scenario::Size;
use super::store;
use super::variants::{self, Variant};

pub(crate) async fn measure(size: &Size) -> Report {
    let replicated = store::start();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &replicated.port().to_string()]);
    let levels = [
        Variant::new("memory", &[], Bench::on(store::start())),
        Variant::new("local", &["--durability", "local"], Bench::on(for_local())),
        Variant::new(REPLICATED, &["--durability", "replicated"], Bench::on(replicated)),
    ];
    let follow = |level: &Variant| {
        if level.name == REPLICATED {
            until_follows(&level.bench.redis, &replica);
        }
    };
    variants::measure(levels, size, follow).await
}

const REPLICATED: &str = "replicated";

/// A Redis that can say when something is on disk.
pub(crate) fn for_local() -> RedisServer {
    let redis = store::start();
    let knows = redis.call::<Vec<redis::Value>>(&["COMMAND", "INFO", "WAITAOF"]).first() != Some(&redis::Value::Nil);
    if knows {
        // The user that the service has in redis/users.acl may not ask it: a Redis before 7.2 does not know the word.
        redis.call::<()>(&["ACL", "SETUSER", "outbound", "+waitaof"]);
        return redis;
    }
    RedisServer::start_with(&["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"])
}

/// Waits until the replica has what there is.
fn until_follows(primary: &RedisServer, replica: &RedisServer) {
    let began = Instant::now();
    while !replica.call::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        || !primary.call::<String>(&["INFO", "replication"]).contains("state=online")
    {
        assert!(began.elapsed() < PATIENCE, "the replica does not follow");
        std::thread::sleep(Duration::from_millis(20)); // Until it does.
    }
}
