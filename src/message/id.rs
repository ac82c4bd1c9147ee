//! Names of a workspace and of a stream entry, as text and in order.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest workspace id in characters.
pub const WORKSPACE_ID_MAX: usize = 128;

/// A workspace's id: 1–128 characters of `A–Z a–z 0–9 _ . : -`, except `.` and `..`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspaceId(Arc<str>);

/// The text is no workspace id.
#[derive(Debug, thiserror::Error)]
#[error("a workspace id has 1 to {WORKSPACE_ID_MAX} characters of A-Z a-z 0-9 _ . : - and is not \".\" or \"..\"")]
pub struct InvalidWorkspaceId;

impl WorkspaceId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shard of the workspace: CRC32 (IEEE) of the id mod the number of shards
    /// ([contract, section 1](crate::docs::contract#1-the-message-in)).
    #[must_use]
    pub fn shard(&self, shards: u16) -> u16 {
        let shard = crc32fast::hash(self.0.as_bytes()) % u32::from(shards.max(1));
        u16::try_from(shard).unwrap_or(0)
    }
}

impl FromStr for WorkspaceId {
    type Err = InvalidWorkspaceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=WORKSPACE_ID_MAX).contains(&text.len()) && text != "." && text != "..";
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        if fits && text.bytes().all(allowed) { Ok(Self(text.into())) } else { Err(InvalidWorkspaceId) }
    }
}

impl Borrow<str> for WorkspaceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for WorkspaceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WorkspaceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A Redis Stream entry id, `<milliseconds>-<number>`. Ordered as Redis orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EntryId {
    /// Unix milliseconds, by Redis' clock.
    pub ms: u64,
    /// Counts entries of one millisecond.
    pub n: u64,
}

impl EntryId {
    /// Below every entry: where a forward read starts.
    pub const ZERO: Self = Self { ms: 0, n: 0 };

    /// The smallest id above this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self.n.checked_add(1) {
            Some(n) => Self { ms: self.ms, n },
            None => Self { ms: self.ms.saturating_add(1), n: 0 },
        }
    }
}

/// The text is no entry id.
#[derive(Debug, thiserror::Error)]
#[error("an entry id is written <milliseconds>-<number>")]
pub struct InvalidEntryId;

impl FromStr for EntryId {
    type Err = InvalidEntryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ms, n) = text.split_once('-').ok_or(InvalidEntryId)?;
        // The standard parser also takes a sign.
        let number = |digits: &str| match digits.as_bytes().first() {
            Some(b'0'..=b'9') => digits.parse().map_err(|_| InvalidEntryId),
            _ => Err(InvalidEntryId),
        };
        Ok(Self { ms: number(ms)?, n: number(n)? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut ms, mut n) = (itoa::Buffer::new(), itoa::Buffer::new());
        f.write_str(ms.format(self.ms))?;
        f.write_str("-")?;
        f.write_str(n.format(self.n))
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
