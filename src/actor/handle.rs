//! The way in: starts the actix system on a thread of its own, and drains it.

use std::error::Error;
use std::sync::Arc;

use actix::Actor as _;
use actix_rt::{Arbiter, System};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::error;

use crate::actor::admission::NodeCap;
use crate::actor::board::{Board, ShardReport};
use crate::actor::nodes::Sharer;
use crate::actor::nodes::sharer::RunEnd;
use crate::actor::options::ShardOptions;
use crate::actor::rejections::watch;
use crate::actor::shard_host::ShardHost;
use crate::actor::sources::{Source, hand_over, release};
use crate::actor::store_watch::watch_store;
use crate::actor::supervised::supervised;
use crate::deliver::{self, ClockCheck, Courier, Outage};
use crate::journal::format::{FORMAT, FormatTooNew};
use crate::workspace::time::Clock;
use crate::workspace::view::{ReadGlance, ReadWaiting};

/// The running shards. Draining is asked for, not implied by dropping.
pub struct Handle {
    board: Arc<Board>,
    outage: Arc<Outage>,
    clock_check: Arc<ClockCheck>,
    clock: Clock,
    cap: Arc<NodeCap>,
    drain: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<RunEnd>>,
}

/// The shards stopped by themselves.
#[derive(Debug, thiserror::Error)]
pub enum Died {
    /// One failed.
    #[error("a shard failed and stopped; the log says why, start the service again")]
    Shard,
    /// Nodes of a newer program have replaced all others of this one.
    #[error("the store has format {0} now, this program reads up to format {FORMAT}: start the newer program")]
    Outdated(u32),
    /// The store was emptied, and began anew with another number of shards.
    #[error(
        "the store says that it has {stored} shards now, and this node runs with {runs}: somebody emptied it, and another node \
         fixed that number first. Start this node again without --shards; or end all nodes, empty the store and start them with \
         one --shards"
    )]
    Resharded {
        /// What the store says.
        stored: u16,
        /// What this node runs with.
        runs: u16,
    },
    /// The store has a newer format than this node is kept to.
    #[error(transparent)]
    TooNew(#[from] FormatTooNew),
}

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

/// Starts this node's part of the journal's shards.
///
/// # Errors
/// See [`StartShardsError`].
pub fn start(options: ShardOptions) -> Result<Handle, StartShardsError> {
    // Built once here so that a broken trust store is an error at the start and not in a thread.
    drop(Courier::new(&options.deliver)?);
    let board = Arc::new(Board::new(options.journal.shards()));
    let (drain, drained) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let seen = Arc::clone(&board);
    let cap = NodeCap::new(options.in_flight_max);
    let bounds = Arc::clone(&cap);
    let outage = Arc::clone(&options.deliver.egress.outage);
    let (clock_check, clock) = (Arc::clone(&options.deliver.egress.clock_check), options.clock);
    std::thread::Builder::new()
        .name("shards".to_owned())
        .spawn(move || {
            let end_of_run = System::new().block_on(run(options, seen, bounds, drained));
            end.send(end_of_run).ok();
        })
        .map_err(StartShardsError::Thread)?;
    Ok(Handle { board, outage, clock_check, clock, cap, drain: Some(drain), ended: Some(ended) })
}

impl Handle {
    /// A function that reports how the shards are, for the facade.
    #[must_use]
    pub fn reporter(&self) -> Arc<dyn Fn() -> ShardReport + Send + Sync> {
        let (board, outage) = (Arc::clone(&self.board), Arc::clone(&self.outage));
        let (clock_check, clock) = (Arc::clone(&self.clock_check), self.clock);
        Arc::new(move || {
            let mut report = board.report();
            report.clock = clock_check.offsets(clock(), Instant::now()).sentence();
            report.notices.extend(outage.reason().into_iter().chain(report.clock.clone()));
            report
        })
    }

    /// A function that says what waits of a workspace, for the facade.
    #[must_use]
    pub fn waiting(&self) -> ReadWaiting {
        let board = Arc::clone(&self.board);
        Arc::new(move |workspace| board.waiting_of(workspace))
    }

    /// A function that says what this node knows of its shards, for the facade and for the other nodes.
    #[must_use]
    pub fn glance(&self) -> ReadGlance {
        let (board, clock) = (Arc::clone(&self.board), self.clock);
        Arc::new(move || board.glance(clock()))
    }

