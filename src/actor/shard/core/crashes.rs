//! Workspaces that are loaded, that cannot be, and that panicked.

use std::error::Error;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{error, warn};

use super::{ShardAction, ShardCore};
use crate::actor::book::account::Phase;
use crate::actor::book::entries::HeldEntries;
use crate::actor::protocol::{Seed, Slot, Suspect, ToWorkspace};
use crate::actor::shard::entry::raw_of;
use crate::journal::port::{LoadError, Loaded, Newest, Step};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::command::{Answer, Command, Refusal};
use crate::workspace::configuration::WebhookStatus;

impl ShardCore {
    /// A load was answered.
    pub(in crate::actor) fn loaded(
        &mut self,
        workspace: &WorkspaceId,
        loaded: Result<Loaded, LoadError>,
        now: Instant,
    ) {
        let Some(slot) = self.book.find(workspace.as_str()) else { return };
        if self.begins_anew(slot, workspace, &loaded, now) {
            return;
        }
        match loaded {
            Ok(loaded) => self.activate(slot, workspace, loaded, None),
            Err(error) => self.not_loaded(slot, workspace, &error, now),
        }
    }

    /// Starts an actor for what was loaded, or hibernated with this status in the list.
    pub(super) fn activate(
        &mut self,
        slot: Slot,
        workspace: &WorkspaceId,
        loaded: Loaded,
        listed: Option<WebhookStatus>,
    ) {
        let Some(account) = self.book.get_mut(slot) else { return };
        self.unavailable.remove(workspace);
        self.crashed.remove(&slot);
        self.incarnations += 1;
        account.meet_actor(self.incarnations);
        // Whether the test POST of this process is the one that the workspace knows of. If not, the store was restored
        // to an earlier state without it, and the POST is ignored.
        let known = loaded.state.test.as_ref().map(|test| test.command);
        let entries = account.entries_mut();
        drop(entries.test.take_if(|test| Some(test.command) != known));
        let test_in_flight = entries.test.is_some();
        let seed = Box::new(Seed { loaded, listed, test_in_flight, mails_begun: self.mails.sending(workspace) });
        self.actions.push_back(ShardAction::Activate { slot, incarnation: self.incarnations, seed });
        let undone = self.undone_of(slot, workspace);
        self.actions.extend(undone.into_iter().map(|mail| ShardAction::Tell(slot, mail)));
    }

    /// What is undone for a workspace: outcomes first.
    fn undone_of(&mut self, slot: Slot, workspace: &WorkspaceId) -> Vec<ToWorkspace> {
        let mut undone = Vec::new();
        if let Some(account) = self.book.get_mut(slot)
            && account.entries().is_some_and(HeldEntries::has_work)
        {
            account.woken = true;
            undone.push(ToWorkspace::Wake);
        }
        let commands = self.undecided_commands(slot).into_iter();
        undone.extend(commands.map(|(id, command)| ToWorkspace::Command(id, command)));
        undone.extend(self.mails.asked_of(workspace).into_iter().map(ToWorkspace::MailTurn));
        let results = self.mails.undecided_of(workspace).into_iter();
        undone.extend(results.map(|(mail, result)| ToWorkspace::MailResult(mail, result)));
        undone
    }

    pub(super) fn undecided_commands(&self, slot: Slot) -> Vec<(EntryId, Arc<Command>)> {
        let undecided = self.commands.iter().filter(|(_, held)| held.slot == slot && !held.decided);
        let mut commands: Vec<_> = undecided.map(|(id, held)| (*id, Arc::clone(&held.command))).collect();
        commands.sort_by_key(|(id, _)| *id);
        commands
    }

    /// The workspace cannot be loaded: its entries stay in the stream, its commands are refused.
    fn not_loaded(&mut self, slot: Slot, workspace: &WorkspaceId, error: &LoadError, now: Instant) {
        if self.unavailable.insert(workspace.clone()) {
            error!(%workspace, shard = self.identity.shard, error = error as &dyn Error, "A workspace cannot be loaded; it is parked and tried again.");
        }
        for (id, _) in self.undecided_commands(slot) {
            self.refuse(slot, id, Refusal::WorkspaceUnavailable, now);
        }
        if let Some(account) = self.book.get_mut(slot) {
            account.lose_actor();
        }
        self.park_whole(slot, now);
    }

