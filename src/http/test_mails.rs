//! Mails that somebody asks for to see that mails arrive: few a day a workspace, for whoever may save may write any address.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::{TEST_MAIL_SPAN, TEST_MAILS_MAX, TEST_MAILS_PER_WORKSPACE};
use crate::message::WorkspaceId;

/// Sends a test mail of a workspace to an address; the webhook's URL stands in it. The error is what the mail server said.
pub type SendTestMail =
    Arc<dyn Fn(WorkspaceId, String, Option<String>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// When this node sent which test mails.
#[derive(Debug, Default)]
pub(super) struct TestMails(Mutex<HashMap<WorkspaceId, Vec<Instant>>>);

impl TestMails {
    /// Takes the right to one more; nothing when there is none now.
    pub(super) fn take(&self, workspace: &WorkspaceId, now: Instant) -> Option<()> {
        let mut sent = self.0.lock();
        sent.retain(|_, times| {
            times.retain(|at| now.duration_since(*at) < TEST_MAIL_SPAN);
            !times.is_empty()
        });
        if sent.values().map(Vec::len).sum::<usize>() >= TEST_MAILS_MAX {
            return None;
        }
        let times = sent.entry(workspace.clone()).or_default();
        if times.len() >= TEST_MAILS_PER_WORKSPACE {
            return None;
        }
        times.push(now);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_workspace_and_the_node_have_a_few_a_day() {
        let mails = TestMails::default();
        let (acme, now) = ("acme".parse().unwrap(), Instant::now());
        for _ in 0..TEST_MAILS_PER_WORKSPACE {
            assert_eq!(mails.take(&acme, now), Some(()));
        }
        assert_eq!(mails.take(&acme, now + TEST_MAIL_SPAN - Duration::from_secs(1)), None);
        assert_eq!(mails.take(&acme, now + TEST_MAIL_SPAN), Some(()));
        let mails = TestMails::default();
        for n in 0..TEST_MAILS_MAX {
            assert_eq!(mails.take(&format!("w{n}").parse().unwrap(), now), Some(()));
        }
        assert_eq!(mails.take(&acme, now), None);
    }
}
