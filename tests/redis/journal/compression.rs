//! Compressed attempts: both forms side by side, one dictionary for all, and what its loss means.

use std::sync::Arc;

use outbound::config::{Compression, DICTIONARY_BYTES_MAX, DICTIONARY_SAMPLES};
use outbound::journal::Journal as _;
use outbound::journal::port::{ATTEMPTS_KEPT, COMMIT_EVENTS_MAX, Holder, LoadError, ReadError, ShardLine};
use outbound::journal::redis::{Redis, RedisOptions};

use crate::journal::kit::{Workspace, acquire, batch, entry, holder, options, until};
use support::redis_server::RedisServer;

/// As XRANGE answers them: ids, and names and values.
type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

const DICTIONARIES: &str = "outbound:dictionaries";

async fn compressing(server: &RedisServer) -> Redis {
    let compression = Compression::Zstd;
    Redis::connect(&RedisOptions { compression, shards: None, ..options(&server.url()) }).await.unwrap()
}

async fn line(journal: &Redis, node: &Holder) -> Box<dyn ShardLine> {
    journal.acquire(0, node).await.unwrap().line
}

/// Attempts of a workspace by the field that they stand in.
fn forms(server: &RedisServer, workspace: &str) -> (usize, usize) {
    let key = format!("outbound:{{0}}:attempts:{workspace}");
    let entries: Entries = server.call(&["XRANGE", &key, "-", "+"]);
    let of = |name: &str| entries.iter().filter(|(_, fields)| fields[0].0 == name).count();
    (of("e"), of("z"))
}

async fn attempt(line: &dyn ShardLine, workspace: &mut Workspace, count: usize) {
    let step = |n| workspace.attempted_with_snapshot(entry(n));
    let steps: Vec<_> = (0..count as u64).map(step).collect();
    for some in steps.chunks(COMMIT_EVENTS_MAX) {
        line.commit(batch(some.to_vec())).await.unwrap();
    }
}

/// Makes attempts until they are compressed.
async fn attempt_until_compressed(server: &RedisServer, line: &dyn ShardLine, workspace: &mut Workspace) {
    attempt(line, workspace, DICTIONARY_SAMPLES).await;
    until(|| server.call::<usize>(&["HLEN", DICTIONARIES]) == 2).await;
    while forms(server, workspace.id.as_str()).1 < 10 {
        attempt(line, workspace, 1).await;
    }
}

async fn started(journal: &Redis, line: &dyn ShardLine, id: &str) -> Workspace {
    assert_eq!(journal.shards(), 1);
    let mut workspace = Workspace::new(id);
    line.commit(batch([workspace.saved()])).await.unwrap();
    workspace
}

