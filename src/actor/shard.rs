//! The shard actor: does the I/O that its [`ShardCore`] asks for and passes the results back to it. What workspaces
//! need done they do themselves ([`SharedShard`]).

pub(super) mod core;
pub(super) mod entry;
pub(super) mod intake;
pub(super) mod committer;
mod idle;
mod mails;
mod hand_overs;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context as ActixContext, Handler, SpawnHandle};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use crate::actor::maps::HashSet;
use crate::actor::protocol::{Seed, Slot, StoreAnswer, ToShard};
use crate::actor::read_scheduler::ReadScheduler;
use crate::actor::shard::core::{ShardAction, ShardCore, ShardCounts};
use crate::actor::shard::hand_overs::HandOvers;
use crate::actor::shared_shard::SharedShard;
use crate::actor::store_watch::cause;
use crate::actor::waiting_board::WaitingTeller;
use crate::actor::workspace::WorkspaceActor;
use crate::actor::workspace::core::WorkspaceContext;
use crate::config::SNAPSHOT_EVERY;
use crate::deliver::Courier;
use crate::journal::port::{
    AcquireError, Acquired, Holder, Journal, LoadError, Loaded, OwedMail, Poll, ShardConnection, ShardConnectionError,
    ShardIntake, ShardRequest, ShardResponse, StoreError, StoreTrouble,
};
use crate::message::{EntryId, WorkspaceId};
use crate::notify::Mailer;
use crate::seal::{Keyring, Seal};

/// What a shard actor works with.
pub(super) struct Tools {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) read_scheduler: Rc<ReadScheduler>,
    pub(super) mailer: Option<Mailer>,
    pub(super) context: Rc<WorkspaceContext>,
    pub(super) holder: Holder,
    pub(super) shard: u16,
    /// Tells the handle how the shard is.
    pub(super) publish: Box<dyn Fn(ShardStatus)>,
    /// Tells the handle what waits in it.
    pub(super) waiting: WaitingTeller,
}

/// How a shard is, for readyz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShardStatus {
    /// Not held, and why.
    Waiting(String),
    Held(ShardCounts),
    Released,
}

pub(super) struct ShardActor {
    shared: Rc<SharedShard>,
    tools: Tools,
    held: Option<HeldShard>,
    hand_overs: HandOvers,
    acquiring: Option<Acquiring>,
    /// What an acquisition that was cancelled got all the same.
    leftover: Option<Box<dyn ShardConnection>>,
    /// Names the acquisition: answers of an earlier one are ignored.
    epoch: u64,
    timer: Option<(SpawnHandle, Instant)>,
    /// Signals that the shard is released; dropped without a signal when the actor crashes.
    released: Option<oneshot::Sender<()>>,
    status: ShardStatus,
}

/// An acquisition under way. Dropping `cancel` ends its pause; what was asked of the store is still answered.
struct Acquiring {
    task: JoinHandle<()>,
    cancel: oneshot::Sender<()>,
}

struct HeldShard {
    connection: Box<dyn ShardConnection>,
    /// Where reads are asked for; the task behind it owns the intake and ends with this sender.
    polls: mpsc::Sender<Poll>,
}

impl ShardActor {
    pub(super) fn new(
        core: ShardCore,
        courier: &Rc<Courier>,
        tools: Tools,
        released: oneshot::Sender<()>,
        ctx: &ActixContext<Self>,
    ) -> Self {
        let (context, shard) = (Rc::clone(&tools.context), ctx.address().recipient());
        Self {
            shared: SharedShard::new(core, context, Rc::clone(courier), shard),
            tools,
            held: None,
            hand_overs: HandOvers::default(),
            acquiring: None,
            leftover: None,
            epoch: 0,
            timer: None,
            released: Some(released),
            status: ShardStatus::Waiting("not acquired yet".to_owned()),
        }
    }

    fn take(&mut self, mail: ToShard, now: Instant, ctx: &mut ActixContext<Self>) {
        match mail {
            ToShard::Store(epoch, answer) if epoch == self.epoch => self.take_answer(answer, now, ctx),
            ToShard::Store(_, answer) => self.take_late_answer(answer),
            ToShard::Work => self.shared.begin_work(),
            ToShard::Broken => {}
            ToShard::MailSent(workspace, mail, result) => self.shared.core().mail_sent(&workspace, mail, result, now),
            ToShard::Tick => self.shared.core().tick(now),
            ToShard::Drain => self.shared.core().drain(now),
            ToShard::GiveUp => self.shared.core().give_up(),
            ToShard::Released if self.leftover.is_some() => self.release(ctx),
            ToShard::Released => self.end(ctx),
        }
    }

