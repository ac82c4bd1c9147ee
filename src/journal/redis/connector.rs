//! Where connections lead.

use std::sync::{Arc, OnceLock};

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError};
use rustls::ClientConfig;
use tokio::time::{Instant, sleep_until};

use super::connection::{Calls as _, Connection, ServerId, open};
use super::read_connection::ReadConnection;
use super::refusals::Refusals;
use super::script::{Hashes, Script, TEXTS};
use super::seeds::Seeds;
use super::tls::RedisTls;
use super::url::normalized;
use super::{cluster, reply, sentinel};
use crate::config;

/// Where Redis is. Cheap to share; holds no connection.
#[derive(Debug)]
pub(super) struct Connector {
    route: Route,
    /// For connections that the library does not open; where TLS is asked for.
    tls: Option<Arc<ClientConfig>>,
    hashes: OnceLock<Hashes>,
    /// What Redis refused lately, new connections among it.
    pub(super) refusals: Refusals,
}

#[derive(Debug)]
enum Route {
    /// One Redis holds every key.
    Single(Box<ConnectionInfo>),
    /// These know which node holds a key.
    Cluster(Seeds),
    /// These know which node is the primary of that name, which is reached as `primary` but for its address.
    Sentinel { sentinels: Seeds, name: String, primary: Box<ConnectionInfo> },
}

impl Route {
    /// Those that the URL names.
    fn nodes(&self) -> &[ConnectionInfo] {
        match self {
            Self::Single(info) => std::slice::from_ref(info),
            Self::Cluster(nodes) | Self::Sentinel { sentinels: nodes, .. } => nodes.servers(),
        }
    }
}

