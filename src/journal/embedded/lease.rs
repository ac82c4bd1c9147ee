//! Who holds which shard. Kept in memory by the engine; times come with each call.

use tokio::time::Instant;

use crate::journal::port::{AcquireError, Holder, ShardConnectionError};

/// The leases of all shards.
pub(super) struct Leases {
    shards: Vec<Option<Lease>>,
    last_nonce: u64,
}

struct Lease {
    node: String,
    nonce: u64,
    /// `None` once it was released.
    until: Option<Instant>,
    /// Why the holder's connection is dead.
    failed: Option<String>,
}

impl Leases {
    pub(super) fn new(shards: u16) -> Self {
        Self { shards: (0..shards).map(|_| None).collect(), last_nonce: 0 }
    }

    /// Takes the shard and answers with a nonce that fences every earlier holder. A live lease of the
    /// same node is always ours to take: the file's lock keeps other processes out.
    pub(super) fn acquire(&mut self, shard: u16, holder: &Holder, now: Instant) -> Result<u64, AcquireError> {
        if let Some(lease) = &self.shards[usize::from(shard)]
            && lease.node != holder.node
            && let Some(remaining) = lease.until.and_then(|until| until.checked_duration_since(now))
            && !remaining.is_zero()
        {
            return Err(AcquireError::Held { shard, node: lease.node.clone(), remaining });
        }
        self.last_nonce += 1;
        let until = Some(now + holder.lease);
        self.shards[usize::from(shard)] =
            Some(Lease { node: holder.node.clone(), nonce: self.last_nonce, until, failed: None });
        Ok(self.last_nonce)
    }

    /// Whether the shard connection with this nonce may go on. A lease that has ended but that nobody took may.
    pub(super) fn check(&self, shard: u16, nonce: u64) -> Result<(), ShardConnectionError> {
        let failed = |detail: &str| ShardConnectionError::Failed { shard, detail: detail.to_owned() };
        match &self.shards[usize::from(shard)] {
            Some(lease) if lease.nonce != nonce => Err(ShardConnectionError::Fenced { shard, by: lease.node.clone() }),
            Some(Lease { failed: Some(detail), .. }) => Err(failed(detail)),
            Some(Lease { until: Some(_), .. }) => Ok(()),
            _ => Err(failed("the shard was released; acquire it again")),
        }
    }

    /// Lets the lease live until `until`. Only after [`Leases::check`].
    pub(super) fn renew(&mut self, shard: u16, until: Instant) {
        if let Some(lease) = &mut self.shards[usize::from(shard)] {
            lease.until = Some(until);
        }
    }

    /// Lets others in at once. Only after [`Leases::check`].
    pub(super) fn release(&mut self, shard: u16) {
        if let Some(lease) = &mut self.shards[usize::from(shard)] {
            lease.until = None;
        }
    }

    /// Kills the holder's connection. Only after [`Leases::check`].
    pub(super) fn fail(&mut self, shard: u16, detail: &str) {
        if let Some(lease) = &mut self.shards[usize::from(shard)] {
            lease.failed = Some(detail.to_owned());
        }
    }
}
