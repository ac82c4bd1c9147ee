//! What Redis must be before anything is trusted to it.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{ConnectionInfo, ErrorKind, RedisError};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::connection::{Backoff, Connection, open};
use super::connector::Connector;
use super::durable::Waited;
use super::error::{ErrorClass, classify, is_away, timed_out};
use super::format::stored_format;
use super::keys::Keys;
use super::options::RedisOptions;
use super::script::Script;
use super::start_error::{RedisStartError, VERSION_MIN};
use super::tls::RedisTls;
use super::{permissions, reply, sentinel};
use crate::config::{CLUSTER_SLOTS_WAIT, Durability, SHARDS_DEFAULT, SHARDS_MAX, START_WAIT, STORE_TIMEOUT};
use crate::journal::format::{FORMAT, FormatTooNew};

/// The number of shards that is stored under `prefix`; `None` if the Redis was never used. Only reads,
/// for whoever is not the service: the number is fixed by the first start. Waits at most [`START_WAIT`].
///
/// # Errors
/// [`RedisStartError`]: not reachable, or what is stored is of another format.
pub async fn stored_shards(url: &str, prefix: &str, tls: &RedisTls) -> Result<Option<u16>, RedisStartError> {
    let connector = Connector::parse(url, tls).map_err(RedisStartError::of_url)?;
    let keys = Keys::new(prefix);
    let mut connection = first_connection(&connector, &keys.meta(), START_WAIT).await?;
    let known = read_meta(&mut connection, &keys).await?;
    if known.contains(&redis::Value::Nil) {
        return Ok(None);
    }
    meta_of(&keys, known, FORMAT).map(|(shards, _)| Some(shards))
}

/// What was found of a Redis that is as it must be.
#[derive(Debug)]
pub(super) struct CheckedRedis {
    pub(super) shards: u16,
    /// How durability is waited for.
    pub(super) waited: Waited,
    /// The newest format that may be stored in it.
    pub(super) format: u32,
}

/// Connects, waiting at most `wait`, and checks.
pub(super) async fn check(
    connector: &Connector,
    keys: &Keys,
    options: &RedisOptions,
    wait: Duration,
) -> Result<CheckedRedis, RedisStartError> {
    if let Some(asked) = options.shards.filter(|asked| !(1..=SHARDS_MAX).contains(asked)) {
        return Err(RedisStartError::ShardsRange(asked));
    }
    check_slots(connector, wait).await?;
    let mut connection = first_connection(connector, &keys.meta(), wait).await?;
    let primaries = every_primary(connector, wait).await?;
    let ((mut waited, mut unasked), count) = ((Waited::NotAtAll, None), primaries.len());
    for (primary, mut connection) in primaries {
        // Each keeps shards of its own: one that forgets is enough to lose something.
        let at = |error: RedisStartError| error.at(&primary, count);
        let of_server = check_server(&mut connection, connector.is_cluster(), options).await.map_err(at)?;
        // Of servers that are configured each in its way, those that must be waited for decide.
        waited = if waited == Waited::Log { waited } else { of_server };
        let place = primary.addr().to_string();
        permissions::check(&mut connection, &keys.meta(), options.durability).await.map_err(at)?;
        permissions::warn_of_everything(&mut connection, &place).await;
        if connector.is_cluster() && unasked.is_none() && !may_wait_for_disk(&mut connection).await {
            unasked = Some(place);
        }
    }
    if let Some(place) = unasked {
        warn!(
            place,
            "The service's Redis user may not use WAITAOF, so a message stays in its source until a replica has it, or for \
             two seconds, and not until it is on disk. Allow it to the user with +waitaof."
        );
    }
    let (shards, format) = fix_meta(&mut connection, connector, keys, options).await?;
    Ok(CheckedRedis { shards, waited, format })
}

