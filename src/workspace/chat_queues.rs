//! Which message goes next: order within a chat, and the window over all chats.
//!
//! Pure bookkeeping of one workspace's un-attempted and attempted entries
//! (design, [window](crate::docs::design#window) and [order](crate::docs::design#order)).

use std::collections::VecDeque;

use super::policy::Policy;
use super::state::State;
use crate::message::{Chat, EntryId};

/// The entries of a workspace that wait or are in flight, each with its `T`.
///
/// An operation costs O(log n) comparisons of the n entries held and moves at most half of them in memory; only
/// [`ChatQueues::give_back`], and the first questions after a save, look at all. They are hundreds at most and mostly
/// few, so they are in contiguous memory: a workspace has its turn long after it left the processor's caches, and then
/// each cache miss costs more than a comparison.
#[derive(Debug)]
pub struct ChatQueues<T> {
    /// By id.
    entries: VecDeque<QueuedEntry<T>>,
    /// The same by chat: first what is in flight, then what waits, by id.
    by_chat: VecDeque<ChatPosition>,
    /// The first of each chat that has nothing in flight.
    ready: VecDeque<EntryId>,
    in_flight: usize,
    /// How many of them the configuration has that the last one began with.
    of_config: InFlightOfConfig,
    /// The window that the outcomes of one configuration led to. Errors before its first success halve the
    /// floor, which stays at or below the next floor, so only successes raise the window above it. Not part
    /// of a snapshot: after a load the window starts at its floor again.
    learned: Option<LearnedWindow>,
}

/// An entry in the queue of its chat: the id of one that waits, none of one in flight.
type ChatPosition = (Chat, Option<EntryId>);

#[derive(Debug)]
struct QueuedEntry<T> {
    entry: EntryId,
    chat: Chat,
    stage: EntryState,
    item: T,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryState {
    Waiting,
    /// In flight, attempted with this configuration.
    InFlight(u64),
}

#[derive(Debug, Clone, Copy, Default)]
struct InFlightOfConfig {
    config: u64,
    in_flight: usize,
}

/// The window that the outcomes of a configuration led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnedWindow {
    config: u64,
    size: usize,
}

impl<T> Default for ChatQueues<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            by_chat: VecDeque::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            of_config: InFlightOfConfig::default(),
            learned: None,
        }
    }
}

impl<T> ChatQueues<T> {
    /// Takes up an entry that is to be judged when its turn comes. Entries may arrive out of order
    /// (a catch-up); within a chat they are judged by id. One that is already here is left as it is.
    pub fn offer(&mut self, entry: EntryId, chat: Chat, item: T) {
        if let Err(at) = self.find(entry) {
            self.entries.insert(at, QueuedEntry { entry, chat, stage: EntryState::Waiting, item });
            self.requeue(chat, None, Some((chat, Some(entry))));
        }
    }

    /// Nothing waits and nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries that wait or are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the entry is here with, whether it waits or is in flight.
    #[must_use]
    pub fn get(&self, entry: EntryId) -> Option<&T> {
        self.find(entry).ok().map(|at| &self.entries[at].item)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, entry: EntryId) -> Option<&mut T> {
        self.find(entry).ok().map(|at| &mut self.entries[at].item)
    }

