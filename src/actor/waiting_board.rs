//! What waits for its turn, by workspace, as each shard of this node tells it every [`WAITING_TOLD_EVERY`] while anything
//! does. The facade shows it; of a shard that another node holds nothing is known here.

use std::cmp::Reverse;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::actor::maps::HashMap;
use crate::config::WAITING_TOLD_EVERY;
use crate::message::WorkspaceId;
use crate::workspace::view::WaitingView;

/// Bounded: a shard names the workspaces of the entries that it holds, and the parked ones.
#[derive(Debug, Default)]
pub(super) struct WaitingBoard(Mutex<HashMap<u16, WaitingWorkspaces>>);

/// What waits in one shard.
pub(super) type WaitingWorkspaces = HashMap<WorkspaceId, WaitingView>;

impl WaitingBoard {
    /// All that waits in the shard; takes the place of what it told before.
    pub(super) fn set(&self, shard: u16, waiting: WaitingWorkspaces) {
        if waiting.is_empty() {
            self.0.lock().remove(&shard);
        } else {
            self.0.lock().insert(shard, waiting);
        }
    }

    /// What waits of a workspace of the shard.
    pub(super) fn of(&self, shard: u16, workspace: &WorkspaceId) -> Option<WaitingView> {
        self.0.lock().get(&shard)?.get(workspace).cloned()
    }

    /// The workspaces whose oldest message has waited longest, at most `count` of them, the longest first.
    pub(super) fn longest(&self, count: usize) -> Vec<(WorkspaceId, WaitingView)> {
        let shards = self.0.lock();
        let mut all: Vec<_> = shards.values().flatten().collect();
        let by_rank = |a: &(&WorkspaceId, &WaitingView), b: &(&WorkspaceId, &WaitingView)| {
            (a.1.oldest_at, Reverse(a.1.count), a.0).cmp(&(b.1.oldest_at, Reverse(b.1.count), b.0))
        };
        // There may be very many, and shards that tell of theirs wait meanwhile.
        if all.len() > count {
            all.select_nth_unstable_by(count, by_rank);
            all.truncate(count);
        }
        all.sort_unstable_by(by_rank);
        all.into_iter().map(|(workspace, waiting)| (workspace.clone(), waiting.clone())).collect()
    }
}

/// Tells the board what waits in one shard.
pub(super) struct WaitingTeller {
    tell: Box<dyn Fn(WaitingWorkspaces)>,
    due: Instant,
    /// Whether anything was told to wait.
    any: bool,
}

impl WaitingTeller {
    pub(super) fn new(tell: Box<dyn Fn(WaitingWorkspaces)>) -> Self {
        Self { tell, due: Instant::now(), any: false }
    }

    /// When it is to be told next, where anything is held or was told to wait.
    pub(super) fn due(&self, any_held: bool) -> Option<Instant> {
        (any_held || self.any).then_some(self.due)
    }

    /// Tells it, if that is due.
    pub(super) fn tell(&mut self, now: Instant, waiting: impl FnOnce() -> WaitingWorkspaces) {
        if now < self.due {
            return;
        }
        let waiting = waiting();
        if self.any || !waiting.is_empty() {
            self.any = !waiting.is_empty();
            (self.tell)(waiting);
        }
        self.due = now + WAITING_TOLD_EVERY;
    }
}
