//! What a Redis journal is opened with.

use super::tls::RedisTls;
use crate::config::{COMPRESSION_DEFAULT, Compression, Durability, SourceForm, TRANSACTION_ATTEMPTS_MIN};
use crate::journal::format::FORMAT;
use crate::workspace::time::Clock;

/// How to reach Redis and what to expect there.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://`, `redis+unix://`, `redis+cluster://a,b,c` or `redis+sentinel://a,b,c/NAME`; `rediss…` for TLS.
    pub url: String,
    /// What every key begins with.
    pub prefix: String,
    /// Shards to create; `None` takes what is stored, else [`crate::config::SHARDS_DEFAULT`].
    pub shards: Option<u16>,
    /// Accept a Redis that may evict any key.
    pub allow_volatile: bool,
    /// When what is stored counts as stored.
    pub durability: Durability,
    /// What TLS needs.
    pub tls: RedisTls,
    /// How new attempts are stored.
    pub compression: Compression,
    /// The newest format that may be read and written, at most [`FORMAT`].
    pub format: u32,
    /// A commit of at least so many attempts, and of nothing that needs a script, is a transaction:
    /// [`crate::config::TRANSACTION_ATTEMPTS_MIN`] where commits are to be cheap.
    pub transaction_attempts_min: usize,
    /// The streams of other people that are read, and their form: a rejected entry of theirs is judged by it again.
    pub sources: (Vec<String>, SourceForm),
    /// The wall clock, for the time of rejected entries and for how long a command is waited for.
    pub clock: Clock,
}

impl RedisOptions {
    /// With what `outbound serve` does without another flag.
    #[must_use]
    pub fn new(url: impl Into<String>, clock: Clock) -> Self {
        Self {
            url: url.into(),
            prefix: "outbound".to_owned(),
            shards: None,
            allow_volatile: false,
            durability: Durability::Memory,
            tls: RedisTls::default(),
            compression: COMPRESSION_DEFAULT,
            format: FORMAT,
            transaction_attempts_min: TRANSACTION_ATTEMPTS_MIN,
            sources: (Vec::new(), SourceForm::default()),
            clock,
        }
    }
}
