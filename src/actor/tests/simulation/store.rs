//! What is durable, in memory: a model of the port's contract that notices every breach of it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::actor::maps::{HashMap, HashSet};
use crate::journal::codec;
use crate::journal::port::{
    Batch, Bookmark, LoadError, Loaded, Newest, OwedMail, Poll, Polled, RawEntry, Salvage, Step,
};
use crate::journal::replay::{self, Stored};
use crate::journal::salvage::{self, Remains};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::event::{Event, MailId, Trigger};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageOutcome {
    Attempted,
    Skipped,
    Rejected,
}

/// What an acquisition finds.
pub(super) struct Acquisition {
    pub(super) outbox: Vec<OwedMail>,
    pub(super) bookmark: Option<Bookmark>,
    pub(super) present: HashSet<EntryId>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedStore {
    pub(super) messages: BTreeMap<EntryId, RawEntry>,
    pub(super) commands: BTreeMap<EntryId, RawEntry>,
    journals: HashMap<WorkspaceId, SimulatedJournal>,
    outbox: BTreeMap<(WorkspaceId, MailId), OwedMail>,
    /// By command, how often it was answered.
    pub(super) answers: HashMap<EntryId, usize>,
    pub(super) outcomes: HashMap<EntryId, MessageOutcome>,
    /// Attempts that are recorded, by entry.
    recorded: HashMap<EntryId, usize>,
    pub(super) bookmark: Option<Bookmark>,
    /// Workspaces that cannot be loaded for the moment.
    pub(super) corrupt: HashSet<WorkspaceId>,
}

#[derive(Debug, Clone, Default)]
struct SimulatedJournal {
    stored: Stored,
    skipped: Option<Newest>,
}

impl SimulatedStore {
    pub(super) fn read(&self, poll: &Poll) -> Polled {
        let after = |entries: &BTreeMap<EntryId, RawEntry>, (id, count): (EntryId, usize)| {
            entries.range(id.next()..).take(count).map(|(_, entry)| entry.clone()).collect::<Vec<_>>()
        };
        Polled {
            messages: poll.messages.map(|from| after(&self.messages, from)).unwrap_or_default(),
            commands: poll.commands.map(|from| after(&self.commands, from)).unwrap_or_default(),
            length: poll.probe.then_some(self.messages.len() as u64),
            ..Polled::default()
        }
    }

    pub(super) fn catch_up(&self, from: EntryId, to: EntryId, count: usize) -> Vec<RawEntry> {
        assert!(from <= to, "a catch-up from {from} to {to}");
        self.messages.range(from..=to).take(count).map(|(_, entry)| entry.clone()).collect()
    }

    pub(super) fn load(&self, workspace: &WorkspaceId) -> Result<Loaded, LoadError> {
        if self.corrupt.contains(workspace) {
            return Err(LoadError::Corrupt { workspace: workspace.clone(), detail: "the test says so".to_owned() });
        }
        replay::load(workspace, &self.journals.get(workspace).map(|journal| journal.stored.clone()).unwrap_or_default())
    }

    pub(super) fn salvage(&self, workspace: &WorkspaceId) -> Salvage {
        let journal = self.journals.get(workspace).cloned().unwrap_or_default();
        let Stored { snapshot, attempts, top } = journal.stored;
        let skipped = journal.skipped.map(|newest| codec::encode_newest(&newest));
        let mut salvage = salvage::salvage(Remains { snapshot, attempts, skipped, top, ..Remains::default() });
        if self.corrupt.contains(workspace) {
            salvage.state.seq += 1;
            salvage.lost.push("the test says so".to_owned());
        }
        salvage
    }

    pub(super) fn newest(&self, workspace: &WorkspaceId) -> Result<Option<Newest>, LoadError> {
        let journal = self.journals.get(workspace).cloned().unwrap_or_default();
        let skipped = journal.skipped.map(|newest| codec::encode_newest(&newest));
        replay::newest(workspace, &journal.stored.attempts, skipped.as_deref())
    }

    pub(super) fn owed(&self) -> Vec<OwedMail> {
        self.outbox.values().cloned().collect()
    }

