//! Idle workspaces are hibernated, and later retired. A few at a time: each takes a turn of its actor, and when
//! thousands fall idle together the messages of others would wait for all of them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{ShardAction, ShardCore};
use crate::actor::book::account::{Account, Phase};
use crate::actor::protocol::{Slot, ToWorkspace};
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

    /// When the next ones are to be told.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        (!self.found.is_empty()).then(|| now + NEXT_AFTER)
    }
}

impl ShardCore {
    /// Hibernates workspaces that had no work for a while, and later retires them; above [`ACTIVE_MAX`] the longest
    /// idle retire at once.
    pub(super) fn tell_idle(&mut self, now: Instant) {
        if self.idle.found.is_empty() && now >= self.idle.look_at {
            self.idle.look_at = now + LOOK_EVERY;
            self.find_idle(now);
        }
        for _ in 0..AT_ONCE {
            let Some(slot) = self.idle.found.pop_front() else { break };
            // It may have got work since.
            if !self.book.get(slot).is_some_and(|account| self.is_idle(account)) {
                continue;
            }
            let Some(account) = self.book.get_mut(slot) else { continue };
            if self.idle.excess > 0 || now >= account.used_at + IDLE_AFTER {
                self.idle.excess = self.idle.excess.saturating_sub(1);
                account.phase = Phase::Retiring;
                self.actions.push_back(ShardAction::Tell(slot, ToWorkspace::Retire));
            } else if is_rested(account, now) {
                account.hibernated = true;
                self.actions.push_back(ShardAction::Tell(slot, ToWorkspace::Hibernate));
            }
        }
    }

    fn find_idle(&mut self, now: Instant) {
        let idle = self.book.iter().filter(|(_, account)| self.is_idle(account));
        let mut idle: Vec<(Instant, Slot)> = idle.map(|(slot, account)| (account.used_at, slot)).collect();
        idle.sort_unstable();
        let excess = self.book.accounts().saturating_sub(ACTIVE_MAX);
        let due = |(n, (used_at, slot)): (usize, (Instant, Slot))| {
            let retires = n < excess || now >= used_at + IDLE_AFTER;
            let rested = self.book.get(slot).is_some_and(|account| is_rested(account, now));
            (retires || rested).then_some(slot)
        };
        self.idle.found = idle.into_iter().enumerate().filter_map(due).collect();
        self.idle.excess = excess;
    }

    /// It is in memory and has nothing to do.
    fn is_idle(&self, account: &Account) -> bool {
        let held = account.has_anything() || account.commands > 0;
        account.phase == Phase::Active && !held && !self.mails.has_begun(&account.id)
    }
}

/// It had no work for long enough to be hibernated, and is not yet.
fn is_rested(account: &Account, now: Instant) -> bool {
    !account.hibernated && now >= account.used_at + HIBERNATE_AFTER
}
