//! The common input.

use std::time::Duration;

use outbound::journal::Journal as _;
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::WorkspaceId;

use crate::journal::cluster::{cluster_of, cluster_options, is_on_second};
use crate::journal::kit::options;
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

type Entries = Vec<(String, Vec<String>)>;
const SOURCE: &str = "outbound:messages";
const SHARDS: u16 = 4;
const BLOCK: Duration = Duration::from_millis(20);

async fn journal(url: &str) -> Redis {
    Redis::connect(&RedisOptions { shards: Some(SHARDS), ..options(url) }).await.unwrap()
}

fn publish(server: &RedisServer, id: &str, workspace: &str, message: &str) {
    server.call::<String>(&["XADD", SOURCE, id, "workspace", workspace, "message", message, "extra", "kept"]);
}

/// Messages of a workspace's shard, in order.
fn handed(server: &RedisServer, workspace: &str) -> Vec<String> {
    let shard = workspace.parse::<WorkspaceId>().unwrap().shard(SHARDS);
    let entries: Entries = server.call(&["XRANGE", &format!("outbound:{{{shard}}}:messages"), "-", "+"]);
    let own = entries.into_iter().filter(|(_, fields)| fields[1] == workspace);
    own.map(|(_, fields)| fields[3].clone()).collect()
}

/// Hands over until so many are moved, in as many calls as that takes.
async fn hand_over_all(journal: &Redis, count: usize) {
    let mut moved = 0;
    let work = async {
        while moved < count {
            moved += journal.hand_over(1_000, BLOCK).await.unwrap().count;
        }
    };
    tokio::time::timeout(support::process::PATIENCE, work).await.expect("all are handed over");
    assert_eq!(moved, count);
}

/// How many entries the source holds after the next call, which finds nothing.
async fn left(journal: &Redis, server: &RedisServer) -> u64 {
    assert_eq!(journal.hand_over(10, BLOCK).await.unwrap().count, 0);
    server.call(&["XLEN", SOURCE])
}

#[tokio::test]
async fn entries_go_to_their_shards_in_order_and_leave_the_source() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    for n in 1..=150 {
        publish(&server, &format!("{n}-0"), ["acme", "globex", "initech"][n % 3], &n.to_string());
    }
    hand_over_all(&journal, 150).await;
    assert_eq!(left(&journal, &server).await, 0);
    for (rest, workspace) in ["acme", "globex", "initech"].into_iter().enumerate() {
        let expected: Vec<String> = (1..=150).filter(|n| n % 3 == rest).map(|n| n.to_string()).collect();
        assert_eq!(handed(&server, workspace), expected);
    }
    let shard = "globex".parse::<WorkspaceId>().unwrap().shard(SHARDS);
    let entries: Entries = server.call(&["XRANGE", &format!("outbound:{{{shard}}}:messages"), "-", "+", "COUNT", "1"]);
    let first = &entries[0].1;
    assert_eq!(first[4..], ["extra", "kept", "origin", &format!("{SOURCE}/{}-0", first[3])]);
}

#[tokio::test]
async fn a_backlog_of_one_workspace_is_handed_over_in_few_calls_and_in_order() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let texts: Vec<String> = (1..=4_000).map(|n| n.to_string()).collect();
    for (n, text) in (1..).zip(&texts) {
        publish(&server, &format!("{n}-0"), "acme", text);
    }
    let mut moved = Vec::new();
    while moved.iter().sum::<usize>() < texts.len() {
        moved.push(journal.hand_over(usize::MAX, BLOCK).await.unwrap().count);
    }
    // More from the third on, unless a round takes longer than a second.
    assert_eq!(moved[..2], [256, 256]);
    assert!(moved.iter().any(|count| *count > 256) && moved.iter().all(|count| *count <= 2_048), "{moved:?}");
    assert_eq!(handed(&server, "acme"), texts);
    assert_eq!(left(&journal, &server).await, 0);
}

#[tokio::test]
async fn a_hand_over_waits_for_the_first_entry_and_not_longer_than_asked() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    assert_eq!(journal.hand_over(10, BLOCK).await.unwrap().count, 0);
    let add = async { publish(&server, "*", "acme", "1") };
    let (moved, ()) = tokio::join!(journal.hand_over(10, Duration::from_secs(60)), add);
    assert_eq!(moved.unwrap().count, 1);
}

