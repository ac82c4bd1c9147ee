//! Redis Cluster: which node holds a key. All keys of a shard lie in one slot, so a connection
//! straight to the slot's primary is all that a shard needs; the library's cluster client would send
//! a commit again by itself and put blocking reads before commits on one socket.

use std::error::Error as _;
use std::io;
use std::pin::pin;

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, Value};

use super::connection::{Calls as _, Connection, open};
use super::error::unexpected;
use super::reply;
use super::seeds::{SeedAnswer, Seeds};
use crate::config;

/// The URLs of the seeds, if the URL names a cluster.
pub(super) fn parse(url: &str) -> Option<Vec<String>> {
    let (scheme, rest) = url.split_once("+cluster://")?;
    let (user, hosts) = match rest.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), rest),
    };
    Some(hosts.split(',').map(|host| format!("{scheme}://{user}{}", host.trim_end_matches('/'))).collect())
}

/// The primary of the slot of `key`, asked of the first seed that answers and is not cut off from the others: what such
/// a one knows may be old. Where all are, the first one's word counts.
///
/// # Errors
/// No seed answers, or nobody holds the slot.
pub(super) async fn primary(seeds: &Seeds, key: &str) -> Result<ConnectionInfo, RedisError> {
    let (slot, ranges) = asked(seeds, key).await?;
    let holder = ranges.into_iter().find(|range| (range.first..=range.last).contains(&slot));
    // A cluster that is being set up or repaired: the same as one that is away.
    let nobody = || io::Error::other("no node of the cluster holds the slot of the key").into();
    holder.map(|range| range.primary).ok_or_else(nobody)
}

/// Connects to the primary of the slot of `key`. While it is silent the seeds are asked again: it may be a primary no more.
///
/// # Errors
/// As [`primary`], or as [`open_named`].
pub(super) async fn connect(seeds: &Seeds, key: &str) -> Result<Connection, RedisError> {
    let named = primary(seeds, key).await?;
    let mut connecting = pin!(open_named(&named, NAMED));
    loop {
        tokio::select! {
            // It ends by itself, at the deadline of every connection.
            connected = &mut connecting => return connected,
            () = tokio::time::sleep(config::NAMED_SILENT_MAX) => {}
        }
        if let Ok(now) = primary(seeds, key).await
            && now.addr() != named.addr()
        {
            return open_named(&now, NAMED).await;
        }
    }
}

/// How an error calls the node that [`connect`] leads to.
const NAMED: &str = "the node that the cluster names";

/// Connects to a server that others told of: the URL does not name it.
///
/// # Errors
/// It cannot be reached; the sentence names it.
pub(super) async fn open_named(node: &ConnectionInfo, what: &str) -> Result<Connection, RedisError> {
    open(node).await.map_err(|error| {
        if error.kind() != ErrorKind::Io {
            return error;
        }
        let kind = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let what = format!("{what}, {}, cannot be reached: {error}", node.addr());
        io::Error::new(kind.unwrap_or(io::ErrorKind::Other), what).into()
    })
}

/// Every primary that holds slots, asked of the first seed that answers: by its first slot, so that after a fail-over each
/// has the place of the one before it.
///
/// # Errors
/// No seed answers.
pub(super) async fn primaries(seeds: &Seeds) -> Result<Vec<ConnectionInfo>, RedisError> {
    let (_, mut ranges) = asked(seeds, "").await?;
    ranges.sort_unstable_by_key(|range| range.first);
    let mut primaries: Vec<ConnectionInfo> = Vec::new();
    for SlotRange { primary, .. } in ranges {
        if primaries.iter().all(|known| known.addr() != primary.addr()) {
            primaries.push(primary);
        }
    }
    Ok(primaries)
}

/// Slots that nobody serves.
#[derive(Debug)]
pub(super) struct UncoveredRanges {
    /// For whoever must mend it.
    pub(super) what: String,
    /// It does not end by itself.
    pub(super) is_lasting: bool,
}

/// Which slots nobody serves, as the first seed sees it that sees the most.
///
/// # Errors
/// No seed answers.
pub(super) async fn unserved(seeds: &Seeds) -> Result<Option<UncoveredRanges>, RedisError> {
    seeds
        .ask(async |seed| {
            let ((_, ranges), works) = told_by(seed, "").await?;
            Ok(match missing(&ranges) {
                None if works => SeedAnswer::Sure(None),
                None => {
                    let what = format!("{} says that the cluster is down, for a primary of it is", seed.addr());
                    SeedAnswer::Unsure(Some(UncoveredRanges { what, is_lasting: false }))
                }
                Some(missing) => {
                    let what = format!("no node has slots {missing}");
                    SeedAnswer::Unsure(Some(UncoveredRanges { what, is_lasting: true }))
                }
            })
        })
        .await
}

