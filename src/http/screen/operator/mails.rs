//! Mails about switch-offs that nobody got, as the switched-off workspaces remember them.

use super::summaries::{UnsentMail, UnsentMails};
use crate::config::{MAIL_LATE_AFTER, SWITCHED_OFF_LOOKED_AT, UNSENT_MAILS_SHOWN};
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::journal::port::{ListQuery, ListedWorkspace};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::MailState;
use crate::workspace::time::Time;
use crate::workspace::view::MailView;

/// Workspaces that are read at a time.
const PAGE: usize = 100;

/// What became of one.
enum MailFate {
    Sent,
    OnItsWay,
    /// Why nobody got it.
    Unsent(&'static str),
}

impl UnsentMails {
    fn take(&mut self, ListedWorkspace { workspace, state }: ListedWorkspace, now: Time) {
        // One that somebody saved a moment ago is switched off no more.
        if state.as_ref().is_some_and(|state| state.status() != WebhookStatus::DisabledByErrors) {
            return;
        }
        self.looked_at += 1;
        let Some((mail, owner)) = state.and_then(|state| Some((state.mail?, state.webhook.owner_email))) else {
            self.unread += 1;
            return;
        };
        let mail = MailView { state: mail.state, at: mail.at, detail: mail.detail };
        let is_late = mail.detail.is_some() || now.since(mail.at) > MAIL_LATE_AFTER;
        match fate(mail.state, is_late) {
            MailFate::Sent => {}
            MailFate::OnItsWay => self.on_their_way += 1,
            MailFate::Unsent(words) => {
                *self.counts.entry(words).or_default() += 1;
                self.newest.push(UnsentMail { workspace, owner, mail });
            }
        }
    }
}

fn fate(state: MailState, is_late: bool) -> MailFate {
    match state {
        MailState::Sent => MailFate::Sent,
        MailState::Owed if is_late => MailFate::Unsent("could not be handed over yet"),
        MailState::Owed => MailFate::OnItsWay,
        MailState::GivenUp => MailFate::Unsent("given up"),
        MailState::Limited => MailFate::Unsent("not sent: ten a day were reached"),
        MailState::NoAddress => MailFate::Unsent("without an owner email"),
        MailState::NoMailServer => MailFate::Unsent("without a mail server"),
        MailState::Dropped => MailFate::Unsent("dropped before it was sent"),
    }
}

impl FacadeState {
    /// Looks at the workspaces that errors switched off.
    pub(super) async fn unsent_mails(&self) -> Result<UnsentMails, Problem> {
        let now = (self.facade.clock)();
        let (mut unsent, mut after, mut read) = (UnsentMails::default(), None, 0);
        loop {
            let status = Some(WebhookStatus::DisabledByErrors);
            // One more tells whether there are more.
            let query = ListQuery { after, status, count: PAGE + 1, ..ListQuery::default() };
            let mut page = self.reader.small(None, self.facade.journal.workspaces(&query)).await?;
            let more = page.len() > PAGE;
            page.truncate(PAGE);
            read += page.len();
            after = page.last().map(|last| last.workspace.clone());
            page.into_iter().for_each(|listed| unsent.take(listed, now));
            unsent.newest.sort_by_key(|unsent| std::cmp::Reverse(unsent.mail.at));
            unsent.newest.truncate(UNSENT_MAILS_SHOWN);
            if !more || read >= SWITCHED_OFF_LOOKED_AT {
                return Ok(UnsentMails { more, ..unsent });
            }
        }
    }
}