/// Waits until every slot of a cluster is served. Whoever cannot be reached is told by who connects.
async fn check_slots(connector: &Connector, wait: Duration) -> Result<(), RedisStartError> {
    let (began, mut backoff) = (Instant::now(), Backoff::default());
    while let Ok(Some(unserved)) = connector.unserved().await {
        // A fail-over ends; slots that nobody has are given to nobody by themselves.
        let wait = if unserved.is_lasting { wait.min(CLUSTER_SLOTS_WAIT) } else { wait };
        if began.elapsed() >= wait {
            return Err(RedisStartError::Unserved(unserved.what));
        }
        backoff.pause().await;
    }
    Ok(())
}

/// Connects to every primary. One that has just died is followed by another, or comes back: it is waited for.
async fn every_primary(
    connector: &Connector,
    wait: Duration,
) -> Result<Vec<(ConnectionInfo, Connection)>, RedisStartError> {
    let (deadline, mut backoff) = (Instant::now() + wait, Backoff::default());
    loop {
        let (place, error) = match connector.primaries().await {
            Ok(primaries) => match try_join_all(primaries.into_iter().map(opened)).await {
                Ok(connected) => return Ok(connected),
                Err((primary, error)) => (primary.addr().to_string(), error),
            },
            Err(error) => (connector.place(), error),
        };
        if !is_away(&error) {
            return Err(RedisStartError::Refused(error));
        }
        if timeout_at(deadline, backoff.pause()).await.is_err() {
            return Err(RedisStartError::Unreachable { place, hint: "", wait, source: error });
        }
    }
}

async fn opened(primary: ConnectionInfo) -> Result<(ConnectionInfo, Connection), (ConnectionInfo, RedisError)> {
    match open(&primary).await {
        Ok(connection) => Ok((primary, connection)),
        Err(error) => Err((primary, error)),
    }
}

async fn first_connection(connector: &Connector, key: &str, wait: Duration) -> Result<Connection, RedisStartError> {
    let deadline = Instant::now() + wait;
    let mut backoff = Backoff::default();
    let mut last = timed_out();
    while let Ok(attempt) = tokio::time::timeout_at(deadline, connector.connect_for_scripts(key)).await {
        match attempt {
            Ok(connection) => return Ok(connection),
            Err(error) => {
                if let Some(end) = judge(connector, key, &error).await {
                    return Err(end(error));
                }
                last = error;
                // A pause beyond the deadline would only hide what went wrong behind a timeout.
                if tokio::time::timeout_at(deadline, backoff.pause()).await.is_err() {
                    break;
                }
            }
        }
    }
    Err(no_answer(connector, wait, last))
}

/// What an error means that waiting does not mend.
async fn judge(
    connector: &Connector,
    key: &str,
    error: &RedisError,
) -> Option<Box<dyn FnOnce(RedisError) -> RedisStartError + Send>> {
    let place = connector.place();
    let text = error.to_string();
    let told = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if told(&["InvalidContentType"]) {
        return Some(Box::new(|error| RedisStartError::NoTls(place, error)));
    }
    if told(&["invalid peer certificate"]) {
        return Some(Box::new(|error| RedisStartError::Certificate(place, error)));
    }
    if told(&["CertificateRequired"]) {
        return Some(Box::new(|error| RedisStartError::ClientCertificate(place, error)));
    }
    if let (true, Some(name)) = (told(&[sentinel::NO_SUCH_PRIMARY]), connector.primary_name()) {
        let name = name.to_owned();
        return Some(Box::new(|error| RedisStartError::NoSuchPrimary(name, error)));
    }
    if told(&[sentinel::NO_LOGIN]) {
        return Some(Box::new(RedisStartError::SentinelLogin));
    }
    if error.kind() == ErrorKind::Parse {
        // What the library makes of the answer would only confuse.
        return Some(Box::new(|_| RedisStartError::NotRedis(place)));
    }
    if classify(error) != ErrorClass::Refused {
        return None;
    }
    if told(&["unknown command"]) {
        match (connector.primary_name(), connector.mode().await.as_deref()) {
            (None, Some("sentinel")) => return Some(Box::new(|error| RedisStartError::IsSentinel(place, error))),
            (Some(_), Some("standalone" | "cluster")) => {
                return Some(Box::new(|error| RedisStartError::NoSentinel(place, error)));
            }
            _ => {}
        }
    }
    if let Some(version) = too_old(connector, key).await {
        // It does not know the form of our scripts, and refuses them.
        return Some(Box::new(|_| RedisStartError::Version(version)));
    }
    Some(Box::new(if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) || told(&["uthentication", "AUTH"]) {
        RedisStartError::Login
    } else if told(&["DB index", "SELECT"]) {
        RedisStartError::Database
    } else if told(&["cluster support disabled"]) {
        RedisStartError::NoCluster
    } else if error.code() == Some("NOPERM") {
        RedisStartError::NotAllowed
    } else {
        RedisStartError::Refused
    }))
}

