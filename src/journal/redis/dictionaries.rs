//! The dictionaries that attempts are compressed with: kept in Redis under `…:dictionaries`, trained when there
//! is none, remembered here.
//!
//! One is current for all nodes: the one that was offered first. None is ever changed or deleted, since
//! entries name it. Until there is one, attempts are stored as JSON.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, Value};
use tokio::time::Instant;
use tracing::{info, warn};

use super::compression::{Dictionary, Version};
use super::connect::{Backoff, Connection, Server};
use super::error::{is_away, unexpected};
use super::reply;
use super::script::Script;
use super::shared::Shared;
use crate::config::{
    Compression, DICTIONARIES_KNOWN_MAX, DICTIONARY_BYTES_MAX, DICTIONARY_KEPT_EVERY, DICTIONARY_SAMPLE_BYTES_MAX,
    DICTIONARY_SAMPLES, STORE_ANSWER_MAX, STORE_TIMEOUT,
};
use crate::journal::port::{LoadError, RawEntry, StoredEvent};
use crate::message::WorkspaceId;

/// The field that names the current one.
const CURRENT: &str = "current";

/// See the module.
#[derive(Debug)]
pub(super) struct Dictionaries {
    server: Arc<Server>,
    shared: Arc<Shared>,
    key: String,
    compression: Compression,
    /// What new attempts are compressed with.
    current: OnceLock<Arc<Dictionary>>,
    samples: Mutex<Samples>,
    /// At most [`DICTIONARIES_KNOWN_MAX`].
    known: Mutex<HashMap<Version, Arc<Dictionary>>>,
}

/// Attempts to train on.
#[derive(Debug, Default)]
struct Samples {
    taken: Vec<Bytes>,
    bytes: usize,
    /// Training is under way, or there is a dictionary.
    closed: bool,
}

/// Why attempts cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error(
        "the attempt at seq {seq} is compressed with dictionary {version}, which is not in {key}: bring that key \
         back from a backup"
    )]
    Lost { seq: u64, version: Version, key: String },
    #[error("dictionary {version} in {key} is not what it was: bring that key back from a backup")]
    Changed { version: Version, key: String },
    #[error("the attempt at seq {seq} cannot be decompressed: {source}")]
    Corrupt { seq: u64, source: std::io::Error },
    #[error("the attempt at seq {seq} has neither the field e nor z")]
    NoField { seq: u64 },
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl UnpackError {
    /// The same, as what it means for loading `workspace`.
    pub(super) fn for_workspace(&self, workspace: &WorkspaceId) -> LoadError {
        LoadError::Corrupt { workspace: workspace.clone(), detail: self.to_string() }
    }
}

impl Dictionaries {
    pub(super) fn new(server: Arc<Server>, shared: Arc<Shared>, key: String, compression: Compression) -> Self {
        let (current, samples, known) = (OnceLock::new(), Mutex::default(), Mutex::default());
        Self { server, shared, key, compression, current, samples, known }
    }

    /// Compresses an attempt, if that is wanted, possible and worth it. Else it is learned from.
    pub(super) fn pack(self: &Arc<Self>, json: &Bytes) -> Option<Bytes> {
        if self.compression == Compression::None {
            return None;
        }
        match self.current.get() {
            Some(dictionary) => dictionary.pack(json),
            None => {
                self.sample(json);
                None
            }
        }
    }

    fn sample(self: &Arc<Self>, json: &Bytes) {
        // A few large ones would be all that is learned from.
        if json.len() > DICTIONARY_BYTES_MAX {
            return;
        }
        let mut samples = self.samples.lock();
        if samples.closed {
            return;
        }
        let is_first = samples.taken.is_empty();
        samples.taken.push(json.clone());
        samples.bytes += json.len();
        let enough = samples.taken.len() >= DICTIONARY_SAMPLES || samples.bytes >= DICTIONARY_SAMPLE_BYTES_MAX;
        if enough {
            let taken = std::mem::take(&mut *samples).taken;
            samples.closed = true;
            tokio::spawn(Arc::clone(self).learn(taken));
        } else if is_first {
            tokio::spawn(Arc::clone(self).look());
        }
    }

