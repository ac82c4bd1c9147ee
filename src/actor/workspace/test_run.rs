//! The state of the one test that a workspace may have requested or under way.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::actor::protocol::Item;
use crate::message::EntryId;
use crate::workspace::State;
use crate::workspace::command::Command;
use crate::workspace::event::Trigger;
use crate::workspace::time::Time;

/// The workspace's test and the commands that wait for it.
#[derive(Debug, Default)]
pub(super) struct TestRun {
    pub(super) stage: TestStage,
    /// Commands that came while the newest message is being looked up. Bounded by the command permits.
    pub(super) waiting: VecDeque<(EntryId, Arc<Command>)>,
}

#[derive(Debug, Default)]
pub(super) enum TestStage {
    #[default]
    Idle,
    /// The newest message is being looked up.
    Looking { id: EntryId, command: Arc<Command> },
    /// `TestStarted` is decided; the POST waits until it is durable and admission is open.
    Started { id: EntryId, trigger: Trigger, expires_at: Time, durable: bool, item: Arc<Item> },
    /// The POST is under way.
    Posting { id: EntryId },
}

impl TestRun {
    /// Goes on with a POST that this process makes already.
    pub(super) fn adopt(&mut self, state: &State) {
        if let Some(test) = &state.test {
            self.stage = TestStage::Posting { id: test.command };
        }
    }

    /// No test is requested or under way.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, TestStage::Idle) && self.waiting.is_empty()
    }

    pub(super) fn is_looking(&self) -> bool {
        matches!(self.stage, TestStage::Looking { .. })
    }

    /// Ends the test that is started or under way; returns its command if its caller is still to be answered.
    pub(super) fn give_up(&mut self) -> Option<EntryId> {
        let (TestStage::Started { id, .. } | TestStage::Posting { id }) = &self.stage else { return None };
        let id = *id;
        self.stage = TestStage::Idle;
        Some(id)
    }

    pub(super) fn queue(&mut self, id: EntryId, command: Arc<Command>) {
        self.waiting.push_back((id, command));
    }
}
