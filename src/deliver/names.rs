//! Names as this system knows them: /etc/hosts first, then the name servers of /etc/resolv.conf.
//!
//! Both files are read again when they change. As with the system's resolver, a name in /etc/hosts is answered from
//! there alone, search domains and `ndots` count, and without a name server 127.0.0.1 is asked. Other than there,
//! `localhost` and the names below it never leave this host (RFC 6761), answers are kept for as long as their TTL
//! says, and what else nsswitch.conf may name (mDNS, LDAP) is not asked.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::select_ok;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::family;
use super::sockets::is_shortage;
use crate::config::{
    NAME_FAMILIES_WAIT, NAME_FILES_CHECK, NAME_SERVERS_MAX, NAMES_CACHED_MAX, NEGATIVE_TTL_MAX, NameSource,
};

/// The system's names, as its files say now.
pub(super) struct SystemNames {
    source: NameSource,
    /// How long one question may wait for its answer.
    patience: Duration,
    present: Mutex<Present>,
}

/// Why a name has no address.
#[derive(Debug, Clone)]
pub(super) enum NoAddress {
    /// There is no such name, or it has no address: whoever answers for it said so.
    Unknown,
    /// Nobody who should know answered: silence, a failing name server, no name server.
    Unanswered,
    /// This machine could not ask.
    Ours(Arc<std::io::Error>),
}

/// What was read last.
struct Present {
    checked: Instant,
    resolv_conf: Option<Stamp>,
    hosts_file: Option<Stamp>,
    dns: TokioResolver,
    hosts: Arc<Hosts>,
}

/// Tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    inode: u64,
    length: u64,
}

impl SystemNames {
    /// Reads the files. One question is given up after `patience`.
    pub(super) fn new(source: NameSource, patience: Duration) -> Result<Self, NetError> {
        let present = Present {
            checked: Instant::now(),
            resolv_conf: Stamp::of(&source.resolv_conf),
            hosts_file: Stamp::of(&source.hosts),
            dns: dns(&source, patience)?,
            hosts: Arc::new(hosts(&source.hosts)),
        };
        Ok(Self { source, patience, present: Mutex::new(present) })
    }

    /// The addresses that `host` has without asking anybody.
    pub(super) fn known(&self, host: &str) -> Option<Vec<IpAddr>> {
        let (_, hosts) = self.present();
        let name = Name::from_ascii(host).ok()?;
        let listed: Vec<IpAddr> = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
            .filter_map(|lookup| addresses(lookup.answers()))
            .flatten()
            .collect();
        if !listed.is_empty() {
            return Some(listed);
        }
        name.is_localhost().then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
    }

    /// Asks the name servers for addresses of both families. After [`NAME_FAMILIES_WAIT`] those of one are enough.
    pub(super) async fn ask(&self, host: &str) -> Result<Vec<IpAddr>, NoAddress> {
        let (dns, _) = self.present();
        let name = Name::from_ascii(host).map_err(|_| NoAddress::Unknown)?;
        let both = dns.lookup_ip(name.clone());
        let found: Vec<IpAddr> = tokio::select! {
            found = both => found.map_err(|error| why(&error))?.iter().collect(),
            found = of_one_family(&dns, &name) => found,
        };
        if found.is_empty() { Err(NoAddress::Unknown) } else { Ok(found) }
    }

    /// Reads again what has changed, looking at most once in [`NAME_FILES_CHECK`].
    fn present(&self) -> (TokioResolver, Arc<Hosts>) {
        let mut present = self.present.lock();
        let now = Instant::now();
        if now >= present.checked + NAME_FILES_CHECK {
            present.checked = now;
            let (resolv_conf, hosts_file) = (Stamp::of(&self.source.resolv_conf), Stamp::of(&self.source.hosts));
            if resolv_conf != present.resolv_conf {
                match dns(&self.source, self.patience) {
                    Ok(dns) => (present.dns, present.resolv_conf) = (dns, resolv_conf),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "The name servers cannot be changed.")
                    }
                }
            }
            if hosts_file != present.hosts_file {
                (present.hosts, present.hosts_file) = (Arc::new(hosts(&self.source.hosts)), hosts_file);
            }
        }
        (present.dns.clone(), Arc::clone(&present.hosts))
    }
}