/// Each read is a way to Redis and back that the next message waits for.
#[tokio::test]
async fn a_source_that_was_found_empty_is_waited_for_with_one_read() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let reads = || {
        let stats: String = server.call(&["INFO", "commandstats"]);
        let of = |line: &str| line.strip_prefix("cmdstat_xread:calls=")?.split(',').next()?.parse::<u64>().ok();
        stats.lines().find_map(of).unwrap_or_default()
    };
    for n in 1..=2 {
        for _ in 0..3 {
            publish(&server, "*", "acme", &n.to_string());
        }
        hand_over_all(&journal, 3).await;
        let before = reads();
        assert_eq!(journal.hand_over(10, BLOCK).await.unwrap().count, 0);
        assert_eq!(reads() - before, 1);
    }
    publish(&server, "*", "acme", "3");
    assert_eq!(journal.hand_over(10, BLOCK).await.unwrap().count, 1);
    assert_eq!(handed(&server, "acme"), ["1", "1", "1", "2", "2", "2", "3"]);
}

#[tokio::test]
async fn an_entry_that_is_read_again_is_not_handed_over_again() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    // Over 2^53, where a Lua number would take neighbours for equal.
    let ids = ["9007199254740992-9", "9007199254740993-1", "9007199254740993-10"];
    for (n, id) in ids.into_iter().enumerate() {
        publish(&server, id, "acme", &n.to_string());
        assert_eq!(journal.hand_over(10, BLOCK).await.unwrap().count, 1);
    }
    assert_eq!(handed(&server, "acme"), ["0", "1", "2"]);
    // As after a crash between the hand-over and the deletion.
    assert_eq!(left(&journal, &server).await, 0);
    let () = server.call(&["DEL", SOURCE]);
    for (n, id) in ids.into_iter().enumerate() {
        publish(&server, id, "acme", &n.to_string());
    }
    publish(&server, "9007199254740994-0", "acme", "3");
    hand_over_all(&journal, 4).await;
    assert_eq!(handed(&server, "acme"), ["0", "1", "2", "3"]);
    assert_eq!(left(&journal, &server).await, 0);
}

#[tokio::test]
async fn a_lost_answer_hands_nothing_over_twice() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let journal = journal(&proxy.redis_url()).await;
    for after in [0, 1, 4, 60, 200, 300, 400] {
        for n in 0..3 {
            publish(&server, "*", "acme", &format!("{after}/{n}"));
        }
        proxy.set(Mode::LoseAnswer { after });
        while server.call::<u64>(&["XLEN", SOURCE]) > 0 {
            // An error leaves the entries where they are; the next call goes on.
            journal.hand_over(10, BLOCK).await.ok();
        }
        proxy.set(Mode::Forward);
    }
    let expected =
        [0, 1, 4, 60, 200, 300, 400].into_iter().flat_map(|after| (0..3).map(move |n| format!("{after}/{n}")));
    assert_eq!(handed(&server, "acme"), expected.collect::<Vec<_>>());
}

/// Both nodes hand over at once, a different number at a time, until nothing is left.
async fn drain(server: &RedisServer, one: &Redis, two: &Redis) {
    let hand_over = async |journal: &Redis, max: usize| {
        while server.call::<u64>(&["XLEN", SOURCE]) > 0 {
            journal.hand_over(max, BLOCK).await.unwrap();
        }
    };
    tokio::join!(hand_over(one, 7), hand_over(two, 11));
}

