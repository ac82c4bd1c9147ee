//! Delays reads while the thread is busy, and bounds how many of them run at a time.
//!
//! What is read is parsed and waits in memory until its turn comes. If more is read than the thread can
//! process, every message has left the processor's caches when it is processed, and nothing is delivered
//! earlier. Slow endpoints keep no thread busy, so they delay no read.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::config::{READER_WAIT_MAX, READERS_MAX, TURN_MAX, TURNS_WAIT_MAX};
use crate::journal::port::Poll;

/// What the shards of a thread share.
#[derive(Debug)]
pub(super) struct ReadScheduler {
    readers: Semaphore,
}

impl Default for ReadScheduler {
    fn default() -> Self {
        Self { readers: Semaphore::new(READERS_MAX) }
    }
}

impl ReadScheduler {
    /// Returns when a read may begin; the permit is held until the answer. A read of commands alone does not
    /// wait, and a read that blocks for new messages does not wait for other shards' reads.
    pub(super) async fn wait_for_turn(&self, poll: &Poll) -> Option<SemaphorePermit<'_>> {
        poll.messages?;
        let reader = match poll.block.is_zero() {
            true => timeout(READER_WAIT_MAX, self.readers.acquire()).await.ok(),
            false => None,
        };
        until_thread_is_free().await;
        reader?.ok()
    }
}

/// Returns when a turn of the thread takes less than [`TURN_MAX`], at the latest with the first turn that ends
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
    use std::time::Duration;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;
    use crate::message::EntryId;

    /// How often a task beside it came round meanwhile, each turn taking `turn` of the (paused) clock.
    async fn turns_taken(turn: Duration) -> usize {
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

    fn poll(block: Duration) -> Poll {
        Poll { messages: Some((EntryId::ZERO, 1)), block, ..Poll::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_from_a_backlog_waits_for_the_others_but_not_for_ever() {
        let (read_scheduler, now) = (ReadScheduler::default(), poll(Duration::ZERO));
        let mut readers = Vec::new();
        for _ in 0..READERS_MAX {
            readers.push(read_scheduler.wait_for_turn(&now).await.unwrap());
        }
        let began = Instant::now();
        assert!(read_scheduler.wait_for_turn(&now).await.is_none());
        assert_eq!(began.elapsed().as_millis(), READER_WAIT_MAX.as_millis());
        readers.pop();
        assert!(read_scheduler.wait_for_turn(&now).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_news_and_what_looks_for_commands_wait_for_no_reader() {
        let (read_scheduler, began) = (ReadScheduler::default(), Instant::now());
        let _all = read_scheduler.readers.acquire_many(u32::try_from(READERS_MAX).unwrap()).await.unwrap();
        assert!(read_scheduler.wait_for_turn(&poll(Duration::from_secs(1))).await.is_none());
        let commands = Poll { commands: Some((EntryId::ZERO, 1)), ..Poll::default() };
        assert!(read_scheduler.wait_for_turn(&commands).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_waits_while_turns_are_long_but_not_for_ever() {
        assert!(turns_taken(TURN_MAX / 4).await <= 2);
        let held_up = turns_taken(TURN_MAX * 2).await;
        assert!((8..=12).contains(&held_up), "{held_up} turns");
    }
}
