//! What workspaces decided, and what is done about those that crashed.

use std::error::Error;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{error, warn};

use super::{ShardAction, ShardCore, TestPost};
use crate::actor::maps::HashMap;
use crate::actor::protocol::{AttemptEnd, Decided, FinishedAttempt, MailNext, Seed, Suspects, ToWorkspace};
use crate::actor::report_queue::{Reported, WorkspaceReport};
use crate::actor::shard::registry::Phase;
use crate::journal::port::{LoadError, Loaded, Newest, ShardRequest, Step};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::command::{Answer, Refusal};
use crate::workspace::decide::MailResult;
use crate::workspace::event::{MailId, Trigger};

impl ShardCore {
    /// A workspace reported.
    pub(in crate::actor) fn report(&mut self, report: WorkspaceReport, now: Instant) {
        let WorkspaceReport { workspace, incarnation, what } = report;
        if self.registry.get(&workspace).is_none_or(|registered| registered.incarnation != incarnation) {
            return;
        }
        match what {
            Reported::Decided(decided) => self.decided(&workspace, *decided, now),
            Reported::Retired => self.retired(&workspace),
            Reported::Panicked(suspects) => self.panicked(&workspace, suspects, now),
        }
    }

    fn decided(&mut self, workspace: &WorkspaceId, decided: Decided, now: Instant) {
        let last = decided.steps.len().saturating_sub(1);
        for (n, step) in decided.steps.into_iter().enumerate() {
            self.push_step(workspace, step, decided.test_started.filter(|_| n == last), now);
        }
        for (start, in_flight) in decided.starts {
            let start = Arc::new(start);
            self.table.attempting(&start);
            if let Some(registered) = self.registry.get_mut(workspace) {
                registered.waiting = registered.waiting.saturating_sub(1);
            }
            self.actions.push_back(ShardAction::Post(start, in_flight));
        }
        if let Some((command, start, in_flight)) = decided.test {
            let start = Arc::new(start);
            self.tests.insert(workspace.clone(), TestPost { command, start: Arc::clone(&start), end: None });
            self.actions.push_back(ShardAction::Post(start, in_flight));
        }
        if let Some(id) = decided.newest_for {
            self.committer.ask(ShardRequest::Newest { workspace: workspace.clone(), command: id });
        }
        if let Some(entries) = decided.given_back {
            self.take_back(workspace, &entries);
        }
        if decided.starved && self.is_starved.insert(workspace.clone()) {
            self.starved.push_back(workspace.clone());
        }
        if let Some((mail, next)) = decided.mail {
            self.mail_goes_on(workspace, mail, next, now);
        }
    }

    fn push_step(&mut self, workspace: &WorkspaceId, step: Step, test: Option<EntryId>, now: Instant) {
        for entry in &step.settled {
            let waited = self.table.settling(*entry);
            self.unable.remove(entry);
            if waited && let Some(registered) = self.registry.get_mut(workspace) {
                registered.waiting = registered.waiting.saturating_sub(1);
            }
        }
        for id in &step.settled_commands {
            if let Some(held) = self.commands.get_mut(id) {
                held.decided = true;
            }
        }
        self.committer.push(step, test, now);
    }

    fn mail_goes_on(&mut self, workspace: &WorkspaceId, mail: MailId, next: MailNext, now: Instant) {
        match next {
            MailNext::Send => self.actions.extend(self.mails.send(workspace, mail).map(ShardAction::SendMail)),
            MailNext::Later => self.mails.later(workspace, mail, now),
            MailNext::Wait => self.mails.wait(workspace, mail, now),
            // Removed once that is durable: until then a reload would find it owed and send it again.
            MailNext::Over => {}
        }
    }

    /// Entries that the workspace gave back: it is parked at the first, and what it still holds is its allowance.
    fn take_back(&mut self, workspace: &WorkspaceId, entries: &[EntryId]) {
        for entry in entries {
            self.unable.remove(entry);
            self.table.give_back(*entry);
        }
        if let Some(registered) = self.registry.get_mut(workspace) {
            registered.giving_back = false;
            registered.held = registered.held.saturating_sub(entries.len());
            registered.waiting = registered.waiting.saturating_sub(entries.len());
            if !entries.is_empty() {
                registered.allowance = registered.waiting.max(1);
            }
        }
        if let Some(first) = entries.iter().min() {
            self.registry.park(workspace, *first);
        }
        self.intake.freed(entries.len());
    }

    fn retired(&mut self, workspace: &WorkspaceId) {
        self.actions.push_back(ShardAction::Forget(workspace.clone()));
        let Some(registered) = self.registry.get_mut(workspace) else { return };
        registered.phase = Phase::Passive;
        if std::mem::take(&mut registered.wanted) || !registered.buffer.is_empty() {
            self.load(workspace);
        } else {
            self.registry.forget_unused(workspace);
        }
    }

