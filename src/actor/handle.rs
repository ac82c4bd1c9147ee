//! The way in: starts the actix system on a thread of its own, and drains it.

use std::collections::BTreeMap;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use actix_rt::{Arbiter, System};
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::actor::admission::{Admission, NodeCap};
use crate::actor::protocol::ToShard;
use crate::actor::read_scheduler::ReadScheduler;
use crate::actor::rejections::{Rejections, watch};
use crate::actor::shard::core::ShardCore;
use crate::actor::shard::entry::ShardIdentity;
use crate::actor::shard::intake::Limits;
use crate::actor::shard::{ShardActor, ShardStatus, Tools};
use crate::actor::store_watch::{StoreCondition, watch_store};
use crate::actor::workspace::core::WorkspaceContext;
use crate::config::{DRAIN_EXTRA, HAND_OVER_BLOCK, HAND_OVER_MAX, HAND_OVER_RETRY};
use crate::deliver::{self, Courier, OUTAGE, Outage};
use crate::journal::port::{Holder, Journal, StoreError, StoreTrouble};
use crate::notify::Mailer;
use crate::seal::Keyring;
use crate::sign::Secret;
use crate::workspace::Policy;
use crate::workspace::time::Clock;

/// What the shards run with.
#[derive(Clone)]
pub struct ShardOptions {
    /// Where everything is stored.
    pub journal: Arc<dyn Journal>,
    /// What the journal's keys start with; named in the reason of an entry in the wrong shard.
    pub prefix: Arc<str>,
    /// Hands mails over; without one nothing is owed.
    pub mailer: Option<Mailer>,
    /// How attempts are made.
    pub deliver: deliver::CourierOptions,
    /// The rules' numbers.
    pub policy: Policy,
    /// Attempts in flight on this node.
    pub in_flight_max: usize,
    /// This node's id.
    pub node: String,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Threads that run shards.
    pub arbiters: usize,
    /// Seals what is confidential before it is stored.
    pub keyring: Arc<Keyring>,
    /// Reads the wall clock.
    pub clock: Clock,
}

/// The running shards. Draining is asked for, not implied by dropping.
pub struct Handle {
    board: Arc<Board>,
    outage: Arc<Outage>,
    cap: Arc<NodeCap>,
    drain: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<RunEnd>>,
}

/// How each shard is, and what they have set aside.
struct Board {
    statuses: Mutex<Statuses>,
    rejections: Arc<Rejections>,
    store: Arc<StoreCondition>,
}

struct Statuses {
    of_shards: Vec<ShardStatus>,
    /// Since when attempts wait that our own system could not make.
    unable_since: Option<Instant>,
}

/// How the shards are, for readyz.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// One sentence for each shard that does not work; empty when all do.
    pub reasons: Vec<String>,
    /// Workspaces that cannot be loaded.
    pub unavailable: usize,
    /// What an operator should look at although all work, one sentence each.
    pub notices: Vec<String>,
    /// Entries that this node has set aside since it started, by what was wrong.
    pub rejected: BTreeMap<String, u64>,
}

enum RunEnd {
    Drained,
    Died,
}

/// The shards stopped by themselves.
#[derive(Debug, thiserror::Error)]
#[error("a shard failed and stopped; the log says why, start the service again")]
pub struct Died;

