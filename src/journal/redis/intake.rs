//! Reads the streams of a held shard forward, on a connection of its own: a blocking read holds up whatever stands behind
//! it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, RedisError, Value};
use tokio::time::Instant;

use super::connection::ServerId;
use super::connector::Connector;
use super::error::{store_error, timed_out};
use super::keys::ShardKeys;
use super::read_connection::ReadConnection;
use super::read_guard::ReadGuard;
use super::reply;
use super::resp::RawAnswer;
use super::take::{self, ReadFrom};
use crate::config::{self, READ_BYTES_MAX};
use crate::journal::port::{Poll, Polled, RawEntry, ShardIntake, StoreError};
use crate::message::EntryId;

/// How often the length of the command stream is asked for.
const COMMANDS_TOLD_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct RedisIntake {
    connector: Arc<Connector>,
    keys: ShardKeys,
    /// Taken out while it is used: a poll that is dropped or fails drops the connection too, so no
    /// later one waits behind its blocking read or takes its answer.
    connection: Option<ReadConnection>,
    /// The server that was connected to last.
    server: Option<ServerId>,
    /// Says how the messages are read.
    guard: ReadGuard,
    /// When the length of the command stream is told next.
    commands_told_at: Instant,
}

impl RedisIntake {
    pub(super) fn new(connector: Arc<Connector>, keys: ShardKeys) -> Self {
        Self {
            connector,
            keys,
            connection: None,
            server: None,
            guard: ReadGuard::default(),
            commands_told_at: Instant::now(),
        }
    }

