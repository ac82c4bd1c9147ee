//! What an operator should know of, since the start of the process.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct Counts {
    vanished: AtomicU64,
    rejected_deleted: AtomicU64,
}

impl Counts {
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
