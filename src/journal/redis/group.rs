//! Sources of other people: streams that we read with a consumer group, acknowledge and never trim.
//!
//! One node reads a source at a time, by a lease; the group is read under the nonce of that lease and always by the
//! same consumer, so entries come in order and whoever follows finds what is pending under its own name. Entries are
//! handed over as those of the common input are: each shard refuses what it had. On a cluster they are acknowledged once
//! what the shards got is durable.
//!
//! A group that is gone (its stream was made anew, or somebody deleted it) is made again where the last hand-over
//! ended; of a stream that is another one ([`identity`]) at its start, and no shard has had anything of it.

pub(super) mod form;
pub(super) mod identity;
pub(super) mod pending;
pub(super) mod reader;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::time::Instant;
use tracing::{info, warn};

use self::identity::{LastHanded, StreamFacts};
use self::reader::GroupReader;
use super::error::{timed_out, unexpected};
use super::inner::RedisInner;
use super::reply;
use super::script::Script;
use super::source::{
    ConfirmRound, Handed, HandedToShard, SourceEntry, UnconfirmedEntries, hand_to_shards, take_unconfirmed, tell_lost,
};
use super::take;
use crate::config::{
    HAND_OVER_BATCH_MAX, HAND_OVER_KEPT_LOOK, READ_BYTES_MAX, STORE_TIMEOUT, STORE_TOLD_EVERY, SourceForm,
};
use crate::journal::port::{HandedOver, Holder};
use crate::message::EntryId;

/// Hands up to `max` entries over, waiting up to `block` for the first.
pub(super) async fn hand_over(
    inner: &RedisInner,
    source: &str,
    form: &SourceForm,
    max: usize,
    block: Duration,
) -> Result<HandedOver, RedisError> {
    let taken = inner.groups.lock().await.remove(source);
    let mut reader = match taken {
        Some(reader) => reader,
        None => GroupReader::new(inner.connector.connect_for_reads(source).await?),
    };
    let mut kept = inner.take_unconfirmed(source);
    let max = max.clamp(1, HAND_OVER_BATCH_MAX);
    let to = Arc::clone(reader.connection.to());
    let handed = tokio::select! {
        biased;
        handed = hand_over_next((&mut reader, &mut kept), inner, source, form, max, block) => handed,
        () = inner.connector.replaced(source, &to, Instant::now() + block) => Err(timed_out()),
    };
    inner.put_unconfirmed(source.to_owned(), kept);
    // After an error the connection goes with the reader, and what is pending is read first.
    if handed.is_ok() && !reader.is_broken {
        inner.groups.lock().await.insert(source.to_owned(), reader);
    }
    handed
}

/// Takes or renews the lease of a source's reader; `None`: of the common input. Answers whether this process has it.
pub(super) async fn lease(inner: &RedisInner, source: Option<&str>, holder: &Holder) -> Result<bool, RedisError> {
    let key = inner.keys.source_lease(source.unwrap_or(&inner.keys.source()));
    let mut cmd = inner.connector.script(Script::SourceLease, std::slice::from_ref(&key));
    cmd.arg(&holder.node).arg(&inner.run).arg(holder.lease.as_millis().to_string());
    let mut answer = reply::list(inner.shared.call_repeatable(&key, &cmd).await?)?.into_iter();
    match answer.next().map(reply::text).transpose()?.as_deref() {
        Some("OK") => Ok(true),
        Some("HELD") => {
            // What it knows of the source may be of another stream when the lease comes back.
            match source {
                None => *inner.source.lock().await = None,
                Some(source) => drop(inner.groups.lock().await.remove(source)),
            }
            Ok(false)
        }
        _ => Err(unexpected("an unknown word from source_lease.lua")),
    }
}

/// What kind of key a source is: `none` while there is nothing.
pub(super) async fn kind(inner: &RedisInner, source: &str) -> Result<String, RedisError> {
    reply::text(inner.shared.call_repeatable(source, redis::cmd("TYPE").arg(source)).await?)
}

