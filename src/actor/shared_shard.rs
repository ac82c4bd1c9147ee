//! What the actor of a shard, those of its workspaces and its attempts under way share. All of them live on one thread,
//! and each borrows the core only while it calls it.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use actix::Recipient;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::actor::admission::InFlight;
use crate::actor::protocol::{AttemptEnd, FinishedAttempt, Seed, Slot, Start, ToShard, ToWorkspace, not_made};
use crate::actor::shard::core::{ShardAction, ShardCore};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::deliver::{Courier, Post, PostResult};

pub(super) struct SharedShard {
    core: RefCell<ShardCore>,
    context: Rc<WorkspaceContext>,
    courier: Rc<Courier>,
    /// The actors of the workspaces, by the slots of their accounts.
    workspaces: RefCell<Vec<Option<Recipient<ToWorkspace>>>>,
    shard: Recipient<ToShard>,
    /// The shard's actor has a [`ToShard::Work`] to take. One a turn of the thread is enough, for planning costs more
    /// than most of what is planned.
    announced: Cell<bool>,
}

impl SharedShard {
    pub(super) fn new(
        core: ShardCore,
        context: Rc<WorkspaceContext>,
        courier: Rc<Courier>,
        shard: Recipient<ToShard>,
    ) -> Rc<Self> {
        let (core, workspaces, announced) = (RefCell::new(core), RefCell::default(), Cell::new(false));
        Rc::new(Self { core, context, courier, workspaces, shard, announced })
    }

    pub(super) fn core(&self) -> BorrowedCore<'_> {
        BorrowedCore { core: self.core.borrow_mut(), shard: &self.shard }
    }

    /// The shard's actor takes its [`ToShard::Work`].
    pub(super) fn begin_work(&self) {
        self.announced.set(false);
    }

    fn announce(&self) {
        if !self.announced.replace(true) {
            self.shard.do_send(ToShard::Work);
        }
    }

    /// See [`ShardCore::begin`].
    pub(super) fn begin(&self, slot: Slot, incarnation: u64, seed: Seed) -> Option<Box<WorkspaceCore>> {
        self.core().begin(slot, incarnation, seed, &self.context, Instant::now())
    }

    /// See [`ShardCore::decide`]. What the workspace attempts is on its way when this returns.
    pub(super) fn decide(
        self: &Rc<Self>,
        slot: Slot,
        incarnation: u64,
        workspace: &mut WorkspaceCore,
        mail: ToWorkspace,
    ) -> bool {
        let goes_on = self.core().decide(slot, incarnation, workspace, mail, Instant::now());
        self.act_for_workspaces();
        self.announce();
        goes_on
    }

    /// Does what workspaces need done at once; the rest waits for the shard's actor. Returns whether an actor was told.
    fn act_for_workspaces(self: &Rc<Self>) -> bool {
        let mut told = false;
        loop {
            let action = self.core().next_of_workspaces();
            match action {
                Some(ShardAction::Post(start, in_flight)) => self.post(start, in_flight),
                Some(ShardAction::Tell(slot, mail)) => {
                    self.tell(slot, mail);
                    told = true;
                }
                _ => return told,
            }
        }
    }

    /// Makes a POST in a task of its own, which tells its workspace of its end.
    pub(super) fn post(self: &Rc<Self>, start: Arc<Start>, in_flight: InFlight) {
        let shared = Rc::clone(self);
        actix_rt::spawn(async move {
            let began = (shared.context.clock)();
            let end = attempt(&shared.courier, &start).await;
            drop(in_flight);
            shared.core().ended(FinishedAttempt { start, began, end }, Instant::now());
            // An actor that was told announces what it decides.
            if !shared.act_for_workspaces() {
                shared.announce();
            }
        });
    }

    pub(super) fn tell(&self, slot: Slot, mail: ToWorkspace) {
        if let Some(Some(actor)) = self.workspaces.borrow().get(slot.0) {
            actor.do_send(mail);
        }
    }

    pub(super) fn know(&self, slot: Slot, actor: Recipient<ToWorkspace>) {
        let mut workspaces = self.workspaces.borrow_mut();
        if workspaces.len() <= slot.0 {
            workspaces.resize_with(slot.0 + 1, || None);
        }
        workspaces[slot.0] = Some(actor);
    }

    pub(super) fn forget(&self, slot: Slot) {
        if let Some(actor) = self.workspaces.borrow_mut().get_mut(slot.0) {
            *actor = None;
        }
    }

    pub(super) fn forget_all(&self) {
        self.workspaces.borrow_mut().clear();
    }
}

