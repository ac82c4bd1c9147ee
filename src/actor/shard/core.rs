//! One shard: what it holds and what happens next. Plain and synchronous: events go in, [`ShardAction`]s
//! come out; what is around it ([`crate::actor::shared_shard`]) does the I/O.
//!
//! Reading order: [`feeding`] (from a read to a workspace, parking and catch-ups), [`bookmark`] (what of that outlives the
//! process), [`decisions`] (what workspaces
//! decide, how their attempts end), [`crashes`] (loads, panics, blame), [`damage`] (forgetting and repairing a workspace
//! whose journal contradicts itself), [`lifecycle`] (acquire, commit answers, reload, drain), [`shown`] (what operators see).

#[cfg(test)]
mod audit;
mod bookmark;
mod damage;
mod feeding;
mod decisions;
mod crashes;
mod failed_reads;
mod lifecycle;
mod shown;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::error;

use self::failed_reads::FailedReads;
use crate::actor::admission::{Admission, InFlight};
use crate::actor::book::Book;
use crate::actor::book::account::Phase;
use crate::actor::book::entries::ShardPart;
use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::{Effect, Seed, Slot, Start, ToWorkspace};
use crate::actor::rejections::{RejectedNow, Rejections};
use crate::actor::shard::committer::Committer;
use crate::actor::shard::entry::ShardIdentity;
use crate::actor::shard::idle::IdleWorkspaces;
use crate::actor::shard::intake::{Behind, Intake, Limits, Situation};
use crate::actor::shard::mails::Mails;
use crate::journal::port::{OwedMail, Poll, ShardRequest};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::Command;
use crate::workspace::outcomes::LastHour;
use crate::workspace::time::Clock;

/// What is to be done.
#[derive(Debug)]
pub(in crate::actor) enum ShardAction {
    /// Acquire the shard after a pause, then ask which of these entries still exist.
    Acquire { after: Duration, attempted: Vec<EntryId> },
    /// Read forward.
    Poll(Poll),
    /// Send a request to the store.
    Send(ShardRequest),
    /// Start the workspace's actor.
    Activate { slot: Slot, incarnation: u64, seed: Box<Seed> },
    /// Send a mail to the workspace's actor.
    Tell(Slot, ToWorkspace),
    /// Forget the workspace's actor.
    Forget(Slot),
    /// Make a POST, holding its permit under the node's cap until it has ended.
    Post(Arc<Start>, InFlight),
    /// Hand a mail over.
    SendMail(OwedMail),
    /// Hand none over whose final dot has not been sent.
    RecallMails,
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
    slot: Slot,
    command: Arc<Command>,
    /// A step settles it; only its answer (a test's) may be owed still.
    decided: bool,
    /// Its workspace panicked over it once.
    blamed: bool,
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
    /// Why the streams cannot be read, so nothing is taken up.
    pub(in crate::actor) unread_why: Option<Arc<str>>,
}

pub(in crate::actor) struct ShardCore {
    identity: ShardIdentity,
    limits: Limits,
    clock: Clock,
    admission: Rc<Admission>,
    mode: ShardMode,
    /// Failed acquisitions or reloads in a row.
    setbacks: u32,
    failed_reads: FailedReads,
    /// Failed commits that the shard was reloaded for, none of them `proven_at` or later.
    failures: u32,
    /// When the present acquisition has held for long enough that a failure is a new one. That it
    /// was acquired, reads and renews its lease proves nothing: the next commit may fail again.
    proven_at: Instant,
    book: Book,
    intake: Intake,
    committer: Committer,
    mails: Mails,
    rejections: Arc<Rejections>,
    rejected_now: RejectedNow,
    last_hour: Arc<Mutex<LastHour>>,
    /// Undecided ones are bounded by the command permits, decided ones by one test a workspace.
    commands: HashMap<EntryId, HeldCommand>,
    /// Those that were settled since the last read was answered: one under way may have found them before.
    commands_settled: Vec<EntryId>,
    /// Workspaces that could start something but for the node's cap or the shard's admission, first come first.
    starved: VecDeque<Slot>,
    /// Workspaces that crashed and are loaded again after their pause if anything is undone.
    crashed: HashSet<Slot>,
    /// Workspaces whose journal cannot be loaded.
    unavailable: HashSet<WorkspaceId>,
    /// Entries that our own system could not attempt.
    unable: HashSet<EntryId>,
    /// Why the last of them could not be.
    unable_why: Arc<str>,
    /// A number for every incarnation.
    incarnations: u64,
    idle: IdleWorkspaces,
    actions: VecDeque<ShardAction>,
    /// The memory of the effects that were taken last.
    spare: Vec<Effect>,
}

