//! Reads streams forward, those of a held shard and the common input, each on a connection of its own: a blocking
//! read holds up whatever stands behind it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, RedisError, Value};

use super::connection::Connection;
use super::connector::Connector;
use super::error::store_error;
use super::keys::ShardKeys;
use super::reply;
use super::source::HeldBack;
use crate::config;
use crate::journal::port::{Poll, Polled, RawEntry, ShardIntake, StoreError};
use crate::message::EntryId;

/// See the module.
#[derive(Debug)]
pub(super) struct RedisIntake {
    connector: Arc<Connector>,
    keys: ShardKeys,
    /// Taken out while it is used: a poll that is dropped or fails drops the connection too, so no
    /// later one waits behind its blocking read or takes its answer.
    connection: Option<Connection>,
}

impl RedisIntake {
    pub(super) fn new(connector: Arc<Connector>, keys: ShardKeys) -> Self {
        Self { connector, keys, connection: None }
    }

    async fn read(&mut self, request: &Poll) -> Result<Polled, RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connector.connect(&self.keys.owner()).await?,
        };
        // Redis takes one COUNT for all streams of a read and answers a blocked one with the first
        // entry alone. So what is there is read first, each stream with its own count.
        let mut polled = self.read_now(&mut connection, request).await?;
        let empty = polled.messages.is_empty() && polled.commands.is_empty();
        if empty && !request.probe && !request.block.is_zero() {
            polled = self.read_blocking(&mut connection, request).await?;
        }
        self.connection = Some(connection);
        Ok(polled)
    }

    async fn read_now(&self, connection: &mut Connection, request: &Poll) -> Result<Polled, RedisError> {
        let mut reads = redis::pipe();
        if request.probe {
            // Asked first, so an entry that it counts is one that the read behind it finds, or that stands behind the
            // cursor. Not in a transaction: a full Redis refuses those, also for reading.
            reads.cmd("XLEN").arg(self.keys.messages());
        }
        for (stream, after, count) in self.wanted(request) {
            reads.add_command(xread(count, None, &[(stream, after)]));
        }
        if reads.is_empty() {
            return Ok(Polled::default());
        }
        let mut answers = connection.call_all(&reads, config::STORE_TIMEOUT).await?.into_iter();
        let length = if request.probe { answers.next().map(reply::number).transpose()? } else { None };
        let mut polled = Polled { length, ..Polled::default() };
        for answer in answers {
            self.sort(answer, &mut polled)?;
        }
        Ok(polled)
    }

    async fn read_blocking(&self, connection: &mut Connection, request: &Poll) -> Result<Polled, RedisError> {
        let wanted = self.wanted(request).collect::<Vec<_>>();
        let Some(count) = wanted.iter().map(|(_, _, count)| *count).min() else {
            tokio::time::sleep(request.block).await;
            return Ok(Polled::default());
        };
        let streams = wanted.into_iter().map(|(stream, after, _)| (stream, after)).collect::<Vec<_>>();
        let cmd = xread(count, Some(request.block), &streams);
        let answer = connection.call(&cmd, request.block + config::STORE_TIMEOUT).await?;
        let mut polled = Polled::default();
        self.sort(answer, &mut polled)?;
        Ok(polled)
    }

    /// The streams to read, from where and how much.
    fn wanted(&self, request: &Poll) -> impl Iterator<Item = (String, EntryId, usize)> {
        let messages = request.messages.map(|(after, count)| (self.keys.messages(), after, count));
        let commands = request.commands.map(|(after, count)| (self.keys.commands(), after, count));
        // COUNT 0 would mean without a limit.
        [messages, commands].into_iter().flatten().filter(|(_, _, count)| *count > 0)
    }

    fn sort(&self, answer: Value, polled: &mut Polled) -> Result<(), RedisError> {
        let messages = self.keys.messages();
        for (stream, entries) in reply::streams(answer)? {
            let to: &mut Vec<RawEntry> = if stream == messages { &mut polled.messages } else { &mut polled.commands };
            *to = entries;
        }
        Ok(())
    }
}

#[async_trait]
impl ShardIntake for RedisIntake {
    async fn poll(&mut self, request: &Poll) -> Result<Polled, StoreError> {
        self.read(request).await.map_err(|error| store_error("reading a shard's streams", error))
    }
}

/// Reads the common input.
#[derive(Debug)]
pub(super) struct SourceReader {
    pub(super) connection: Connection,
    /// Entries that were read while those before them were deleted, in order and without a gap.
    pub(super) ahead: Vec<RawEntry>,
    /// The last entry that was handed over since the source was found to be a new stream.
    last_anew: Option<EntryId>,
    /// Shards that refuse their entries.
    pub(super) held: HeldBack,
    /// Up to here all is handed over, but for what is held back.
    passed: EntryId,
    /// How far that was when the source was read from its start again.
    forward: EntryId,
}

impl SourceReader {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            ahead: Vec::new(),
            last_anew: None,
            held: HeldBack::default(),
            passed: EntryId::ZERO,
            forward: EntryId::ZERO,
        }
    }

    /// Notes that the source is a new stream from `first` on. Answers whether that was not known.
    pub(super) fn begin_anew(&mut self, first: EntryId) -> bool {
        let is_known = self.last_anew.is_some_and(|last| last < first);
        self.last_anew = Some(first);
        !is_known
    }

    pub(super) fn handed_over(&mut self, last: EntryId) {
        if self.last_anew.is_some() {
            self.last_anew = Some(last);
        }
        self.passed = last;
        if self.held.all_again() {
            // All that lies between is of shards that refused again.
            self.passed = last.max(std::mem::replace(&mut self.forward, EntryId::ZERO));
        }
    }

    /// Up to where all is handed over or held back.
    pub(super) fn passed(&self) -> EntryId {
        self.passed
    }

    /// What to read after: nothing is left behind it but what is held back.
    pub(super) fn after(&self) -> EntryId {
        if self.held.is_empty() { EntryId::ZERO } else { self.passed }
    }

    /// Reads from the start again, for shards that were held back.
    pub(super) fn retry(&mut self) {
        self.forward = self.forward.max(self.passed);
        self.passed = EntryId::ZERO;
        self.ahead.clear();
        self.held.retry();
    }

    /// Up to `max` entries above `after`.
    pub(super) async fn read(
        &mut self,
        source: &str,
        max: usize,
        after: EntryId,
        block: Option<Duration>,
    ) -> Result<Vec<RawEntry>, RedisError> {
        let read = xread(max, block, &[(source.to_owned(), after)]);
        let answer = self.connection.call(&read, block.unwrap_or_default() + config::STORE_TIMEOUT).await?;
        Ok(reply::streams(answer)?.pop().map(|(_, entries)| entries).unwrap_or_default())
    }
}

/// A read of everything after an entry, without a consumer group.
pub(super) fn xread(count: usize, block: Option<Duration>, streams: &[(String, EntryId)]) -> Cmd {
    let mut cmd = redis::cmd("XREAD");
    cmd.arg("COUNT").arg(count);
    if let Some(block) = block {
        // BLOCK 0 would mean forever.
        cmd.arg("BLOCK").arg(block.as_millis().max(1).to_string());
    }
    cmd.arg("STREAMS");
    for (stream, _) in streams {
        cmd.arg(stream);
    }
    for (_, after) in streams {
        cmd.arg(after.to_string());
    }
    cmd
}