    pub(super) fn commit(&mut self, batch: &Batch) {
        batch.steps.iter().for_each(|step| self.apply(step));
        if let Some(bookmark) = &batch.bookmark {
            self.mark(bookmark);
        }
    }

    /// Whoever begins there misses nothing.
    fn mark(&mut self, bookmark: &Bookmark) {
        for (id, entry) in self.messages.range(..=bookmark.cursor) {
            let workspace = entry.field("workspace").expect("every entry names its workspace");
            let named = bookmark.left.iter().find(|(left, ..)| left.as_str().as_bytes() == workspace);
            let told = named.is_some_and(|(_, first, last)| first <= id && id <= last);
            assert!(told, "entry {id} is not told of by {bookmark:?}");
        }
        self.bookmark = Some(bookmark.clone());
    }

    fn apply(&mut self, step: &Step) {
        let attempted = self.append(step);
        for entry in &step.settled {
            assert!(self.messages.remove(entry).is_some(), "entry {entry} is settled but not in the stream");
            let rejected = step.rejected.iter().any(|rejected| rejected.id == *entry);
            let outcome = match (attempted.contains(entry) || self.recorded.contains_key(entry), rejected) {
                (true, false) => MessageOutcome::Attempted,
                (false, false) => MessageOutcome::Skipped,
                (_, true) => MessageOutcome::Rejected,
            };
            let before = self.outcomes.insert(*entry, outcome);
            assert_eq!(before, None, "entry {entry} has a second outcome: {outcome:?}");
        }
        for id in &step.settled_commands {
            assert!(self.commands.remove(id).is_some(), "command {id} is settled but not in the stream");
        }
        for (id, _) in &step.answers {
            *self.answers.entry(*id).or_default() += 1;
        }
        for mail in &step.mails_owed {
            self.outbox.insert((mail.workspace.clone(), mail.id), mail.clone());
        }
        for mail in &step.mails_ended {
            let workspace = step.workspace.clone().expect("a mail ends for a workspace");
            self.outbox.remove(&(workspace, *mail));
        }
    }

    /// Appends events; answers which entries they attempted.
    fn append(&mut self, step: &Step) -> Vec<EntryId> {
        let Some(workspace) = &step.workspace else { return Vec::new() };
        let journal = self.journals.entry(workspace.clone()).or_default();
        if step.forget {
            journal.stored.attempts.clear();
            journal.skipped = None;
            self.outbox.retain(|(owing, _), _| owing != workspace);
        }
        if let Some(anew) = step.anew {
            self.corrupt.remove(workspace);
            let snapshot = step.snapshot.clone();
            assert!(anew >= journal.stored.top, "{workspace}: the seq goes on");
            journal.stored = Stored { snapshot, attempts: step.attempts.clone(), top: anew };
            journal.skipped = step.last_skipped.clone();
            return Vec::new();
        }
        let mut events: Vec<_> = step.attempts.iter().chain(&step.history).collect();
        events.sort_by_key(|event| event.seq);
        let mut attempted = Vec::new();
        for stored in events {
            assert_eq!(stored.seq, journal.stored.top + 1, "{workspace}: the seq goes on without a gap");
            journal.stored.top = stored.seq;
            let (_, event) = codec::decode_event(&stored.json).expect("an event can be read");
            let attempt = event.attempt().filter(|attempt| attempt.trigger == Trigger::Message);
            attempted.extend(attempt.map(|attempt| attempt.entry));
            if matches!(event, Event::AttemptDelivered(_) | Event::AttemptFailed(_)) {
                journal.stored.attempts.push(stored.clone());
            }
        }
        for entry in &attempted {
            assert!(step.settled.contains(entry), "the attempt of {entry} settles it");
            *self.recorded.entry(*entry).or_default() += 1;
        }
        if let Some(snapshot) = &step.snapshot {
            let seq = codec::snapshot_seq(snapshot).expect("a snapshot names its seq");
            assert_eq!(seq, journal.stored.top, "{workspace}: a snapshot is the state after all its events");
            journal.stored.snapshot = Some(Bytes::clone(snapshot));
        }
        if let Some(newest) = &step.last_skipped {
            journal.skipped = Some(newest.clone());
        }
        attempted
    }
}
