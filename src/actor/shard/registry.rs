//! What a shard knows of each workspace that is in memory or parked.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::ToWorkspace;
use crate::config::BACKOFF;
use crate::message::{EntryId, WorkspaceId};

/// Bounded: a workspace is here while it is in memory (`config::ACTIVE_MAX`), holds entries (permits),
/// or is parked (one id each).
#[derive(Debug)]
pub(super) struct Registry {
    /// How many un-attempted entries a workspace may hold.
    allowance: usize,
    workspaces: HashMap<WorkspaceId, Registered>,
    /// The parked ones by where they resume.
    parked: BTreeSet<(EntryId, WorkspaceId)>,
    /// Those of them that were due when they were last looked at.
    due: BTreeSet<(EntryId, WorkspaceId)>,
    /// Those whose pause is not over, by its end.
    pausing: BTreeSet<(Instant, WorkspaceId)>,
    /// Those that may have changed and were not looked at since. After every event the next catch-up is
    /// asked for, so not all that are parked can be looked at each time.
    touched: HashSet<WorkspaceId>,
}

#[derive(Debug)]
pub(super) struct Registered {
    pub(super) phase: Phase,
    /// Names the actor's incarnation; reports of an earlier one are ignored.
    pub(super) incarnation: u64,
    /// Un-attempted entries that are held.
    pub(super) waiting: usize,
    /// Message entries in the table, in any stage.
    pub(super) held: usize,
    /// Commands that are not answered durably.
    pub(super) commands: usize,
    /// How many un-attempted entries it may hold now.
    pub(super) allowance: usize,
    allowance_max: usize,
    /// Where its further entries begin in the stream.
    resume_from: Option<EntryId>,
    /// After a panic or a failed load: not before this.
    pub(super) not_before: Option<Instant>,
    /// Panics and failed loads in a row.
    pub(super) crashes: u32,
    /// It panicked: it is fed one entry at a time, and blamed when it panics again.
    pub(super) suspect: bool,
    /// It was asked to give back and has not answered.
    pub(super) giving_back: bool,
    /// Attempts, under way or ended, remain from its previous actor.
    pub(super) survivors: bool,
    /// The shard core holds something for its next incarnation.
    pub(super) wanted: bool,
    pub(super) used_at: Instant,
    /// It was told to hibernate, and not used since.
    pub(super) hibernated: bool,
    /// Mails that wait for the load or the end of a passivation and are stored nowhere else. Bounded by permits.
    pub(super) buffer: Vec<ToWorkspace>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not in memory.
    Passive,
    /// Its journal is being loaded.
    Loading,
    /// It has an actor.
    Active,
    /// Its actor was asked to retire.
    Retiring,
}

impl Registered {
    fn new(allowance: usize, now: Instant) -> Self {
        Self {
            phase: Phase::Passive,
            incarnation: 0,
            waiting: 0,
            held: 0,
            commands: 0,
            allowance,
            allowance_max: allowance,
            resume_from: None,
            not_before: None,
            crashes: 0,
            suspect: false,
            giving_back: false,
            survivors: false,
            wanted: false,
            used_at: now,
            hibernated: false,
            buffer: Vec::new(),
        }
    }

    /// There is work for it.
    pub(super) fn use_at(&mut self, now: Instant) {
        self.used_at = now;
        self.hibernated = false;
    }

    pub(super) fn resume_from(&self) -> Option<EntryId> {
        self.resume_from
    }

    pub(super) fn is_parked(&self) -> bool {
        self.resume_from.is_some()
    }

    /// Whether it may hold another un-attempted entry. Not while it is giving back: what it got after
    /// the entries that it gives back would be ahead of them.
    pub(super) fn has_allowance(&self) -> bool {
        !self.giving_back && self.waiting < self.allowance
    }

    /// Whether its parked entries should be fetched: it holds less than half its allowance.
    fn is_due(&self, now: Instant) -> bool {
        self.is_parked()
            && !self.giving_back
            && self.waiting * 2 < self.allowance
            && self.not_before.is_none_or(|at| now >= at)
    }

    /// Each settled entry widens the allowance, up to the full one; a suspect's stays at one. Panics and failed
    /// loads are over only with the last settled entry: one that was merely fed may still cause a panic.
    pub(super) fn widen(&mut self) {
        if self.held == 0 && !self.is_parked() {
            self.suspect = false;
            self.crashes = 0;
        }
        if !self.suspect {
            self.allowance = (self.allowance + 1).min(self.allowance_max);
        }
    }

    /// After a panic: whether its cause is still to be found, by feeding one entry at a time. With the
    /// cause set aside, the backlog behind it is fed normally.
    pub(super) fn suspect_more(&mut self, suspect: bool) {
        self.suspect = suspect;
        self.allowance = if suspect { 1 } else { self.allowance_max };
    }

    /// Ends the suspicion once everything that it was fed is settled: the last entry that it was fed may be the
    /// cause of the panic.
    pub(super) fn clear_suspicion(&mut self) {
        if self.held == 0 && !self.is_parked() {
            self.suspect = false;
            self.crashes = 0;
        }
    }

