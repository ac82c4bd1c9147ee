//! What tests look at: whether the entries of a workspace are whole, and what was decided on them.

use std::sync::Arc;

use super::{HeldAttempt, HeldEntries};
use crate::actor::admission::InFlight;
use crate::actor::protocol::{Effect, Start};
use crate::journal::port::Step;
use crate::message::EntryId;
use crate::workspace::{Policy, State};

impl HeldEntries {
    /// Between two decisions: every decided entry is in a step, and every end is known once.
    pub(in crate::actor) fn is_whole(&self) -> bool {
        let ends = self.queues.all_in_flight().filter(|held| matches!(held.attempt, HeldAttempt::Ended(_)));
        let mut ended: Vec<EntryId> = self.ended.iter().copied().collect();
        ended.sort_unstable();
        self.open == 0 && self.effects.is_empty() && ends.map(|held| held.item.entry).eq(ended)
    }

    pub(in crate::actor) fn decided_entries(&self) -> Vec<EntryId> {
        self.decided.iter().map(|held| held.item.entry).collect()
    }

    pub(in crate::actor) fn holds_attempted(&self, entry: EntryId) -> bool {
        let held = self.not_waiting().find(|held| held.item.entry == entry);
        held.is_some_and(|held| !matches!(held.attempt, HeldAttempt::None))
    }

    /// Takes the steps that were decided since the last time, and nothing else that was.
    pub(in crate::actor) fn take_steps(&mut self) -> Vec<Step> {
        let steps = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Commit(step, _) => Some(*step),
            _ => None,
        });
        steps.collect()
    }

    /// Takes the attempts that were begun since the last time, and nothing else that was decided.
    pub(in crate::actor) fn take_posts(&mut self) -> Vec<(Arc<Start>, InFlight)> {
        let posts = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Post(start, in_flight) => Some((start, in_flight)),
            _ => None,
        });
        posts.collect()
    }

    /// The entry was delivered in one go.
    pub(in crate::actor) fn begin_and_end(&mut self, entry: EntryId, state: &State) {
        self.queues.begin(entry, state.webhook.config);
        self.queues.end(entry, true, true, state, &Policy::default());
    }

    /// How many entries there are at any stage, and their bytes.
    pub(in crate::actor) fn count(&self) -> (usize, usize) {
        let all = self.queues.all().chain(&self.decided);
        all.fold((0, 0), |(entries, bytes), held| (entries + 1, bytes + held.bytes))
    }
}
