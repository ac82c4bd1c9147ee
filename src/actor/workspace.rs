//! The workspace actor: a thin shell around its [`WorkspaceCore`], which decides on what is in its account.

pub(super) mod core;
pub(super) mod hibernated;
mod test_run;

use std::rc::Rc;

use actix::{Actor, ActorContext, Context as ActixContext, Handler};

use crate::actor::protocol::{Slot, ToWorkspace};
use crate::actor::shared_shard::SharedShard;
use crate::actor::workspace::core::WorkspaceCore;

/// One workspace in memory.
pub(super) struct WorkspaceActor {
    pub(super) core: Box<WorkspaceCore>,
    pub(super) slot: Slot,
    /// Names this incarnation of the workspace: an earlier one decides nothing any more.
    pub(super) incarnation: u64,
    pub(super) shared: Rc<SharedShard>,
}

impl Actor for WorkspaceActor {
    type Context = ActixContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_HINT);
    }
}

/// Permits bound the mails; a capacity this high keeps actix from suspending their senders.
const MAILBOX_HINT: usize = 1_024;

impl Handler<ToWorkspace> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, mail: ToWorkspace, ctx: &mut Self::Context) {
        if !self.shared.decide(self.slot, self.incarnation, &mut self.core, mail) {
            ctx.stop();
        }
    }
}
