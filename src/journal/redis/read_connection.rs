//! A connection for the reads of one task, which takes its answers as they are ([`super::resp`]). One command, or some
//! together, at a time; and a read whose answer is taken before anything else is asked.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::select_ok;
use redis::io::tcp::{TcpSettings, socket2::SockRef};
use redis::{Cmd, ConnectionAddr, ConnectionInfo, Pipeline, RedisError, Value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::connection::{Calls, ServerId};
use super::error::{timed_out, unexpected};
use super::resp::{AnswerScan, RawAnswer};
use crate::config;
use crate::message::EntryId;

/// See the module. Who gives up waiting drops it: the answer may still come.
pub(super) struct ReadConnection {
    stream: Box<dyn ReadStream>,
    /// Where it leads.
    to: Arc<ConnectionInfo>,
    server: ServerId,
    /// What was asked for before anybody wanted it, and is not read yet: messages after this entry, at most so many.
    pub(super) ahead: Option<(EntryId, usize)>,
    /// What came and is not read yet.
    came: BytesMut,
    /// Room for an answer like the last one, and for the places of its values.
    room: usize,
    parts: usize,
}

/// Room for an answer at least, and at most: a larger one gets more as it comes.
const ROOM_MIN: usize = 16 * 1024;
const ROOM_MAX: usize = 512 * 1024;
/// Room for so many places of values at most.
const PARTS_MAX: usize = 4_096;

trait ReadStream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> ReadStream for T {}

impl ReadConnection {
    /// Connects to the server that `info` names, and logs in.
    ///
    /// # Errors
    /// It cannot be reached in time, or refuses.
    pub(super) async fn open(info: &Arc<ConnectionInfo>, tls: Option<&Arc<ClientConfig>>) -> Result<Self, RedisError> {
        let stream = tokio::time::timeout(config::STORE_CONNECT_TIMEOUT, connected(info, tls));
        let stream = stream.await.unwrap_or_else(|_| Err(timed_out()))?;
        let mut connection = Self {
            stream,
            to: Arc::clone(info),
            server: ServerId::default(),
            ahead: None,
            came: BytesMut::new(),
            room: ROOM_MIN,
            parts: 0,
        };
        let settings = info.redis_settings();
        let mut hello = redis::pipe();
        if let Some(password) = settings.password() {
            hello.cmd("AUTH").arg(settings.username()).arg(password);
        }
        if settings.db() != 0 {
            hello.cmd("SELECT").arg(settings.db());
        }
        ServerId::ask(&mut hello);
        let told = connection.call_all(&hello, config::STORE_TIMEOUT).await?.pop();
        connection.server = ServerId::read(told.unwrap_or_default())?;
        Ok(connection)
    }

    /// Where it leads.
    pub(super) fn to(&self) -> &Arc<ConnectionInfo> {
        &self.to
    }

    /// The server that it leads to.
    pub(super) fn server(&self) -> &ServerId {
        &self.server
    }

    /// Sends commands together and waits for their answers, in order.
    ///
    /// # Errors
    /// The connection failed, or not all came in time. An error of the server is an answer.
    pub(super) async fn ask(&mut self, commands: &Pipeline, timeout: Duration) -> Result<Vec<RawAnswer>, RedisError> {
        debug_assert!(self.ahead.is_none(), "what was read ahead is answered first");
        let asked = async {
            self.write(commands).await?;
            let mut answers = Vec::with_capacity(commands.len());
            for _ in 0..commands.len() {
                answers.push(self.read(usize::MAX).await?);
            }
            Ok(answers)
        };
        in_time(asked, timeout).await
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// As [`Self::ask`], and those of the server.
    pub(super) async fn call(&mut self, cmd: &Cmd, timeout: Duration) -> Result<Value, RedisError> {
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(cmd.clone());
        Ok(self.call_all(&commands, timeout).await?.pop().unwrap_or_default())
    }

    /// Sends commands together, whose answers are to be read before anything else is asked.
    ///
    /// # Errors
    /// The connection failed, or takes nothing in time.
    pub(super) async fn send(&mut self, commands: &Pipeline, timeout: Duration) -> Result<(), RedisError> {
        in_time(self.write(commands), timeout).await
    }

    /// The next answer to what was sent, of so many bytes at most.
    ///
    /// # Errors
    /// See [`ReadConnection::ask`]; or it has more bytes.
    pub(super) async fn answer(&mut self, bytes_max: usize, timeout: Duration) -> Result<RawAnswer, RedisError> {
        in_time(self.read(bytes_max), timeout).await
    }

    async fn write(&mut self, commands: &Pipeline) -> Result<(), RedisError> {
        self.stream.write_all(&commands.get_packed_pipeline()).await?;
        Ok(self.stream.flush().await?)
    }

    async fn read(&mut self, bytes_max: usize) -> Result<RawAnswer, RedisError> {
        let mut scan = AnswerScan::new(self.parts);
        loop {
            let length = scan.within(&self.came)?;
            if length.unwrap_or(self.came.len()) > bytes_max {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "Redis sent more than is read ahead").into());
            }
            if let Some(length) = length {
                // Somewhat more, for the next one is hardly ever of the same size, and what does not fit is copied.
                self.room = (length + length / 8).clamp(ROOM_MIN, ROOM_MAX);
                self.parts = scan.parts().min(PARTS_MAX);
                let answer = self.came.split_to(length).freeze();
                if self.came.is_empty() {
                    // What the answer took is given back with it.
                    self.came = BytesMut::new();
                }
                return Ok(scan.whole(answer));
            }
            if self.came.capacity() - self.came.len() < ROOM_MIN {
                self.came.reserve(self.room);
            }
            if self.stream.read_buf(&mut self.came).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, RedisError>>, timeout: Duration) -> Result<T, RedisError> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(timed_out()))
}

impl Calls for ReadConnection {
    async fn call_all(&mut self, pipeline: &Pipeline, timeout: Duration) -> Result<Vec<Value>, RedisError> {
        self.ask(pipeline, timeout).await?.iter().map(RawAnswer::value).collect()
    }
}

impl fmt::Debug for ReadConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadConnection").field("came", &self.came.len()).finish_non_exhaustive()
    }
}

async fn connected(info: &ConnectionInfo, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn ReadStream>, RedisError> {
    let settings = info.tcp_settings();
    Ok(match (info.addr(), tls) {
        (ConnectionAddr::Tcp(host, port), _) => Box::new(tcp(host, *port, settings).await?),
        (ConnectionAddr::TcpTls { host, port, .. }, Some(tls)) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, tcp(host, *port, settings).await?).await?)
        }
        (ConnectionAddr::Unix(path), _) => Box::new(UnixStream::connect(path).await?),
        _ => return Err(unexpected("an address of another kind than the URL's")),
    })
}

async fn tcp(host: &str, port: u16, settings: &TcpSettings) -> io::Result<TcpStream> {
    // All addresses at a time: the first may be one that swallows what is sent to it.
    let attempts: Vec<_> = lookup_host((host, port)).await?.map(|to| Box::pin(TcpStream::connect(to))).collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name of Redis has no address"));
    }
    let (stream, _slower) = select_ok(attempts).await?;
    stream.set_nodelay(settings.nodelay())?;
    let socket = SockRef::from(&stream);
    if let Some(keepalive) = settings.keepalive() {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(settings.user_timeout())?;
    Ok(stream)
}
