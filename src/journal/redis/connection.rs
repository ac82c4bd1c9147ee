//! One connection: what it waits for, and how long to pause before the next one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, RedisError, Value};
use tokio::net::TcpStream;

use super::error::{checked, timed_out};
use super::reply;
use crate::config;

/// A connection. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    library: MultiplexedConnection,
    /// Where it leads.
    to: Arc<ConnectionInfo>,
    server: ServerId,
}

/// What takes commands.
pub(super) trait Calls {
    /// Sends commands together and waits for their answers, in order. The error of one is the error of all.
    async fn call_all(&mut self, pipeline: &Pipeline, timeout: Duration) -> Result<Vec<Value>, RedisError>;
}

/// One run of one server: a replica that took its place has another one, and so has a server that was started anew. Either may
/// have lost what the one before had answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerId(
    /// Empty before it was asked for, and of a server that tells none.
    Arc<str>,
);

impl ServerId {
    /// Asks for it, behind other commands.
    pub(super) fn ask(pipeline: &mut Pipeline) {
        pipeline.cmd("INFO").arg("server");
    }

    /// What it answers.
    ///
    /// # Errors
    /// It is no text.
    pub(super) fn read(answer: Value) -> Result<Self, RedisError> {
        Ok(Self(reply::info_value(&reply::text(answer)?, "run_id").into()))
    }
}

impl Calls for Connection {
    async fn call_all(&mut self, pipeline: &Pipeline, timeout: Duration) -> Result<Vec<Value>, RedisError> {
        let answers = self.library.send_packed_commands(pipeline, 0, pipeline.len());
        let answers = tokio::time::timeout(timeout, answers).await.unwrap_or_else(|_| Err(timed_out()))?;
        answers.into_iter().map(|answer| checked(Ok(answer))).collect()
    }
}

impl Connection {
    /// Where it leads.
    pub(super) fn to(&self) -> &Arc<ConnectionInfo> {
        &self.to
    }

    /// The server that it leads to.
    pub(super) fn server(&self) -> &ServerId {
        &self.server
    }

    /// The same with the server's id.
    pub(super) fn known_as(self, server: ServerId) -> Self {
        Self { server, ..self }
    }

    /// Sends a command and waits for its answer. After an error of the connection, a timeout among
    /// them, the caller drops it.
    pub(super) async fn call(&mut self, cmd: &Cmd, timeout: Duration) -> Result<Value, RedisError> {
        let answer = tokio::time::timeout(timeout, self.library.send_packed_command(cmd)).await;
        checked(answer.unwrap_or_else(|_| Err(timed_out())))
    }

    /// What Redis is configured to; nothing where CONFIG is forbidden.
    pub(super) async fn configured(&mut self, name: &str) -> Option<String> {
        let answer = self.call(redis::cmd("CONFIG").arg("GET").arg(name), config::STORE_TIMEOUT).await;
        reply::text(answer.and_then(reply::list).ok()?.into_iter().nth(1)?).ok()
    }

    /// Sends a command, and waits for its answer without a limit.
    pub(super) async fn send(mut self, cmd: &Cmd) -> Result<Value, RedisError> {
        checked(self.library.send_packed_command(cmd).await)
    }

    /// Sends commands together, and waits without a limit for their answers but the first `skipped`. The errors of the
    /// server among them are left where they are.
    pub(super) async fn send_all(mut self, commands: &Pipeline, skipped: usize) -> Result<Vec<Value>, RedisError> {
        self.library.send_packed_commands(commands, skipped, commands.len() - skipped).await
    }
}

/// Opens a connection on the runtime of the caller.
pub(super) async fn open(info: &ConnectionInfo) -> Result<Connection, RedisError> {
    // The timeouts of answers are ours: the library's keeps a connection that timed out.
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config::STORE_CONNECT_TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(config::SHARD_REQUESTS_UNANSWERED_MAX);
    let client = Client::open(info.clone())?;
    match client.get_multiplexed_async_connection_with_config(&settings).await {
        Ok(library) => Ok(Connection { library, to: Arc::new(info.clone()), server: ServerId::default() }),
        Err(error) if error.is_connection_dropped() => Err(said_first(info).await.unwrap_or(error)),
        Err(error) => Err(error),
    }
}

/// What a Redis that takes nobody says to a new connection before it closes that. The library writes first, and what was
/// written to a closed connection takes the answer with it.
async fn said_first(info: &ConnectionInfo) -> Option<RedisError> {
    let ConnectionAddr::Tcp(host, port) = info.addr() else { return None };
    let read = async {
        let stream = TcpStream::connect((host.as_str(), *port)).await.ok()?;
        let mut said = [0; SAID_FIRST_BYTES_MAX];
        loop {
            stream.readable().await.ok()?;
            match stream.try_read(&mut said) {
                Ok(length) => return redis::parse_redis_value(&said[..length]).ok(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    };
    let said = tokio::time::timeout(SAID_FIRST_WAIT, read).await.ok()??;
    checked(Ok(said)).err()
}

/// Redis says it as soon as it is connected to; one that waits for a command says nothing.
const SAID_FIRST_WAIT: Duration = Duration::from_millis(200);
/// One line of an error.
const SAID_FIRST_BYTES_MAX: usize = 1_024;

/// The pauses of [`config::STORE_BACKOFF`], counted.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Waits for the next pause.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    /// How long the next pause is.
    pub(super) fn next(&mut self) -> Duration {
        let pause = config::STORE_BACKOFF.after(self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// The next pause is the shortest again.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
