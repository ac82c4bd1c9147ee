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
mod reader;
mod shards;
mod unconfirmed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;
use tracing::{info, warn};

pub(super) use self::handed::{Handed, Judged, ORIGIN, too_many_fields};
use self::reader::SourceRead;
pub(super) use self::reader::{SourceEntry, SourceReader};
pub(super) use self::shards::{HandedToShard, hand_to_shards};
pub(super) use self::unconfirmed::{ConfirmRound, UnconfirmedEntries};
use super::error::timed_out;
use super::inner::RedisInner;
use super::read_guard::ReadGuard;
use crate::config::{HAND_OVER_KEPT_LOOK, HAND_OVER_MAX};
use crate::journal::port::HandedOver;
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
    let mut reader = match inner.source.lock().await.take() {
        Some(reader) => reader,
        None => SourceReader::new(inner.connector.connect_for_reads(&source).await?),
    };
    let to = Arc::clone(reader.connection.to());
    let handed = tokio::select! {
        biased;
        handed = hand_over_next(inner, (guard, kept, &mut reader), &source, max, block) => handed?,
        () = inner.connector.replaced(&source, &to, Instant::now() + block) => return Err(timed_out()),
    };
    *inner.source.lock().await = Some(reader).filter(|reader| !reader.is_broken);
    Ok(handed)
}

async fn hand_over_next(
    inner: &RedisInner,
    (guard, kept, reader): (&mut ReadGuard, &mut UnconfirmedEntries, &mut SourceReader),
    source: &str,
    max: usize,
    block: Duration,
) -> Result<HandedOver, RedisError> {
    let max = max.clamp(1, HAND_OVER_MAX);
    let ConfirmRound { durable, lost } = kept.confirm(&inner.connector, &inner.keys, source).await;
    reader.gone.extend(durable);
    for shard in lost {
        tell_lost(shard, source);
        reader.held.hold(shard, Instant::now());
    }
    // A caller may ask for fewer than were read ahead: the rest is read again, from the start.
    let mut entries = next_entries(inner, (&mut *guard, kept, reader), max, block).await?;
    entries.truncate(max);
    let Some((first, last)) = entries.first().zip(entries.last()).map(|(first, last)| (first.0.id, last.0.id)) else {
        kept.source_answered(Instant::now());
        // Nothing is left of the shards that are being tried again; unless nothing was read, for too much is unconfirmed.
        if !kept.is_full() {
            reader.held.begin_anew();
        }
        return Ok(HandedOver::default());
    };
    let mut shards = by_shard(inner, source, entries);
    let back = take_unconfirmed(&mut shards, kept);
    shards.retain(|shard, _| !reader.held.contains(*shard));
    // In one write with the entries themselves: what comes next is here when the shards have these. What the shards had before
    // is deleted first, for a full Redis holds all of this above its limit.
    let (count, began) = (reader.count(max), Instant::now());
    let ahead = guard.known().map(|small| SourceRead::new((&inner.connector, guard), source, count, last, small));
    let (mut before, mut behind) = (redis::pipe(), redis::pipe());
    let deletes = reader.delete(source, &mut before);
    if let Some(ahead) = &ahead {
        behind.add_command(ahead.command.clone());
    }
    let (own, beside) = (&mut reader.connection, ([&before, &behind], guard.timeout()));
    let (handed, answers) = hand_to_shards(inner, own, source, &shards, kept, beside).await;
    let mut answers = answers.map(Vec::into_iter);
    if deletes && let Ok(answers) = &mut answers {
        reader.deleted(answers.next())?;
    }
    reader.gone.extend(back);
    let mut round = HandOverRound::default();
    for handed in handed {
        round.note(handed, inner, kept, reader);
    }
    let mut answers = match answers {
        // What was set aside is told first: nothing else tells why.
        Err(_) if !round.handed.rejected.is_empty() => {
            reader.is_broken = true;
            return Ok(round.handed);
        }
        answers => answers?,
    };
    tell_held(&round.refused, &round.again);
    if round.is_new && reader.begin_anew(first) {
        warn!(%source, %first, "The stream has lower ids than before, so it is a new one; its entries are delivered.");
    }
    let ahead = match ahead {
        Some(ahead) => ahead.entries(answers.next())?,
        None => reader.read((&inner.connector, guard), source, count, last, None).await?,
    };
    reader.handed_over(last, (ahead, count), began.elapsed());
    kept.source_answered(Instant::now());
    Ok(round.handed)
}

/// What was read ahead; else what comes next, waited for up to `block`.
async fn next_entries(
    inner: &RedisInner,
    (guard, kept, reader): (&mut ReadGuard, &UnconfirmedEntries, &mut SourceReader),
    max: usize,
    block: Duration,
) -> Result<Vec<SourceEntry>, RedisError> {
    if reader.held.retry_is_due(Instant::now()) {
        reader.retry();
    }
    let ahead = std::mem::take(&mut reader.ahead);
    if kept.is_full() {
        tokio::time::sleep(HAND_OVER_KEPT_LOOK).await;
        reader.look(&inner.keys.source()).await?;
        return Ok(Vec::new());
    }
    if !ahead.is_empty() {
        return Ok(ahead);
    }
    let until_retry = reader.held.retry_at().map(|at| at.saturating_duration_since(Instant::now()));
    let until_look = (!kept.is_empty()).then_some(HAND_OVER_KEPT_LOOK);
    let block = [until_retry, until_look].into_iter().flatten().fold(block, Duration::min);
    let (count, after) = (reader.count(max), reader.after(kept.is_empty()));
    reader.read((&inner.connector, guard), &inner.keys.source(), count, after, Some(block)).await
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
    fn note(
        &mut self,
        handed: HandedToShard,
        inner: &RedisInner,
        kept: &mut UnconfirmedEntries,
        reader: &mut SourceReader,
    ) {
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
        } else {
            reader.gone.extend(ids);
        }
        let held = &mut reader.held;
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

fn by_shard(inner: &RedisInner, source: &str, entries: Vec<SourceEntry>) -> BTreeMap<u16, Vec<Handed>> {
    let mut shards: BTreeMap<u16, Vec<Handed>> = BTreeMap::new();
    for (entry, cut) in entries {
        let bytes = cut.unwrap_or(entry.bytes());
        let (shard, handed) = Judged::of_common_input(entry, bytes).handed(inner, source);
        shards.entry(shard).or_default().push(handed);
    }
    shards
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
