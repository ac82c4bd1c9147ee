//! The reports of a shard's workspaces and the ends of its attempts, until the shard processes them.
//!
//! Everything that arrives within a turn of the thread is announced with one mail, because planning the next
//! actions costs the shard more than one more report does.

use std::cell::{Cell, RefCell};

use actix::Recipient;

use crate::actor::protocol::{Decided, FinishedAttempt, Suspects, ToShard};
use crate::message::WorkspaceId;

/// Bounded by permits: each report answers a mail to a workspace, each end belongs to an attempt in flight.
pub(super) struct ReportQueue {
    /// Gets [`ToShard::Reports`] when the queue is no longer empty.
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

    /// Takes everything that has arrived, in order. An attempt is reported before it ends, so reports go first.
    pub(super) fn take(&self) -> (Vec<WorkspaceReport>, Vec<FinishedAttempt>) {
        self.announced.set(false);
        (self.reports.take(), self.finished.take())
    }
}

/// A report of a workspace to its shard.
#[derive(Debug)]
pub(super) struct WorkspaceReport {
    pub(super) workspace: WorkspaceId,
    pub(super) incarnation: u64,
    pub(super) what: Reported,
}

/// See [`WorkspaceReport`].
#[derive(Debug)]
pub(super) enum Reported {
    /// What it decided on a mail, or on its load.
    Decided(Box<Decided>),
    /// It has stopped, as it was asked to.
    Retired,
    /// It panicked and has stopped.
    Panicked(Suspects),
}