async fn hand_over_next(
    (reader, kept): (&mut GroupReader, &mut UnconfirmedEntries),
    inner: &RedisInner,
    source: &str,
    form: &SourceForm,
    max: usize,
    block: Duration,
) -> Result<HandedOver, RedisError> {
    let ConfirmRound { durable, lost } = kept.confirm(&inner.connector, &inner.keys, source).await;
    for shard in lost {
        tell_lost(shard, source);
        // What it lost is pending still.
        (reader.pending, reader.handed) = (Some(EntryId::ZERO), EntryId::ZERO);
    }
    if !durable.is_empty() {
        acknowledge(reader, inner, source, position(reader, kept), &durable).await?;
    }
    if kept.is_full() {
        tokio::time::sleep(HAND_OVER_KEPT_LOOK).await;
        reader.connection.call(redis::cmd("EXISTS").arg(source), STORE_TIMEOUT).await?;
        kept.source_answered(Instant::now());
        return Ok(HandedOver::default());
    }
    let read = read((&mut *reader, &mut *kept), inner, source, form, max).await?;
    kept.source_answered(Instant::now());
    let Some(entries) = read else {
        // Nothing is new, or there is no stream yet.
        reader.wait(source, if kept.is_empty() { block } else { block.min(HAND_OVER_KEPT_LOOK) }).await?;
        return Ok(HandedOver::default());
    };
    let Some(newest) = entries.last().map(LastHanded::of) else {
        reader.pending = None;
        return Ok(HandedOver::default());
    };
    let last = newest.id;
    match reader.pending {
        Some(_) => reader.pending = Some(last),
        None => reader.last = last,
    }
    let (done, entries) = without_deleted(inner, source, entries);
    let mut round =
        GroupRound { handed: HandedOver { count: done.len(), ..HandedOver::default() }, done, ..GroupRound::default() };
    let mut shards = by_shard(inner, source, form, &entries);
    round.done.extend(take_unconfirmed(&mut shards, kept));
    let nothing = Pipeline::new();
    let nothing = ([&nothing; 2], STORE_TIMEOUT);
    let (handed, told) = hand_to_shards(inner, &mut reader.connection, source, &shards, kept, nothing).await;
    for handed in handed {
        round.note(handed, inner, source, kept);
    }
    if let Err(error) = told {
        // What was set aside is told first: nothing else tells why.
        reader.is_broken = !round.handed.rejected.is_empty();
        return if reader.is_broken { Ok(round.handed) } else { Err(error) };
    }
    let GroupRound { handed, done, failed, is_new } = round;
    if failed.is_none() {
        // A stream that was made anew may have lower ids than the one before it.
        if is_new || last >= reader.handed {
            (reader.handed, reader.newest) = (last, Some(newest));
        }
    }
    let position = position(reader, kept).filter(|_| failed.is_none());
    acknowledge(reader, inner, source, position, &done).await?;
    // One shard that refuses holds the source back: its entries stay pending and are read again in order.
    match failed {
        // What was set aside is told first: nothing else tells why.
        Some(_) if !handed.rejected.is_empty() => reader.pending = Some(EntryId::ZERO),
        Some(error) => return Err(error),
        None => {}
    }
    Ok(handed)
}

/// What came of one read.
#[derive(Default)]
struct GroupRound {
    handed: HandedOver,
    /// What is acknowledged at once.
    done: Vec<EntryId>,
    failed: Option<RedisError>,
    /// The source is another stream than a shard knew.
    is_new: bool,
}

impl GroupRound {
    fn note(&mut self, handed: HandedToShard, inner: &RedisInner, source: &str, kept: &mut UnconfirmedEntries) {
        self.handed.count += handed.ids.len();
        self.handed.rejected.extend(handed.rejected);
        self.is_new |= handed.is_new;
        if handed.is_new || handed.is_lost {
            kept.forget(handed.shard);
        }
        if handed.is_lost {
            tell_lost(handed.shard, source);
        }
        if inner.connector.is_cluster() {
            kept.keep(handed.shard, &handed.ids, Instant::now());
        } else {
            self.done.extend(handed.ids);
        }
        self.failed = self.failed.take().or(handed.failed);
    }
}

