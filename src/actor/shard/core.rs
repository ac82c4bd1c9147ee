//! One shard: what it holds and what happens next. Plain and synchronous: events go in, [`ShardAction`]s
//! come out; the actor around it ([`crate::actor::shard`]) does the I/O.
//!
//! Reading order: [`lifecycle`] (acquire, commit answers, reload, drain), [`feeding`] (from a read to
//! a workspace, parking and catch-ups), [`reports`] (what workspaces decided, or why they crashed), [`damage`]
//! (forgetting and repairing a workspace whose journal contradicts itself).

#[cfg(test)]
mod audit;
mod damage;
mod feeding;
mod lifecycle;
mod reports;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::actor::admission::{Admission, InFlight};
use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::{FinishedAttempt, Seed, Start, ToWorkspace};
use crate::actor::rejections::Rejections;
use crate::actor::shard::committer::Committer;
use crate::actor::shard::entry::ShardIdentity;
use crate::actor::shard::intake::{Intake, Limits, Situation};
use crate::actor::shard::mails::Mails;
use crate::actor::shard::registry::{Phase, Registry};
use crate::actor::shard::table::Table;
use crate::config::{ACTIVE_MAX, HIBERNATE_AFTER, IDLE_AFTER};
use crate::journal::port::{OwedMail, Poll, ShardRequest};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::Command;
use crate::workspace::time::Clock;

/// What the shard's actor is to do.
#[derive(Debug)]
pub(in crate::actor) enum ShardAction {
    /// Acquire the shard after a pause, then ask which of these entries still exist.
    Acquire { after: Duration, attempted: Vec<EntryId> },
    /// Read forward.
    Poll(Poll),
    /// Send a request to the store.
    Send(ShardRequest),
    /// Start the workspace's actor.
    Activate { workspace: WorkspaceId, incarnation: u64, seed: Box<Seed> },
    /// Send a mail to the workspace's actor.
    Tell(WorkspaceId, ToWorkspace),
    /// Forget the workspace's actor.
    Forget(WorkspaceId),
    /// Make a POST, holding its permit under the node's cap until it has ended.
    Post(Arc<Start>, InFlight),
    /// Hand a mail over.
    SendMail(OwedMail),
    /// The drain is over: release the lease and stop.
    Release,
}

/// Whether the shard works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShardMode {
    /// The lease is being acquired.
    Acquiring,
    Running,
    /// Nothing new is taken up; what is under way ends.
    Draining,
    Released,
}

/// A command between its read and its durable answer.
#[derive(Debug)]
struct HeldCommand {
    workspace: WorkspaceId,
    command: Arc<Command>,
    /// A step settles it; only its answer (a test's) may be owed still.
    decided: bool,
    /// Its workspace panicked over it once.
    blamed: bool,
}

/// A test's POST, until what its workspace decided on its end is durable.
#[derive(Debug)]
struct TestPost {
    command: EntryId,
    start: Arc<Start>,
    end: Option<FinishedAttempt>,
}

/// Counts that an operator sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::actor) struct ShardCounts {
    /// Workspaces that cannot be loaded.
    pub(in crate::actor) unavailable: usize,
    /// Attempts that our own system could not make and that wait.
    pub(in crate::actor) unable: usize,
    /// Why the last of them could not be made; `None` when there is none.
    pub(in crate::actor) unable_why: Option<Arc<str>>,
    /// The store does not answer, so nothing is attempted.
    pub(in crate::actor) store_is_silent: bool,
}

