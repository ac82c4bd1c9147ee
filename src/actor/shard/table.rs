//! The table: every message entry that the shard holds, from its read until the commit that settles
//! it is answered. An entry in the table is never taken up a second time, whoever reads it.

use std::sync::Arc;

use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::{FinishedAttempt, Item, Start};
use crate::message::{EntryId, WorkspaceId};

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<EntryId, TableEntry>,
    bytes: usize,
    /// While a catch-up is under way: what was settled since it was asked for. Its answer may still
    /// show these. Bounded by the commits that are answered during one catch-up.
    settled_meanwhile: Option<HashSet<EntryId>>,
    /// The same while a forward read is under way, for what is above its start: only after a
    /// reload, which reads from the start of the stream again, is anything held above it.
    settled_ahead: Option<(EntryId, HashSet<EntryId>)>,
}

#[derive(Debug)]
struct TableEntry {
    /// `None`: an entry that is no message and is being rejected.
    workspace: Option<WorkspaceId>,
    bytes: usize,
    stage: EntryStage,
}

#[derive(Debug)]
enum EntryStage {
    /// To be judged when its turn comes.
    Waiting(Arc<Item>),
    /// A POST is under way.
    Attempting(Arc<Start>),
    /// It has an outcome; `decided` once a step settles it.
    Ended { finished: FinishedAttempt, decided: bool },
    /// Settled by a step without an attempt.
    Settled,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the entry must not be taken up.
    pub(super) fn knows(&self, entry: EntryId) -> bool {
        self.entries.contains_key(&entry)
            || self.settled_meanwhile.as_ref().is_some_and(|settled| settled.contains(&entry))
            || self.settled_ahead.as_ref().is_some_and(|(_, settled)| settled.contains(&entry))
    }

    pub(super) fn take(&mut self, workspace: &WorkspaceId, item: Arc<Item>, bytes: usize) {
        self.insert(
            item.entry,
            TableEntry { workspace: Some(workspace.clone()), bytes, stage: EntryStage::Waiting(item) },
        );
    }

    /// Holds an entry that is being rejected.
    pub(super) fn take_rejected(&mut self, entry: EntryId, bytes: usize) {
        self.insert(entry, TableEntry { workspace: None, bytes, stage: EntryStage::Settled });
    }

    fn insert(&mut self, entry: EntryId, held: TableEntry) {
        self.bytes += held.bytes;
        let before = self.entries.insert(entry, held);
        debug_assert!(before.is_none(), "entry {entry} was taken up twice");
    }

    pub(super) fn attempting(&mut self, start: &Arc<Start>) {
        if let Some(held) = self.entries.get_mut(&start.item.entry) {
            held.stage = EntryStage::Attempting(Arc::clone(start));
        }
    }

    /// Takes an outcome. Returns whether this same attempt is still held; if not, nothing is decided on it. An
    /// attempt from before the loss of the shard may end while its entry waits for another attempt.
    pub(super) fn ended(&mut self, finished: &FinishedAttempt) -> bool {
        let Some(held) = self.entries.get_mut(&finished.start.item.entry) else { return false };
        if !matches!(&held.stage, EntryStage::Attempting(start) if Arc::ptr_eq(start, &finished.start)) {
            return false;
        }
        held.stage = EntryStage::Ended { finished: finished.clone(), decided: false };
        true
    }

    /// An attempt that was not made: the entry waits again.
    pub(super) fn waits_again(&mut self, item: &Arc<Item>) {
        if let Some(held) = self.entries.get_mut(&item.entry) {
            held.stage = EntryStage::Waiting(Arc::clone(item));
        }
    }

    /// A step settles the entry. Returns whether it was waiting until now.
    pub(super) fn settling(&mut self, entry: EntryId) -> bool {
        let Some(held) = self.entries.get_mut(&entry) else { return false };
        match &mut held.stage {
            EntryStage::Waiting(_) => {
                held.stage = EntryStage::Settled;
                true
            }
            EntryStage::Ended { decided, .. } => {
                *decided = true;
                false
            }
            EntryStage::Attempting(_) | EntryStage::Settled => false,
        }
    }

    /// The commit that settles the entry was answered. Returns the workspace that held it.
    pub(super) fn settled(&mut self, entry: EntryId) -> Option<WorkspaceId> {
        if let Some(settled) = &mut self.settled_meanwhile {
            settled.insert(entry);
        }
        if let Some((start, settled)) = &mut self.settled_ahead
            && *start < entry
        {
            settled.insert(entry);
        }
        self.remove(entry).and_then(|held| held.workspace)
    }

    /// Gives an entry back to the stream.
    pub(super) fn give_back(&mut self, entry: EntryId) {
        self.remove(entry);
    }

    fn remove(&mut self, entry: EntryId) -> Option<TableEntry> {
        let held = self.entries.remove(&entry)?;
        self.bytes -= held.bytes;
        Some(held)
    }

    pub(super) fn catch_up_begins(&mut self) {
        self.settled_meanwhile = Some(HashSet::default());
    }

