//! The mails that a shard owes: when each is tried next, and a bound on how many at a time.
//!
//! A mail comes here when it is durable: from the outbox at the acquisition, or from the answer of
//! the commit that owes it. It is handed over only after its workspace has said that it is still owed.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::actor::maps::HashMap;
use crate::config::{MAIL_BACKOFF, MAIL_DRAIN_MAX, MAIL_TURN_WAIT, MAILS_AT_ONCE};
use crate::journal::port::OwedMail;
use crate::message::WorkspaceId;
use crate::workspace::decide::MailResult;
use crate::workspace::event::MailId;

/// Bounded by the outbox: at most ten mails a workspace in 24 h.
#[derive(Debug, Default)]
pub(super) struct Mails {
    owed: HashMap<MailKey, ScheduledMail>,
    /// Those that are not begun, by when they are due.
    waiting: BTreeSet<(Instant, MailKey)>,
    /// Those that are begun, and how far each is.
    begun: HashMap<MailKey, MailStage>,
    /// None begins before, since one had to wait for its turn.
    held_until: Option<Instant>,
    /// While the shard drains: until then the mail server's answers are waited for.
    awaited_until: Option<Instant>,
}

type MailKey = (WorkspaceId, MailId);

#[derive(Debug)]
struct ScheduledMail {
    mail: OwedMail,
    due: Instant,
    tries: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum MailStage {
    /// The workspace was asked whether the mail is still owed.
    Asked,
    /// It is with the mail server.
    Sending,
    /// The mail server has answered; the workspace has not yet decided what follows.
    Answered(MailResult),
}

impl MailStage {
    /// No mail server has anything of it.
    fn is_not_begun(&self) -> bool {
        matches!(self, Self::Asked | Self::Answered(MailResult::NotBegun))
    }
}

impl Mails {
    pub(super) fn owe(&mut self, mail: OwedMail, now: Instant) {
        let key = (mail.workspace.clone(), mail.id);
        self.owed.entry(key.clone()).or_insert_with(|| {
            self.waiting.insert((now, key));
            ScheduledMail { mail, due: now, tries: 0 }
        });
    }

    /// The next mail whose workspace is to be asked; it counts as begun from now on.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(WorkspaceId, MailId)> {
        if self.begun.len() >= MAILS_AT_ONCE || self.held_until.is_some_and(|held| now < held) {
            return None;
        }
        self.waiting.first().filter(|(due, _)| *due <= now)?;
        let (_, key) = self.waiting.pop_first()?;
        self.begun.insert(key.clone(), MailStage::Asked);
        Some(key)
    }

    /// The workspace said that it is owed: the mail to hand over, unless that is under way already.
    pub(super) fn send(&mut self, workspace: &WorkspaceId, id: MailId) -> Option<OwedMail> {
        let key = (workspace.clone(), id);
        let owed = self.owed.get(&key)?;
        if !matches!(self.begun.get(&key), None | Some(MailStage::Asked)) {
            return None;
        }
        self.waiting.remove(&(owed.due, key.clone()));
        let mail = owed.mail.clone();
        self.begun.insert(key, MailStage::Sending);
        Some(mail)
    }

    /// The mail server has answered.
    pub(super) fn answered(&mut self, workspace: &WorkspaceId, id: MailId, result: MailResult) {
        if let Some(stage) = self.begun.get_mut(&(workspace.clone(), id)) {
            *stage = MailStage::Answered(result);
        }
    }

    /// The mail server's answers about this workspace's mails that the workspace has not decided on.
    pub(super) fn undecided_of(&self, workspace: &WorkspaceId) -> Vec<(MailId, MailResult)> {
        let of_workspace = self.begun.iter().filter(|(key, _)| key.0 == *workspace);
        of_workspace
            .filter_map(|(key, stage)| match stage {
                MailStage::Answered(result) => Some((key.1, result.clone())),
                MailStage::Asked | MailStage::Sending => None,
            })
            .collect()
    }

    /// The mails of this workspace that it was asked about and has not answered.
    pub(super) fn asked_of(&self, workspace: &WorkspaceId) -> Vec<MailId> {
        let asked = self.begun.iter().filter(|(key, stage)| key.0 == *workspace && **stage == MailStage::Asked);
        asked.map(|(key, _)| key.1).collect()
    }

    /// The workspaces of [`Mails::undecided_of`].
    pub(super) fn undecided(&self) -> Vec<WorkspaceId> {
        let answered = self.begun.iter().filter(|(_, stage)| matches!(stage, MailStage::Answered(_)));
        answered.map(|(key, _)| key.0.clone()).collect()
    }

    /// The mail server, or the workspace, said "later".
    pub(super) fn later(&mut self, workspace: &WorkspaceId, id: MailId, now: Instant) {
        let key = (workspace.clone(), id);
        self.begun.remove(&key);
        if let Some(owed) = self.owed.get_mut(&key) {
            self.waiting.remove(&(owed.due, key.clone()));
            owed.due = now + MAIL_BACKOFF.after(owed.tries);
            owed.tries += 1;
            self.waiting.insert((owed.due, key));
        }
    }

