//! Reads who else is there, starts the shards that this node takes and drains those that it gives away.

use std::collections::BTreeMap;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use futures_util::FutureExt as _;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use super::mistakes::mistakes;
use super::roster::Roster;
use super::sharing::{Decision, ShardPhase, Sharing};
use crate::actor::board::{Board, NodeStanding};
use crate::actor::protocol::ToShard;
use crate::actor::shard::ShardActor;
use crate::actor::shard_host::{ShardHost, StartShard};
use crate::actor::store_watch::cause;
use crate::config::{
    DRAIN_EXTRA, NODE_GONE_AFTER, NODE_WRITTEN_EVERY, NODES_LOOK_EVERY, NODES_LOOK_SOON, ShardSet, WITHDRAW_MAX,
};
use crate::journal::format::FORMAT;
use crate::journal::port::{Journal, NodeRecord, NodesReading, StoreTrouble};

/// See the module.
pub(in crate::actor) struct Sharer {
    journal: Arc<dyn Journal>,
    record: NodeRecord,
    /// One a thread; a shard always runs on the same.
    hosts: Vec<Addr<ShardHost>>,
    running: BTreeMap<u16, RunningShard>,
    roster: Roster,
    sharing: Sharing,
    board: Arc<Board>,
    /// How long a shard that is given away may take: an attempt's deadline and a little more.
    patience: Duration,
    /// When another process with this node's id was last seen to write its record.
    twin_seen: Option<Instant>,
    /// Whether a view was taken in before: the record that the first one replaces is a predecessor's.
    is_known: bool,
}

struct RunningShard {
    address: Addr<ShardActor>,
    ended: oneshot::Receiver<()>,
    /// When it is released as it is, once it is given away.
    give_up_at: Option<Instant>,
}

/// How the shards' run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::actor) enum RunEnd {
    Drained,
    Died,
    /// Other nodes write this format now, which this one does not read.
    Outdated {
        stored: u32,
        reads: u32,
    },
    /// The store has another number of shards now than this node runs with.
    Resharded {
        stored: u16,
        runs: u16,
    },
}

/// How often shards that end are looked at.
const ENDED_CHECK: Duration = Duration::from_millis(100);

/// A view that was asked for: how the shards were before, and what was read, or why the store refuses that; nothing when it
/// was not answered.
type Look = (Vec<ShardPhase>, Result<NodesReading, Option<String>>);

impl Sharer {
    pub(in crate::actor) fn new(
        journal: Arc<dyn Journal>,
        record: NodeRecord,
        hosts: Vec<Addr<ShardHost>>,
        board: Arc<Board>,
        timeout: Duration,
    ) -> Self {
        Self {
            sharing: Sharing::new(&record.id, record.static_shards.clone()),
            journal,
            record,
            hosts,
            running: BTreeMap::new(),
            roster: Roster::default(),
            board,
            patience: timeout + DRAIN_EXTRA,
            twin_seen: None,
            is_known: false,
        }
    }

    /// Runs shards until `drain`, then gives all away.
    pub(in crate::actor) async fn run(mut self, mut drain: oneshot::Receiver<()>) -> RunEnd {
        let (tell, mut looks) = mpsc::channel::<Look>(1);
        let mut next_look = Some(Instant::now());
        loop {
            if !self.collect_ended() {
                return RunEnd::Died;
            }
            self.give_up_overdue();
            let look_at = next_look.unwrap_or_else(Instant::now);
            tokio::select! {
                _ = &mut drain => return self.drain().await,
                Some((phases, reading)) = looks.recv() => {
                    if let Some(end) = reading.as_ref().ok().and_then(|reading| self.unfit(reading)) {
                        return end;
                    }
                    let pause = match reading {
                        Ok(reading) => self.take_in(&reading, &phases).await,
                        Err(why) => {
                            // While the store is away that is told, and not why it refused before.
                            self.board.unlisted(why);
                            Some(NODES_LOOK_EVERY)
                        }
                    };
                    let Some(pause) = pause else { return RunEnd::Died };
                    next_look = Some(Instant::now() + pause);
                }
                () = sleep_until(look_at), if next_look.is_some() => {
                    next_look = None;
                    self.look(tell.clone());
                }
                () = sleep(ENDED_CHECK) => {}
            }
        }
    }

