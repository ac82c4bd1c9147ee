//! The entries of one workspace that its shard holds, at which stage each is, and what is decided on them.
//!
//! An entry waits, is under way (its attempt, then its outcome), and is decided on once a step settles it. It leaves when
//! that step is durable. What a workspace decides moves its entries and leaves an [`Effect`] in one call, so that a
//! panic between two of these calls leaves them whole.

#[cfg(test)]
mod audit;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::actor::admission::InFlight;
use crate::actor::protocol::{Effect, FinishedAttempt, Item, Start, Suspect};
use crate::config::UNABLE_PAUSES;
use crate::journal::port::Step;
use crate::message::EntryId;
use crate::workspace::chat_queues::{ChatQueues, LearnedWindow};
use crate::workspace::{Policy, State};

/// All that a workspace's actor may change of its shard's book.
#[derive(Debug)]
pub(in crate::actor) struct HeldEntries {
    /// What waits or is under way.
    queues: ChatQueues<HeldEntry>,
    /// What is decided on, in that order; the last `open` of it by no step yet.
    decided: VecDeque<HeldEntry>,
    open: usize,
    /// Attempts under way that have ended, in that order.
    ended: VecDeque<EntryId>,
    /// The greatest id that was ever here.
    greatest: EntryId,
    /// How often in a row our own system could not make its attempts.
    unable_tries: u32,
    /// Nothing starts before this.
    unable_until: Option<Instant>,
    /// How many attempts the window allows, as the actor knew last.
    pub(in crate::actor) window: usize,
    /// The test's POST, until what its workspace decided on its end is durable.
    pub(in crate::actor) test: Option<TestPost>,
    /// What the actor decided and the shard has not taken yet.
    pub(in crate::actor) effects: Vec<Effect>,
    /// What the actor is deciding on.
    pub(in crate::actor) deciding: Suspect,
}

/// A part of what a shard may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::actor) struct ShardPart {
    pub(in crate::actor) entries: usize,
    pub(in crate::actor) bytes: usize,
}

impl ShardPart {
    /// Whether it is as much as `share`, of entries or of bytes.
    pub(in crate::actor) fn reaches(self, share: Self) -> bool {
        self.entries >= share.entries || self.bytes > share.bytes
    }
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
impl HeldEntries {
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

    /// What they take of the shard's bytes.
    pub(in crate::actor) fn in_flight_bytes(&self) -> usize {
        self.queues.all_in_flight().map(|held| held.bytes).sum()
    }

    /// What the entry takes of the shard's bytes.
    pub(in crate::actor) fn bytes_of(&self, entry: EntryId) -> usize {
        self.queues.get(entry).map_or(0, |held| held.bytes)
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
        self.test = Some(TestPost { command, start: Arc::clone(&start), end: None });
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

    /// The outcome of the entry's attempt is decided on; the next [`HeldEntries::commit`] settles it.
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

    /// The entry is not attempted; the next [`HeldEntries::commit`] settles it.
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
        self.effects.push(Effect::Commit(Box::new(step), None));
        self.open = 0;
    }

    /// The same for a step that holds the `TestStarted` of this command.
    pub(in crate::actor) fn commit_test_start(&mut self, step: Step, command: EntryId) {
        self.effects.push(Effect::Commit(Box::new(step), Some(command)));
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
}

/// What the shard may do, which counts what comes and goes.
impl HeldEntries {
    /// None yet, with the window that the outcomes of earlier ones led to.
    pub(in crate::actor) fn new(learned: Option<LearnedWindow>) -> Self {
        Self {
            queues: ChatQueues::with(learned),
            decided: VecDeque::new(),
            open: 0,
            ended: VecDeque::new(),
            greatest: EntryId::ZERO,
            unable_tries: 0,
            unable_until: None,
            window: 1,
            test: None,
            effects: Vec::new(),
            deciding: Suspect::Nothing,
        }
    }

    /// What is left of the window without any entry.
    pub(in crate::actor) fn learned_window(&self) -> Option<LearnedWindow> {
        self.queues.learned_window()
    }

