//! What Redis must be before anything is trusted to it.

use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use super::connection::{Backoff, Connection};
use super::connector::Connector;
use super::error::{ErrorClass, classify, timed_out, unexpected};
use super::keys::{Keys, PREFIX_MAX};
use super::reply;
use super::script::Script;
use crate::config::{Compression, SHARDS_DEFAULT, SHARDS_MAX, START_WAIT, STORE_TIMEOUT};
use crate::workspace::time::Clock;

/// The version of the format of the keys.
const FORMAT: &str = "1";
/// Streams' and scripts' behaviour that we rely on came with it.
const VERSION_MIN: u32 = 7;

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

/// Why the service does not start on this Redis.
#[derive(Debug, thiserror::Error)]
pub enum RedisStartError {
    /// The URL cannot be read.
    #[error("the journal's URL is not one of redis://, rediss:// or redis+cluster://a,b,c")]
    Url(#[source] RedisError),
    /// The prefix cannot be used.
    #[error("the prefix {0:?} cannot begin a key: use 1 to {PREFIX_MAX} characters of A-Z a-z 0-9 _ . -")]
    Prefix(String),
    /// Nobody answered.
    #[error("Redis did not answer within {0:?}: check the URL and that it runs")]
    Unreachable(Duration, #[source] RedisError),
    /// Refused what we must know.
    #[error("Redis refused a command that the start needs: allow it to this user")]
    Refused(#[source] RedisError),
    /// Too old.
    #[error("Redis has version {0}: upgrade it to {VERSION_MIN}.0 or newer")]
    Version(String),
    /// May delete what we keep.
    #[error("Redis' maxmemory-policy is {0}, under which it deletes what must be kept: set it to noeviction")]
    Evicts(String),
    /// Forgets at a restart.
    #[error(
        "Redis keeps nothing over a restart: set appendonly yes (or save points), or start with --allow-volatile-redis"
    )]
    Volatile,
    /// Not the one that takes writes.
    #[error("this Redis is a replica: give the URL of its primary")]
    Replica,
    /// One node of a cluster given as a single Redis.
    #[error("this Redis is a node of a cluster: give its URL as redis+cluster://host:port,…")]
    Cluster,
    /// Written by another program version.
    #[error("the keys in Redis have format {0}, this program knows format {FORMAT}: start the program that wrote them")]
    Format(String),
    /// Another number of shards.
    #[error(
        "Redis holds {stored} shards but {asked} were asked for: leave --shards out, their number is fixed at the first start"
    )]
    Shards {
        /// What is stored.
        stored: u16,
        /// What was asked for.
        asked: u16,
    },
    /// Not a number of shards.
    #[error("{0} is no number of shards: use 1 to {SHARDS_MAX}")]
    ShardsRange(u16),
}

/// The number of shards that is stored under `prefix`; `None` if the Redis was never used. Only reads,
/// for whoever is not the service: the number is fixed by the first start. Waits at most [`START_WAIT`].
///
/// # Errors
/// [`RedisStartError`]: not reachable, or what is stored is of another format.
pub async fn stored_shards(url: &str, prefix: &str) -> Result<Option<u16>, RedisStartError> {
    let connector = Connector::parse(url).map_err(RedisStartError::Url)?;
    let keys = Keys::new(prefix);
    let mut connection = first_connection(&connector, &keys.meta(), START_WAIT).await?;
    let known = read_meta(&mut connection, &keys).await?;
    if known.contains(&redis::Value::Nil) { Ok(None) } else { shards_of(known).map(Some) }
}

/// Connects, waiting at most `wait`, and checks. Answers the number of shards.
pub(super) async fn check(
    connector: &Connector,
    keys: &Keys,
    options: &RedisOptions,
    wait: Duration,
) -> Result<u16, RedisStartError> {
    if let Some(asked) = options.shards.filter(|asked| !(1..=SHARDS_MAX).contains(asked)) {
        return Err(RedisStartError::ShardsRange(asked));
    }
    let mut connection = first_connection(connector, &keys.meta(), wait).await?;
    check_server(&mut connection, connector.is_cluster(), options).await?;
    fix_meta(&mut connection, connector, keys, options.shards).await
}

