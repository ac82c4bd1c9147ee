//! Taking a shard's lease.

use std::time::Duration;

use bytes::Bytes;
use redis::{RedisError, Value};
use tokio::time::Instant;
use tracing::{debug, error};

use super::connection::Backoff;
use super::error::{is_away, store_error, unexpected};
use super::inner::RedisInner;
use super::reply;
use super::script::Script;
use crate::journal::codec;
use crate::journal::port::{AcquireError, Bookmark, Holder, OwedMail};

/// What an acquisition answered.
pub(super) struct AcquiredLease {
    /// The commits of the shard so far.
    pub(super) head: u64,
    /// The mails that are owed.
    pub(super) outbox: Vec<OwedMail>,
    /// How far the shard has been read.
    pub(super) bookmark: Option<Bookmark>,
    /// Until when it lives.
    pub(super) until: Instant,
}

/// Takes the lease under `nonce`. While Redis is away it is waited for.
///
/// # Errors
/// Somebody else's lease lives, or Redis refuses for good.
pub(super) async fn acquire(
    inner: &RedisInner,
    shard: u16,
    holder: &Holder,
    nonce: &str,
) -> Result<AcquiredLease, AcquireError> {
    let keys = inner.keys.shard(shard);
    let mut backoff = Backoff::default();
    loop {
        let asked = Instant::now();
        let mut cmd = inner.connector.script(Script::Acquire, &[keys.owner(), keys.outbox(), keys.bookmark()]);
        cmd.arg(&holder.node)
            .arg(nonce)
            .arg(holder.lease.as_millis().to_string())
            .arg(&inner.run)
            .arg(i32::from(!inner.has_held(shard)))
            .arg(inner.unrenewed(shard, asked));
        match inner.shared.call(&keys.owner(), &cmd).await.and_then(parse) {
            Ok(AcquireReply::Taken { head, outbox, bookmark }) => {
                inner.note_held(shard);
                let (outbox, until) = (mails(shard, outbox), asked + holder.lease);
                let bookmark = bookmark.and_then(|stored| codec::decode_bookmark(&stored));
                return Ok(AcquiredLease { head, outbox, bookmark, until });
            }
            Ok(AcquireReply::Held { node, remaining, mark, lease }) => {
                let remaining = remaining.min(inner.watch_lease(shard, mark, lease, Instant::now()));
                return Err(AcquireError::Held { shard, node, remaining });
            }
            Err(error) if is_away(&error) => {
                debug!(shard, %error, "Redis is away; the shard is acquired when it is back");
                backoff.pause().await;
            }
            Err(error) => return Err(store_error("acquiring a shard", error).into()),
        }
    }
}

enum AcquireReply {
    Taken {
        head: u64,
        outbox: Vec<Value>,
        bookmark: Option<Bytes>,
    },
    /// The mark changes with every renewal; `lease` is how long the lease is.
    Held {
        node: String,
        remaining: Duration,
        mark: String,
        lease: Duration,
    },
}

fn parse(answer: Value) -> Result<AcquireReply, RedisError> {
    let mut values = reply::list(answer)?.into_iter();
    let mut next = || values.next().ok_or_else(|| unexpected("a short answer"));
    match reply::text(next()?)?.as_str() {
        "OK" => Ok(AcquireReply::Taken {
            head: reply::number(next()?)?,
            outbox: reply::list(next()?)?,
            bookmark: reply::bytes(next()?)?,
        }),
        "HELD" => Ok(AcquireReply::Held {
            node: reply::text(next()?)?,
            remaining: Duration::from_millis(reply::number(next()?)?),
            mark: reply::text(next()?)?,
            lease: Duration::from_millis(reply::number(next()?)?),
        }),
        _ => Err(unexpected("an unknown word from acquire.lua")),
    }
}

/// The mails of an outbox, as HGETALL answers it. One that cannot be read stays where it is: it must
/// keep nobody from the shard.
fn mails(shard: u16, outbox: Vec<Value>) -> Vec<OwedMail> {
    let values = outbox.into_iter().skip(1).step_by(2);
    let stored = values.filter_map(|value| reply::bytes(value).ok().flatten());
    let read = |stored: Bytes| codec::decode_mail(&stored);
    let log =
        |error: &codec::CodecError| error!(shard, %error, "a mail that is owed cannot be read; it stays in the outbox");
    stored.filter_map(|stored| read(stored).inspect_err(log).ok()).collect()
}
