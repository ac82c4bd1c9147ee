//! Forward reads.

use std::time::Duration;

use outbound::config::READ_BYTES_MAX;
use outbound::journal::Journal as _;
use outbound::journal::port::{Poll, Polled, ShardIntake};
use outbound::message::EntryId;
use tokio::time::{Instant, timeout};

use crate::journal::kit::{acquire, entry, journal, message, settle};
use support::process::{PATIENCE, until};
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

const MESSAGES: &str = "outbound:{0}:messages";
const COMMANDS: &str = "outbound:{0}:commands";

fn both(messages: usize, commands: usize, block: Duration) -> Poll {
    let (messages, commands) = (Some((EntryId::ZERO, messages)), Some((EntryId::ZERO, commands)));
    Poll { messages, commands, block, ..Poll::default() }
}

#[tokio::test]
async fn ids_and_bytes_arrive_as_they_were_written() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let binary = [0xff_u8, 0x00, b'\r', b'\n', 0xfe];
    let mut add = redis::cmd("XADD");
    add.arg(MESSAGES).arg("18446744073709551614-18446744073709551615");
    add.arg(&binary[..]).arg(&b""[..]).arg("twice").arg("one").arg("twice").arg("two");
    add.exec(&mut connection).unwrap();
    let polled = intake.poll(&both(10, 10, Duration::ZERO)).await.unwrap();
    assert_eq!(polled.messages.len(), 1);
    assert_eq!(polled.messages[0].id, EntryId { ms: u64::MAX - 1, n: u64::MAX });
    let fields: Vec<(&[u8], &[u8])> =
        polled.messages[0].fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(fields, [(&binary[..], &b""[..]), (b"twice", b"one"), (b"twice", b"two")]);
    assert!(polled.commands.is_empty());
}

#[tokio::test]
async fn each_stream_is_read_up_to_its_own_count() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    for n in 1..=5 {
        server.call::<String>(&["XADD", MESSAGES, &format!("{n}-0"), "n", "m"]);
        server.call::<String>(&["XADD", COMMANDS, &format!("{n}-0"), "n", "c"]);
    }
    let polled = intake.poll(&both(2, 4, Duration::from_secs(5))).await.unwrap();
    assert_eq!(polled.messages.iter().map(|entry| entry.id).collect::<Vec<_>>(), [entry(1), entry(2)]);
    assert_eq!(polled.commands.len(), 4);
    let after = Poll { messages: Some((entry(2), 64)), ..Poll::default() };
    let polled = intake.poll(&after).await.unwrap();
    assert_eq!(polled.messages.iter().map(|entry| entry.id).collect::<Vec<_>>(), [entry(3), entry(4), entry(5)]);
    assert!(polled.commands.is_empty());
}

#[tokio::test]
async fn a_waiting_read_ends_with_the_first_entry_of_either_stream_or_with_its_time() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    let started = Instant::now();
    let polled = intake.poll(&both(10, 10, Duration::from_millis(50))).await.unwrap();
    assert!(polled.messages.is_empty() && started.elapsed() >= Duration::from_millis(50));
    let acme = "acme".parse().unwrap();
    let (request, hello) = (both(10, 10, Duration::from_secs(60)), message("hello"));
    let (polled, id) = tokio::join!(intake.poll(&request), journal.publish(&acme, &hello));
    assert_eq!(polled.unwrap().messages[0].id, id.unwrap());
}

#[tokio::test]
async fn a_poll_that_is_dropped_loses_nothing_and_holds_nobody_up() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    // One that succeeds first, so that there is a connection to keep.
    intake.poll(&both(10, 10, Duration::ZERO)).await.unwrap();
    let long = both(10, 10, 10 * PATIENCE);
    assert!(timeout(Duration::from_millis(50), intake.poll(&long)).await.is_err());
    let short = timeout(PATIENCE, intake.poll(&both(10, 10, Duration::ZERO))).await;
    assert!(short.expect("no wait behind the dropped read").unwrap().messages.is_empty());
    let id = journal.publish(&"acme".parse().unwrap(), &message("hello")).await.unwrap();
    let polled = timeout(PATIENCE, intake.poll(&long)).await.unwrap().unwrap();
    assert_eq!(polled.messages[0].id, id);
}

