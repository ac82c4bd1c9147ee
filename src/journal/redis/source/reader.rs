//! Reads the common input, on a connection of its own: a blocking read holds up whatever stands behind it.

use std::time::Duration;

use redis::{Pipeline, RedisError};
use tokio::time::Instant;

use super::held::HeldBack;
use crate::config::{HAND_OVER_BATCH_MAX, HAND_OVER_BYTES_MAX, HAND_OVER_LONG, HAND_OVER_MAX, STORE_TIMEOUT};
use crate::journal::port::RawEntry;
use crate::journal::redis::connector::Connector;
use crate::journal::redis::intake::xread;
use crate::journal::redis::read_connection::ReadConnection;
use crate::journal::redis::read_guard::ReadGuard;
use crate::journal::redis::reply;
use crate::journal::redis::resp::RawAnswer;
use crate::journal::redis::take::{self, ReadFrom};
use crate::message::EntryId;

/// See the module.
#[derive(Debug)]
pub(in crate::journal::redis) struct SourceReader {
    pub(super) connection: ReadConnection,
    /// Entries that were read while those before them were handed over, in order and without a gap.
    pub(super) ahead: Vec<SourceEntry>,
    /// What can be deleted from the source: with what is sent next, for a way to Redis of its own would hold up the rest.
    pub(super) gone: Vec<EntryId>,
    /// Whether the last read ahead found nothing.
    is_drained: bool,
    /// The last entry that was handed over since the source was found to be a new stream.
    last_anew: Option<EntryId>,
    /// Shards that refuse their entries.
    pub(super) held: HeldBack,
    /// Up to here all is handed over, but for what is held back.
    passed: EntryId,
    /// How many entries the next read asks for.
    count: usize,
    /// Its connection is of no use any more.
    pub(super) is_broken: bool,
}

/// An entry of a source, with its bytes if it was cut.
pub(in crate::journal::redis) type SourceEntry = (RawEntry, Option<usize>);

impl SourceReader {
    pub(super) fn new(connection: ReadConnection) -> Self {
        Self {
            connection,
            ahead: Vec::new(),
            gone: Vec::new(),
            is_drained: false,
            last_anew: None,
            held: HeldBack::default(),
            passed: EntryId::ZERO,
            count: HAND_OVER_BATCH_MAX,
            is_broken: false,
        }
    }

    /// Notes that the source is a new stream from `first` on. Answers whether that was not known.
    pub(super) fn begin_anew(&mut self, first: EntryId) -> bool {
        let is_known = self.last_anew.is_some_and(|last| last < first);
        self.last_anew = Some(first);
        self.held.begin_anew();
        !is_known
    }

    /// How many entries the next read asks for, at most `max`.
    pub(super) fn count(&self, max: usize) -> usize {
        self.count.min(max)
    }

    /// Notes that what was read up to `last` was handed over or held back, what was read behind it, of which so many were asked for,
    /// and how long all of that took.
    pub(super) fn handed_over(&mut self, last: EntryId, (ahead, asked): (Vec<SourceEntry>, usize), took: Duration) {
        self.count = next_count(asked, &ahead, took);
        if self.last_anew.is_some() {
            self.last_anew = Some(last);
        }
        self.passed = self.held.passed(last, Instant::now());
        // What was passed over in a try that has ended now is not passed over again.
        let is_next = self.passed == last;
        self.is_drained = is_next && ahead.is_empty();
        self.ahead = if is_next { ahead } else { Vec::new() };
    }

    /// What to read after: nothing is left behind it but what is held back, or kept.
    pub(super) fn after(&self, none_kept: bool) -> EntryId {
        if self.held.is_empty() && none_kept { EntryId::ZERO } else { self.passed }
    }

    /// Reads from the start again, for shards that were held back.
    pub(super) fn retry(&mut self) {
        self.held.retry(self.passed);
        self.passed = EntryId::ZERO;
        self.is_drained = false;
        self.ahead.clear();
    }

