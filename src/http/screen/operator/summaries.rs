//! What is read for the operators' screen in more than a moment: at most once in some seconds, however many look.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::OVERVIEW_MAX_AGE;
use crate::http::problem::Problem;
use crate::journal::joined;
use crate::message::WorkspaceId;
use crate::workspace::view::MailView;

/// A part of the page, or why it is not known in a sentence.
pub(super) type Known<T> = Result<T, String>;

/// What was read last.
#[derive(Default)]
pub(in crate::http) struct Summaries {
    pub(super) rejected: Remembered<RejectedSummary>,
    pub(super) mails: Remembered<UnsentMails>,
}

/// One of them. Locked while it is being read.
pub(super) struct Remembered<T>(Arc<Mutex<Option<LastRead<T>>>>);

/// What was read, and when.
type LastRead<T> = (Instant, Arc<T>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Send + Sync + 'static> Remembered<T> {
    /// What was read within [`OVERVIEW_MAX_AGE`], or what `read` brings now. Who comes meanwhile waits for the same. Nobody
    /// may wait to its end: then it is known to whoever comes next.
    pub(super) async fn get(
        &self,
        read: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<Arc<T>, Problem> {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        if let Some((_, known)) = last.as_ref().filter(|(at, _)| at.elapsed() < OVERVIEW_MAX_AGE) {
            return Ok(Arc::clone(known));
        }
        joined(tokio::spawn(async move {
            let known = Arc::new(read.await?);
            *last = Some((Instant::now(), Arc::clone(&known)));
            Ok(known)
        }))
        .await
    }

    /// It is another one now.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// What is set aside now.
#[derive(Default)]
pub(super) struct RejectedSummary {
    /// How many entries there are.
    pub(super) total: u64,
    /// Of how many the reason was read.
    pub(super) looked_at: u64,
    /// By reason, those with most entries first.
    pub(super) kinds: Vec<RejectedKind>,
}

/// The entries of one reason, as far as they were looked at.
pub(super) struct RejectedKind {
    /// What was wrong.
    pub(super) kind: String,
    pub(super) count: u64,
    pub(super) oldest: OldestRejected,
}

/// The oldest entry of a reason.
pub(super) struct OldestRejected {
    /// Its shard and id, as `outbound rejected` names it.
    pub(super) place: String,
    /// When it was set aside.
    pub(super) at: String,
    /// Why, in one sentence.
    pub(super) reason: String,
    /// The workspace that it names, if it names one.
    pub(super) workspace: Option<String>,
}

/// What is known of mails about switch-offs that nobody got.
#[derive(Default)]
pub(super) struct UnsentMails {
    /// Workspaces that were looked at.
    pub(super) looked_at: u64,
    /// Whether more are switched off by errors.
    pub(super) more: bool,
    /// Of how many it cannot be told what became of the mail.
    pub(super) unread: u64,
    /// Mails that go out as they should.
    pub(super) on_their_way: u64,
    /// How many of which kind.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// The newest ones, newest first.
    pub(super) newest: Vec<UnsentMail>,
}

/// One of them.
pub(super) struct UnsentMail {
    pub(super) workspace: WorkspaceId,
    pub(super) owner: Option<String>,
    pub(super) mail: MailView,
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::config::OVERVIEW_WAIT;

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_than_anybody_waits_is_known_to_whoever_comes_next() {
        let remembered = Remembered::default();
        let slow = async {
            // By the paused clock.
            sleep(OVERVIEW_WAIT + Duration::from_millis(100)).await;
            Ok(7)
        };
        assert!(timeout(OVERVIEW_WAIT, remembered.get(slow)).await.is_err());
        // It is not read once more.
        let next = timeout(OVERVIEW_WAIT, remembered.get(pending())).await;
        assert!(matches!(next, Ok(Ok(known)) if *known == 7));
    }
}