/// The shards cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartShardsError {
    /// No courier.
    #[error(transparent)]
    Courier(#[from] deliver::CourierError),
    /// No thread.
    #[error("the thread of the shards cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Starts every shard of the journal.
///
/// # Errors
/// See [`StartShardsError`].
pub fn start(options: ShardOptions) -> Result<Handle, StartShardsError> {
    // Built once here so that a broken trust store is an error at the start and not in a thread.
    drop(Courier::new(&options.deliver)?);
    let shards = usize::from(options.journal.shards());
    let board = Arc::new(Board::new(vec![ShardStatus::Waiting("starting".to_owned()); shards]));
    let (drain, drained) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let seen = Arc::clone(&board);
    let cap = NodeCap::new(options.in_flight_max);
    let bounds = Arc::clone(&cap);
    let outage = Arc::clone(&options.deliver.egress.outage);
    std::thread::Builder::new()
        .name("shards".to_owned())
        .spawn(move || {
            let end_of_run = System::new().block_on(run(options, seen, bounds, drained));
            drop(end.send(end_of_run));
        })
        .map_err(StartShardsError::Thread)?;
    Ok(Handle { board, outage, cap, drain: Some(drain), ended: Some(ended) })
}

impl Handle {
    /// A function that reports how the shards are, for the facade.
    #[must_use]
    pub fn reporter(&self) -> Arc<dyn Fn() -> ShardReport + Send + Sync> {
        let (board, outage) = (Arc::clone(&self.board), Arc::clone(&self.outage));
        Arc::new(move || {
            let mut report = board.report();
            report.notices.extend(outage.reason());
            report
        })
    }

    /// Waits until the shards stop by themselves, which they only do when one failed.
    pub async fn died(&mut self) -> Died {
        if let Some(ended) = &mut self.ended {
            let end = ended.await;
            // They have ended, so a drain has nothing to wait for.
            self.ended = None;
            if matches!(end, Ok(RunEnd::Drained)) {
                std::future::pending().await
            }
        }
        Died
    }

    /// No message is attempted any more; commands are still answered. The first half of a drain, for as long as the
    /// facade finishes what it answers.
    pub fn stop_taking_up(&self) {
        self.cap.end();
    }

    /// Takes nothing new up, lets what is under way end and become durable, and releases the shards.
    /// Takes at most an attempt's deadline and [`DRAIN_EXTRA`], after which the rest is left to the next start.
    pub async fn drain(mut self) {
        self.outage.stop();
        if let Some(drain) = self.drain.take() {
            drain.send(()).ok();
        }
        if let Some(ended) = self.ended.take() {
            drop(ended.await);
        }
    }
}

impl Board {
    fn new(of_shards: Vec<ShardStatus>) -> Self {
        let statuses = Mutex::new(Statuses { of_shards, unable_since: None });
        Self { statuses, rejections: Arc::default(), store: Arc::default() }
    }

    fn set(&self, shard: usize, status: ShardStatus) {
        let mut board = self.statuses.lock();
        let all_held = |board: &Statuses| board.of_shards.iter().all(|status| matches!(status, ShardStatus::Held(_)));
        let were_held = all_held(&board);
        if let Some(place) = board.of_shards.get_mut(shard) {
            *place = status;
        }
        if all_held(&board) && !were_held {
            info!(shards = board.of_shards.len(), "All shards are held.");
        }
        board.log_inability();
    }

    fn report(&self) -> ShardReport {
        let board = self.statuses.lock();
        let mut notices = self.rejections.notices();
        notices.extend(self.store.notice());
        let rejected = self.rejections.by_kind();
        let mut report = ShardReport { notices, rejected, ..ShardReport::default() };
        for (shard, status) in board.of_shards.iter().enumerate() {
            match status {
                ShardStatus::Waiting(why) => report.reasons.push(format!("shard {shard} is not held: {why}")),
                ShardStatus::Released => {
                    report.reasons.push(format!("shard {shard} is released: the service is stopping"))
                }
                ShardStatus::Held(counts) => {
                    report.unavailable += counts.unavailable;
                    if counts.store_is_silent {
                        report.reasons.push(format!("shard {shard}: the store does not answer; nothing is attempted"));
                    }
                    if let Some(why) = &counts.unable_why {
                        let waiting = counts.unable;
                        report.notices.push(format!("shard {shard}: {waiting} messages wait for this machine: {why}"));
                    }
                }
            }
        }
        report
    }
}

impl Statuses {
    /// One line when the first attempt waits for this machine, and one when none does any more.
    fn log_inability(&mut self) {
        let why = self.of_shards.iter().find_map(|status| match status {
            // An outage is logged where it is decided.
            ShardStatus::Held(counts) => counts.unable_why.as_ref().filter(|why| ***why != *OUTAGE),
            ShardStatus::Waiting(_) | ShardStatus::Released => None,
        });
        match (why, self.unable_since) {
            (Some(why), None) => {
                warn!(%why, "Attempts cannot be made on this machine; they wait, and nothing is counted.");
                self.unable_since = Some(Instant::now());
            }
            (None, Some(since)) => {
                info!(lasted = ?since.elapsed(), "Every attempt can be made on this machine again.");
                self.unable_since = None;
            }
            _ => {}
        }
    }
}

async fn run(options: ShardOptions, board: Arc<Board>, cap: Arc<NodeCap>, drain: oneshot::Receiver<()>) -> RunEnd {
    let arbiters: Vec<Arbiter> = (0..options.arbiters.max(1)).map(|_| Arbiter::new()).collect();
    let mut released = Vec::new();
    let mut addresses = Vec::new();
    for (n, arbiter) in arbiters.iter().enumerate() {
        let shards = (0..options.journal.shards()).filter(|shard| usize::from(*shard) % arbiters.len() == n);
        let (tell, addrs) = oneshot::channel();
        let mut here = Vec::new();
        for shard in shards {
            let (tell_released, is_released) = oneshot::channel();
            released.push(is_released);
            here.push((shard, tell_released));
        }
        let (options, cap, board) = (options.clone(), Arc::clone(&cap), Arc::clone(&board));
        arbiter.spawn_fn(move || drop(tell.send(start_shards(here, &options, &cap, &board))));
        addresses.extend(addrs.await.unwrap_or_default());
    }
    let hand_over = actix_rt::spawn(hand_over(Arc::clone(&options.journal)));
    let (journal, store) = (Arc::clone(&options.journal), Arc::clone(&board.store));
    let watch_store = actix_rt::spawn(supervised("The watch over the store", move || {
        watch_store(Arc::clone(&journal), Arc::clone(&store))
    }));
    let (journal, rejections) = (Arc::clone(&options.journal), Arc::clone(&board.rejections));
    let watch = actix_rt::spawn(supervised("The watch over rejected entries", move || {
        watch(Arc::clone(&journal), Arc::clone(&rejections))
    }));
    let mut all_released = Box::pin(futures_util::future::join_all(released));
    let end = tokio::select! {
        _ = drain => {
            info!("Draining: nothing new is taken up.");
            addresses.iter().for_each(|shard| shard.do_send(ToShard::Drain));
            let patience = options.deliver.timeout + DRAIN_EXTRA;
            if tokio::time::timeout(patience, &mut all_released).await.is_err() {
                warn!("Some attempts did not end in time; they are decided again at the next start.");
                addresses.iter().for_each(|shard| shard.do_send(ToShard::GiveUp));
                drop(tokio::time::timeout(DRAIN_EXTRA, &mut all_released).await);
            }
            RunEnd::Drained
        }
        died = first_death(addresses.clone(), &board) => died,
    };
    hand_over.abort();
    watch.abort();
    watch_store.abort();
    for arbiter in arbiters {
        arbiter.stop();
        drop(arbiter.join());
    }
    end
}

/// Starts the shards of one arbiter, on its thread.
fn start_shards(
    shards: Vec<(u16, oneshot::Sender<()>)>,
    options: &ShardOptions,
    cap: &Arc<NodeCap>,
    board: &Arc<Board>,
) -> Vec<Addr<ShardActor>> {
    let courier = match Courier::new(&options.deliver) {
        Ok(courier) => Rc::new(courier),
        Err(error) => {
            error!(error = &error as &dyn Error, "An arbiter has no courier; its shards do not start.");
            return Vec::new();
        }
    };
    let read_scheduler = Rc::<ReadScheduler>::default();
    let start_one = |(shard, released): (u16, oneshot::Sender<()>)| {
        let identity = ShardIdentity { shard, shards: options.journal.shards(), prefix: Arc::clone(&options.prefix) };
        let admission = Admission::new(Arc::clone(cap), options.deliver.timeout);
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
            .count_in(&board.rejections);
        let board = Arc::clone(board);
        let tools = Tools {
            journal: Arc::clone(&options.journal),
            courier: Rc::clone(&courier),
            read_scheduler: Rc::clone(&read_scheduler),
            mailer: options.mailer.clone(),
            context,
            clock: options.clock,
            holder: Holder { node: options.node.clone(), lease: options.lease },
            shard,
            publish: Box::new(move |status| board.set(usize::from(shard), status)),
        };
        ShardActor::create(|ctx| ShardActor::new(core, tools, released, ctx))
    };
    shards.into_iter().map(start_one).collect()
}

/// Ends when a shard's actor has died.
async fn first_death(addresses: Vec<Addr<ShardActor>>, board: &Board) -> RunEnd {
    loop {
        tokio::time::sleep(DEATH_CHECK).await;
        if let Some(shard) = addresses.iter().position(|shard| !shard.connected()) {
            board.set(shard, ShardStatus::Waiting("its actor failed".to_owned()));
            error!("A shard failed inside the service; the service stops.");
            return RunEnd::Died;
        }
    }
}

/// How often the shards' actors are looked at.
const DEATH_CHECK: Duration = Duration::from_millis(500);

/// Runs a task that has no end, and begins it again when it panicked: never silence.
async fn supervised<F: Future<Output = ()>>(what: &'static str, task: impl Fn() -> F) {
    while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
        error!("{what} failed inside the service and begins again.");
        tokio::time::sleep(HAND_OVER_RETRY).await;
    }
}

