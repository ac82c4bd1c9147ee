//! Why the service does not start on a Redis: each reason in one sentence, with what to do.

use std::time::Duration;

use redis::{ConnectionInfo, RedisError};

use super::keys::PREFIX_MAX;
use super::tls::TLS_UNUSABLE;
use crate::config::SHARDS_MAX;
use crate::journal::format::{FORMAT, FormatTooNew};

/// Streams' and scripts' behaviour that we rely on came with it.
pub(super) const VERSION_MIN: u32 = 7;

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
    /// It answered, and took nobody.
    #[error("Redis at {place} refused every connection for {wait:?}; the cause is what it said")]
    Occupied {
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
    /// Redis asks for a certificate of ours.
    #[error(
        "Redis at {0} asks for a certificate: name one that it trusts, and its key, with --redis-cert and --redis-key"
    )]
    ClientCertificate(String, #[source] RedisError),
    /// The files for TLS do not belong together.
    #[error(
        "what --redis-ca, --redis-cert and --redis-key name cannot be used: name a certificate and the key that it was made for; the \
         cause says what is wrong"
    )]
    TlsFiles(#[source] RedisError),
    /// A sentinel, where a Redis is meant.
    #[error(
        "what answers at {0} is a sentinel: write redis+sentinel://HOST:PORT/NAME, with the name of its `sentinel monitor` line"
    )]
    IsSentinel(String, #[source] RedisError),
    /// A Redis, where a sentinel is meant.
    #[error("what answers at {0} is a Redis and no sentinel: write redis://HOST:PORT, or the port of the sentinel")]
    NoSentinel(String, #[source] RedisError),
    /// Something else answers.
    #[error("what answers at {0} is no Redis: check host and port in the URL of --journal")]
    NotRedis(String),
    /// No password, or a wrong one.
    #[error(
        "Redis refused the login: give user and password in the URL of --journal, redis://USER:PASSWORD@HOST:PORT \
         (percent-encoded; without a user, :PASSWORD@)"
    )]
    Login(#[source] RedisError),
    /// A sentinel with a login of its own.
    #[error(
        "a sentinel refused the login: it asks for one, and takes another than the URL of --journal has, which is that of the \
         Redis; give the sentinels the same user and password, or none"
    )]
    SentinelLogin(#[source] RedisError),
    /// No such database.
    #[error("Redis has no such database: correct the number behind the last slash of the URL, or leave it out")]
    Database(#[source] RedisError),
    /// A cluster's URL for what is none.
    #[error("this Redis is no cluster: give its URL as redis://HOST:PORT")]
    NoCluster(#[source] RedisError),
    /// The user may not do what is needed.
    #[error("Redis does not let this user do what the start needs: allow it to the user with ACL SETUSER")]
    NotAllowed(#[source] RedisError),
    /// The user lacks commands.
    #[error(
        "Redis does not let the user {user} do what the service needs: allow it with ACL SETUSER {user} {rights} (ACL SAVE \
         keeps that), or take the user of redis/users.acl"
    )]
    CommandsDenied {
        /// Its name.
        user: String,
        /// What is missing, as rights name it.
        rights: String,
    },
    /// The user lacks keys.
    #[error(
        "Redis does not let the user {user} use the service's keys: allow it with ACL SETUSER {user} {pattern} (ACL SAVE keeps \
         that)"
    )]
    KeysDenied {
        /// Its name.
        user: String,
        /// What the keys begin with, as rights name it.
        pattern: String,
    },
    /// Commands have other names there.
    #[error(
        "Redis does not know the command(s) {0}: the service needs each under its own name, so take rename-command out of \
         Redis' configuration"
    )]
    Renamed(String),
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
    #[error("the keys in Redis have format {0}, this program reads up to format {FORMAT}: start the newer program")]
    Format(String),
    /// Written in a newer format than this node is kept to.
    #[error(transparent)]
    TooNew(#[from] FormatTooNew),
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
    /// Nothing is ever said to be on disk.
    #[error(
        "--durability local needs a Redis that syncs its append-only file, and with appendfsync no it never says that something \
         is on disk: set appendfsync everysec (Redis 7.2 or newer, Valkey) or appendfsync always"
    )]
    NeverSynced,
    /// Nobody tells when something is on disk.
    #[error(
        "--durability local needs Redis 7.2 or newer, Valkey, or appendfsync always: this is Redis {0}, which does not tell \
         when something is on disk"
    )]
    NoSync(String),
    /// The user may not wait for the disk.
    #[error(
        "--durability local waits with the command WAITAOF, which Redis refuses: allow it to the user with +waitaof"
    )]
    NoWait(#[source] RedisError),
    /// A sentinel that does not know the name in the URL.
    #[error(
        "the sentinels know no primary called {0}: write the name of their `sentinel monitor` line behind the last host of the URL"
    )]
    NoSuchPrimary(String, #[source] RedisError),
    /// Some slots have no node.
    #[error("the cluster does not serve every slot: {0}; redis-cli --cluster check HOST:PORT shows what is missing")]
    Unserved(String),
    /// Nobody to replicate to.
    #[error("--durability replicated needs a replica: none is connected to this Redis")]
    NoReplica,
    /// A source that the service makes itself.
    #[error("--source {0} is one of the service's own keys: name a stream that somebody else writes")]
    OwnSource(String),
    /// A source beside which a cluster keeps no key of ours.
    #[error(
        "--source {0} cannot be read on a cluster: its name has a `}}` and no hash tag, so no other key lies on its node; rename \
         it (RENAME), or give it a tag such as {{orders}}"
    )]
    LonelySource(String),
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
    /// What is stored of the number of shards is none.
    #[error(
        "the field shards of {0} is no number of shards: set it to the one that was fixed at the first start, HSET {0} shards \
         NUMBER (a key outbound:{{K}}:owner stands for each shard K from 0 on that was ever held)"
    )]
    DamagedMeta(String),
    /// Not a number of shards.
    #[error("{0} is no number of shards: use 1 to {SHARDS_MAX}")]
    ShardsRange(u16),
}

impl RedisStartError {
    /// The error of what was read of the URL and the files beside it.
    pub(super) fn of_url(error: RedisError) -> Self {
        if error.to_string().contains(TLS_UNUSABLE) { Self::TlsFiles(error) } else { Self::Url(error) }
    }

    /// The error of a command that the start needs.
    pub(super) fn of_refusal(error: RedisError) -> Self {
        if error.code() == Some("NOPERM") { Self::NotAllowed(error) } else { Self::Refused(error) }
    }

    /// The same, with the node's place when there are several.
    pub(super) fn at(self, node: &ConnectionInfo, nodes: usize) -> Self {
        if nodes < 2 { self } else { Self::Node { place: node.addr().to_string(), source: Box::new(self) } }
    }
}