pub(in crate::actor) struct ShardCore {
    identity: ShardIdentity,
    limits: Limits,
    clock: Clock,
    admission: Rc<Admission>,
    mode: ShardMode,
    /// Failed acquisitions, reloads or reads in a row.
    setbacks: u32,
    /// Failed commits that the shard was reloaded for, none of them `proven_at` or later.
    failures: u32,
    /// When the present acquisition has held for long enough that a failure is a new one. That it
    /// was acquired, reads and renews its lease proves nothing: the next commit may fail again.
    proven_at: Instant,
    table: Table,
    registry: Registry,
    intake: Intake,
    committer: Committer,
    mails: Mails,
    rejections: Arc<Rejections>,
    /// Undecided ones are bounded by the command permits, decided ones by one test a workspace.
    commands: HashMap<EntryId, HeldCommand>,
    /// Bounded by the command permits.
    tests: HashMap<WorkspaceId, TestPost>,
    /// Workspaces that could start something but for the node's cap or the shard's admission, first come first.
    starved: VecDeque<WorkspaceId>,
    is_starved: HashSet<WorkspaceId>,
    /// Workspaces that crashed and are loaded again after their pause if anything is undone.
    crashed: HashSet<WorkspaceId>,
    /// Workspaces whose journal cannot be loaded.
    unavailable: HashSet<WorkspaceId>,
    /// Entries that our own system could not attempt.
    unable: HashSet<EntryId>,
    /// Why the last of them could not be.
    unable_why: Arc<str>,
    /// A number for every incarnation.
    incarnations: u64,
    /// When idle workspaces are looked for next.
    tidy_at: Instant,
    actions: VecDeque<ShardAction>,
}

/// How often starved workspaces are woken.
const STARVED_EVERY: Duration = Duration::from_millis(10);
/// Starved workspaces woken at a time; the others' turn comes next.
const STARVED_AT_ONCE: usize = 256;
/// How often idle workspaces are looked for: one is hibernated at most twice as late as it may be.
const TIDY_EVERY: Duration = HIBERNATE_AFTER;

impl ShardCore {
    pub(in crate::actor) fn new(
        identity: ShardIdentity,
        limits: Limits,
        clock: Clock,
        admission: Rc<Admission>,
        now: Instant,
    ) -> Self {
        let mut core = Self {
            identity,
            limits,
            clock,
            admission,
            mode: ShardMode::Acquiring,
            setbacks: 0,
            failures: 0,
            proven_at: now,
            table: Table::default(),
            registry: Registry::new(limits.allowance),
            intake: Intake::new(limits),
            committer: Committer::default(),
            mails: Mails::default(),
            rejections: Arc::default(),
            commands: HashMap::default(),
            tests: HashMap::default(),
            starved: VecDeque::new(),
            is_starved: HashSet::default(),
            crashed: HashSet::default(),
            unavailable: HashSet::default(),
            unable: HashSet::default(),
            unable_why: Arc::default(),
            incarnations: 0,
            tidy_at: now + TIDY_EVERY,
            actions: VecDeque::new(),
        };
        core.actions.push_back(ShardAction::Acquire { after: Duration::ZERO, attempted: Vec::new() });
        core
    }

    /// Counts what it sets aside with what the node's other shards do.
    pub(in crate::actor) fn count_in(mut self, rejections: &Arc<Rejections>) -> Self {
        self.rejections = Arc::clone(rejections);
        self
    }

    /// The next thing to do; asked again after every event until there is none.
    pub(in crate::actor) fn next_action(&mut self, now: Instant) -> Option<ShardAction> {
        if self.actions.is_empty() {
            self.plan(now);
        }
        self.actions.pop_front()
    }

    /// When [`ShardCore::tick`] is to be called at the latest.
    pub(in crate::actor) fn wake_at(&self, now: Instant) -> Instant {
        let starved = (!self.starved.is_empty()).then(|| now + STARVED_EVERY);
        let crashed = self.crashed.iter().filter_map(|crashed| self.registry.get(crashed)?.not_before).min();
        // A drain begins no mail and no read, so none of them is waited for.
        let new = if self.is_running() { [self.mails.wake_at(), self.intake.wake_at()] } else { [None, None] };
        let due = [self.committer.wake_at(), new[0], new[1], starved, crashed];
        due.into_iter().flatten().fold(now + Duration::from_secs(1), Instant::min)
    }

    pub(in crate::actor) fn counts(&self, now: Instant) -> ShardCounts {
        let store_is_silent = self.mode == ShardMode::Running && !self.admission.is_open(now);
        let unable_why = (!self.unable.is_empty()).then(|| Arc::clone(&self.unable_why));
        ShardCounts { unavailable: self.unavailable.len(), unable: self.unable.len(), unable_why, store_is_silent }
    }

