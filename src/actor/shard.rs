//! The shard actor: does the I/O that its [`ShardCore`] asks for and passes the results back to it.

pub(super) mod core;
pub(super) mod entry;
mod table;
mod registry;
pub(super) mod intake;
pub(super) mod committer;
mod mails;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context as ActixContext, Handler, SpawnHandle};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::warn;

use crate::actor::admission::InFlight;
use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::{AttemptEnd, FinishedAttempt, Seed, Start, StoreAnswer, Suspects, ToShard, not_made};
use crate::actor::read_scheduler::ReadScheduler;
use crate::actor::report_queue::{ReportQueue, Reported, WorkspaceReport};
use crate::actor::shard::core::{ShardAction, ShardCore, ShardCounts};
use crate::actor::workspace::WorkspaceActor;
use crate::actor::workspace::core::WorkspaceContext;
use crate::config::SNAPSHOT_EVERY;
use crate::deliver::{Courier, Post, PostResult};
use crate::journal::port::{
    AcquireError, Acquired, Holder, Journal, LoadError, Loaded, OwedMail, Poll, ShardConnection, ShardConnectionError,
    ShardIntake, ShardRequest, ShardResponse, StoreError, StoreTrouble,
};
use crate::message::{EntryId, WorkspaceId};
use crate::notify::Mailer;
use crate::seal::{Keyring, Seal};
use crate::workspace::decide::MailResult;
use crate::workspace::event::Trigger;
use crate::workspace::time::Clock;

/// What a shard actor works with.
pub(super) struct Tools {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) courier: Rc<Courier>,
    pub(super) read_scheduler: Rc<ReadScheduler>,
    pub(super) mailer: Option<Mailer>,
    pub(super) context: Rc<WorkspaceContext>,
    pub(super) clock: Clock,
    pub(super) holder: Holder,
    pub(super) shard: u16,
    /// Tells the handle how the shard is.
    pub(super) publish: Box<dyn Fn(ShardStatus)>,
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
    core: ShardCore,
    tools: Tools,
    held: Option<HeldShard>,
    /// Names the acquisition: answers of an earlier one are ignored.
    epoch: u64,
    workspaces: HashMap<WorkspaceId, Addr<WorkspaceActor>>,
    reports: Rc<ReportQueue>,
    timer: Option<(SpawnHandle, Instant)>,
    /// Signals that the shard is released; dropped without a signal when the actor crashes.
    released: Option<oneshot::Sender<()>>,
    status: ShardStatus,
}

struct HeldShard {
    connection: Box<dyn ShardConnection>,
    /// Where reads are asked for; the task behind it owns the intake and ends with this sender.
    polls: mpsc::Sender<Poll>,
}

impl ShardActor {
    pub(super) fn new(core: ShardCore, tools: Tools, released: oneshot::Sender<()>, ctx: &ActixContext<Self>) -> Self {
        Self {
            core,
            tools,
            held: None,
            epoch: 0,
            workspaces: HashMap::default(),
            reports: Rc::new(ReportQueue::new(ctx.address().recipient())),
            timer: None,
            released: Some(released),
            status: ShardStatus::Waiting("not acquired yet".to_owned()),
        }
    }

    fn take(&mut self, mail: ToShard, now: Instant, ctx: &mut ActixContext<Self>) {
        match mail {
            ToShard::Store(epoch, answer) if epoch == self.epoch => self.take_answer(answer, now, ctx),
            ToShard::Store(..) => {}
            ToShard::Reports => {
                let (reports, finished) = self.reports.take();
                for report in reports {
                    self.core.report(report, now);
                }
                self.core.finished(finished, now);
            }
            ToShard::MailSent(workspace, mail, result) => self.core.mail_sent(&workspace, mail, result, now),
            ToShard::Tick => self.core.tick(now),
            ToShard::Drain => self.core.drain(),
            ToShard::GiveUp => self.core.give_up(),
            ToShard::Released => self.end(ctx),
        }
    }

    fn take_answer(&mut self, answer: StoreAnswer, now: Instant, ctx: &mut ActixContext<Self>) {
        match answer {
            StoreAnswer::Acquired(result) => self.acquired(*result, now, ctx),
            StoreAnswer::Polled(Ok(polled)) => self.core.polled(polled, now),
            StoreAnswer::Polled(Err(error)) => self.core.poll_failed(&error, now),
            StoreAnswer::Response(Ok(response)) => self.answered(response, now),
            StoreAnswer::Response(Err(error)) => {
                self.held = None;
                self.epoch += 1;
                if matches!(&error, ShardConnectionError::Fenced { by, .. } if *by == self.tools.holder.node) {
                    warn!(
                        shard = self.tools.shard,
                        "Another process has this node's id: two processes share a data directory; stop one of them."
                    );
                }
                self.show(ShardStatus::Waiting(error.to_string()));
                self.core.line_failed(&error, now);
            }
        }
    }

