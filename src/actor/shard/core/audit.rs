//! What tests look at: whether the totals of the book agree with its accounts, and how a shard's core stands.

use tokio::time::Instant;

use super::{ShardCore, ShardMode};
use crate::actor::book::entries::HeldEntries;
use crate::actor::shard::intake::Behind;
use crate::message::{EntryId, WorkspaceId};

impl ShardCore {
    /// Panics when a total contradicts what it counts.
    pub(in crate::actor) fn audit(&self) {
        let (entries, bytes) = self.book.count();
        assert_eq!((self.book.len(), self.book.bytes()), (entries, bytes), "the book's totals (entries, bytes)");
        for (slot, account) in self.book.iter() {
            let commands = self.commands.values().filter(|held| held.slot == slot).count();
            assert_eq!(account.commands, commands, "{}: commands", account.id);
            assert!(account.entries().is_none_or(HeldEntries::is_whole), "{account:?}");
        }
    }

    fn entries(&self) -> impl Iterator<Item = &HeldEntries> {
        self.book.iter().filter_map(|(_, account)| account.entries())
    }

    /// The entries that a step settles and that are not durable.
    pub(in crate::actor) fn decided_entries(&self) -> Vec<EntryId> {
        self.entries().flat_map(HeldEntries::decided_entries).collect()
    }

    /// Whether the book knows of an attempt of the entry.
    pub(in crate::actor) fn holds_attempted(&self, entry: EntryId) -> bool {
        self.entries().any(|entries| entries.holds_attempted(entry))
    }

    /// Whether nothing is held, parked, unanswered or owed.
    pub(in crate::actor) fn is_settled(&self) -> bool {
        self.behind(false) == Behind::Strays
            && self.commands.is_empty()
            && !self.book.any_attempted()
            && !self.mails.any_sending()
            && self.mode == ShardMode::Running
    }

    /// A workspace in memory decided on something.
    pub(in crate::actor) fn decided(&mut self, id: &WorkspaceId, now: Instant, what: impl FnOnce(&mut HeldEntries)) {
        let slot = self.book.find(id.as_str()).unwrap();
        what(self.book.get_mut(slot).unwrap().entries_mut());
        self.take_effects(slot, now);
    }

    /// What a failed test prints.
    pub(in crate::actor) fn describe(&self) -> String {
        format!("mode {:?}, starved {:?}, crashed {:?}, {:#?}", self.mode, self.starved, self.crashed, self.book)
    }

    /// Where each parked workspace resumes.
    pub(in crate::actor) fn parked(&self) -> Vec<String> {
        let parked = self.book.iter().filter_map(|(_, account)| {
            let at = account.resume_from?;
            Some(format!("{}@{} waiting {} allowance {}", account.id, at.ms, account.waiting(), account.allowance))
        });
        parked.collect()
    }
}