    /// Takes the dictionary that another node, or an earlier run, has made.
    async fn look(self: Arc<Self>) {
        match self.stored_current().await {
            Ok(Some(dictionary)) => self.begin(dictionary),
            Ok(None) => {}
            Err(error) => warn!(%error, "The dictionary of the log cannot be read; attempts are stored as JSON."),
        }
    }

    /// Trains a dictionary and offers it. What goes wrong is tried again with later attempts.
    pub(super) async fn learn(self: Arc<Self>, samples: Vec<Bytes>) {
        let trained = tokio::task::spawn_blocking(move || Dictionary::train(&samples)).await;
        match trained {
            Ok(Ok(dictionary)) => match self.offer(&dictionary).await {
                Ok(stored) => return self.begin(stored),
                Err(error) => warn!(%error, "The dictionary of the log cannot be stored; attempts are stored as JSON."),
            },
            Ok(Err(error)) => warn!(%error, "The first attempts make no dictionary; attempts are stored as JSON."),
            Err(error) => warn!(%error, "The training of a dictionary failed; attempts are stored as JSON."),
        }
        *self.samples.lock() = Samples::default();
    }

    fn begin(self: &Arc<Self>, dictionary: Dictionary) {
        let dictionary = self.remember(dictionary);
        info!(version = %dictionary.version(), "Attempts are compressed from now on.");
        self.current.get_or_init(|| dictionary);
        tokio::spawn(keep_on(Arc::downgrade(self)));
        let mut samples = self.samples.lock();
        *samples = Samples { closed: true, ..Samples::default() };
    }

    async fn stored_current(&self) -> Result<Option<Dictionary>, RedisError> {
        let Some(name) = self.field(CURRENT).await? else { return Ok(None) };
        let name = String::from_utf8_lossy(&name).into_owned();
        let Some(dictionary) = self.field(&name).await?.map(Dictionary::new) else { return Ok(None) };
        if dictionary.version().to_string() != name {
            return Err(unexpected("a dictionary that is not what it was"));
        }
        Ok(Some(dictionary))
    }

