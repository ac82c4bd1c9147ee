//! The workspace actor: a thin shell around its [`Resident`] that catches its panics.

pub(super) mod core;
pub(super) mod resident;
mod test_run;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use actix::{Actor, ActorContext, Context as ActixContext, Handler};

use crate::actor::protocol::{Seed, ToWorkspace};
use crate::actor::report_queue::{ReportQueue, Reported, WorkspaceReport};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::actor::workspace::resident::Resident;
use crate::message::WorkspaceId;

/// One workspace in memory.
pub(super) struct WorkspaceActor {
    resident: Resident,
    /// Names this incarnation of the workspace: reports of an earlier one are ignored.
    incarnation: u64,
    reports: Rc<ReportQueue>,
}

impl WorkspaceActor {
    /// Reports what the workspace decides at once, before its first mail.
    pub(super) fn new(
        id: WorkspaceId,
        incarnation: u64,
        seed: Seed,
        context: Rc<WorkspaceContext>,
        reports: Rc<ReportQueue>,
    ) -> Self {
        let (core, first) = WorkspaceCore::new(id, seed, context);
        let actor = Self { resident: core.into(), incarnation, reports };
        actor.report(Reported::Decided(Box::new(first)));
        actor
    }

    fn report(&self, what: Reported) {
        let report = WorkspaceReport { workspace: self.resident.id().clone(), incarnation: self.incarnation, what };
        self.reports.report(report);
    }
}

impl Actor for WorkspaceActor {
    type Context = ActixContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_HINT);
    }
}

/// Permits bound the mails; a capacity this high keeps actix from suspending their senders.
const MAILBOX_HINT: usize = 1_024;

impl actix::Message for ToWorkspace {
    type Result = ();
}

impl Handler<ToWorkspace> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, mail: ToWorkspace, ctx: &mut Self::Context) {
        if matches!(mail, ToWorkspace::Retire) {
            self.report(Reported::Retired);
            return ctx.stop();
        }
        let suspects = mail.suspects();
        match catch_unwind(AssertUnwindSafe(|| self.resident.handle(mail))) {
            Ok(decided) => self.report(Reported::Decided(Box::new(decided))),
            // The state may be half changed: it is dropped with this actor and loaded again.
            Err(_) => {
                self.report(Reported::Panicked(suspects));
                ctx.stop();
            }
        }
    }
}
