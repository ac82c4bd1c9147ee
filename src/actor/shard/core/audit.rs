//! What tests look at: whether the counters of a shard's core agree with its table.

use super::{ShardCore, ShardMode};
use crate::message::EntryId;

impl ShardCore {
    /// Panics when a counter contradicts the table.
    pub(in crate::actor) fn audit(&self) {
        let counted = self.table.count_by_workspace();
        for (workspace, registered) in self.registry.iter() {
            let (waiting, held) = counted.get(workspace).copied().unwrap_or_default();
            assert_eq!((registered.waiting, registered.held), (waiting, held), "{workspace}: counters (waiting, held)");
            let commands = self.commands.values().filter(|held| held.workspace == *workspace).count();
            assert_eq!(registered.commands, commands, "{workspace}: commands");
        }
        for (workspace, (_, held)) in counted {
            let forgotten = self.registry.get(&workspace).is_none() && self.mode != ShardMode::Acquiring;
            assert!(!forgotten, "{workspace} holds {held} entries but is not registered");
        }
    }

    /// Whether the table knows of an attempt of the entry.
    pub(in crate::actor) fn holds_attempted(&self, entry: EntryId) -> bool {
        self.table.item(entry).is_some_and(|(_, attempted)| attempted)
    }

    /// Whether nothing is held, parked, unanswered or owed.
    pub(in crate::actor) fn is_settled(&self) -> bool {
        self.is_all_quiet()
            && self.commands.is_empty()
            && self.tests.is_empty()
            && !self.mails.any_sending()
            && self.mode == ShardMode::Running
    }
}

impl ShardCore {
    /// What a failed test prints.
    pub(in crate::actor) fn describe(&self) -> String {
        format!(
            "mode {:?}, starved {:?} {:?}, crashed {:?}, {:#?}",
            self.mode, self.starved, self.is_starved, self.crashed, self.registry
        )
    }

    /// Where each parked workspace resumes.
    pub(in crate::actor) fn parked(&self) -> Vec<String> {
        let parked = self.registry.iter().filter_map(|(workspace, registered)| {
            let at = registered.resume_from()?;
            Some(format!("{workspace}@{} waiting {} allowance {}", at.ms, registered.waiting, registered.allowance))
        });
        parked.collect()
    }
}