    pub(in crate::actor) fn is_running(&self) -> bool {
        self.mode == ShardMode::Running
    }

    /// Does what is due by now.
    pub(in crate::actor) fn tick(&mut self, now: Instant) {
        if now >= self.tidy_at {
            self.tidy_at = now + TIDY_EVERY;
            self.tidy(now);
        }
        let ready = |crashed: &&WorkspaceId| {
            self.registry.get(crashed).is_none_or(|registered| registered.not_before.is_none_or(|at| now >= at))
        };
        let ready: Vec<WorkspaceId> = self.crashed.iter().filter(ready).cloned().collect();
        for workspace in ready {
            self.crashed.remove(&workspace);
            self.reactivate(&workspace, now);
        }
        // While admission is closed they could start nothing.
        if self.admission.is_open(now) {
            self.wake_starved(STARVED_AT_ONCE);
        }
    }

    fn plan(&mut self, now: Instant) {
        if matches!(self.mode, ShardMode::Acquiring | ShardMode::Released) {
            return;
        }
        if self.is_running() {
            while let Some((workspace, mail)) = self.mails.next_due(now) {
                self.deliver(&workspace, ToWorkspace::MailTurn(mail), now);
            }
        }
        while let Some(call) = self.committer.next(now) {
            self.actions.push_back(ShardAction::Send(call));
        }
        self.admission.set_unanswered(self.committer.unanswered_since());
        if self.mode == ShardMode::Draining {
            return self.end_drain_when_idle();
        }
        self.plan_reads(now);
    }

    fn plan_reads(&mut self, now: Instant) {
        // Above the cursor there is nothing to catch up on yet.
        let cursor = self.intake.cursor();
        let from = self.registry.catch_up_from(now).filter(|from| *from <= cursor);
        if let Some(from) = from
            && let Some(catch_up) = self.intake.next_catch_up(from, &self.table)
        {
            self.table.catch_up_begins();
            self.committer.ask(ShardRequest::CatchUp { from: catch_up.from, to: catch_up.to, count: catch_up.count });
            self.actions.extend(self.committer.next(now).map(ShardAction::Send));
        }
        let situation = Situation {
            now,
            // A decided one waits only for the end of its test, which may take an attempt's deadline.
            commands: self.commands.values().filter(|held| !held.decided).count(),
            catch_up_wanted: from.is_some() || self.intake.is_catching_up(),
            all_quiet: self.is_all_quiet(),
            still: self.is_still(from.is_some()),
        };
        if let Some(poll) = self.intake.next_poll(&self.table, situation) {
            if let Some((start, _)) = poll.messages {
                self.table.read_begins(start);
            }
            self.actions.push_back(ShardAction::Poll(poll));
        }
        if self.intake.must_give_back(&self.table, now)
            && let Some(workspace) = self.registry.with_most_waiting()
            && let Some(registered) = self.registry.get_mut(&workspace)
        {
            registered.giving_back = true;
            self.deliver(&workspace, ToWorkspace::GiveBack, now);
        }
    }

    /// Nothing is held, parked or unanswered: the stream must be empty behind the cursor.
    fn is_all_quiet(&self) -> bool {
        self.table.is_empty() && !self.registry.any_parked() && self.committer.is_idle()
    }

    /// Nothing is held or unanswered, and whoever is parked waits: what the stream holds behind the cursor is theirs,
    /// unless ids went backwards.
    fn is_still(&self, catch_up_is_due: bool) -> bool {
        self.table.is_empty() && self.committer.is_idle() && !catch_up_is_due && !self.intake.is_catching_up()
    }

