//! The common input: entries that any producer appended, handed over to their shards in order.
//!
//! Any number of nodes may do this at a time. Each reads the source from its start, so whatever a
//! shard is missing comes before what it gets; and each script appends only above the greatest id
//! that the shard got. So every entry is handed over once, in order, whoever is faster. An entry is
//! deleted from the source after its shard has it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, RedisError};
use tracing::warn;

use super::connection::Connection;
use super::inner::RedisInner;
use super::intake::xread;
use super::reply;
use super::script::Script;
use crate::config::{HAND_OVER_FIELDS_MAX, HAND_OVER_MAX, STORE_TIMEOUT};
use crate::journal::port::{COMMIT_BYTES_MAX, REJECTED_RETAINED, RawEntry};
use crate::journal::rejected::rejected_fields;
use crate::message::{EntryId, InvalidWorkspaceId, WorkspaceId};

/// Hands up to `max` entries over, waiting up to `block` for the first. Answers how many.
pub(super) async fn hand_over(inner: &RedisInner, max: usize, block: Duration) -> Result<usize, RedisError> {
    let source = inner.keys.source();
    let mut connection = match inner.source.lock().await.take() {
        Some(connection) => connection,
        None => inner.connector.connect(&source).await?,
    };
    let read = xread(max.clamp(1, HAND_OVER_MAX), Some(block), &[(source.clone(), EntryId::ZERO)]);
    let answer = connection.call(&read, block + STORE_TIMEOUT).await?;
    let entries = reply::streams(answer)?.pop().map(|(_, entries)| entries).unwrap_or_default();
    let mut moved = 0;
    for (shard, entries) in by_shard(inner, &source, entries) {
        moved += hand_to_shard(inner, &mut connection, &source, shard, &entries).await?;
    }
    *inner.source.lock().await = Some(connection);
    Ok(moved)
}

/// An entry and what becomes of it.
struct Handed {
    id: EntryId,
    how: &'static str,
    fields: Vec<(Bytes, Bytes)>,
}

impl Handed {
    fn bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn by_shard(inner: &RedisInner, source: &str, entries: Vec<RawEntry>) -> BTreeMap<u16, Vec<Handed>> {
    let mut shards: BTreeMap<u16, Vec<Handed>> = BTreeMap::new();
    for mut entry in entries {
        let id = entry.id;
        let origin = (Bytes::from_static(b"origin"), Bytes::from(format!("{source}/{id}")));
        let (shard, how, fields) = match destination(&entry) {
            Ok(workspace) => {
                entry.fields.push(origin);
                (workspace.shard(inner.shards), "append", entry.fields)
            }
            Err(reason) => {
                // First, so that it is kept however many fields there are.
                entry.fields.insert(0, origin);
                (0, "reject", rejected_fields(&entry, &reason, (inner.clock)()))
            }
        };
        shards.entry(shard).or_default().push(Handed { id, how, fields });
    }
    shards
}

/// The workspace that an entry names, or why it cannot be handed over.
fn destination(entry: &RawEntry) -> Result<WorkspaceId, String> {
    if entry.fields.len() > HAND_OVER_FIELDS_MAX {
        return Err(format!("the entry has {} fields; at most {HAND_OVER_FIELDS_MAX} are taken", entry.fields.len()));
    }
    let workspace = entry.field("workspace").ok_or("the field `workspace` is missing")?;
    let text = std::str::from_utf8(workspace).map_err(|_| InvalidWorkspaceId.to_string())?;
    text.parse().map_err(|error: InvalidWorkspaceId| error.to_string())
}

/// Hands over to one shard in batches that a full Redis can hold, and deletes each from the source.
async fn hand_to_shard(
    inner: &RedisInner,
    connection: &mut Connection,
    source: &str,
    shard: u16,
    mut entries: &[Handed],
) -> Result<usize, RedisError> {
    let keys = inner.keys.shard(shard);
    let mut moved = 0;
    while !entries.is_empty() {
        let mut bytes = 0;
        let fits = entries.iter().take_while(|entry| {
            bytes += entry.bytes();
            bytes <= COMMIT_BYTES_MAX
        });
        let (batch, rest) = entries.split_at(fits.count().max(1));
        entries = rest;
        let mut cmd = inner.connector.script(Script::Handover, &[keys.sources(), keys.messages(), keys.rejected()]);
        cmd.arg(source).arg(REJECTED_RETAINED);
        batch.iter().for_each(|entry| add(&mut cmd, entry));
        let answer = inner.shared.call_repeatable(&keys.owner(), &cmd).await?;
        let [_, rejected, dropped] = reply::tuple(answer)?;
        let dropped = reply::number(dropped)?;
        inner.losses.add(0, dropped);
        tell(shard, reply::number(rejected)?, dropped);

        let mut delete = redis::cmd("XDEL");
        delete.arg(source);
        batch.iter().for_each(|entry| {
            delete.arg(entry.id.to_string());
        });
        connection.call(&delete, STORE_TIMEOUT).await?;
        moved += batch.len();
    }
    Ok(moved)
}

fn add(cmd: &mut Cmd, entry: &Handed) {
    cmd.arg(entry.id.to_string()).arg(entry.how).arg(entry.fields.len() * 2);
    for (name, value) in &entry.fields {
        cmd.arg(name.as_ref()).arg(value.as_ref());
    }
}

fn tell(shard: u16, rejected: u64, dropped: u64) {
    if rejected > 0 {
        warn!(shard, rejected, "entries without a valid workspace were set aside");
    }
    if dropped > 0 {
        warn!(shard, dropped, "the rejected stream is full: its oldest entries were deleted");
    }
}
