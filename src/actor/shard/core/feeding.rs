//! From a read to a workspace: what is taken up, what is set aside, what is parked.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::failed_reads::FailedReads;
use super::{HeldCommand, ShardCore};
use crate::actor::book::account::Account;
use crate::actor::maps::HashMap;
use crate::actor::protocol::{Item, Slot, ToWorkspace};
use crate::actor::rejections::RejectedNow;
use crate::actor::shard::entry::{read_command, read_item, read_workspace, workspace_of};
use crate::actor::shard::intake::Behind;
use crate::journal::port::{Bookmark, Polled, RawEntry, Rejected, Step};
use crate::journal::rejected::{rejected_fields_of, too_large};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::command::Action;

/// What became of an entry that was read forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// It is in the book, or was settled meanwhile.
    Held,
    /// It stays in the stream: its workspace is parked.
    Left,
}

impl ShardCore {
    /// A forward read was answered.
    pub(in crate::actor) fn polled(&mut self, polled: Polled, now: Instant) {
        self.failed_reads = FailedReads::default();
        if polled.is_elsewhere {
            return self.read_elsewhere();
        }
        let catch_up_is_due = self.book.catch_up_from(now).is_some();
        let behind = self.behind(catch_up_is_due);
        let strays = self.intake.polled(&polled, behind, now);
        if strays.is_some() {
            // What lies behind the cursor is not only what was left there.
            self.mark(Bookmark::default());
        }
        match strays {
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
        let cut: HashMap<EntryId, usize> = polled.cut.into_iter().collect();
        let (read, mut passed) = (polled.messages.len(), 0);
        for entry in polled.messages {
            let bytes = cut.get(&entry.id).copied();
            match self.take_forward(&entry, bytes, now) {
                Ok(Taken::Left) => passed += 1,
                Ok(Taken::Held) => {}
                Err(reason) => {
                    self.book.take_rejected(entry.id, entry.bytes());
                    self.set_aside(None, &entry, bytes.unwrap_or(entry.bytes()), &reason, now);
                }
            }
        }
        self.tell_rejected();
        self.intake.passed_over(passed, read);
        if self.intake.reads_ahead() {
            self.book.read_begins(self.intake.cursor());
        } else {
            self.book.read_ended();
        }
        if polled.commands.is_empty()
            && polled.commands_length.is_some_and(|length| length > self.commands.len() as u64)
        {
            // Some may have come with lower ids than those before. One that was settled meanwhile is counted, too.
            self.intake.read_commands_anew();
        }
        let settled = std::mem::take(&mut self.commands_settled);
        for entry in polled.commands.iter().filter(|entry| !settled.contains(&entry.id)) {
            self.take_command(entry, now);
        }
    }

    fn read_elsewhere(&mut self) {
        self.book.read_ended();
        self.intake.read_anew();
        self.mark(Bookmark::default());
        info!(shard = self.identity.shard, "Another server answers; the shard's streams are read from their start.");
    }

    /// # Errors
    /// Why the entry is no valid message.
    fn take_forward(&mut self, entry: &RawEntry, cut: Option<usize>, now: Instant) -> Result<Taken, String> {
        if let Some(bytes) = cut {
            // It was not read whole, so whose it is and whether it is held cannot be told from its fields.
            if self.book.knows(None, entry.id) {
                return Ok(Taken::Held);
            }
            return Err(too_large(bytes).unwrap_or_else(|| "the entry was not read whole".to_owned()));
        }
        let workspace = workspace_of(entry)?;
        let known = self.book.find(workspace);
        if self.book.knows(known, entry.id) {
            return Ok(Taken::Held);
        }
        // Of one that is parked each entry is passed over, and what it waits for is not counted each time.
        let open = known.filter(|slot| self.book.get(*slot).is_some_and(|account| !account.is_parked()));
        if let Some((slot, share)) = open.zip(self.intake.share(&self.book, now)) {
            self.book.limit(slot, share);
        }
        // After a reload it may be parked above the cursor: at an entry that was being attempted.
        let waits = |account: &Account| account.is_parked() || !account.has_allowance();
        if let Some(slot) = known.filter(|slot| self.book.get(*slot).is_some_and(waits)) {
            // Whether it is a message is asked when its turn comes: of a backlog each entry is passed over only.
            self.book.park(slot, entry.id);
            return Ok(Taken::Left);
        }
        let new = if known.is_none() { Some(read_workspace(workspace, &self.identity)?) } else { None };
        let item = read_item(entry, &self.identity)?;
        if let Some(slot) = known.or_else(|| new.map(|new| self.book.ensure(&new, now))) {
            self.take(slot, item, entry.bytes(), now);
        }
        Ok(Taken::Held)
    }

    fn take(&mut self, slot: Slot, item: Item, bytes: usize, now: Instant) {
        self.book.take(slot, item, bytes);
        self.wake(slot, now);
    }

    /// Sets an entry of so many bytes aside that is no valid message, or that its workspace cannot decide on.
    pub(super) fn set_aside(&mut self, slot: Option<Slot>, entry: &RawEntry, bytes: usize, reason: &str, now: Instant) {
        self.rejected_now.note(entry, reason);
        self.rejections.count(reason);
        let fields = rejected_fields_of(entry, bytes, reason, (self.clock)(), None);
        let rejected = vec![Rejected { id: entry.id, fields }];
        self.push_step(slot, Step { settled: vec![entry.id], rejected, ..Step::default() }.into(), None, now);
    }

    /// One line for all that were set aside together: a producer that has a mistake in it has it in all of them.
    pub(super) fn tell_rejected(&mut self) {
        let RejectedNow { count, first } = std::mem::take(&mut self.rejected_now);
        let Some((entry, workspace, reason)) = first else { return };
        let workspace = workspace.as_ref().map(WorkspaceId::as_str);
        warn!(shard = self.identity.shard, count, first = %entry, workspace, reason, "Entries were rejected.");
    }

    fn take_command(&mut self, entry: &RawEntry, now: Instant) {
        if self.commands.contains_key(&entry.id) {
            return;
        }
        match read_command(entry) {
            Ok((workspace, command)) => {
                let (slot, command) = (self.book.ensure(&workspace, now), Arc::new(command));
                let held = HeldCommand { slot, command: Arc::clone(&command), decided: false, blamed: false };
                self.commands.insert(entry.id, held);
                if let Some(account) = self.book.get_mut(slot) {
                    account.commands += 1;
                }
                if matches!(command.action, Action::Repair) {
                    self.begin_repair(slot, now);
                } else {
                    self.tell(slot, ToWorkspace::Command(entry.id, command), now);
                }
            }
            Err(reason) => {
                warn!(shard = self.identity.shard, entry = %entry.id, reason, "A command could not be read and was removed.");
                let step = Step { settled_commands: vec![entry.id], ..Step::default() };
                self.push_step(None, step.into(), None, now);
            }
        }
    }

    /// A catch-up was answered: due workspaces take up what they may, each up to its allowance.
    pub(in crate::actor) fn caught_up(&mut self, entries: Vec<RawEntry>, now: Instant) {
        let Some(catch_up) = self.intake.caught_up(&entries) else { return };
        // Whether each due workspace can take more. One that became due meanwhile and resumes below
        // this catch-up is not due for it: its next entry is not here.
        let due = self.book.due_from(catch_up.from, now);
        let mut due: HashMap<Slot, bool> = due.into_iter().map(|slot| (slot, true)).collect();
        let reached = if entries.len() < catch_up.count {
            catch_up.to
        } else {
            entries.last().map_or(catch_up.to, |last| last.id)
        };
        for entry in entries {
            self.take_caught_up(&entry, &mut due, now);
        }
        self.tell_rejected();
        self.book.catch_up_ended();
        self.pass(reached, &due);
    }

    fn take_caught_up(&mut self, entry: &RawEntry, due: &mut HashMap<Slot, bool>, now: Instant) {
        let slot = workspace_of(entry).ok().and_then(|workspace| self.book.find(workspace));
        let Some(slot) = slot else { return };
        let Some(open) = due.get_mut(&slot) else { return };
        let passed = |account: &Account| account.resume_from.is_none_or(|from| entry.id < from);
        if !*open || self.book.get(slot).is_none_or(passed) || self.book.knows(Some(slot), entry.id) {
            return;
        }
        if let Some(share) = self.intake.share(&self.book, now) {
            self.book.limit(slot, share);
        }
        if !self.book.get(slot).is_some_and(Account::has_allowance) {
            *open = false;
            return self.book.resume_at(slot, Some(entry.id));
        }
        match read_item(entry, &self.identity) {
            Ok(item) => self.take(slot, item, entry.bytes(), now),
            Err(reason) => {
                self.book.take_rejected(entry.id, entry.bytes());
                self.set_aside(None, entry, entry.bytes(), &reason, now);
            }
        }
    }

    /// Moves on every due workspace that took all there was; un-parks those that passed the last entry that they left.
    fn pass(&mut self, reached: EntryId, due: &HashMap<Slot, bool>) {
        let cursor = self.intake.cursor();
        for slot in due.iter().filter(|(_, open)| **open).map(|(slot, _)| *slot) {
            let Some(account) = self.book.get(slot) else { continue };
            // One that resumes above what the catch-up reached was not looked at.
            if account.resume_from.is_some_and(|from| from <= reached) {
                // What lies above the cursor is read forward.
                let (at, last) = (reached.next(), account.left_up_to.min(cursor));
                self.book.resume_at(slot, (at <= last).then_some(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::admission::{Admission, NodeCap};
    use crate::actor::maps::HashSet;
    use crate::actor::shard::core::ShardAction;
    use crate::actor::shard::entry::ShardIdentity;
    use crate::actor::shard::intake::Limits;
    use crate::config::{COMMAND_POLL, GIVE_BACK_AFTER, READ_AHEAD_MIN, READ_COUNT_MAX, READ_PASSED_MAX};
    use crate::journal::port::{Loaded, Poll};
    use crate::message::WorkspaceId;
    use crate::workspace::{State, Time};

    fn entry(ms: u64) -> RawEntry {
        let message = r#"{"contact":{},"direction":"sent","timestamp":"t","message_id":"m"}"#;
        let fields = vec![("workspace".into(), "acme".into()), ("message".into(), message.into())];
        RawEntry { id: EntryId { ms, n: 0 }, fields }
    }

    fn core_with(limits: Limits, now: Instant) -> ShardCore {
        let identity = ShardIdentity { shard: 0, shards: 1, prefix: "outbound".into() };
        let admission = Admission::new(NodeCap::new(1), std::time::Duration::ZERO);
        let mut core = ShardCore::new(identity, limits, || Time::from_unix_ms(0), admission, now);
        core.acquired(Vec::new(), None, &HashSet::default(), now, now);
        core
    }

    #[test]
    fn when_slow_workspaces_had_to_give_back_the_next_ones_leave_permits_for_a_quick_one() {
        let now = Instant::now();
        let limits = Limits { permits: 64, allowance: 32, share_min: 2, ..Limits::default() };
        let mut core = core_with(limits, now);
        let read = |core: &mut ShardCore, ids: std::ops::Range<u64>, workspace: &str| {
            for ms in ids {
                let mut entry = entry(ms);
                entry.fields[0].1 = workspace.to_owned().into();
                core.polled(Polled { messages: vec![entry], ..Polled::default() }, now);
            }
        };
        let held = |core: &ShardCore, workspace: &str| {
            let slot = core.book.find(workspace).unwrap();
            core.book.get(slot).unwrap().waiting()
        };
        read(&mut core, 1..41, "slow-a");
        read(&mut core, 41..81, "slow-b");
        assert_eq!((held(&core, "slow-a"), held(&core, "slow-b")), (32, 32), "while there are permits");
        for workspace in ["slow-a", "slow-b"] {
            let loaded = Loaded { state: State::default(), since_snapshot: 0, attempted: Vec::new() };
            core.loaded(&workspace.parse().unwrap(), Ok(loaded), now);
        }
        for now in [now, now + GIVE_BACK_AFTER] {
            while core.next_action(now).is_some() {}
        }
        assert_eq!(held(&core, "slow-a") + held(&core, "slow-b"), 33, "one of them gave all but its window back");
        for n in 1..=6_u64 {
            read(&mut core, n * 100..n * 100 + 40, &format!("slow-{n}"));
        }
        read(&mut core, 1_000..1_001, "quick");
        let others: Vec<usize> = (1..=6).map(|n| held(&core, &format!("slow-{n}"))).collect();
        assert_eq!((others.as_slice(), held(&core, "quick")), ([6, 5, 4, 3, 2, 2].as_slice(), 1));
        // What they left is fetched when they hold less than half of what they took, not at once.
        assert_eq!(core.book.catch_up_from(now), None);
    }

    /// What the next forward read asks for, after which all that it may find has come, the first with so much more text.
    fn read_on(core: &mut ShardCore, text: usize, now: Instant) -> Poll {
        let poll = std::iter::from_fn(|| core.next_action(now)).find_map(|action| match action {
            ShardAction::Poll(poll) => Some(poll),
            _ => None,
        });
        let poll = poll.unwrap();
        let ((after, count), first) = (poll.messages.unwrap(), core.intake.cursor().ms + 1);
        assert_eq!(after, core.intake.cursor());
        let mut messages: Vec<RawEntry> = (first..first + count as u64).map(entry).collect();
        messages[0].fields.push(("more".into(), "x".repeat(text).into()));
        core.polled(Polled { messages, ..Polled::default() }, now);
        poll
    }

    #[test]
    fn while_nearly_all_is_passed_over_more_is_read_at_a_time_and_ahead_but_not_of_large_entries() {
        let now = Instant::now();
        let mut core = core_with(Limits { allowance: 1, ..Limits::default() }, now);
        let asked = |core: &mut ShardCore, text: usize| {
            let poll = read_on(core, text, now);
            (poll.messages.unwrap().1, poll.ahead)
        };
        let counts = std::iter::successors(Some(READ_COUNT_MAX), |count| Some(count * 2));
        for count in counts.take_while(|count| *count < READ_PASSED_MAX) {
            let ahead = if count < READ_AHEAD_MIN { 0 } else { count * 2 };
            assert_eq!(asked(&mut core, 0), (count, ahead));
        }
        let small: Vec<_> = (0..3).map(|_| asked(&mut core, 0)).collect();
        assert_eq!(small, [(READ_PASSED_MAX, READ_PASSED_MAX); 3]);
        let large: Vec<_> = (0..2).map(|_| asked(&mut core, 100_000)).collect();
        assert_eq!(large, [(READ_PASSED_MAX, READ_PASSED_MAX), (41, 0)], "4 MiB at a time");
    }

    #[test]
    fn beside_reads_ahead_commands_are_looked_for_now_and_then() {
        let mut now = Instant::now();
        let mut core = core_with(Limits { allowance: 1, ..Limits::default() }, now);
        while read_on(&mut core, 0, now).ahead == 0 {}
        let looks = |core: &mut ShardCore, now| read_on(core, 0, now).commands.is_some();
        assert_eq!([looks(&mut core, now), looks(&mut core, now)], [false, false]);
        now += COMMAND_POLL;
        assert_eq!([looks(&mut core, now), looks(&mut core, now)], [true, false]);
    }

    #[test]
    fn what_was_settled_since_it_was_read_ahead_is_not_taken_up_again() {
        let now = Instant::now();
        let mut core = core_with(Limits { allowance: 1, ..Limits::default() }, now);
        while read_on(&mut core, 0, now).ahead == 0 {}
        // It was held above the cursor, as after a reload, and is in the answer that is on its way.
        let ahead = EntryId { ms: core.intake.cursor().ms + 5, n: 0 };
        core.book.settled(None, ahead);
        while core.next_action(now).is_some() {}
        let mut again = entry(ahead.ms);
        again.fields[0].1 = "quick".into();
        core.polled(Polled { messages: vec![again.clone()], ..Polled::default() }, now);
        assert_eq!(core.book.find("quick"), None);
    }

    #[test]
    fn another_server_is_read_from_its_start_and_what_lies_below_is_found() {
        let now = Instant::now();
        let mut core = core_with(Limits::default(), now);
        let asked = |core: &mut ShardCore| {
            std::iter::from_fn(|| core.next_action(now)).find_map(|action| match action {
                ShardAction::Poll(poll) => poll.messages.map(|(after, _)| after),
                _ => None,
            })
        };
        assert_eq!(asked(&mut core), Some(EntryId::ZERO));
        core.polled(Polled { messages: vec![entry(50)], ..Polled::default() }, now);
        assert_eq!(asked(&mut core), Some(EntryId { ms: 50, n: 0 }));
        core.polled(Polled { is_elsewhere: true, ..Polled::default() }, now);
        assert_eq!(asked(&mut core), Some(EntryId::ZERO));
        core.polled(Polled { messages: vec![entry(10), entry(60)], ..Polled::default() }, now);
        let held = [10, 50, 60].map(|ms| core.book.knows(core.book.find("acme"), EntryId { ms, n: 0 }));
        assert_eq!(held, [true; 3]);
    }

    #[test]
    fn what_comes_after_a_workspace_gave_back_stays_behind_what_it_gave_back() {
        let now = Instant::now();
        let acme: WorkspaceId = "acme".parse().unwrap();
        let mut core = core_with(Limits { permits: 3, ..Limits::default() }, now);
        core.polled(Polled { messages: (1..=3).map(entry).collect(), ..Polled::default() }, now);
        let loaded = Loaded { state: State::default(), since_snapshot: 0, attempted: Vec::new() };
        core.loaded(&acme, Ok(loaded), now);
        // No permit is free, and its window is one.
        for now in [now, now + GIVE_BACK_AFTER] {
            while core.next_action(now).is_some() {}
        }
        let slot = core.book.find("acme").unwrap();
        let held = [1, 2, 3, 4].map(|ms| core.book.knows(Some(slot), EntryId { ms, n: 0 }));
        assert_eq!(held, [true, false, false, false]);

        core.polled(Polled { messages: vec![entry(4)], ..Polled::default() }, now);
        assert!(!core.book.knows(Some(slot), EntryId { ms: 4, n: 0 }));
        assert_eq!(core.book.get(slot).unwrap().resume_from, Some(EntryId { ms: 2, n: 0 }));
    }
}
