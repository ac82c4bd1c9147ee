//! Reads wait while the thread has enough to do.
//!
//! What is read is parsed and lies there until its turn comes. With more of it than the thread gets done,
//! every message would be touched when it has long left the processor's caches, and nothing would be
//! delivered earlier. Endpoints that are slow to answer keep no thread busy, so they hold no read up.

use tokio::time::Instant;

use crate::config::{TURN_MAX, TURNS_MAX};

/// Comes back when the thread comes round within [`TURN_MAX`], at the latest after [`TURNS_MAX`] turns.
pub(super) async fn thread_is_free() {
    for _ in 0..TURNS_MAX {
        let began = Instant::now();
        tokio::task::yield_now().await;
        if began.elapsed() < TURN_MAX {
            return;
        }
    }
}
