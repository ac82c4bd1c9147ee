//! How far a hand-over has come, and how long the mail server may take for what comes next.

use std::future::pending;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::refusal::Stage;
use crate::config;

/// How long a mail server may take.
#[derive(Debug, Clone, Copy)]
pub struct MailLimits {
    /// To connect to one of its addresses.
    pub connect: Duration,
    /// For the answer to a command.
    pub answer: Duration,
    /// For the answer to the whole mail.
    pub taken: Duration,
    /// For all of it.
    pub whole: Duration,
}

/// A hand-over under way.
#[derive(Debug)]
pub(super) struct MailProgress {
    pub(super) limits: MailLimits,
    until: Instant,
    now: Mutex<AwaitedAnswer>,
}

#[derive(Debug, Clone, Copy)]
struct AwaitedAnswer {
    stage: Stage,
    until: Instant,
}

/// What was waited for did not come within this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    Answer(Duration),
    Whole(Duration),
}

impl Default for MailLimits {
    fn default() -> Self {
        Self {
            connect: config::MAIL_CONNECT_TIMEOUT,
            answer: config::MAIL_ANSWER_TIMEOUT,
            taken: config::MAIL_TAKEN_TIMEOUT,
            whole: config::MAIL_TIMEOUT,
        }
    }
}

impl MailProgress {
    pub(super) fn begin(limits: MailLimits) -> Self {
        let now = Instant::now();
        let waiting = AwaitedAnswer { stage: Stage::Connecting, until: now + limits.answer };
        Self { limits, until: now + limits.whole, now: Mutex::new(waiting) }
    }

    pub(super) fn stage(&self) -> Stage {
        self.now.lock().stage
    }

    /// From now on this is waited for, anew where it was before.
    pub(super) fn reached(&self, stage: Stage) {
        *self.now.lock() = AwaitedAnswer { stage, until: Instant::now() + self.limit(stage) };
    }

    fn limit(&self, stage: Stage) -> Duration {
        if stage == Stage::Mail { self.limits.taken } else { self.limits.answer }
    }

    /// Waits until the mail is recalled; for ever once its final dot has been sent.
    pub(super) async fn recall(&self, recalled: impl Future<Output = ()>) {
        recalled.await;
        if self.stage() == Stage::Mail {
            pending().await
        }
    }

    /// Waits for `hand_over` as long as every answer comes in time.
    pub(super) async fn bound<T>(&self, hand_over: impl Future<Output = T>) -> Result<T, Silence> {
        let mut hand_over = std::pin::pin!(hand_over);
        loop {
            let until = self.now.lock().until.min(self.until);
            if let Ok(ended) = timeout_at(until, &mut hand_over).await {
                return Ok(ended);
            }
            let AwaitedAnswer { stage, until } = *self.now.lock();
            let now = Instant::now();
            if now >= self.until {
                return Err(Silence::Whole(self.limits.whole));
            }
            if now >= until {
                return Err(Silence::Answer(self.limit(stage)));
            }
        }
    }
}
