//! The Redis adapter: streams, scripts and one lease a shard. Production runs on it.
//!
//! # Keys
//! [contract, section 6](crate::docs::contract#6-redis-keys-shard-k) names them. All keys of a
//! shard share the hash tag `{k}`. What a value holds:
//!
//! | key | value |
//! |---|---|
//! | `…:meta` | `format` (1), `shards`, `sealing-key/<id>` (1) for each key that seals something, `token-key`: a node and the mark of its token key |
//! | `…:{k}:owner` | `node`, `nonce`, `head`, `lease` (ms), `expiry` (Unix ms by Redis' clock; 0 once released) |
//! | `…:{k}:messages` | `workspace`, `message`, after a hand-over `origin` |
//! | `…:{k}:commands` | `workspace`, `command` (JSON) |
//! | `…:{k}:answers` | `command` (its entry id), `answer` (JSON) |
//! | `…:{k}:attempts:<ws>` | ids `<seq>-0`, field `e`: [`super::codec::encode_event`], or `z`: the same, [`compression`]'s form |
//! | `…:{k}:journal:<ws>` | ids `<seq>-0`, field `e`: [`super::codec::encode_event`] |
//! | `…:{k}:snapshot:<ws>` | [`super::codec::encode_snapshot`] |
//! | `…:{k}:last:<ws>` | [`super::codec::encode_newest`]: entry id and text |
//! | `…:{k}:outbox` | `<ws>:<seq>` → [`super::codec::encode_mail`] |
//! | `…:{k}:sources` | source → greatest entry id handed over |
//! | `…:{k}:rejected` | see [`super::rejected`] |
//!
//! # Ways in
//! [`mod@acquire`] takes a shard and starts a [`shard_connection`] (commits, loads, in order) and an
//! [`intake`] (reads). [`facade`] is what any node does for any workspace, [`rejected`] for what was
//! set aside, [`walk`] for all workspaces at once; [`source`] hands the common input over. [`compression`] is the compressed form of attempts. Each kind
//! of work has connections of its own: answers come in the order of questions, so nothing may stand behind a
//! blocking read.

mod acquire;
mod answers;
mod check;
mod cluster;
mod commit;
mod compression;
mod connection;
mod connector;
mod error;
mod facade;
mod inner;
mod intake;
mod keys;
mod lease;
mod port;
mod read;
mod rejected;
mod reply;
mod script;
mod sentinel;
mod shard_connection;
mod shared;
mod source;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use self::connector::Connector;
use self::inner::RedisInner;
use self::keys::Keys;
use self::shared::SharedConnections;
use crate::config::START_WAIT;

pub use self::check::{RedisOptions, RedisStartError, stored_shards};
pub use self::compression::compress;
pub use self::connector::RedisTls;
pub use self::keys::{PREFIX_MAX, is_prefix};

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
        let connector = Arc::new(Connector::parse(&options.url, &options.tls).map_err(RedisStartError::Url)?);
        let keys = Keys::new(&options.prefix);
        let shards = check::check(&connector, &keys, options, START_WAIT).await?;
        let shared = Arc::new(SharedConnections::new(Arc::clone(&connector)));
        Ok(Self {
            inner: Arc::new(RedisInner {
                shared,
                compression: options.compression,
                source: tokio::sync::Mutex::default(),
                losses: Arc::default(),
                listeners: Mutex::default(),
                run: Uuid::new_v4().to_string(),
                held: Mutex::default(),
                watched: Mutex::default(),
                clock: options.clock,
                connector,
                keys,
                shards,
            }),
        })
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
