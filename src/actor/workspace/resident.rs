//! A workspace without work is hibernated: only its snapshot, as in the journal, and what no journal holds stay in
//! memory. The next mail reactivates it. `cargo bench --bench load -- --scenario idle` measures its memory.

use std::rc::Rc;

use crate::actor::protocol::{Decided, Seed, ToWorkspace};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::journal::codec;
use crate::journal::port::Loaded;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::chat_queues::{ChatQueues, LearnedWindow};

/// A workspace in memory. Both forms are boxed: the actor's task reserves space for the largest variant.
pub(in crate::actor) enum Resident {
    Active(Box<WorkspaceCore>),
    Hibernated(Box<Hibernated>),
}

impl Resident {
    pub(in crate::actor) fn id(&self) -> &WorkspaceId {
        match self {
            Self::Active(core) => &core.id,
            Self::Hibernated(hibernated) => &hibernated.id,
        }
    }

    /// Decides on a mail. It is active afterwards, unless the mail asks it to hibernate and nothing is under way.
    pub(in crate::actor) fn handle(&mut self, mail: ToWorkspace) -> Decided {
        match (&mut *self, mail) {
            (Self::Active(core), ToWorkspace::Hibernate) => {
                if let Some(hibernated) = core.hibernate() {
                    *self = Self::Hibernated(Box::new(hibernated));
                }
                Decided::default()
            }
            (Self::Active(core), mail) => core.handle(mail),
            (Self::Hibernated(_), ToWorkspace::Hibernate) => Decided::default(),
            (Self::Hibernated(hibernated), mail) => {
                let mut core = Box::new(hibernated.reactivate());
                let decided = core.handle(mail);
                *self = Self::Active(core);
                decided
            }
        }
    }

    /// What a failed test prints.
    #[cfg(test)]
    pub(in crate::actor) fn describe(&self) -> String {
        match self {
            Self::Active(core) => core.describe(),
            Self::Hibernated(hibernated) => format!("{} is hibernated", hibernated.id),
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
    context: Rc<WorkspaceContext>,
    snapshot: Box<[u8]>,
    since_snapshot: usize,
    attempted: Box<[EntryId]>,
    /// The window, which the journal does not hold.
    learned_window: Option<LearnedWindow>,
}

impl WorkspaceCore {
    /// Its hibernated form; `None` while anything is under way.
    pub(in crate::actor) fn hibernate(&self) -> Option<Hibernated> {
        let testing = !self.test.is_idle() || self.state.test.is_some();
        if !self.chat_queues.is_empty() || testing || !self.mails_begun.is_empty() {
            return None;
        }
        Some(Hibernated {
            id: self.id.clone(),
            context: Rc::clone(&self.context),
            snapshot: codec::encode_snapshot(&self.state).as_ref().into(),
            since_snapshot: self.since_snapshot,
            attempted: self.attempted.iter().copied().collect(),
            learned_window: self.chat_queues.learned_window(),
        })
    }
}

impl Hibernated {
    /// Decodes the snapshot and goes on from it.
    #[expect(clippy::expect_used, reason = "it reads what this process wrote, and every snapshot is read back so")]
    pub(in crate::actor) fn reactivate(&self) -> WorkspaceCore {
        let state = codec::decode_snapshot(&self.snapshot).expect("the snapshot of a hibernated workspace");
        let loaded = Loaded { state, since_snapshot: self.since_snapshot, attempted: self.attempted.to_vec() };
        let seed = Seed { loaded, attempting: Vec::new(), test_in_flight: false, mails_begun: Vec::new() };
        // No test was under way, so nothing is decided at once.
        let (mut core, _) = WorkspaceCore::new(self.id.clone(), seed, Rc::clone(&self.context));
        core.chat_queues = ChatQueues::with(self.learned_window);
        core
    }
}
