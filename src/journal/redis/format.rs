//! Which format is written to this Redis: what the nodes agree on, each time that they read who is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::info;

use crate::journal::format::{Agreement, agreed};
use crate::journal::port::NodesReading;

/// What this process knows of the format.
#[derive(Debug)]
pub(super) struct FormatInUse {
    /// The newest that this process may read and write.
    newest: u32,
    /// What the store said when it was asked last.
    stored: AtomicU32,
    /// What commits write; shared with every shard that is held.
    written: Arc<AtomicU32>,
}

impl FormatInUse {
    /// In a store that says `stored`. Until the other nodes are known it is written: nobody older can read there.
    pub(super) fn new(stored: u32, newest: u32) -> Self {
        Self { newest, stored: stored.into(), written: Arc::new(stored.min(newest).into()) }
    }

    pub(super) fn written(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.written)
    }

    /// What follows from a reading of the registry that this node stands in, made since the store was asked last.
    pub(super) fn agreed(&self, reading: &NodesReading) -> Agreement {
        agreed(self.newest, self.stored(), reading.nodes.iter().map(|node| node.record.format))
    }

    /// What the store said when it was asked last.
    pub(super) fn stored(&self) -> u32 {
        self.stored.load(Ordering::Acquire)
    }

    /// Notes what the store says, and what is written from now on.
    pub(super) fn note(&self, stored: u32, write: u32) {
        self.stored.store(stored, Ordering::Release);
        let written = self.written.swap(write, Ordering::AcqRel);
        if written != write {
            let newest = self.newest;
            info!(format = write, newest, "What is written from now on is what all nodes read.");
        }
    }
}

/// What the meta key says. What is no number was written by no older program.
pub(super) fn stored_format(text: &str) -> u32 {
    text.parse().unwrap_or(u32::MAX)
}
