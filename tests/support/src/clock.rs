//! A clock that the test moves, for what happens after a time: on a busy machine the time would be over before that is there
//! which it is about.

use std::sync::mpsc;
use std::time::Duration;

use crate::process::moment;

/// How far [`StoppedClock::after`] moves the clock at a time, and how often.
const STEP: Duration = Duration::from_millis(250);
const STEP_EVERY: Duration = Duration::from_millis(2);

/// The clock of the test's runtime, stopped: what runs there waits for a time only as long as the test says. Endpoints, name
/// servers and other processes have clocks of their own. It goes on when this is dropped.
#[derive(Debug)]
pub struct StoppedClock {
    /// Ends the thread that is blocked.
    _blocked: mpsc::Sender<()>,
}

impl StoppedClock {
    /// Stops the clock of the calling task's runtime, which has one thread, as that of `#[tokio::test]` has.
    pub fn stop() -> Self {
        let (sender, blocked) = mpsc::channel::<()>();
        // While a thread is blocked, tokio does not move a clock that is paused by itself.
        drop(tokio::task::spawn_blocking(move || blocked.recv().ok()));
        tokio::time::pause();
        Self { _blocked: sender }
    }

    /// Moves it.
    pub async fn pass(&self, span: Duration) {
        tokio::time::advance(span).await;
    }

    /// Waits for `ending`. Once `there` has come, the clock moves step by step until it ends: from then on it must wait for
    /// nothing but times, for whoever has a clock of his own is left no time.
    pub async fn after<T>(&self, there: impl Future<Output = ()>, ending: impl Future<Output = T>) -> T {
        let moves = async {
            there.await;
            loop {
                moment(STEP_EVERY).await;
                self.pass(STEP).await;
            }
        };
        tokio::select! {
            biased;
            ended = ending => ended,
            () = moves => unreachable!("it goes on"),
        }
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
