//! The embedded adapter keeps the laws, in a file and in memory; and what only it can promise.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{ReadableDatabase as _, ReadableTable as _};
use tempfile::TempDir;

use super::Embedded;
use super::tables::{self, EVENTS, HISTORIES, Names, Record, WORKSPACES};
use crate::app::now as wall;
use crate::journal::conformance::story::Story;
use crate::journal::conformance::{Damage, SHARDS, Subject, batch, hold, neighbours};
use crate::journal::port::Journal;
use crate::message::WorkspaceId;

mod crash;
mod damaged;
mod disk;
mod faults;
mod opening;

mod file {
    crate::journal::conformance::every_law!(laws_alone, super::InFile);
}

mod memory {
    crate::journal::conformance::every_law!(laws_alone, super::InMemory);
}

/// A journal in a file of its own.
struct InFile {
    dir: TempDir,
    journal: Option<Arc<Embedded>>,
}

impl InFile {
    fn opened(&self) -> Arc<Embedded> {
        Arc::new(Embedded::open(&self.dir.path().join("outbound.redb"), Some(SHARDS), wall).unwrap())
    }

    fn now(&self) -> &Embedded {
        self.journal.as_ref().unwrap()
    }
}

#[async_trait]
impl Subject for InFile {
    async fn fresh() -> Self {
        let mut subject = Self { dir: tempfile::tempdir().unwrap(), journal: None };
        subject.journal = Some(subject.opened());
        subject
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(self.journal.as_ref().unwrap()) as Arc<dyn Journal>
    }

    async fn restart(&mut self) {
        // The file is free only when the old journal is gone: opening it checks that.
        self.journal = None;
        self.journal = Some(self.opened());
    }

    async fn retained(&self, workspace: &WorkspaceId) -> (usize, usize) {
        retained(self.now(), workspace)
    }

    async fn rejected(&self, shard: u16) -> Vec<Vec<(Bytes, Bytes)>> {
        rejected(self.now(), shard)
    }

    async fn damage(&self, workspace: &WorkspaceId, damage: Damage) {
        damaged(self.now(), workspace, damage);
        // It was not written by the writer, which would take the file for one that somebody else wrote to.
        self.now().store.db().note_written_aside();
    }
}

/// A journal in memory; nothing outlives it, so a restart leaves it as it is.
struct InMemory(Arc<Embedded>);

#[async_trait]
impl Subject for InMemory {
    async fn fresh() -> Self {
        Self(Arc::new(Embedded::in_memory(SHARDS, wall).unwrap()))
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.0) as Arc<dyn Journal>
    }

    async fn restart(&mut self) {}

    async fn retained(&self, workspace: &WorkspaceId) -> (usize, usize) {
        retained(&self.0, workspace)
    }

    async fn rejected(&self, shard: u16) -> Vec<Vec<(Bytes, Bytes)>> {
        rejected(&self.0, shard)
    }

    async fn damage(&self, workspace: &WorkspaceId, damage: Damage) {
        damaged(&self.0, workspace, damage);
    }
}

/// Counts what stands in the table of events.
fn retained(journal: &Embedded, workspace: &WorkspaceId) -> (usize, usize) {
    let txn = journal.store.db().begin_read().unwrap();
    let events = txn.open_table(EVENTS).unwrap();
    let standing = |places: tables::Places| places.iter().filter(|(_, n)| events.get(n).unwrap().is_some()).count();
    let record = txn.open_table(WORKSPACES).unwrap().get(workspace.as_str()).unwrap();
    let attempts = record.map(|bytes| Record::decode(bytes.value()).unwrap().attempts).unwrap_or_default();
    let history = txn.open_table(HISTORIES).unwrap().get(workspace.as_str()).unwrap();
    let history = history.map(|bytes| tables::decode_places(bytes.value()).unwrap()).unwrap_or_default();
    (standing(attempts), standing(history))
}

fn rejected(journal: &Embedded, shard: u16) -> Vec<Vec<(Bytes, Bytes)>> {
    let txn = journal.store.db().begin_read().unwrap();
    let table = txn.open_table(Names::of(shard).rejected()).unwrap();
    let entries = table.iter().unwrap().map(|item| item.unwrap().1);
    entries.map(|fields| tables::decode_entry((0, 0), fields.value()).unwrap().fields).collect()
}

fn damaged(journal: &Embedded, workspace: &WorkspaceId, damage: Damage) {
    let txn = journal.store.db().begin_write().unwrap();
    {
        let mut table = txn.open_table(WORKSPACES).unwrap();
        let mut record = Record::decode(table.get(workspace.as_str()).unwrap().unwrap().value()).unwrap();
        match damage {
            Damage::Attempt(lost) => {
                let (_, number) = *record.attempts.iter().find(|(seq, _)| *seq == lost).unwrap();
                txn.open_table(EVENTS).unwrap().remove(number).unwrap();
            }
            Damage::Snapshot => record.snapshot = None,
            Damage::Events => (record.top, record.attempts) = (0, tables::Places::new()),
        }
        table.insert(workspace.as_str(), record.encode().as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

#[tokio::test]
async fn a_forgotten_workspace_leaves_no_event_behind() {
    let subject = InMemory::fresh().await;
    let (journal, workspace) = (subject.journal(), &neighbours(1)[0]);
    let held = hold(&journal, workspace).await;
    let mut story = Story::of(workspace);
    let steps = [story.save(), story.deliver_many(3), story.disable(), story.forget()];
    held.connection.commit(batch(steps)).await.unwrap();
    let events = subject.0.store.db().begin_read().unwrap().open_table(EVENTS).unwrap();
    assert_eq!(events.iter().unwrap().count(), 0);
}
