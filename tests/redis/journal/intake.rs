//! Forward reads.

use std::time::Duration;

use outbound::journal::Journal as _;
use outbound::journal::port::{Poll, ShardIntake};
use outbound::message::EntryId;
use tokio::time::{Instant, timeout};

use crate::journal::kit::{acquire, entry, journal, message, settle};
use support::process::PATIENCE;
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

const MESSAGES: &str = "outbound:{0}:messages";
const COMMANDS: &str = "outbound:{0}:commands";

fn both(messages: usize, commands: usize, block: Duration) -> Poll {
    Poll { messages: Some((EntryId::ZERO, messages)), commands: Some((EntryId::ZERO, commands)), block, probe: false }
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