/// Hands the common input over to the shards, for as long as the service runs.
async fn hand_over(journal: Arc<dyn Journal>) {
    let mut failing = false;
    loop {
        // A panic must not end the hand-over for good.
        let handed = AssertUnwindSafe(journal.hand_over(HAND_OVER_MAX, HAND_OVER_BLOCK)).catch_unwind().await;
        let handed = handed.unwrap_or_else(|_| {
            Err(StoreError {
                trouble: StoreTrouble::Refused,
                what: "the hand-over failed inside the service".to_owned(),
                source: None,
            })
        });
        match handed {
            Ok(_) => {
                if failing {
                    info!("The common input is handed over again.");
                }
                failing = false;
            }
            Err(error) => {
                if error.trouble != StoreTrouble::Refused {
                    debug!(error = &error as &dyn Error, "The common input cannot be handed over now.");
                } else if !std::mem::replace(&mut failing, true) {
                    warn!(error = &error as &dyn Error, "The common input cannot be handed over; it is tried again.");
                }
                tokio::time::sleep(HAND_OVER_RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shards_that_stopped_by_themselves_can_still_be_drained() {
        let (end, ended) = oneshot::channel();
        let board = Arc::new(Board::new(Vec::new()));
        let mut handle =
            Handle { board, outage: Arc::default(), cap: NodeCap::new(1), drain: None, ended: Some(ended) };
        drop(end.send(RunEnd::Died));
        handle.died().await;
        handle.drain().await;
    }
}