async fn assert_readable(journal: &Redis, line: &dyn ShardLine, workspace: &Workspace) {
    let reading = journal.read(&workspace.id).await.unwrap();
    let seqs: Vec<_> = reading.attempts.iter().map(|(seq, _)| *seq).collect();
    let newest = workspace.state.seq;
    assert_eq!(seqs, (newest - ATTEMPTS_KEPT as u64 + 1..=newest).rev().collect::<Vec<_>>());
    assert_eq!(reading.state, workspace.state);
    assert_eq!(line.load(&workspace.id).await.unwrap().unwrap().state, workspace.state);
    assert!(line.newest(&workspace.id).await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn a_dictionary_is_made_of_the_first_attempts_and_both_forms_are_read_whichever_is_written() {
    // Given a log whose first entries are JSON and whose last ones are compressed
    let server = RedisServer::start();
    Redis::connect(&options(&server.url())).await.unwrap();
    let journal = compressing(&server).await;
    let held = line(&journal, &holder("node-a")).await;
    let mut acme = started(&journal, &*held, "acme").await;
    attempt_until_compressed(&server, &*held, &mut acme).await;
    let (plain, packed) = forms(&server, "acme");
    assert!(plain > 50 && packed >= 10, "{plain} {packed}");
    let current: String = server.call(&["HGET", DICTIONARIES, "current"]);
    assert!(server.call::<Vec<u8>>(&["HGET", DICTIONARIES, &current]).len() <= DICTIONARY_BYTES_MAX);
    assert_readable(&journal, &*held, &acme).await;

    // When compression is off
    let plainly = Redis::connect(&options(&server.url())).await.unwrap();
    let held = line(&plainly, &holder("node-a")).await;
    // Then both forms are read, and JSON is written
    assert_readable(&plainly, &*held, &acme).await;
    attempt(&*held, &mut acme, 5).await;
    assert!(forms(&server, "acme").1 <= packed);
    assert_readable(&plainly, &*held, &acme).await;

    // When it is on again, then the same dictionary is used, and no other is made
    let journal = compressing(&server).await;
    let held = line(&journal, &holder("node-a")).await;
    while forms(&server, "acme").1 < ATTEMPTS_KEPT {
        attempt(&*held, &mut acme, 1).await;
    }
    assert_readable(&journal, &*held, &acme).await;
    assert_eq!(server.call::<usize>(&["HLEN", DICTIONARIES]), 2);
    assert_eq!(server.call::<String>(&["HGET", DICTIONARIES, "current"]), current);
}

#[tokio::test]
async fn a_lost_dictionary_is_named_for_whoever_needs_it_and_harms_nobody_else() {
    // Given one workspace with compressed attempts above its snapshot, and one without
    let server = RedisServer::start();
    Redis::connect(&options(&server.url())).await.unwrap();
    let journal = compressing(&server).await;
    let held = line(&journal, &holder("node-a")).await;
    let (mut acme, mut other) = (started(&journal, &*held, "acme").await, started(&journal, &*held, "other").await);
    held.commit(batch([other.attempted(entry(1))])).await.unwrap();
    attempt_until_compressed(&server, &*held, &mut acme).await;
    held.commit(batch([acme.attempted(entry(9))])).await.unwrap();
    // When the dictionary is lost
    let lost: Vec<(String, Vec<u8>)> = server.call(&["HGETALL", DICTIONARIES]);
    assert_eq!(lost.len(), 2);
    server.call::<()>(&["RENAME", DICTIONARIES, "lost"]);
    let fresh = Redis::connect(&options(&server.url())).await.unwrap();
    let held = line(&fresh, &holder("node-a")).await;
    // Then it is named, by loads and by reads
    let LoadError::Corrupt { detail, .. } = held.load(&acme.id).await.unwrap().unwrap_err() else {
        panic!("corrupt");
    };
    let version: String = server.call(&["HGET", "lost", "current"]);
    assert!(detail.contains(&format!("dictionary {version}, which is not in {DICTIONARIES}")), "{detail}");
    let read = fresh.read(&acme.id).await.unwrap_err();
    assert!(matches!(read, ReadError::Load(LoadError::Corrupt { .. })), "{read}");
    assert!(matches!(held.newest(&acme.id).await.unwrap(), Err(LoadError::Corrupt { .. })));
    // And the others go on
    assert_eq!(held.load(&other.id).await.unwrap().unwrap().state, other.state);
    held.commit(batch([other.attempted(entry(2))])).await.unwrap();
    assert_eq!(fresh.read(&other.id).await.unwrap().state, other.state);
    // When it is back, then everything is readable again
    server.call::<()>(&["RENAME", "lost", DICTIONARIES]);
    assert_readable(&fresh, &*held, &acme).await;
}

#[tokio::test]
async fn a_redis_that_lost_the_dictionary_gets_it_back_before_anything_names_it_again() {
    let mut server = RedisServer::start();
    Redis::connect(&options(&server.url())).await.unwrap();
    let journal = compressing(&server).await;
    let held = line(&journal, &holder("node-a")).await;
    let mut acme = started(&journal, &*held, "acme").await;
    attempt_until_compressed(&server, &*held, &mut acme).await;
    server.call::<()>(&["DEL", DICTIONARIES]);
    server.kill();
    server.restart();
    held.commit(batch([acme.attempted(entry(9))])).await.unwrap();
    let fresh = Redis::connect(&options(&server.url())).await.unwrap();
    assert_eq!(fresh.read(&acme.id).await.unwrap().state, acme.state);
}

#[tokio::test]
async fn an_entry_that_is_damaged_is_named_by_its_seq() {
    let server = RedisServer::start();
    let journal = Redis::connect(&options(&server.url())).await.unwrap();
    let held = acquire(&journal).await.line;
    let mut acme = started(&journal, &*held, "acme").await;
    held.commit(batch([acme.attempted(entry(1))])).await.unwrap();
    for (fields, expected) in [
        (["z", "abc"], "seq 3 cannot be decompressed"),
        (["z", "abcdefgh"], "dictionary 61626364, which is not in outbound:dictionaries"),
        (["y", "{}"], "seq 3 has neither the field e nor z"),
    ] {
        let key = "outbound:{0}:attempts:acme";
        server.call::<()>(&["XADD", key, "3-0", fields[0], fields[1]]);
        let error = held.load(&acme.id).await.unwrap().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(journal.read(&acme.id).await.unwrap_err().to_string().contains(expected));
        // Gone with the memory of its id.
        server.call::<()>(&["XDEL", key, "3-0"]);
        server.call::<()>(&["XSETID", key, "2-0"]);
    }
}

#[tokio::test]
async fn nodes_that_train_at_the_same_time_agree_on_one_dictionary() {
    // Given two nodes that hold a shard each and know of no dictionary
    let server = RedisServer::start();
    Redis::connect(&RedisOptions { shards: Some(2), ..options(&server.url()) }).await.unwrap();
    let nodes = [Arc::new(compressing(&server).await), Arc::new(compressing(&server).await)];
    let ids = [0, 1].map(|shard| {
        let all = (0..).map(|n| format!("ws-{n}"));
        all.map(|id| Workspace::new(&id)).find(|workspace| workspace.id.shard(2) == shard).unwrap()
    });
    // When both have enough attempts at the same time
    let trained = nodes.iter().zip(ids).zip([0, 1]).map(|((node, mut workspace), shard)| {
        let node = Arc::clone(node);
        async move {
            let held = node.acquire(shard, &holder(&format!("node-{shard}"))).await.unwrap().line;
            held.commit(batch([workspace.saved()])).await.unwrap();
            attempt(&*held, &mut workspace, DICTIONARY_SAMPLES).await;
            (held, workspace, shard)
        }
    });
    let mut trained = futures_util::future::join_all(trained).await;
    let key = |workspace: &Workspace, shard: u16| format!("outbound:{{{shard}}}:attempts:{}", workspace.id);
    let is_packed = |key: &str| {
        let last: Entries = server.call(&["XREVRANGE", key, "+", "-", "COUNT", "1"]);
        last.into_iter().flat_map(|(_, fields)| fields).find(|(name, _)| name == "z").map(|(_, packed)| packed)
    };
    let mut named = Vec::new();
    for (held, workspace, shard) in &mut trained {
        let key = key(workspace, *shard);
        while is_packed(&key).is_none() {
            attempt(&**held, workspace, 1).await;
        }
        named.push(is_packed(&key).unwrap()[..4].to_vec());
    }
    // Then both name the same, which is the only one
    assert_eq!(named[0], named[1]);
    assert_eq!(server.call::<usize>(&["HLEN", DICTIONARIES]), 2);
    // And each reads what the other wrote
    for (node, (_, workspace, _)) in nodes.iter().zip(trained.iter().rev()) {
        assert_eq!(node.read(&workspace.id).await.unwrap().state, workspace.state);
    }
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_even_where_it_may_forget() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let volatile = RedisOptions { allow_volatile: true, ..options(&server.url()) };
    Redis::connect(&volatile).await.unwrap();
    let refused = Redis::connect(&RedisOptions { compression: Compression::Zstd, ..volatile }).await.unwrap_err();
    assert!(refused.to_string().contains("set it to noeviction"), "{refused}");
}
