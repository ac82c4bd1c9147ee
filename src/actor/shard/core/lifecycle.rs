//! From the acquisition of the shard to its release.

use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::failed_reads::FailedReads;
use super::{ShardAction, ShardCore, ShardMode};
use crate::actor::book::account::{Account, Phase};
use crate::actor::maps::HashSet;
use crate::actor::protocol::{Slot, ToWorkspace};
use crate::actor::shard::committer::{Committer, Made};
use crate::actor::shard::intake::Intake;
use crate::config::BACKOFF;
use crate::journal::port::{AcquireError, Bookmark, OwedMail, ShardConnectionError, StoreError};
use crate::message::EntryId;
use crate::workspace::outcomes::Outcomes;

impl ShardCore {
    /// The shard is held. Of the attempted entries in the book those that are gone from the stream
    /// were settled before the reload.
    pub(in crate::actor) fn acquired(
        &mut self,
        outbox: Vec<OwedMail>,
        bookmark: Option<Bookmark>,
        present: &HashSet<EntryId>,
        lease_until: Instant,
        now: Instant,
    ) {
        for (slot, entry) in self.book.attempted() {
            if !present.contains(&entry) {
                self.book.settled(Some(slot), entry);
            }
        }
        if self.setbacks == 0 {
            debug!(shard = self.identity.shard, "The shard is held.");
        } else {
            info!(shard = self.identity.shard, kept = self.book.len(), "The shard is held again.");
        }
        self.mode = ShardMode::Running;
        self.proven_at = now + BACKOFF.most;
        self.admission.set_lease(Some(lease_until));
        for mail in outbox {
            self.mails.owe(mail, now);
        }
        if let Some(bookmark) = bookmark {
            self.read_on_from(bookmark, now);
        }
        self.take_up_survivors(now);
    }

