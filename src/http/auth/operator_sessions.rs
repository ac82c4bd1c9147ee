//! Which sessions of operators hold: those of the present generation, which the store keeps. So one sign-out ends all of
//! them, on every node and whatever restarts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::config::{OPERATOR_GENERATION_MAX_AGE, OPERATOR_GENERATION_WAIT, STORE_ANSWER_MAX};
use crate::http::problem::Problem;
use crate::journal::port::{Journal, ReadError};

/// What this node knows of the generation.
pub(in crate::http) struct OperatorSessions {
    journal: Arc<dyn Journal>,
    known: Mutex<KnownGeneration>,
}

struct KnownGeneration {
    /// `None`: the store has never told.
    generation: Option<u64>,
    asked: Option<Instant>,
}

impl OperatorSessions {
    /// `generation` as the store told at the start.
    pub(in crate::http) fn new(journal: Arc<dyn Journal>, generation: Option<u64>) -> Self {
        Self { journal, known: Mutex::new(KnownGeneration { generation, asked: None }) }
    }

    /// The generation of a session that begins now. While the store is away it is the one that was known last.
    pub(in crate::http) async fn present(&self) -> u64 {
        self.asked_within(Duration::ZERO).await.unwrap_or_default()
    }

    /// Whether sessions of this generation hold.
    pub(in crate::http) async fn hold(&self, generation: u64) -> Result<bool, Problem> {
        let mut present = self.asked_within(OPERATOR_GENERATION_MAX_AGE).await;
        if present.is_some_and(|present| present < generation) {
            // It was begun on another node, a moment ago.
            present = self.asked_within(Duration::ZERO).await;
        }
        let unknown = "the store is away, and whether this session has ended cannot be told without it";
        present.map(|present| present == generation).ok_or_else(|| Problem::store_away(unknown))
    }

    /// Ends every session of operators.
    pub(in crate::http) async fn end(&self) -> Result<(), Problem> {
        let away =
            || Problem::store_away("the store is away: you are signed out in this browser only; sign out again later");
        let ended = timeout(STORE_ANSWER_MAX, self.journal.end_operator_sessions()).await.map_err(|_| away())?;
        let generation = ended.map_err(|error| {
            // The cause goes to the log.
            drop(Problem::from(ReadError::from(error)));
            away()
        })?;
        *self.known.lock().await = KnownGeneration { generation: Some(generation), asked: Some(Instant::now()) };
        Ok(())
    }

    /// What the store told within this time, or tells now; else what it told last.
    async fn asked_within(&self, max_age: Duration) -> Option<u64> {
        let mut known = self.known.lock().await;
        if known.asked.is_none_or(|asked| asked.elapsed() >= max_age) {
            let told = timeout(OPERATOR_GENERATION_WAIT, self.journal.operator_generation()).await;
            known.asked = Some(Instant::now());
            known.generation = told.ok().and_then(Result::ok).or(known.generation);
        }
        known.generation
    }
}
