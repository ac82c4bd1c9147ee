//! Compressed attempts: both forms side by side, and what cannot be decompressed.

use outbound::config::Compression;
use outbound::journal::Journal as _;
use outbound::journal::port::{ATTEMPTS_RETAINED, COMMIT_EVENTS_MAX, Holder, LoadError, ReadError, ShardConnection};
use outbound::journal::redis::{Redis, RedisOptions};

use crate::journal::kit::{Workspace, acquire, batch, entry, holder, options};
use support::redis_server::RedisServer;

/// As XRANGE answers them: ids, and names and values.
type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

async fn storing(compression: Compression, server: &RedisServer) -> Redis {
    Redis::connect(&RedisOptions { compression, ..options(&server.url()) }).await.unwrap()
}

async fn compressing(server: &RedisServer) -> Redis {
    storing(Compression::Zstd, server).await
}

async fn connection(journal: &Redis, node: &Holder) -> Box<dyn ShardConnection> {
    journal.acquire(0, node).await.unwrap().connection
}

/// Attempts of a workspace by the field that they stand in.
fn forms(server: &RedisServer, workspace: &str) -> (usize, usize) {
    let key = format!("outbound:{{0}}:attempts:{workspace}");
    let entries: Entries = server.call(&["XRANGE", &key, "-", "+"]);
    let of = |name: &str| entries.iter().filter(|(_, fields)| fields[0].0 == name).count();
    (of("e"), of("z"))
}

async fn attempt(connection: &dyn ShardConnection, workspace: &mut Workspace, count: usize) {
    let step = |n| workspace.attempted_with_snapshot(entry(n));
    let steps: Vec<_> = (0..count as u64).map(step).collect();
    for some in steps.chunks(COMMIT_EVENTS_MAX) {
        connection.commit(batch(some.to_vec())).await.unwrap();
    }
}

async fn started(journal: &Redis, connection: &dyn ShardConnection, id: &str) -> Workspace {
    assert_eq!(journal.shards(), 1);
    let mut workspace = Workspace::new(id);
    connection.commit(batch([workspace.saved()])).await.unwrap();
    workspace
}

async fn assert_readable(journal: &Redis, connection: &dyn ShardConnection, workspace: &Workspace) {
    let reading = journal.read(&workspace.id).await.unwrap();
    let seqs: Vec<_> = reading.attempts.iter().map(|(seq, _)| *seq).collect();
    let newest = workspace.state.seq;
    assert_eq!(seqs, (newest - ATTEMPTS_RETAINED as u64 + 1..=newest).rev().collect::<Vec<_>>());
    assert_eq!(reading.state, workspace.state);
    assert_eq!(connection.load(&workspace.id).await.unwrap().unwrap().state, workspace.state);
    assert!(connection.newest(&workspace.id).await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn both_forms_are_read_whichever_is_written() {
    // Given a log whose first entries are JSON and whose last ones are compressed
    let server = RedisServer::start();
    let plainly = storing(Compression::None, &server).await;
    let held = connection(&plainly, &holder("node-a")).await;
    let mut acme = started(&plainly, &*held, "acme").await;
    attempt(&*held, &mut acme, ATTEMPTS_RETAINED).await;
    assert_eq!(forms(&server, "acme").1, 0);
    let journal = compressing(&server).await;
    let held = connection(&journal, &holder("node-a")).await;
    attempt(&*held, &mut acme, 20).await;
    let (plain, packed) = forms(&server, "acme");
    assert!(plain > 50 && packed == 20, "{plain} {packed}");
    assert_readable(&journal, &*held, &acme).await;

    // When compression is off
    let plainly = storing(Compression::None, &server).await;
    let held = connection(&plainly, &holder("node-a")).await;
    // Then both forms are read, and JSON is written
    assert_readable(&plainly, &*held, &acme).await;
    attempt(&*held, &mut acme, 5).await;
    assert!(forms(&server, "acme").1 <= packed);
    assert_readable(&plainly, &*held, &acme).await;

    // When it is on again, then the log becomes a compressed one
    let journal = compressing(&server).await;
    let held = connection(&journal, &holder("node-a")).await;
    while forms(&server, "acme").1 < ATTEMPTS_RETAINED {
        attempt(&*held, &mut acme, 1).await;
    }
    assert_readable(&journal, &*held, &acme).await;
}

#[tokio::test]
async fn an_unknown_dictionary_is_named_for_whoever_needs_it_and_harms_nobody_else() {
    // Given one workspace with an attempt above its snapshot that a newer program compressed, and one without
    let server = RedisServer::start();
    let journal = compressing(&server).await;
    let held = connection(&journal, &holder("node-a")).await;
    let (acme, mut other) = (started(&journal, &*held, "acme").await, started(&journal, &*held, "other").await);
    held.commit(batch([other.attempted(entry(1))])).await.unwrap();
    let newer = format!("{}-0", acme.state.seq + 1);
    server.call::<()>(&["XADD", "outbound:{0}:attempts:acme", &newer, "z", "~abc"]);
    // Then it is named, by loads and by reads
    let LoadError::Corrupt { detail, .. } = held.load(&acme.id).await.unwrap().unwrap_err() else {
        panic!("corrupt");
    };
    assert!(detail.contains("dictionary 126, which this program does not have"), "{detail}");
    let read = journal.read(&acme.id).await.unwrap_err();
    assert!(matches!(read, ReadError::Load(LoadError::Corrupt { .. })), "{read}");
    assert!(matches!(held.newest(&acme.id).await.unwrap(), Err(LoadError::Corrupt { .. })));
    // And the others go on
    assert_eq!(held.load(&other.id).await.unwrap().unwrap().state, other.state);
    held.commit(batch([other.attempted(entry(2))])).await.unwrap();
    assert_eq!(journal.read(&other.id).await.unwrap().state, other.state);
}

#[tokio::test]
async fn an_entry_that_is_damaged_is_named_by_its_seq() {
    let server = RedisServer::start();
    let journal = Redis::connect(&options(&server.url())).await.unwrap();
    let held = acquire(&journal).await.connection;
    let mut acme = started(&journal, &*held, "acme").await;
    held.commit(batch([acme.attempted(entry(1))])).await.unwrap();
    for (fields, expected) in [
        (["z", ""], "seq 3 cannot be decompressed"),
        (["z", "\u{1}abc"], "seq 3 cannot be decompressed"),
        (["z", "abc"], "dictionary 97, which this program does not have"),
        (["y", "{}"], "seq 3 has neither the field e nor z"),
    ] {
        let key = "outbound:{0}:attempts:acme";
        server.call::<()>(&["COPY", key, "outbound:{0}:undamaged"]);
        server.call::<()>(&["XADD", key, "3-0", fields[0], fields[1]]);
        let error = held.load(&acme.id).await.unwrap().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(journal.read(&acme.id).await.unwrap_err().to_string().contains(expected));
        // The whole stream is put back: some servers refuse XSETID below a deleted id.
        server.call::<()>(&["RENAME", "outbound:{0}:undamaged", key]);
    }
}
