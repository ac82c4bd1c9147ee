//! The keys and what they hold, as section 6 of src/docs/contract.md fixes them; and their bounds.

use bytes::Bytes;
use outbound::config::Compression;
use outbound::journal::Journal as _;
use outbound::journal::codec;
use outbound::journal::port::{Newest, OwedMail, Rejected, Step};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::workspace::event::MailId;
use outbound::workspace::time::Time;

use crate::journal::kit::{Workspace, acquire, batch, begun, done, entry, journal, message, options, settle};
use support::redis_server::RedisServer;

type Entries = Vec<(String, Vec<String>)>;

fn rejected(ms: u64) -> Step {
    let fields = vec![("workspace".into(), "acme".into()), ("_id".into(), Bytes::from(format!("{ms}-0")))];
    Step { settled: vec![entry(ms)], rejected: vec![Rejected { id: entry(ms), fields }], ..Step::default() }
}

fn mail(workspace: &Workspace) -> OwedMail {
    OwedMail {
        workspace: workspace.id.clone(),
        id: MailId::disabled(7),
        at: Time::from_unix_ms(1),
        to: "owner@example.com".to_owned(),
        url: "https://example.com/hook".to_owned(),
        errors: 11,
        failing_since: Time::from_unix_ms(1),
        recent: Vec::new(),
        errors_left: None,
        skipped: None,
        by: None,
    }
}

#[tokio::test]
async fn a_commit_writes_the_keys_and_forms_of_the_contract() {
    let server = RedisServer::start();
    let options = RedisOptions { compression: Compression::None, ..options(&server.url()) };
    let journal = Redis::connect(&options).await.unwrap();
    let connection = acquire(&journal).await.connection;
    let mut acme = Workspace::new("acme");
    let mut saved = acme.saved();
    saved.answers = vec![(entry(40), done(1))];
    saved.mails_owed = vec![mail(&acme)];
    saved.last_skipped = Some(Newest { entry: entry(39), message: message("skipped") });
    let attempted = acme.attempted(entry(41));
    let (history, attempt) = (saved.history[0].json.clone(), attempted.attempts[0].json.clone());
    let snapshot = saved.snapshot.clone().unwrap();
    let last = codec::encode_newest(saved.last_skipped.as_ref().unwrap());
    connection.commit(batch([saved, attempted, rejected(42)])).await.unwrap();

    let names =
        ["answers", "attempts:acme", "journal:acme", "last:acme", "outbox", "owner", "rejected", "snapshot:acme"];
    let mut expected = vec!["outbound:meta".to_owned()];
    expected.extend(names.iter().map(|name| format!("outbound:{{0}}:{name}")));
    assert_eq!(server.keys(), expected);

    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let range = |name: &str| server.call::<Entries>(&["XRANGE", &format!("outbound:{{0}}:{name}"), "-", "+"]);
    assert_eq!(range("journal:acme"), [("1-0".to_owned(), vec!["e".to_owned(), text(&history)])]);
    assert_eq!(range("attempts:acme"), [("2-0".to_owned(), vec!["e".to_owned(), text(&attempt)])]);
    assert_eq!(server.call::<String>(&["GET", "outbound:{0}:snapshot:acme"]), text(&snapshot));
    assert_eq!(server.call::<String>(&["GET", "outbound:{0}:last:acme"]), text(&last));
    let outbox: Vec<String> = server.call(&["HGETALL", "outbound:{0}:outbox"]);
    assert_eq!(outbox, ["acme:7".to_owned(), text(&codec::encode_mail(&mail(&acme)))]);
    assert_eq!(range("answers")[0].1[..2], ["command", "40-0"]);
    assert_eq!(serde_json::from_str::<outbound::workspace::Answer>(&range("answers")[0].1[3]).unwrap(), done(1));
    assert_eq!(range("rejected")[0].1, ["workspace", "acme", "_id", "42-0"]);
    let meta: Vec<String> = server.call(&["HGETALL", "outbound:meta"]);
    assert_eq!(meta, ["format", &codec::FORMAT.to_string(), "shards", "1"]);

    let ended = Step { workspace: Some(acme.id.clone()), mails_ended: vec![MailId::disabled(7)], ..Step::default() };
    connection.commit(batch([ended])).await.unwrap();
    assert_eq!(server.call::<u64>(&["EXISTS", "outbound:{0}:outbox"]), 0);
}

#[tokio::test]
async fn the_outbox_comes_with_the_acquisition_and_a_mail_that_cannot_be_read_stays() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let acme = Workspace::new("acme");
    let owed = Step { workspace: Some(acme.id.clone()), mails_owed: vec![mail(&acme)], ..Step::default() };
    acquire(&journal).await.connection.commit(batch([owed])).await.unwrap();
    let () = server.call(&["HSET", "outbound:{0}:outbox", "other:1", "not a mail"]);
    assert_eq!(acquire(&journal).await.outbox, [mail(&acme)]);
    assert_eq!(server.call::<u64>(&["HLEN", "outbound:{0}:outbox"]), 2);
}

#[tokio::test]
async fn trimming_keeps_at_least_the_last_100_attempts_and_removes_most_of_the_rest() {
    let server = RedisServer::start();
    let (journal, connection, mut acme) = begun(&server.url()).await;
    for round in 0..20_u64 {
        let steps = (0..50).map(|n| acme.attempted_with_snapshot(entry(round * 50 + n + 1)));
        let steps = steps.collect::<Vec<_>>();
        connection.commit(batch(steps)).await.unwrap();
    }
    let kept: usize = server.call(&["XLEN", "outbound:{0}:attempts:acme"]);
    assert!((100..=200).contains(&kept), "{kept}");
    let read = journal.read(&acme.id).await.unwrap();
    let seqs = read.attempts.iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
    assert_eq!(seqs, (acme.state.seq - 99..=acme.state.seq).rev().collect::<Vec<_>>());
    assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, acme.state);
}

#[tokio::test]
async fn the_oldest_rejected_entry_makes_room_by_deletion() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    for round in 0..10_u64 {
        connection.commit(batch((1..=1_000).map(|n| rejected(round * 1_000 + n)))).await.unwrap();
    }
    connection.commit(batch([rejected(10_001), rejected(10_002)])).await.unwrap();
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:rejected"]), 10_000);
    let first: Entries = server.call(&["XRANGE", "outbound:{0}:rejected", "-", "+", "COUNT", "1"]);
    assert_eq!(first[0].1[3], "3-0");
    assert_eq!(journal.rejected_deleted(), 2);
}

#[tokio::test]
async fn a_settled_entry_leaves_the_stream_and_a_thousand_are_settled_at_once() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let connection = acquire(&journal).await.connection;
    for n in 1..=1_001 {
        server.call::<String>(&["XADD", "outbound:{0}:messages", &format!("{n}-0"), "n", "m"]);
    }
    connection.commit(settle((1..=1_000).map(entry))).await.unwrap();
    assert_eq!(server.call::<u64>(&["XLEN", "outbound:{0}:messages"]), 1);
    assert_eq!(journal.entries_vanished(), 0);
    assert_eq!(connection.present((1..=1_001).map(entry).collect()).await.unwrap(), [entry(1_001)]);
    let left = connection.catch_up(entry(1), entry(u64::MAX), 10).await.unwrap();
    assert_eq!(left.iter().map(|left| left.id).collect::<Vec<_>>(), [entry(1_001)]);
    let () = server.call(&["DEL", "outbound:{0}:messages"]);
    connection.commit(settle([entry(1_001)])).await.unwrap();
    assert_eq!(journal.entries_vanished(), 1, "somebody else deleted it");
}
