//! The Redis adapter: streams, scripts and one lease a shard. Production runs on it.
//!
//! # Keys
//! [contract, section 6](crate::docs::contract#6-redis-keys-shard-k) names them. All keys of a
//! shard share the hash tag `{k}`. What a value holds:
//!
//! | key | value |
//! |---|---|
//! | `…:meta` | `format` (1), `shards` |
//! | `…:{k}:owner` | `node`, `nonce`, `head`, `expiry` (Unix ms by Redis' clock; 0 once released) |
//! | `…:{k}:messages` | `workspace`, `message`, after a hand-over `origin` |
//! | `…:{k}:commands` | `workspace`, `command` (JSON) |
//! | `…:{k}:answers` | `command` (its entry id), `answer` (JSON) |
//! | `…:{k}:attempts:<ws>` | ids `<seq>-0`, field `e`: [`super::record::encode_event`], or `z`: the same, [`compression`]'s form |
//! | `…:{k}:journal:<ws>` | ids `<seq>-0`, field `e`: [`super::record::encode_event`] |
//! | `…:{k}:snapshot:<ws>` | [`super::record::encode_snapshot`] |
//! | `…:{k}:last:<ws>` | [`super::record::encode_newest`]: entry id and text |
//! | `…:{k}:outbox` | `<ws>:<seq>` → [`super::record::encode_mail`] |
//! | `…:{k}:sources` | source → greatest entry id handed over |
//! | `…:{k}:rejected` | see [`super::rejected`] |
//!
//! # Ways in
//! [`lease`] takes a shard and starts a [`mod@line`] (commits, loads, in order) and an
//! [`intake`] (reads). [`facade`] is what any node does for any workspace, [`rejected`] for what was
//! set aside; [`source`] hands the common input over. [`compression`] is the compressed form of attempts. Each kind
//! of work has connections of its own: answers come in the order of questions, so nothing may stand behind a
//! blocking read.

mod answers;
mod check;
mod cluster;
mod commit;
mod compression;
mod connect;
mod counts;
mod error;
mod facade;
mod intake;
mod keys;
mod lease;
mod line;
mod port;
mod read;
mod rejected;
mod reply;
mod script;
mod shared;
mod source;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use self::answers::Listener;
use self::connect::Server;
use self::counts::Counts;
use self::keys::Keys;
use self::shared::Shared;
use self::source::Source;
use crate::config::{Compression, START_WAIT};
use crate::workspace::time::Clock;

pub use self::check::{StartError, stored_shards};
pub use self::compression::compress;
pub use self::keys::{PREFIX_MAX, is_prefix};

/// How to reach Redis and what to expect there.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://`, `rediss://`, or `redis+cluster://a,b,c`.
    pub url: String,
    /// What every key begins with.
    pub prefix: String,
    /// Shards to create; `None` takes what is stored, else [`crate::config::SHARDS_DEFAULT`].
    pub shards: Option<u16>,
    /// Accept a Redis that evicts keys or forgets them at a restart.
    pub allow_volatile: bool,
    /// How new attempts are stored.
    pub compression: Compression,
    /// The wall clock, for the time of rejected entries and for how long a command is waited for.
    pub clock: Clock,
}

/// A journal in Redis. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: Arc<Server>,
    keys: Keys,
    shards: u16,
    shared: Arc<Shared>,
    compression: Compression,
    listeners: Mutex<HashMap<u16, Listener>>,
    source: Source,
    counts: Arc<Counts>,
    /// What the nonces of this process begin with: so a shard that it reloads is taken at once,
    /// though its own lease on it lives.
    run: String,
    /// The shards that this process has held: a live lease of its node on another one is that of a
    /// crashed predecessor.
    held: Mutex<HashSet<u16>>,
    clock: Clock,
}

impl Redis {
    /// Connects, waiting at most [`START_WAIT`], and checks that this Redis keeps what it is given.
    ///
    /// # Errors
    /// [`StartError`]; each says what to do.
    pub async fn connect(options: &RedisOptions) -> Result<Self, StartError> {
        if !is_prefix(&options.prefix) {
            return Err(StartError::Prefix(options.prefix.clone()));
        }
        let server = Arc::new(Server::parse(&options.url).map_err(StartError::Url)?);
        let keys = Keys::new(&options.prefix);
        let shards = check::check(&server, &keys, options, START_WAIT).await?;
        let shared = Arc::new(Shared::new(Arc::clone(&server)));
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                compression: options.compression,
                source: Source::default(),
                counts: Arc::default(),
                listeners: Mutex::default(),
                run: Uuid::new_v4().to_string(),
                held: Mutex::default(),
                clock: options.clock,
                server,
                keys,
                shards,
            }),
        })
    }
}

impl Redis {
    /// Rejected entries that this process deleted because a shard had
    /// [`REJECTED_KEPT`](super::port::REJECTED_KEPT).
    #[must_use]
    pub fn rejected_deleted(&self) -> u64 {
        self.inner.counts.rejected_deleted()
    }

    /// Entries that were gone before this process settled them: somebody else deleted or trimmed them.
    #[must_use]
    pub fn entries_vanished(&self) -> u64 {
        self.inner.counts.entries_vanished()
    }
}

impl Inner {
    /// The listener for a shard's answers. One a shard, so their number is bounded.
    fn listener(&self, shard: u16) -> Listener {
        let mut listeners = self.listeners.lock();
        let new = || Listener::new(Arc::clone(&self.server), self.keys.shard(shard));
        listeners.entry(shard).or_insert_with(new).clone()
    }

    fn has_held(&self, shard: u16) -> bool {
        self.held.lock().contains(&shard)
    }

    fn note_held(&self, shard: u16) {
        self.held.lock().insert(shard);
    }
}