/// The ids of those that were deleted or trimmed while they were pending, which is told, and the others. A deleted one has no
/// fields, so there is nothing to hand over; of one that was cut nothing may be left either, and it is rejected.
fn without_deleted(inner: &RedisInner, source: &str, entries: Vec<SourceEntry>) -> (Vec<EntryId>, Vec<SourceEntry>) {
    let (deleted, entries): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(entry, cut)| cut.is_none() && entry.fields.is_empty());
    if !deleted.is_empty() {
        let count = deleted.len();
        inner.losses.add(count as u64, 0);
        warn!(
            source,
            count,
            "Entries of a source were deleted or trimmed while they were pending; those that no shard had yet are not delivered."
        );
    }
    (deleted.into_iter().map(|(entry, _)| entry.id).collect(), entries)
}

/// Up to where all was handed over, and needs no second time; `None` where this reader does not know yet.
fn position(reader: &GroupReader, kept: &UnconfirmedEntries) -> Option<EntryId> {
    let handed = Some(reader.handed).filter(|handed| *handed != EntryId::ZERO)?;
    Some(kept.before_first().map_or(handed, |first| first.min(handed)))
}

/// What is pending, or else what is new; `None` when nothing is.
async fn read(
    (reader, kept): (&mut GroupReader, &mut UnconfirmedEntries),
    inner: &RedisInner,
    source: &str,
    form: &SourceForm,
    max: usize,
) -> Result<Option<Vec<SourceEntry>>, RedisError> {
    let keys = [inner.keys.source_lease(source), source.to_owned()];
    let mut cmd = inner.connector.script(Script::SourceRead, &keys);
    let from = reader.pending.map_or_else(|| ">".to_owned(), |after| after.to_string());
    cmd.arg(&inner.run).arg(from);
    take::bound(&mut cmd, max, READ_BYTES_MAX, &[&form.workspace, &form.message]);
    let answer = match reader.connection.call(&cmd, STORE_TIMEOUT).await {
        Err(error) if error.code() == Some("NOGROUP") => {
            return make_group((reader, kept), inner, source).await.map(|made| made.then(Vec::new));
        }
        answer => answer?,
    };
    let mut values = reply::list(answer)?.into_iter();
    match values.next().map(reply::text).transpose()?.as_deref() {
        Some("OK") => {
            let entries = reply::taken(values.next().unwrap_or(Value::Nil))?;
            let readers = values.next().map(reply::number).transpose()?;
            if reader.readers.is_some() && reader.readers != readers && reader.pending.is_none() {
                // Another one read meanwhile; what was read now is pending too, behind what that one left.
                (reader.readers, reader.pending) = (readers, Some(EntryId::ZERO));
                return Ok(None);
            }
            reader.readers = readers;
            Ok((reader.pending.is_some() || !entries.is_empty()).then_some(entries))
        }
        // Told by who asks for the lease next.
        Some("FENCED") => Err(std::io::Error::other("another node reads the source").into()),
        _ => Err(unexpected("an unknown word from source_read.lua")),
    }
}

