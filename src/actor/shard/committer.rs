//! Gathers what was decided into commits, and keeps all requests to the store in order.
//!
//! Other requests wait in the same queue as the steps before them, so that none is asked for before
//! those steps are in a commit that was made (port contract "Order").

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::actor::protocol::Slot;
use crate::config::{LINGER, LINGER_STEPS, RENEW_EVERY};
use crate::journal::port::{
    Batch, Bookmark, COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, COMMIT_SETTLED_MAX, COMMITS_IN_FLIGHT_MAX, OwedMail,
    ShardRequest, Step,
};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::event::MailId;
use crate::workspace::outcomes::Outcomes;

/// The requests that are not sent yet. Bounded by permits: each step settles entries or commands that the
/// shard holds, or belongs to the one mail or test that a workspace may have under way.
#[derive(Debug, Default)]
pub(super) struct Committer {
    queue: VecDeque<PendingRequest>,
    /// How many of them are steps.
    steps: usize,
    in_flight: VecDeque<Made>,
    /// When the first step of the queue came.
    gathering_since: Option<Instant>,
    last_made: Option<Instant>,
    number: u64,
    /// Goes with the next commit.
    bookmark: Option<Bookmark>,
}

#[derive(Debug)]
enum PendingRequest {
    Step(PendingStep),
    Other(ShardRequest),
}

/// A step, whose it is, and the test whose `TestStarted` it holds.
#[derive(Debug)]
struct PendingStep {
    slot: Option<Slot>,
    step: Box<Step>,
    test: Option<EntryId>,
}

/// A commit that was made and is not answered, and what its answer makes true.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) number: u64,
    at: Option<Instant>,
    /// `None`: an entry that is no message.
    pub(super) settled: Vec<(Option<Slot>, EntryId)>,
    pub(super) answered: Vec<(Slot, EntryId)>,
    pub(super) mails_owed: Vec<OwedMail>,
    pub(super) mails_ended: Vec<(WorkspaceId, MailId)>,
    pub(super) tests_started: Vec<(Slot, EntryId)>,
    pub(super) outcomes: Outcomes,
}

impl Committer {
    /// Queues a step of the workspace at `slot`. `test` names the test whose `TestStarted` it holds.
    pub(super) fn push(&mut self, slot: Option<Slot>, step: Box<Step>, test: Option<EntryId>, now: Instant) {
        self.gathering_since.get_or_insert(now);
        self.steps += 1;
        self.queue.push_back(PendingRequest::Step(PendingStep { slot, step, test }));
    }

    /// Stores a bookmark with the next commit, which is made for it alone if there is no other.
    pub(super) fn mark(&mut self, bookmark: Bookmark) {
        self.bookmark = Some(bookmark);
    }

    /// Queues a request that is no commit.
    pub(super) fn ask(&mut self, request: ShardRequest) {
        self.queue.push_back(PendingRequest::Other(request));
    }

    /// The next request, if one may be made now.
    pub(super) fn next(&mut self, now: Instant) -> Option<ShardRequest> {
        let is_other = |pending: &mut PendingRequest| matches!(pending, PendingRequest::Other(_));
        if let Some(PendingRequest::Other(request)) = self.queue.pop_front_if(is_other) {
            return Some(request);
        }
        if self.in_flight.len() >= COMMITS_IN_FLIGHT_MAX || !(self.is_ripe(now) || self.renewal_is_due(now)) {
            return None;
        }
        Some(self.make(now))
    }

    fn is_ripe(&self, now: Instant) -> bool {
        let Some(since) = self.gathering_since else { return false };
        let behind = self.queue.len() > self.steps;
        !self.queue.is_empty() && (behind || self.queue.len() >= LINGER_STEPS || now >= since + LINGER)
    }

    fn renewal_is_due(&self, now: Instant) -> bool {
        let is_due = self.bookmark.is_some() || self.last_made.is_none_or(|at| now >= at + RENEW_EVERY);
        self.in_flight.is_empty() && is_due
    }

    fn make(&mut self, now: Instant) -> ShardRequest {
        let mut batch = Batch { bookmark: self.bookmark.take(), ..Batch::default() };
        let mut made = Made { number: self.number, at: Some(now), ..Made::default() };
        let (mut events, mut settled, mut bytes) = (0, 0, 0);
        while let Some(PendingRequest::Step(PendingStep { step, .. })) = self.queue.front() {
            events += step.events();
            settled += step.settled.len() + step.settled_commands.len();
            bytes += step.bytes();
            let full = events > COMMIT_EVENTS_MAX || settled > COMMIT_SETTLED_MAX || bytes > COMMIT_BYTES_MAX;
            if full && !batch.steps.is_empty() {
                break;
            }
            let Some(PendingRequest::Step(pending)) = self.queue.pop_front() else { break };
            self.steps -= 1;
            made.take(&pending);
            batch.steps.push(*pending.step);
        }
        self.gathering_since = (self.steps > 0).then_some(now);
        self.last_made = Some(now);
        self.number += 1;
        let number = made.number;
        self.in_flight.push_back(made);
        ShardRequest::Commit { number, batch }
    }

    /// A commit was answered. Commits take effect in order, so all before it are durable as well. Their own
    /// answers come by tasks of their own and may arrive later; they are ignored then.
    pub(super) fn answered(&mut self, number: u64) -> Vec<Made> {
        let known = self.in_flight.iter().take_while(|made| made.number <= number).count();
        self.in_flight.drain(..known).collect()
    }

    /// When the oldest unanswered commit was made.
    pub(super) fn unanswered_since(&self) -> Option<Instant> {
        self.in_flight.front().and_then(|made| made.at)
    }

    /// Nothing waits and nothing is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// When [`Committer::next`] may return a request that it does not return now.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.in_flight.len() >= COMMITS_IN_FLIGHT_MAX {
            return None;
        }
        let renewal = if self.in_flight.is_empty() { self.last_made.map(|at| at + RENEW_EVERY) } else { None };
        [self.gathering_since.map(|since| since + LINGER), renewal].into_iter().flatten().min()
    }
}

impl Made {
    fn take(&mut self, PendingStep { slot, step, test }: &PendingStep) {
        self.settled.extend(step.settled.iter().map(|entry| (*slot, *entry)));
        self.outcomes += step.outcomes;
        self.mails_owed.extend(step.mails_owed.iter().cloned());
        if let Some(workspace) = &step.workspace {
            self.mails_ended.extend(step.mails_ended.iter().map(|mail| (workspace.clone(), *mail)));
        }
        if let Some(slot) = slot {
            self.answered.extend(step.answers.iter().map(|(id, _)| (*slot, *id)));
            self.tests_started.extend(test.map(|id| (*slot, id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_later_commit_makes_the_earlier_one_durable_too() {
        let (mut committer, mut now) = (Committer::default(), Instant::now());
        for entry in 1..=2 {
            let settled = vec![EntryId { ms: entry, n: 0 }];
            committer.push(None, Step { settled, ..Step::default() }.into(), None, now);
            now += LINGER;
            assert!(matches!(committer.next(now), Some(ShardRequest::Commit { .. })));
        }
        let settled: Vec<u64> =
            committer.answered(1).iter().flat_map(|made| &made.settled).map(|(_, id)| id.ms).collect();
        assert_eq!(settled, [1, 2]);
        assert!(committer.answered(0).is_empty() && committer.is_idle());
    }
}
