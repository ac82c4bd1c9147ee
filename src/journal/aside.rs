//! Work that takes long, such as to decode a log of 25 MiB: on a thread of its own. On one that many callers share it would
//! keep all of them waiting, for what arrives for them is looked at only between the turns of such a thread.

use std::panic::resume_unwind;

use tokio::task::{JoinHandle, spawn_blocking};

/// Does it, and answers when it is done. What nobody waits for any more is done all the same.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(spawn_blocking(work)).await
}

/// What a task ends with; where it panics, so does whoever waits for it.
pub(crate) async fn joined<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and all that waits with it.
            Err(_) => std::future::pending().await,
        },
    }
}
