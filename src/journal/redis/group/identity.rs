//! Whether a source whose group is gone is still the stream that was handed over, or another one of its name. Ids tell it only
//! in part: one that is made anew may grow past them, or count from one again.

use std::fmt;
use std::str::FromStr;

use redis::{RedisError, Value};

use crate::config::STORE_TIMEOUT;
use crate::journal::redis::connector::Connector;
use crate::journal::redis::read_connection::ReadConnection;
use crate::journal::redis::reply;
use crate::journal::redis::source::SourceEntry;
use crate::journal::redis::take::{self, ReadFrom};
use crate::message::EntryId;

/// The last entry that was handed over of a source. What an entry holds never changes, so another content is another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastHanded {
    pub(super) id: EntryId,
    /// A sum of what it holds; `None` of one that is too large to be read whole.
    sum: Option<u32>,
}

impl LastHanded {
    pub(super) fn of((entry, cut): &SourceEntry) -> Self {
        let mut sum = crc32fast::Hasher::new();
        for part in entry.fields.iter().flat_map(|(name, value)| [name, value]) {
            sum.update(&part.len().to_le_bytes());
            sum.update(part);
        }
        Self { id: entry.id, sum: cut.is_none().then(|| sum.finalize()) }
    }

    /// Whether `source` is another stream than the one that this was handed over of. Entries that its owner has deleted or trimmed
    /// make it no other one: a trimmed stream has nothing below what is gone.
    ///
    /// # Errors
    /// The source cannot be read.
    pub(super) async fn is_of_another(
        self,
        connection: &mut ReadConnection,
        connector: &Connector,
        source: &str,
    ) -> Result<bool, RedisError> {
        let mut first = async |from, to: &str| -> Result<Option<SourceEntry>, RedisError> {
            let read = take::command(connector, source, from, to, 1, 1);
            Ok(reply::taken(connection.call(&read, STORE_TIMEOUT).await?)?.pop())
        };
        let id = self.id.to_string();
        let here = first(ReadFrom::At(self.id), &id).await?;
        if let Some(here) = here {
            return Ok(self.sum.is_some() && Self::of(&here).sum != self.sum);
        }
        let has_below = first(ReadFrom::At(EntryId::ZERO), &format!("({id}")).await?.is_some();
        // Behind the reads: what is deleted in between has become a greatest deleted id.
        let facts = StreamFacts::ask(connection, source).await?;
        Ok(self.id > facts.last_generated || (has_below && self.id > facts.max_deleted))
    }
}

impl fmt::Display for LastHanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sum {
            Some(sum) => write!(f, "{}/{sum}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl FromStr for LastHanded {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, sum) = text.split_once('/').map_or((text, None), |(id, sum)| (id, Some(sum)));
        let sum = sum.map(str::parse).transpose().map_err(|_| ())?;
        Ok(Self { id: id.parse().map_err(|_| ())?, sum })
    }
}

/// What a stream tells of itself.
pub(in crate::journal::redis) struct StreamFacts {
    /// The greatest id that it has given.
    pub(super) last_generated: EntryId,
    /// The greatest id that was deleted in it.
    pub(in crate::journal::redis) max_deleted: EntryId,
}

impl StreamFacts {
    pub(super) async fn ask(connection: &mut ReadConnection, source: &str) -> Result<Self, RedisError> {
        let mut info = redis::cmd("XINFO");
        info.arg("STREAM").arg(source);
        Self::read(connection.call(&info, STORE_TIMEOUT).await?)
    }

    /// The answer to XINFO STREAM.
    pub(in crate::journal::redis) fn read(answer: Value) -> Result<Self, RedisError> {
        let told = reply::list(answer)?;
        let id = |name: &str| {
            let at = told.iter().position(|fact| matches!(fact, Value::BulkString(text) if text == name.as_bytes()));
            reply::id(at.and_then(|at| told.get(at + 1)).cloned().unwrap_or(Value::Nil))
        };
        Ok(Self { last_generated: id("last-generated-id")?, max_deleted: id("max-deleted-entry-id")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::port::RawEntry;

    #[test]
    fn another_content_is_told_apart_and_what_is_stored_is_read_again() {
        let entry = |fields: &[(&'static str, &'static str)], cut| {
            let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            LastHanded::of(&(RawEntry { id: EntryId { ms: 50, n: 1 }, fields }, cut))
        };
        let one = entry(&[("workspace", "a"), ("message", "b")], None);
        assert_eq!(one, entry(&[("workspace", "a"), ("message", "b")], None));
        for other in [&[("workspace", "a"), ("message", "c")][..], &[("workspace", "am"), ("essage", "b")], &[]] {
            assert_ne!(one, entry(other, None), "{other:?}");
        }
        let large = entry(&[("workspace", "a")], Some(600_000));
        for known in [one, large] {
            assert_eq!(known.to_string().parse(), Ok(known));
        }
        assert_eq!((large.to_string().as_str(), "x/1".parse::<LastHanded>()), ("50-1", Err(())));
    }
}