/// The addresses of the family that is known first, if this host has it, beginning after [`NAME_FAMILIES_WAIT`]: an answer that
/// came meanwhile is known, and a question that was lost is asked again. Without end where neither is, and of a name that means
/// another one first: a search domain may know one family of a name that is not meant.
async fn of_one_family(dns: &TokioResolver, name: &Name) -> Vec<IpAddr> {
    if !name.is_fqdn() && usize::from(name.num_labels()) <= dns.options().ndots {
        return std::future::pending().await;
    }
    let mut name = name.clone();
    name.set_fqdn(true);
    sleep(NAME_FAMILIES_WAIT).await;
    let of = |kind| {
        let asked = dns.lookup(name.clone(), kind);
        async move {
            let found = addresses(asked.await?.answers()).unwrap_or_default();
            let usable = family::usable(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect());
            usable.map(|usable| usable.iter().map(SocketAddr::ip).collect::<Vec<_>>()).map_err(|_| NetError::Timeout)
        }
    };
    match select_ok([of(RecordType::A).boxed(), of(RecordType::AAAA).boxed()]).await {
        Ok((found, _)) => found,
        Err(_) => std::future::pending().await,
    }
}

/// Those that the records hold, if any.
fn addresses(records: &[Record]) -> Option<Vec<IpAddr>> {
    let found: Vec<IpAddr> = records.iter().filter_map(|record| record.data.ip_addr()).collect();
    Some(found).filter(|found| !found.is_empty())
}

impl fmt::Debug for SystemNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemNames").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), inode: metadata.ino(), length: metadata.len() })
    }
}

/// What the hosts file says; nothing when there is none.
fn hosts(path: &Path) -> Hosts {
    let mut hosts = Hosts::default();
    // What cannot be read lists nothing, as for the system's resolver.
    drop(fs::File::open(path).and_then(|file| hosts.read_hosts_conf(file)));
    hosts
}

/// A client of the name servers in resolv.conf.
fn dns(source: &NameSource, patience: Duration) -> Result<TokioResolver, NetError> {
    let text = fs::read(&source.resolv_conf).unwrap_or_default();
    let (mut config, options) = parse_resolv_conf(&text).unwrap_or_else(|_| without_name_server(&text));
    config.name_servers.truncate(NAME_SERVERS_MAX);
    for connection in config.name_servers.iter_mut().flat_map(|server| &mut server.connections) {
        connection.port = source.port;
    }
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let wanted = builder.options_mut();
    *wanted = options;
    // Two questions must fit into what a lookup may take.
    wanted.timeout = wanted.timeout.min(patience * 2 / 5);
    wanted.attempts = 1;
    wanted.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    wanted.use_hosts_file = ResolveHosts::Never;
    wanted.cache_size = NAMES_CACHED_MAX;
    wanted.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    builder.build()
}

/// The system's default, with what else the file says.
fn without_name_server(text: &[u8]) -> (ResolverConfig, ResolverOpts) {
    let default = [text, b"\nnameserver 127.0.0.1\n"].concat();
    parse_resolv_conf(default).unwrap_or_else(|_| {
        let here = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        (ResolverConfig::from_parts(None, Vec::new(), vec![here]), ResolverOpts::default())
    })
}

fn why(error: &NetError) -> NoAddress {
    let said = |code: ResponseCode| match code {
        ResponseCode::NoError | ResponseCode::NXDomain => NoAddress::Unknown,
        _ => NoAddress::Unanswered,
    };
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => said(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => said(*code),
        NetError::Io(error) if is_shortage(error) => NoAddress::Ours(Arc::clone(error)),
        _ => NoAddress::Unanswered,
    }
}
