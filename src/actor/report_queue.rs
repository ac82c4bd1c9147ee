//! What the workspaces of a shard decided and which attempts have ended, until the shard looks at it.
//!
//! All that comes within a turn of the thread is announced with one mail: planning what is next costs the
//! shard more than taking in one more report.

use std::cell::{Cell, RefCell};

use actix::Addr;

use crate::actor::protocol::Finished;
use crate::actor::shard::{ShardActor, ToShard};
use crate::actor::workspace::Report;

/// Bounded by permits: each report answers a mail to a workspace, each end belongs to an attempt in flight.
#[derive(Default)]
pub(super) struct ReportQueue {
    reports: RefCell<Vec<Report>>,
    finished: RefCell<Vec<Finished>>,
    announced: Cell<bool>,
}

impl ReportQueue {
    pub(super) fn report(&self, report: Report, shard: &Addr<ShardActor>) {
        self.reports.borrow_mut().push(report);
        self.announce(shard);
    }

    pub(super) fn finish(&self, finished: Finished, shard: &Addr<ShardActor>) {
        self.finished.borrow_mut().push(finished);
        self.announce(shard);
    }

    fn announce(&self, shard: &Addr<ShardActor>) {
        if !self.announced.replace(true) {
            shard.do_send(ToShard::Reports);
        }
    }

    /// Everything that came since, in order. An attempt is decided on before it ends, so reports go first.
    pub(super) fn take(&self) -> (Vec<Report>, Vec<Finished>) {
        self.announced.set(false);
        (self.reports.take(), self.finished.take())
    }
}
