//! What the store says of itself: how new a format may be found in it, how many shards it has, which keys seal something.

use redis::{RedisError, Value};
use tracing::{debug, warn};

use super::error::is_away;
use super::format::stored_format;
use super::inner::RedisInner;
use super::reply;
use super::script::Script;
use crate::journal::port::NodesReading;

/// What it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredMeta {
    pub(super) format: u32,
    /// Nothing where it does not say it now.
    pub(super) shards: Option<u16>,
}

impl RedisInner {
    /// Draws the conclusion from a reading of the registry that this node stands in, and answers what the store says.
    /// The order matters: see [`crate::journal::format`].
    pub(super) async fn agree(&self, reading: &NodesReading) -> Result<StoredMeta, RedisError> {
        let agreement = self.format.agreed(reading);
        let mut meta = self.stored_meta().await?;
        if let Some(format) = agreement.raise.filter(|format| *format > meta.format) {
            match self.fix_meta(format, "raise").await {
                Ok(_) => meta.format = format,
                // A full Redis refuses it; the older format is written until it takes it.
                Err(error) => debug!(%error, "Redis does not take that the nodes write a newer format."),
            }
        }
        self.format.note(meta.format, agreement.write);
        Ok(meta)
    }

    /// Where a part of it is gone it is written again: whoever starts next would take the store for a new one.
    async fn stored_meta(&self) -> Result<StoredMeta, RedisError> {
        let (key, before) = (self.keys.meta(), self.format.stored());
        let mut ask = redis::cmd("HMGET");
        ask.arg(&key).arg("format").arg("shards");
        let mut told = self.shared.call_repeatable(&key, &ask).await.and_then(reply::list)?;
        if told.contains(&Value::Nil) {
            match self.fix_meta(before, "").await {
                Ok(fixed) => {
                    warn!("What Redis says of the store was lost, as when somebody empties it; it was written again.");
                    told = fixed;
                }
                Err(error) if is_away(&error) => return Err(error),
                // A full Redis refuses it until it has room.
                Err(error) => debug!(%error, "Redis does not take again what it has lost of the store."),
            }
        }
        let mut texts = told.into_iter().map(|value| reply::text(value).ok().filter(|text| !text.is_empty()));
        let mut next = || texts.next().flatten();
        let format = next().map_or(before, |text| stored_format(&text));
        Ok(StoredMeta { format, shards: next().and_then(|text| text.parse().ok()) })
    }

    /// Has written what is not there, with the keys that are known to seal something: one that seals nothing any more is
    /// found out at a start. Answers format and number of shards.
    async fn fix_meta(&self, format: u32, raise: &str) -> Result<Vec<Value>, RedisError> {
        let key = self.keys.meta();
        let mut cmd = self.connector.script(Script::Meta, std::slice::from_ref(&key));
        cmd.arg(format).arg(self.shards).arg(raise);
        for (field, print) in self.sealing_fields() {
            cmd.arg(field).arg(print);
        }
        self.shared.call_repeatable(&key, &cmd).await.and_then(reply::list)
    }
}
