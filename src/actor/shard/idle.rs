//! Idle workspaces are hibernated, and later retired. A few at a time: each takes a turn of its actor, and when
//! thousands fall idle together the messages of others would wait for all of them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::actor::book::Book;
use crate::actor::book::account::{Account, Phase};
use crate::actor::protocol::{Slot, ToWorkspace};
use crate::actor::shard::mails::Mails;
use crate::config::{ACTIVE_MAX, HIBERNATE_AFTER, IDLE_AFTER};

/// How often they are looked for: one is hibernated at most twice as late as it may be.
const LOOK_EVERY: Duration = HIBERNATE_AFTER;
/// So many are told at a time, and the next ones so much later.
const AT_ONCE: usize = 64;
const NEXT_AFTER: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct IdleWorkspaces {
    look_at: Instant,
    /// Those that were found and not told yet, the longest idle first.
    found: VecDeque<Slot>,
    /// So many of the first retire, for more than [`ACTIVE_MAX`] are in memory.
    excess: usize,
}

impl IdleWorkspaces {
    pub(super) fn new(now: Instant) -> Self {
        Self { look_at: now + LOOK_EVERY, found: VecDeque::new(), excess: 0 }
    }

    /// What idle workspaces are told now: to hibernate when they had no work for a while, and later to retire; above
    /// [`ACTIVE_MAX`] the longest idle retire at once.
    pub(super) fn told_now(&mut self, book: &Book, mails: &Mails, now: Instant) -> Vec<(Slot, ToWorkspace)> {
        if self.found.is_empty() && now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.find(book, mails, now);
        }
        let mut told = Vec::new();
        for slot in self.found.drain(..AT_ONCE.min(self.found.len())) {
            // It may have got work since.
            let Some(account) = book.get(slot).filter(|account| is_idle(account, mails)) else { continue };
            if self.excess > 0 || now >= account.used_at + IDLE_AFTER {
                self.excess = self.excess.saturating_sub(1);
                told.push((slot, ToWorkspace::Retire));
            } else if is_rested(account, now) {
                told.push((slot, ToWorkspace::Hibernate));
            }
        }
        told
    }

    fn find(&mut self, book: &Book, mails: &Mails, now: Instant) {
        let idle = book.iter().filter(|(_, account)| is_idle(account, mails));
        let mut idle: Vec<(Slot, &Account)> = idle.collect();
        idle.sort_unstable_by_key(|(slot, account)| (account.used_at, *slot));
        self.excess = book.accounts().saturating_sub(ACTIVE_MAX);
        let due = |(n, (slot, account)): (usize, (Slot, &Account))| {
            let retires = n < self.excess || now >= account.used_at + IDLE_AFTER;
            (retires || is_rested(account, now)).then_some(slot)
        };
        self.found = idle.into_iter().enumerate().filter_map(due).collect();
    }

    /// When the next ones are to be told.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        (!self.found.is_empty()).then(|| now + NEXT_AFTER)
    }
}

/// It is in memory and has nothing to do.
fn is_idle(account: &Account, mails: &Mails) -> bool {
    let held = account.has_anything() || account.commands > 0;
    let resident = account.phase == Phase::Active || account.hibernated.is_some();
    resident && !held && !mails.has_begun(&account.id)
}

/// It had no work for long enough to be hibernated, and is not yet.
fn is_rested(account: &Account, now: Instant) -> bool {
    account.phase == Phase::Active && now >= account.used_at + HIBERNATE_AFTER
}
