//! The account of one workspace: every entry that its shard holds for it, at which stage each is, and what is known
//! of the workspace besides.
//!
//! An entry waits, is under way (its attempt, then its outcome), and is decided on once a step settles it. It leaves when
//! that step is durable. What a workspace decides moves its entries and leaves an [`Effect`] in one call, so that a
//! panic between two of these calls leaves the account whole.

mod allowance;
#[cfg(test)]
mod audit;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::actor::admission::InFlight;
use crate::actor::protocol::{Effect, FinishedAttempt, Item, Start, Suspect};
use crate::config::UNABLE_PAUSES;
use crate::journal::port::Step;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::chat_queues::ChatQueues;
use crate::workspace::{Policy, State};

#[derive(Debug)]
pub(in crate::actor) struct Account {
    pub(in crate::actor) id: WorkspaceId,
    pub(in crate::actor) phase: Phase,
    /// Names the actor's incarnation; an earlier one decides nothing any more.
    pub(in crate::actor) incarnation: u64,
    /// What waits or is under way.
    queues: ChatQueues<HeldEntry>,
    /// What is decided on, in that order; the last `open` of it by no step yet.
    decided: VecDeque<HeldEntry>,
    open: usize,
    /// Attempts under way that have ended, in that order.
    ended: VecDeque<EntryId>,
    /// How often in a row our own system could not make its attempts.
    unable_tries: u32,
    /// Nothing starts before this.
    unable_until: Option<Instant>,
    /// How many attempts its window allows, as its actor knew last.
    pub(in crate::actor) window: usize,
    /// The test's POST, until what its workspace decided on its end is durable.
    pub(in crate::actor) test: Option<Box<TestPost>>,
    /// Commands that are not answered durably.
    pub(in crate::actor) commands: usize,
    /// What its actor decided and the shard has not taken yet.
    pub(in crate::actor) effects: Vec<Effect>,
    /// What its actor is deciding on.
    pub(in crate::actor) deciding: Suspect,
    /// Its actor has a [`crate::actor::protocol::ToWorkspace::Wake`] to take.
    pub(in crate::actor) woken: bool,
    /// It waits for the node's cap or the shard's admission.
    pub(in crate::actor) starved: bool,
    /// How many un-attempted entries it may hold now.
    pub(in crate::actor) allowance: usize,
    allowance_max: usize,
    /// Where its further entries begin in the stream.
    pub(in crate::actor) resume_from: Option<EntryId>,
    /// After a panic or a failed load: not before this.
    pub(in crate::actor) not_before: Option<Instant>,
    /// Panics and failed loads in a row.
    crashes: u32,
    /// It panicked: it is fed one entry at a time, and blamed when it panics again.
    pub(in crate::actor) suspect: bool,
    pub(in crate::actor) used_at: Instant,
    /// It was told to hibernate, and not used since.
    pub(in crate::actor) hibernated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::actor) enum Phase {
    /// Not in memory.
    Passive,
    /// Its journal is being loaded.
    Loading,
    /// It has an actor.
    Active,
    /// Its actor was asked to retire.
    Retiring,
}

/// A message entry and its attempt.
#[derive(Debug)]
pub(in crate::actor) struct HeldEntry {
    pub(in crate::actor) item: Arc<Item>,
    /// What it takes of the shard's bytes.
    pub(in crate::actor) bytes: usize,
    pub(in crate::actor) attempt: HeldAttempt,
}

#[derive(Debug)]
pub(in crate::actor) enum HeldAttempt {
    None,
    UnderWay(Arc<Start>),
    Ended(FinishedAttempt),
}

/// A test's POST.
#[derive(Debug)]
pub(in crate::actor) struct TestPost {
    pub(in crate::actor) command: EntryId,
    start: Arc<Start>,
    pub(in crate::actor) end: Option<FinishedAttempt>,
}

impl HeldAttempt {
    fn start(&self) -> Option<&Arc<Start>> {
        match self {
            Self::None => None,
            Self::UnderWay(start) | Self::Ended(FinishedAttempt { start, .. }) => Some(start),
        }
    }
}

/// What the workspace's actor may do.
impl Account {
    /// The oldest entry whose turn has come, window or not.
    pub(in crate::actor) fn next(&self) -> Option<EntryId> {
        self.queues.next()
    }

    /// Whether the window allows another attempt.
    pub(in crate::actor) fn has_room(&self, state: &State, policy: &Policy) -> bool {
        self.queues.has_room(state, policy)
    }

    /// Whether anything may start, as far as our own system is able.
    pub(in crate::actor) fn may_start(&self, now: Instant) -> bool {
        self.unable_until.is_none_or(|until| now >= until)
    }

    /// Attempts under way.
    pub(in crate::actor) fn in_flight(&self) -> usize {
        self.queues.in_flight()
    }

