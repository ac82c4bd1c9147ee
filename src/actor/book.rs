//! The book of a shard: every message entry that it holds, from its read until the commit that settles it is answered,
//! in the account of its workspace. An entry in the book is never taken up a second time, whoever reads it.
//!
//! The shard and the actors of its workspaces share it, for all of them live on one thread. Who may change what:
//! [design, the book](crate::docs::design#the-book).

pub(super) mod account;
pub(super) mod entries;

use std::collections::BTreeSet;
use std::sync::Arc;

use slab::Slab;
use tokio::time::Instant;

use crate::actor::book::account::{Account, Phase};
use crate::actor::book::entries::{HeldAttempt, HeldEntries, HeldEntry, ShardPart};
use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::{Item, Slot};
use crate::message::{EntryId, WorkspaceId};

/// Bounded: a workspace has an account while it is in memory (`config::ACTIVE_MAX`), holds entries (permits),
/// or is parked (one id each).
#[derive(Debug)]
pub(super) struct Book {
    /// How many un-attempted entries a workspace may hold.
    allowance: usize,
    accounts: Slab<Account>,
    slots: HashMap<WorkspaceId, Slot>,
    /// Entries that are no messages and are being rejected, with their bytes.
    rejected: HashMap<EntryId, usize>,
    /// How many entries all of these are, and their bytes.
    entries: usize,
    bytes: usize,
    /// While a catch-up is under way: what was settled since it was asked for. Its answer may still
    /// show these. Bounded by the commits that are answered during one catch-up.
    settled_meanwhile: Option<HashSet<EntryId>>,
    /// The same while a forward read is under way, or was made ahead, for what is above its start: only after a
    /// reload, which reads from the start of the stream again, is anything held above it.
    settled_ahead: Option<(EntryId, HashSet<EntryId>)>,
    /// The parked workspaces by where they resume.
    parked: BTreeSet<(EntryId, Slot)>,
    /// Those of them that were due when they were last looked at.
    due: BTreeSet<(EntryId, Slot)>,
    /// Those whose pause is not over, by its end.
    pausing: BTreeSet<(Instant, Slot)>,
    /// Those that may have changed and were not looked at since. After every event the next catch-up is
    /// asked for, so not all that are parked can be looked at each time.
    touched: HashSet<Slot>,
}

/// The accounts.
impl Book {
    pub(super) fn new(allowance: usize) -> Self {
        Self {
            allowance,
            accounts: Slab::new(),
            slots: HashMap::default(),
            rejected: HashMap::default(),
            entries: 0,
            bytes: 0,
            settled_meanwhile: None,
            settled_ahead: None,
            parked: BTreeSet::new(),
            due: BTreeSet::new(),
            pausing: BTreeSet::new(),
            touched: HashSet::default(),
        }
    }

    /// The account of the workspace with this id.
    pub(super) fn find(&self, id: &str) -> Option<Slot> {
        self.slots.get(id).copied()
    }