    fn take_answer(&mut self, answer: StoreAnswer, now: Instant, ctx: &mut ActixContext<Self>) {
        match answer {
            StoreAnswer::Acquired(result) => self.acquired(*result, now, ctx),
            StoreAnswer::Polled(Ok(polled)) => self.shared.core().polled(polled, now),
            StoreAnswer::Polled(Err(error)) => self.shared.core().poll_failed(&error, now),
            StoreAnswer::Response(Ok(response)) => self.answered(response, now),
            StoreAnswer::Response(Err(error)) => {
                self.held = None;
                self.epoch += 1;
                if matches!(&error, ShardConnectionError::Fenced { by, .. } if *by == self.tools.holder.node) {
                    warn!(
                        shard = self.tools.shard,
                        "The shard was taken under this node's own id: either the store was restored from a copy, or two \
                         processes share a data directory; stop one of them."
                    );
                }
                self.show(ShardStatus::Waiting(error.to_string()));
                self.shared.core().line_failed(&error, now);
            }
        }
    }

    /// Of an earlier acquisition. A lease that came after the shard was given up is given back, too.
    fn take_late_answer(&mut self, answer: StoreAnswer) {
        if let StoreAnswer::Acquired(result) = answer
            && let Ok((acquired, _)) = *result
        {
            self.leftover = Some(acquired.connection);
        }
    }

    fn answered(&mut self, response: ShardResponse, now: Instant) {
        match response {
            ShardResponse::Committed { number, lease_until } => self.shared.core().committed(number, lease_until, now),
            ShardResponse::Loaded(workspace, loaded) => {
                let loaded = loaded.and_then(|loaded| open_sealed(&self.tools.context.keyring, &workspace, *loaded));
                self.shared.core().loaded(&workspace, loaded, now);
            }
            ShardResponse::Salvaged(workspace, salvage) => {
                self.shared.core().salvaged(&workspace, *salvage, &self.tools.context.policy, now);
            }
            ShardResponse::Newest { workspace, command, newest } => {
                self.shared.core().newest(&workspace, command, newest, now);
            }
            ShardResponse::CaughtUp(entries) => self.shared.core().caught_up(entries, now),
            // Awaited where they are requested.
            ShardResponse::Present(_) | ShardResponse::Released => {}
        }
    }

    fn acquired(
        &mut self,
        result: Result<(Acquired, HashSet<EntryId>), AcquireError>,
        now: Instant,
        ctx: &ActixContext<Self>,
    ) {
        match result {
            Ok((acquired, present)) => {
                self.held =
                    Some(HeldShard { connection: acquired.connection, polls: self.read_with(acquired.intake, ctx) });
                let Acquired { outbox, bookmark, lease_until, .. } = acquired;
                self.shared.core().acquired(outbox, bookmark, &present, lease_until, now);
            }
            Err(error) => {
                self.show(ShardStatus::Waiting(match &error {
                    AcquireError::Store(refused) => format!("{error}: {}", cause(refused)),
                    AcquireError::Held { .. } => error.to_string(),
                }));
                let ours = &self.tools.holder.node;
                let elsewhere = matches!(&error, AcquireError::Held { node, .. } if node != ours);
                self.shared.core().not_acquired(&error, elsewhere);
            }
        }
    }

    fn show(&mut self, status: ShardStatus) {
        if status != self.status {
            self.status = status;
            (self.tools.publish)(self.status.clone());
        }
    }

    /// Reads in a task of its own, one read at a time.
    fn read_with(&self, mut intake: Box<dyn ShardIntake>, ctx: &ActixContext<Self>) -> mpsc::Sender<Poll> {
        let (sender, mut polls) = mpsc::channel::<Poll>(1);
        let (shard, epoch, read_scheduler) = (ctx.address(), self.epoch, Rc::clone(&self.tools.read_scheduler));
        let number = self.tools.shard;
        actix_rt::spawn(async move {
            while let Some(poll) = polls.recv().await {
                let reader = read_scheduler.wait_for_turn(&poll).await;
                let polled = caught(intake.poll(&poll)).await;
                drop(reader);
                let Some(polled) = polled else {
                    return shard.do_send(ToShard::Store(epoch, failed_inside(number, "reading its streams")));
                };
                shard.do_send(ToShard::Store(epoch, StoreAnswer::Polled(polled)));
            }
        });
        sender
    }