/// The core, for one call. One that panics in it leaves it half changed, whoever called: then the shard's actor is told,
/// and stops.
pub(super) struct BorrowedCore<'a> {
    core: RefMut<'a, ShardCore>,
    shard: &'a Recipient<ToShard>,
}

impl Deref for BorrowedCore<'_> {
    type Target = ShardCore;

    fn deref(&self) -> &ShardCore {
        &self.core
    }
}

impl DerefMut for BorrowedCore<'_> {
    fn deref_mut(&mut self) -> &mut ShardCore {
        &mut self.core
    }
}

impl Drop for BorrowedCore<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shard.do_send(ToShard::Broken);
        }
    }
}

pub(super) async fn attempt(courier: &Courier, start: &Start) -> AttemptEnd {
    let post = Post {
        to: Arc::clone(&start.to),
        webhook_id: Arc::clone(&start.webhook_id),
        body: start.item.message.raw().body(),
    };
    // Whoever waits for a test is told at once.
    let attempt = async {
        match start.test {
            None => courier.attempt_judged(&post).await,
            Some(_) => courier.attempt(&post).await,
        }
    };
    match AssertUnwindSafe(attempt).catch_unwind().await {
        Ok(PostResult::Done(done)) => AttemptEnd::Done(Arc::new(done)),
        Ok(PostResult::Unable(why)) => AttemptEnd::Unable(why),
        // Whether a byte was written is unknown, so this is an outcome: it is never sent again.
        Err(_) => AttemptEnd::Done(Arc::new(not_made("the attempt failed inside the service"))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix::{Actor, Context, Handler};
    use tokio::sync::mpsc;

    use super::*;
    use crate::actor::admission::{Admission, NodeCap};
    use crate::actor::shard::entry::ShardIdentity;
    use crate::actor::shard::intake::Limits;
    use crate::app::now;
    use crate::deliver::{CourierOptions, Egress};
    use crate::workspace::Policy;

    struct Recorder(mpsc::UnboundedSender<ToShard>);

    impl Actor for Recorder {
        type Context = Context<Self>;
    }

    impl Handler<ToShard> for Recorder {
        type Result = ();

        fn handle(&mut self, mail: ToShard, _: &mut Context<Self>) {
            self.0.send(mail).unwrap();
        }
    }

    #[test]
    fn a_panic_in_the_core_stops_the_shard_whoever_called_it() {
        actix_rt::System::new().block_on(async {
            let (sender, mut mails) = mpsc::unbounded_channel();
            let admission = Admission::new(NodeCap::new(1), Duration::ZERO);
            let identity = ShardIdentity { shard: 0, shards: 1, prefix: "outbound".into() };
            let core = ShardCore::new(identity, Limits::default(), now, Rc::clone(&admission), Instant::now());
            let context = WorkspaceContext {
                policy: Policy::default(),
                clock: now,
                fresh_secret: Box::new(|| "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()),
                keyring: Arc::default(),
                admission,
                inspect: |_| {},
            };
            let options = CourierOptions {
                timeout: Duration::from_secs(1),
                reach: Default::default(),
                clock: now,
                egress: Egress::default(),
            };
            let courier = Rc::new(Courier::new(&options).unwrap());
            let shared = SharedShard::new(core, Rc::new(context), courier, Recorder(sender).start().recipient());
            drop(shared.core());
            let panicking = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let _core = shared.core();
                std::panic::resume_unwind(Box::new("as the test asked"));
            }));
            assert!(panicking.is_err());
            assert!(matches!(mails.recv().await, Some(ToShard::Broken)));
        });
    }
}
