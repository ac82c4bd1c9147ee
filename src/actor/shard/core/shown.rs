//! What a shard shows of itself: its troubles, and what waits in it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{ShardCore, ShardCounts, ShardMode};
use crate::actor::book::entries::HeldEntries;
use crate::actor::protocol::Item;
use crate::actor::waiting_board::WaitingWorkspaces;
use crate::config::WAITING_MIN;
use crate::workspace::event::entry_named_by;
use crate::workspace::time::Time;
use crate::workspace::view::WaitingView;

impl ShardCore {
    pub(in crate::actor) fn counts(&self, now: Instant) -> ShardCounts {
        let store_is_silent = self.mode == ShardMode::Running && !self.admission.is_open(now);
        let unable_why = (!self.unable.is_empty()).then(|| Arc::clone(&self.unable_why));
        ShardCounts {
            unavailable: self.unavailable.len(),
            unable: self.unable.len(),
            unable_why,
            store_is_silent,
            unread_why: self.failed_reads.why(),
        }
    }

    /// Whether it holds a message, or left one in the stream.
    pub(in crate::actor) fn any_held(&self) -> bool {
        !self.book.is_empty() || self.book.any_parked()
    }

    /// What waits for its turn. Of a parked workspace more lies in the stream.
    pub(in crate::actor) fn waiting(&self) -> WaitingWorkspaces {
        let at = |ms: u64| Time::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX));
        let full = self.book.len() >= self.limits.permits;
        let (now, mut waiting) = ((self.clock)(), WaitingWorkspaces::default());
        for (_, account) in self.book.iter() {
            let came = |item: &Item| at(entry_named_by(&item.webhook_id).unwrap_or(item.entry).ms);
            let held = account.entries().into_iter().flat_map(HeldEntries::all_waiting).map(came);
            // One more lies at least where it resumes.
            let parked = account.resume_from.map(|from| at(from.ms));
            let late = held.chain(parked).filter(|came| now.since(*came) >= WAITING_MIN);
            if let Some(oldest_at) = late.clone().min() {
                let at_least = parked.is_some() || full;
                waiting.insert(account.id.clone(), WaitingView { count: late.count() as u64, at_least, oldest_at });
            }
        }
        waiting
    }
}