    pub(super) fn ensure(&mut self, id: &WorkspaceId, now: Instant) -> Slot {
        if let Some(slot) = self.slots.get(id) {
            return *slot;
        }
        let slot = Slot(self.accounts.insert(Account::new(id.clone(), self.allowance, now)));
        self.slots.insert(id.clone(), slot);
        slot
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Account> {
        self.accounts.get(slot.0)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Account> {
        let account = self.accounts.get_mut(slot.0)?;
        if account.is_parked() {
            self.touched.insert(slot);
        }
        Some(account)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Account)> {
        self.accounts.iter().map(|(slot, account)| (Slot(slot), account))
    }

    /// How many workspaces have an account.
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Removes the account if there is no work for its workspace and nothing to remember. Returns whether it did.
    pub(super) fn forget_unused(&mut self, slot: Slot) -> bool {
        let unused = self.accounts.get(slot.0).is_some_and(Account::is_unused);
        if unused {
            let account = self.accounts.remove(slot.0);
            self.slots.remove(&account.id);
        }
        unused
    }
}

/// The entries.
impl Book {
    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether the entry of this workspace must not be taken up.
    pub(super) fn knows(&self, slot: Option<Slot>, entry: EntryId) -> bool {
        self.rejected.contains_key(&entry)
            || slot.and_then(|slot| self.get(slot)?.entries()).is_some_and(|entries| entries.holds(entry))
            || self.settled_meanwhile.as_ref().is_some_and(|settled| settled.contains(&entry))
            || self.settled_ahead.as_ref().is_some_and(|(_, settled)| settled.contains(&entry))
    }

    pub(super) fn take(&mut self, slot: Slot, item: Item, bytes: usize) {
        let Some(account) = self.get_mut(slot) else { return };
        let entries = account.entries_mut();
        debug_assert!(!entries.holds(item.entry), "entry {} is taken up twice", item.entry);
        entries.offer(HeldEntry { item: Arc::new(item), bytes, attempt: HeldAttempt::None });
        self.entries += 1;
        self.bytes += bytes;
    }

    /// Holds an entry that is being rejected.
    pub(super) fn take_rejected(&mut self, entry: EntryId, bytes: usize) {
        self.rejected.insert(entry, bytes);
        self.entries += 1;
        self.bytes += bytes;
    }

    /// The commit that settles the entry was answered. `None`: it is no message. Returns its account if that held it.
    pub(super) fn settled(&mut self, slot: Option<Slot>, entry: EntryId) -> Option<&mut Account> {
        if let Some(settled) = &mut self.settled_meanwhile {
            settled.insert(entry);
        }
        if let Some((start, settled)) = &mut self.settled_ahead
            && *start < entry
        {
            settled.insert(entry);
        }
        let Some(slot) = slot else {
            let bytes = self.rejected.remove(&entry)?;
            self.count_out(bytes);
            return None;
        };
        let bytes = self.get_mut(slot)?.entries_mut().remove(entry)?.bytes;
        self.count_out(bytes);
        self.accounts.get_mut(slot.0)
    }

    /// Leaves an entry in the stream that is held no more.
    pub(super) fn let_go(&mut self, slot: Slot, entry: EntryId) {
        if let Some(held) = self.get_mut(slot).and_then(|account| account.entries_mut().remove(entry)) {
            self.count_out(held.bytes);
        }
    }

    /// A workspace gives all that waits back to the stream but its window, or so much less as `part` is: it is parked at the
    /// first, and what it keeps is its allowance. Returns what was given back.
    pub(super) fn give_back(&mut self, slot: Slot, part: ShardPart) -> Vec<EntryId> {
        let Some(account) = self.get_mut(slot) else { return Vec::new() };
        let given = account.entries_mut().give_back(part);
        if !given.is_empty() {
            account.allowance = account.waiting().max(1);
        }
        self.park_at_first(slot, given)
    }

    /// A workspace that holds its share may hold no more until some of that is settled.
    pub(super) fn limit(&mut self, slot: Slot, share: ShardPart) {
        if self.get(slot).is_some_and(|account| account.waiting_part().reaches(share))
            && let Some(account) = self.get_mut(slot)
        {
            account.allowance = account.allowance.min(account.waiting().max(1));
        }
    }

    /// A workspace without an actor gives all that waits back to the stream: it is parked at the first.
    pub(super) fn give_all_back(&mut self, slot: Slot) -> Vec<EntryId> {
        let given = self.get_mut(slot).map(|account| account.entries_mut().give_all_back());
        self.park_at_first(slot, given.unwrap_or_default())
    }

    fn park_at_first(&mut self, slot: Slot, held: Vec<HeldEntry>) -> Vec<EntryId> {
        held.iter().for_each(|held| self.count_out(held.bytes));
        let entries: Vec<EntryId> = held.iter().map(|held| held.item.entry).collect();
        for entry in [entries.iter().min(), entries.iter().max()].into_iter().flatten() {
            self.park(slot, *entry);
        }
        entries
    }

    fn count_out(&mut self, bytes: usize) {
        self.entries -= 1;
        self.bytes -= bytes;
    }

    /// The shard is loaded again: only what was attempted is kept, and its outcomes are decided on again.
    pub(super) fn lose_shard(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (_, account) in &mut self.accounts {
            gone.extend(account.entries_mut().lose_shard().iter().map(|held| held.bytes));
            account.lose_shard(now);
        }
        gone.extend(std::mem::take(&mut self.rejected).values());
        gone.into_iter().for_each(|bytes| self.count_out(bytes));
        self.accounts.retain(|_, account| !account.is_unused());
        self.slots = self.iter().map(|(slot, account)| (account.id.clone(), slot)).collect();
        self.parked.clear();
        self.due.clear();
        self.pausing.clear();
        self.touched.clear();
        self.catch_up_ended();
        self.read_ended();
    }

    /// Forgets everything: another node holds the shard.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.allowance);
    }

    /// Every entry that was attempted, after [`Book::lose_shard`].
    pub(super) fn attempted(&self) -> Vec<(Slot, EntryId)> {
        let of =
            |(slot, entries): (Slot, &HeldEntries)| entries.taken_on().map(|entry| (slot, entry)).collect::<Vec<_>>();
        self.iter().filter_map(|(slot, account)| Some((slot, account.entries()?))).flat_map(of).collect()
    }

    /// Whether anything was attempted and is not settled.
    pub(super) fn any_attempted(&self) -> bool {
        self.accounts.iter().any(|(_, account)| account.entries().is_some_and(HeldEntries::any_attempted))
    }

    pub(super) fn catch_up_begins(&mut self) {
        self.settled_meanwhile = Some(HashSet::default());
    }

    pub(super) fn catch_up_ended(&mut self) {
        self.settled_meanwhile = None;
    }

    /// A forward read after `start` begins. Where it began ahead, with the one before it, what was settled since stays known.
    pub(super) fn read_begins(&mut self, start: EntryId) {
        let mut settled = self.settled_ahead.take().map(|(_, settled)| settled).unwrap_or_default();
        settled.retain(|entry| *entry > start);
        self.settled_ahead = Some((start, settled));
    }

    pub(super) fn read_ended(&mut self) {
        self.settled_ahead = None;
    }
}

/// Who is parked.
impl Book {
    /// Leaves `entry` in the stream: the workspace is parked there, or earlier if it is parked earlier already.
    pub(super) fn park(&mut self, slot: Slot, entry: EntryId) {
        let Some(account) = self.accounts.get_mut(slot.0) else { return };
        account.left_up_to = account.left_up_to.max(entry);
        // Of a long backlog each entry comes here, and only the first one changes anything else.
        if account.resume_from.is_none_or(|before| entry < before) {
            self.resume_at(slot, Some(entry));
        }
    }

