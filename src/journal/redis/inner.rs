//! What all clones of a [`super::Redis`] share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::answers::Listener;
use super::connector::Connector;
use super::durable::{DurableWait, LateWaits, Waited};
use super::format::FormatInUse;
use super::group::reader::GroupReader;
use super::keys::Keys;
use super::lease::{Losses, WatchedLease};
use super::read_guard::ReadGuard;
use super::shared::SharedConnections;
use super::source::{SourceReader, UnconfirmedEntries};
use crate::config::{Compression, SourceForm};
use crate::journal::port::NotedKey;
use crate::workspace::time::Clock;

/// What stands in the field of a key whose print was not noted: earlier versions noted none.
const NO_PRINT: &str = "1";
/// Characters of a print as it stands there.
pub(super) const PRINT_CHARACTERS: usize = 16;

/// A print as it stands in the field of its key.
pub(super) fn print_value(print: Option<u64>) -> String {
    print.map_or_else(|| NO_PRINT.to_owned(), |print| format!("{print:016x}"))
}

/// What the fields of the meta key begin with that name keys.
pub(super) const SEALING_KEY: &str = "sealing-key/";

#[derive(Debug)]
pub(super) struct RedisInner {
    pub(super) connector: Arc<Connector>,
    pub(super) keys: Keys,
    pub(super) shards: u16,
    pub(super) shared: Arc<SharedConnections>,
    pub(super) compression: Compression,
    pub(super) format: FormatInUse,
    /// How what is stored becomes as durable as was asked for.
    pub(super) waited: Waited,
    /// Where it is waited for in vain.
    pub(super) late: Arc<LateWaits>,
    /// Where callers of the facade wait for that: one, or with a cluster one a shard.
    pub(super) durable_waits: Mutex<HashMap<String, DurableWait>>,
    pub(super) transaction_attempts_min: usize,
    pub(super) listeners: Mutex<HashMap<u16, Listener>>,
    /// What reads the common input. Taken out while it is used: who is dropped or fails drops its
    /// connection too, so no later one waits behind a blocking read or takes its answer.
    pub(super) source: tokio::sync::Mutex<Option<SourceReader>>,
    /// What reads other people's streams, by their names; as above. Bounded by those that the command line names.
    pub(super) groups: tokio::sync::Mutex<HashMap<String, GroupReader>>,
    /// Says how it is read.
    pub(super) source_guard: Mutex<ReadGuard>,
    /// By source what is handed over and not deleted or acknowledged yet; it outlives who reads.
    pub(super) kept: Mutex<HashMap<String, UnconfirmedEntries>>,
    pub(super) losses: Arc<Losses>,
    /// What the nonces of this process begin with: so a shard that it reloads is taken at once,
    /// though its own lease on it lives.
    pub(super) run: String,
    /// The shards that this process has held: a live lease of its node on another one is that of a
    /// crashed predecessor.
    pub(super) held: Mutex<HashSet<u16>>,
    /// Other holders' leases by shard.
    pub(super) watched: Mutex<HashMap<u16, WatchedLease>>,
    /// The keys that are noted as sealing something, as this process read or noted them last.
    pub(super) sealing: Mutex<BTreeSet<NotedKey>>,
    /// The streams of other people that are read, and their form.
    pub(super) sources: (Vec<String>, SourceForm),
    pub(super) clock: Clock,
    /// When a new connection was made last to see whether Redis takes one.
    pub(super) connection_tried: Mutex<Instant>,
}

impl RedisInner {
    /// The listener for a shard's answers. One a shard, so their number is bounded.
    pub(super) fn listener(&self, shard: u16) -> Listener {
        let mut listeners = self.listeners.lock();
        let new = || Listener::new(Arc::clone(&self.connector), Arc::clone(&self.shared), self.keys.shard(shard));
        listeners.entry(shard).or_insert_with(new).clone()
    }

    /// Where a caller waits until what it wrote to a shard is as durable as was asked for.
    pub(super) fn durable_wait(&self, shard: u16) -> DurableWait {
        let key = self.keys.shard(shard).durable();
        let name = if self.connector.is_cluster() { key.clone() } else { String::new() };
        let new = || DurableWait::start(Arc::clone(&self.connector), key, self.waited, Arc::clone(&self.late));
        self.durable_waits.lock().entry(name).or_insert_with(new).clone()
    }

    /// What is kept of a source, for the hand-over that begins; one that is dropped loses it, and reads from the start.
    pub(super) fn take_unconfirmed(&self, source: &str) -> UnconfirmedEntries {
        self.kept.lock().remove(source).unwrap_or_default()
    }

    pub(super) fn put_unconfirmed(&self, source: String, kept: UnconfirmedEntries) {
        self.kept.lock().insert(source, kept);
    }

    /// The fields of the meta key in which keys are noted that seal something, each with its value.
    pub(super) fn sealing_fields(&self) -> Vec<(String, String)> {
        let field = |key: &NotedKey| (format!("{SEALING_KEY}{}", key.id), print_value(key.print));
        self.sealing.lock().iter().map(field).collect()
    }

    pub(super) fn has_held(&self, shard: u16) -> bool {
        self.held.lock().contains(&shard)
    }

    pub(super) fn note_held(&self, shard: u16) {
        self.held.lock().insert(shard);
        self.watched.lock().remove(&shard);
    }

    /// The mark of another holder's lease that was not renewed for as long as it is, by our own clock; else nothing.
    pub(super) fn unrenewed(&self, shard: u16, now: Instant) -> String {
        let watched = self.watched.lock();
        let ended = watched.get(&shard).filter(|watched| now >= watched.since + watched.lease);
        ended.map(|watched| watched.mark.clone()).unwrap_or_default()
    }

    /// Notes another holder's lease. Answers how long it may last at most.
    pub(super) fn watch_lease(&self, shard: u16, mark: String, lease: Duration, now: Instant) -> Duration {
        let mut watched = self.watched.lock();
        let since = watched.get(&shard).filter(|watched| watched.mark == mark).map_or(now, |watched| watched.since);
        watched.insert(shard, WatchedLease { mark, lease, since });
        lease.saturating_sub(now.saturating_duration_since(since))
    }
}
