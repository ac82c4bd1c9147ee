//! Reads from the store, and the little that is stored without a command: bounded in number and time, with what is
//! confidential opened.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;
use super::shares::{Share, Shares};
use crate::config::{
    READS_AT_ONCE, READS_PER_WORKSPACE, REJECTED_COUNT_MAX_AGE, REJECTED_COUNT_WAIT, SMALL_READS_AT_ONCE,
    SMALL_READS_PER_WORKSPACE, STORE_ANSWER_MAX,
};
use crate::journal::joined;
use crate::journal::port::{Journal, LoadError, ReadError, Reading, Version};
use crate::message::WorkspaceId;
use crate::seal::{Keyring, UnsealError};
use crate::workspace::Time;
use crate::workspace::event::{Attempt, Event};
use crate::workspace::state::State;

/// Reads for all handlers and streams of the facade.
pub(super) struct StoreReader {
    journal: Arc<dyn Journal>,
    keyring: Arc<Keyring>,
    whole: Shares,
    small: Shares,
    rejected: Mutex<Option<RejectedCount>>,
}

/// A reading that counts among [`READS_AT_ONCE`] until it is dropped, for it may be large.
pub(super) struct HeldReading {
    reading: Reading,
    _share: Option<Share>,
}

impl HeldReading {
    /// The state alone.
    pub(super) fn into_state(self) -> State {
        self.reading.state
    }

    /// The attempts alone; they are not counted any more.
    pub(super) fn into_attempts(self) -> Vec<(u64, Attempt)> {
        self.reading.attempts
    }
}

impl Deref for HeldReading {
    type Target = Reading;

    fn deref(&self) -> &Reading {
        &self.reading
    }
}

/// How many rejected entries there were at a time; `None` where the store did not tell.
#[derive(Debug, Clone, Copy)]
struct RejectedCount {
    at: Instant,
    total: Option<u64>,
}

impl StoreReader {
    pub(super) fn new(journal: Arc<dyn Journal>, keyring: Arc<Keyring>) -> Self {
        let whole = Shares::new(READS_AT_ONCE, READS_PER_WORKSPACE);
        let small = Shares::new(SMALL_READS_AT_ONCE, SMALL_READS_PER_WORKSPACE);
        Self { journal, keyring, whole, small, rejected: Mutex::default() }
    }

    /// Reads what is durable of a workspace and opens what is confidential.
    pub(super) async fn workspace(&self, workspace: &WorkspaceId) -> Result<HeldReading, Problem> {
        let (mut reading, share) = self.whole(workspace).await?;
        let opened = self.keyring.open(workspace, &mut reading.state.webhook);
        let sealed = |error: UnsealError| LoadError::Sealed { workspace: workspace.clone(), detail: error.to_string() };
        opened.map_err(|error| ReadError::from(sealed(error)))?;
        Ok(HeldReading { reading, _share: share })
    }

    /// Reads a workspace's snapshot; nothing in it is opened.
    pub(super) async fn snapshot(&self, workspace: &WorkspaceId) -> Result<State, Problem> {
        self.small(Some(workspace), self.journal.snapshot(workspace)).await
    }

    /// What [`Self::workspace`] reads is another only when this is.
    pub(super) async fn version(&self, workspace: &WorkspaceId) -> Result<Option<Version>, Problem> {
        self.small(Some(workspace), self.journal.version(workspace)).await
    }

    /// Reads the changes of a workspace's configuration.
    pub(super) async fn history(&self, workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, Problem> {
        self.small(Some(workspace), self.journal.history(workspace)).await
    }

    /// Whether a session of the operator was ended before its time.
    pub(super) async fn has_operator_session_ended(&self, id: &str) -> Result<bool, Problem> {
        self.small(None, self.journal.has_operator_session_ended(id)).await
    }

    /// Remembers until `until` that a session of the operator was ended.
    pub(super) async fn end_operator_session(&self, id: &str, until: Time) -> Result<(), Problem> {
        self.small(None, self.journal.end_operator_session(id, until)).await
    }

    /// A read of little, for a workspace or for the node itself.
    pub(super) async fn small<T, E>(
        &self,
        workspace: Option<&WorkspaceId>,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Problem>
    where
        ReadError: From<E>,
    {
        Ok(self.within(&self.small, workspace, read).await?.0)
    }

    /// Reads a workspace whole. What nobody waits for any more is read to its end and keeps its share until then, for it
    /// takes the memory as long.
    async fn whole(&self, workspace: &WorkspaceId) -> Result<(Reading, Option<Share>), Problem> {
        let read = async {
            let share = self.whole.take(Some(workspace), 1).await;
            let (journal, workspace) = (Arc::clone(&self.journal), workspace.clone());
            joined(tokio::spawn(async move { journal.read(&workspace).await.map(|reading| (reading, share)) })).await
        };
        answered(read).await
    }

    /// Reads with a share, within [`STORE_ANSWER_MAX`].
    async fn within<T, E>(
        &self,
        shares: &Shares,
        workspace: Option<&WorkspaceId>,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<(T, Option<Share>), Problem>
    where
        ReadError: From<E>,
    {
        let read = async {
            let share = shares.take(workspace, 1).await;
            read.await.map(|read| (read, share)).map_err(ReadError::from)
        };
        answered(read).await
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

fn answered<T>(read: impl Future<Output = Result<T, ReadError>>) -> impl Future<Output = Result<T, Problem>> {
    let unanswered = || Problem::store_away("the store did not answer in time; try again in a few seconds");
    in_time(Instant::now() + STORE_ANSWER_MAX, read, unanswered)
}

/// What the store answers by `until`; `unanswered` says what is to be thought of where it does not.
pub(super) async fn in_time<T, E>(
    until: Instant,
    work: impl Future<Output = Result<T, E>>,
    unanswered: impl FnOnce() -> Problem,
) -> Result<T, Problem>
where
    Problem: From<E>,
{
    match timeout_at(until, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(unanswered()),
    }
}