    /// Moves the point where the workspace resumes; `None` un-parks it.
    pub(super) fn resume_at(&mut self, slot: Slot, at: Option<EntryId>) {
        let Some(account) = self.accounts.get_mut(slot.0) else { return };
        if at.is_none() {
            account.left_up_to = EntryId::ZERO;
        }
        if let Some(before) = std::mem::replace(&mut account.resume_from, at) {
            self.parked.remove(&(before, slot));
        }
        if let Some(at) = at {
            self.parked.insert((at, slot));
            self.touched.insert(slot);
        }
    }

    /// By workspace its first and its last entry up to the cursor that may not be settled. `None` where that cannot be
    /// told: an entry of nobody's is being rejected.
    pub(super) fn unsettled(&self) -> Option<impl Iterator<Item = (&WorkspaceId, EntryId, EntryId)>> {
        let all = self.iter().filter_map(|(_, account)| {
            let (first, last) = account.unsettled()?;
            Some((&account.id, first, last))
        });
        self.rejected.is_empty().then_some(all)
    }

    pub(super) fn any_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Where the next catch-up begins: the lowest point of a workspace that is due.
    pub(super) fn catch_up_from(&mut self, now: Instant) -> Option<EntryId> {
        while self.pausing.first().is_some_and(|(at, _)| *at <= now) {
            self.touched.extend(self.pausing.pop_first().map(|(_, slot)| slot));
        }
        for slot in self.touched.drain() {
            let Some(account) = self.accounts.get(slot.0) else { continue };
            if let Some(from) = account.resume_from.filter(|_| account.is_due(now)) {
                self.due.insert((from, slot));
            } else if let Some(at) = account.not_before.filter(|at| account.is_parked() && *at > now) {
                self.pausing.insert((at, slot));
            }
        }
        while let Some((from, slot)) = self.due.first() {
            let of = self.accounts.get(slot.0);
            if of.is_some_and(|account| account.resume_from == Some(*from) && account.is_due(now)) {
                return Some(*from);
            }
            self.due.pop_first();
        }
        None
    }

    /// The workspaces that are due now and resume at `from` or later.
    pub(super) fn due_from(&self, from: EntryId, now: Instant) -> Vec<Slot> {
        let is_due = |slot: Slot| self.get(slot).is_some_and(|account| account.is_due(now));
        self.parked.iter().filter(|(at, slot)| *at >= from && is_due(*slot)).map(|(_, slot)| *slot).collect()
    }

    /// The active workspaces with two un-attempted entries at least, and what these take.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Slot, ShardPart)> {
        let active = self.iter().filter(|(_, account)| account.phase == Phase::Active && account.waiting() > 1);
        active.map(|(slot, account)| (slot, account.waiting_part()))
    }
}

/// What tests look at.
#[cfg(test)]
impl Book {
    /// How many entries there are, and their bytes, counted one by one.
    pub(super) fn count(&self) -> (usize, usize) {
        let rejected = (self.rejected.len(), self.rejected.values().sum());
        let accounts = self.iter().filter_map(|(_, account)| account.entries()).map(HeldEntries::count);
        accounts.fold(rejected, |(entries, bytes), (more, of)| (entries + more, bytes + of))
    }
}