    /// Nothing waits and nothing is under way.
    pub(in crate::actor) fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }

    pub(in crate::actor) fn item(&self, entry: EntryId) -> Option<&Arc<Item>> {
        self.queues.get(entry).map(|held| &held.item)
    }

    /// The entry is attempted. Without a place under the cap, or if it does not wait, it is not.
    pub(in crate::actor) fn post(&mut self, start: Start, in_flight: InFlight) {
        let Some(held) = self.queues.begin(start.item.entry, start.config) else { return };
        let start = Arc::new(start);
        held.attempt = HeldAttempt::UnderWay(Arc::clone(&start));
        self.effects.push(Effect::Post(start, in_flight));
    }

    /// The test of this command is sent.
    pub(in crate::actor) fn post_test(&mut self, command: EntryId, start: Start, in_flight: InFlight) {
        let start = Arc::new(start);
        self.test = Some(Box::new(TestPost { command, start: Arc::clone(&start), end: None }));
        self.effects.push(Effect::Post(start, in_flight));
    }

    /// The oldest end of an attempt that is not decided on.
    pub(in crate::actor) fn next_end(&mut self) -> Option<FinishedAttempt> {
        let queues = &self.queues;
        let of = |entry: &EntryId| match &queues.get(*entry)?.attempt {
            HeldAttempt::Ended(finished) => Some(finished.clone()),
            HeldAttempt::None | HeldAttempt::UnderWay(_) => None,
        };
        while let Some(entry) = self.ended.pop_front() {
            if let Some(finished) = of(&entry) {
                return Some(finished);
            }
        }
        None
    }

    /// The outcome of the entry's attempt is decided on; the next [`Account::commit`] settles it.
    pub(in crate::actor) fn end(
        &mut self,
        entry: EntryId,
        delivered: bool,
        counted: bool,
        state: &State,
        policy: &Policy,
    ) {
        if let Some(held) = self.queues.end(entry, delivered, counted, state, policy) {
            self.decide(held);
        }
    }

    /// The entry is not attempted; the next [`Account::commit`] settles it.
    pub(in crate::actor) fn skip(&mut self, entry: EntryId) -> Option<Arc<Item>> {
        let held = self.queues.skip(entry)?;
        let item = Arc::clone(&held.item);
        self.decide(held);
        Some(item)
    }

    fn decide(&mut self, held: HeldEntry) {
        self.decided.push_back(held);
        self.open += 1;
    }

    /// Has a step committed, which settles what was decided since the last one.
    pub(in crate::actor) fn commit(&mut self, step: Step) {
        self.effects.push(Effect::Commit(Box::new(step)));
        self.open = 0;
    }

    /// The same for a step that holds the `TestStarted` of this command.
    pub(in crate::actor) fn commit_test_start(&mut self, step: Step, command: EntryId) {
        self.effects.push(Effect::CommitTestStart(Box::new(step), command));
        self.open = 0;
    }

    /// Leaves another effect.
    pub(in crate::actor) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Its window, as the shard needs it for what is given back.
    pub(in crate::actor) fn note_window(&mut self, state: &State, policy: &Policy) {
        self.window = self.queues.window(state, policy);
    }

    /// Frees the memory of entries that are gone.
    pub(in crate::actor) fn shrink(&mut self) {
        self.queues.shrink_to_fit();
        self.decided.shrink_to_fit();
        self.ended.shrink_to_fit();
    }
}

/// What the book may do: it counts what comes and goes.
impl Account {
    pub(in crate::actor) fn new(id: WorkspaceId, allowance: usize, now: Instant) -> Self {
        Self {
            id,
            phase: Phase::Passive,
            incarnation: 0,
            queues: ChatQueues::default(),
            decided: VecDeque::new(),
            open: 0,
            ended: VecDeque::new(),
            unable_tries: 0,
            unable_until: None,
            window: 1,
            test: None,
            commands: 0,
            effects: Vec::new(),
            deciding: Suspect::Nothing,
            woken: false,
            starved: false,
            allowance,
            allowance_max: allowance,
            resume_from: None,
            not_before: None,
            crashes: 0,
            suspect: false,
            used_at: now,
            hibernated: false,
        }
    }

    pub(in crate::actor) fn offer(&mut self, held: HeldEntry) {
        let (entry, chat) = (held.item.entry, held.item.chat());
        self.queues.offer(entry, chat, held);
    }

    /// Takes an entry out, at whichever stage it is.
    pub(in crate::actor) fn remove(&mut self, entry: EntryId) -> Option<HeldEntry> {
        if let Some(at) = self.decided.iter().position(|held| held.item.entry == entry) {
            return self.decided.remove(at);
        }
        self.ended.retain(|ended| *ended != entry);
        self.queues.remove(entry)
    }

    /// Takes all that waits but the `keep` oldest out, oldest first.
    pub(in crate::actor) fn give_back(&mut self, keep: usize) -> Vec<HeldEntry> {
        self.queues.give_back(keep)
    }

    /// Its actor is gone, and with it what it had decided by no step: that is decided on again.
    pub(in crate::actor) fn lose_actor(&mut self) {
        for _ in 0..std::mem::take(&mut self.open) {
            if let Some(held) = self.decided.pop_back().and_then(|held| self.take_again(held)) {
                self.offer(held);
            }
        }
        self.phase = Phase::Passive;
        self.incarnation = 0;
        self.forget_actor();
    }

