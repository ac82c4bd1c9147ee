//! The Redis adapter: streams, scripts and one lease a shard. Production runs on it.
//!
//! # Keys
//! [contract, section 6](crate::docs::contract#6-redis-keys-shard-k) names them. All keys of a
//! shard share the hash tag `{k}`. What a value holds:
//!
//! | key | value |
//! |---|---|
//! | `…:meta` | `format` ([`super::codec::FORMAT`], or less while an older program shares it), `shards`, `sealing-key/<id>` (its print) for each key that seals something |
//! | `…:sessions` | session → Unix ms when it would have ended |
//! | `…:nodes` | by node `<began> <seen> <process> <record>`: Unix ms by Redis' clock, and [`super::port::NodeRecord`] as JSON |
//! | `…:glances` | by process `<told> <glance>`: Unix ms by Redis' clock, and [`crate::workspace::view::NodeGlance`] as JSON |
//! | `…:source:{<source>}` | `node`, `nonce`, `lease`, `expiry` of its reader; `position`: up to there all is handed over; `newest`: the last entry that was, and a sum of it (`LastHanded`) |
//! | `…:{k}:owner` | `node`, `nonce`, `head`, `lease` (ms), `expiry` (Unix ms by Redis' clock; 0 once released) |
//! | `…:{k}:durable` | 1: what a wait for durability writes |
//! | `…:{k}:messages` | `workspace`, `message`, after a hand-over `origin` |
//! | `…:{k}:commands` | `workspace`, `command` (JSON) |
//! | `…:{k}:answers` | `command` (its entry id), `answer` (JSON) |
//! | `…:{k}:attempts:<ws>` | ids `<seq>-0`, field `e`: [`super::codec::encode_event`], or `z`: the same, [`compression`]'s form |
//! | `…:{k}:journal:<ws>` | ids `<seq>-0`, field `e`: [`super::codec::encode_event`] |
//! | `…:{k}:snapshot:<ws>` | [`super::codec::encode_snapshot`] |
//! | `…:{k}:last:<ws>` | [`super::codec::encode_newest`]: entry id and text |
//! | `…:{k}:outbox` | `<ws>:<seq>` → [`super::codec::encode_mail`] |
//! | `…:{k}:bookmark` | [`super::codec::encode_bookmark`] |
//! | `…:{k}:workspaces`, `…:{k}:workspaces:<status>` | ids, all with the score 0 |
//! | `…:{k}:sources` | source → greatest entry id handed over |
//! | `…:{k}:rejected` | see [`super::rejected`] |
//! | `…:{k}:requeueing` | id among the rejected → until when it is claimed, in Unix ms; with a cluster only |
//!
//! # Ways in
//! [`mod@acquire`] takes a shard and starts a [`shard_connection`] (commits, loads, in order) and an
//! [`intake`] (reads). [`facade`] is what any node does for any workspace, [`rejected`] for what was
//! set aside, [`walk`] for all workspaces at once; [`source`] hands the common input over, [`group`] other
//! people's streams. [`compression`] is the compressed form of attempts. Each kind of work has connections of its
//! own: answers come in the order of questions, so nothing may stand behind a blocking read.

mod acquire;
mod answers;
mod check;
mod cluster;
mod commit;
mod compression;
mod connection;
mod connector;
mod durable;
mod error;
mod facade;
mod format;
mod glances;
mod group;
mod inner;
mod intake;
mod json;
mod keys;
mod lease;
mod meta;
mod nodes;
mod options;
mod permissions;
mod port;
mod read;
mod read_connection;
mod read_guard;
mod refusals;
mod rejected;
mod reply;
mod resp;
mod script;
mod seeds;
mod sentinel;
mod shard_connection;
mod shared;
mod source;
mod start_error;
mod take;
mod tls;
mod workspaces;
mod transaction;
mod url;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use self::check::CheckedRedis;
use self::connector::Connector;
use self::format::FormatInUse;
use self::inner::RedisInner;
use self::keys::Keys;
use self::shared::SharedConnections;
use super::format::FORMAT;
use crate::config::START_WAIT;

pub use self::check::stored_shards;
pub use self::compression::compress;
pub use self::keys::{PREFIX_MAX, is_prefix};
pub use self::options::RedisOptions;
pub use self::start_error::RedisStartError;
pub use self::tls::RedisTls;

/// A journal in Redis. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redis {
    inner: Arc<RedisInner>,
}

impl Redis {
    /// Connects, waiting at most [`START_WAIT`], and checks that this Redis keeps what it is given.
    ///
    /// # Errors
    /// [`RedisStartError`]; each says what to do.
    pub async fn connect(options: &RedisOptions) -> Result<Self, RedisStartError> {
        if !is_prefix(&options.prefix) {
            return Err(RedisStartError::Prefix(options.prefix.clone()));
        }
        let connector = Arc::new(Connector::parse(&options.url, &options.tls).map_err(RedisStartError::of_url)?);
        let keys = Keys::new(&options.prefix);
        let CheckedRedis { shards, waited, format } = check::check(&connector, &keys, options, START_WAIT).await?;
        if options.format < FORMAT {
            let (format, newest) = (options.format, FORMAT);
            warn!(
                format,
                newest,
                "--journal-format keeps all nodes to an older stored format. Start this one without it once the upgrade is \
                 judged good."
            );
        }
        let shared = Arc::new(SharedConnections::new(Arc::clone(&connector)));
        Ok(Self {
            inner: Arc::new(RedisInner {
                shared,
                compression: options.compression,
                waited,
                late: Arc::default(),
                format: FormatInUse::new(format, options.format),
                durable_waits: Mutex::default(),
                transaction_attempts_min: options.transaction_attempts_min,
                source: tokio::sync::Mutex::default(),
                groups: tokio::sync::Mutex::default(),
                source_guard: Mutex::default(),
                kept: Mutex::default(),
                losses: Arc::default(),
                listeners: Mutex::default(),
                run: Uuid::new_v4().to_string(),
                held: Mutex::default(),
                watched: Mutex::default(),
                sealing: Mutex::default(),
                sources: options.sources.clone(),
                clock: options.clock,
                connection_tried: Mutex::new(Instant::now()),
                connector,
                keys,
                shards,
            }),
        })
    }

    /// Whether a stream can be a source.
    ///
    /// # Errors
    /// It is no stream, one of the service's own keys, or none that a cluster can keep a key of ours beside.
    pub async fn check_source(&self, source: &str) -> Result<(), RedisStartError> {
        if self.inner.keys.is_own(source) {
            return Err(RedisStartError::OwnSource(source.to_owned()));
        }
        if self.inner.connector.is_cluster() && !keys::has_neighbours(source) {
            return Err(RedisStartError::LonelySource(source.to_owned()));
        }
        let connection = self.inner.connector.connect(source).await;
        permissions::check_source(&mut connection.map_err(RedisStartError::of_refusal)?, source).await?;
        match group::kind(&self.inner, source).await.map_err(RedisStartError::of_refusal)?.as_str() {
            "none" | "stream" => Ok(()),
            kind => Err(RedisStartError::NoStream { source_name: source.to_owned(), kind: kind.to_owned() }),
        }
    }

    /// Rejected entries that this process deleted because a shard had
    /// [`REJECTED_RETAINED`](super::port::REJECTED_RETAINED).
    #[must_use]
    pub fn rejected_deleted(&self) -> u64 {
        self.inner.losses.rejected_deleted()
    }

    /// Entries that were gone before this process settled them: somebody else deleted or trimmed them.
    #[must_use]
    pub fn entries_vanished(&self) -> u64 {
        self.inner.losses.entries_vanished()
    }
}
