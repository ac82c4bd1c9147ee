//! A workspace without work rests: it is its snapshot then, as in the journal, and what no journal tells.
//! The next mail wakes it. `cargo bench --bench load -- --scenario idle` shows what it takes.

use std::rc::Rc;

use crate::actor::protocol::{Decided, Seed, ToWorkspace};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::journal::port::Loaded;
use crate::journal::record;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::chat_queues::{ChatQueues, LearnedWindow};

/// A workspace in memory. Boxed, for its actor's task has room for the largest that it may ever be.
pub(in crate::actor) enum Mind {
    Awake(Box<WorkspaceCore>),
    Resting(Box<Resting>),
}

impl Mind {
    pub(in crate::actor) fn id(&self) -> &WorkspaceId {
        match self {
            Self::Awake(core) => &core.id,
            Self::Resting(resting) => &resting.id,
        }
    }

    /// Decides on a mail, awake from then on unless it is told to rest and can.
    pub(in crate::actor) fn handle(&mut self, mail: ToWorkspace) -> Decided {
        match (&mut *self, mail) {
            (Self::Awake(core), ToWorkspace::Rest) => {
                if let Some(resting) = core.rest() {
                    *self = Self::Resting(Box::new(resting));
                }
                Decided::default()
            }
            (Self::Awake(core), mail) => core.handle(mail),
            (Self::Resting(_), ToWorkspace::Rest) => Decided::default(),
            (Self::Resting(resting), mail) => {
                let mut core = Box::new(resting.wake());
                let decided = core.handle(mail);
                *self = Self::Awake(core);
                decided
            }
        }
    }

    /// What a failed test prints.
    #[cfg(test)]
    pub(in crate::actor) fn describe(&self) -> String {
        match self {
            Self::Awake(core) => core.describe(),
            Self::Resting(resting) => format!("{} rests", resting.id),
        }
    }
}

impl From<WorkspaceCore> for Mind {
    fn from(core: WorkspaceCore) -> Self {
        Self::Awake(Box::new(core))
    }
}

/// What is left of a [`WorkspaceCore`] at rest.
pub(in crate::actor) struct Resting {
    id: WorkspaceId,
    context: Rc<WorkspaceContext>,
    snapshot: Box<[u8]>,
    since_snapshot: usize,
    attempted: Box<[EntryId]>,
    /// The window, which a load would forget.
    learned_window: Option<LearnedWindow>,
}

impl WorkspaceCore {
    /// What it is at rest; nothing while anything is under way.
    pub(in crate::actor) fn rest(&self) -> Option<Resting> {
        let testing = !self.test.is_idle() || self.state.test.is_some();
        if !self.chat_queues.is_empty() || testing || !self.mails_begun.is_empty() {
            return None;
        }
        Some(Resting {
            id: self.id.clone(),
            context: Rc::clone(&self.context),
            snapshot: record::encode_snapshot(&self.state).as_ref().into(),
            since_snapshot: self.since_snapshot,
            attempted: self.attempted.iter().copied().collect(),
            learned_window: self.chat_queues.learned_window(),
        })
    }
}

impl Resting {
    /// Goes on where it went to rest.
    #[expect(clippy::expect_used, reason = "it reads what this process wrote, and every snapshot is read back so")]
    pub(in crate::actor) fn wake(&self) -> WorkspaceCore {
        let state = record::decode_snapshot(&self.snapshot).expect("the snapshot of a workspace at rest");
        let loaded = Loaded { state, since_snapshot: self.since_snapshot, attempted: self.attempted.to_vec() };
        let seed = Seed { loaded, attempting: Vec::new(), test_in_flight: false, mails_begun: Vec::new() };
        // No test was under way, so nothing is decided at once.
        let (mut core, _) = WorkspaceCore::new(self.id.clone(), seed, Rc::clone(&self.context));
        core.chat_queues = ChatQueues::with(self.learned_window);
        core
    }
}