/// The slots that no range has, as ranges: `0-99, 5461-10922`.
fn missing(ranges: &[SlotRange]) -> Option<String> {
    let mut known: Vec<(u64, u64)> = ranges.iter().map(|range| (range.first, range.last)).collect();
    known.sort_unstable();
    let (mut gaps, mut next) = (Vec::new(), 0);
    for (first, last) in known.into_iter().chain([(SLOTS, SLOTS)]) {
        if first > next {
            gaps.push(if first - 1 == next { next.to_string() } else { format!("{next}-{}", first - 1) });
        }
        next = next.max(last + 1);
    }
    (!gaps.is_empty()).then(|| gaps.join(", "))
}

/// Slots of every cluster.
const SLOTS: u64 = 16_384;

/// Slots and the node that takes their writes.
struct SlotRange {
    first: u64,
    last: u64,
    primary: ConnectionInfo,
}

/// A key's slot, and who holds which.
type SlotMap = (u64, Vec<SlotRange>);

/// The slot of `key` and who holds which, as [`primary`] says by whom.
async fn asked(seeds: &Seeds, key: &str) -> Result<SlotMap, RedisError> {
    seeds
        .ask(async |seed| {
            let (told, works) = told_by(seed, key).await?;
            Ok(if works { SeedAnswer::Sure(told) } else { SeedAnswer::Unsure(told) })
        })
        .await
}

/// What one seed knows, and whether the cluster works as it sees it.
async fn told_by(seed: &ConnectionInfo, key: &str) -> Result<(SlotMap, bool), RedisError> {
    let mut connection = open(seed).await?;
    let mut ask = redis::pipe();
    ask.cmd("CLUSTER").arg("KEYSLOT").arg(key).cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("INFO");
    let answers = connection.call_all(&ask, config::STORE_TIMEOUT).await?;
    let [slot, ranges, state] = reply::tuple(Value::Array(answers))?;
    let ranges = reply::list(ranges)?.into_iter().map(|range| slot_range(seed, range)).collect::<Result<_, _>>()?;
    let works = reply::text(state)?.lines().any(|line| line == "cluster_state:ok");
    Ok(((reply::number(slot)?, ranges), works))
}

/// One range as CLUSTER SLOTS tells it: first, last, the primary, its replicas.
fn slot_range(seed: &ConnectionInfo, range: Value) -> Result<SlotRange, RedisError> {
    let mut range = reply::list(range)?.into_iter();
    let mut next = || range.next().ok_or_else(|| unexpected("a short range of slots"));
    let (first, last) = (reply::number(next()?)?, reply::number(next()?)?);
    let mut node = reply::list(next()?)?.into_iter();
    let host = node.next().map(reply::text).transpose().unwrap_or_default().unwrap_or_default();
    let port = reply::number(node.next().ok_or_else(|| unexpected("a node without a port"))?)?;
    let port = u16::try_from(port).map_err(|_| unexpected("a port out of range"))?;
    Ok(SlotRange { first, last, primary: seed.clone().set_addr(address(seed.addr(), host, port)) })
}

/// The node's address, reached as the seed is. A node that does not know its own name is the seed's host.
pub(super) fn address(seed: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    let is_known = !host.is_empty() && host != "?";
    match seed {
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: if is_known { host } else { own.clone() },
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        ConnectionAddr::Tcp(own, _) => ConnectionAddr::Tcp(if is_known { host } else { own.clone() }, port),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_does_not_know_its_name_is_reached_as_the_seed_is() {
        let seed = ConnectionAddr::Tcp("seed.example".to_owned(), 7000);
        for (told, reached) in [("", "seed.example"), ("?", "seed.example"), ("10.0.0.7", "10.0.0.7")] {
            let found = address(&seed, told.to_owned(), 7001);
            assert_eq!(found, ConnectionAddr::Tcp(reached.to_owned(), 7001), "{told:?}");
        }
    }

    #[test]
    fn a_cluster_url_names_its_seeds_and_one_password_for_all() {
        assert_eq!(
            parse("redis+cluster://me:secret@a:7000,b:7001/").unwrap(),
            ["redis://me:secret@a:7000", "redis://me:secret@b:7001"]
        );
        assert_eq!(parse("rediss+cluster://a,b").unwrap(), ["rediss://a", "rediss://b"]);
        assert_eq!(parse("redis://a"), None);
    }
}