    pub(super) fn refuse(&mut self, slot: Slot, id: EntryId, refusal: Refusal, now: Instant) {
        let Some(account) = self.book.get(slot) else { return };
        let (workspace, answers) = (Some(account.id.clone()), vec![(id, Answer::Refused { refusal })]);
        let step = Step { workspace, settled_commands: vec![id], answers, ..Step::default() };
        self.push_step(Some(slot), step.into(), None, now);
    }

    /// A workspace panicked. Its state is gone; it is loaded again after a pause and fed one entry at
    /// a time. What it panics over a second time is set aside.
    pub(super) fn panicked(&mut self, slot: Slot, now: Instant) {
        self.actions.push_back(ShardAction::Forget(slot));
        let Some(account) = self.book.get_mut(slot) else { return };
        error!(workspace = %account.id, shard = self.identity.shard, "A workspace failed and is loaded again.");
        let (suspect, was_suspect) = (account.entries_mut().deciding, account.suspect);
        account.lose_actor();
        let found = match suspect {
            Suspect::Entry(entry) => was_suspect && self.reject_poison(slot, entry, now),
            Suspect::Command(id) => self.blame_command(slot, id, now),
            Suspect::Nothing => false,
        };
        self.park_whole(slot, now);
        if let Some(account) = self.book.get_mut(slot) {
            account.suspect_more(!found);
        }
    }

    /// Sets an entry aside over which its workspace panicked twice; if it was attempted, it stays so.
    /// Returns whether it was there.
    fn reject_poison(&mut self, slot: Slot, entry: EntryId, now: Instant) -> bool {
        let Some(account) = self.book.get_mut(slot) else { return false };
        let Some(item) = account.entries_mut().set_aside(entry) else { return false };
        let raw = raw_of(&account.id, &item);
        self.set_aside(Some(slot), &raw, raw.bytes(), "the service failed twice over this message", now);
        self.tell_rejected();
        true
    }

    /// A command over which its workspace panics a second time is refused. Returns whether it was.
    fn blame_command(&mut self, slot: Slot, id: EntryId, now: Instant) -> bool {
        // One that is decided is settled already; its answer comes when its test is given up.
        let Some(held) = self.commands.get_mut(&id).filter(|held| !held.decided) else { return false };
        let again = std::mem::replace(&mut held.blamed, true);
        if again {
            self.refuse(slot, id, Refusal::Internal, now);
        }
        again
    }

    /// Parks a workspace without an actor at its oldest un-attempted entry: these stay in the stream for a while.
    pub(super) fn park_whole(&mut self, slot: Slot, now: Instant) {
        for entry in self.book.give_all_back(slot) {
            self.unable.remove(&entry);
        }
        let Some(account) = self.book.get_mut(slot) else { return };
        account.note_crash(now);
        self.crashed.insert(slot);
        self.mails.unasked(&account.id, now);
    }

    /// A workspace's newest message was looked up. One that was loaded meanwhile asks again.
    pub(in crate::actor) fn newest(
        &mut self,
        workspace: &WorkspaceId,
        id: EntryId,
        newest: Result<Option<Newest>, LoadError>,
        now: Instant,
    ) {
        let newest = newest.unwrap_or_else(|error| {
            warn!(%workspace, error = &error as &dyn Error, "The newest message of a workspace cannot be read.");
            None
        });
        let slot = self.book.find(workspace.as_str());
        let active = |slot: &Slot| self.book.get(*slot).is_some_and(|account| account.phase == Phase::Active);
        if let Some(slot) = slot.filter(active) {
            self.tell(slot, ToWorkspace::Newest(id, newest), now);
        }
    }
}