    /// Loads every workspace with something undone from before the reload: outcomes are decided again, attempts go on.
    fn take_up_survivors(&mut self, now: Instant) {
        for workspace in self.mails.undecided() {
            self.book.ensure(&workspace, now);
        }
        let slots: Vec<Slot> = self.book.iter().map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| self.reactivate(slot));
    }

    /// The shard was not acquired: tried again after a pause.
    /// With `elsewhere` another node holds it: what was attempted here is that node's to decide now.
    pub(in crate::actor) fn not_acquired(&mut self, error: &AcquireError, elsewhere: bool) {
        if elsewhere {
            self.book.clear();
            self.actions.push_back(ShardAction::RecallMails);
        }
        let pause = match error {
            AcquireError::Held { remaining, .. } => {
                (*remaining).clamp(Duration::from_millis(100), Duration::from_secs(1))
            }
            AcquireError::Store(_) => BACKOFF.after(self.setbacks),
        };
        if self.setbacks == 0 {
            warn!(shard = self.identity.shard, error = error as &dyn Error, "The shard is not held yet.");
        }
        self.setbacks += 1;
        self.acquire_after(pause);
    }

    fn acquire_after(&mut self, after: Duration) {
        self.mode = ShardMode::Acquiring;
        let attempted = self.book.attempted().into_iter().map(|(_, entry)| entry).collect();
        self.actions.push_back(ShardAction::Acquire { after, attempted });
    }

    /// A forward read failed. It is made again after a pause. What the store refuses is told for the whole node at once, and
    /// any other trouble once it lasts: a store that is away altogether is told by whoever watches it.
    pub(in crate::actor) fn poll_failed(&mut self, error: &StoreError, now: Instant) {
        debug!(shard = self.identity.shard, error = error as &dyn Error, "The streams cannot be read now.");
        let pause = self.failed_reads.note(error, now);
        self.book.read_ended();
        self.intake.poll_failed(now, pause);
    }

    /// The connection to the store is lost: what is not durable is decided again after a new acquisition.
    pub(in crate::actor) fn line_failed(&mut self, error: &ShardConnectionError, now: Instant) {
        if !matches!(self.mode, ShardMode::Running | ShardMode::Draining) {
            return;
        }
        warn!(shard = self.identity.shard, error = error as &dyn Error, "The shard is loaded again.");
        let draining = self.mode == ShardMode::Draining;
        self.reset(now);
        if matches!(error, ShardConnectionError::Fenced { .. }) {
            self.book.clear();
            // Another node makes them, and what stands in their slots next is not what they were begun for.
            self.actions.retain(|action| !matches!(action, ShardAction::Post(..)));
        }
        // Another node may hold the shard before this one knows, and sends what is still owed.
        self.actions.push_back(ShardAction::RecallMails);
        if draining {
            return self.give_up();
        }
        self.setbacks += 1;
        let mut after = Duration::ZERO;
        if matches!(error, ShardConnectionError::Failed { .. }) {
            if now >= self.proven_at {
                self.failures = 0;
            }
            after = BACKOFF.after(self.failures);
            self.failures += 1;
        }
        self.acquire_after(after);
    }

    /// Forgets everything except attempts, tests and mails that were sent.
    fn reset(&mut self, now: Instant) {
        // Attempts and mails that workspaces have begun are under way, although their turn to be made comes only now.
        self.actions.retain(|action| matches!(action, ShardAction::Post(..) | ShardAction::SendMail(_)));
        for (slot, account) in self.book.iter() {
            if matches!(account.phase, Phase::Active | Phase::Retiring) {
                self.actions.push_back(ShardAction::Tell(slot, ToWorkspace::Retire));
                self.actions.push_back(ShardAction::Forget(slot));
            }
        }
        self.admission.set_lease(None);
        self.admission.set_unanswered(None);
        self.book.lose_shard(now);
        self.intake = Intake::new(self.limits);
        self.committer = Committer::default();
        self.mails.reload();
        self.commands.clear();
        self.commands_settled.clear();
        self.starved.clear();
        self.crashed.clear();
        self.unable.clear();
        self.failed_reads = FailedReads::default();
    }

    /// A commit is durable, and every one before it.
    pub(in crate::actor) fn committed(&mut self, number: u64, lease_until: Instant, now: Instant) {
        let durable = self.committer.answered(number);
        if durable.is_empty() {
            return;
        }
        // Not before a commit succeeds: a shard that can be acquired and read may still refuse every commit.
        self.setbacks = 0;
        // A drain closes admission for good.
        if self.is_running() {
            self.admission.set_lease(Some(lease_until));
        }
        self.admission.set_unanswered(self.committer.unanswered_since());
        let mut outcomes = Outcomes::default();
        for made in durable {
            outcomes += made.outcomes;
            self.take_durable(made, now);
        }
        if outcomes.total() > 0 {
            self.last_hour.lock().count((self.clock)(), outcomes);
        }
    }

    fn take_durable(&mut self, made: Made, now: Instant) {
        self.intake.freed(made.settled.len());
        for (slot, entry) in made.settled {
            if let Some(account) = self.book.settled(slot, entry) {
                account.widen();
                account.use_at(now);
                let unused = account.is_unused();
                if let Some(slot) = slot.filter(|_| unused) {
                    self.forget_unused(slot);
                }
            }
        }
        for (slot, id) in made.answered {
            self.let_go(slot, |account| drop(account.entries_mut().test.take_if(|test| test.command == id)), now);
            if let Some(held) = self.commands.remove(&id) {
                self.commands_settled.push(id);
                self.let_go(held.slot, |account| account.commands -= 1, now);
            }
        }
        for mail in made.mails_owed {
            self.mails.owe(mail, now);
        }
        for (workspace, mail) in made.mails_ended {
            self.mails.over(&workspace, mail);
        }
        for (slot, id) in made.tests_started {
            if self.book.get(slot).is_some_and(|account| account.phase == Phase::Active) {
                self.tell(slot, ToWorkspace::TestDurable(id), now);
            }
        }
    }

    fn let_go(&mut self, slot: Slot, change: impl FnOnce(&mut Account), now: Instant) {
        if let Some(account) = self.book.get_mut(slot) {
            change(account);
            account.clear_suspicion();
            account.use_at(now);
            self.forget_unused(slot);
        }
    }

    /// Takes nothing new up; ends with [`ShardAction::Release`] when what is under way has ended. A mail that the mail server
    /// cannot have taken yet is recalled, so that whoever holds the shard next sends it.
    pub(in crate::actor) fn drain(&mut self, now: Instant) {
        match self.mode {
            ShardMode::Acquiring => self.give_up(),
            ShardMode::Running => {
                self.mode = ShardMode::Draining;
                self.admission.set_lease(None);
                self.mails.drain(now);
                self.actions.push_back(ShardAction::RecallMails);
            }
            ShardMode::Draining | ShardMode::Released => {}
        }
    }

    pub(super) fn end_drain_when_idle(&mut self, now: Instant) {
        let attempting = self.book.any_attempted() || self.mails.any_holds_drain(now);
        if !attempting && self.committer.is_idle() {
            self.give_up();
        }
    }

    /// Releases the shard as it is: what is not durable is decided again by whoever holds it next.
    pub(in crate::actor) fn give_up(&mut self) {
        if self.mode != ShardMode::Released {
            self.mode = ShardMode::Released;
            let unanswered = self.mails.unanswered();
            if unanswered > 0 {
                warn!(
                    shard = self.identity.shard,
                    mails = unanswered,
                    "The mail server has not said whether it took these mails; whoever runs the shard next sends them again."
                );
            }
            self.actions.clear();
            self.actions.push_back(ShardAction::Release);
        }
    }
}
