//! The common input: entries that any producer appended, handed over to their shards in order.
//!
//! Any number of nodes may do this at a time. Each reads the source from its start and goes on behind what it has
//! handed over. A shard that refuses is held back: it gets nothing more until the source is read from its start again,
//! after a pause. So whatever a shard is missing comes before what it gets; and each script appends only above the
//! greatest id that the shard got. So every entry is handed over once, in order, whoever is faster. An entry is deleted
//! from the source after its shard has it; on a cluster once that is durable ([`unconfirmed`]).
//!
//! A source that was deleted, renamed or restored, or whose server's clock was set back, may have lower ids than a shard
//! has got of it. Then the greatest of these is neither in the source nor was it ever deleted there
//! (`max-deleted-entry-id`), and the source is taken as a new stream. In doubt an entry comes twice, never not at all.

mod confirm;
mod handed;
mod held;
mod unconfirmed;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, RedisError, Value};
use tokio::time::Instant;
use tracing::{info, warn};

pub(super) use self::handed::{Handed, judged};
pub(super) use self::held::HeldBack;
pub(super) use self::unconfirmed::{ConfirmRound, UnconfirmedEntries};
use super::connection::Connection;
use super::error::{is_away, unexpected};
use super::inner::RedisInner;
use super::intake::SourceReader;
use super::read_guard::ReadGuard;
use super::reply;
use super::script::Script;
use crate::config::{HAND_OVER_KEPT_LOOK, HAND_OVER_MAX, STORE_TIMEOUT};
use crate::journal::port::{COMMIT_BYTES_MAX, HandedOver, REJECTED_BYTES_RETAINED, REJECTED_RETAINED, RawEntry};
use crate::journal::rejected::too_large;
use crate::message::EntryId;

/// Hands up to `max` entries over, waiting up to `block` for the first.
pub(super) async fn hand_over(inner: &RedisInner, max: usize, block: Duration) -> Result<HandedOver, RedisError> {
    let source = inner.keys.source();
    let mut guard = inner.source_guard.lock().clone();
    let mut kept = inner.take_unconfirmed(&source);
    let handed = hand_over_guarded(inner, &mut guard, &mut kept, max, block).await;
    guard.note(handed.is_ok());
    *inner.source_guard.lock() = guard;
    inner.put_unconfirmed(source, kept);
    handed
}

async fn hand_over_guarded(
    inner: &RedisInner,
    guard: &mut ReadGuard,
    kept: &mut UnconfirmedEntries,
    max: usize,
    block: Duration,
) -> Result<HandedOver, RedisError> {
    let source = inner.keys.source();
    let max = max.clamp(1, HAND_OVER_MAX);
    let mut reader = match inner.source.lock().await.take() {
        Some(reader) => reader,
        None => SourceReader::new(inner.connector.connect_for_scripts(&source).await?),
    };
    let ConfirmRound { durable: mut gone, lost } = kept.confirm(&inner.connector, &inner.keys, &source).await;
    for shard in lost {
        tell_lost(shard, &source);
        reader.held.hold(shard, Instant::now());
    }
    // A caller may ask for fewer than were read ahead: the rest is read again, from the start.
    let mut entries = next_entries(inner, (&mut *guard, kept, &mut reader), max, block).await?;
    entries.truncate(max);
    let Some((first, last)) = entries.first().zip(entries.last()).map(|(first, last)| (first.0.id, last.0.id)) else {
        delete(&mut reader.connection, &source, &gone).await?;
        kept.source_answered(Instant::now());
        // Nothing is left of the shards that are being tried again; unless nothing was read, for too much is unconfirmed.
        if !kept.is_full() {
            reader.held.begin_anew();
        }
        *inner.source.lock().await = Some(reader);
        return Ok(HandedOver::default());
    };
    let mut shards = by_shard(inner, &source, entries);
    gone.extend(take_unconfirmed(&mut shards, kept));
    shards.retain(|shard, _| !reader.held.contains(*shard));
    let own = reader.connection.clone();
    let handed = hand_to_shards(inner, &own, &source, &shards, kept, gone);
    // In one write with the entries themselves: what comes next is here when the shards have these.
    let ahead = reader.read((&inner.connector, guard), &source, max, last, None);
    let ((handed, deleted), ahead) = tokio::join!(handed, ahead);
    let mut round = HandOverRound::default();
    for handed in handed {
        round.note(handed, inner, kept, &mut reader.held);
    }
    tell_held(&round.refused, &round.again);
    if round.is_new && reader.begin_anew(first) {
        warn!(%source, %first, "The stream has lower ids than before, so it is a new one; its entries are delivered.");
    }
    deleted?;
    reader.handed_over(last, ahead?);
    kept.source_answered(Instant::now());
    *inner.source.lock().await = Some(reader);
    Ok(round.handed)
}

