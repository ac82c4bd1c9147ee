//! Starts shards on one thread, which share its courier and its turns to read.

use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Addr, Context as ActixContext, Handler, MessageResult};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::actor::admission::{Admission, NodeCap};
use crate::actor::board::Board;
use crate::actor::options::ShardOptions;
use crate::actor::read_scheduler::ReadScheduler;
use crate::actor::shard::core::ShardCore;
use crate::actor::shard::entry::ShardIdentity;
use crate::actor::shard::intake::Limits;
use crate::actor::shard::{ShardActor, Tools};
use crate::actor::waiting_board::WaitingTeller;
use crate::actor::workspace::core::WorkspaceContext;
use crate::deliver::{Courier, CourierError};
use crate::journal::port::Holder;
use crate::sign::Secret;

/// What the shards of a thread are made with.
pub(super) struct ShardHost {
    options: ShardOptions,
    courier: Rc<Courier>,
    read_scheduler: Rc<ReadScheduler>,
    cap: Arc<NodeCap>,
    board: Arc<Board>,
}

/// Starts a shard, which acquires its lease. `released` is told when it has given it up again, and dropped when it
/// failed.
pub(super) struct StartShard {
    pub(super) shard: u16,
    pub(super) released: oneshot::Sender<()>,
}

impl actix::Message for StartShard {
    type Result = Addr<ShardActor>;
}

impl ShardHost {
    /// For the present thread.
    ///
    /// # Errors
    /// There is no courier.
    pub(super) fn new(options: ShardOptions, cap: Arc<NodeCap>, board: Arc<Board>) -> Result<Self, CourierError> {
        let courier = Rc::new(Courier::new(&options.deliver)?);
        Ok(Self { options, courier, read_scheduler: Rc::default(), cap, board })
    }

    fn start_shard(&self, StartShard { shard, released }: StartShard) -> Addr<ShardActor> {
        let options = &self.options;
        let identity = ShardIdentity { shard, shards: options.journal.shards(), prefix: Arc::clone(&options.prefix) };
        let admission = Admission::new(Arc::clone(&self.cap), options.deliver.timeout);
        admission.set_silent_max(options.journal.silent_max());
        let context = Rc::new(WorkspaceContext {
            policy: options.policy,
            clock: options.clock,
            fresh_secret: Box::new(|| Secret::generate(&mut rand::rng()).expose().into()),
            keyring: Arc::clone(&options.keyring),
            admission: Rc::clone(&admission),
            #[cfg(test)]
            inspect: super::tests::inspect,
        });
        let core = ShardCore::new(identity, Limits::default(), options.clock, admission, Instant::now())
            .count_in(self.board.rejections(), self.board.last_hour());
        let (board, told) = (Arc::clone(&self.board), Arc::clone(&self.board));
        let tools = Tools {
            journal: Arc::clone(&options.journal),
            read_scheduler: Rc::clone(&self.read_scheduler),
            mailer: options.mailer.clone(),
            context,
            holder: Holder { node: options.node.id.clone(), lease: options.lease },
            shard,
            publish: Box::new(move |status| board.set(shard, Some(status))),
            waiting: WaitingTeller::new(Box::new(move |waiting| told.waiting().set(shard, waiting))),
        };
        ShardActor::create(|ctx| ShardActor::new(core, &self.courier, tools, released, ctx))
    }
}

impl Actor for ShardHost {
    type Context = ActixContext<Self>;
}

impl Handler<StartShard> for ShardHost {
    type Result = MessageResult<StartShard>;

    fn handle(&mut self, start: StartShard, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.start_shard(start))
    }
}