    /// A workspace panicked. Its state is gone; it is loaded again after a pause and fed one entry at
    /// a time. What it panics over a second time is set aside.
    fn panicked(&mut self, workspace: &WorkspaceId, suspects: Suspects, now: Instant) {
        error!(%workspace, shard = self.identity.shard, "A workspace failed and is loaded again.");
        self.actions.push_back(ShardAction::Forget(workspace.clone()));
        let Some(was_suspect) = self.registry.get(workspace).map(|registered| registered.suspect) else { return };
        let found = self.blame(workspace, suspects, was_suspect, now);
        self.park_whole(workspace, now);
        self.mails.unasked(workspace, now);
        if let Some(registered) = self.registry.get_mut(workspace) {
            registered.suspect_more(!found);
        }
    }

    /// Sets aside what it panicked over for the second time. Returns whether there was one.
    fn blame(&mut self, workspace: &WorkspaceId, suspects: Suspects, was_suspect: bool, now: Instant) -> bool {
        match suspects {
            Suspects::Entry(entry) => was_suspect && self.reject_poison(workspace, entry, now),
            Suspects::Command(id) => {
                // One that is decided is settled already; its answer comes when its test is given up.
                let Some(held) = self.commands.get_mut(&id).filter(|held| !held.decided) else { return false };
                let again = std::mem::replace(&mut held.blamed, true);
                if again {
                    self.refuse(workspace, id, Refusal::Internal, now);
                }
                again
            }
            Suspects::None => false,
        }
    }

    /// Parks a workspace at its oldest un-attempted entry, so that these entries stay in the stream for a while.
    pub(super) fn park_whole(&mut self, workspace: &WorkspaceId, now: Instant) {
        let oldest = self.table.drop_waiting_of(workspace);
        self.unable.retain(|entry| self.table.item(*entry).is_some());
        let Some(registered) = self.registry.get_mut(workspace) else { return };
        registered.phase = Phase::Passive;
        registered.incarnation = 0;
        registered.held = registered.held.saturating_sub(registered.waiting);
        registered.waiting = 0;
        registered.giving_back = false;
        registered.survivors = true;
        registered.wanted = false;
        registered.buffer.clear();
        registered.note_crash(now);
        self.crashed.insert(workspace.clone());
        if let Some(oldest) = oldest {
            self.registry.park(workspace, oldest);
        }
    }

    /// What the last incarnation of a workspace left undone, and what came since: outcomes first.
    fn undone_of(&self, workspace: &WorkspaceId, survivors: bool) -> Vec<ToWorkspace> {
        let outcomes = if survivors { self.table.undecided_of(workspace) } else { Vec::new() };
        let test = self.tests.get(workspace).and_then(|test| test.end.clone());
        let outcomes = outcomes.into_iter().chain(test).map(|finished| ToWorkspace::Outcomes(vec![finished]));
        let undecided = self.commands.iter().filter(|(_, held)| held.workspace == *workspace && !held.decided);
        let mut commands: Vec<_> = undecided.map(|(id, held)| (*id, Arc::clone(&held.command))).collect();
        commands.sort_by_key(|(id, _)| *id);
        let commands = commands.into_iter().map(|(id, command)| ToWorkspace::Command(id, command));
        let mails = self.mails.undecided_of(workspace).into_iter();
        let mails = mails.map(|(mail, result)| ToWorkspace::MailResult(mail, result));
        outcomes.chain(commands).chain(mails).collect()
    }

    pub(super) fn refuse(&mut self, workspace: &WorkspaceId, id: EntryId, refusal: Refusal, now: Instant) {
        if let Some(held) = self.commands.get_mut(&id) {
            held.decided = true;
        }
        let answers = vec![(id, Answer::Refused { refusal })];
        let step = Step { workspace: Some(workspace.clone()), settled_commands: vec![id], answers, ..Step::default() };
        self.committer.push(step, None, now);
    }

    /// A load was answered.
    pub(in crate::actor) fn loaded(
        &mut self,
        workspace: &WorkspaceId,
        loaded: Result<Loaded, LoadError>,
        now: Instant,
    ) {
        if self.begins_anew(workspace, &loaded, now) {
            return;
        }
        match loaded {
            Ok(loaded) => self.activate(workspace, loaded),
            Err(error) => self.not_loaded(workspace, &error, now),
        }
    }

    fn activate(&mut self, workspace: &WorkspaceId, loaded: Loaded) {
        self.unavailable.remove(workspace);
        self.crashed.remove(workspace);
        let test_in_flight = self.go_on_with_test(workspace, &loaded);
        let mails_begun = self.mails.sending(workspace);
        let Some(registered) = self.registry.get_mut(workspace) else { return };
        self.incarnations += 1;
        registered.phase = Phase::Active;
        registered.incarnation = self.incarnations;
        if !registered.suspect {
            registered.crashes = 0;
        }
        let incarnation = registered.incarnation;
        let buffer = std::mem::take(&mut registered.buffer);
        let survivors = std::mem::take(&mut registered.survivors);
        let starts = if survivors { self.table.attempts_of(workspace) } else { Vec::new() };
        let attempting = starts.iter().map(|start| (start.item.entry, start.item.chat(), start.config)).collect();
        let seed = Box::new(Seed { loaded, attempting, test_in_flight, mails_begun });
        let mails = self.undone_of(workspace, survivors).into_iter().chain(buffer);
        self.actions.push_back(ShardAction::Activate { workspace: workspace.clone(), incarnation, seed });
        self.actions.extend(mails.map(|mail| ShardAction::Tell(workspace.clone(), mail)));
    }