    /// Nothing is held, asked for or owed.
    pub(super) fn is_unused(&self) -> bool {
        self.phase == Phase::Passive
            && self.held == 0
            && self.commands == 0
            && !self.is_parked()
            && self.buffer.is_empty()
    }

    /// Notes a panic or a failed load, after which there is a pause.
    pub(super) fn note_crash(&mut self, now: Instant) {
        self.not_before = Some(now + BACKOFF.after(self.crashes));
        self.crashes += 1;
    }
}

impl Registry {
    pub(super) fn new(allowance: usize) -> Self {
        Self {
            allowance,
            workspaces: HashMap::default(),
            parked: BTreeSet::new(),
            due: BTreeSet::new(),
            pausing: BTreeSet::new(),
            touched: HashSet::default(),
        }
    }

    pub(super) fn get(&self, workspace: &WorkspaceId) -> Option<&Registered> {
        self.workspaces.get(workspace)
    }

    /// The id with this text.
    pub(super) fn known(&self, text: &str) -> Option<WorkspaceId> {
        self.workspaces.get_key_value(text).map(|(workspace, _)| workspace.clone())
    }

    pub(super) fn get_mut(&mut self, workspace: &WorkspaceId) -> Option<&mut Registered> {
        let registered = self.workspaces.get_mut(workspace)?;
        if registered.is_parked() {
            self.touched.insert(workspace.clone());
        }
        Some(registered)
    }

    pub(super) fn ensure(&mut self, workspace: &WorkspaceId, now: Instant) -> &mut Registered {
        let registered =
            self.workspaces.entry(workspace.clone()).or_insert_with(|| Registered::new(self.allowance, now));
        if registered.is_parked() {
            self.touched.insert(workspace.clone());
        }
        registered
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkspaceId, &Registered)> {
        self.workspaces.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.workspaces.len()
    }

    /// Parks the workspace at `entry`, or earlier if it is parked earlier already.
    pub(super) fn park(&mut self, workspace: &WorkspaceId, entry: EntryId) {
        let Some(registered) = self.workspaces.get_mut(workspace) else { return };
        let at = registered.resume_from.map_or(entry, |before| before.min(entry));
        self.resume_at(workspace, Some(at));
    }

    /// Moves the point where the workspace resumes; `None` un-parks it.
    pub(super) fn resume_at(&mut self, workspace: &WorkspaceId, at: Option<EntryId>) {
        let Some(registered) = self.workspaces.get_mut(workspace) else { return };
        if let Some(before) = std::mem::replace(&mut registered.resume_from, at) {
            self.parked.remove(&(before, workspace.clone()));
        }
        if let Some(at) = at {
            self.parked.insert((at, workspace.clone()));
            self.touched.insert(workspace.clone());
        }
    }

    /// The parked workspaces and where they resume.
    pub(super) fn parked(&self) -> impl Iterator<Item = &(EntryId, WorkspaceId)> {
        self.parked.iter()
    }

    pub(super) fn any_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Where the next catch-up begins: the lowest point of a workspace that is due.
    pub(super) fn catch_up_from(&mut self, now: Instant) -> Option<EntryId> {
        while self.pausing.first().is_some_and(|(at, _)| *at <= now) {
            self.touched.extend(self.pausing.pop_first().map(|(_, workspace)| workspace));
        }
        for workspace in std::mem::take(&mut self.touched) {
            let Some(registered) = self.workspaces.get(&workspace) else { continue };
            if let Some(from) = registered.resume_from.filter(|_| registered.is_due(now)) {
                self.due.insert((from, workspace));
            } else if let Some(at) = registered.not_before.filter(|at| registered.is_parked() && *at > now) {
                self.pausing.insert((at, workspace));
            }
        }
        while let Some((from, workspace)) = self.due.first() {
            if self
                .workspaces
                .get(workspace)
                .is_some_and(|registered| registered.resume_from == Some(*from) && registered.is_due(now))
            {
                return Some(*from);
            }
            self.due.pop_first();
        }
        None
    }

    /// The workspaces that are due now and resume at `from` or later.
    pub(super) fn due_from(&self, from: EntryId, now: Instant) -> Vec<WorkspaceId> {
        let due = self.parked.iter().filter(|(at, workspace)| *at >= from && self.is_due(workspace, now));
        due.map(|(_, workspace)| workspace.clone()).collect()
    }

    fn is_due(&self, workspace: &WorkspaceId, now: Instant) -> bool {
        self.workspaces.get(workspace).is_some_and(|registered| registered.is_due(now))
    }

    /// The active workspace with the most un-attempted entries.
    pub(super) fn with_most_waiting(&self) -> Option<WorkspaceId> {
        let active = self
            .workspaces
            .iter()
            .filter(|(_, registered)| registered.phase == Phase::Active && !registered.giving_back);
        let (workspace, registered) = active.max_by_key(|(_, registered)| registered.waiting)?;
        (registered.waiting > 1).then(|| workspace.clone())
    }

    /// Removes the workspace if there is no work for it and nothing to remember.
    pub(super) fn forget_unused(&mut self, workspace: &WorkspaceId) {
        if self.workspaces.get(workspace).is_some_and(Registered::is_unused) {
            self.workspaces.remove(workspace);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.allowance);
    }
}