    /// Its shard is loaded again: takes out what was not attempted. All else is decided on again.
    pub(in crate::actor) fn lose_shard(&mut self, now: Instant) -> Vec<HeldEntry> {
        let mut gone = self.queues.give_back(0);
        for held in std::mem::take(&mut self.decided) {
            gone.extend(self.take_again(held));
        }
        self.forget_actor();
        let fresh = Self::new(self.id.clone(), self.allowance_max, now);
        let before = std::mem::replace(self, fresh);
        (self.queues, self.ended, self.test) = (before.queues, before.ended, before.test);
        gone
    }

    /// What was attempted is under way again, as it was before it was decided on; anything else is returned.
    fn take_again(&mut self, held: HeldEntry) -> Option<HeldEntry> {
        let Some(config) = held.attempt.start().map(|start| start.config) else { return Some(held) };
        let (entry, chat) = (held.item.entry, held.item.chat());
        self.queues.adopt(entry, chat, config, held);
        None
    }

    fn forget_actor(&mut self) {
        (self.open, self.woken, self.starved, self.deciding) = (0, false, false, Suspect::Nothing);
        let ends = self.queues.all_in_flight().filter(|held| matches!(held.attempt, HeldAttempt::Ended(_)));
        self.ended = ends.map(|held| held.item.entry).collect();
    }

    /// Another actor begins with it.
    pub(in crate::actor) fn meet_actor(&mut self, incarnation: u64) {
        self.phase = Phase::Active;
        self.incarnation = incarnation;
        self.queues.forget_window();
        if !self.suspect {
            self.crashes = 0;
        }
    }
}

/// What the shard may do.
impl Account {
    /// Un-attempted entries.
    pub(in crate::actor) fn waiting(&self) -> usize {
        self.queues.waiting()
    }

    /// Entries at any stage.
    pub(in crate::actor) fn held(&self) -> usize {
        self.queues.len() + self.decided.len()
    }

    pub(in crate::actor) fn holds(&self, entry: EntryId) -> bool {
        self.queues.get(entry).is_some() || self.decided.iter().any(|held| held.item.entry == entry)
    }

    pub(in crate::actor) fn entries(&self) -> impl Iterator<Item = EntryId> {
        self.attempted_or_not().map(|held| held.item.entry)
    }

    fn attempted_or_not(&self) -> impl Iterator<Item = &HeldEntry> {
        self.queues.all_in_flight().chain(&self.decided)
    }

    /// Whether anything was attempted and is not settled.
    pub(in crate::actor) fn any_attempted(&self) -> bool {
        self.test.is_some() || self.attempted_or_not().any(|held| !matches!(held.attempt, HeldAttempt::None))
    }

    /// Takes the end of an attempt. Returns whether this same attempt is under way; if not, nothing is decided on it. One
    /// from before the loss of the shard may end while its entry waits for another attempt.
    pub(in crate::actor) fn note_end(&mut self, finished: FinishedAttempt) -> bool {
        let same = |start: &Arc<Start>| Arc::ptr_eq(start, &finished.start);
        if finished.start.test.is_some() {
            let Some(test) = self.test.as_mut().filter(|test| same(&test.start)) else { return false };
            test.end = Some(finished);
            return true;
        }
        let entry = finished.start.item.entry;
        let Some(held) = self.queues.get_mut(entry) else { return false };
        if !matches!(&held.attempt, HeldAttempt::UnderWay(start) if same(start)) {
            return false;
        }
        held.attempt = HeldAttempt::Ended(finished);
        self.ended.push_back(entry);
        (self.unable_tries, self.unable_until) = (0, None);
        true
    }

    /// The attempt was not made, for a fault of ours: its entry waits again, and so does every other for a while. Returns
    /// whether it was under way.
    pub(in crate::actor) fn put_back(&mut self, start: &Arc<Start>, now: Instant) -> bool {
        let entry = start.item.entry;
        let same = |held: &HeldEntry| matches!(&held.attempt, HeldAttempt::UnderWay(now) if Arc::ptr_eq(now, start));
        if !self.queues.get(entry).is_some_and(same) {
            return false;
        }
        if let Some(held) = self.queues.put_back(entry) {
            held.attempt = HeldAttempt::None;
        }
        // Attempts that were started together are one try.
        if self.may_start(now) {
            self.unable_until = Some(now + UNABLE_PAUSES.after(self.unable_tries));
            self.unable_tries = self.unable_tries.saturating_add(1);
        }
        true
    }

    /// Sets an entry aside; its actor is gone. Returns it.
    pub(in crate::actor) fn set_aside(&mut self, entry: EntryId) -> Option<Arc<Item>> {
        let held = self.queues.remove(entry)?;
        let item = Arc::clone(&held.item);
        self.decided.push_back(held);
        self.ended.retain(|ended| *ended != entry);
        Some(item)
    }

    /// Something of it is there for an actor to take up.
    pub(in crate::actor) fn has_work(&self) -> bool {
        self.waiting() > 0 || !self.ended.is_empty() || self.test.as_ref().is_some_and(|test| test.end.is_some())
    }
}
