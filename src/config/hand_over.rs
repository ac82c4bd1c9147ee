//! Limits of the hand-over: from a source, the common one or someone else's, to the shards.

use std::time::Duration;

/// How long the hand-over waits for the first entry: the lease is renewed in between.
pub const HAND_OVER_BLOCK: Duration = Duration::from_secs(1);
/// The lease of a source's reader: short, for whoever follows repeats nothing.
pub const SOURCE_LEASE: Duration = Duration::from_secs(4);
/// How often it is renewed.
pub const SOURCE_RENEW_EVERY: Duration = Duration::from_secs(1);
/// How often a node looks whether a source that another one reads is free.
pub const SOURCE_LOOK_EVERY: Duration = Duration::from_millis(250);
/// The pause after a hand-over that failed.
pub const HAND_OVER_RETRY: Duration = Duration::from_secs(1);
/// A source that could not be handed over for so long is named: longer than a fail-over that goes well.
pub const HAND_OVER_TOLD_AFTER: Duration = Duration::from_secs(10);
/// A source of which so many entries were set aside, and none between them was not, is named: flags or producers that are wrong, not
/// one that is.
pub const HAND_OVER_REJECTED_TOLD: usize = 20;
/// Entries of the common input that are handed over at a time while there is a backlog: so many that what is paid once for all
/// weighs little. With `appendfsync always` that is a sync for each shard (measured: scenario `common`).
pub const HAND_OVER_MAX: usize = 2_048;
/// Bytes of entries, by the largest of the read before, up to which more than [`HAND_OVER_BATCH_MAX`] are handed over at a time. A
/// full Redis holds as much above its limit, for they are deleted from the source after the shards have them.
pub const HAND_OVER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A hand-over that took longer is followed by one of [`HAND_OVER_BATCH_MAX`]: the lease is renewed between two of them.
pub const HAND_OVER_LONG: Duration = Duration::from_secs(1);
/// Entries that one script gives to a shard, for it holds up whoever else wants something of its server; and those that are read
/// first, and of someone else's stream.
pub const HAND_OVER_BATCH_MAX: usize = 256;
/// How long an entry stays in its source after a shard on another server has it, where that server does not tell when it
/// is durable: Redis writes down within a second what it was given (appendfsync everysec), two at the most. A deletion is
/// remembered as long.
pub const HAND_OVER_KEPT: Duration = Duration::from_secs(2);
/// Entries of a source that stay so at a time; then it is not read on. Some seconds of a busy source.
pub const HAND_OVER_KEPT_MAX: usize = 65_536;
/// Deletions that are remembered at a time; beyond it the oldest are forgotten. A source of 32,000 a second reaches it.
pub const HAND_OVER_DELETED_MAX: usize = 65_536;
/// How often the hand-over looks whether they are durable while nothing is new.
pub const HAND_OVER_KEPT_LOOK: Duration = Duration::from_millis(100);
/// How long one wait for them lasts at most: several times the second between two fsyncs, for each wait begins anew.
pub const HAND_OVER_CONFIRM_WAIT: Duration = Duration::from_secs(5);
/// For how long a server that tells it, and never does, is waited for: with `appendfsync no`, where that cannot be asked.
pub const HAND_OVER_UNSURE_MAX: Duration = Duration::from_secs(30);
/// Fields of an entry that is handed over; more is rejected.
pub const HAND_OVER_FIELDS_MAX: usize = 64;
