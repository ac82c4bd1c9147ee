//! Takeovers that are raced against commits under way: whatever the new holder finds is all that the old one ever did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outbound::journal::port::ShardConnectionError;
use outbound::journal::redis::Redis;
use outbound::workspace::state::State;

use crate::journal::kit::{Workspace, acquire, batch, journal};
use crate::journal::transaction::many;
use support::redis_server::RedisServer;

/// How long takeovers are raced, and how many there are at least; then until some came before and some after a commit, but
/// no longer than this.
const RACED: Duration = Duration::from_secs(3);
const ROUNDS_MIN: usize = 20;
const RACED_MAX: Duration = support::process::PATIENCE;
/// A takeover falls somewhere into so long a time, after the first commit was made.
const SPREAD: Duration = Duration::from_micros(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raced_takeovers_let_no_late_commit_in() {
    let server = RedisServer::start();
    let (applied, fenced) = race(&journal(&server.url()).await).await;
    assert!(applied > 0 && fenced > 0, "takeovers came before and after commits: {applied} and {fenced}");
}

/// What Redis refuses to run guards nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raced_takeovers_let_no_late_commit_in_while_redis_refuses_now_and_then() {
    let server = RedisServer::start();
    let journal = journal(&server.url()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let refusing = std::thread::spawn({
        let (stop, url) = (Arc::clone(&stop), server.own_url());
        move || {
            let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
            let mut set = |replicas: u64| {
                redis::cmd("CONFIG")
                    .arg("SET")
                    .arg("min-replicas-to-write")
                    .arg(replicas)
                    .exec(&mut connection)
                    .unwrap();
            };
            while !stop.load(Ordering::Relaxed) {
                set(1);
                set(0);
                // The pace of the refusals, nothing that is waited for.
                std::thread::sleep(Duration::from_micros(rand::random_range(0..1_000)));
            }
        }
    });
    race(&journal).await;
    stop.store(true, Ordering::Relaxed);
    refusing.join().unwrap();
}

/// Answers how many commits were applied and how many were fenced.
async fn race(journal: &Redis) -> (usize, usize) {
    let mut acme = Workspace::new("acme");
    let mut held = acquire(journal).await.connection;
    held.commit(batch([acme.saved()])).await.unwrap();
    let (mut applied, mut fenced, began) = (0, 0, Instant::now());
    for round in 0.. {
        let enough = began.elapsed() > RACED && round >= ROUNDS_MIN && applied > 0 && fenced > 0;
        if enough || began.elapsed() > RACED_MAX {
            break;
        }
        let mut next = || {
            let batch = many(&mut acme);
            (acme.state.clone(), batch)
        };
        let before = next().1;
        held.commit(before).await.unwrap();
        let zombie = held;
        let made = std::iter::repeat_with(next).take(2).map(|(state, batch)| (state, zombie.commit(batch)));
        let made: Vec<(State, _)> = made.collect();
        // Timers are too coarse for that.
        let at = Instant::now() + rand::random_range(Duration::ZERO..SPREAD);
        while Instant::now() < at {
            tokio::task::yield_now().await;
        }
        held = acquire(journal).await.connection;
        let found = held.load(&acme.id).await.unwrap().unwrap().state;
        for (state, commit) in made {
            match commit.await {
                Ok(_) => {
                    assert!(state.seq <= found.seq, "round {round}: {} came late to {}", state.seq, found.seq);
                    applied += 1;
                }
                Err(ShardConnectionError::Fenced { .. }) => fenced += 1,
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        let later = held.load(&acme.id).await.unwrap().unwrap().state;
        assert_eq!(later.seq, found.seq, "round {round}: something came late");
        acme.state = later;
    }
    (applied, fenced)
}
