//! Rejected entries on their way back, when Redis does not answer or has no room.

use outbound::journal::Journal as _;
use outbound::journal::port::{Rejected, RequeueError, Step};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::{EntryId, WorkspaceId};

use crate::journal::kit::{batch, entry, holder, options};
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

type Entries = Vec<(String, Vec<String>)>;
const SHARDS: u16 = 4;
const MESSAGE: &str = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;

async fn journal(url: &str) -> Redis {
    Redis::connect(&RedisOptions { shards: Some(SHARDS), ..options(url) }).await.unwrap()
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
    journal.rejected(shard, EntryId::ZERO, 10).await.unwrap().pop().unwrap().id
}

fn home() -> u16 {
    "acme".parse::<WorkspaceId>().unwrap().shard(SHARDS)
}

fn messages(server: &RedisServer) -> Entries {
    server.call(&["XRANGE", &format!("outbound:{{{}}}:messages", home()), "-", "+"])
}

#[tokio::test]
async fn an_entry_whose_move_to_another_shard_broke_off_is_at_both_places_under_one_origin() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (straight, journal) = (journal(&server.url()).await, journal(&proxy.redis_url()).await);
    let wrong = (home() + 1) % SHARDS;
    let mut broke_off = None;
    // Wherever the answer to the append ends: it is the one whose loss leaves both behind.
    for after in (0..600).step_by(10) {
        let id = set_aside(&straight, wrong, 0).await;
        proxy.set(Mode::LoseAnswer { after });
        let result = journal.requeue(wrong, id).await;
        proxy.set(Mode::Forward);
        if matches!(result, Err(RequeueError::Store(_))) && messages(&server).len() == 1 {
            broke_off = Some(id);
            break;
        }
        let () = server.call(&["XTRIM", &format!("outbound:{{{}}}:messages", home()), "MAXLEN", "0"]);
    }
    let id = broke_off.expect("one of the lost answers is that to the append");
    assert_eq!(journal.rejected_counts().await.unwrap().iter().sum::<u64>(), 1);

    journal.requeue(wrong, id).await.unwrap();
    let both = messages(&server);
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].1, both[1].1);
    assert_eq!(both[0].1[6..], ["origin", &format!("outbound:{{{wrong}}}:messages/5-0")]);
    assert_eq!(journal.rejected_counts().await.unwrap().iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn a_lost_answer_within_a_shard_requeues_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (straight, journal) = (journal(&server.url()).await, journal(&proxy.redis_url()).await);
    for after in [0, 1, 60, 120, 160, 180, 200, 220, 300] {
        let id = set_aside(&straight, home(), 0).await;
        proxy.set(Mode::LoseAnswer { after });
        journal.requeue(home(), id).await.ok();
        proxy.set(Mode::Forward);
        // Either it was requeued, and then it is gone, or it is still there to be requeued.
        match journal.requeue(home(), id).await {
            Ok(_) | Err(RequeueError::Gone { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(server.call::<u64>(&["XLEN", &format!("outbound:{{{}}}:messages", home())]), 1, "after {after}");
        let () = server.call(&["XTRIM", &format!("outbound:{{{}}}:messages", home()), "MAXLEN", "0"]);
    }
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
