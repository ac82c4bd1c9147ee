//! What other consumers of the group `outbound` were given and have not acknowledged: somebody read a source by hand, or with
//! a program of theirs. The group is ours and every entry of the stream is to be delivered, so it becomes our own consumer's,
//! as far as it comes behind all that was handed over. What does not could not be told from what its shard had; it stays
//! where it is, and is told.

use futures_util::future::try_join_all;
use redis::RedisError;
use tracing::info;

use crate::config::HAND_OVER_BATCH_MAX;
use crate::journal::port::PendingOfOther;
use crate::journal::redis::error::unexpected;
use crate::journal::redis::inner::RedisInner;
use crate::journal::redis::reply;
use crate::journal::redis::script::Script;
use crate::message::EntryId;

/// Takes over what can be, to be handed over next. Answers the rest.
pub(in crate::journal::redis) async fn take_over(
    inner: &RedisInner,
    source: &str,
) -> Result<Vec<PendingOfOther>, RedisError> {
    let mut left = of_others(inner, source).await?;
    if left.is_empty() {
        return Ok(left);
    }
    let behind = reached(inner, source).await?;
    let mut taken = 0;
    loop {
        let some = take_some(inner, source, behind).await;
        if !matches!(some, Ok(0))
            && let Some(reader) = inner.groups.lock().await.get_mut(source)
        {
            // Also where the answer was lost: what was taken over is read next. A reader that there is not yet reads what is
            // pending first anyway.
            reader.pending = Some(EntryId::ZERO);
        }
        match some? {
            0 => break,
            some => taken += some,
        }
        left = of_others(inner, source).await?;
    }
    if taken > 0 {
        info!(source, taken, "Entries that other consumers of the source's group were given are taken over.");
    }
    Ok(left)
}

/// How many entries are pending for whom, but for our own consumer.
async fn of_others(inner: &RedisInner, source: &str) -> Result<Vec<PendingOfOther>, RedisError> {
    let mut ask = redis::cmd("XPENDING");
    ask.arg(source).arg("outbound");
    let answer = match inner.shared.call_repeatable(source, &ask).await {
        // Whoever reads next makes the group, and tells what is no stream.
        Err(error) if matches!(error.code(), Some("NOGROUP" | "WRONGTYPE")) => return Ok(Vec::new()),
        answer => answer?,
    };
    let [_, _, _, consumers] = reply::tuple(answer)?;
    let mut others = Vec::new();
    for consumer in reply::list(consumers)? {
        let [name, count] = reply::tuple(consumer)?;
        let name = reply::bytes(name)?.unwrap_or_default();
        if name != "outbound" {
            let consumer = String::from_utf8_lossy(&name).into_owned();
            others.push(PendingOfOther { consumer, count: reply::number(count)? });
        }
    }
    Ok(others)
}

/// The greatest id that any shard was given of the source.
async fn reached(inner: &RedisInner, source: &str) -> Result<EntryId, RedisError> {
    let of_shard = async |shard| {
        let keys = inner.keys.shard(shard);
        let mut ask = redis::cmd("HGET");
        ask.arg(keys.sources()).arg(source);
        let reached = reply::bytes(inner.shared.call_repeatable(&keys.owner(), &ask).await?)?;
        let reached = reached.and_then(|id| std::str::from_utf8(&id).ok()?.parse::<EntryId>().ok());
        Ok::<_, RedisError>(reached.unwrap_or(EntryId::ZERO))
    };
    Ok(try_join_all((0..inner.shards).map(of_shard)).await?.into_iter().max().unwrap_or(EntryId::ZERO))
}

/// Takes over some of what comes behind an id. Answers how many; none: nothing more does.
async fn take_some(inner: &RedisInner, source: &str, behind: EntryId) -> Result<u64, RedisError> {
    let keys = [inner.keys.source_lease(source), source.to_owned()];
    let mut cmd = inner.connector.script(Script::SourcePending, &keys);
    cmd.arg(&inner.run).arg(behind.to_string()).arg(HAND_OVER_BATCH_MAX);
    // Not repeated: the second one would find nothing left to take.
    let mut answer = reply::list(inner.shared.call(source, &cmd).await?)?.into_iter();
    match answer.next().map(reply::text).transpose()?.as_deref() {
        Some("OK") => answer.next().map_or(Ok(0), reply::number),
        // Told by who asks for the lease next.
        Some("FENCED") => Err(std::io::Error::other("another node reads the source").into()),
        _ => Err(unexpected("an unknown word from source_pending.lua")),
    }
}
