//! The deadline of an attempt, by the time in which this process could see an answer. A process that stood still (a paused
//! container or machine, a debugger, memory that was swapped out) finds the deadline passed and the answer in its socket.

use std::pin::pin;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::classify::AttemptPhase;
use super::head::HeadRecorder;
use crate::config::{DELIVERED_BODY_MAX, STANDSTILL_MIN, WOKEN_LATE_MIN};

/// Waits for `future` until `deadline`. Woken later than that, it waits on once for as long as it was late, at most for `more`.
/// `None` when that has passed, too.
pub(super) async fn until<F: Future>(deadline: Instant, more: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Ok(done) = timeout_at(deadline, future.as_mut()).await {
        return Some(done);
    }
    let now = Instant::now();
    let late = now.saturating_duration_since(deadline);
    if late < WOKEN_LATE_MIN {
        return None;
    }
    timeout_at(now + late.max(WOKEN_LATE_WAIT_MIN).min(more), future).await.ok()
}

/// Whoever was woken late waits on for so long at least: the answer has some way to go inside the process.
const WOKEN_LATE_WAIT_MIN: Duration = Duration::from_millis(100);

/// Until when the body of a response is read whose head has come: past the deadline only where this process was late, and
/// then the body is there, too.
pub(super) fn of_body(deadline: Instant) -> Instant {
    let now = Instant::now();
    if now > deadline { now + DELIVERED_BODY_MAX } else { deadline }
}

/// Why an attempt waits that could not be made in time.
pub(super) const STOOD_STILL: &str = "this process stood still for longer than the attempt may take";

/// Whether this process stood still, by an attempt that began at `started` and ends now.
pub(super) fn stood_still(started: Instant, timeout: Duration) -> bool {
    started.elapsed() >= timeout + STANDSTILL_MIN
}

/// How far an attempt has come that its deadline ends.
#[derive(Debug)]
pub(super) struct AttemptProgress {
    /// Its deadline.
    pub(super) deadline: Instant,
    stage: Mutex<AttemptStage>,
}

#[derive(Debug, Default)]
enum AttemptStage {
    /// There is no connection.
    #[default]
    Begun,
    Reached,
    /// What comes over the connection that it is sent over.
    Sent(HeadRecorder),
}

impl AttemptProgress {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { deadline, stage: Mutex::default() }
    }

    /// Nothing was sent after all.
    pub(super) fn restart(&self) {
        *self.stage.lock() = AttemptStage::Begun;
    }

    /// The host has answered.
    pub(super) fn reach(&self) {
        *self.stage.lock() = AttemptStage::Reached;
    }

    /// The request is written to the connection whose heads are recorded there.
    pub(super) fn sends_over(&self, head: &HeadRecorder) {
        *self.stage.lock() = AttemptStage::Sent(head.clone());
    }

    /// Whether it may have reached the endpoint.
    pub(super) fn is_sent(&self) -> bool {
        matches!(*self.stage.lock(), AttemptStage::Sent(_))
    }

    pub(super) fn phase(&self) -> AttemptPhase {
        match &*self.stage.lock() {
            AttemptStage::Sent(head) if head.has_begun() => AttemptPhase::Answering,
            AttemptStage::Sent(head) if !head.is_sent() => AttemptPhase::Sending,
            AttemptStage::Sent(_) => AttemptPhase::Waiting,
            AttemptStage::Reached => AttemptPhase::Handshaking,
            AttemptStage::Begun => AttemptPhase::Connecting,
        }
    }
}