impl Connector {
    /// Reads a URL: `redis://`, `rediss://`, `redis+unix://`, `redis+cluster://a,b,c` or `redis+sentinel://a,b,c/NAME`
    /// (`rediss+…` with TLS), where user and password stand once, before the first host. `tls` holds for every node.
    ///
    /// # Errors
    /// The URL is none of these, or what `tls` holds cannot be used with it.
    pub(super) fn parse(url: &str, tls: &RedisTls) -> Result<Self, RedisError> {
        let (url, info) = (&normalized(url)?, |url: &str| info(url, tls));
        let all = |urls: &[String]| urls.iter().map(|url| info(url)).collect::<Result<_, _>>().map(Seeds::new);
        let route = match (cluster::parse(url), sentinel::parse(url)) {
            (Some(seeds), _) => Route::Cluster(all(&seeds)?),
            (None, Some(sentinel::SentinelUrl { sentinels, name, primary })) => {
                Route::Sentinel { sentinels: all(&sentinels)?, name, primary: Box::new(info(&primary)?) }
            }
            (None, None) => Route::Single(Box::new(info(url)?)),
        };
        let is_tls = route.nodes().iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }));
        let tls = is_tls.then(|| tls.config()).transpose()?;
        Ok(Self { route, tls, hashes: OnceLock::new(), refusals: Refusals::default() })
    }

    /// Whether keys of different shards may lie on different nodes.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.route, Route::Cluster(_))
    }

    /// Host and port, for whoever must find it; of a cluster those of its seeds.
    pub(super) fn place(&self) -> String {
        self.route.nodes().iter().map(|node| node.addr().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// What the first one that the URL names says that it is: `standalone`, `cluster` or `sentinel`.
    pub(super) async fn mode(&self) -> Option<String> {
        let mut connection = open(self.route.nodes().first()?).await.ok()?;
        let info = connection.call(redis::cmd("INFO").arg("server"), config::STORE_TIMEOUT).await.and_then(reply::text);
        let info = info.ok()?;
        // Valkey has a name of its own for it.
        let named = ["redis_mode", "server_mode"].map(|name| reply::info_value(&info, name));
        named.into_iter().find(|mode| !mode.is_empty()).map(str::to_owned)
    }

    /// Whether TLS is asked for.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects to the node that holds `key`.
    ///
    /// # Errors
    /// No node answers in time, or it refuses the handshake.
    pub(super) async fn connect(&self, key: &str) -> Result<Connection, RedisError> {
        let connected = match &self.route {
            Route::Single(info) => open(info).await,
            Route::Cluster(seeds) => cluster::connect(seeds, key).await,
            Route::Sentinel { sentinels, name, primary } => sentinel::connect(sentinels, name, primary).await,
        };
        // All keys lie on one server unless there is a cluster.
        self.refusals.note_connection(if self.is_cluster() { key } else { "" }, &connected);
        connected
    }

    /// Connects to the node that holds `key`, where the scripts are known, for reads. It is found and judged as any is.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn connect_for_reads(&self, key: &str) -> Result<ReadConnection, RedisError> {
        let found = self.connect_for_scripts(key).await?;
        ReadConnection::open(found.to(), self.tls.as_ref()).await
    }

    /// Ends when the server at `to` that has been silent since then holds `key` no more, as those tell who know it: they are
    /// asked once it is silent for [`config::STORE_SILENT_MAX`], and then as often. Without end else: it is waited for beside
    /// an answer, which has a deadline of its own. Of one server alone nobody knows, and no timer is set.
    pub(super) async fn replaced(&self, key: &str, to: &ConnectionInfo, silent_since: Instant) {
        let mut ask_at = silent_since + config::STORE_SILENT_MAX;
        loop {
            // On the heap, for most often it is never asked.
            let holder = match &self.route {
                Route::Single(_) => return std::future::pending().await,
                Route::Cluster(seeds) => {
                    sleep_until(ask_at).await;
                    Box::pin(cluster::primary(seeds, key)).await
                }
                Route::Sentinel { sentinels, name, primary } => {
                    sleep_until(ask_at).await;
                    Box::pin(sentinel::find(sentinels, name, primary)).await
                }
            };
            if holder.is_ok_and(|holder| holder.addr() != to.addr()) {
                return;
            }
            ask_at = Instant::now() + config::STORE_SILENT_MAX;
        }
    }

    /// What the URL calls the primary, if sentinels name it.
    pub(super) fn primary_name(&self) -> Option<&str> {
        match &self.route {
            Route::Sentinel { name, .. } => Some(name),
            Route::Single(_) | Route::Cluster(_) => None,
        }
    }

    /// Which slots nobody serves, of a cluster.
    ///
    /// # Errors
    /// No seed of the cluster answers in time.
    pub(super) async fn unserved(&self) -> Result<Option<cluster::UncoveredRanges>, RedisError> {
        match &self.route {
            Route::Cluster(seeds) => cluster::unserved(seeds).await,
            Route::Single(_) | Route::Sentinel { .. } => Ok(None),
        }
    }

    /// Every node that takes writes: of a cluster those that hold slots.
    ///
    /// # Errors
    /// No seed of the cluster answers in time.
    pub(super) async fn primaries(&self) -> Result<Vec<ConnectionInfo>, RedisError> {
        match &self.route {
            Route::Single(info) => Ok(vec![ConnectionInfo::clone(info)]),
            Route::Cluster(seeds) => cluster::primaries(seeds).await,
            Route::Sentinel { sentinels, name, primary } => Ok(vec![sentinel::find(sentinels, name, primary).await?]),
        }
    }

    /// As [`Self::connect`], and asks which server that is.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn connect_to_known(&self, key: &str) -> Result<Connection, RedisError> {
        let mut connection = self.connect(key).await?;
        let mut ask = redis::pipe();
        ServerId::ask(&mut ask);
        let answer = connection.call_all(&ask, config::STORE_TIMEOUT).await?.pop();
        Ok(connection.known_as(ServerId::read(answer.unwrap_or(redis::Value::Nil))?))
    }

    /// As [`Self::connect`], and makes the scripts known to that node.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn connect_for_scripts(&self, key: &str) -> Result<Connection, RedisError> {
        let mut connection = self.connect(key).await?;
        let mut load = redis::pipe();
        for text in TEXTS {
            load.cmd("SCRIPT").arg("LOAD").arg(text);
        }
        ServerId::ask(&mut load);
        let mut answers = connection.call_all(&load, config::STORE_TIMEOUT).await?;
        let server = ServerId::read(answers.pop().unwrap_or(redis::Value::Nil))?;
        let hashes = answers.into_iter().map(reply::text).collect::<Result<_, _>>()?;
        self.hashes.get_or_init(|| Hashes(hashes));
        Ok(connection.known_as(server))
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

/// What the URL says, with what every connection of ours needs.
fn info(url: &str, tls: &RedisTls) -> Result<ConnectionInfo, RedisError> {
    let mut info = url.into_connection_info()?;
    if let ConnectionAddr::TcpTls { .. } = info.addr()
        && let Some(certificates) = tls.certificates()
    {
        info = Client::build_with_tls(info, certificates)?.get_connection_info().clone();
    }
    let keepalive = TcpKeepalive::new().with_time(config::STORE_KEEPALIVE).with_interval(config::STORE_KEEPALIVE);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(config::STORE_UNACKNOWLEDGED_MAX);
    // RESP2 is what every Redis, Valkey and proxy in between speaks, and we need nothing of RESP3.
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Ok(info.set_tcp_settings(tcp).set_redis_settings(redis))
}