/// Hands over to all shards at a time, and deletes what they got from the source, with what is `gone` already. On a
/// cluster what they got stays there until it is durable.
async fn hand_to_shards(
    inner: &RedisInner,
    own: &Connection,
    source: &str,
    shards: &BTreeMap<u16, Vec<Handed>>,
    kept: &UnconfirmedEntries,
    mut gone: Vec<EntryId>,
) -> (Vec<HandedToShard>, Result<(), RedisError>) {
    let handed =
        shards.iter().map(|(shard, entries)| hand_to_shard(inner, own, source, *shard, entries, kept.last_of(*shard)));
    let handed = join_all(handed).await;
    if !inner.connector.is_cluster() {
        gone.extend(handed.iter().flat_map(|handed| &handed.ids));
    }
    let deleted = delete(&mut own.clone(), source, &gone).await;
    (handed, deleted)
}

/// What was read ahead; else what comes next, waited for up to `block`.
async fn next_entries(
    inner: &RedisInner,
    (guard, kept, reader): (&mut ReadGuard, &UnconfirmedEntries, &mut SourceReader),
    max: usize,
    block: Duration,
) -> Result<Vec<(RawEntry, Option<usize>)>, RedisError> {
    if reader.held.retry_is_due(Instant::now()) {
        reader.retry();
    }
    let ahead = std::mem::take(&mut reader.ahead);
    if kept.is_full() {
        tokio::time::sleep(HAND_OVER_KEPT_LOOK).await;
        reader.connection.call(redis::cmd("EXISTS").arg(inner.keys.source()), STORE_TIMEOUT).await?;
        return Ok(Vec::new());
    }
    if !ahead.is_empty() {
        return Ok(ahead);
    }
    let until_retry = reader.held.retry_at().map(|at| at.saturating_duration_since(Instant::now()));
    let until_look = (!kept.is_empty()).then_some(HAND_OVER_KEPT_LOOK);
    let block = [until_retry, until_look].into_iter().flatten().fold(block, Duration::min);
    let after = reader.after(kept.is_empty());
    reader.read((&inner.connector, guard), &inner.keys.source(), max, after, Some(block)).await
}

/// What came of one read.
#[derive(Default)]
struct HandOverRound {
    handed: HandedOver,
    /// The source is another stream than a shard knew.
    is_new: bool,
    /// Shards that refused, and did not before; and those that take something again.
    refused: Vec<(u16, RedisError)>,
    again: Vec<u16>,
}

impl HandOverRound {
    fn note(&mut self, handed: HandedToShard, inner: &RedisInner, kept: &mut UnconfirmedEntries, held: &mut HeldBack) {
        let HandedToShard { shard, ids, rejected, failed, is_new, is_lost } = handed;
        let now = Instant::now();
        self.handed.count += ids.len();
        self.handed.rejected.extend(rejected);
        self.is_new |= is_new;
        if is_new || is_lost {
            kept.forget(shard);
        }
        if inner.connector.is_cluster() {
            kept.keep(shard, &ids, now);
        }
        match failed {
            Some(_) if is_lost => {
                tell_lost(shard, &inner.keys.source());
                held.hold(shard, now);
            }
            Some(error) if held.hold(shard, now) => self.refused.push((shard, error)),
            Some(_) => {}
            None if held.works(shard) => self.again.push(shard),
            None => {}
        }
    }
}