    async fn read(&mut self, request: &Poll) -> Result<Polled, RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = self.connector.connect_for_reads(&self.keys.owner()).await?;
                let server = connection.server().clone();
                // One that slept and was followed may have told of entries that no other one has, with greater ids than
                // what its follower was given meanwhile.
                if self.server.replace(server.clone()).is_some_and(|before| before != server) {
                    self.connection = Some(connection);
                    return Ok(Polled { is_elsewhere: true, ..Polled::default() });
                }
                connection
            }
        };
        let (connector, owner, to) = (Arc::clone(&self.connector), self.keys.owner(), Arc::clone(connection.to()));
        let silent_since = Instant::now() + request.block;
        let polled = tokio::select! {
            biased;
            polled = self.read_on(&mut connection, request) => polled?,
            () = connector.replaced(&owner, &to, silent_since) => return Err(timed_out()),
        };
        self.connection = Some(connection);
        Ok(polled)
    }

    /// Redis takes one COUNT for all streams of a read and answers a blocked one with the first entry alone. So what is
    /// there is read first, each stream with its own count.
    async fn read_on(&mut self, connection: &mut ReadConnection, request: &Poll) -> Result<Polled, RedisError> {
        let polled = self.read_now(connection, request).await?;
        let empty = polled.messages.is_empty() && polled.commands.is_empty();
        if empty && !request.probe && !request.block.is_zero() {
            let commands_length = polled.commands_length;
            return Ok(Polled { commands_length, ..self.read_blocking(connection, request).await? });
        }
        Ok(polled)
    }

    async fn read_now(&mut self, connection: &mut ReadConnection, request: &Poll) -> Result<Polled, RedisError> {
        let ahead = self.take_ahead(connection, request).await?;
        let rest = if ahead.is_some() { Poll { messages: None, ..*request } } else { *request };
        let mut polled = self.read_asked(connection, &rest).await?;
        let last = match &ahead {
            Some(answer) => answer.last_entry(),
            None => polled.messages.last().map(|last| (polled.messages.len(), last.id)),
        };
        // Before entries are made of the answer: Redis reads meanwhile.
        self.read_ahead(connection, request, last).await?;
        if let Some(answer) = ahead {
            self.sort(&answer, &mut polled)?;
        }
        Ok(polled)
    }

    /// The answer to what was read ahead, if that is what is wanted now; else it is dropped.
    async fn take_ahead(
        &self,
        connection: &mut ReadConnection,
        request: &Poll,
    ) -> Result<Option<RawAnswer>, RedisError> {
        let Some(ahead) = connection.ahead.take() else { return Ok(None) };
        let answer = connection.answer(2 * READ_BYTES_MAX, self.guard.timeout()).await?;
        // A probe tells the length as of the moment of its own read.
        Ok((request.messages == Some(ahead) && !request.probe).then_some(answer))
    }

    /// Asks for what the next poll is likely to want, so that Redis reads it while this one's messages are taken up. `found` are
    /// how many of these there are, and the last one. Not where there may be nothing more, or something large.
    async fn read_ahead(
        &mut self,
        connection: &mut ReadConnection,
        request: &Poll,
        found: Option<(usize, EntryId)>,
    ) -> Result<(), RedisError> {
        let (Some((_, asked)), Some((found, last)), ahead @ 1..) = (request.messages, found, request.ahead) else {
            return Ok(());
        };
        if found < asked {
            return Ok(());
        }
        let stream = self.keys.messages();
        if self.guard.are_small(connection, &stream).await? {
            let mut read = redis::pipe();
            read.add_command(xread(ahead, None, &[(stream, last)]));
            connection.send(&read, self.guard.timeout()).await?;
            connection.ahead = Some((last, ahead));
        }
        Ok(())
    }

    async fn read_asked(&mut self, connection: &mut ReadConnection, request: &Poll) -> Result<Polled, RedisError> {
        let mut reads = redis::pipe();
        if request.probe {
            // Asked first, so an entry that it counts is one that the read behind it finds, or that stands behind the
            // cursor. Not in a transaction: a full Redis refuses those, also for reading.
            reads.cmd("XLEN").arg(self.keys.messages());
        }
        let wants = |wanted: Option<(EntryId, usize)>| wanted.filter(|(_, count)| *count > 0);
        let (messages, commands) = (wants(request.messages), wants(request.commands));
        let now = Instant::now();
        let tells = commands.is_some() && now >= self.commands_told_at;
        if tells {
            self.commands_told_at = now + COMMANDS_TOLD_EVERY;
            reads.cmd("XLEN").arg(self.keys.commands());
        }
        let mut taken = false;
        if let Some((after, count)) = messages {
            let stream = self.keys.messages();
            taken = !self.guard.are_small(connection, &stream).await?;
            reads.add_command(if taken {
                take::command(&self.connector, &stream, ReadFrom::After(after), "+", count, self.guard.bytes())
            } else {
                xread(count, None, &[(stream, after)])
            });
        }
        if let Some((after, count)) = commands {
            reads.add_command(xread(count, None, &[(self.keys.commands(), after)]));
        }
        if reads.is_empty() {
            return Ok(Polled::default());
        }
        let mut answers = connection.ask(&reads, self.guard.timeout()).await?.into_iter();
        let mut value = || answers.next().map_or(Ok(Value::Nil), |answer| answer.value());
        let mut length = |is_told| if is_told { Some(reply::number(value()?)).transpose() } else { Ok(None) };
        let (length, commands_length) = (length(request.probe)?, length(tells)?);
        let mut polled = Polled { length, commands_length, ..Polled::default() };
        if taken {
            for (entry, bytes) in reply::taken(value()?)? {
                polled.cut.extend(bytes.map(|bytes| (entry.id, bytes)));
                polled.messages.push(entry);
            }
        }
        for answer in answers {
            self.sort(&answer, &mut polled)?;
        }
        Ok(polled)
    }

    async fn read_blocking(&self, connection: &mut ReadConnection, request: &Poll) -> Result<Polled, RedisError> {
        let wanted = self.wanted(request).collect::<Vec<_>>();
        if wanted.is_empty() {
            tokio::time::sleep(request.block).await;
            return Ok(Polled::default());
        }
        // One alone, so that its size is the only one that is not known. What comes with it is read next.
        let mut read = redis::pipe();
        read.add_command(xread(1, Some(request.block), &wanted));
        let mut polled = Polled::default();
        for answer in connection.ask(&read, request.block + config::STORE_TIMEOUT).await? {
            self.sort(&answer, &mut polled)?;
        }
        Ok(polled)
    }

    /// The streams to read, and from where.
    fn wanted(&self, request: &Poll) -> impl Iterator<Item = (String, EntryId)> {
        let messages = request.messages.map(|wanted| (self.keys.messages(), wanted));
        let commands = request.commands.map(|wanted| (self.keys.commands(), wanted));
        let wanted = [messages, commands].into_iter().flatten().filter(|(_, (_, count))| *count > 0);
        wanted.map(|(stream, (after, _))| (stream, after))
    }

    fn sort(&self, answer: &RawAnswer, polled: &mut Polled) -> Result<(), RedisError> {
        let messages = self.keys.messages();
        for (stream, entries) in answer.streams()? {
            let to: &mut Vec<RawEntry> =
                if stream == messages.as_bytes() { &mut polled.messages } else { &mut polled.commands };
            *to = entries;
        }
        Ok(())
    }
}

#[async_trait]
impl ShardIntake for RedisIntake {
    async fn poll(&mut self, request: &Poll) -> Result<Polled, StoreError> {
        let read = self.read(request).await;
        self.guard.note(read.is_ok());
        read.map_err(|error| store_error("reading a shard's streams", error))
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