    /// Sends a mail about something that this core holds. A workspace that is not in memory gets it with
    /// everything else that is undone when it is loaded, so no incarnation gets it twice.
    fn tell(&mut self, workspace: &WorkspaceId, mail: ToWorkspace, now: Instant) {
        let registered = self.registry.ensure(workspace, now);
        registered.use_at(now);
        match registered.phase {
            Phase::Active => self.actions.push_back(ShardAction::Tell(workspace.clone(), mail)),
            Phase::Loading => {}
            Phase::Retiring => registered.wanted = true,
            // A crashed one is not loaded before its pause is over, but no command waits for that.
            Phase::Passive => {
                let pausing = self.crashed.contains(workspace) && !matches!(mail, ToWorkspace::Command(..));
                if !pausing {
                    self.load(workspace);
                }
            }
        }
    }

    /// Loads a workspace for which something is undone.
    fn reactivate(&mut self, workspace: &WorkspaceId, now: Instant) {
        let registered = self.registry.ensure(workspace, now);
        let undone = registered.held > 0
            || registered.commands > 0
            || !registered.buffer.is_empty()
            || self.tests.contains_key(workspace)
            || self.mails.has_begun(workspace);
        if registered.phase == Phase::Passive && undone {
            self.load(workspace);
        } else {
            self.registry.forget_unused(workspace);
        }
    }

    /// Sends a mail to the workspace, loading it first if it is not in memory.
    fn deliver(&mut self, workspace: &WorkspaceId, mail: ToWorkspace, now: Instant) {
        let registered = self.registry.ensure(workspace, now);
        registered.use_at(now);
        match registered.phase {
            Phase::Active => self.actions.push_back(ShardAction::Tell(workspace.clone(), mail)),
            Phase::Loading | Phase::Retiring => registered.buffer.push(mail),
            Phase::Passive => {
                registered.buffer.push(mail);
                self.load(workspace);
            }
        }
    }

    fn load(&mut self, workspace: &WorkspaceId) {
        if let Some(registered) = self.registry.get_mut(workspace) {
            registered.phase = Phase::Loading;
            self.committer.ask(ShardRequest::Load(workspace.clone()));
        }
    }

    /// Wakes up to `n` starved workspaces, the longest starved first.
    fn wake_starved(&mut self, n: usize) {
        for _ in 0..n.min(self.starved.len()) {
            let Some(workspace) = self.starved.pop_front() else { break };
            self.is_starved.remove(&workspace);
            if self.registry.get(&workspace).is_some_and(|registered| registered.phase == Phase::Active) {
                self.actions.push_back(ShardAction::Tell(workspace, ToWorkspace::Wake));
            }
        }
    }

    /// Hibernates workspaces that had no work for a while, and later retires them; above [`ACTIVE_MAX`] the longest
    /// idle retire at once.
    fn tidy(&mut self, now: Instant) {
        let mut idle: Vec<(Instant, WorkspaceId)> = self
            .registry
            .iter()
            .filter(|(workspace, registered)| {
                let busy = self.tests.contains_key(*workspace) || self.mails.has_begun(workspace);
                registered.phase == Phase::Active && registered.held == 0 && registered.commands == 0 && !busy
            })
            .map(|(workspace, registered)| (registered.used_at, workspace.clone()))
            .collect();
        idle.sort_unstable();
        let excess = self.registry.len().saturating_sub(ACTIVE_MAX);
        for (n, (used_at, workspace)) in idle.into_iter().enumerate() {
            if n < excess || now >= used_at + IDLE_AFTER {
                self.retire(&workspace);
            } else if now >= used_at + HIBERNATE_AFTER {
                self.hibernate(&workspace);
            } else {
                break;
            }
        }
    }

    fn hibernate(&mut self, workspace: &WorkspaceId) {
        if let Some(registered) = self.registry.get_mut(workspace)
            && !std::mem::replace(&mut registered.hibernated, true)
        {
            self.actions.push_back(ShardAction::Tell(workspace.clone(), ToWorkspace::Hibernate));
        }
    }

    fn retire(&mut self, workspace: &WorkspaceId) {
        if let Some(registered) = self.registry.get_mut(workspace) {
            registered.phase = Phase::Retiring;
            self.actions.push_back(ShardAction::Tell(workspace.clone(), ToWorkspace::Retire));
        }
    }
}
