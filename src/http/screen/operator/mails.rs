//! Mails about switch-offs that nobody got, as the switched-off workspaces remember them.

use super::summaries::{UnsentMail, UnsentMails};
use crate::config::{MAIL_LATE_AFTER, SWITCHED_OFF_LOOKED_AT, UNSENT_MAILS_SHOWN};
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::journal::port::ListQuery;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::MailState;
use crate::workspace::time::Time;
use crate::workspace::view::MailView;

/// Workspaces that are read at a time.
const PAGE: usize = 100;

impl UnsentMails {
    fn take(&mut self, unsent: UnsentMail, now: Time) {
        let is_late = unsent.mail.detail.is_some() || now.since(unsent.mail.at) > MAIL_LATE_AFTER;
        let Some(words) = in_words(unsent.mail.state, is_late) else { return };
        *self.counts.entry(words).or_default() += 1;
        self.newest.push(unsent);
    }
}

/// Why nobody got it; nothing of what was sent, or is on its way as it should.
fn in_words(state: MailState, is_late: bool) -> Option<&'static str> {
    match state {
        MailState::Owed if is_late => Some("could not be handed over yet"),
        MailState::GivenUp => Some("given up"),
        MailState::Limited => Some("not sent: ten a day were reached"),
        MailState::NoAddress => Some("without an owner email"),
        MailState::NoMailServer => Some("without a mail server"),
        MailState::Owed | MailState::Sent | MailState::Dropped => None,
    }
}

impl FacadeState {
    /// Looks at the workspaces that errors switched off.
    pub(super) async fn unsent_mails(&self) -> Result<UnsentMails, Problem> {
        let now = (self.facade.clock)();
        let (mut unsent, mut after, mut looked_at) = (UnsentMails::default(), None, 0);
        loop {
            let status = Some(WebhookStatus::DisabledByErrors);
            let query = ListQuery { after, status, count: PAGE, ..ListQuery::default() };
            let page = self.reader.small(None, self.facade.journal.workspaces(&query)).await?;
            let is_last = page.len() < PAGE;
            looked_at += page.len();
            after = page.last().map(|last| last.workspace.clone());
            for listed in page {
                let Some(state) = listed.state else { continue };
                let Some(mail) = state.mail else { continue };
                let mail = MailView { state: mail.state, at: mail.at, detail: mail.detail };
                let owner = state.webhook.owner_email;
                unsent.take(UnsentMail { workspace: listed.workspace, owner, mail }, now);
            }
            unsent.newest.sort_by_key(|unsent| std::cmp::Reverse(unsent.mail.at));
            unsent.newest.truncate(UNSENT_MAILS_SHOWN);
            if is_last || looked_at >= SWITCHED_OFF_LOOKED_AT {
                return Ok(UnsentMails { at_least: !is_last, ..unsent });
            }
        }
    }
}
