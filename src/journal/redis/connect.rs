//! Connections: where they lead, what they wait for, and when they are given up.

use std::sync::OnceLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline, ProtocolVersion};
use redis::{RedisError, Value};

use super::cluster;
use super::error::{checked, timed_out};
use super::reply;
use super::script::{Hashes, Script, TEXTS};
use crate::config;

/// Where Redis is. Cheap to share; holds no connection.
#[derive(Debug)]
pub(super) struct Server {
    route: Route,
    hashes: OnceLock<Hashes>,
}

#[derive(Debug)]
enum Route {
    /// One Redis holds every key.
    Single(Box<ConnectionInfo>),
    /// These know which node holds a key.
    Cluster(Vec<ConnectionInfo>),
}

impl Server {
    /// Reads a URL: `redis://`, `rediss://`, `redis+unix://`, or `redis+cluster://a,b,c`
    /// (`rediss+cluster://` with TLS), where user and password stand once, before the first host.
    ///
    /// # Errors
    /// The URL is none of these.
    pub(super) fn parse(url: &str) -> Result<Self, RedisError> {
        let route = match cluster::seeds(url) {
            Some(seeds) => Route::Cluster(seeds.iter().map(|seed| info(seed)).collect::<Result<_, _>>()?),
            None => Route::Single(Box::new(info(url)?)),
        };
        Ok(Self { route, hashes: OnceLock::new() })
    }

    /// Whether keys of different shards may lie on different nodes.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.route, Route::Cluster(_))
    }

    /// Connects to the node that holds `key`.
    ///
    /// # Errors
    /// No node answers in time, or it refuses the handshake.
    pub(super) async fn connect(&self, key: &str) -> Result<Connection, RedisError> {
        match &self.route {
            Route::Single(info) => open(info).await,
            Route::Cluster(seeds) => open(&cluster::primary(seeds, key).await?).await,
        }
    }

    /// The same, and makes the scripts known to that node.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn connect_for_scripts(&self, key: &str) -> Result<Connection, RedisError> {
        let mut connection = self.connect(key).await?;
        let mut load = redis::pipe();
        for text in TEXTS {
            load.cmd("SCRIPT").arg("LOAD").arg(text);
        }
        let answers = connection.call_all(&load, config::STORE_TIMEOUT).await?;
        let hashes = answers.into_iter().map(reply::text).collect::<Result<_, _>>()?;
        self.hashes.get_or_init(|| Hashes(hashes));
        Ok(connection)
    }

    /// A call of a script.
    ///
    /// # Panics
    /// Before the first [`Self::connect_for_scripts`], which [`super::Redis::connect`] makes.
    #[expect(clippy::expect_used, reason = "no journal exists before Redis::connect has loaded the scripts once")]
    pub(super) fn script(&self, script: Script, keys: &[String]) -> Cmd {
        self.hashes.get().expect("scripts were loaded when the journal was made").call(script, keys)
    }
}

/// A connection. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub(super) struct Connection(MultiplexedConnection);

impl Connection {
    /// Sends a command and waits for its answer. After an error of the connection, a timeout among
    /// them, the caller drops it.
    pub(super) async fn call(&mut self, cmd: &Cmd, timeout: Duration) -> Result<Value, RedisError> {
        let answer = tokio::time::timeout(timeout, self.0.send_packed_command(cmd)).await;
        checked(answer.unwrap_or_else(|_| Err(timed_out())))
    }

    /// Sends commands together and waits for their answers, in order. The error of one is the error of all.
    pub(super) async fn call_all(&mut self, pipeline: &Pipeline, timeout: Duration) -> Result<Vec<Value>, RedisError> {
        let (skip, count) = if pipeline.is_transaction() { (pipeline.len() + 1, 1) } else { (0, pipeline.len()) };
        let answers = tokio::time::timeout(timeout, self.0.send_packed_commands(pipeline, skip, count)).await;
        let answers = answers.unwrap_or_else(|_| Err(timed_out()))?;
        answers.into_iter().map(|answer| checked(Ok(answer))).collect()
    }

    /// Sends a command, and waits for its answer without a limit.
    pub(super) async fn send(mut self, cmd: &Cmd) -> Result<Value, RedisError> {
        checked(self.0.send_packed_command(cmd).await)
    }
}

/// What the URL says, with what every connection of ours needs.
fn info(url: &str) -> Result<ConnectionInfo, RedisError> {
    let info = url.into_connection_info()?;
    let keepalive = TcpKeepalive::new().with_time(config::STORE_KEEPALIVE).with_interval(config::STORE_KEEPALIVE);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(config::STORE_UNACKNOWLEDGED_MAX);
    // RESP2 is what every Redis, Valkey and proxy in between speaks, and we need nothing of RESP3.
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Ok(info.set_tcp_settings(tcp).set_redis_settings(redis))
}

/// Opens a connection on the runtime of the caller.
pub(super) async fn open(info: &ConnectionInfo) -> Result<Connection, RedisError> {
    // The timeouts of answers are ours: the library's keeps a connection that timed out.
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config::STORE_CONNECT_TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(config::LINE_UNANSWERED_MAX);
    let client = Client::open(info.clone())?;
    Ok(Connection(client.get_multiplexed_async_connection_with_config(&settings).await?))
}

/// The pauses of [`config::STORE_BACKOFF`], counted.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Waits for the next pause.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(config::STORE_BACKOFF.after(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
    }

    /// The next pause is the shortest again.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
