//! What the workspaces of a shard decided and which attempts have ended, until the shard looks at it.
//!
//! All that comes within a turn of the thread is announced with one mail: planning what is next costs the
//! shard more than taking in one more report.

use std::cell::{Cell, RefCell};

use actix::Recipient;

use crate::actor::protocol::{Decided, FinishedAttempt, Suspects, ToShard};
use crate::message::WorkspaceId;

/// Bounded by permits: each report answers a mail to a workspace, each end belongs to an attempt in flight.
pub(super) struct ReportQueue {
    /// Where it is announced that something came.
    shard: Recipient<ToShard>,
    reports: RefCell<Vec<WorkspaceReport>>,
    finished: RefCell<Vec<FinishedAttempt>>,
    announced: Cell<bool>,
}

impl ReportQueue {
    pub(super) fn new(shard: Recipient<ToShard>) -> Self {
        Self { shard, reports: RefCell::default(), finished: RefCell::default(), announced: Cell::new(false) }
    }

    pub(super) fn report(&self, report: WorkspaceReport) {
        self.reports.borrow_mut().push(report);
        self.announce();
    }

    pub(super) fn finish(&self, finished: FinishedAttempt) {
        self.finished.borrow_mut().push(finished);
        self.announce();
    }

    fn announce(&self) {
        if !self.announced.replace(true) {
            self.shard.do_send(ToShard::Reports);
        }
    }

    /// Everything that came since, in order. An attempt is decided on before it ends, so reports go first.
    pub(super) fn take(&self) -> (Vec<WorkspaceReport>, Vec<FinishedAttempt>) {
        self.announced.set(false);
        (self.reports.take(), self.finished.take())
    }
}

/// What a workspace reports to its shard.
#[derive(Debug)]
pub(super) struct WorkspaceReport {
    pub(super) workspace: WorkspaceId,
    pub(super) incarnation: u64,
    pub(super) what: Reported,
}

/// See [`WorkspaceReport`].
#[derive(Debug)]
pub(super) enum Reported {
    Decided(Box<Decided>),
    Retired,
    Panicked(Suspects),
}
