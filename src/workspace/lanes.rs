//! Which message goes next: order within a chat, and the window over all chats.
//!
//! Pure bookkeeping of one workspace's un-attempted and attempted entries (DESIGN "Window", "Order").

use std::collections::{BTreeMap, BTreeSet};

use super::policy::Policy;
use super::state::State;
use crate::message::{Chat, EntryId};

/// The entries of a workspace that are in memory.
///
/// Every operation costs O(log n) of the entries held, [`Lanes::give_back`] that much for each entry
/// that it gives back.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Entries not yet attempted.
    waiting: BTreeMap<EntryId, Chat>,
    /// The same entries, by chat: the first of a chat is its head.
    by_chat: BTreeSet<(Chat, EntryId)>,
    /// The heads of the chats that have nothing in flight.
    ready: BTreeSet<EntryId>,
    /// Attempts in flight.
    flights: BTreeMap<EntryId, Flight>,
    /// The chats of `flights`.
    busy: BTreeSet<Chat>,
    /// How many of `flights` each configuration has.
    by_config: BTreeMap<u64, usize>,
    /// What outcomes made of the window of one configuration. Errors before its first success halve the
    /// floor, which stays at or below the next floor, so only successes lift the window off it. Not part
    /// of a snapshot: after a load the window starts at its floor again.
    grown: Option<Grown>,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    chat: Chat,
    config: u64,
}

#[derive(Debug, Clone, Copy)]
struct Grown {
    config: u64,
    size: usize,
}

impl Lanes {
    /// Takes up an entry that is to be judged when its turn comes. Entries may arrive out of order
    /// (a sweep); within a chat they are judged by id. One that is already here is left as it is.
    pub fn offer(&mut self, entry: EntryId, chat: Chat) {
        if !self.flights.contains_key(&entry) && !self.waiting.contains_key(&entry) {
            self.wait(entry, chat);
        }
    }

    /// Entries not yet attempted.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Attempts in flight, of any configuration.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The oldest waiting entry whose chat has none in flight; window or not.
    #[must_use]
    pub fn next(&self) -> Option<EntryId> {
        self.ready.first().copied()
    }

    /// Whether the window of `state`'s configuration allows another attempt: until its first success
    /// `limit + 1 − errors`; later what successes and errors made of it, at most
    /// `policy.in_flight_max`. Attempts of an older configuration do not count.
    ///
    /// So a webhook that has only failed since its save never gets more than `limit + 1` attempts:
    /// its errors and its attempts in flight together stay within that number.
    #[must_use]
    pub fn has_room(&self, state: &State, policy: &Policy) -> bool {
        let flying = self.by_config.get(&state.webhook.config).copied().unwrap_or(0);
        flying < self.window(state, policy)
    }

    /// The window's size now (the bound that [`Lanes::has_room`] applies).
    #[must_use]
    pub fn window(&self, state: &State, policy: &Policy) -> usize {
        let floor = size(policy.errors_left(state.errors));
        let grown = self.grown.filter(|grown| grown.config == state.webhook.config);
        grown.map_or(floor, |grown| grown.size.max(floor)).min(size(policy.in_flight_max.max(1)))
    }

    /// The entry (one that [`Lanes::next`] named) is attempted with configuration `config`.
    pub fn begin(&mut self, entry: EntryId, config: u64) {
        if let Some(chat) = self.unwait(entry) {
            self.fly(entry, Flight { chat, config });
        }
    }

    /// An attempt that was in flight before this workspace was loaded (again).
    pub fn adopt(&mut self, entry: EntryId, chat: Chat, config: u64) {
        if !self.flights.contains_key(&entry) {
            self.unwait(entry);
            self.fly(entry, Flight { chat, config });
        }
    }

    /// The entry (one that [`Lanes::next`] named) is settled without an attempt; its chat goes on.
    pub fn skip(&mut self, entry: EntryId) {
        self.unwait(entry);
    }

    /// The attempt has an outcome; its chat goes on. `counted` says whether it was one of the present
    /// configuration and moved the window: a success adds one, an error halves it, never below
    /// `limit + 1 − errors`. Called after the outcome was folded into `state`.
    pub fn end(&mut self, entry: EntryId, delivered: bool, counted: bool, state: &State, policy: &Policy) {
        if self.land(entry).is_none() || !counted {
            return;
        }
        let before = self.window(state, policy);
        let after = if delivered { before.saturating_add(1) } else { before / 2 };
        self.grown = Some(Grown { config: state.webhook.config, size: after });
    }

    /// The attempt was not made (our fault, no outcome): the entry waits again, first of its chat.
    pub fn put_back(&mut self, entry: EntryId) {
        if let Some(chat) = self.land(entry) {
            self.wait(entry, chat);
        }
    }

    /// Gives back all waiting entries but the `keep` oldest; returns them, oldest first.
    pub fn give_back(&mut self, keep: usize) -> Vec<EntryId> {
        let given: Vec<EntryId> = self.waiting.keys().skip(keep).copied().collect();
        for entry in &given {
            self.unwait(*entry);
        }
        given
    }

    /// Without entries: gives back the memory that emptied maps keep. The window stays.
    pub fn shrink(&mut self) {
        if self.waiting.is_empty() && self.flights.is_empty() {
            *self = Self { grown: self.grown, ..Self::default() };
        }
    }

    fn wait(&mut self, entry: EntryId, chat: Chat) {
        self.hide_head(chat);
        self.waiting.insert(entry, chat);
        self.by_chat.insert((chat, entry));
        self.show_head(chat);
    }

    fn unwait(&mut self, entry: EntryId) -> Option<Chat> {
        let chat = self.waiting.remove(&entry)?;
        self.by_chat.remove(&(chat, entry));
        self.ready.remove(&entry);
        self.show_head(chat);
        Some(chat)
    }

    fn fly(&mut self, entry: EntryId, flight: Flight) {
        self.hide_head(flight.chat);
        self.busy.insert(flight.chat);
        *self.by_config.entry(flight.config).or_default() += 1;
        self.flights.insert(entry, flight);
    }

    fn land(&mut self, entry: EntryId) -> Option<Chat> {
        let Flight { chat, config } = self.flights.remove(&entry)?;
        if let Some(count) = self.by_config.get_mut(&config) {
            *count -= 1;
            if *count == 0 {
                self.by_config.remove(&config);
            }
        }
        self.busy.remove(&chat);
        self.show_head(chat);
        Some(chat)
    }

    fn head(&self, chat: Chat) -> Option<EntryId> {
        let (first, entry) = *self.by_chat.range((chat, EntryId::ZERO)..).next()?;
        (first == chat).then_some(entry)
    }

    fn hide_head(&mut self, chat: Chat) {
        if let Some(head) = self.head(chat) {
            self.ready.remove(&head);
        }
    }

    fn show_head(&mut self, chat: Chat) {
        if !self.busy.contains(&chat)
            && let Some(head) = self.head(chat)
        {
            self.ready.insert(head);
        }
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
