//! Whether a stream may be read plainly, which costs Redis a fraction of a read that looks at the size of each entry.

use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use super::connection::Calls;
use super::error::{ErrorClass, classify};
use super::reply;
use crate::config::{READ_BYTES_MAX, READ_JUDGED_LONG, READ_JUDGED_SHORT, READ_SMALL_BYTES, STORE_TIMEOUT};
use crate::journal::rejected::ENTRY_BYTES_MAX;

/// What is known of a stream's entries, and of how fast they come.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadGuard {
    /// Whether all that could be read next is small, and until when that holds.
    judged: Option<(Instant, bool)>,
    /// Reads in a row that failed or did not come in time.
    failures: u32,
}

/// Nodes of the stream that are measured, from its start: more than a shard holds entries, and a read; and more than two rounds of
/// the hand-over can hold (4 MiB of entries, in nodes of 4,096 bytes, of which each holds 2,048 at least).
const NODES_MEASURED: u64 = 2_304;
/// Entries in a node of a stream at most (stream-node-max-entries).
const NODE_ENTRIES: u64 = 100;
/// A stream of so many entries is measured within microseconds.
const SHORT: u64 = 256;

impl ReadGuard {
    /// Whether the entries of the stream that may be read next are small. When Redis does not tell, they are not; nor after
    /// a read that failed: what is between us and Redis may let less through.
    pub(super) async fn are_small(&mut self, connection: &mut impl Calls, stream: &str) -> Result<bool, RedisError> {
        if let Some(small) = self.known() {
            return Ok(small);
        }
        let mut ask = redis::pipe();
        ask.cmd("XLEN").arg(stream);
        ask.cmd("MEMORY").arg("USAGE").arg(stream).arg("SAMPLES").arg(NODES_MEASURED);
        let (length, small) = match connection.call_all(&ask, self.timeout()).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                let mut number = || match answers.next().unwrap_or_default() {
                    redis::Value::Nil => Ok(0),
                    number => reply::number(number),
                };
                let (length, bytes) = (number()?, number()?);
                (length, is_small(length, bytes))
            }
            Err(error) if classify(&error) == ErrorClass::Refused => (u64::MAX, false),
            Err(error) => return Err(error),
        };
        let holds = if length <= SHORT { READ_JUDGED_SHORT } else { READ_JUDGED_LONG };
        self.judged = Some((Instant::now() + holds, small));
        Ok(small)
    }

    /// The same, as far as it is known without asking.
    pub(super) fn known(&self) -> Option<bool> {
        if self.failures > 0 {
            return Some(false);
        }
        self.judged.filter(|(until, _)| Instant::now() < *until).map(|(_, small)| small)
    }

    /// Bytes of entries after which a read ends: after one that failed, with the first.
    pub(super) fn bytes(&self) -> usize {
        match self.failures {
            0 => READ_BYTES_MAX,
            _ => 1,
        }
    }

    /// How long a read may take: the longer, the more often it did not come in time.
    pub(super) fn timeout(&self) -> Duration {
        STORE_TIMEOUT * 2_u32.pow(self.failures.min(4))
    }

    pub(super) fn note(&mut self, in_time: bool) {
        self.failures = if in_time { 0 } else { self.failures.saturating_add(1) };
        if !in_time {
            self.judged = None;
        }
    }
}

/// Whether a stream of so many entries and bytes, as MEMORY USAGE tells it, holds nothing that is large where it is read.
/// Of a long one its first nodes were measured, and the others taken to be like them.
fn is_small(length: u64, bytes: u64) -> bool {
    if length <= NODES_MEASURED {
        return bytes <= READ_SMALL_BYTES;
    }
    // How many nodes there are is not told: at least so many.
    bytes / (length / NODE_ENTRIES).max(1) <= ENTRY_BYTES_MAX as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_large_is_not_small() {
        const MIB: u64 = 1024 * 1024;
        for (length, bytes, small) in [
            (0, 0, true),
            (1, 8 * MIB + 200, false),
            (32, READ_SMALL_BYTES, true),
            (32, READ_SMALL_BYTES + 1, false),
            // A backlog of messages of a kilobyte, some three a node.
            (300_000, 300_000 * 1_200, true),
            // The same with 40 entries of 8 MiB among the first 2,304 nodes, as MEMORY USAGE tells it.
            (300_000, 100_000 * (4_200 + 40 * 8 * MIB / 2_304), false),
            // Large messages, one a node: valid, and read with care.
            (10_000, 10_000 * 200 * 1_024, false),
        ] {
            assert_eq!(is_small(length, bytes), small, "{length} entries, {bytes} bytes");
        }
    }

    #[test]
    fn after_a_read_that_failed_less_is_read_and_waited_for_longer() {
        let mut guard = ReadGuard::default();
        let mut seen = Vec::new();
        for in_time in [false, false, false, false, false, true] {
            guard.note(in_time);
            seen.push((guard.bytes(), guard.timeout().as_secs()));
        }
        assert_eq!(seen, [(1, 10), (1, 20), (1, 40), (1, 80), (1, 80), (READ_BYTES_MAX, 5)]);
    }
}