fn no_answer(connector: &Connector, wait: Duration, source: RedisError) -> RedisStartError {
    let place = connector.place();
    // A Redis without TLS waits for the rest of what it takes for a command.
    let hint = if connector.is_tls() { " and speaks TLS" } else { "" };
    // Nobody who refuses or has no socket has closed anything.
    let was_there = !source.is_connection_refusal();
    if classify(&source) == ErrorClass::NotRun {
        RedisStartError::Occupied { place, wait, source }
    } else if source.is_connection_dropped() && was_there {
        RedisStartError::Closed { place, wait, source }
    } else {
        RedisStartError::Unreachable { place, hint, wait, source }
    }
}

async fn too_old(connector: &Connector, key: &str) -> Option<String> {
    let mut connection = connector.connect(key).await.ok()?;
    let info = connection.call(&redis::cmd("INFO"), STORE_TIMEOUT).await.and_then(reply::text).ok()?;
    let version = reply::info_value(&info, "redis_version");
    is_too_old(version).then(|| version.to_owned())
}

fn is_too_old(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < VERSION_MIN)
}

async fn check_server(
    connection: &mut Connection,
    cluster: bool,
    options: &RedisOptions,
) -> Result<Waited, RedisStartError> {
    let info = connection.call(&redis::cmd("INFO"), STORE_TIMEOUT).await.and_then(reply::text);
    let info = info.map_err(RedisStartError::of_refusal)?;
    let value = |name: &str| reply::info_value(&info, name);
    let version = value("redis_version");
    if is_too_old(version) {
        return Err(RedisStartError::Version(version.to_owned()));
    }
    if value("role") != "master" {
        return Err(RedisStartError::Replica);
    }
    if value("cluster_enabled") == "1" && !cluster {
        return Err(RedisStartError::Cluster);
    }
    let waited = durability(connection, options.durability, &info).await?;
    match value("maxmemory_policy") {
        "noeviction" => {}
        // It deletes keys with a TTL alone, and none of ours has one.
        policy if policy.starts_with("volatile-") => warn!(
            policy,
            "Redis' maxmemory-policy deletes keys of others when it is full; set it to noeviction if they must be kept."
        ),
        policy if options.allow_volatile => warn!(
            policy,
            "Redis deletes what must be kept when it is full, by its maxmemory-policy: messages and configurations may \
             be lost. Set it to noeviction."
        ),
        policy => return Err(RedisStartError::Evicts(policy.to_owned())),
    }
    if value("aof_enabled") != "1" && !has_save_points(connection).await {
        return Err(RedisStartError::Volatile);
    }
    Ok(waited)
}

/// How what is stored here becomes as durable as is asked for.
async fn durability(connection: &mut Connection, asked: Durability, info: &str) -> Result<Waited, RedisStartError> {
    let value = |name: &str| reply::info_value(info, name);
    match asked {
        Durability::Memory => Ok(Waited::NotAtAll),
        Durability::Local if value("aof_enabled") != "1" => Err(RedisStartError::NoLog),
        Durability::Local => {
            let fsync = connection.configured("appendfsync").await;
            match fsync.as_deref() {
                Some("always") => return Ok(Waited::Synced),
                Some("no") => return Err(RedisStartError::NeverSynced),
                _ => {}
            }
            let version = value("redis_version");
            if !knows_waitaof(version) {
                return Err(RedisStartError::NoSync(version.to_owned()));
            }
            ask_for_disk(connection).await.map(|_| Waited::Log).map_err(RedisStartError::NoWait)
        }
        Durability::Replicated if value("connected_slaves") == "0" => Err(RedisStartError::NoReplica),
        Durability::Replicated => Ok(Waited::Replica),
    }
}