    /// Whether the test POST of this process is the one that the workspace knows of. If not, the
    /// store was restored to an earlier state without it, and the POST is ignored.
    fn go_on_with_test(&mut self, workspace: &WorkspaceId, loaded: &Loaded) -> bool {
        let known = loaded.state.test.as_ref().map(|test| test.command);
        let Some(test) = self.tests.get(workspace) else { return false };
        let same = known == Some(test.command);
        if !same {
            self.tests.remove(workspace);
        }
        same
    }

    /// The workspace cannot be loaded: its entries stay in the stream, its commands are refused.
    fn not_loaded(&mut self, workspace: &WorkspaceId, error: &LoadError, now: Instant) {
        if self.unavailable.insert(workspace.clone()) {
            error!(%workspace, shard = self.identity.shard, error = error as &dyn Error, "A workspace cannot be loaded; it is parked and tried again.");
        }
        let ids: Vec<EntryId> = self
            .commands
            .iter()
            .filter(|(_, held)| held.workspace == *workspace && !held.decided)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.refuse(workspace, id, Refusal::WorkspaceUnavailable, now);
        }
        self.park_whole(workspace, now);
        self.mails.unasked(workspace, now);
    }

    /// A workspace's newest message was looked up.
    pub(in crate::actor) fn newest(
        &mut self,
        workspace: &WorkspaceId,
        id: EntryId,
        newest: Result<Option<Newest>, LoadError>,
        now: Instant,
    ) {
        match newest {
            Ok(newest) => self.deliver(workspace, ToWorkspace::Newest(id, newest), now),
            Err(error) => {
                warn!(%workspace, error = &error as &dyn Error, "The newest message of a workspace cannot be read.");
                self.deliver(workspace, ToWorkspace::Newest(id, None), now);
            }
        }
    }

    /// Attempts have ended.
    pub(in crate::actor) fn finished(&mut self, list: Vec<FinishedAttempt>, now: Instant) {
        let mut by_workspace: HashMap<WorkspaceId, Vec<FinishedAttempt>> = HashMap::default();
        let n = list.len();
        let working = self.is_running() || self.mode == super::ShardMode::Draining;
        for finished in list {
            if !self.accept(&finished, now) {
                continue;
            }
            let workspace = finished.start.workspace.clone();
            let is_suspect = self.registry.get(&workspace).is_some_and(|registered| registered.suspect);
            if !working {
                continue;
            }
            if is_suspect {
                self.tell(&workspace, ToWorkspace::Outcomes(vec![finished]), now);
            } else {
                by_workspace.entry(workspace).or_default().push(finished);
            }
        }
        for (workspace, list) in by_workspace {
            self.tell(&workspace, ToWorkspace::Outcomes(list), now);
        }
        self.wake_starved(n);
    }

    /// Notes the end of an attempt. Returns whether its workspace has to decide on it.
    fn accept(&mut self, finished: &FinishedAttempt, now: Instant) -> bool {
        if finished.start.trigger == Trigger::Test {
            let test = self.tests.get_mut(&finished.start.workspace);
            let Some(test) = test.filter(|test| Arc::ptr_eq(&test.start, &finished.start)) else { return false };
            test.end = Some(finished.clone());
            return true;
        }
        if !self.table.ended(finished) {
            return false;
        }
        match &finished.end {
            AttemptEnd::Done(_) => true,
            AttemptEnd::Unable(why) => self.accept_inability(finished, why, now),
        }
    }

    /// An attempt was not made: its entry waits again, in the workspace, or for its next incarnation.
    fn accept_inability(&mut self, finished: &FinishedAttempt, why: &str, now: Instant) -> bool {
        let item = &finished.start.item;
        let Some(registered) = self.registry.get_mut(&finished.start.workspace) else {
            // The shard is being loaded again: it is read with all others that were not attempted.
            self.table.give_back(item.entry);
            return false;
        };
        self.unable.insert(item.entry);
        if *self.unable_why != *why {
            self.unable_why = why.into();
        }
        self.table.waits_again(item);
        registered.waiting += 1;
        if registered.phase == Phase::Active {
            return true;
        }
        // First, because it is older than everything else of its chat in the buffer.
        registered.buffer.insert(0, ToWorkspace::Entries(vec![Arc::clone(item)]));
        let workspace = finished.start.workspace.clone();
        if !self.crashed.contains(&workspace) {
            self.reactivate(&workspace, now);
        }
        false
    }

    /// A mail was handed over, or not.
    pub(in crate::actor) fn mail_sent(
        &mut self,
        workspace: &WorkspaceId,
        mail: MailId,
        result: MailResult,
        now: Instant,
    ) {
        self.mails.answered(workspace, mail, result.clone());
        if self.is_running() || self.mode == super::ShardMode::Draining {
            self.tell(workspace, ToWorkspace::MailResult(mail, result), now);
        }
    }
}