#[tokio::test]
async fn two_nodes_at_once_keep_the_order_and_hand_over_once() {
    let server = RedisServer::start();
    let (one, two) = (journal(&server.url()).await, journal(&server.url()).await);
    for n in 0..600 {
        publish(&server, "*", "acme", &n.to_string());
    }
    drain(&server, &one, &two).await;
    assert_eq!(handed(&server, "acme"), (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Hands over until something is so.
async fn hand_over_until(journal: &Redis, what: &str, is_so: impl Fn() -> bool) {
    let work = async {
        while !is_so() {
            journal.hand_over(1_000, BLOCK).await.unwrap();
        }
    };
    tokio::time::timeout(support::process::PATIENCE, work).await.unwrap_or_else(|_| panic!("in vain until {what}"));
}

#[tokio::test]
async fn a_shard_that_takes_entries_again_gets_all_of_them_while_another_one_goes_on_refusing() {
    let server = RedisServer::start();
    a_mended_shard_gets_all(&journal(&server.url()).await, |_| &server).await;
}

/// What was handed over stays in the source for a while there, among what is held back.
#[tokio::test]
async fn a_shard_of_a_cluster_that_takes_entries_again_gets_all_of_them_too() {
    let nodes = cluster_of(&[]).await;
    let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
    a_mended_shard_gets_all(&journal, |key| &nodes[usize::from(is_on_second(&nodes, key))]).await;
}

/// Two refuse, then only one of them: what the other one waits for lies among more entries of the first than are read at
/// a time, and more of it comes before it has all. `at` is the server of a key.
async fn a_mended_shard_gets_all<'a>(journal: &Redis, at: impl Fn(&str) -> &'a RedisServer) {
    let of_shard = |shard: u16| {
        let is_there = |id: &String| id.parse::<WorkspaceId>().unwrap().shard(SHARDS) == shard;
        (0..).map(|n| format!("ws-{n}")).find(is_there).unwrap()
    };
    let [refusing, mended, open] = [0, 1, 2].map(of_shard);
    let stream = |shard: u16| format!("outbound:{{{shard}}}:messages");
    let got = |shard: u16, workspace: &str| handed(at(&stream(shard)), workspace);
    let numbers = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
    let left = || at(SOURCE).call::<u64>(&["XLEN", SOURCE]);
    // A key of another type takes no entry.
    for shard in 0..2 {
        let () = at(&stream(shard)).call(&["SET", &stream(shard), "x"]);
    }
    for n in 0..600 {
        publish(at(SOURCE), "*", &refusing, &n.to_string());
        publish(at(SOURCE), "*", &mended, &n.to_string());
    }
    publish(at(SOURCE), "*", &open, "last");
    hand_over_until(journal, "all was read once", || got(2, &open) == ["last"]).await;

    let () = at(&stream(1)).call(&["DEL", &stream(1)]);
    hand_over_until(journal, "the mended one takes some", || !got(1, &mended).is_empty()).await;
    assert!(got(1, &mended).len() < 600, "not all lies in one read");
    publish(at(SOURCE), "*", &mended, "600");
    hand_over_until(journal, "nothing is left but of the one that refuses", || left() == 600).await;
    assert_eq!(got(1, &mended), numbers(601));

    let () = at(&stream(0)).call(&["DEL", &stream(0)]);
    hand_over_until(journal, "nothing is left", || left() == 0).await;
    assert_eq!(got(0, &refusing), numbers(600));
}

/// The stream is deleted while a shard refuses, and begins anew with lower ids.
#[tokio::test]
async fn a_stream_that_begins_anew_while_a_shard_refuses_is_read_from_its_start() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let shard = "acme".parse::<WorkspaceId>().unwrap().shard(SHARDS);
    let other = (0..).map(|n| format!("ws-{n}")).find(|id| id.parse::<WorkspaceId>().unwrap().shard(SHARDS) != shard);
    let other = other.unwrap();
    let stream = format!("outbound:{{{shard}}}:messages");
    let () = server.call(&["SET", &stream, "x"]);
    publish(&server, "9999999999998-0", "acme", "gone with its stream");
    publish(&server, "9999999999999-0", &other, "far");
    hand_over_until(&journal, "one is handed over", || handed(&server, &other) == ["far"]).await;
    let () = server.call(&["DEL", SOURCE]);
    let () = server.call(&["DEL", &stream]);
    for n in 0..600 {
        publish(&server, "*", &other, &n.to_string());
    }
    let left = || server.call::<u64>(&["XLEN", SOURCE]);
    hand_over_until(&journal, "nothing is left", || left() == 0).await;
    let expected: Vec<String> = std::iter::once("far".to_owned()).chain((0..600).map(|n| n.to_string())).collect();
    assert_eq!(handed(&server, &other), expected);
    // And once more: nothing of the shard that refused stands in the way.
    let () = server.call(&["DEL", SOURCE]);
    publish(&server, "1-0", &other, "lowest");
    hand_over_until(&journal, "nothing is left", || left() == 0).await;
    assert_eq!(handed(&server, &other).last().map(String::as_str), Some("lowest"));
}

#[tokio::test]
async fn an_entry_without_a_valid_workspace_is_set_aside_once_in_shard_0() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let add = || {
        server.call::<String>(&["XADD", SOURCE, "1-0", "message", "{}"]);
        server.call::<String>(&["XADD", SOURCE, "2-0", "workspace", "no spaces", "message", "{}"]);
        publish(&server, "3-0", "acme", "kept");
    };
    add();
    hand_over_all(&journal, 3).await;
    assert_eq!(left(&journal, &server).await, 0);
    let () = server.call(&["DEL", SOURCE]);
    add();
    hand_over_all(&journal, 3).await;
    assert_eq!(handed(&server, "acme"), ["kept"]);
    let entries: Entries = server.call(&["XRANGE", "outbound:{0}:rejected", "-", "+"]);
    assert_eq!(entries.len(), 2);
    let first = &entries[0].1;
    assert_eq!(first[..6], ["origin", "outbound:messages/1-0", "message", "{}", "_id", "1-0"]);
    assert_eq!(first[6..8], ["_reason", "the entry has no field `workspace`: publish it again with it"]);
    assert_eq!(first[8], "_at");
    assert!(entries[1].1[9].starts_with("the field `workspace` is not valid: a workspace id has"), "{:?}", entries[1]);
}