    fn work(&mut self, ctx: &mut ActixContext<Self>) {
        let now = Instant::now();
        loop {
            let action = self.shared.core().next_action(now);
            let Some(action) = action else { break };
            self.act(action, ctx);
        }
        self.tools.waiting.tell(now, || self.shared.core().waiting());
        self.arm_timer(now, ctx);
        let counts = Some(self.shared.core()).filter(|core| core.is_running()).map(|core| core.counts(now));
        if let Some(counts) = counts {
            self.show(ShardStatus::Held(counts));
        }
    }

    fn act(&mut self, action: ShardAction, ctx: &mut ActixContext<Self>) {
        match action {
            ShardAction::Acquire { after, attempted } => self.acquire(after, attempted, ctx),
            ShardAction::Poll(poll) => {
                // There is one read at a time, so the channel has room. Without a reader a reload is under way.
                if let Some(held) = &self.held {
                    held.polls.try_send(poll).ok();
                }
            }
            ShardAction::Send(request) => self.send(request, ctx),
            ShardAction::Activate { slot, incarnation, seed } => self.activate(slot, incarnation, *seed),
            ShardAction::Tell(slot, mail) => self.shared.tell(slot, mail),
            ShardAction::Forget(slot) => self.shared.forget(slot),
            ShardAction::Post(start, in_flight) => self.shared.post(start, in_flight),
            ShardAction::SendMail(mail) => self.send_mail(mail, ctx),
            ShardAction::RecallMails => self.hand_overs.recall(),
            ShardAction::Release => self.release(ctx),
        }
    }

    fn acquire(&mut self, after: Duration, attempted: Vec<EntryId>, ctx: &ActixContext<Self>) {
        let (shard, epoch) = (ctx.address(), self.epoch);
        let journal = Arc::clone(&self.tools.journal);
        let holder = self.tools.holder.clone();
        let number = self.tools.shard;
        let (cancel, cancelled) = oneshot::channel();
        let task = actix_rt::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                _ = cancelled => return,
            }
            let result = caught(acquire(&*journal, number, &holder, attempted)).await;
            let result = result.unwrap_or_else(|| Err(AcquireError::Store(acquiring_failed(number))));
            shard.do_send(ToShard::Store(epoch, StoreAnswer::Acquired(Box::new(result))));
        });
        self.acquiring = Some(Acquiring { task, cancel });
    }

    /// Sends a request; its response comes back as [`ToShard::Store`].
    fn send(&self, request: ShardRequest, ctx: &ActixContext<Self>) {
        let Some(HeldShard { connection, .. }) = &self.held else { return };
        let (shard, epoch, response) = (ctx.address(), self.epoch, connection.send(request));
        let number = self.tools.shard;
        actix_rt::spawn(async move {
            let answer = caught(response).await.map(StoreAnswer::Response);
            let answer = answer.unwrap_or_else(|| failed_inside(number, "a request to the store"));
            shard.do_send(ToShard::Store(epoch, answer));
        });
    }

    fn activate(&self, slot: Slot, incarnation: u64, seed: Seed) {
        if let Some(core) = self.shared.begin(slot, incarnation, seed) {
            let actor = WorkspaceActor { core, slot, incarnation, shared: Rc::clone(&self.shared) };
            self.shared.know(slot, actor.start().recipient());
        }
    }

    fn send_mail(&self, mail: OwedMail, ctx: &ActixContext<Self>) {
        let shard = ctx.address();
        self.hand_overs.begin(self.tools.mailer.clone(), mail, move |ended| shard.do_send(ended));
    }

    fn release(&mut self, ctx: &ActixContext<Self>) {
        let shard = ctx.address();
        let connection = self.held.take().map(|held| held.connection).or(self.leftover.take());
        let acquiring = self.acquiring.take();
        self.epoch += 1;
        self.hand_overs.abandon();
        actix_rt::spawn(async move {
            if let Some(Acquiring { mut task, cancel }) = acquiring {
                drop(cancel);
                // Its answer, if it has one, comes before `Released`.
                if tokio::time::timeout(RELEASE_TIMEOUT, &mut task).await.is_err() {
                    task.abort();
                }
            }
            if let Some(connection) = connection {
                // If this fails, the lease expires by itself.
                drop(tokio::time::timeout(RELEASE_TIMEOUT, connection.release()).await);
            }
            shard.do_send(ToShard::Released);
        });
    }

    fn end(&mut self, ctx: &mut ActixContext<Self>) {
        self.show(ShardStatus::Released);
        self.shared.forget_all();
        if let Some(released) = self.released.take() {
            released.send(()).ok();
        }
        ctx.stop();
    }

    /// One timer, armed again when something is due earlier.
    fn arm_timer(&mut self, now: Instant, ctx: &mut ActixContext<Self>) {
        let at = self.shared.core().wake_at(now);
        let any_held = self.shared.core().any_held();
        let at = self.tools.waiting.due(any_held).map_or(at, |due| due.min(at));
        if let Some((handle, armed)) = self.timer.take() {
            if armed <= at && armed > now {
                self.timer = Some((handle, armed));
                return;
            }
            ctx.cancel_future(handle);
        }
        let handle = ctx.run_later(at.saturating_duration_since(now), |shard, ctx| {
            shard.timer = None;
            shard.take(ToShard::Tick, Instant::now(), ctx);
            shard.work(ctx);
        });
        self.timer = Some((handle, at));
    }
}

