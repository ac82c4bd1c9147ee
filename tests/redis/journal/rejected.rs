//! Rejected entries on their way back, when Redis does not answer or has no room.

use outbound::journal::Journal as _;
use outbound::journal::port::{Rejected, RequeueError, Step};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::{EntryId, WorkspaceId};

use crate::journal::cluster::{cluster_of, cluster_options, is_on_second};
use crate::journal::kit::{batch, entry, holder, options};
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

type Entries = Vec<(String, Vec<String>)>;
const SHARDS: u16 = 4;
const MESSAGE: &str = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;

async fn journal(url: &str) -> Redis {
    Redis::connect(&RedisOptions { shards: Some(SHARDS), ..options(url) }).await.unwrap()
}

async fn cluster_journal(nodes: &[RedisServer; 2]) -> Redis {
    Redis::connect(&cluster_options(nodes)).await.unwrap()
}

/// Sets a valid message of acme aside in `shard`; answers with its id there.
async fn set_aside(journal: &Redis, shard: u16, padding: usize) -> EntryId {
    let padding = "x".repeat(padding);
    let fields = [("workspace", "acme"), ("message", MESSAGE), ("pad", &padding), ("_id", "5-0")];
    let fields = fields.map(|(name, value)| (name.to_owned().into(), value.to_owned().into()));
    let step = Step { rejected: vec![Rejected { id: entry(5), fields: fields.into() }], ..Step::default() };
    let held = journal.acquire(shard, &holder("node-a")).await.unwrap();
    held.connection.commit(batch([step])).await.unwrap();
    held.connection.release().await.unwrap();
    journal.rejected(shard, EntryId::ZERO, 1_000).await.unwrap().pop().unwrap().id
}

fn home() -> u16 {
    "acme".parse::<WorkspaceId>().unwrap().shard(SHARDS)
}

fn messages(server: &RedisServer) -> Entries {
    server.call(&["XRANGE", &format!("outbound:{{{}}}:messages", home()), "-", "+"])
}

#[tokio::test]
async fn a_lost_answer_requeues_once_within_a_shard_and_to_another_one() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (straight, journal) = (journal(&server.url()).await, journal(&proxy.redis_url()).await);
    for from in [home(), (home() + 1) % SHARDS] {
        for after in [0, 1, 60, 120, 160, 180, 200, 220, 300] {
            let id = set_aside(&straight, from, 0).await;
            proxy.set(Mode::LoseAnswer { after });
            journal.requeue(from, id).await.ok();
            proxy.set(Mode::Forward);
            // Either it was requeued, and then it is gone, or it is still there to be requeued.
            match journal.requeue(from, id).await {
                Ok(_) | Err(RequeueError::Gone { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            let moved = messages(&server);
            assert_eq!(moved.len(), 1, "from {from} after {after}");
            assert_eq!(moved[0].1[6..], ["origin", &format!("outbound:{{{from}}}:messages/5-0")]);
            let () = server.call(&["XTRIM", &format!("outbound:{{{}}}:messages", home()), "MAXLEN", "0"]);
        }
    }
    assert_eq!(journal.rejected_counts().await.unwrap().iter().sum::<u64>(), 0);
}

/// Everybody asks for the same entries: each is moved by one of them.
async fn all_are_moved_once(journals: [&Redis; 2], from: u16, stored: impl Fn() -> Entries) {
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(set_aside(journals[0], from, 0).await);
    }
    let move_all = async |journal: &Redis| {
        let mut moved = 0_usize;
        for id in &ids {
            match journal.requeue(from, *id).await {
                Ok(_) => moved += 1,
                Err(RequeueError::Gone { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        moved
    };
    let (one, two) = tokio::join!(move_all(journals[0]), move_all(journals[1]));
    assert_eq!((one + two, stored().len()), (ids.len(), ids.len()), "from {from}");
    assert_eq!(journals[0].rejected_counts().await.unwrap().iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn two_nodes_that_requeue_the_same_entries_at_once_move_each_once() {
    let server = RedisServer::start();
    let (one, two) = (journal(&server.url()).await, journal(&server.url()).await);
    for from in [home(), (home() + 1) % SHARDS] {
        all_are_moved_once([&one, &two], from, || messages(&server)).await;
        let () = server.call(&["XTRIM", &format!("outbound:{{{}}}:messages", home()), "MAXLEN", "0"]);
    }

    let nodes = cluster_of(&[]).await;
    let (one, two) = (cluster_journal(&nodes).await, cluster_journal(&nodes).await);
    let stream = format!("outbound:{{{}}}:messages", home());
    let node_of = |shard: u16| usize::from(is_on_second(&nodes, &format!("outbound:{{{shard}}}:messages")));
    let away = (0..SHARDS).find(|shard| node_of(*shard) != node_of(home())).unwrap();
    all_are_moved_once([&one, &two], away, || nodes[node_of(home())].call(&["XRANGE", &stream, "-", "+"])).await;
    let claims = format!("outbound:{{{away}}}:requeueing");
    assert_eq!(nodes[node_of(away)].call::<u64>(&["HLEN", &claims]), 0);
}

/// Whoever had claimed the entry died before it moved it; or the clock of its server was set back since.
#[tokio::test]
async fn a_claim_that_nobody_keeps_holds_nothing_up() {
    let nodes = cluster_of(&[]).await;
    let journal = cluster_journal(&nodes).await;
    let node_of = |shard: u16| usize::from(is_on_second(&nodes, &format!("outbound:{{{shard}}}:messages")));
    let away = (0..SHARDS).find(|shard| node_of(*shard) != node_of(home())).unwrap();
    let claims = format!("outbound:{{{away}}}:requeueing");
    let claim = |id: EntryId, ms: i64| {
        let until = (outbound::app::now().unix_ms() + ms).to_string();
        nodes[node_of(away)].call::<u64>(&["HSET", &claims, &id.to_string(), &until])
    };
    for ms in [-1, 3_600_000] {
        let id = set_aside(&journal, away, 0).await;
        claim(id, ms);
        journal.requeue(away, id).await.unwrap();
    }
    let id = set_aside(&journal, away, 0).await;
    claim(id, 20_000);
    let refused = journal.requeue(away, id).await.unwrap_err();
    assert!(matches!(refused, RequeueError::Gone { .. }), "{refused}");
    assert_eq!(journal.rejected_counts().await.unwrap().iter().sum::<u64>(), 1, "it stays");
}

#[tokio::test]
async fn a_full_redis_requeues_nothing_and_says_so() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let (own, astray) = (home(), (home() + 1) % SHARDS);
    let ids = [(own, set_aside(&journal, own, 100).await), (astray, set_aside(&journal, astray, 100).await)];
    let () = server.call(&["CONFIG", "SET", "maxmemory", "1"]);
    for (shard, id) in ids {
        let refused = journal.requeue(shard, id).await.unwrap_err();
        assert!(matches!(refused, RequeueError::Full), "{refused}");
    }
    let () = server.call(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(messages(&server).is_empty());
    for (shard, id) in ids {
        journal.requeue(shard, id).await.unwrap();
    }
    assert_eq!(messages(&server).len(), 2);
}
