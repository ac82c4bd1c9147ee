//! What a reader of someone else's stream remembers, and what it asks beside the group.

use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use super::identity::LastHanded;
use crate::config::STORE_TIMEOUT;
use crate::journal::redis::intake::xread;
use crate::journal::redis::read_connection::ReadConnection;
use crate::journal::redis::reply;
use crate::message::EntryId;

/// Reads one source.
#[derive(Debug)]
pub(in crate::journal::redis) struct GroupReader {
    pub(super) connection: ReadConnection,
    /// What is pending from here on is read before anything new; `None` once nothing is.
    pub(super) pending: Option<EntryId>,
    /// The last entry that was delivered to the group.
    pub(super) last: EntryId,
    /// The greatest entry that was handed over, of this reader.
    pub(super) handed: EntryId,
    /// What that entry is, where this reader has handed it over.
    pub(super) newest: Option<LastHanded>,
    /// How many readers there were of this source, this one among them, when it read first.
    pub(super) readers: Option<u64>,
    /// When it was told that the group was gone.
    pub(super) told: Option<Instant>,
    /// Its connection is of no use any more.
    pub(super) is_broken: bool,
}

impl GroupReader {
    pub(super) fn new(connection: ReadConnection) -> Self {
        let (last, handed) = (EntryId::ZERO, EntryId::ZERO);
        let (pending, is_broken) = (Some(EntryId::ZERO), false);
        Self { connection, pending, last, handed, newest: None, readers: None, told: None, is_broken }
    }

    /// Waits for an entry that the group was not given. Outside the group, for a group cannot be waited for under a
    /// nonce.
    pub(super) async fn wait(&mut self, source: &str, block: Duration) -> Result<(), RedisError> {
        if self.last == EntryId::ZERO {
            self.last = self.last_delivered(source).await?;
        }
        let read = xread(1, Some(block), &[(source.to_owned(), self.last)]);
        let answer = self.connection.call(&read, block + STORE_TIMEOUT).await?;
        let entry = reply::streams(answer)?.pop().and_then(|(_, entries)| Some(entries.last()?.id));
        if let Some(entry) = entry {
            // Whoever else reads with our group may have it; then it is not waited for twice.
            self.last = entry;
        }
        Ok(())
    }

    /// The last entry that the group was given; that before the first when there is none.
    async fn last_delivered(&mut self, source: &str) -> Result<EntryId, RedisError> {
        let mut info = redis::cmd("XINFO");
        info.arg("GROUPS").arg(source);
        let groups = match self.connection.call(&info, STORE_TIMEOUT).await {
            Err(error) if error.detail().is_some_and(|text| text.contains("no such key")) => return Ok(EntryId::ZERO),
            groups => reply::list(groups?)?,
        };
        for group in groups {
            let mut facts = reply::list(group)?.into_iter();
            let (mut is_ours, mut delivered) = (false, EntryId::ZERO);
            while let (Some(name), Some(value)) = (facts.next(), facts.next()) {
                match reply::text(name)?.as_str() {
                    "name" => is_ours = reply::text(value)? == "outbound",
                    "last-delivered-id" => delivered = reply::id(value)?,
                    _ => {}
                }
            }
            if is_ours {
                return Ok(delivered);
            }
        }
        Ok(EntryId::ZERO)
    }
}
