//! The workspace actor: a thin shell around [`Core`] that catches its panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use actix::{Actor, ActorContext, Addr, Context as ActixContext, Handler};

use super::core::{Context, Core};
use super::inbox::Inbox;
use super::protocol::{Decided, Seed, Suspects, ToWorkspace};
use super::rest::Resting;
use super::shard::ShardActor;
use crate::message::WorkspaceId;

/// One workspace in memory.
pub(super) struct WorkspaceActor {
    mind: Mind,
    /// Names this life of the workspace: reports of an earlier life are ignored.
    life: u64,
    shard: Addr<ShardActor>,
    inbox: Rc<Inbox>,
}

impl WorkspaceActor {
    /// The actor. What it decides at once is reported before its first mail.
    pub(super) fn new(
        id: WorkspaceId,
        life: u64,
        seed: Seed,
        context: Rc<Context>,
        shard: Addr<ShardActor>,
        inbox: Rc<Inbox>,
    ) -> Self {
        let (core, first) = Core::new(id, seed, context);
        let actor = Self { mind: Mind::Awake(Box::new(core)), life, shard, inbox };
        actor.report(What::Decided(Box::new(first)));
        actor
    }

    fn report(&self, what: What) {
        let report = Report { workspace: self.mind.id().clone(), life: self.life, what };
        self.inbox.report(report, &self.shard);
    }
}

impl Actor for WorkspaceActor {
    type Context = ActixContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_HINT);
    }
}

/// Mails are bounded by permits; this only spares actix from parking senders.
const MAILBOX_HINT: usize = 1_024;

impl actix::Message for ToWorkspace {
    type Result = ();
}

impl Handler<ToWorkspace> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, mail: ToWorkspace, ctx: &mut Self::Context) {
        if matches!(mail, ToWorkspace::Retire) {
            self.report(What::Retired);
            return ctx.stop();
        }
        let suspects = mail.suspects();
        match catch_unwind(AssertUnwindSafe(|| self.mind.handle(mail))) {
            Ok(decided) => self.report(What::Decided(Box::new(decided))),
            // The state may be half changed: it is dropped with this actor and loaded again.
            Err(_) => {
                self.report(What::Panicked(suspects));
                ctx.stop();
            }
        }
    }
}

/// Boxed: a task has room for the largest that it may ever hold.
enum Mind {
    Awake(Box<Core>),
    Resting(Box<Resting>),
}

impl Mind {
    fn id(&self) -> &WorkspaceId {
        match self {
            Self::Awake(core) => &core.id,
            Self::Resting(resting) => &resting.id,
        }
    }

    /// Decides on a mail, awake from then on unless it is told to rest and can.
    fn handle(&mut self, mail: ToWorkspace) -> Decided {
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
}

/// What a workspace reports to its shard.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) workspace: WorkspaceId,
    pub(super) life: u64,
    pub(super) what: What,
}

/// See [`Report`].
#[derive(Debug)]
pub(super) enum What {
    Decided(Box<Decided>),
    Retired,
    Panicked(Suspects),
}
