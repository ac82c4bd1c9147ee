//! Drops logs that nobody adds to any more: a slow walk over the list of workspaces.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::config::{LOG_WALK_EVERY, LOG_WALK_PAGE, LOG_WALK_PAUSE};
use crate::journal::Journal;
use crate::journal::port::{ListQuery, StoreError};
use crate::message::WorkspaceId;
use crate::workspace::command::{Action, Command};
use crate::workspace::decide::is_log_older;
use crate::workspace::history::SERVICE;
use crate::workspace::time::Clock;

/// Walks for as long as the service runs. Every node does; what one has dropped is nothing for the next.
pub(super) async fn walk(journal: Arc<dyn Journal>, max_age: Duration, answer_wait: Duration, clock: Clock) {
    let walk = LogWalk { journal, max_age, answer_wait, clock };
    loop {
        match walk.once().await {
            Ok(0) => {}
            Ok(dropped) => info!(dropped, "Logs were dropped that are older than --log-max-age."),
            Err(error) => warn!(error = &error as &dyn Error, "The walk over old logs ended early; it begins anew."),
        }
        tokio::time::sleep((max_age / 10).clamp(LOG_WALK_PAUSE, LOG_WALK_EVERY)).await;
    }
}

struct LogWalk {
    journal: Arc<dyn Journal>,
    max_age: Duration,
    answer_wait: Duration,
    clock: Clock,
}

impl LogWalk {
    /// Answers how many were old.
    async fn once(&self) -> Result<usize, StoreError> {
        let mut dropped = 0;
        let mut query = ListQuery { count: LOG_WALK_PAGE, ..ListQuery::default() };
        loop {
            let page = self.journal.workspaces(&query).await?;
            let before = (self.clock)().minus(self.max_age);
            for listed in &page {
                if listed.state.as_ref().is_some_and(|state| is_log_older(state, before)) {
                    self.drop_log(&listed.workspace).await;
                    dropped += 1;
                }
            }
            match page.last() {
                Some(last) if page.len() == LOG_WALK_PAGE => query.after = Some(last.workspace.clone()),
                _ => return Ok(dropped),
            }
            tokio::time::sleep(LOG_WALK_PAUSE).await;
        }
    }

    /// Whoever holds the workspace judges again. What is not done now is found by the next walk.
    async fn drop_log(&self, workspace: &WorkspaceId) {
        let at = (self.clock)();
        let action = Action::DropLog { before: at.minus(self.max_age) };
        let command =
            Command { at, expires_at: at.plus(self.answer_wait), by: SERVICE.to_owned(), if_match: None, action };
        if let Err(error) = self.journal.submit(workspace, &command, self.answer_wait).await {
            debug!(%workspace, error = &error as &dyn Error, "An old log could not be dropped now.");
        }
    }
}
