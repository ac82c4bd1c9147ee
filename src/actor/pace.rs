//! Reads wait while the thread has enough to do.
//!
//! What is read is parsed and lies there until its turn comes. With more of it than the thread gets done,
//! every message would be touched when it has long left the processor's caches, and nothing would be
//! delivered earlier. Endpoints that are slow to answer keep no thread busy, so they hold no read up.

use tokio::time::Instant;

use crate::config::{TURN_MAX, TURNS_WAIT_MAX};

/// Comes back when the thread comes round within [`TURN_MAX`], at the latest with the first turn that ends
/// after [`TURNS_WAIT_MAX`].
pub(super) async fn until_thread_is_free() {
    let asked = Instant::now();
    let mut began = asked;
    loop {
        tokio::task::yield_now().await;
        let now = Instant::now();
        if now < began + TURN_MAX || now >= asked + TURNS_WAIT_MAX {
            return;
        }
        began = now;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// How often a task beside it came round meanwhile, each turn taking `turn` of the (paused) clock.
    async fn turns_taken(turn: std::time::Duration) -> usize {
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let busy = async move {
            loop {
                counted.set(counted.get() + 1);
                // Moves the clock and gives the others their turn.
                tokio::time::advance(turn).await;
            }
        };
        let local = LocalSet::new();
        local
            .run_until(async {
                let busy = spawn_local(busy);
                until_thread_is_free().await;
                busy.abort();
            })
            .await;
        turns.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_waits_while_turns_are_long_but_not_for_ever() {
        assert!(turns_taken(TURN_MAX / 4).await <= 2);
        let held_up = turns_taken(TURN_MAX * 2).await;
        assert!((8..=12).contains(&held_up), "{held_up} turns");
    }
}