    pub(super) fn catch_up_ended(&mut self) {
        self.settled_meanwhile = None;
    }

    /// A forward read after `start` begins.
    pub(super) fn read_begins(&mut self, start: EntryId) {
        self.settled_ahead = Some((start, HashSet::default()));
    }

    pub(super) fn read_ended(&mut self) {
        self.settled_ahead = None;
    }

    /// The item of an entry in any stage that has one, and whether it was attempted.
    pub(super) fn item(&self, entry: EntryId) -> Option<(Arc<Item>, bool)> {
        match &self.entries.get(&entry)?.stage {
            EntryStage::Waiting(item) => Some((Arc::clone(item), false)),
            EntryStage::Attempting(start) => Some((Arc::clone(&start.item), true)),
            EntryStage::Ended { finished, .. } => Some((Arc::clone(&finished.start.item), true)),
            EntryStage::Settled => None,
        }
    }

    /// Attempts of a workspace that have no outcome yet.
    pub(super) fn attempts_of(&self, workspace: &WorkspaceId) -> Vec<Arc<Start>> {
        let mut starts: Vec<Arc<Start>> = self
            .of(workspace)
            .filter_map(|(_, held)| match &held.stage {
                EntryStage::Attempting(start) => Some(Arc::clone(start)),
                _ => None,
            })
            .collect();
        starts.sort_by_key(|start| start.item.entry);
        starts
    }

    /// Outcomes of a workspace that no step settles yet, in stream order.
    pub(super) fn undecided_of(&self, workspace: &WorkspaceId) -> Vec<FinishedAttempt> {
        let mut list: Vec<FinishedAttempt> = self
            .of(workspace)
            .filter_map(|(_, held)| match &held.stage {
                EntryStage::Ended { finished, decided: false } => Some(finished.clone()),
                _ => None,
            })
            .collect();
        list.sort_by_key(|finished| finished.start.item.entry);
        list
    }

    fn of<'a>(&'a self, workspace: &'a WorkspaceId) -> impl Iterator<Item = (&'a EntryId, &'a TableEntry)> {
        self.entries.iter().filter(move |(_, held)| held.workspace.as_ref() == Some(workspace))
    }

    /// Forgets the waiting entries of a workspace; returns the oldest.
    pub(super) fn drop_waiting_of(&mut self, workspace: &WorkspaceId) -> Option<EntryId> {
        let waiting: Vec<EntryId> = self
            .of(workspace)
            .filter(|(_, held)| matches!(held.stage, EntryStage::Waiting(_)))
            .map(|(entry, _)| *entry)
            .collect();
        for entry in &waiting {
            self.remove(*entry);
        }
        waiting.into_iter().min()
    }

    /// After a reload of the shard: forgets what was never attempted; outcomes are undecided again.
    pub(super) fn keep_attempted(&mut self) {
        let gone: Vec<EntryId> = self
            .entries
            .iter()
            .filter(|(_, held)| matches!(held.stage, EntryStage::Waiting(_) | EntryStage::Settled))
            .map(|(entry, _)| *entry)
            .collect();
        for entry in gone {
            self.remove(entry);
        }
        for held in self.entries.values_mut() {
            if let EntryStage::Ended { decided, .. } = &mut held.stage {
                *decided = false;
            }
        }
        self.catch_up_ended();
        self.read_ended();
    }

    /// Every entry that was attempted, after [`Table::keep_attempted`].
    pub(super) fn ids(&self) -> Vec<EntryId> {
        let mut ids: Vec<EntryId> = self.entries.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// How many entries each workspace holds.
    pub(super) fn by_workspace(&self) -> HashMap<WorkspaceId, usize> {
        let mut held = HashMap::default();
        for workspace in self.entries.values().filter_map(|held| held.workspace.as_ref()) {
            *held.entry(workspace.clone()).or_insert(0) += 1;
        }
        held
    }

    /// Workspaces and their messages that wait for their turn.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&WorkspaceId, &Item)> {
        self.entries.values().filter_map(|held| match &held.stage {
            EntryStage::Waiting(item) => Some((held.workspace.as_ref()?, &**item)),
            _ => None,
        })
    }

    /// How many entries each workspace has waiting, and how many in all.
    #[cfg(test)]
    pub(super) fn count_by_workspace(&self) -> HashMap<WorkspaceId, (usize, usize)> {
        let mut counts: HashMap<WorkspaceId, (usize, usize)> = HashMap::default();
        for held in self.entries.values() {
            let Some(workspace) = &held.workspace else { continue };
            let (waiting, all) = counts.entry(workspace.clone()).or_default();
            *waiting += usize::from(matches!(held.stage, EntryStage::Waiting(_)));
            *all += 1;
        }
        counts
    }

    /// Whether anything was attempted and is not settled.
    pub(super) fn any_attempted(&self) -> bool {
        self.entries.values().any(|held| matches!(held.stage, EntryStage::Attempting(_) | EntryStage::Ended { .. }))
    }

    /// Forgets everything: another node holds the shard.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
