//! A workspace without work is hibernated: only its snapshot, as in the journal, and what no journal holds stay in
//! memory. The next mail reactivates it. `cargo bench --bench load -- --scenario idle` measures its memory.

use std::rc::Rc;

use tokio::time::Instant;

use crate::actor::book::entries::HeldEntries;
use crate::actor::protocol::{Seed, Slot, ToWorkspace};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::journal::codec;
use crate::journal::port::Loaded;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::configuration::WebhookStatus;

/// A workspace in memory. Both forms are boxed: the actor's task reserves space for the largest variant.
pub(in crate::actor) enum Resident {
    Active(Box<WorkspaceCore>),
    Hibernated(Box<Hibernated>),
}

impl Resident {
    /// Decides on a mail. It is active afterwards, unless the mail asks it to hibernate and nothing is under way.
    pub(in crate::actor) fn handle(&mut self, mail: ToWorkspace, entries: &mut HeldEntries, now: Instant) {
        match (&mut *self, mail) {
            (Self::Active(core), ToWorkspace::Hibernate) => {
                if let Some(hibernated) = core.hibernate(entries) {
                    *self = Self::Hibernated(Box::new(hibernated));
                }
            }
            (Self::Active(core), mail) => core.handle(mail, entries, now),
            (Self::Hibernated(_), ToWorkspace::Hibernate) => {}
            (Self::Hibernated(hibernated), mail) => {
                let mut core = Box::new(hibernated.reactivate(entries));
                core.handle(mail, entries, now);
                *self = Self::Active(core);
            }
        }
    }

    /// What a failed test prints.
    #[cfg(test)]
    pub(in crate::actor) fn describe(&self) -> String {
        match self {
            Self::Active(core) => core.describe(),
            Self::Hibernated(_) => "hibernated".to_owned(),
        }
    }
}

impl From<WorkspaceCore> for Resident {
    fn from(core: WorkspaceCore) -> Self {
        Self::Active(Box::new(core))
    }
}

/// What is left of a hibernated [`WorkspaceCore`].
pub(in crate::actor) struct Hibernated {
    id: WorkspaceId,
    slot: Slot,
    context: Rc<WorkspaceContext>,
    snapshot: Box<[u8]>,
    since_snapshot: usize,
    attempted: Box<[EntryId]>,
    listed: Option<WebhookStatus>,
}

impl WorkspaceCore {
    /// Its hibernated form; `None` while anything is under way.
    pub(in crate::actor) fn hibernate(&self, entries: &HeldEntries) -> Option<Hibernated> {
        let testing = !self.test.is_idle() || self.state.test.is_some();
        if !entries.is_idle() || testing || !self.mails_begun.is_empty() {
            return None;
        }
        Some(Hibernated {
            id: self.id.clone(),
            slot: self.slot,
            context: Rc::clone(&self.context),
            snapshot: codec::encode_snapshot(&self.state).as_ref().into(),
            since_snapshot: self.since_snapshot,
            attempted: self.attempted.iter().copied().collect(),
            listed: self.listed,
        })
    }
}

impl Hibernated {
    /// Decodes the snapshot and goes on from it.
    #[expect(clippy::expect_used, reason = "it reads what this process wrote, and every snapshot is read back so")]
    pub(in crate::actor) fn reactivate(&self, entries: &mut HeldEntries) -> WorkspaceCore {
        let state = codec::decode_snapshot(&self.snapshot).expect("the snapshot of a hibernated workspace");
        let loaded = Loaded { state, since_snapshot: self.since_snapshot, attempted: self.attempted.to_vec() };
        let seed = Seed { loaded, test_in_flight: false, mails_begun: Vec::new() };
        // No test was under way, so nothing is decided at once.
        let mut core = WorkspaceCore::new(self.id.clone(), self.slot, seed, Rc::clone(&self.context), entries);
        core.listed = self.listed;
        core
    }
}
