//! The core of a shard and its workspaces without actix, network or store: whatever may happen to them happens
//! in a random order, and after every event the counters are audited.
//!
//! Invariants, for every order: a message is attempted at most once unless another holder had the shard or
//! the store lost what it had acknowledged; each has exactly one outcome; those of a chat are
//! attempted one at a time, and for the first time in stream order; each command is answered once; and when the
//! trouble ends, everything is settled.

mod store;
mod world;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use world::{Trouble, World};

const ALL: Trouble =
    Trouble { panics: true, corruption: true, reloads: true, rollbacks: true, fences: true, unable: true };

/// Runs `steps` random events and then lets everything end, for each of `seeds`.
fn simulate(seeds: std::ops::Range<u64>, steps: usize, trouble: Trouble) {
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(live(seed, steps, trouble)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln_seed(seed);
            std::panic::resume_unwind(panic);
        }
    }
}

/// What happened in the world of a seed.
async fn live(seed: u64, steps: usize, trouble: Trouble) -> String {
    let mut world = World::new(StdRng::seed_from_u64(seed), trouble);
    for _ in 0..steps {
        world.step().await;
    }
    world.end().await;
    world.history()
}

fn eprintln_seed(seed: u64) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "the simulation failed with seed {seed}").ok();
}

#[test]
fn without_trouble_every_message_is_attempted_once_in_the_order_of_its_chat() {
    simulate(0..40, 3_000, Trouble::default());
}

#[test]
fn panics_and_workspaces_that_cannot_be_loaded_lose_nothing_and_repeat_nothing() {
    simulate(0..60, 3_000, Trouble { panics: true, corruption: true, ..Trouble::default() });
}

#[test]
fn reloads_of_the_shard_lose_nothing_and_repeat_nothing() {
    simulate(0..60, 3_000, Trouble { reloads: true, ..Trouble::default() });
}

#[test]
fn all_trouble_at_once_loses_nothing_and_repeats_only_what_it_may() {
    simulate(0..40, 4_000, ALL);
    // Short runs end more often while something still fails.
    simulate(1_000..1_600, 200, ALL);
}

#[test]
fn attempts_that_cannot_be_made_here_are_made_later() {
    simulate(0..40, 3_000, Trouble { unable: true, panics: true, reloads: true, ..Trouble::default() });
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_what_it_did() {
    assert_eq!(live(7, 2_000, ALL).await, live(7, 2_000, ALL).await);
}
