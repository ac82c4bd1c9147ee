//! Which format is written to this Redis: what the nodes agree on, each time that they read who is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use redis::RedisError;
use tracing::{debug, info};

use super::connector::Connector;
use super::reply;
use super::script::Script;
use super::shared::SharedConnections;
use crate::journal::format::agreed;
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

    /// Draws the conclusion from a reading of the registry that this node stands in, and answers what the store says.
    /// The order matters: see [`crate::journal::format`].
    pub(super) async fn agree(
        &self,
        (connector, shared): (&Connector, &SharedConnections),
        (meta, shards): (&String, u16),
        reading: &NodesReading,
    ) -> Result<u32, RedisError> {
        let before = self.stored.load(Ordering::Acquire);
        let mut ask = redis::cmd("HGET");
        ask.arg(meta).arg("format");
        let told = reply::bytes(shared.call_repeatable(meta, &ask).await?)?;
        let mut stored = told.map_or(before, |text| stored_format(&String::from_utf8_lossy(&text)));
        let agreement = agreed(self.newest, before, reading.nodes.iter().map(|node| node.record.format));
        if let Some(format) = agreement.raise.filter(|format| *format > stored) {
            let mut raise = connector.script(Script::Meta, std::slice::from_ref(meta));
            raise.arg(format).arg(shards).arg("raise");
            match shared.call_repeatable(meta, &raise).await {
                Ok(_) => stored = format,
                // A full Redis refuses it; the older format is written until it takes it.
                Err(error) => debug!(%error, "Redis does not take that the nodes write a newer format."),
            }
        }
        self.stored.store(stored, Ordering::Release);
        let written = self.written.swap(agreement.write, Ordering::AcqRel);
        if written != agreement.write {
            let (format, newest) = (agreement.write, self.newest);
            info!(format, newest, "What is written from now on is what all nodes read.");
        }
        Ok(stored)
    }
}

/// What the meta key says. What is no number was written by no older program.
pub(super) fn stored_format(text: &str) -> u32 {
    text.parse().unwrap_or(u32::MAX)
}
