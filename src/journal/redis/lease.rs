//! What a shard is held with, and what its commits find.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::keys::ShardKeys;
use crate::config::Compression;

/// A shard that is held.
#[derive(Debug)]
pub(super) struct ShardLease {
    pub(super) shard: u16,
    pub(super) keys: ShardKeys,
    /// The acquisition's own: no other holder's commits are applied while it is stored.
    pub(super) nonce: String,
    /// How long the lease lives from a commit on.
    pub(super) duration: Duration,
    /// The number of commits before the first of this lease.
    pub(super) head: u64,
    /// Where findings are counted.
    pub(super) losses: Arc<Losses>,
    /// How attempts are stored.
    pub(super) compression: Compression,
    /// The format that they are stored in: what all nodes read now.
    pub(super) format: Arc<AtomicU32>,
    /// A commit of fewer attempts is a script's call.
    pub(super) transaction_attempts_min: usize,
}

/// A lease of another holder, as it was found when it was asked for.
#[derive(Debug)]
pub(super) struct WatchedLease {
    /// Changes with every renewal.
    pub(super) mark: String,
    /// How long it is.
    pub(super) lease: Duration,
    /// When it was first found so.
    pub(super) since: Instant,
}

/// What an operator should know of, counted since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Losses {
    vanished: AtomicU64,
    rejected_deleted: AtomicU64,
}

impl Losses {
    /// Counts entries that were gone before they were settled, and rejected entries that made room.
    pub(super) fn add(&self, vanished: u64, rejected_deleted: u64) {
        self.vanished.fetch_add(vanished, Ordering::Relaxed);
        self.rejected_deleted.fetch_add(rejected_deleted, Ordering::Relaxed);
    }

    pub(super) fn entries_vanished(&self) -> u64 {
        self.vanished.load(Ordering::Relaxed)
    }

    pub(super) fn rejected_deleted(&self) -> u64 {
        self.rejected_deleted.load(Ordering::Relaxed)
    }
}
