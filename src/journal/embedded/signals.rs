//! What the engine tells the others: new entries, and why it stopped.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{SetOnce, watch};

/// Why the journal does not work any more; set once.
pub(super) type Failure = Arc<SetOnce<String>>;

/// Why calls get no answer.
pub(super) fn reason(failure: &Failure) -> String {
    failure.get().cloned().unwrap_or_else(|| "the journal is closed; open it again".to_owned())
}

/// What the engine tells the others.
pub(super) struct Signals {
    /// By shard: something was appended.
    shards: Vec<watch::Sender<()>>,
    pub(super) rejected_deleted: AtomicU64,
}

impl Signals {
    pub(super) fn new(shards: u16) -> Arc<Self> {
        let shards = (0..shards).map(|_| watch::Sender::new(())).collect();
        Arc::new(Self { shards, rejected_deleted: AtomicU64::new(0) })
    }

    /// Something was appended to these shards.
    pub(super) fn appended(&self, mut shards: Vec<u16>) {
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            self.shards[usize::from(shard)].send_replace(());
        }
    }

    pub(super) fn shards(&self) -> u16 {
        u16::try_from(self.shards.len()).unwrap_or(u16::MAX)
    }

    /// Wakes when something was appended to the shard.
    pub(super) fn subscribe(&self, shard: u16) -> watch::Receiver<()> {
        self.shards[usize::from(shard)].subscribe()
    }
}