/// Takes out what the shards are known to have. Answers what came back after it was deleted.
pub(super) fn take_unconfirmed(shards: &mut BTreeMap<u16, Vec<Handed>>, kept: &UnconfirmedEntries) -> Vec<EntryId> {
    let mut back = Vec::new();
    shards.retain(|shard, entries| {
        entries.retain(|entry| {
            let known = kept.has(*shard, entry.id);
            back.extend((known == Some(true)).then_some(entry.id));
            known.is_none()
        });
        !entries.is_empty()
    });
    back
}

async fn delete(connection: &mut Connection, source: &str, ids: &[EntryId]) -> Result<(), RedisError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut delete = redis::cmd("XDEL");
    delete.arg(source);
    ids.iter().for_each(|id| {
        delete.arg(id.to_string());
    });
    connection.call(&delete, STORE_TIMEOUT).await.map(drop)
}

fn by_shard(inner: &RedisInner, source: &str, entries: Vec<(RawEntry, Option<usize>)>) -> BTreeMap<u16, Vec<Handed>> {
    let mut shards: BTreeMap<u16, Vec<Handed>> = BTreeMap::new();
    for (entry, cut) in entries {
        let bytes = cut.unwrap_or(entry.bytes());
        let (shard, handed) = judged(inner, source, entry, bytes, too_large(bytes));
        shards.entry(shard).or_default().push(handed);
    }
    shards
}

/// What one shard got: the entries that can be deleted, and what stopped it.
#[derive(Default)]
pub(super) struct HandedToShard {
    pub(super) shard: u16,
    pub(super) ids: Vec<EntryId>,
    /// Why some of them were set aside.
    pub(super) rejected: Vec<String>,
    pub(super) failed: Option<RedisError>,
    /// The source is another stream than the shard knew.
    pub(super) is_new: bool,
    /// The shard has lost what it had; nothing was handed over.
    pub(super) is_lost: bool,
}

/// Hands over to one shard in batches that a full Redis can hold; `last` is how far the shard got at least, `own` the
/// connection to the source's server.
pub(super) async fn hand_to_shard(
    inner: &RedisInner,
    own: &Connection,
    source: &str,
    shard: u16,
    mut entries: &[Handed],
    mut last: Option<EntryId>,
) -> HandedToShard {
    let mut handed = HandedToShard { shard, ..HandedToShard::default() };
    while !entries.is_empty() {
        let mut bytes = 0;
        let fits = entries.iter().take_while(|entry| {
            bytes += entry.bytes();
            bytes <= COMMIT_BYTES_MAX
        });
        let (batch, rest) = entries.split_at(fits.count().max(1));
        entries = rest;
        match hand_batch(inner, own, source, shard, batch, last).await {
            Ok((BatchEnd::Lost, _)) => {
                let failed = Some(unexpected("a shard that has lost what it had"));
                return HandedToShard { shard, failed, is_lost: true, ..HandedToShard::default() };
            }
            Ok((end, rejected)) => {
                handed.rejected.extend(rejected);
                handed.is_new |= end == BatchEnd::NewStream;
                handed.ids.extend(batch.iter().map(|entry| entry.id));
                if inner.connector.is_cluster() {
                    last = handed.ids.last().copied();
                }
            }
            Err(error) => return HandedToShard { failed: Some(error), ..handed },
        }
    }
    handed
}

/// How often a shard may have got on, by other nodes, while one batch was being judged.
const VERDICTS_MAX: usize = 8;

/// How one batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BatchEnd {
    /// The shard has it.
    Handed,
    /// It has it, and the source is another stream than it knew.
    NewStream,
    /// The shard got less far than it had.
    Lost,
}

