//! What belongs to no shard alone: which workspaces there are, which keys seal something, and which sessions of the operator
//! ended before their time.

use redis::{Cmd, RedisError};

use super::connection::open;
use super::error::unexpected;
use super::inner::{PRINT_CHARACTERS, RedisInner, SEALING_KEY, print_value};
use super::reply;
use super::script::Script;
use crate::config::STORE_TIMEOUT;
use crate::journal::port::{NotedKey, OPERATOR_SESSIONS_ENDED_MAX, WalkPage};
use crate::message::WorkspaceId;
use crate::workspace::time::Time;

/// Keys that Redis looks at for one page.
const LOOKED_AT: usize = 1_000;

/// A page of a walk by SCAN over every node that takes writes. Its place is the node's number and SCAN's cursor there.
pub(super) async fn page(inner: &RedisInner, place: Option<&str>) -> Result<WalkPage, RedisError> {
    let (node, cursor) = place.and_then(parsed).unwrap_or((0, 0));
    let primaries = inner.connector.primaries().await?;
    let Some(primary) = primaries.get(node) else { return Ok(WalkPage::default()) };
    let (begin, middle) = inner.keys.snapshots();
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(format!("{begin}*{middle}*")).arg("COUNT").arg(LOOKED_AT);
    let [next, keys] = reply::tuple(open(primary).await?.call(&scan, STORE_TIMEOUT).await?)?;
    let mut workspaces = Vec::new();
    for key in reply::list(keys)? {
        let key = reply::text(key)?;
        let named = key.strip_prefix(&begin).and_then(|rest| rest.split_once(&middle));
        let found = named.and_then(|(shard, id)| Some((shard.parse::<u16>().ok()?, id.parse::<WorkspaceId>().ok()?)));
        // What stands in another shard than its own is nobody's.
        workspaces.extend(found.filter(|(shard, id)| id.shard(inner.shards) == *shard).map(|(_, id)| id));
    }
    let next = match reply::number(next)? {
        0 if node + 1 < primaries.len() => Some(format!("{}/0", node + 1)),
        0 => None,
        cursor => Some(format!("{node}/{cursor}")),
    };
    Ok(WalkPage { workspaces, next })
}

fn parsed(place: &str) -> Option<(usize, u64)> {
    let (node, cursor) = place.split_once('/')?;
    Some((node.parse().ok()?, cursor.parse().ok()?))
}

/// The keys that are noted as sealing something.
pub(super) async fn sealing_keys(inner: &RedisInner) -> Result<Vec<NotedKey>, RedisError> {
    let fields = meta(inner, "HGETALL", &[]).await.and_then(reply::list)?;
    let texts = fields.into_iter().map(reply::text).collect::<Result<Vec<_>, _>>()?;
    let noted = texts.chunks_exact(2).filter_map(|field| {
        let id = field[0].strip_prefix(SEALING_KEY)?.to_owned();
        let print = Some(&field[1]).filter(|print| print.len() == PRINT_CHARACTERS);
        Some(NotedKey { id, print: print.and_then(|print| u64::from_str_radix(print, 16).ok()) })
    });
    let keys: Vec<NotedKey> = noted.collect();
    *inner.sealing.lock() = keys.iter().cloned().collect();
    Ok(keys)
}

/// Notes a key as sealing something, or without a print notes it no more.
pub(super) async fn note_sealing_key(inner: &RedisInner, id: &str, print: Option<u64>) -> Result<(), RedisError> {
    let field = format!("{SEALING_KEY}{id}");
    let noted = match print {
        Some(_) => meta(inner, "HSET", &[&field, &print_value(print)]).await,
        None => meta(inner, "HDEL", &[&field]).await,
    };
    reply::number(noted?).map_err(|_| unexpected("no number of fields"))?;
    let mut sealing = inner.sealing.lock();
    sealing.retain(|key| key.id != id);
    sealing.extend(print.map(|_| NotedKey { id: id.to_owned(), print }));
    Ok(())
}

/// Remembers that a session of the operator ended. `false`: as many are remembered already.
pub(super) async fn end_session(inner: &RedisInner, id: &str, now: Time, until: Time) -> Result<bool, RedisError> {
    let key = inner.keys.sessions();
    let mut cmd = inner.connector.script(Script::EndSession, std::slice::from_ref(&key));
    cmd.arg(now.unix_ms()).arg(OPERATOR_SESSIONS_ENDED_MAX).arg(id).arg(until.unix_ms());
    let stored = inner.shared.call_repeatable(&key, &cmd).await.and_then(reply::number)?;
    Ok(stored == 1)
}

/// Whether a session of the operator ended before its time.
pub(super) async fn has_session_ended(inner: &RedisInner, id: &str) -> Result<bool, RedisError> {
    let key = inner.keys.sessions();
    let mut cmd = redis::cmd("HEXISTS");
    cmd.arg(&key).arg(id);
    let found = inner.shared.call_repeatable(&key, &cmd).await.and_then(reply::number)?;
    Ok(found == 1)
}

async fn meta(inner: &RedisInner, command: &str, arguments: &[&str]) -> Result<redis::Value, RedisError> {
    let key = inner.keys.meta();
    let mut cmd: Cmd = redis::cmd(command);
    cmd.arg(&key).arg(arguments);
    // Done twice it is done once.
    inner.shared.call_repeatable(&key, &cmd).await
}