/// How often starved workspaces are woken.
const STARVED_EVERY: Duration = Duration::from_millis(10);
/// Starved workspaces woken at a time; the others' turn comes next.
const STARVED_AT_ONCE: usize = 256;

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
            failed_reads: FailedReads::default(),
            failures: 0,
            proven_at: now,
            book: Book::new(limits.allowance),
            intake: Intake::new(limits),
            committer: Committer::default(),
            mails: Mails::default(),
            rejections: Arc::default(),
            rejected_now: RejectedNow::default(),
            last_hour: Arc::default(),
            commands: HashMap::default(),
            commands_settled: Vec::new(),
            starved: VecDeque::new(),
            crashed: HashSet::default(),
            unavailable: HashSet::default(),
            unable: HashSet::default(),
            unable_why: Arc::default(),
            incarnations: 0,
            idle: IdleWorkspaces::new(now),
            actions: VecDeque::new(),
            spare: Vec::new(),
        };
        core.admission.set_room(limits.permits, limits.bytes);
        core.actions.push_back(ShardAction::Acquire { after: Duration::ZERO, attempted: Vec::new() });
        core
    }

    /// Counts what it sets aside, and what becomes of messages, with what the node's other shards do.
    pub(in crate::actor) fn count_in(mut self, rejections: &Arc<Rejections>, last_hour: &Arc<Mutex<LastHour>>) -> Self {
        (self.rejections, self.last_hour) = (Arc::clone(rejections), Arc::clone(last_hour));
        self
    }

    /// The next thing to do; asked again after every event until there is none.
    pub(in crate::actor) fn next_action(&mut self, now: Instant) -> Option<ShardAction> {
        if self.actions.is_empty() {
            self.plan(now);
        }
        self.actions.pop_front()
    }

    /// The next thing to do if it is a workspace's own: a POST of it, or a mail to it.
    pub(in crate::actor) fn next_of_workspaces(&mut self) -> Option<ShardAction> {
        let is = |action: &mut ShardAction| matches!(action, ShardAction::Post(..) | ShardAction::Tell(..));
        self.actions.pop_front_if(is)
    }

    /// When [`ShardCore::tick`] is to be called at the latest.
    pub(in crate::actor) fn wake_at(&self, now: Instant) -> Instant {
        let starved = (!self.starved.is_empty()).then(|| now + STARVED_EVERY);
        let crashed = self.crashed.iter().filter_map(|slot| self.book.get(*slot)?.not_before).min();
        // A drain begins no mail and no read, so none of them is waited for; but for an answer about one it waits no longer.
        let new = if self.is_running() {
            [self.mails.wake_at(), self.intake.wake_at()]
        } else {
            [self.mails.awaited_until(now), None]
        };
        let due = [self.committer.wake_at(), new[0], new[1], starved, crashed, self.idle.wake_at(now)];
        due.into_iter().flatten().fold(now + Duration::from_secs(1), Instant::min)
    }

    pub(in crate::actor) fn is_running(&self) -> bool {
        self.mode == ShardMode::Running
    }

    /// Does what is due by now.
    pub(in crate::actor) fn tick(&mut self, now: Instant) {
        self.tell_idle(now);
        let ready =
            |slot: &&Slot| self.book.get(**slot).and_then(|account| account.not_before).is_none_or(|at| now >= at);
        let ready: Vec<Slot> = self.crashed.iter().filter(ready).copied().collect();
        for slot in ready {
            self.crashed.remove(&slot);
            self.reactivate(slot);
        }
        // While admission is closed they could start nothing.
        if self.admission.is_open(now) {
            self.wake_starved(STARVED_AT_ONCE, now);
        }
    }

    fn plan(&mut self, now: Instant) {
        if matches!(self.mode, ShardMode::Acquiring | ShardMode::Released) {
            return;
        }
        if self.is_running() {
            while let Some((workspace, mail)) = self.mails.next_due(now) {
                let slot = self.book.ensure(&workspace, now);
                self.tell(slot, ToWorkspace::MailTurn(mail), now);
            }
        }
        while let Some(call) = self.committer.next(now) {
            self.actions.push_back(ShardAction::Send(call));
        }
        self.admission.set_unanswered(self.committer.unanswered_since());
        if self.mode == ShardMode::Draining {
            return self.end_drain_when_idle(now);
        }
        self.plan_reads(now);
        self.plan_bookmark();
    }

    fn plan_reads(&mut self, now: Instant) {
        if self.intake.must_give_back(&self.book, now) {
            self.give_back();
        }
        // Above the cursor there is nothing to catch up on yet.
        let cursor = self.intake.cursor();
        let from = self.book.catch_up_from(now).filter(|from| *from <= cursor);
        if let Some(from) = from
            && let Some(catch_up) = self.intake.next_catch_up(from, &self.book)
        {
            self.book.catch_up_begins();
            self.committer.ask(ShardRequest::CatchUp { from: catch_up.from, to: catch_up.to, count: catch_up.count });
            self.actions.extend(self.committer.next(now).map(ShardAction::Send));
        }
        let situation = Situation {
            now,
            // A decided one waits only for the end of its test, which may take an attempt's deadline.
            commands: self.commands.values().filter(|held| !held.decided).count(),
            catch_up_wanted: from.is_some() || self.intake.is_catching_up(),
            behind: self.behind(from.is_some()),
        };
        if let Some(poll) = self.intake.next_poll(&self.book, situation) {
            if let Some((start, _)) = poll.messages {
                self.book.read_begins(start);
            }
            self.actions.push_back(ShardAction::Poll(poll));
        }
    }

    /// Has the workspaces with the most un-attempted entries give some back until there is room to read on.
    fn give_back(&mut self) {
        let mut waiting: Vec<(Slot, ShardPart)> = self.book.waiting().collect();
        waiting.sort_by_key(|(_, waiting)| Reverse(self.intake.weigh(&self.book, *waiting)));
        for (slot, waiting) in waiting {
            if self.intake.has_room(&self.book) {
                break;
            }
            let given = self.book.give_back(slot, self.intake.part(&self.book, waiting));
            for entry in &given {
                self.unable.remove(entry);
            }
            self.intake.freed(given.len());
        }
    }

    /// Whose entries the stream can hold behind the cursor now.
    fn behind(&self, catch_up_is_due: bool) -> Behind {
        let catches_up = catch_up_is_due || self.intake.is_catching_up();
        match self.book.any_parked() {
            _ if !self.book.is_empty() || !self.committer.is_idle() => Behind::Held,
            false => Behind::Strays,
            true if catches_up => Behind::Held,
            true => Behind::Parked,
        }
    }

    /// Sends a mail about something that the book or this core holds. A workspace that is not in memory gets it with
    /// everything else that is undone when it is loaded, so no incarnation gets it twice.
    fn tell(&mut self, slot: Slot, mail: ToWorkspace, now: Instant) {
        let Some(account) = self.book.get_mut(slot) else { return };
        account.use_at(now);
        match account.phase {
            Phase::Active => self.actions.push_back(ShardAction::Tell(slot, mail)),
            // One that has retired is loaded again if anything is undone.
            Phase::Loading | Phase::Retiring => {}
            // A crashed one is not loaded before its pause is over, but no command waits for that.
            Phase::Passive => {
                let pausing = self.crashed.contains(&slot) && !matches!(mail, ToWorkspace::Command(..));
                if !pausing {
                    self.load(slot);
                }
            }
        }
    }

    /// Has the workspace look at its account; once, however often it is asked before it does.
    fn wake(&mut self, slot: Slot, now: Instant) {
        let Some(account) = self.book.get_mut(slot) else { return };
        if account.phase == Phase::Active && std::mem::replace(&mut account.woken, true) {
            return account.use_at(now);
        }
        self.tell(slot, ToWorkspace::Wake, now);
    }

    /// Loads a workspace for which something is undone, or decodes it if it is hibernated.
    fn reactivate(&mut self, slot: Slot) {
        let Some(account) = self.book.get(slot) else { return };
        let held = account.has_anything() || account.commands > 0;
        if account.phase == Phase::Passive && (held || self.mails.has_begun(&account.id)) {
            self.load(slot);
        } else {
            self.forget_unused(slot);
        }
    }

    /// Has the workspace's actor started: at once if it is hibernated, else when its journal is loaded.
    fn load(&mut self, slot: Slot) {
        let Some(account) = self.book.get_mut(slot) else { return };
        let hibernated = account.hibernated.take();
        let id = account.id.clone();
        if let Some(hibernated) = hibernated {
            match hibernated.loaded() {
                Ok(loaded) => return self.activate(slot, &id, loaded, hibernated.listed),
                Err(error) => {
                    error!(workspace = %id, error = &error as &dyn Error, "A hibernated workspace cannot be read back; it is loaded.");
                }
            }
        }
        account.phase = Phase::Loading;
        self.committer.ask(ShardRequest::Load(id));
    }

    fn forget_unused(&mut self, slot: Slot) {
        if self.book.forget_unused(slot) {
            self.crashed.remove(&slot);
        }
    }

    /// The workspace could start something, but not now.
    fn starve(&mut self, slot: Slot) {
        if let Some(account) = self.book.get_mut(slot)
            && !std::mem::replace(&mut account.starved, true)
        {
            self.starved.push_back(slot);
        }
    }

    /// Wakes up to `n` starved workspaces, the longest starved first. One in its pause stays: it could only starve again.
    fn wake_starved(&mut self, n: usize, now: Instant) {
        for _ in 0..n.min(self.starved.len()) {
            let Some(slot) = self.starved.pop_front() else { break };
            let Some(account) = self.book.get_mut(slot) else { continue };
            if account.starved && account.entries().is_some_and(|entries| !entries.may_start(now)) {
                self.starved.push_back(slot);
            } else if std::mem::take(&mut account.starved) && account.phase == Phase::Active {
                self.wake(slot, now);
            }
        }
    }

    /// Hibernates workspaces that had no work for a while, and later retires them.
    fn tell_idle(&mut self, now: Instant) {
        for (slot, mail) in self.idle.told_now(&self.book, &self.mails, now) {
            let Some(account) = self.book.get_mut(slot) else { continue };
            if account.hibernated.take().is_some() {
                // It has no actor that had to end.
                self.forget_unused(slot);
                continue;
            }
            // Whatever comes for it meanwhile waits until its actor has ended.
            account.phase = Phase::Retiring;
            self.actions.push_back(ShardAction::Tell(slot, mail));
        }
    }
}