#[tokio::test]
async fn a_probe_tells_the_length_as_of_the_same_moment_and_does_not_wait() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut acquired = acquire(&journal).await;
    let probe =
        |after| Poll { messages: Some((after, 10)), probe: true, block: Duration::from_secs(60), ..Poll::default() };
    assert_eq!(acquired.intake.poll(&probe(EntryId::ZERO)).await.unwrap().length, Some(0));
    let acme = "acme".parse().unwrap();
    let first = journal.publish(&acme, &message("one")).await.unwrap();
    let second = journal.publish(&acme, &message("two")).await.unwrap();
    let polled = acquired.intake.poll(&probe(second)).await.unwrap();
    assert_eq!((polled.messages.len(), polled.length), (0, Some(2)));
    acquired.connection.commit(settle([first])).await.unwrap();
    assert_eq!(acquired.intake.poll(&probe(second)).await.unwrap().length, Some(1));
}

#[tokio::test]
async fn a_poll_fails_while_redis_is_away_and_the_next_one_connects_again() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let journal = journal(&proxy.redis_url()).await;
    let mut intake = acquire(&journal).await.intake;
    let id = journal.publish(&"acme".parse().unwrap(), &message("hello")).await.unwrap();
    proxy.set(Mode::Refuse);
    assert!(intake.poll(&both(10, 10, Duration::from_secs(60))).await.is_err());
    proxy.set(Mode::Forward);
    assert_eq!(intake.poll(&both(10, 10, Duration::ZERO)).await.unwrap().messages[0].id, id);
}

/// A server that took the place of another one may hold entries below what that one told.
#[tokio::test]
async fn another_server_is_told_of_once_and_before_anything_that_it_holds() {
    let mut server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    server.call::<String>(&["XADD", MESSAGES, "1-0", "n", "m"]);
    let first = intake.poll(&both(10, 10, Duration::ZERO)).await.unwrap();
    assert!(first.messages.len() == 1 && !first.is_elsewhere);
    // A new connection to the same server.
    server.call::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    let read = async |intake: &mut Box<dyn ShardIntake>| loop {
        if let Ok(polled) = intake.poll(&both(10, 10, Duration::ZERO)).await {
            break (polled.is_elsewhere, polled.messages.len());
        }
    };
    assert_eq!(timeout(PATIENCE, read(&mut intake)).await.unwrap(), (false, 1));
    server.kill();
    server.restart();
    assert_eq!(timeout(PATIENCE, read(&mut intake)).await.unwrap(), (true, 0));
    assert_eq!(timeout(PATIENCE, read(&mut intake)).await.unwrap(), (false, 1));
}

/// Appends small entries until there are so many.
fn fill(server: &RedisServer, entries: usize) {
    let fill = "for n = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], n .. '-0', 'n', 'm') end return 1";
    server.call::<u64>(&["EVAL", fill, "1", MESSAGES, &entries.to_string()]);
}

fn ahead(after: u64, count: usize) -> Poll {
    Poll { messages: Some((entry(after), count)), ahead: count, ..Poll::default() }
}

fn ids(polled: &Polled) -> Vec<u64> {
    polled.messages.iter().map(|entry| entry.id.ms).collect()
}