/// Makes the group where the last hand-over ended. Answers whether there is one now.
async fn make_group(
    (reader, kept): (&mut GroupReader, &mut UnconfirmedEntries),
    inner: &RedisInner,
    source: &str,
) -> Result<bool, RedisError> {
    let exists = reader.connection.call(redis::cmd("EXISTS").arg(source), STORE_TIMEOUT).await?;
    if reply::number(exists)? == 0 {
        reader.last = EntryId::ZERO;
        return Ok(false);
    }
    let mut stored = redis::cmd("HMGET");
    stored.arg(inner.keys.source_lease(source)).arg("position").arg("newest");
    let [stored, newest] = reply::tuple(reader.connection.call(&stored, STORE_TIMEOUT).await?)?;
    let text = |value| Ok::<_, RedisError>(reply::bytes(value)?.and_then(|text| String::from_utf8(text.into()).ok()));
    let stored: Option<EntryId> = text(stored)?.and_then(|text| text.parse().ok());
    let newest: Option<LastHanded> = text(newest)?.and_then(|text| text.parse().ok());
    let is_another = match (stored, newest) {
        (None, _) => false,
        (Some(_), Some(newest)) => newest.is_of_another(&mut reader.connection, &inner.connector, source).await?,
        // Noted by an older program: lower ids are all that tells.
        (Some(position), None) => position > StreamFacts::ask(&mut reader.connection, source).await?.last_generated,
    };
    if is_another {
        forget_source(reader, inner, source).await?;
        (0..inner.shards).for_each(|shard| kept.forget(shard));
    }
    let position = stored.filter(|_| !is_another).unwrap_or(EntryId::ZERO);
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(source).arg("outbound").arg(position.to_string());
    match reader.connection.call(&create, STORE_TIMEOUT).await {
        Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
        _ => {}
    }
    (reader.pending, reader.last, reader.handed) = (Some(EntryId::ZERO), position, position);
    let now = Instant::now();
    if stored.is_none() {
        info!(source, "The source is read from its start: it had no consumer group `outbound`.");
    } else if is_another {
        warn!(source, "A source is another stream than before; it is read from its start.");
    } else if reader.told.is_none_or(|told| now >= told + STORE_TOLD_EVERY) {
        reader.told = Some(now);
        warn!(source, %position, "The consumer group of a source was gone; it goes on where the hand-over ended.");
    }
    Ok(true)
}

/// What the shards had of another stream of that name says nothing of this one. Before the group is made: until then all of this
/// is done again.
async fn forget_source(reader: &mut GroupReader, inner: &RedisInner, source: &str) -> Result<(), RedisError> {
    let forget = async |shard| {
        let keys = inner.keys.shard(shard);
        inner.shared.call_repeatable(&keys.owner(), redis::cmd("HDEL").arg(keys.sources()).arg(source)).await
    };
    try_join_all((0..inner.shards).map(forget)).await?;
    let mut forget = redis::cmd("HDEL");
    forget.arg(inner.keys.source_lease(source)).arg("position").arg("newest");
    reader.connection.call(&forget, STORE_TIMEOUT).await?;
    reader.newest = None;
    Ok(())
}

async fn acknowledge(
    reader: &mut GroupReader,
    inner: &RedisInner,
    source: &str,
    position: Option<EntryId>,
    ids: &[EntryId],
) -> Result<(), RedisError> {
    let keys = [inner.keys.source_lease(source), source.to_owned()];
    let mut rest = ids;
    loop {
        // A script takes no list of any length.
        let (ids, behind) = rest.split_at(rest.len().min(HAND_OVER_BATCH_MAX));
        let mut cmd: Cmd = inner.connector.script(Script::SourceAck, &keys);
        cmd.arg(position.filter(|_| behind.is_empty()).map(|id| id.to_string()).unwrap_or_default());
        cmd.arg(reader.newest.map(|newest| newest.to_string()).unwrap_or_default());
        ids.iter().for_each(|id| {
            cmd.arg(id.to_string());
        });
        reader.connection.call(&cmd, STORE_TIMEOUT).await?;
        if behind.is_empty() {
            return Ok(());
        }
        rest = behind;
    }
}

fn by_shard(
    inner: &RedisInner,
    source: &str,
    form: &SourceForm,
    entries: &[SourceEntry],
) -> BTreeMap<u16, Vec<Handed>> {
    let mut shards: BTreeMap<u16, Vec<Handed>> = BTreeMap::new();
    for (entry, cut) in entries {
        let bytes = cut.unwrap_or(entry.bytes());
        let (shard, handed) = form::judged(form, entry, bytes).handed(inner, source);
        shards.entry(shard).or_default().push(handed);
    }
    shards
}