/// It names where an entry came from, and so decides the `webhook-id`. Unknown fields are no fault.
#[tokio::test]
async fn a_field_of_a_producer_that_is_called_origin_is_not_taken_for_ours() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let add = |id: &str, fields: &[&str]| {
        server.call::<String>(&[["XADD", SOURCE, id].as_slice(), fields].concat());
    };
    for (id, origin) in [("1-0", "crm/1-0"), ("2-0", "crm/1-0"), ("3-0", "web"), ("4-0", "")] {
        add(id, &["origin", origin, "workspace", "acme", "message", id, "x", "1", "origin", origin]);
    }
    add("5-0", &["message", "{}", "origin", "crm/1-0"]);
    hand_over_all(&journal, 5).await;
    let shard = "acme".parse::<WorkspaceId>().unwrap().shard(SHARDS);
    let entries: Entries = server.call(&["XRANGE", &format!("outbound:{{{shard}}}:messages"), "-", "+"]);
    let fields: Vec<Vec<String>> = entries.into_iter().map(|(_, fields)| fields).collect();
    let expected = |id: &str| {
        let origin = format!("{SOURCE}/{id}");
        ["workspace", "acme", "message", id, "x", "1", "origin", &origin].map(str::to_owned).to_vec()
    };
    assert_eq!(fields, ["1-0", "2-0", "3-0", "4-0"].map(expected));
    // What is set aside keeps the original fields; ours comes first, which counts when it is requeued.
    let rejected: Entries = server.call(&["XRANGE", "outbound:{0}:rejected", "-", "+"]);
    let origin = format!("{SOURCE}/5-0");
    assert_eq!(rejected[0].1[..6], ["origin", &origin, "message", "{}", "origin", "crm/1-0"]);
}

#[tokio::test]
async fn a_stream_that_was_deleted_and_begins_below_what_was_handed_over_is_a_new_one() {
    begins_anew(|server| server.call(&["DEL", SOURCE])).await;
}

#[tokio::test]
async fn a_stream_that_was_renamed_away_and_begins_below_what_was_handed_over_is_a_new_one() {
    begins_anew(|server| server.call(&["RENAME", SOURCE, "elsewhere"])).await;
}

#[tokio::test]
async fn a_stream_that_another_took_the_place_of_is_a_new_one() {
    begins_anew(|server| {
        let () = server.call(&["XGROUP", "CREATE", "other", "group", "0", "MKSTREAM"]);
        server.call(&["RENAME", "other", SOURCE])
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_a_dump_was_restored_over_is_a_new_one() {
    begins_anew(|server| {
        let () = server.call(&["XGROUP", "CREATE", "early", "group", "0", "MKSTREAM"]);
        let dump: Vec<u8> = server.call(&["DUMP", "early"]);
        let mut connection = redis::Client::open(server.own_url()).unwrap().get_connection().unwrap();
        redis::cmd("RESTORE").arg(SOURCE).arg(0).arg(dump).arg("REPLACE").exec(&mut connection).unwrap();
    })
    .await;
}

/// Given a far id that was handed over, when the stream begins anew, then what comes is delivered once, also when it
/// is read again.
async fn begins_anew(lose: impl Fn(&RedisServer)) {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    publish(&server, "9999999999999-0", "acme", "far");
    assert_eq!(journal.hand_over(10, BLOCK).await.unwrap().count, 1);
    lose(&server);
    for n in 0..2 {
        publish(&server, "*", "acme", &n.to_string());
    }
    publish(&server, "*", "globex", "2");
    hand_over_all(&journal, 3).await;
    assert_eq!(handed(&server, "acme"), ["far", "0", "1"]);
    assert_eq!(handed(&server, "globex"), ["2"]);
    publish(&server, "*", "acme", "3");
    assert_eq!(journal.hand_over(10, BLOCK).await.unwrap().count, 1);
    assert_eq!(handed(&server, "acme"), ["far", "0", "1", "3"]);
    assert_eq!(left(&journal, &server).await, 0);
}

#[tokio::test]
async fn two_nodes_that_find_a_new_stream_hand_it_over_once() {
    let server = RedisServer::start();
    let (one, two) = (journal(&server.url()).await, journal(&server.url()).await);
    publish(&server, "9999999999999-0", "acme", "far");
    assert_eq!(one.hand_over(10, BLOCK).await.unwrap().count, 1);
    let () = server.call(&["DEL", SOURCE]);
    for n in 0..600 {
        publish(&server, "*", "acme", &n.to_string());
    }
    drain(&server, &one, &two).await;
    let expected: Vec<String> = std::iter::once("far".to_owned()).chain((0..600).map(|n| n.to_string())).collect();
    assert_eq!(handed(&server, "acme"), expected);
}
