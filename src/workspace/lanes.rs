//! Which message goes next: order within a chat, and the window over all chats.
//!
//! Pure bookkeeping of one workspace's un-attempted and attempted entries (DESIGN "Window", "Order").

use super::policy::Policy;
use super::state::State;
use crate::message::{Chat, EntryId};

/// The entries of a workspace that are in memory.
#[derive(Debug, Default)]
pub struct Lanes {}

impl Lanes {
    /// Takes up an entry that is to be judged when its turn comes. Entries may arrive out of order
    /// (a sweep); within a chat they are judged by id.
    pub fn offer(&mut self, entry: EntryId, chat: Chat) {
        let _ = (entry, chat);
        unimplemented!()
    }

    /// Entries not yet attempted.
    #[must_use]
    pub fn waiting(&self) -> usize {
        unimplemented!()
    }

    /// Attempts in flight, of any configuration.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        unimplemented!()
    }

    /// The oldest waiting entry whose chat has none in flight; window or not.
    #[must_use]
    pub fn next(&self) -> Option<EntryId> {
        unimplemented!()
    }

    /// Whether the window of `state`'s configuration allows another attempt: until its first success
    /// `limit + 1 − errors`; later what successes and errors made of it, at most
    /// `policy.in_flight_max`. Attempts of an older configuration do not count.
    #[must_use]
    pub fn has_room(&self, state: &State, policy: &Policy) -> bool {
        let _ = (state, policy);
        unimplemented!()
    }

    /// The window's size now (the bound that [`Lanes::has_room`] applies).
    #[must_use]
    pub fn window(&self, state: &State, policy: &Policy) -> usize {
        let _ = (state, policy);
        unimplemented!()
    }

    /// The entry (one that [`Lanes::next`] named) is attempted with configuration `config`.
    pub fn begin(&mut self, entry: EntryId, config: u64) {
        let _ = (entry, config);
        unimplemented!()
    }

    /// An attempt that was in flight before this workspace was loaded (again).
    pub fn adopt(&mut self, entry: EntryId, chat: Chat, config: u64) {
        let _ = (entry, chat, config);
        unimplemented!()
    }

    /// The entry (one that [`Lanes::next`] named) is settled without an attempt; its chat goes on.
    pub fn skip(&mut self, entry: EntryId) {
        let _ = entry;
        unimplemented!()
    }

    /// The attempt has an outcome; its chat goes on. `counted` says whether it was one of the present
    /// configuration and moved the window: a success adds one, an error halves it, never below
    /// `limit + 1 − errors`. Called after the outcome was folded into `state`.
    pub fn end(&mut self, entry: EntryId, delivered: bool, counted: bool, state: &State, policy: &Policy) {
        let _ = (entry, delivered, counted, state, policy);
        unimplemented!()
    }

    /// The attempt was not made (our fault, no outcome): the entry waits again, first of its chat.
    pub fn put_back(&mut self, entry: EntryId) {
        let _ = entry;
        unimplemented!()
    }

    /// Gives back all waiting entries but the `keep` oldest; returns them, oldest first.
    pub fn give_back(&mut self, keep: usize) -> Vec<EntryId> {
        let _ = keep;
        unimplemented!()
    }
}