async fn hand_batch(
    inner: &RedisInner,
    own: &Connection,
    source: &str,
    shard: u16,
    batch: &[Handed],
    last: Option<EntryId>,
) -> Result<(BatchEnd, Vec<String>), RedisError> {
    let keys = inner.keys.shard(shard);
    let (mut asked, mut is_new) = (String::new(), false);
    for _ in 0..VERDICTS_MAX {
        let mut cmd = inner.connector.script(Script::Handover, &[keys.sources(), keys.messages(), keys.rejected()]);
        cmd.arg(source).arg(REJECTED_RETAINED).arg(&asked).arg(if is_new { "new" } else { "same" });
        cmd.arg(REJECTED_BYTES_RETAINED).arg(last.map(|last| last.to_string()).unwrap_or_default());
        batch.iter().for_each(|entry| entry.add_to(&mut cmd));
        let answer = call(inner, own, &keys.owner(), &cmd).await?;
        if let Value::Array(_) = answer {
            let [_, rejected, dropped] = reply::tuple(answer)?;
            let (rejected, dropped) = (reply::number(rejected)?, reply::number(dropped)?);
            inner.losses.add(0, dropped);
            tell(shard, rejected, dropped);
            let end = if is_new { BatchEnd::NewStream } else { BatchEnd::Handed };
            return Ok((end, reasons(batch, rejected)));
        }
        asked = reply::text(answer)?;
        if asked == "LOST" {
            return Ok((BatchEnd::Lost, Vec::new()));
        }
        is_new = !has_had(inner, own, source, &asked).await?;
    }
    Err(unexpected("a shard that always knows more of its source"))
}

/// Why so many entries of a batch were set aside now: the last ones, for what a shard had before comes first.
fn reasons(batch: &[Handed], rejected: u64) -> Vec<String> {
    let newest = batch.iter().rev().filter_map(|entry| entry.wrong.clone());
    newest.take(usize::try_from(rejected).unwrap_or(usize::MAX)).collect()
}

/// Runs what may run twice on the server that holds `key`. Without a cluster that is the source's: the connection that the
/// source is read on is no other task's, what stands in one write with the read needs no turn of its own, and of two servers
/// that a fail-over left, a script and the questions about its answer go to the same.
async fn call(inner: &RedisInner, own: &Connection, key: &str, cmd: &Cmd) -> Result<Value, RedisError> {
    if !inner.connector.is_cluster() {
        match own.clone().call(cmd, STORE_TIMEOUT).await {
            Err(error) if is_away(&error) => {}
            answer => return answer,
        }
    }
    inner.shared.call_repeatable(key, cmd).await
}

/// Whether the source holds the entry, or has held one with its id or a greater one.
async fn has_had(inner: &RedisInner, own: &Connection, source: &str, id: &str) -> Result<bool, RedisError> {
    // In this order: what is deleted in between has become a greatest deleted id.
    let mut range = redis::cmd("XRANGE");
    range.arg(source).arg(id).arg(id);
    if !reply::list(call(inner, own, source, &range).await?)?.is_empty() {
        return Ok(true);
    }
    let mut info = redis::cmd("XINFO");
    info.arg("STREAM").arg(source);
    let mut facts = reply::list(call(inner, own, source, &info).await?)?.into_iter();
    while let (Some(name), Some(value)) = (facts.next(), facts.next()) {
        if reply::text(name)? == "max-deleted-entry-id" {
            let id = id.parse().map_err(|_| unexpected("not an entry id"))?;
            return Ok(reply::id(value)? >= id);
        }
    }
    Err(unexpected("a stream that does not tell the greatest id that was deleted in it"))
}

/// One line for all shards together: it is most often one Redis that all of them are on.
fn tell_held(refused: &[(u16, RedisError)], again: &[u16]) {
    if let Some((_, error)) = refused.first() {
        let shards: Vec<u16> = refused.iter().map(|(shard, _)| *shard).collect();
        warn!(?shards, %error, "shards refuse messages of the common input: their own are held back");
    }
    if !again.is_empty() {
        info!(shards = ?again, "shards take messages of the common input again");
    }
}

/// Once for each time that a shard's server has lost something.
pub(super) fn tell_lost(shard: u16, source: &str) {
    warn!(shard, source, "A shard has lost messages that it had from a source; they are handed over again.");
}

fn tell(shard: u16, rejected: u64, dropped: u64) {
    if rejected > 0 {
        warn!(shard, rejected, "entries of a source were set aside; their reasons say what is wrong");
    }
    if dropped > 0 {
        warn!(shard, dropped, "the rejected stream is full: its oldest entries were deleted");
    }
}
