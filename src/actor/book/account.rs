//! The account of one workspace: its entries, and what its shard knows of it besides. How much it may hold, and when it
//! may be fed: its allowance, what a panic does to it, and its pause.

use tokio::time::Instant;

use crate::actor::book::entries::{HeldEntries, ShardPart};
use crate::actor::workspace::hibernated::Hibernated;
use crate::config::BACKOFF;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::chat_queues::LearnedWindow;

#[derive(Debug)]
pub(in crate::actor) struct Account {
    pub(in crate::actor) id: WorkspaceId,
    pub(in crate::actor) phase: Phase,
    /// Names the actor's incarnation; an earlier one decides nothing any more.
    pub(in crate::actor) incarnation: u64,
    /// `None` while there are none: most workspaces in memory have nothing to do.
    entries: Option<Box<HeldEntries>>,
    /// Of the last entries, while there are none.
    learned_window: Option<LearnedWindow>,
    /// Commands that are not answered durably.
    pub(in crate::actor) commands: usize,
    /// Its actor has a [`crate::actor::protocol::ToWorkspace::Wake`] to take.
    pub(in crate::actor) woken: bool,
    /// It waits for the node's cap or the shard's admission.
    pub(in crate::actor) starved: bool,
    /// How many un-attempted entries it may hold now.
    pub(in crate::actor) allowance: usize,
    allowance_max: usize,
    /// Where its further entries begin in the stream.
    pub(in crate::actor) resume_from: Option<EntryId>,
    /// While it is parked: the last entry that it left there. Up to the cursor nothing of it lies behind.
    pub(in crate::actor) left_up_to: EntryId,
    /// After a panic or a failed load: not before this.
    pub(in crate::actor) not_before: Option<Instant>,
    /// Panics and failed loads in a row.
    crashes: u32,
    /// It panicked: it is fed one entry at a time, and blamed when it panics again.
    pub(in crate::actor) suspect: bool,
    pub(in crate::actor) used_at: Instant,
    /// What is left of it while it is hibernated; it is passive then.
    pub(in crate::actor) hibernated: Option<Box<Hibernated>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::actor) enum Phase {
    /// It has no actor.
    Passive,
    /// Its journal is being loaded.
    Loading,
    /// It has an actor.
    Active,
    /// Its actor was asked to hibernate, or to retire.
    Retiring,
}

impl Account {
    pub(in crate::actor) fn new(id: WorkspaceId, allowance: usize, now: Instant) -> Self {
        Self {
            id,
            phase: Phase::Passive,
            incarnation: 0,
            entries: None,
            learned_window: None,
            commands: 0,
            woken: false,
            starved: false,
            allowance,
            allowance_max: allowance,
            resume_from: None,
            left_up_to: EntryId::ZERO,
            not_before: None,
            crashes: 0,
            suspect: false,
            used_at: now,
            hibernated: None,
        }
    }

    pub(in crate::actor) fn entries(&self) -> Option<&HeldEntries> {
        self.entries.as_deref()
    }

    pub(in crate::actor) fn entries_mut(&mut self) -> &mut HeldEntries {
        self.entries.get_or_insert_with(|| Box::new(HeldEntries::new(self.learned_window)))
    }

    /// Its actor is gone, and what is left of that is kept. Frees the memory of entries that are gone.
    pub(in crate::actor) fn hibernate(&mut self, hibernated: Hibernated) {
        (self.phase, self.incarnation, self.woken, self.starved) = (Phase::Passive, 0, false, false);
        self.hibernated = Some(Box::new(hibernated));
        if let Some(entries) = self.entries.take_if(|entries| entries.held() == 0 && entries.test.is_none()) {
            self.learned_window = entries.learned_window();
        }
    }

    /// Un-attempted entries.
    pub(in crate::actor) fn waiting(&self) -> usize {
        self.entries().map_or(0, HeldEntries::waiting)
    }

    /// What these take of the shard.
    pub(in crate::actor) fn waiting_part(&self) -> ShardPart {
        self.entries().map(HeldEntries::waiting_part).unwrap_or_default()
    }

    /// Whether it has entries at any stage.
    pub(in crate::actor) fn holds_any(&self) -> bool {
        self.entries().is_some_and(|entries| entries.held() > 0)
    }

    /// Whether it has entries or a test.
    pub(in crate::actor) fn has_anything(&self) -> bool {
        self.entries().is_some_and(|entries| entries.held() > 0 || entries.test.is_some())
    }

    /// Its actor is gone: what that had decided by no step is decided on again.
    pub(in crate::actor) fn lose_actor(&mut self) {
        (self.phase, self.incarnation, self.woken, self.starved) = (Phase::Passive, 0, false, false);
        self.learned_window = None;
        if let Some(entries) = &mut self.entries {
            entries.lose_actor();
        }
    }

    /// The same for its shard; only its entries are kept.
    pub(in crate::actor) fn lose_shard(&mut self, now: Instant) {
        let fresh = Self::new(self.id.clone(), self.allowance_max, now);
        let before = std::mem::replace(self, fresh);
        self.entries = before.entries;
    }

    /// Another actor begins with it.
    pub(in crate::actor) fn meet_actor(&mut self, incarnation: u64) {
        self.phase = Phase::Active;
        self.incarnation = incarnation;
        if !self.suspect {
            self.crashes = 0;
        }
    }

    /// There is work for it.
    pub(in crate::actor) fn use_at(&mut self, now: Instant) {
        self.used_at = now;
    }

    pub(in crate::actor) fn is_parked(&self) -> bool {
        self.resume_from.is_some()
    }

    /// Its first and its last entry up to the cursor that may not be settled.
    pub(in crate::actor) fn unsettled(&self) -> Option<(EntryId, EntryId)> {
        let held = self.entries().and_then(HeldEntries::range);
        let left = self.resume_from.map(|from| (from, self.left_up_to.max(from)));
        held.into_iter().chain(left).reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
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
        if !self.holds_any() && !self.is_parked() {
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
            && self.hibernated.is_none()
            && !self.has_anything()
            && self.commands == 0
            && !self.is_parked()
    }
}
