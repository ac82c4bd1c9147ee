//! How much a workspace may hold, and when it may be fed: its allowance, what a panic does to it, and its pauses.

use tokio::time::Instant;

use super::{Account, Phase};
use crate::config::BACKOFF;

impl Account {
    /// There is work for it.
    pub(in crate::actor) fn use_at(&mut self, now: Instant) {
        self.used_at = now;
        self.hibernated = false;
    }

    pub(in crate::actor) fn is_parked(&self) -> bool {
        self.resume_from.is_some()
    }

    /// Whether it may hold another un-attempted entry.
    pub(in crate::actor) fn has_allowance(&self) -> bool {
        self.waiting() < self.allowance
    }

    /// Whether its parked entries should be fetched: it holds less than half its allowance.
    pub(in crate::actor) fn is_due(&self, now: Instant) -> bool {
        self.is_parked() && self.waiting() * 2 < self.allowance && self.not_before.is_none_or(|at| now >= at)
    }

    /// An entry was settled, which widens the allowance, up to the full one; a suspect's stays at one.
    pub(in crate::actor) fn widen(&mut self) {
        self.clear_suspicion();
        if !self.suspect {
            self.allowance = (self.allowance + 1).min(self.allowance_max);
        }
    }

    /// Ends the suspicion once everything that it was fed is settled: the last entry that it was fed may be the
    /// cause of the panic.
    pub(in crate::actor) fn clear_suspicion(&mut self) {
        if self.held() == 0 && !self.is_parked() {
            self.suspect = false;
            self.crashes = 0;
        }
    }

    /// After a panic: whether its cause is still to be found, by feeding one entry at a time. With the
    /// cause set aside, the backlog behind it is fed normally.
    pub(in crate::actor) fn suspect_more(&mut self, suspect: bool) {
        self.suspect = suspect;
        self.allowance = if suspect { 1 } else { self.allowance_max };
    }

    /// Notes a panic or a failed load, after which there is a pause.
    pub(in crate::actor) fn note_crash(&mut self, now: Instant) {
        self.not_before = Some(now + BACKOFF.after(self.crashes));
        self.crashes += 1;
    }

    /// Nothing is held, asked for or owed.
    pub(in crate::actor) fn is_unused(&self) -> bool {
        self.phase == Phase::Passive
            && self.held() == 0
            && self.commands == 0
            && self.test.is_none()
            && !self.is_parked()
    }
}
