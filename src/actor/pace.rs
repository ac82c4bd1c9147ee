//! Reads wait while the thread has enough to do, and for one another.
//!
//! What is read is parsed and lies there until its turn comes. With more of it than the thread gets done,
//! every message would be touched when it has long left the processor's caches, and nothing would be
//! delivered earlier. Endpoints that are slow to answer keep no thread busy, so they hold no read up.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::config::{READER_WAIT_MAX, READERS_MAX, TURN_MAX, TURNS_WAIT_MAX};
use crate::journal::port::Poll;

/// What the shards of a thread share.
#[derive(Debug)]
pub(super) struct Pace {
    readers: Semaphore,
}

impl Default for Pace {
    fn default() -> Self {
        Self { readers: Semaphore::new(READERS_MAX) }
    }
}

impl Pace {
    /// Comes back when it is time for a read; what it returns is to be held until the answer. Commands alone
    /// wait for nothing, and what only waits for new messages for no other shard.
    pub(super) async fn until_it_is_time(&self, poll: &Poll) -> Option<SemaphorePermit<'_>> {
        poll.messages?;
        let place = match poll.block.is_zero() {
            true => timeout(READER_WAIT_MAX, self.readers.acquire()).await.ok(),
            false => None,
        };
        until_thread_is_free().await;
        place?.ok()
    }
}

/// Comes back when the thread comes round within [`TURN_MAX`], at the latest with the first turn that ends
/// after [`TURNS_WAIT_MAX`].
async fn until_thread_is_free() {
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