    pub(in crate::actor) fn offer(&mut self, held: HeldEntry) {
        let (entry, chat) = (held.item.entry, held.item.chat());
        self.greatest = self.greatest.max(entry);
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

    /// Takes all that waits out, oldest first, but the oldest: at most its window and what fits into `part`, at least one.
    pub(in crate::actor) fn give_back(&mut self, part: ShardPart) -> Vec<HeldEntry> {
        let mut bytes = 0;
        let fits = self.queues.all_waiting().take_while(|held| {
            bytes += held.bytes;
            bytes <= part.bytes
        });
        let keep = fits.take(self.window.min(part.entries)).count().max(1);
        self.queues.give_back(keep)
    }

    /// Takes all that waits out, oldest first.
    pub(in crate::actor) fn give_all_back(&mut self) -> Vec<HeldEntry> {
        self.queues.give_back(0)
    }

    /// The actor is gone, and with it what it had decided by no step: that is decided on again.
    pub(in crate::actor) fn lose_actor(&mut self) {
        for _ in 0..self.open {
            if let Some(held) = self.decided.pop_back().and_then(|held| self.take_again(held)) {
                self.offer(held);
            }
        }
        self.forget_actor();
    }

    /// The shard is loaded again: takes out what was not attempted. All else is decided on again.
    pub(in crate::actor) fn lose_shard(&mut self) -> Vec<HeldEntry> {
        let mut gone = self.queues.give_back(0);
        for held in std::mem::take(&mut self.decided) {
            gone.extend(self.take_again(held));
        }
        self.forget_actor();
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
        (self.open, self.deciding) = (0, Suspect::Nothing);
        let ends = self.queues.all_in_flight().filter(|held| matches!(held.attempt, HeldAttempt::Ended(_)));
        self.ended = ends.map(|held| held.item.entry).collect();
        self.queues.forget_window();
    }

    /// Un-attempted entries.
    pub(in crate::actor) fn waiting(&self) -> usize {
        self.queues.waiting()
    }

    /// What they take of the shard.
    pub(in crate::actor) fn waiting_part(&self) -> ShardPart {
        ShardPart { entries: self.waiting(), bytes: self.queues.all_waiting().map(|held| held.bytes).sum() }
    }

    /// The messages that wait, by id.
    pub(in crate::actor) fn all_waiting(&self) -> impl Iterator<Item = &Item> + Clone {
        self.queues.all_waiting().map(|held| &*held.item)
    }

    /// Entries at any stage.
    pub(in crate::actor) fn held(&self) -> usize {
        self.queues.len() + self.decided.len()
    }

    pub(in crate::actor) fn holds(&self, entry: EntryId) -> bool {
        // Nearly all that is asked for is newer than all that is here.
        let known = || self.queues.get(entry).is_some() || self.decided.iter().any(|held| held.item.entry == entry);
        entry <= self.greatest && known()
    }

    /// The ids of all but those that wait.
    pub(in crate::actor) fn taken_on(&self) -> impl Iterator<Item = EntryId> {
        self.not_waiting().map(|held| held.item.entry)
    }

    /// The ids of the first and the last.
    pub(in crate::actor) fn range(&self) -> Option<(EntryId, EntryId)> {
        let ids = || self.all_waiting().map(|item| item.entry).chain(self.taken_on());
        Some((ids().min()?, ids().max()?))
    }

    fn not_waiting(&self) -> impl Iterator<Item = &HeldEntry> {
        self.queues.all_in_flight().chain(&self.decided)
    }

    /// Whether anything was attempted and is not settled.
    pub(in crate::actor) fn any_attempted(&self) -> bool {
        self.test.is_some() || self.not_waiting().any(|held| !matches!(held.attempt, HeldAttempt::None))
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

    /// Something is there for an actor to take up.
    pub(in crate::actor) fn has_work(&self) -> bool {
        self.waiting() > 0 || !self.ended.is_empty() || self.test.as_ref().is_some_and(|test| test.end.is_some())
    }
}