    fn answered(&mut self, response: ShardResponse, now: Instant) {
        match response {
            ShardResponse::Committed { number, lease_until } => self.core.committed(number, lease_until, now),
            ShardResponse::Loaded(workspace, loaded) => {
                let loaded = loaded.and_then(|loaded| open_sealed(&self.tools.context.keyring, &workspace, *loaded));
                self.core.loaded(&workspace, loaded, now);
            }
            ShardResponse::Salvaged(workspace, salvage) => {
                self.core.salvaged(&workspace, *salvage, &self.tools.context.policy, now);
            }
            ShardResponse::Newest { workspace, command, newest } => {
                self.core.newest(&workspace, command, newest, now);
            }
            ShardResponse::CaughtUp(entries) => self.core.caught_up(entries, now),
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
                self.core.acquired(acquired.outbox, &present, acquired.lease_until, now);
            }
            Err(error) => {
                self.show(ShardStatus::Waiting(error.to_string()));
                let ours = &self.tools.holder.node;
                let elsewhere = matches!(&error, AcquireError::Held { node, .. } if node != ours);
                self.core.not_acquired(&error, elsewhere);
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
        while let Some(action) = self.core.next_action(now) {
            self.act(action, ctx);
        }
        self.arm_timer(now, ctx);
        if self.core.is_running() {
            self.show(ShardStatus::Held(self.core.counts(now)));
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
            ShardAction::Activate { workspace, incarnation, seed } => self.activate(workspace, incarnation, *seed),
            ShardAction::Tell(workspace, mail) => {
                if let Some(actor) = self.workspaces.get(&workspace) {
                    actor.do_send(mail);
                }
            }
            ShardAction::Forget(workspace) => drop(self.workspaces.remove(&workspace)),
            ShardAction::Post(start, in_flight) => self.post(start, in_flight),
            ShardAction::SendMail(mail) => self.send_mail(mail, ctx),
            ShardAction::Release => self.release(ctx),
        }
    }

    fn acquire(&self, after: Duration, attempted: Vec<EntryId>, ctx: &ActixContext<Self>) {
        let (shard, epoch) = (ctx.address(), self.epoch);
        let journal = Arc::clone(&self.tools.journal);
        let holder = self.tools.holder.clone();
        let number = self.tools.shard;
        actix_rt::spawn(async move {
            tokio::time::sleep(after).await;
            let result = caught(acquire(&*journal, number, &holder, attempted)).await;
            let result = result.unwrap_or_else(|| Err(AcquireError::Store(acquiring_failed(number))));
            shard.do_send(ToShard::Store(epoch, StoreAnswer::Acquired(Box::new(result))));
        });
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

    fn activate(&mut self, workspace: WorkspaceId, incarnation: u64, seed: Seed) {
        let context = Rc::clone(&self.tools.context);
        let reports = Rc::clone(&self.reports);
        let id = workspace.clone();
        match catch_unwind(AssertUnwindSafe(|| WorkspaceActor::new(id, incarnation, seed, context, reports).start())) {
            Ok(actor) => drop(self.workspaces.insert(workspace, actor)),
            Err(_) => {
                self.reports.report(WorkspaceReport {
                    workspace,
                    incarnation,
                    what: Reported::Panicked(Suspects::None),
                });
            }
        }
    }

    /// Makes a POST in a task of its own; its end goes to the report queue, announced once a turn.
    fn post(&self, start: Arc<Start>, in_flight: InFlight) {
        let courier = Rc::clone(&self.tools.courier);
        let (reports, clock) = (Rc::clone(&self.reports), self.tools.clock);
        actix_rt::spawn(async move {
            let began = clock();
            let end = attempt(&courier, &start).await;
            drop(in_flight);
            reports.finish(FinishedAttempt { start, began, end });
        });
    }

    fn send_mail(&self, mail: OwedMail, ctx: &ActixContext<Self>) {
        let (mailer, shard) = (self.tools.mailer.clone(), ctx.address());
        actix_rt::spawn(async move {
            let result = match &mailer {
                Some(mailer) => AssertUnwindSafe(mailer.send(&mail)).catch_unwind().await.unwrap_or_else(|_| {
                    MailResult::Later("handing the mail over failed inside the service".to_owned())
                }),
                None => MailResult::Later("no mail server is configured: set --smtp-url".to_owned()),
            };
            shard.do_send(ToShard::MailSent(mail.workspace, mail.id, result));
        });
    }

    fn release(&mut self, ctx: &ActixContext<Self>) {
        let shard = ctx.address();
        let held = self.held.take();
        self.epoch += 1;
        actix_rt::spawn(async move {
            if let Some(held) = held {
                // If this fails, the lease expires by itself.
                drop(tokio::time::timeout(RELEASE_TIMEOUT, held.connection.release()).await);
            }
            shard.do_send(ToShard::Released);
        });
    }

    fn end(&mut self, ctx: &mut ActixContext<Self>) {
        self.show(ShardStatus::Released);
        self.workspaces.clear();
        if let Some(released) = self.released.take() {
            released.send(()).ok();
        }
        ctx.stop();
    }

    /// One timer, armed again when something is due earlier.
    fn arm_timer(&mut self, now: Instant, ctx: &mut ActixContext<Self>) {
        let at = self.core.wake_at(now);
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

pub(super) async fn attempt(courier: &Courier, start: &Start) -> AttemptEnd {
    let post = Post {
        to: Arc::clone(&start.to),
        webhook_id: Arc::clone(&start.webhook_id),
        body: start.item.message.raw().body(),
    };
    // Whoever waits for a test is told at once.
    let attempt = async {
        match start.trigger {
            Trigger::Message => courier.attempt_judged(&post).await,
            Trigger::Test => courier.attempt(&post).await,
        }
    };
    match AssertUnwindSafe(attempt).catch_unwind().await {
        Ok(PostResult::Done(done)) => AttemptEnd::Done(Arc::new(done)),
        Ok(PostResult::Unable(why)) => AttemptEnd::Unable(why),
        // Whether a byte was written is unknown, so this is an outcome: it is never sent again.
        Err(_) => AttemptEnd::Done(Arc::new(not_made("the attempt failed inside the service"))),
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
        self.take(mail, Instant::now(), ctx);
        self.work(ctx);
    }
}