    /// Asks for a view, in a task of its own: a store that is silent must hold up nothing here.
    fn look(&mut self, tell: mpsc::Sender<Look>) {
        self.record.runs = self.running.keys().copied().collect();
        let (journal, record, phases) = (Arc::clone(&self.journal), self.record.clone(), self.phases());
        actix_rt::spawn(async move {
            let reading = AssertUnwindSafe(journal.register(&record)).catch_unwind().await;
            let reading = match reading {
                Ok(reading) => reading.map_err(|error| {
                    debug!(error = &error as &dyn Error, "Who else is there cannot be read now.");
                    (error.trouble == StoreTrouble::Refused).then(|| cause(&error))
                }),
                Err(_) => {
                    error!("Reading who else is there failed inside the service.");
                    Err(None)
                }
            };
            // Nobody listens any more once the node drains.
            tell.send((phases, reading)).await.ok();
        });
    }

    /// Why this program cannot go on in a store that says so.
    fn unfit(&self, reading: &NodesReading) -> Option<RunEnd> {
        let (reads, runs) = (self.record.format, self.journal.shards());
        if reading.format > reads {
            return Some(RunEnd::Outdated { stored: reading.format, reads });
        }
        let stored = reading.shards.filter(|stored| *stored != runs)?;
        Some(RunEnd::Resharded { stored, runs })
    }

    fn phases(&self) -> Vec<ShardPhase> {
        (0..self.journal.shards()).map(|shard| self.phase(shard)).collect()
    }

    fn phase(&self, shard: u16) -> ShardPhase {
        match self.running.get(&shard) {
            None => ShardPhase::Idle,
            Some(RunningShard { give_up_at: Some(_), .. }) => ShardPhase::Leaving,
            Some(_) if self.board.is_held(shard) => ShardPhase::Held,
            Some(_) => ShardPhase::Acquiring,
        }
    }

    /// Takes and gives what follows from a view. Answers when to look again; `None` when a shard cannot be started.
    async fn take_in(&mut self, reading: &NodesReading, phases: &[ShardPhase]) -> Option<Duration> {
        let now = Instant::now();
        self.board.unlisted(None);
        self.note_twin(reading, now);
        let view = self.roster.view(reading, now);
        let decision = self.sharing.decide(&view, phases, now);
        for shard in &decision.take {
            if self.phase(*shard) == ShardPhase::Idle {
                self.start(*shard).await?;
            }
        }
        for shard in &decision.give {
            if phases.get(usize::from(*shard)) == Some(&self.phase(*shard)) {
                debug!(shard, "The shard is given away.");
                self.give(*shard, now);
            }
        }
        let pause = if decision.moving { NODES_LOOK_SOON } else { NODES_LOOK_EVERY };
        self.show(decision, mistakes(&self.record, &view, reading));
        Some(pause)
    }

    async fn start(&mut self, shard: u16) -> Option<()> {
        let host = &self.hosts[usize::from(shard) % self.hosts.len()];
        let (released, ended) = oneshot::channel();
        let started = host.send(StartShard { shard, released }).await;
        let address = started.inspect_err(|_| error!(shard, "A shard cannot be started; the service stops.")).ok()?;
        self.running.insert(shard, RunningShard { address, ended, give_up_at: None });
        Some(())
    }

    fn give(&mut self, shard: u16, now: Instant) {
        if let Some(running) = self.running.get_mut(&shard) {
            running.give_up_at = Some(now + self.patience);
            running.address.do_send(ToShard::Drain);
        }
    }