    /// Offers a new dictionary; answers the one that all nodes use. While Redis is away it is waited for.
    async fn offer(&self, dictionary: &Dictionary) -> Result<Dictionary, RedisError> {
        let mut backoff = Backoff::default();
        loop {
            match self.put(dictionary, "offer").await {
                Ok(_) => return self.stored_current().await?.ok_or_else(|| unexpected("no dictionary")),
                Err(error) if is_away(&error) => backoff.pause().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes sure that Redis has what is compressed with: asked on every new connection of a line, for a Redis
    /// that lost its last second may have lost the dictionary alone. In a cluster it lies on a node of its
    /// own, which holds up no line: there it is put back once a minute.
    ///
    /// # Errors
    /// Redis is away or refuses.
    pub(super) async fn keep(&self, connection: &mut Connection) -> Result<(), RedisError> {
        match self.current.get() {
            Some(dictionary) if !self.server.is_cluster() => {
                connection.call(&self.putting(dictionary, "keep"), STORE_TIMEOUT).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn put(&self, dictionary: &Dictionary, how: &str) -> Result<Value, RedisError> {
        self.shared.call_repeatable(&self.key, &self.putting(dictionary, how)).await
    }

    fn putting(&self, dictionary: &Dictionary, how: &str) -> Cmd {
        let mut cmd = self.server.script(Script::Dictionary, std::slice::from_ref(&self.key));
        cmd.arg(dictionary.version().to_string()).arg(dictionary.bytes().as_ref()).arg(how);
        cmd
    }

    async fn field(&self, name: &str) -> Result<Option<Bytes>, RedisError> {
        let mut cmd = redis::cmd("HGET");
        cmd.arg(&self.key).arg(name);
        self.shared.call_repeatable(&self.key, &cmd).await.and_then(reply::bytes)
    }

    /// Whether nothing must be fetched to read these entries.
    pub(super) fn know(&self, entries: &[RawEntry]) -> bool {
        entries.iter().filter_map(version).all(|version| self.known(version).is_some())
    }

    /// The attempts, whichever form they have. Fetches the dictionaries that they name.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub(super) async fn fetch_and_unpack(&self, entries: &[RawEntry]) -> Result<Vec<StoredEvent>, UnpackError> {
        for entry in entries {
            if let Some(version) = version(entry)
                && self.known(version).is_none()
                && let Some(bytes) = self.field(&version.to_string()).await?
            {
                let dictionary = Dictionary::new(bytes);
                if dictionary.version() != version {
                    return Err(UnpackError::Changed { version, key: self.key.clone() });
                }
                self.remember(dictionary);
            }
        }
        self.unpack(entries)
    }

    /// The same. While Redis is away it is waited for, at most [`STORE_ANSWER_MAX`].
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub(super) async fn wait_and_unpack(&self, entries: &[RawEntry]) -> Result<Vec<StoredEvent>, UnpackError> {
        let (mut backoff, deadline) = (Backoff::default(), Instant::now() + STORE_ANSWER_MAX);
        loop {
            match self.fetch_and_unpack(entries).await {
                Err(UnpackError::Redis(error)) if is_away(&error) && Instant::now() < deadline => backoff.pause().await,
                unpacked => return unpacked,
            }
        }
    }

    /// The same with the dictionaries that are known.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub(super) fn unpack(&self, entries: &[RawEntry]) -> Result<Vec<StoredEvent>, UnpackError> {
        entries.iter().map(|entry| self.unpack_one(entry)).collect()
    }

    fn unpack_one(&self, entry: &RawEntry) -> Result<StoredEvent, UnpackError> {
        let seq = entry.id.ms;
        if let Some(json) = entry.field("e") {
            return Ok(StoredEvent { seq, json: json.clone() });
        }
        let packed = entry.field("z").ok_or(UnpackError::NoField { seq })?;
        let version = Version::named_by(packed)
            .ok_or_else(|| UnpackError::Corrupt { seq, source: std::io::ErrorKind::UnexpectedEof.into() })?;
        let lost = || UnpackError::Lost { seq, version, key: self.key.clone() };
        let json = self.known(version).ok_or_else(lost)?.unpack(packed);
        json.map(|json| StoredEvent { seq, json }).map_err(|source| UnpackError::Corrupt { seq, source })
    }

    fn known(&self, version: Version) -> Option<Arc<Dictionary>> {
        self.known.lock().get(&version).cloned()
    }

    fn remember(&self, dictionary: Dictionary) -> Arc<Dictionary> {
        let mut known = self.known.lock();
        if known.len() >= DICTIONARIES_KNOWN_MAX {
            let used = self.current.get().map(|current| current.version());
            let other = known.keys().copied().find(|version| Some(*version) != used);
            other.map(|version| known.remove(&version));
        }
        Arc::clone(known.entry(dictionary.version()).or_insert_with(|| Arc::new(dictionary)))
    }
}

/// Puts back what is compressed with once a minute, as long as somebody uses it: while lines stay connected,
/// the key may be deleted, evicted, or lost with its own node of a cluster.
async fn keep_on(dictionaries: Weak<Dictionaries>) {
    loop {
        tokio::time::sleep(DICTIONARY_KEPT_EVERY).await;
        let Some(dictionaries) = dictionaries.upgrade() else { return };
        let Some(dictionary) = dictionaries.current.get() else { return };
        if let Err(error) = dictionaries.put(dictionary, "keep").await {
            warn!(%error, "The dictionary of the log cannot be kept; it is tried again in a minute.");
        }
    }
}

/// The dictionary that an entry names.
fn version(entry: &RawEntry) -> Option<Version> {
    entry.field("z").and_then(|packed| Version::named_by(packed))
}
