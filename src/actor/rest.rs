//! A workspace without work rests: it is its snapshot then, as in the journal, and what no journal tells.
//! The next mail wakes it. A state costs three times the memory of what it is stored as.

use std::rc::Rc;

use super::core::{Context, Core};
use super::protocol::Seed;
use crate::journal::port::Loaded;
use crate::journal::record;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::lanes::{Grown, Lanes};

/// What is left of a [`Core`] at rest.
pub(super) struct Resting {
    pub(super) id: WorkspaceId,
    context: Rc<Context>,
    snapshot: Box<[u8]>,
    since_snapshot: usize,
    attempted: Box<[EntryId]>,
    /// The window, which a load would forget.
    grown: Option<Grown>,
}

impl Core {
    /// What it is at rest; nothing while anything is under way.
    pub(super) fn rest(&self) -> Option<Resting> {
        let busy = self.lanes.waiting() + self.lanes.in_flight() > 0;
        let testing = !self.test.is_idle() || self.state.test.is_some();
        if busy || testing || !self.mails_begun.is_empty() || !self.unable.is_empty() {
            return None;
        }
        Some(Resting {
            id: self.id.clone(),
            context: Rc::clone(&self.context),
            snapshot: record::encode_snapshot(&self.state).as_ref().into(),
            since_snapshot: self.since_snapshot,
            attempted: self.attempted.iter().copied().collect(),
            grown: self.lanes.grown(),
        })
    }
}

impl Resting {
    /// Goes on where it went to rest.
    #[expect(clippy::expect_used, reason = "it reads what this process wrote, and every snapshot is read back so")]
    pub(super) fn wake(&self) -> Core {
        let state = record::decode_snapshot(&self.snapshot).expect("the snapshot of a workspace at rest");
        let loaded = Loaded { state, since_snapshot: self.since_snapshot, attempted: self.attempted.to_vec() };
        let seed = Seed { loaded, attempting: Vec::new(), test_in_flight: false, mails_begun: Vec::new() };
        // No test was under way, so nothing is decided at once.
        let (mut core, _) = Core::new(self.id.clone(), seed, Rc::clone(&self.context));
        core.lanes = Lanes::with(self.grown);
        core
    }
}
