//! What workspaces decide, and how their attempts end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::{ShardAction, ShardCore, ShardMode};
use crate::actor::book::Book;
use crate::actor::book::account::Account;
use crate::actor::protocol::{AttemptEnd, Effect, FinishedAttempt, MailNext, Seed, Slot, Start, ToWorkspace};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::journal::port::{ShardRequest, Step};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::decide::MailResult;
use crate::workspace::event::MailId;

impl ShardCore {
    /// Makes a workspace of what was loaded. `None` if it panics over that.
    pub(in crate::actor) fn begin(
        &mut self,
        slot: Slot,
        incarnation: u64,
        seed: Seed,
        context: &Rc<WorkspaceContext>,
        now: Instant,
    ) -> Option<Box<WorkspaceCore>> {
        let account = account_of(&mut self.book, slot, incarnation)?;
        let (id, entries) = (account.id.clone(), account.entries_mut());
        std::mem::swap(&mut entries.effects, &mut self.spare);
        let begun = catch_unwind(AssertUnwindSafe(|| WorkspaceCore::new(id, slot, seed, Rc::clone(context), entries)));
        self.take_effects(slot, now);
        if begun.is_err() {
            self.panicked(slot, now);
        }
        begun.ok().map(Box::new)
    }

    /// Lets a workspace decide on a mail. Returns whether its actor goes on: not after it retires or panics, and not
    /// when another has taken its place.
    pub(in crate::actor) fn decide(
        &mut self,
        slot: Slot,
        incarnation: u64,
        workspace: &mut WorkspaceCore,
        mail: ToWorkspace,
        now: Instant,
    ) -> bool {
        if account_of(&mut self.book, slot, incarnation).is_none() {
            return false;
        }
        match mail {
            ToWorkspace::Retire => self.retired(slot),
            ToWorkspace::Hibernate => self.hibernate(slot, workspace, now),
            mail => return self.handle(slot, workspace, mail, now),
        }
        false
    }

    fn handle(&mut self, slot: Slot, workspace: &mut WorkspaceCore, mail: ToWorkspace, now: Instant) -> bool {
        let Some(account) = self.book.get_mut(slot) else { return false };
        if matches!(mail, ToWorkspace::Wake) {
            account.woken = false;
        }
        let entries = account.entries_mut();
        std::mem::swap(&mut entries.effects, &mut self.spare);
        let done = catch_unwind(AssertUnwindSafe(|| workspace.handle(mail, entries, now)));
        self.take_effects(slot, now);
        if done.is_err() {
            // The state may be half changed: it is dropped with its actor and loaded again.
            self.panicked(slot, now);
        }
        done.is_ok()
    }

    pub(super) fn take_effects(&mut self, slot: Slot, now: Instant) {
        let Some(account) = self.book.get_mut(slot) else { return };
        let mut effects = std::mem::take(&mut account.entries_mut().effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Commit(step, test) => self.push_step(Some(slot), step, test, now),
                Effect::Post(start, in_flight) => self.actions.push_back(ShardAction::Post(start, in_flight)),
                Effect::FindNewest(command) => {
                    if let Some(account) = self.book.get(slot) {
                        self.committer.ask(ShardRequest::Newest { workspace: account.id.clone(), command });
                    }
                }
                Effect::Starve => self.starve(slot),
                Effect::Mail(mail, next) => self.mail_goes_on(slot, mail, next, now),
            }
        }
        self.spare = effects;
    }

    pub(super) fn push_step(&mut self, slot: Option<Slot>, step: Box<Step>, test: Option<EntryId>, now: Instant) {
        if !self.unable.is_empty() {
            for entry in &step.settled {
                self.unable.remove(entry);
            }
        }
        for id in &step.settled_commands {
            if let Some(held) = self.commands.get_mut(id) {
                held.decided = true;
            }
        }
        self.committer.push(slot, step, test, now);
    }

    fn mail_goes_on(&mut self, slot: Slot, mail: MailId, next: MailNext, now: Instant) {
        let Some(account) = self.book.get(slot) else { return };
        match next {
            // It was asked for before the drain began.
            MailNext::Send if self.mode == ShardMode::Draining => {
                self.tell(slot, ToWorkspace::MailResult(mail, MailResult::NotBegun), now);
            }
            MailNext::Send => self.actions.extend(self.mails.send(&account.id, mail).map(ShardAction::SendMail)),
            MailNext::Later => self.mails.later(&account.id, mail, now),
            MailNext::Wait => self.mails.wait(&account.id, mail, now),
            // Removed once that is durable: until then a reload would find it owed and send it again.
            MailNext::Over => {}
        }
    }

    /// Keeps the hibernated form of a workspace in its account. What came for it since it was told reactivates it at once.
    fn hibernate(&mut self, slot: Slot, workspace: &WorkspaceCore, now: Instant) {
        let Some(account) = self.book.get_mut(slot) else { return };
        let entries = account.entries_mut();
        match catch_unwind(AssertUnwindSafe(|| workspace.hibernate(entries))) {
            Ok(Some(hibernated)) => {
                account.hibernate(hibernated);
                self.actions.push_back(ShardAction::Forget(slot));
                self.reactivate(slot);
            }
            // It is loaded again.
            Ok(None) => self.retired(slot),
            Err(_) => self.panicked(slot, now),
        }
    }

    fn retired(&mut self, slot: Slot) {
        self.actions.push_back(ShardAction::Forget(slot));
        if let Some(account) = self.book.get_mut(slot) {
            account.lose_actor();
        }
        self.reactivate(slot);
    }

    /// An attempt has ended; its workspace is to decide on that.
    pub(in crate::actor) fn ended(&mut self, finished: FinishedAttempt, now: Instant) {
        let slot = finished.start.slot;
        match &finished.end {
            AttemptEnd::Unable(why) if finished.start.test.is_none() => self.not_attempted(&finished.start, why, now),
            AttemptEnd::Unable(_) | AttemptEnd::Done(_) => {
                let noted = self.book.get_mut(slot).is_some_and(|account| account.entries_mut().note_end(finished));
                if noted && self.is_working() {
                    self.wake(slot, now);
                }
            }
        }
        self.wake_starved(1, now);
    }

    /// Our own system could not make the attempt: its entry waits again.
    fn not_attempted(&mut self, start: &Arc<Start>, why: &str, now: Instant) {
        let (slot, entry) = (start.slot, start.item.entry);
        if !self.book.get_mut(slot).is_some_and(|account| account.entries_mut().put_back(start, now)) {
            return;
        }
        if self.mode == ShardMode::Acquiring {
            // It is read with all others that were not attempted.
            return self.book.let_go(slot, entry);
        }
        self.unable.insert(entry);
        if *self.unable_why != *why {
            self.unable_why = why.into();
        }
        self.starve(slot);
        if !self.crashed.contains(&slot) {
            self.reactivate(slot);
        }
    }

    /// A mail was handed over, or not.
    pub(in crate::actor) fn mail_sent(
        &mut self,
        workspace: &WorkspaceId,
        mail: MailId,
        result: MailResult,
        now: Instant,
    ) {
        self.mails.answered(workspace, mail, result.clone());
        if self.is_working() {
            let slot = self.book.ensure(workspace, now);
            self.tell(slot, ToWorkspace::MailResult(mail, result), now);
        }
    }

    fn is_working(&self) -> bool {
        matches!(self.mode, ShardMode::Running | ShardMode::Draining)
    }
}

/// The account, if this incarnation is the present one.
fn account_of(book: &mut Book, slot: Slot, incarnation: u64) -> Option<&mut Account> {
    book.get_mut(slot).filter(|account| account.incarnation == incarnation)
}