    /// Other mails had the turn: it is no try. It stays before those that are due after it, and for none of them is there a
    /// turn now.
    pub(super) fn wait(&mut self, workspace: &WorkspaceId, id: MailId, now: Instant) {
        let key = (workspace.clone(), id);
        self.begun.remove(&key);
        self.held_until = Some(now + MAIL_TURN_WAIT);
        if let Some(owed) = self.owed.get(&key) {
            self.waiting.insert((owed.due, key));
        }
    }

    /// The mail is owed no more.
    pub(super) fn over(&mut self, workspace: &WorkspaceId, id: MailId) {
        let key = (workspace.clone(), id);
        self.begun.remove(&key);
        if let Some(owed) = self.owed.remove(&key) {
            self.waiting.remove(&(owed.due, key));
        }
    }

    /// The workspace crashed or could not be loaded before it answered: it is asked again later.
    pub(super) fn unasked(&mut self, workspace: &WorkspaceId, now: Instant) {
        let asked: Vec<MailKey> = self
            .begun
            .iter()
            .filter(|(key, stage)| key.0 == *workspace && stage.is_not_begun())
            .map(|(key, _)| key.clone())
            .collect();
        for (workspace, id) in asked {
            self.later(&workspace, id, now);
        }
    }

    /// The mails of this workspace that the mail server has, or has answered.
    pub(super) fn sending(&self, workspace: &WorkspaceId) -> Vec<MailId> {
        let of_workspace = self.begun.iter().filter(|(key, stage)| key.0 == *workspace && **stage != MailStage::Asked);
        of_workspace.map(|(key, _)| key.1).collect()
    }

    /// Whether any mail is with the mail server, or its answer is not decided on.
    #[cfg(test)]
    pub(super) fn any_sending(&self) -> bool {
        self.begun.values().any(|stage| *stage != MailStage::Asked)
    }

    /// Whether a mail of this workspace is begun.
    pub(super) fn has_begun(&self, workspace: &WorkspaceId) -> bool {
        self.begun.keys().any(|key| key.0 == *workspace)
    }

    /// The shard drains from now on: mails that were begun are recalled, and answers to whole mails waited for.
    pub(super) fn drain(&mut self, now: Instant) {
        self.awaited_until = Some(now + MAIL_DRAIN_MAX);
    }

    /// Until when a drain waits for the mail server's answers; `None` once it does not any more.
    pub(super) fn awaited_until(&self, now: Instant) -> Option<Instant> {
        self.awaited_until.filter(|until| now < *until)
    }

    /// Whether a drain waits: for the mail server's answer to a whole mail, or until what it answered is recorded. One that was
    /// not begun is owed as before.
    pub(super) fn any_holds_drain(&self, now: Instant) -> bool {
        let awaited = self.awaited_until(now).is_some();
        self.begun.values().any(|stage| match stage {
            stage if stage.is_not_begun() => false,
            MailStage::Sending => awaited,
            MailStage::Asked | MailStage::Answered(_) => true,
        })
    }

    /// The mails that the mail server has not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.begun.values().filter(|stage| **stage == MailStage::Sending).count()
    }

    /// When the next mail is due; `None` while none can begin.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.begun.len() >= MAILS_AT_ONCE {
            return None;
        }
        self.waiting.first().map(|(due, _)| self.held_until.map_or(*due, |held| held.max(*due)))
    }

    /// After a reload of the shard the outbox is read again; what the mail server has got stays begun.
    pub(super) fn reload(&mut self) {
        self.begun.retain(|_, stage| *stage != MailStage::Asked);
        self.owed.retain(|key, _| self.begun.contains_key(key));
        self.waiting.clear();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::workspace::Time;

    pub(in crate::actor::shard) fn owed(workspace: &str) -> OwedMail {
        let at = Time::from_unix_ms(0);
        OwedMail {
            workspace: workspace.parse().unwrap(),
            id: MailId::disabled(1),
            at,
            to: "owner@acme.example".to_owned(),
            url: "https://crm.example/".to_owned(),
            errors: 11,
            failing_since: at,
            recent: Vec::new(),
            errors_left: None,
            skipped: None,
            by: None,
        }
    }

    #[test]
    fn a_mail_that_had_to_wait_is_the_next_and_holds_those_behind_it() {
        let (start, mut mails) = (Instant::now(), Mails::default());
        mails.owe(owed("first"), start);
        mails.owe(owed("second"), start + MAIL_TURN_WAIT / 4);
        let now = start + MAIL_TURN_WAIT / 2;
        let (first, id) = mails.next_due(now).unwrap();
        assert!(first.as_str() == "first" && mails.send(&first, id).is_some());
        mails.wait(&first, id, now);
        let held = now + MAIL_TURN_WAIT;
        assert_eq!((mails.next_due(held - MAIL_TURN_WAIT / 8), mails.wake_at()), (None, Some(held)));
        assert_eq!(mails.next_due(held), Some((first.clone(), id)));
        assert!(mails.send(&first, id).is_some(), "it was no try");
        assert_eq!(mails.next_due(held).unwrap().0.as_str(), "second");
    }
}
