//! Forward reads that fail one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::actor::store_watch::cause;
use crate::config::{BACKOFF, READS_FAILING_TOLD};
use crate::journal::port::{StoreError, StoreTrouble};

/// Those since the last one that was answered.
#[derive(Debug, Default)]
pub(super) struct FailedReads {
    count: u32,
    since: Option<Instant>,
    /// Why the last one failed, once that is to be told.
    why: Option<Arc<str>>,
}

/// The longest pause between two tries to read.
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl FailedReads {
    /// One more. Answers the pause before the next.
    pub(super) fn note(&mut self, error: &StoreError, now: Instant) -> Duration {
        let lasts = now >= *self.since.get_or_insert(now) + READS_FAILING_TOLD;
        // What is refused is refused again. Any other trouble may be over at once.
        if lasts || error.trouble == StoreTrouble::Refused {
            self.why = Some(cause(error).into());
        }
        let pause = BACKOFF.after(self.count).min(PAUSE_MAX);
        self.count = self.count.saturating_add(1);
        pause
    }

    /// What an operator is to be told.
    pub(super) fn why(&self) -> Option<Arc<str>> {
        self.why.clone()
    }
}
