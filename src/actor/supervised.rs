//! Tasks that run beside the rest for as long as the service does.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tracing::error;

use crate::config::PANIC_PAUSE;

/// Runs a task that has no end, and begins it again when it panicked: never silence.
pub(crate) async fn supervised<F: Future<Output = ()>>(what: &'static str, task: impl Fn() -> F) {
    while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
        error!("{what} failed inside the service and begins again.");
        tokio::time::sleep(PANIC_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_again_until_it_ends() {
        let begun = Cell::new(0);
        let task = || async {
            begun.set(begun.get() + 1);
            assert!(begun.get() > 2, "it fails twice");
        };
        supervised("The test's task", task).await;
        assert_eq!(begun.get(), 3);
    }
}
