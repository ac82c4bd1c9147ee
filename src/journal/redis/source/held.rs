//! Shards that refuse what is handed over to them. Their entries stay in the common input; those of the other shards
//! go on.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::config::HAND_OVER_RETRY;

/// Shards that took nothing when they were asked last.
#[derive(Debug, Default)]
pub(in crate::journal::redis) struct HeldBack {
    shards: BTreeSet<u16>,
    /// Those that are being tried again.
    retrying: BTreeSet<u16>,
    retry_at: Option<Instant>,
}

impl HeldBack {
    pub(in crate::journal::redis) fn contains(&self, shard: u16) -> bool {
        self.shards.contains(&shard)
    }

    /// Whether nothing is held back.
    pub(in crate::journal::redis) fn is_empty(&self) -> bool {
        self.shards.is_empty() && self.retrying.is_empty()
    }

    /// The shard refused. Answers whether it did not before.
    pub(in crate::journal::redis) fn hold(&mut self, shard: u16, now: Instant) -> bool {
        self.retry_at.get_or_insert(now + HAND_OVER_RETRY);
        self.shards.insert(shard) && !self.retrying.contains(&shard)
    }

    /// The shard took something. Answers whether it had refused before.
    pub(in crate::journal::redis) fn works(&mut self, shard: u16) -> bool {
        self.retrying.remove(&shard)
    }

    pub(in crate::journal::redis) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(in crate::journal::redis) fn retry_is_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| now >= at)
    }

    /// All are tried again.
    pub(in crate::journal::redis) fn retry(&mut self) {
        self.retrying.append(&mut self.shards);
        self.retry_at = None;
    }

    /// Whether all that were tried again refused again; asked once a retry.
    pub(in crate::journal::redis) fn all_again(&mut self) -> bool {
        let all = !self.retrying.is_empty() && self.retrying.is_subset(&self.shards);
        if all {
            self.retrying.clear();
        }
        all
    }
}
