//! From a read to a workspace: what is taken up, what is set aside, what is parked.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{HeldCommand, ShardCore};
use crate::actor::maps::HashMap;
use crate::actor::protocol::{Item, ToWorkspace};
use crate::actor::shard::entry::{raw_of, read_command, read_message};
use crate::actor::shard::intake::Behind;
use crate::journal::port::{Polled, RawEntry, Rejected, Step};
use crate::journal::rejected::rejected_fields;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::command::Action;

/// What was taken up, by workspace, in stream order.
type Taken = HashMap<WorkspaceId, Vec<Arc<Item>>>;

impl ShardCore {
    /// A forward read was answered.
    pub(in crate::actor) fn polled(&mut self, polled: Polled, now: Instant) {
        let behind = match (self.is_all_quiet(), self.registry.catch_up_from(now)) {
            (true, _) => Behind::Strays,
            (false, due) if self.is_still(due.is_some()) => Behind::Parked,
            (false, _) => Behind::Held,
        };
        match self.intake.polled(&polled, behind, now) {
            None => {}
            Some(Behind::Strays) => warn!(
                shard = self.identity.shard,
                rewinds = self.intake.rewinds,
                "Entries lie behind the cursor; the stream is read again from its start."
            ),
            Some(_) => debug!(
                shard = self.identity.shard,
                "The stream is read again from its start: entries may lie behind the cursor beside the parked ones."
            ),
        }
        if !self.is_running() {
            return;
        }
        let mut taken = Taken::default();
        for entry in polled.messages {
            self.take_forward(entry, &mut taken, now);
        }
        self.table.read_ended();
        self.feed(taken, now);
        for entry in polled.commands {
            self.take_command(&entry, now);
        }
    }

    fn take_forward(&mut self, entry: RawEntry, taken: &mut Taken, now: Instant) {
        if self.table.knows(entry.id) {
            return;
        }
        let bytes = entry.bytes();
        let (workspace, item) = match read_message(&entry, &self.identity, |text| self.registry.known(text)) {
            Ok(read) => read,
            Err(reason) => return self.reject(&entry, &reason, now),
        };
        let registered = self.registry.ensure(&workspace, now);
        // After a reload it may be parked above the cursor: at an entry that was being attempted.
        if registered.resume_from().is_some_and(|from| from <= item.entry) {
            return;
        }
        if registered.is_parked() || !registered.has_allowance() {
            return self.registry.park(&workspace, item.entry);
        }
        self.take(&workspace, Arc::new(item), bytes, taken);
    }

    fn take(&mut self, workspace: &WorkspaceId, item: Arc<Item>, bytes: usize, taken: &mut Taken) {
        if let Some(registered) = self.registry.get_mut(workspace) {
            registered.waiting += 1;
            registered.held += 1;
            self.table.take(workspace, Arc::clone(&item), bytes);
            taken.entry(workspace.clone()).or_default().push(item);
        }
    }

    fn feed(&mut self, taken: Taken, now: Instant) {
        for (workspace, items) in taken {
            self.deliver(&workspace, ToWorkspace::Entries(items), now);
        }
    }

    /// Sets an entry aside that is no valid message.
    fn reject(&mut self, entry: &RawEntry, reason: &str, now: Instant) {
        self.table.take_rejected(entry.id, entry.bytes());
        self.push_rejection(entry, reason, now);
    }

    fn push_rejection(&mut self, entry: &RawEntry, reason: &str, now: Instant) {
        warn!(shard = self.identity.shard, entry = %entry.id, reason, "An entry was rejected.");
        self.rejections.count(reason);
        let fields = rejected_fields(entry, reason, (self.clock)());
        let rejected = vec![Rejected { id: entry.id, fields }];
        self.committer.push(Step { settled: vec![entry.id], rejected, ..Step::default() }, None, now);
    }

    /// Sets an entry aside over which its workspace panicked twice; if it was attempted, it stays so.
    /// Returns whether it was there.
    pub(super) fn reject_poison(&mut self, workspace: &WorkspaceId, entry: EntryId, now: Instant) -> bool {
        let Some((item, _)) = self.table.item(entry) else { return false };
        if self.table.settling(entry)
            && let Some(registered) = self.registry.get_mut(workspace)
        {
            registered.waiting = registered.waiting.saturating_sub(1);
        }
        self.push_rejection(&raw_of(workspace, &item), "the service failed twice over this message", now);
        true
    }

    fn take_command(&mut self, entry: &RawEntry, now: Instant) {
        if self.commands.contains_key(&entry.id) {
            return;
        }
        match read_command(entry) {
            Ok((workspace, command)) => {
                let command = Arc::new(command);
                let held = HeldCommand {
                    workspace: workspace.clone(),
                    command: Arc::clone(&command),
                    decided: false,
                    blamed: false,
                };
                self.commands.insert(entry.id, held);
                self.registry.ensure(&workspace, now).commands += 1;
                if matches!(command.action, Action::Repair) {
                    self.begin_repair(&workspace, now);
                } else {
                    self.tell(&workspace, ToWorkspace::Command(entry.id, command), now);
                }
            }
            Err(reason) => {
                warn!(shard = self.identity.shard, entry = %entry.id, reason, "A command could not be read and was removed.");
                self.committer.push(Step { settled_commands: vec![entry.id], ..Step::default() }, None, now);
            }
        }
    }

