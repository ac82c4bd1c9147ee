//! Redis, or the way to it, is away for a while and has lost nothing.

use std::time::{Duration, Instant};

use crate::chaos::bench::{Chaos, Published, parcels, workspaces};
use support::proxy::Mode;

/// How long after the store went away nothing is attempted any more: five times what is promised, for a machine that is slow.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Enough to be under way for some seconds, and few enough a workspace for its log to show all.
const WORKSPACES: usize = 16;
const MESSAGES: usize = 90;
const CHATS: usize = 3;
/// How many answers are lost, one after the other.
const ANSWERS_LOST: usize = 40;

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_is_waited_for_and_nothing_is_attempted_meanwhile() {
    // No attempt ends by a timeout while answers are held back.
    let mut chaos = Chaos::start_with(&["--appendfsync", "always"], &["--timeout", "60s"]).await;
    let workspaces = workspaces("w", WORKSPACES);
    // A chat takes half a minute, so there is something left to attempt in each when Redis is killed. They answer in turn,
    // so a commit is under way at any time.
    for (n, workspace) in (0..).zip(&workspaces) {
        chaos.receiver.treat(workspace, |how| how.delay = Duration::from_millis(700 + 40 * n));
    }
    chaos.save(&workspaces).await;
    chaos.receiver.hold();
    let load = chaos.load(parcels(&workspaces, "m", MESSAGES, CHATS), Duration::ZERO);
    load.until_sent(1_000).await;
    chaos.receiver.release();
    chaos.until_received(WORKSPACES * CHATS + 1).await;

    chaos.redis.kill();
    let killed = Instant::now();
    chaos.until_readyz(503, "the store is missed", |body| body.to_string().contains("the store does not answer")).await;
    tokio::time::sleep_until((killed + SILENT_AFTER).into()).await;
    let before = chaos.receiver.count();
    // What would be attempted now would be attempted within the next seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(chaos.receiver.count(), before, "attempts while Redis was away");
    assert!(before < 1_000, "there was something left to attempt");

    workspaces.iter().for_each(|one| chaos.receiver.treat(one, |how| how.delay = Duration::ZERO));
    chaos.redis.restart();
    let published = load.finish();
    chaos.until_received(WORKSPACES * MESSAGES - published.uncertain.len()).await;
    chaos.until_readyz(200, "the service is ready again", |_| true).await;
    chaos.check_each_came_once(&workspaces, &published).await;
    assert!(published.acknowledged.len() >= WORKSPACES * MESSAGES - 1, "{published:?}");
}

// The proxy runs while the test waits for the start of the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_applied_once_however_often_that_happens() {
    let chaos = Chaos::start_behind_proxy().await;
    let proxy = chaos.proxy.as_ref().unwrap();
    let workspaces = workspaces("w", WORKSPACES);
    chaos.delay(&workspaces, Duration::from_millis(20));
    chaos.save(&workspaces).await;
    let mut published = Published::default();
    let parcels = parcels(&workspaces, "m", MESSAGES, CHATS);
    for (lost, some) in parcels.chunks(parcels.len() / ANSWERS_LOST).enumerate() {
        published.acknowledged.extend(chaos.publish(some).acknowledged);
        // Whole or torn, while some are read, attempted and committed. They only come once the service has connected again.
        chaos.until_received(published.acknowledged.len() - some.len() / 2).await;
        proxy.set(Mode::LoseAnswer { after: [0, 7, 0, 150][lost % 4] });
        proxy.answer_lost().await;
    }
    chaos.check_each_came_once(&workspaces, &published).await;
    assert_eq!(chaos.receiver.count(), WORKSPACES * MESSAGES);
    assert_eq!(chaos.logged("is loaded again"), 0, "a lost answer is no reason to load anything again");
}

/// Nothing tells that a connection is dead but the answer that does not come.
#[tokio::test(flavor = "multi_thread")]
async fn connections_on_which_nothing_arrives_any_more_are_given_up() {
    let chaos = Chaos::start_behind_proxy().await;
    let proxy = chaos.proxy.as_ref().unwrap();
    let workspaces = workspaces("w", WORKSPACES);
    workspaces.iter().for_each(|one| chaos.receiver.treat(one, |how| how.delay = Duration::from_millis(100)));
    chaos.save(&workspaces).await;
    let published = chaos.publish(&parcels(&workspaces, "m", MESSAGES, CHATS));
    for received in [100, 400] {
        chaos.until_received(received).await;
        proxy.set(Mode::BlackHole);
        chaos.until_readyz(503, "the store is missed", |body| body.to_string().contains("does not answer")).await;
        proxy.set(Mode::Forward);
        chaos.until_readyz(200, "the service is ready again", |_| true).await;
    }
    chaos.check_each_came_once(&workspaces, &published).await;
    assert_eq!(chaos.receiver.count(), WORKSPACES * MESSAGES);
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", WORKSPACES);
    chaos.save(&workspaces).await;
    let load = chaos.load(parcels(&workspaces, "m", MESSAGES, CHATS), Duration::from_millis(2));
    while !load.is_finished() {
        chaos.redis.call::<()>(&["SCRIPT", "FLUSH"]);
        tokio::time::sleep(Duration::from_millis(100)).await; // The pace of the nemesis.
    }
    chaos.check_each_came_once(&workspaces, &load.finish()).await;
    assert_eq!(chaos.receiver.count(), WORKSPACES * MESSAGES);
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_cost_no_message_and_repeat_none() {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", WORKSPACES);
    chaos.delay(&workspaces, Duration::from_millis(20));
    chaos.save(&workspaces).await;
    let load = chaos.load(parcels(&workspaces, "m", MESSAGES, CHATS), Duration::from_millis(4));
    for _ in 0..20 {
        chaos.redis.call::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        tokio::time::sleep(Duration::from_millis(150)).await; // The pace of the nemesis.
    }
    let published = load.finish();
    chaos.check_each_came_once(&workspaces, &published).await;
}

#[tokio::test]
async fn a_redis_that_hangs_for_three_seconds_is_waited_for() {
    hang(Duration::from_secs(3)).await;
}

/// Longer than an answer is waited for: what was sent on the old connections is carried out too, in
/// whatever order, when Redis goes on.
#[tokio::test]
async fn a_redis_that_hangs_until_its_connections_are_given_up_is_waited_for() {
    hang(Duration::from_secs(8)).await;
}

/// Longer than a lease, which nobody else takes.
#[tokio::test]
async fn a_redis_that_hangs_for_longer_than_a_lease_is_waited_for() {
    hang(Duration::from_secs(13)).await;
}

async fn hang(span: Duration) {
    let chaos = Chaos::start().await;
    let workspaces = workspaces("w", WORKSPACES);
    chaos.delay(&workspaces, Duration::from_millis(150));
    chaos.save(&workspaces).await;
    let published = chaos.publish(&parcels(&workspaces, "m", MESSAGES, CHATS));
    chaos.until_received(200).await;
    chaos.redis.pause();
    let paused = Instant::now();
    // The silence itself is what is tried: it must last this long.
    tokio::time::sleep(span).await;
    let resumed = Instant::now();
    chaos.redis.resume();
    chaos.until_received(WORKSPACES * MESSAGES).await;
    chaos.check_each_came_once(&workspaces, &published).await;
    // A commit is under way at any time here, so a second after the pause the gate is shut.
    let arrivals = chaos.receiver.arrivals();
    let silent = paused + SILENT_AFTER..resumed;
    assert_eq!(arrivals.iter().filter(|one| silent.contains(&one.at)).count(), 0, "attempts while Redis hung");
}
