//! What is known when the operators' screen is made.

use std::sync::Arc;

use maud::{Markup, html};
use tokio::time::timeout;

use super::asked::ListChoice;
use super::glances::AllNodes;
use super::summaries::{Known, RejectedSummary, UnsentMails};
use crate::config::OVERVIEW_WAIT;
use crate::http::api::nodes::NodeList;
use crate::http::api::workspaces::WorkspaceList;
use crate::http::problem::Problem;
use crate::http::screen::model::CSRF_FIELD;
use crate::http::screen::parts::Tone;
use crate::http::state::{FacadeState, Readiness};
use crate::workspace::time::Time;

/// What the page shows.
pub(super) struct Overview<'a> {
    /// What stands before our paths in a browser.
    pub(super) root: &'a str,
    /// Stands in every form.
    pub(super) csrf: &'a str,
    pub(super) now: Time,
    pub(super) notice: Option<(Tone, String)>,
    pub(super) readiness: Readiness,
    /// Workspaces by status.
    pub(super) counts: Known<[u64; 4]>,
    pub(super) all: AllNodes,
    pub(super) work: Known<NodeList>,
    pub(super) rejected: Known<Arc<RejectedSummary>>,
    pub(super) mails: Known<Arc<UnsentMails>>,
    pub(super) choice: &'a ListChoice,
    /// `None`: no list can be chosen so.
    pub(super) list: Option<Known<WorkspaceList>>,
}

impl Overview<'_> {
    pub(super) fn csrf_field(&self) -> Markup {
        html! { input type="hidden" name=(CSRF_FIELD) value=(self.csrf); }
    }
}

impl FacadeState {
    /// Reads every part, all at the same time.
    pub(super) async fn overview<'a>(
        self: &'a Arc<Self>,
        csrf: &'a str,
        choice: &'a ListChoice,
        notice: Option<(Tone, String)>,
    ) -> Overview<'a> {
        let journal = &self.facade.journal;
        let summaries = &self.summaries;
        // Read to their end even if this page does not wait so long.
        let [of_rejected, of_mails] = [(); 2].map(|()| Arc::clone(self));
        let (counts, work, told, rejected, mails, list) = tokio::join!(
            known(self.reader.small(None, journal.workspace_counts())),
            known(self.list_nodes()),
            known(self.reader.small(None, journal.glances())),
            known(summaries.rejected.get(async move { of_rejected.rejected_summary().await })),
            known(summaries.mails.get(async move { of_mails.unsent_mails().await })),
            async {
                choice.query().read().ok()?;
                Some(known(self.list_workspaces(choice.query())).await)
            },
        );
        let now = (self.facade.clock)();
        Overview {
            root: self.facade.access.origin.path(),
            csrf,
            now,
            notice,
            readiness: (self.facade.readiness)(),
            counts,
            all: AllNodes::new((self.facade.glance)(), &told, &work, now),
            work,
            rejected,
            mails,
            choice,
            list,
        }
    }
}

async fn known<T>(read: impl Future<Output = Result<T, Problem>>) -> Known<T> {
    match timeout(OVERVIEW_WAIT, read).await {
        Ok(read) => read.map_err(|problem| problem.page_text()),
        Err(_) => Err("The store did not answer in time.".to_owned()),
    }
}
