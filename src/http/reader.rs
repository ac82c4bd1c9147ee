//! Reads from the store: bounded in number and time, with what is confidential opened.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use super::problem::Problem;
use crate::config::{READS_AT_ONCE, REJECTED_COUNT_MAX_AGE, REJECTED_COUNT_WAIT, STORE_ANSWER_MAX};
use crate::journal::port::{Journal, LoadError, ReadError, Reading};
use crate::message::WorkspaceId;
use crate::seal::{Keyring, UnsealError};

/// Reads for all handlers and streams of the facade.
pub(super) struct StoreReader {
    journal: Arc<dyn Journal>,
    keyring: Arc<Keyring>,
    permits: Semaphore,
    rejected: Mutex<Option<RejectedCount>>,
}

/// How many rejected entries there were at a time; `None` where the store did not tell.
#[derive(Debug, Clone, Copy)]
struct RejectedCount {
    at: Instant,
    total: Option<u64>,
}

impl StoreReader {
    pub(super) fn new(journal: Arc<dyn Journal>, keyring: Arc<Keyring>) -> Self {
        Self { journal, keyring, permits: Semaphore::new(READS_AT_ONCE), rejected: Mutex::default() }
    }

    /// Reads what is durable of a workspace and opens what is confidential.
    pub(super) async fn workspace(&self, workspace: &WorkspaceId) -> Result<Reading, Problem> {
        let mut reading = self.bounded(self.journal.read(workspace)).await?;
        let opened = self.keyring.open(workspace, &mut reading.state.webhook);
        let sealed = |error: UnsealError| LoadError::Sealed { workspace: workspace.clone(), detail: error.to_string() };
        opened.map_err(|error| ReadError::from(sealed(error)))?;
        Ok(reading)
    }

    /// One of [`READS_AT_ONCE`], within [`STORE_ANSWER_MAX`].
    pub(super) async fn bounded<T, E>(&self, read: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
    where
        ReadError: From<E>,
    {
        let read = async {
            // The semaphore is never closed; without a permit the read would only be unbounded.
            let _permit = self.permits.acquire().await;
            read.await.map_err(ReadError::from)
        };
        match timeout(STORE_ANSWER_MAX, read).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(Problem::store_away("the store did not answer in time; try again in a few seconds")),
        }
    }

    /// The number of rejected entries, at most [`REJECTED_COUNT_MAX_AGE`] old: whoever asks needs no
    /// token, so asking must not be work for the store, nor wait for it.
    pub(super) async fn rejected_total(&self) -> Option<u64> {
        let mut last = self.rejected.lock().await;
        if let Some(count) = last.filter(|count| count.at.elapsed() < REJECTED_COUNT_MAX_AGE) {
            return count.total;
        }
        let counts = timeout(REJECTED_COUNT_WAIT, self.journal.rejected_counts()).await;
        let total = counts.ok().and_then(Result::ok).map(|counts| counts.iter().sum());
        *last = Some(RejectedCount { at: Instant::now(), total });
        total
    }
}