/// Whether the user may ask when something is on disk, or nobody can: an older Redis does not know the command.
async fn may_wait_for_disk(connection: &mut Connection) -> bool {
    !ask_for_disk(connection).await.is_err_and(|error| error.code() == Some("NOPERM"))
}

/// Waits for nothing to be on disk: only whether that may be asked counts.
async fn ask_for_disk(connection: &mut Connection) -> Result<redis::Value, RedisError> {
    let mut wait = redis::cmd("WAITAOF");
    wait.arg(0).arg(0).arg(1);
    connection.call(&wait, STORE_TIMEOUT).await
}

/// WAITAOF came with Redis 7.2, and Valkey has it from its start, as which it tells 7.2.
pub(super) fn knows_waitaof(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (7, 2)
}

/// Whether snapshots are taken. Where CONFIG is forbidden nobody can tell, which counts as no.
async fn has_save_points(connection: &mut Connection) -> bool {
    connection.configured("save").await.is_some_and(|save| !save.is_empty())
}

/// Format and number of shards, as stored.
async fn read_meta(connection: &mut Connection, keys: &Keys) -> Result<[redis::Value; 2], RedisStartError> {
    let mut stored = redis::cmd("HMGET");
    stored.arg(keys.meta()).arg("format").arg("shards");
    connection.call(&stored, STORE_TIMEOUT).await.and_then(reply::tuple).map_err(|error| of_meta(keys, error))
}

fn of_meta(keys: &Keys, source: RedisError) -> RedisStartError {
    match source.code() {
        Some("OOM") => RedisStartError::Full(source),
        Some("WRONGTYPE") => RedisStartError::Foreign { key: keys.meta(), source },
        _ => RedisStartError::of_refusal(source),
    }
}

/// `newest` is the newest format that may be read.
fn meta_of(keys: &Keys, [text, shards]: [redis::Value; 2], newest: u32) -> Result<(u16, u32), RedisStartError> {
    let text = reply::text(text).map_err(RedisStartError::Refused)?;
    let format = stored_format(&text);
    if !(1..=FORMAT).contains(&format) {
        return Err(RedisStartError::Format(text));
    }
    if format > newest {
        return Err(FormatTooNew { stored: format, allowed: newest }.into());
    }
    let shards = reply::number(shards).ok().and_then(|shards| u16::try_from(shards).ok());
    let stored = shards.filter(|shards| (1..=SHARDS_MAX).contains(shards));
    let stored = stored.ok_or_else(|| RedisStartError::DamagedMeta(keys.meta()))?;
    Ok((stored, format))
}

async fn fix_meta(
    connection: &mut Connection,
    connector: &Connector,
    keys: &Keys,
    options: &RedisOptions,
) -> Result<(u16, u32), RedisStartError> {
    let asked = options.shards;
    // Read first: the script that creates it is refused by a full Redis, on which we must start.
    let mut known = read_meta(connection, keys).await?;
    if known.contains(&redis::Value::Nil) {
        let mut create = connector.script(Script::Meta, &[keys.meta()]);
        create.arg(options.format).arg(asked.unwrap_or(SHARDS_DEFAULT));
        known = connection
            .call(&create, STORE_TIMEOUT)
            .await
            .and_then(reply::tuple)
            .map_err(|error| of_meta(keys, error))?;
    }
    let (stored, format) = meta_of(keys, known, options.format)?;
    match asked {
        Some(asked) if asked != stored => Err(RedisStartError::Shards { stored, asked }),
        _ => Ok((stored, format)),
    }
}