    fn give_up_overdue(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            if let Some(at) = running.give_up_at.as_mut().filter(|at| now >= **at) {
                running.address.do_send(ToShard::GiveUp);
                // Told once.
                *at = now + self.patience;
            }
        }
    }

    /// Forgets shards that were released. Answers whether all others live.
    fn collect_ended(&mut self) -> bool {
        let mut dead = None;
        let board = &self.board;
        self.running.retain(|shard, running| match running.ended.try_recv() {
            Err(TryRecvError::Empty) => true,
            Ok(()) => {
                board.set(*shard, None);
                false
            }
            Err(TryRecvError::Closed) => {
                dead = Some(*shard);
                true
            }
        });
        if let Some(shard) = dead {
            board.failed(shard);
            error!(shard, "A shard failed inside the service; the service stops.");
        }
        dead.is_none()
    }

    fn show(&self, decision: Decision, mistakes: Vec<String>) {
        let names = |held: &BTreeMap<u16, String>| {
            let mut by_node: BTreeMap<String, Vec<u16>> = BTreeMap::new();
            held.iter().for_each(|(shard, node)| by_node.entry(node.clone()).or_default().push(*shard));
            by_node.into_iter().map(|(node, shards)| (node, shards.into_iter().collect())).collect()
        };
        self.board.stand(NodeStanding {
            record: Some(self.record.clone()),
            decided: decision.settled,
            awaited: names(&decision.awaited),
            contested: names(&decision.contested),
            assigned: decision.assigned,
            nobodys: decision.nobodys,
            mistakes,
            shared_id: self.twin_seen.is_some(),
        });
    }

    /// Two processes with one id write one record in turn.
    fn note_twin(&mut self, reading: &NodesReading, now: Instant) {
        let is_known = std::mem::replace(&mut self.is_known, true);
        if reading.replaced.is_some() && is_known {
            if self.twin_seen.replace(now).is_none() {
                warn!(
                    node = self.record.id,
                    "Another process has this node's id: two processes share a data directory, or a copy of it; stop \
                     one of them."
                );
            }
        } else if self.twin_seen.is_some_and(|seen| now >= seen + NODE_GONE_AFTER) {
            self.twin_seen = None;
        }
    }

    /// Tells the others, lets what is under way end and become durable, and releases every shard.
    async fn drain(mut self) -> RunEnd {
        info!("Draining: nothing new is taken up.");
        self.record.leaving = true;
        self.record.runs = self.running.keys().copied().collect();
        self.board.leave();
        // First, so that the others are ready to take over what is released.
        drop(timeout(WITHDRAW_MAX, self.journal.register(&self.record)).await);
        self.running.values().for_each(|running| running.address.do_send(ToShard::Drain));
        let ended = self.running.values_mut().map(|running| &mut running.ended);
        let mut all_ended = Box::pin(futures_util::future::join_all(ended));
        let (journal, record) = (&self.journal, &self.record);
        let go_on_telling = async {
            loop {
                sleep(NODE_WRITTEN_EVERY).await;
                drop(timeout(WITHDRAW_MAX, journal.register(record)).await);
            }
        };
        let in_time = tokio::select! {
            ended = timeout(self.patience, &mut all_ended) => ended.is_ok(),
            () = go_on_telling => false,
        };
        drop(all_ended);
        if !in_time {
            warn!("Some attempts did not end in time; they are decided again by whoever runs their shards next.");
            let still = self.running.values_mut().filter_map(|running| match running.ended.try_recv() {
                Err(TryRecvError::Empty) => {
                    running.address.do_send(ToShard::GiveUp);
                    Some(&mut running.ended)
                }
                _ => None,
            });
            drop(timeout(DRAIN_EXTRA, futures_util::future::join_all(still)).await);
        }
        if self.record.format < FORMAT {
            // An operator keeps the nodes to an older format: while this one is away for a moment, too.
            self.record.runs = ShardSet::default();
            drop(timeout(WITHDRAW_MAX, self.journal.register(&self.record)).await);
        } else {
            drop(timeout(WITHDRAW_MAX, self.journal.withdraw(&self.record)).await);
        }
        RunEnd::Drained
    }
}