    /// A catch-up was answered: due workspaces take up what they may, each up to its allowance.
    pub(in crate::actor) fn caught_up(&mut self, entries: Vec<RawEntry>, now: Instant) {
        let Some(catch_up) = self.intake.caught_up(&entries) else { return };
        // Whether each due workspace can take more. One that became due meanwhile and resumes below
        // this catch-up is not due for it: its next entry is not here.
        let due = self.registry.due_from(catch_up.from, now);
        let mut due: HashMap<WorkspaceId, bool> = due.into_iter().map(|workspace| (workspace, true)).collect();
        let reached = if entries.len() < catch_up.count {
            catch_up.to
        } else {
            entries.last().map_or(catch_up.to, |last| last.id)
        };
        let mut taken = Taken::default();
        for entry in entries {
            self.take_caught_up(&entry, &mut due, &mut taken);
        }
        self.table.catch_up_ended();
        self.pass(reached, &due);
        self.feed(taken, now);
    }

    fn take_caught_up(&mut self, entry: &RawEntry, due: &mut HashMap<WorkspaceId, bool>, taken: &mut Taken) {
        if self.table.knows(entry.id) {
            return;
        }
        let Ok((workspace, item)) = read_message(entry, &self.identity, |text| self.registry.known(text)) else {
            return;
        };
        let Some(open) = due.get_mut(&workspace).filter(|open| **open) else { return };
        let Some(registered) = self.registry.get(&workspace) else { return };
        if registered.resume_from().is_none_or(|from| entry.id < from) {
            return;
        }
        if registered.has_allowance() {
            self.take(&workspace, Arc::new(item), entry.bytes(), taken);
        } else {
            *open = false;
            self.registry.resume_at(&workspace, Some(entry.id));
        }
    }

    /// Moves on every due workspace that took all there was; un-parks those that passed the cursor.
    fn pass(&mut self, reached: EntryId, due: &HashMap<WorkspaceId, bool>) {
        let cursor = self.intake.cursor();
        for workspace in due.iter().filter(|(_, open)| **open).map(|(workspace, _)| workspace) {
            let Some(from) =
                self.registry.get(workspace).and_then(crate::actor::shard::registry::Registered::resume_from)
            else {
                continue;
            };
            // One that resumes above what the catch-up reached was not looked at.
            if from > reached {
                continue;
            }
            let at = reached.next();
            self.registry.resume_at(workspace, (at <= cursor).then_some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::actor::maps::HashSet;

    use super::*;
    use crate::actor::admission::{Admission, NodeCap};
    use crate::actor::protocol::Decided;
    use crate::actor::report_queue::{Reported, WorkspaceReport};
    use crate::actor::shard::entry::ShardIdentity;
    use crate::actor::shard::intake::Limits;
    use crate::journal::port::Loaded;
    use crate::workspace::{State, Time};

    fn entry(ms: u64) -> RawEntry {
        let message = r#"{"contact":{},"direction":"sent","timestamp":"t","message_id":"m"}"#;
        let fields = vec![("workspace".into(), "acme".into()), ("message".into(), message.into())];
        RawEntry { id: EntryId { ms, n: 0 }, fields }
    }

    #[test]
    fn what_comes_while_a_workspace_gives_back_stays_behind_what_it_gives_back() {
        let now = Instant::now();
        let acme: WorkspaceId = "acme".parse().unwrap();
        let identity = ShardIdentity { shard: 0, shards: 1, prefix: "outbound".into() };
        let admission = Admission::new(NodeCap::new(1), std::time::Duration::ZERO);
        let mut core = ShardCore::new(identity, Limits::default(), || Time::from_unix_ms(0), admission, now);
        core.acquired(Vec::new(), &HashSet::default(), now, now);
        core.polled(Polled { messages: vec![entry(1)], ..Polled::default() }, now);
        let loaded = Loaded { state: State::default(), since_snapshot: 0, attempted: Vec::new() };
        core.loaded(&acme, Ok(loaded), now);
        let registered = core.registry.get_mut(&acme).unwrap();
        registered.giving_back = true;
        let incarnation = registered.incarnation;

        core.polled(Polled { messages: vec![entry(2)], ..Polled::default() }, now);
        assert!(!core.table.knows(EntryId { ms: 2, n: 0 }));
        let decided = Decided { given_back: Some(vec![EntryId { ms: 1, n: 0 }]), ..Decided::default() };
        core.report(
            WorkspaceReport { workspace: acme.clone(), incarnation, what: Reported::Decided(Box::new(decided)) },
            now,
        );
        assert_eq!(core.registry.get(&acme).unwrap().resume_from(), Some(EntryId { ms: 1, n: 0 }));
    }
}