    /// What waits and what is in flight, by id.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|held| &held.item)
    }

    /// What is in flight, by id.
    pub fn all_in_flight(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter(|held| held.stage != EntryState::Waiting).map(|held| &held.item)
    }

    /// What waits, by id.
    pub fn all_waiting(&self) -> impl Iterator<Item = &T> + Clone {
        self.entries.iter().filter(|held| held.stage == EntryState::Waiting).map(|held| &held.item)
    }

    /// Entries not yet attempted.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.entries.len() - self.in_flight
    }

    /// Attempts in flight, of any configuration.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The oldest waiting entry whose chat has none in flight; window or not.
    #[must_use]
    pub fn next(&self) -> Option<EntryId> {
        self.ready.front().copied()
    }

    /// Whether the window of `state`'s configuration allows another attempt: until its first success
    /// `limit + 1 − errors`; later what successes and errors led to, at most
    /// `policy.in_flight_max`. Attempts of an older configuration do not count.
    ///
    /// So a webhook that has only failed since its save never gets more than `limit + 1` attempts:
    /// its errors and its attempts in flight together stay within that number.
    #[must_use]
    pub fn has_room(&self, state: &State, policy: &Policy) -> bool {
        self.in_flight_of(state.webhook.config) < self.window(state, policy)
    }

    /// The window's size now (the bound that [`ChatQueues::has_room`] applies).
    #[must_use]
    pub fn window(&self, state: &State, policy: &Policy) -> usize {
        let floor = size(policy.errors_left(state.errors));
        let learned = self.learned.filter(|learned| learned.config == state.webhook.config);
        learned.map_or(floor, |learned| learned.size.max(floor)).min(size(policy.in_flight_max.max(1)))
    }

    /// The entry (one that [`ChatQueues::next`] named) is attempted with configuration `config`. Returns what it
    /// waited with; nothing if it did not wait.
    pub fn begin(&mut self, entry: EntryId, config: u64) -> Option<&mut T> {
        let at = self.find_waiting(entry)?;
        let chat = self.entries[at].chat;
        self.entries[at].stage = EntryState::InFlight(config);
        self.requeue(chat, Some((chat, Some(entry))), Some((chat, None)));
        self.count(config);
        Some(&mut self.entries[at].item)
    }

    /// An attempt that was in flight, or decided on, before its shard was loaded again.
    pub fn adopt(&mut self, entry: EntryId, chat: Chat, config: u64, item: T) {
        if let Err(at) = self.find(entry) {
            self.entries.insert(at, QueuedEntry { entry, chat, stage: EntryState::InFlight(config), item });
            self.requeue(chat, None, Some((chat, None)));
            self.count(config);
        } else {
            self.begin(entry, config);
        }
    }

    /// The entry (one that [`ChatQueues::next`] named) is settled without an attempt; its chat goes on.
    pub fn skip(&mut self, entry: EntryId) -> Option<T> {
        let at = self.find_waiting(entry)?;
        let QueuedEntry { chat, item, .. } = self.entries.remove(at)?;
        self.requeue(chat, Some((chat, Some(entry))), None);
        Some(item)
    }

    /// The attempt has an outcome; its chat goes on. `counted` says whether it was one of the present
    /// configuration and moved the window: a success adds one, an error halves it, never below
    /// `limit + 1 − errors`. Called after the outcome was applied to `state`. Returns what was in flight.
    pub fn end(&mut self, entry: EntryId, delivered: bool, counted: bool, state: &State, policy: &Policy) -> Option<T> {
        let (at, chat) = self.remove_in_flight(entry)?;
        let ended = self.entries.remove(at)?;
        self.requeue(chat, Some((chat, None)), None);
        if counted {
            let before = self.window(state, policy);
            let after = if delivered { before.saturating_add(1) } else { before / 2 };
            self.learned = Some(LearnedWindow { config: state.webhook.config, size: after });
        }
        Some(ended.item)
    }

    /// Takes the entry out, whether it waits or is in flight; its chat goes on.
    pub fn remove(&mut self, entry: EntryId) -> Option<T> {
        let Some((at, chat)) = self.remove_in_flight(entry) else { return self.skip(entry) };
        let removed = self.entries.remove(at)?;
        self.requeue(chat, Some((chat, None)), None);
        Some(removed.item)
    }

    /// The attempt was not made (our fault, no outcome): the entry waits again, first of its chat.
    pub fn put_back(&mut self, entry: EntryId) -> Option<&mut T> {
        let (at, chat) = self.remove_in_flight(entry)?;
        self.entries[at].stage = EntryState::Waiting;
        self.requeue(chat, Some((chat, None)), Some((chat, Some(entry))));
        Some(&mut self.entries[at].item)
    }

    /// Gives back all waiting entries but the `keep` oldest; returns them, oldest first.
    pub fn give_back(&mut self, keep: usize) -> Vec<T> {
        let waiting = self.entries.iter().filter(|held| held.stage == EntryState::Waiting);
        let given: Vec<EntryId> = waiting.skip(keep).map(|held| held.entry).collect();
        let mut given: Vec<T> = given.into_iter().rev().filter_map(|entry| self.skip(entry)).collect();
        given.reverse();
        given
    }

    /// The window starts at its floor again.
    pub fn forget_window(&mut self) {
        self.learned = None;
    }

    /// What the window has become: all that is left once there are no entries.
    #[must_use]
    pub fn learned_window(&self) -> Option<LearnedWindow> {
        self.learned
    }

    /// Without entries, with the window that was.
    #[must_use]
    pub fn with(learned: Option<LearnedWindow>) -> Self {
        Self { learned, ..Self::default() }
    }

    fn find_waiting(&self, entry: EntryId) -> Option<usize> {
        self.find(entry).ok().filter(|at| self.entries[*at].stage == EntryState::Waiting)
    }

    fn find(&self, entry: EntryId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&entry, |held| held.entry)
    }

    fn in_flight_of(&self, config: u64) -> usize {
        if self.of_config.config == config {
            return self.of_config.in_flight;
        }
        self.entries.iter().filter(|held| held.stage == EntryState::InFlight(config)).count()
    }

    /// One more is in flight, of `config`.
    fn count(&mut self, config: u64) {
        self.in_flight += 1;
        if self.of_config.config == config {
            self.of_config.in_flight += 1;
        } else {
            self.of_config = InFlightOfConfig { config, in_flight: self.in_flight_of(config) };
        }
    }

    /// The entry is in flight no more. Says where it is among `entries`, and its chat, which goes on with
    /// what the caller puts in its place.
    fn remove_in_flight(&mut self, entry: EntryId) -> Option<(usize, Chat)> {
        let at = self.find(entry).ok()?;
        let QueuedEntry { chat, stage: EntryState::InFlight(config), .. } = &self.entries[at] else { return None };
        let (chat, config) = (*chat, *config);
        self.in_flight -= 1;
        if self.of_config.config == config {
            self.of_config.in_flight -= 1;
        }
        Some((at, chat))
    }

    /// Takes one out of the queue of a chat and puts another in, and has `ready` follow.
    fn requeue(&mut self, chat: Chat, gone: Option<ChatPosition>, new: Option<ChatPosition>) {
        // Of a chat with one in flight none is ready.
        let is_in_flight = |queued: Option<ChatPosition>| matches!(queued, Some((_, None)));
        let before = if is_in_flight(gone) { None } else { self.ready_of(chat) };
        let at = gone.and_then(|queued| self.by_chat.binary_search(&queued).ok());
        let begins = before.is_some_and(|ready| gone == Some((chat, Some(ready)))) && is_in_flight(new);
        match (at, new) {
            // The one that was ready is the first of its chat, in flight too.
            (Some(at), Some(queued)) if begins => self.by_chat[at] = queued,
            (at, new) => {
                at.and_then(|at| self.by_chat.remove(at));
                new.into_iter().for_each(|queued| insert(&mut self.by_chat, queued));
            }
        }
        let after = if is_in_flight(new) { None } else { self.ready_of(chat) };
        if before == after {
            return;
        }
        if before.is_some() && before == self.next() {
            self.ready.pop_front();
        } else if let Some(at) = before.and_then(|entry| self.ready.binary_search(&entry).ok()) {
            self.ready.remove(at);
        }
        if let Some(entry) = after {
            insert(&mut self.ready, entry);
        }
    }

    /// The first of a chat that waits, if none is in flight.
    fn ready_of(&self, chat: Chat) -> Option<EntryId> {
        let first = self.by_chat.partition_point(|queued| *queued < (chat, None));
        let (of, entry) = *self.by_chat.get(first)?;
        entry.filter(|_| of == chat)
    }
}

/// Inserts where the order is kept.
fn insert<V: Ord>(list: &mut VecDeque<V>, value: V) {
    // Nearly all that comes is newer than all that is here.
    if list.back().is_none_or(|last| *last < value) {
        return list.push_back(value);
    }
    let (Ok(at) | Err(at)) = list.binary_search(&value);
    list.insert(at, value);
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
