//! Hands the common input and other people's streams over to the shards. One node at a time reads a source, by a
//! lease; the others look now and then whether it is free.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::actor::board::Board;
use crate::actor::store_watch::cause;
use crate::config::{
    HAND_OVER_BLOCK, HAND_OVER_MAX, HAND_OVER_RETRY, SOURCE_LEASE, SOURCE_LOOK_EVERY, SOURCE_RENEW_EVERY, SourceForm,
};
use crate::journal::port::{Holder, Journal, StoreError, StoreTrouble};

/// A stream whose entries are handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The common input, which is ours.
    Common,
    /// Someone else's.
    Foreign(Arc<str>, SourceForm),
}

impl Source {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Common => None,
            Self::Foreign(name, _) => Some(name),
        }
    }

    fn shown(&self) -> &str {
        self.name().unwrap_or("the common input")
    }

    /// For readyz, which is told to anyone: whose streams are read is not for everybody.
    fn held_up(&self, why: &str) -> String {
        let source = if *self == Self::Common { "the common input" } else { "a source" };
        format!("{source} is not handed over to the shards: {why}")
    }
}

/// Hands a source over for as long as the service runs.
pub(super) async fn hand_over(journal: Arc<dyn Journal>, source: Source, node: String, board: Arc<Board>) {
    let holder = Holder { node, lease: SOURCE_LEASE };
    let mut failing = false;
    let mut leased = None;
    loop {
        // A panic must not end the hand-over for good.
        let step = AssertUnwindSafe(step(&*journal, &source, &holder, &mut leased)).catch_unwind().await;
        let step = step.unwrap_or_else(|_| {
            Err(StoreError {
                trouble: StoreTrouble::Refused,
                what: "the hand-over failed inside the service".to_owned(),
                source: None,
            })
        });
        match step {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    board.held_up(source.shown(), None);
                    info!(source = source.shown(), "The source is handed over again.");
                }
            }
            Err(error) => {
                leased = None;
                if error.trouble != StoreTrouble::Refused {
                    debug!(
                        source = source.shown(),
                        error = &error as &dyn Error,
                        "The source cannot be handed over now."
                    );
                } else if !std::mem::replace(&mut failing, true) {
                    let what = source.shown();
                    warn!(
                        source = what,
                        error = &error as &dyn Error,
                        "The source cannot be handed over; it is tried again."
                    );
                }
                if error.trouble == StoreTrouble::Refused {
                    board.held_up(source.shown(), Some(source.held_up(&cause(&error))));
                }
                sleep(HAND_OVER_RETRY).await;
            }
        }
    }
}

/// Hands some entries over, or waits for some; takes and renews the lease before.
async fn step(
    journal: &dyn Journal,
    source: &Source,
    holder: &Holder,
    leased: &mut Option<Instant>,
) -> Result<(), StoreError> {
    if leased.is_none_or(|since| since.elapsed() >= SOURCE_RENEW_EVERY) {
        let now = Instant::now();
        *leased = journal.lease_source(source.name(), holder).await?.then_some(now);
    }
    if leased.is_none() {
        sleep(SOURCE_LOOK_EVERY).await;
        return Ok(());
    }
    match source {
        Source::Common => journal.hand_over(HAND_OVER_MAX, HAND_OVER_BLOCK).await.map(drop),
        Source::Foreign(name, form) => {
            journal.hand_over_from(name, form, HAND_OVER_MAX, HAND_OVER_BLOCK).await.map(drop)
        }
    }
}

/// Lets another node read at once.
pub(super) async fn release(journal: &dyn Journal, source: &Source, node: &str) {
    let ended = Holder { node: node.to_owned(), lease: std::time::Duration::ZERO };
    // If this fails, the lease ends by itself.
    drop(tokio::time::timeout(SOURCE_LEASE, journal.lease_source(source.name(), &ended)).await);
}
