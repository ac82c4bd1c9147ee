//! Reading a held shard's streams forward.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::errors::StoreError;
use crate::message::EntryId;

/// Reads a held shard's streams forward. Reading changes nothing in the store.
#[async_trait]
pub trait ShardIntake: Send {
    /// Reads entries after the cursors, waiting up to `request.block` for the first. With
    /// `request.probe` it does not wait and also tells the length of the message stream.
    ///
    /// # Errors
    /// The store is away; the adapter has dropped its connection and makes a new one at the next call.
    async fn poll(&mut self, request: &Poll) -> Result<Polled, StoreError>;
}

/// What to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Poll {
    /// Messages after this entry, at most so many. `None`: none.
    pub messages: Option<(EntryId, usize)>,
    /// Commands after this entry, at most so many. `None`: none.
    pub commands: Option<(EntryId, usize)>,
    /// How long to wait for the first entry.
    pub block: Duration,
    /// Do not wait, and tell the length of the message stream as of the same moment.
    pub probe: bool,
    /// The next poll is likely to ask for so many messages after the last one of this one, so whoever can reads them ahead; 0: that
    /// is not known. What is settled until then may still be among them.
    pub ahead: usize,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Polled {
    /// Messages, in order.
    pub messages: Vec<RawEntry>,
    /// Those of the messages that were too large to be read whole, by how many bytes they have: of such a one the first
    /// fields are there, as many and as long as [`crate::journal::rejected`] keeps.
    pub cut: Vec<(EntryId, usize)>,
    /// Commands, in order: fields `workspace` and `command` (JSON).
    pub commands: Vec<RawEntry>,
    /// The length of the message stream, when probed.
    pub length: Option<u64>,
    /// That of the command stream, as of just before it was read; told now and then.
    pub commands_length: Option<u64>,
    /// Another server answers than the last time. What it holds may lie anywhere behind what the other one told, so the
    /// streams are to be read from their start; nothing else is in the answer.
    pub is_elsewhere: bool,
}

/// One stream entry as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Its id.
    pub id: EntryId,
    /// Its fields, in order.
    pub fields: Vec<(Bytes, Bytes)>,
}

impl RawEntry {
    /// The value of the first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Bytes> {
        self.fields.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }

    /// The first of `names` that more than one field has.
    #[must_use]
    pub fn twice<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        let times = |name: &str| self.fields.iter().filter(|(key, _)| key == name.as_bytes()).count();
        // Nearly all entries have no more fields than they need.
        if self.fields.len() <= names.len() { None } else { names.iter().copied().find(|name| times(name) > 1) }
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fields.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}