/// How many reads Redis has made.
fn reads(server: &RedisServer) -> usize {
    let stats: String = server.call(&["INFO", "commandstats"]);
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_xread:calls="));
    calls.and_then(|calls| calls.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_read_ahead_is_under_way_before_it_is_wanted_and_one_at_a_time() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    fill(&server, 14);
    // A full Redis is read all the same.
    let () = server.call(&["CONFIG", "SET", "maxmemory", "1mb"]);
    assert_eq!(ids(&intake.poll(&ahead(0, 4)).await.unwrap()), [1, 2, 3, 4]);
    until("the next is read", async || reads(&server) == 2).await;
    server.call::<u64>(&["XDEL", MESSAGES, "6-0"]);
    assert_eq!(ids(&intake.poll(&ahead(4, 4)).await.unwrap()), [5, 6, 7, 8], "it had been read before");
    until("the next is read", async || reads(&server) == 3).await;
    let last = Poll { ahead: 0, ..ahead(8, 4) };
    assert_eq!(ids(&intake.poll(&last).await.unwrap()), [9, 10, 11, 12]);
    // Neither where it is not asked for, nor where there is nothing more.
    assert_eq!(ids(&intake.poll(&ahead(12, 4)).await.unwrap()), [13, 14]);
    assert_eq!(ids(&intake.poll(&Poll { ahead: 0, ..ahead(0, 1) }).await.unwrap()), [1]);
    assert_eq!(reads(&server), 5);
}

#[tokio::test]
async fn what_was_read_ahead_for_a_poll_that_is_dropped_is_read_again() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let journal = journal(&proxy.redis_url()).await;
    let mut intake = acquire(&journal).await.intake;
    fill(&server, 12);
    assert_eq!(ids(&intake.poll(&ahead(0, 4)).await.unwrap()), [1, 2, 3, 4]);
    until("the next is read", async || reads(&server) == 2).await;
    proxy.set(Mode::Stall);
    let with_commands = Poll { commands: Some((EntryId::ZERO, 1)), ..ahead(4, 4) };
    assert!(timeout(Duration::from_millis(50), intake.poll(&with_commands)).await.is_err());
    proxy.set(Mode::Forward);
    assert_eq!(ids(&intake.poll(&with_commands).await.unwrap()), [5, 6, 7, 8]);
    assert_eq!(ids(&intake.poll(&ahead(8, 4)).await.unwrap()), [9, 10, 11, 12]);
}

#[tokio::test]
async fn what_was_read_ahead_of_a_server_that_is_gone_is_not_taken_for_another_ones() {
    let mut server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    fill(&server, 12);
    assert_eq!(ids(&intake.poll(&ahead(0, 4)).await.unwrap()), [1, 2, 3, 4]);
    until("the next is read", async || reads(&server) == 2).await;
    server.kill();
    server.restart();
    server.call::<u64>(&["DEL", MESSAGES]);
    fill(&server, 3);
    // What it told before it ended may still be taken, once, and in order.
    let mut after = 4;
    let found = timeout(PATIENCE, async {
        loop {
            match intake.poll(&ahead(after, 4)).await {
                Ok(polled) if polled.is_elsewhere => break polled.messages.len(),
                Ok(polled) => {
                    assert_eq!(ids(&polled), [5, 6, 7, 8]);
                    after = 8;
                }
                Err(_) => {}
            }
        }
    });
    assert_eq!(found.await.unwrap(), 0);
    assert_eq!(ids(&intake.poll(&ahead(0, 4)).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn more_than_a_read_may_bring_is_not_read_ahead() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let mut intake = acquire(&journal).await.intake;
    // So many that the last are not measured.
    let small = 3_000;
    fill(&server, small);
    let large = "x".repeat(READ_BYTES_MAX / 2);
    for n in 1..=4 {
        server.call::<String>(&["XADD", MESSAGES, &format!("{}-0", small + n), "n", &large]);
    }
    let (from, first) = (small as u64 - 4, small as u64 + 1);
    assert_eq!(intake.poll(&ahead(from, 4)).await.unwrap().messages.len(), 4);
    assert!(intake.poll(&ahead(first - 1, 4)).await.is_err());
    let polled = intake.poll(&ahead(first - 1, 4)).await.unwrap();
    assert_eq!((ids(&polled), polled.cut.len()), (vec![first], 1), "one, and not whole");
}