/// Waits for what a task does; `None` when it panicked, which the panic hook has told of. A task that ended in silence
/// would leave its shard waiting for ever.
async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

/// The shard is acquired anew, as after any failure of its connection.
fn failed_inside(shard: u16, what: &str) -> StoreAnswer {
    let detail = format!("{what} failed inside the service");
    StoreAnswer::Response(Err(ShardConnectionError::Failed { shard, detail }))
}

fn acquiring_failed(shard: u16) -> StoreError {
    StoreError {
        trouble: StoreTrouble::Away,
        what: format!("acquiring shard {shard} failed inside the service"),
        source: None,
    }
}

/// How long a release may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

async fn acquire(
    journal: &dyn Journal,
    shard: u16,
    holder: &Holder,
    attempted: Vec<EntryId>,
) -> Result<(Acquired, HashSet<EntryId>), AcquireError> {
    let acquired = journal.acquire(shard, holder).await?;
    if attempted.is_empty() {
        return Ok((acquired, HashSet::default()));
    }
    match acquired.connection.present(attempted).await {
        Ok(present) => Ok((acquired, present.into_iter().collect())),
        Err(error) => Err(AcquireError::Store(StoreError {
            trouble: StoreTrouble::Away,
            what: format!("shard {shard} was lost right after it was acquired"),
            source: Some(Box::new(error)),
        })),
    }
}

/// Opens a workspace that was loaded. Where its seal is outdated, its next attempt writes the snapshot,
/// and with it the present seal.
///
/// # Errors
/// [`LoadError::Sealed`].
fn open_sealed(keyring: &Keyring, workspace: &WorkspaceId, mut loaded: Loaded) -> Result<Loaded, LoadError> {
    match keyring.open(workspace, &mut loaded.state.webhook) {
        Ok(Seal::Present) => Ok(loaded),
        Ok(Seal::Outdated) => Ok(Loaded { since_snapshot: loaded.since_snapshot.max(SNAPSHOT_EVERY), ..loaded }),
        Err(error) => Err(LoadError::Sealed { workspace: workspace.clone(), detail: error.to_string() }),
    }
}

impl Actor for ShardActor {
    type Context = ActixContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_HINT);
        self.work(ctx);
    }
}

/// Permits bound the mails; a capacity this high keeps actix from suspending their senders.
const MAILBOX_HINT: usize = 8_192;

impl Handler<ToShard> for ShardActor {
    type Result = ();

    fn handle(&mut self, mail: ToShard, ctx: &mut Self::Context) {
        if matches!(mail, ToShard::Broken) {
            // Whoever watches the shards' actors ends the service.
            return ctx.stop();
        }
        self.take(mail, Instant::now(), ctx);
        self.work(ctx);
    }
}
