//! What Redis must be before anything is trusted to it.

use std::time::Duration;

use redis::{ConnectionInfo, ErrorKind, RedisError};
use tokio::time::Instant;
use tracing::warn;

use super::connection::{Backoff, Connection, open};
use super::connector::{Connector, RedisTls};
use super::durable::Waited;
use super::error::{ErrorClass, classify, timed_out, unexpected};
use super::keys::{Keys, PREFIX_MAX};
use super::options::RedisOptions;
use super::reply;
use super::script::Script;
use crate::config::{Durability, SHARDS_DEFAULT, SHARDS_MAX, START_WAIT, STORE_TIMEOUT};

/// The version of the format of the keys.
const FORMAT: &str = "1";
/// Streams' and scripts' behaviour that we rely on came with it.
const VERSION_MIN: u32 = 7;

/// Why the service does not start on this Redis.
#[derive(Debug, thiserror::Error)]
pub enum RedisStartError {
    /// The URL cannot be read.
    #[error(
        "the Redis URL of --journal cannot be used: write redis://HOST:PORT, rediss://HOST:PORT, redis+unix:///PATH, \
         redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/NAME; the cause says what is wrong with it"
    )]
    Url(#[source] RedisError),
    /// The prefix cannot be used.
    #[error("the prefix {0:?} cannot begin a key: use 1 to {PREFIX_MAX} characters of A-Z a-z 0-9 _ . -")]
    Prefix(String),
    /// Nobody answered.
    #[error(
        "Redis did not answer at {place} within {wait:?}: check that it runs there{hint}, and the URL of --journal"
    )]
    Unreachable {
        /// Host and port.
        place: String,
        /// What else may help.
        hint: &'static str,
        /// How long it was tried.
        wait: Duration,
        /// The last try.
        #[source]
        source: RedisError,
    },
    /// The connection was closed unanswered, as a port for TLS does.
    #[error(
        "{place} closed every connection without an answer for {wait:?}: if that Redis speaks TLS, write rediss:// instead of \
         redis://; if it has as many clients as it takes, raise its maxclients"
    )]
    Closed {
        /// Host and port.
        place: String,
        /// How long it was tried.
        wait: Duration,
        /// The last try.
        #[source]
        source: RedisError,
    },
    /// TLS was asked of a port without it.
    #[error("what answers at {0} does not speak TLS: write redis:// instead of rediss://, or give Redis' TLS port")]
    NoTls(String, #[source] RedisError),
    /// The certificate convinces nobody.
    #[error(
        "the certificate of Redis at {0} is not trusted: the system must trust who issued it, for the host in the URL, or name the authority with --redis-ca"
    )]
    Certificate(String, #[source] RedisError),
    /// Something else answers.
    #[error("what answers at {0} is no Redis: check host and port in the URL of --journal")]
    NotRedis(String),
    /// No password, or a wrong one.
    #[error(
        "Redis refused the login: give user and password in the URL of --journal, redis://USER:PASSWORD@HOST:PORT \
         (percent-encoded; without a user, :PASSWORD@)"
    )]
    Login(#[source] RedisError),
    /// No such database.
    #[error("Redis has no such database: correct the number behind the last slash of the URL, or leave it out")]
    Database(#[source] RedisError),
    /// A cluster's URL for what is none.
    #[error("this Redis is no cluster: give its URL as redis://HOST:PORT")]
    NoCluster(#[source] RedisError),
    /// The user may not do what is needed.
    #[error("Redis does not let this user do what the start needs: allow it to the user with ACL SETUSER")]
    NotAllowed(#[source] RedisError),
    /// Refused what we must know.
    #[error("Redis refused a command that the start needs: the cause says why")]
    Refused(#[source] RedisError),
    /// No room for the first key.
    #[error("Redis is full: free memory or raise maxmemory, for the first start must store something")]
    Full(#[source] RedisError),
    /// A key of ours is of another type.
    #[error("Redis holds something else under {key}: choose another --prefix, or another database")]
    Foreign {
        /// The key.
        key: String,
        /// What Redis says.
        #[source]
        source: RedisError,
    },
    /// Too old.
    #[error("Redis has version {0}: upgrade it to {VERSION_MIN}.0 or newer")]
    Version(String),
    /// May delete what we keep.
    #[error(
        "Redis' maxmemory-policy is {0}, under which it deletes what must be kept: set it to noeviction, or start with \
         --allow-volatile-redis"
    )]
    Evicts(String),
    /// Forgets at a restart.
    #[error("Redis keeps nothing over a restart: set appendonly yes, or save points")]
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
    /// Nothing is written to disk at once.
    #[error("--durability local needs Redis' append-only file: set appendonly yes")]
    NoLog,
    /// Nobody tells when something is on disk.
    #[error(
        "--durability local needs Redis 7.2 or newer, Valkey, or appendfsync always: this is Redis {0}, which does not tell \
         when something is on disk"
    )]
    NoSync(String),
    /// Nobody to replicate to.
    #[error("--durability replicated needs a replica: none is connected to this Redis")]
    NoReplica,
    /// A source that the service makes itself.
    #[error("--source {0} is one of the service's own keys: name a stream that somebody else writes")]
    OwnSource(String),
    /// A source of another type.
    #[error("--source {source_name} is a {kind} and no stream: name a stream, or a key that is not there yet")]
    NoStream {
        /// The key.
        source_name: String,
        /// What it is.
        kind: String,
    },
    /// One of several nodes.
    #[error("the node {place} of this cluster cannot be used")]
    Node {
        /// Host and port.
        place: String,
        /// Why.
        #[source]
        source: Box<RedisStartError>,
    },
    /// Not a number of shards.
    #[error("{0} is no number of shards: use 1 to {SHARDS_MAX}")]
    ShardsRange(u16),
}

impl RedisStartError {
    /// The same, with the node's place when there are several.
    fn at(self, node: &ConnectionInfo, nodes: usize) -> Self {
        if nodes < 2 { self } else { Self::Node { place: node.addr().to_string(), source: Box::new(self) } }
    }
}

/// The number of shards that is stored under `prefix`; `None` if the Redis was never used. Only reads,
/// for whoever is not the service: the number is fixed by the first start. Waits at most [`START_WAIT`].
///
/// # Errors
/// [`RedisStartError`]: not reachable, or what is stored is of another format.
pub async fn stored_shards(url: &str, prefix: &str, tls: &RedisTls) -> Result<Option<u16>, RedisStartError> {
    let connector = Connector::parse(url, tls).map_err(RedisStartError::Url)?;
    let keys = Keys::new(prefix);
    let mut connection = first_connection(&connector, &keys.meta(), START_WAIT).await?;
    let known = read_meta(&mut connection, &keys).await?;
    if known.contains(&redis::Value::Nil) { Ok(None) } else { shards_of(known).map(Some) }
}

/// Connects, waiting at most `wait`, and checks. Answers the number of shards, and how durability is waited for.
pub(super) async fn check(
    connector: &Connector,
    keys: &Keys,
    options: &RedisOptions,
    wait: Duration,
) -> Result<(u16, Waited), RedisStartError> {
    if let Some(asked) = options.shards.filter(|asked| !(1..=SHARDS_MAX).contains(asked)) {
        return Err(RedisStartError::ShardsRange(asked));
    }
    let mut connection = first_connection(connector, &keys.meta(), wait).await?;
    let primaries = connector.primaries().await.map_err(RedisStartError::Refused)?;
    let mut waited = Waited::NotAtAll;
    for primary in &primaries {
        // Each keeps shards of its own: one that forgets is enough to lose something.
        let at = |error: RedisStartError| error.at(primary, primaries.len());
        let mut connection = open(primary).await.map_err(RedisStartError::Refused).map_err(at)?;
        waited = check_server(&mut connection, connector.is_cluster(), options).await.map_err(at)?;
        check_user(&mut connection, &primary.addr().to_string()).await;
    }
    Ok((fix_meta(&mut connection, connector, keys, options.shards).await?, waited))
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
    if error.kind() == ErrorKind::Parse {
        // What the library makes of the answer would only confuse.
        return Some(Box::new(|_| RedisStartError::NotRedis(place)));
    }
    if classify(error) != ErrorClass::Refused {
        return None;
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
    if source.is_connection_dropped() && was_there {
        RedisStartError::Closed { place, wait, source }
    } else {
        RedisStartError::Unreachable { place, hint, wait, source }
    }
}

async fn too_old(connector: &Connector, key: &str) -> Option<String> {
    let mut connection = connector.connect(key).await.ok()?;
    let info = connection.call(&redis::cmd("INFO"), STORE_TIMEOUT).await.and_then(reply::text).ok()?;
    let version = info_value(&info, "redis_version");
    is_too_old(version).then(|| version.to_owned())
}

fn info_value<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
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
    let info = info.map_err(RedisStartError::Refused)?;
    let value = |name: &str| info_value(&info, name);
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
    let value = |name: &str| info_value(info, name);
    match asked {
        Durability::Memory => Ok(Waited::NotAtAll),
        Durability::Local if value("aof_enabled") != "1" => Err(RedisStartError::NoLog),
        Durability::Local => {
            let fsync = configured(connection, "appendfsync").await;
            if fsync.as_deref() == Some("always") {
                return Ok(Waited::NotAtAll);
            }
            let version = value("redis_version");
            if knows_waitaof(version) { Ok(Waited::Log) } else { Err(RedisStartError::NoSync(version.to_owned())) }
        }
        Durability::Replicated if value("connected_slaves") == "0" => Err(RedisStartError::NoReplica),
        Durability::Replicated => Ok(Waited::Replica),
    }
}

/// WAITAOF came with Redis 7.2, and Valkey has it from its start, as which it tells 7.2.
fn knows_waitaof(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (7, 2)
}

/// Warns where the user may do everything: whoever has its password can redirect webhooks and read secrets.
async fn check_user(connection: &mut Connection, place: &str) {
    let mut dry_run = redis::cmd("ACL");
    // Nothing that the service needs; a user with least privilege may not even ask.
    dry_run.arg("WHOAMI");
    let Ok(user) = connection.call(&dry_run, STORE_TIMEOUT).await.and_then(reply::text) else { return };
    let mut ask = redis::cmd("ACL");
    ask.arg("DRYRUN").arg(&user).arg("FLUSHALL");
    let may = connection.call(&ask, STORE_TIMEOUT).await.and_then(reply::text);
    if may.is_ok_and(|answer| answer == "OK") {
        tracing::warn!(
            place,
            user,
            "The service's Redis user may do everything, and so may whoever else logs in so: redirect webhooks, read \
             secrets. Use the users of redis/users.acl."
        );
    }
}

/// Whether snapshots are taken. Where CONFIG is forbidden nobody can tell, which counts as no.
async fn has_save_points(connection: &mut Connection) -> bool {
    configured(connection, "save").await.is_some_and(|save| !save.is_empty())
}

/// What Redis is configured to; nothing where CONFIG is forbidden.
async fn configured(connection: &mut Connection, name: &str) -> Option<String> {
    let mut cmd = redis::cmd("CONFIG");
    cmd.arg("GET").arg(name);
    let answer = connection.call(&cmd, STORE_TIMEOUT).await.and_then(reply::list);
    reply::text(answer.ok()?.into_iter().nth(1)?).ok()
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
        _ => RedisStartError::Refused(source),
    }
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
        known = connection
            .call(&create, STORE_TIMEOUT)
            .await
            .and_then(reply::tuple)
            .map_err(|error| of_meta(keys, error))?;
    }
    let stored = shards_of(known)?;
    match asked {
        Some(asked) if asked != stored => Err(RedisStartError::Shards { stored, asked }),
        _ => Ok(stored),
    }
}