async fn first_connection(connector: &Connector, key: &str, wait: Duration) -> Result<Connection, RedisStartError> {
    let deadline = Instant::now() + wait;
    let mut backoff = Backoff::default();
    loop {
        let attempt = tokio::time::timeout_at(deadline, connector.connect_for_scripts(key)).await;
        match attempt.unwrap_or_else(|_| Err(timed_out())) {
            Ok(connection) => return Ok(connection),
            Err(error) if Instant::now() >= deadline => return Err(RedisStartError::Unreachable(wait, error)),
            Err(error) if classify(&error) == ErrorClass::Refused => return Err(RedisStartError::Refused(error)),
            Err(_) => backoff.pause().await,
        }
    }
}

async fn check_server(
    connection: &mut Connection,
    cluster: bool,
    options: &RedisOptions,
) -> Result<(), RedisStartError> {
    let info = connection.call(&redis::cmd("INFO"), STORE_TIMEOUT).await.and_then(reply::text);
    let info = info.map_err(RedisStartError::Refused)?;
    let value = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    };
    let version = value("redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < VERSION_MIN) {
        return Err(RedisStartError::Version(version.to_owned()));
    }
    if value("role") != "master" {
        return Err(RedisStartError::Replica);
    }
    if value("cluster_enabled") == "1" && !cluster {
        return Err(RedisStartError::Cluster);
    }
    if options.allow_volatile {
        return Ok(());
    }
    if value("maxmemory_policy") != "noeviction" {
        return Err(RedisStartError::Evicts(value("maxmemory_policy").to_owned()));
    }
    if value("aof_enabled") != "1" && !has_save_points(connection).await {
        return Err(RedisStartError::Volatile);
    }
    Ok(())
}

/// Whether snapshots are taken. Where CONFIG is forbidden nobody can tell, which counts as no.
async fn has_save_points(connection: &mut Connection) -> bool {
    let mut cmd = redis::cmd("CONFIG");
    cmd.arg("GET").arg("save");
    let answer = connection.call(&cmd, STORE_TIMEOUT).await.and_then(reply::list);
    let save = answer.ok().and_then(|pair| pair.into_iter().nth(1)).map(reply::text);
    save.is_some_and(|save| save.is_ok_and(|save| !save.is_empty()))
}

/// Format and number of shards, as stored.
async fn read_meta(connection: &mut Connection, keys: &Keys) -> Result<[redis::Value; 2], RedisStartError> {
    let mut stored = redis::cmd("HMGET");
    stored.arg(keys.meta()).arg("format").arg("shards");
    connection.call(&stored, STORE_TIMEOUT).await.and_then(reply::tuple).map_err(RedisStartError::Refused)
}

fn shards_of([format, shards]: [redis::Value; 2]) -> Result<u16, RedisStartError> {
    let format = reply::text(format).map_err(RedisStartError::Refused)?;
    if format != FORMAT {
        return Err(RedisStartError::Format(format));
    }
    let shards = reply::number(shards).ok().and_then(|shards| u16::try_from(shards).ok());
    let stored = shards.filter(|shards| (1..=SHARDS_MAX).contains(shards));
    stored.ok_or_else(|| RedisStartError::Refused(unexpected("no number of shards in the meta key")))
}

async fn fix_meta(
    connection: &mut Connection,
    connector: &Connector,
    keys: &Keys,
    asked: Option<u16>,
) -> Result<u16, RedisStartError> {
    // Read first: the script that creates it is refused by a full Redis, on which we must start.
    let mut known = read_meta(connection, keys).await?;
    if known.contains(&redis::Value::Nil) {
        let mut create = connector.script(Script::Meta, &[keys.meta()]);
        create.arg(FORMAT).arg(asked.unwrap_or(SHARDS_DEFAULT));
        known =
            connection.call(&create, STORE_TIMEOUT).await.and_then(reply::tuple).map_err(RedisStartError::Refused)?;
    }
    let stored = shards_of(known)?;
    match asked {
        Some(asked) if asked != stored => Err(RedisStartError::Shards { stored, asked }),
        _ => Ok(stored),
    }
}
