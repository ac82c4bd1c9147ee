//! Shards that refuse what is handed over to them. Their entries stay in the common input; those of the other shards
//! go on.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::config::HAND_OVER_RETRY;
use crate::message::EntryId;

/// Shards that took nothing when they were asked last, and how far the source was read without them.
#[derive(Debug, Default)]
pub(in crate::journal::redis) struct HeldBack {
    shards: BTreeSet<u16>,
    /// Those that are being tried again, until one of them takes something.
    retrying: BTreeSet<u16>,
    /// Up to here nothing is left but entries of those that are being tried again.
    forward: EntryId,
    /// Those that are known to refuse, whether they are being tried again or not.
    refusing: BTreeSet<u16>,
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
        self.shards.insert(shard);
        self.refusing.insert(shard)
    }

    /// The shard took something. Answers whether it had refused before.
    pub(in crate::journal::redis) fn works(&mut self, shard: u16) -> bool {
        if self.retrying.contains(&shard) {
            // More of its entries may lie anywhere up to there.
            self.begin_anew();
        }
        self.refusing.remove(&shard)
    }

    pub(in crate::journal::redis) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// While some are being tried again no other try begins: it would read from the start of the source again, and where
    /// that takes longer than the pause, never get beyond what they refuse.
    pub(in crate::journal::redis) fn retry_is_due(&self, now: Instant) -> bool {
        self.retrying.is_empty() && self.retry_at.is_some_and(|at| now >= at)
    }

    /// All are tried again, from the start of the source, which was read up to `passed` without them.
    pub(in crate::journal::redis) fn retry(&mut self, passed: EntryId) {
        self.forward = self.forward.max(passed);
        self.retrying.append(&mut self.shards);
        self.retry_at = None;
    }

    /// Everything up to `last` was handed over or held back. Answers up to where that is so: far behind it once all that
    /// were tried again have refused again.
    pub(in crate::journal::redis) fn passed(&mut self, last: EntryId, now: Instant) -> EntryId {
        if self.retrying.is_empty() || (last < self.forward && !self.retrying.is_subset(&self.shards)) {
            return last;
        }
        let passed = last.max(self.forward);
        self.begin_anew();
        // What is new has its turn before the next try.
        self.retry_at = (!self.shards.is_empty()).then(|| now + HAND_OVER_RETRY);
        passed
    }

    /// The source is read on one entry after the other, which is right whatever was passed over before.
    pub(in crate::journal::redis) fn begin_anew(&mut self) {
        self.retrying.clear();
        self.forward = EntryId::ZERO;
    }
}