    /// Waits until the shards stop by themselves, and says why.
    pub async fn died(&mut self) -> Died {
        if let Some(ended) = &mut self.ended {
            let end = ended.await;
            // They have ended, so a drain has nothing to wait for.
            self.ended = None;
            match end {
                Ok(RunEnd::Drained) => std::future::pending().await,
                Ok(RunEnd::Outdated { stored, reads: allowed }) if stored <= FORMAT => {
                    return Died::TooNew(FormatTooNew { stored, allowed });
                }
                Ok(RunEnd::Outdated { stored, .. }) => return Died::Outdated(stored),
                Ok(RunEnd::Resharded { stored, runs }) => return Died::Resharded { stored, runs },
                Ok(RunEnd::Died) | Err(_) => {}
            }
        }
        Died::Shard
    }

    /// No message is attempted any more; commands are still answered. The first half of a drain, for as long as the
    /// facade finishes what it answers.
    pub fn stop_taking_up(&self) {
        self.cap.end();
    }

    /// Takes nothing new up, lets what is under way end and become durable, and releases the shards to other nodes.
    /// Takes at most an attempt's deadline and [`crate::config::DRAIN_EXTRA`], after which the rest is left to the next start.
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

async fn run(options: ShardOptions, board: Arc<Board>, cap: Arc<NodeCap>, drain: oneshot::Receiver<()>) -> RunEnd {
    let arbiters: Vec<Arbiter> = (0..options.arbiters.max(1)).map(|_| Arbiter::new()).collect();
    let mut hosts = Vec::with_capacity(arbiters.len());
    for arbiter in &arbiters {
        let (tell, started) = oneshot::channel();
        let (options, cap, board) = (options.clone(), Arc::clone(&cap), Arc::clone(&board));
        arbiter.spawn_fn(move || {
            let host = ShardHost::new(options, cap, board).map(|host| host.start());
            let host = host.inspect_err(|error| error!(error = error as &dyn Error, "An arbiter has no courier."));
            drop(tell.send(host.ok()));
        });
        let Ok(Some(host)) = started.await else { return RunEnd::Died };
        hosts.push(host);
    }
    let foreign = options.sources.iter().map(|source| Source::Foreign(Arc::clone(source), options.source_form.clone()));
    let sources: Vec<Source> = std::iter::once(Source::Common).chain(foreign).collect();
    let hand_over = |source: &Source| {
        let (journal, node) = (Arc::clone(&options.journal), options.node.id.clone());
        actix_rt::spawn(hand_over(journal, source.clone(), node, board.source_report()))
    };
    let hand_overs: Vec<_> = sources.iter().map(hand_over).collect();
    let (journal, condition) = (Arc::clone(&options.journal), Arc::clone(board.store()));
    let clock_check = Arc::clone(&options.deliver.egress.clock_check);
    let clock = options.clock;
    let watch_store = actix_rt::spawn(supervised("The watch over the store", move || {
        watch_store(Arc::clone(&journal), Arc::clone(&condition), Arc::clone(&clock_check), clock)
    }));
    let (journal, rejections) = (Arc::clone(&options.journal), Arc::clone(board.rejections()));
    let watch = actix_rt::spawn(supervised("The watch over rejected entries", move || {
        watch(Arc::clone(&journal), Arc::clone(&rejections))
    }));
    let (journal, node) = (Arc::clone(&options.journal), options.node.id.clone());
    let sharer = Sharer::new(options.journal, options.node, hosts, board, options.deliver.timeout);
    let end = sharer.run(drain).await;
    hand_overs.iter().for_each(|hand_over| hand_over.abort());
    futures_util::future::join_all(sources.iter().map(|source| release(&*journal, source, &node))).await;
    watch.abort();
    watch_store.abort();
    for arbiter in arbiters {
        arbiter.stop();
        drop(arbiter.join());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shards_that_stopped_by_themselves_can_still_be_drained() {
        let (end, ended) = oneshot::channel();
        let board = Arc::new(Board::new(0));
        let (outage, clock_check, clock) = (Arc::default(), Arc::default(), crate::app::now);
        let mut handle =
            Handle { board, outage, clock_check, clock, cap: NodeCap::new(1), drain: None, ended: Some(ended) };
        end.send(RunEnd::Died).ok();
        handle.died().await;
        handle.drain().await;
    }
}