    /// Up to `max` entries above `after`. Waits for the first one up to `block`. What can be deleted is, before.
    pub(super) async fn read(
        &mut self,
        (connector, guard): (&Connector, &mut ReadGuard),
        source: &str,
        max: usize,
        after: EntryId,
        block: Option<Duration>,
    ) -> Result<Vec<SourceEntry>, RedisError> {
        // Asked a moment ago: another way to Redis and back would only let the first entry wait.
        if block.is_none() || !self.is_drained {
            let small = guard.are_small(&mut self.connection, source).await?;
            let read = SourceRead::new((connector, guard), source, max, after, small);
            let entries = self.run(source, read, guard.timeout()).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        let Some(block) = block else { return Ok(Vec::new()) };
        self.run(source, SourceRead::blocking(source, after, block), block + STORE_TIMEOUT).await
    }

    /// Reads nothing: deletes what can be, and asks whether the source's server is there.
    pub(super) async fn look(&mut self, source: &str) -> Result<(), RedisError> {
        let mut commands = redis::pipe();
        let deletes = self.delete(source, &mut commands);
        commands.cmd("EXISTS").arg(source);
        let mut answers = self.connection.ask(&commands, STORE_TIMEOUT).await?.into_iter();
        if deletes {
            self.deleted(answers.next())?;
        }
        answers.next().unwrap_or_default().value().map(drop)
    }

    async fn run(&mut self, source: &str, read: SourceRead, timeout: Duration) -> Result<Vec<SourceEntry>, RedisError> {
        let mut commands = redis::pipe();
        let deletes = self.delete(source, &mut commands);
        commands.add_command(read.command.clone());
        let mut answers = self.connection.ask(&commands, timeout).await?.into_iter();
        if deletes {
            self.deleted(answers.next())?;
        }
        read.entries(answers.next())
    }

    /// Adds the command that deletes what can be deleted. Answers whether there is any.
    pub(super) fn delete(&self, source: &str, commands: &mut Pipeline) -> bool {
        if self.gone.is_empty() {
            return false;
        }
        let delete = commands.cmd("XDEL").arg(source);
        self.gone.iter().for_each(|id| {
            delete.arg(id.to_string());
        });
        true
    }

    /// Takes the answer to it.
    pub(super) fn deleted(&mut self, answer: Option<RawAnswer>) -> Result<(), RedisError> {
        answer.unwrap_or_default().value()?;
        self.gone.clear();
        Ok(())
    }
}

/// How many entries to ask for after `ahead`, of which `asked` were asked for: more and more of small ones while there is a backlog
/// and all of it goes fast.
fn next_count(asked: usize, ahead: &[SourceEntry], took: Duration) -> usize {
    let largest = ahead.iter().map(|(entry, cut)| cut.unwrap_or(entry.bytes())).max().unwrap_or_default();
    let doubled = if ahead.len() < asked || took > HAND_OVER_LONG { 0 } else { asked * 2 };
    doubled.min(HAND_OVER_BYTES_MAX / largest.max(1)).clamp(HAND_OVER_BATCH_MAX, HAND_OVER_MAX)
}

/// A read of entries, and how its answer is read.
pub(super) struct SourceRead {
    pub(super) command: redis::Cmd,
    /// It looks at the size of each entry.
    taken: bool,
}

impl SourceRead {
    /// Of what is there; `small`: all of it is.
    pub(super) fn new(
        (connector, guard): (&Connector, &ReadGuard),
        source: &str,
        max: usize,
        after: EntryId,
        small: bool,
    ) -> Self {
        let command = if small {
            xread(max, None, &[(source.to_owned(), after)])
        } else {
            take::command(connector, source, ReadFrom::After(after), "+", max.min(HAND_OVER_BATCH_MAX), guard.bytes())
        };
        Self { command, taken: !small }
    }

    /// Of one that is waited for. One alone, so that its size is the only one that is not known.
    fn blocking(source: &str, after: EntryId, block: Duration) -> Self {
        Self { command: xread(1, Some(block), &[(source.to_owned(), after)]), taken: false }
    }

    /// What its answer holds.
    pub(super) fn entries(&self, answer: Option<RawAnswer>) -> Result<Vec<SourceEntry>, RedisError> {
        let answer = answer.unwrap_or_default();
        if self.taken {
            return reply::taken(answer.value()?);
        }
        let entries = answer.streams()?.pop().map(|(_, entries)| entries).unwrap_or_default();
        Ok(entries.into_iter().map(|entry| (entry, None)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_of_small_entries_that_goes_fast_is_read_in_larger_and_larger_parts() {
        let entries = |count: usize, bytes: usize| -> Vec<SourceEntry> {
            let field = ("message".into(), "x".repeat(bytes).into());
            vec![(RawEntry { id: EntryId::ZERO, fields: vec![field] }, None); count]
        };
        let soon = Duration::from_millis(50);
        for (asked, came, bytes, took, next) in [
            (256, 256, 700, soon, 512),
            (1_024, 1_024, 700, soon, 2_048),
            (2_048, 2_048, 700, soon, 2_048),
            (2_048, 2_047, 700, soon, 256),
            (2_048, 0, 0, soon, 256),
            (1, 1, 700, soon, 256),
            (512, 512, 700, Duration::from_secs(2), 256),
            (512, 512, 4_000, soon, 523),
            (256, 256, 100_000, soon, 256),
        ] {
            assert_eq!(next_count(asked, &entries(came, bytes), took), next, "{asked} {came} {bytes} {took:?}");
        }
    }
}
