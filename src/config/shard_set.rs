//! Sets of shards, written as ranges: `0-3,8`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Shards at most: each holds connections and memory.
pub const SHARDS_MAX: u16 = 1_024;

/// Some of the shards. Written as ranges in order: `0-3,8`; nothing for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardSet(BTreeSet<u16>);

/// The text names no shards.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} names no shards: write numbers and ranges below {SHARDS_MAX} such as 0-3,8, or none for no shard at all"
)]
pub struct InvalidShardSet(String);

impl ShardSet {
    /// Whether the shard is in it.
    #[must_use]
    pub fn contains(&self, shard: u16) -> bool {
        self.0.contains(&shard)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their numbers, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u16> {
        self.0.iter().copied()
    }
}

impl FromIterator<u16> for ShardSet {
    fn from_iter<T: IntoIterator<Item = u16>>(shards: T) -> Self {
        Self(shards.into_iter().collect())
    }
}

impl fmt::Display for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shards = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = shards.next() {
            let mut last = first;
            while let Some(next) = shards.next_if(|next| *next == last + 1) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl FromStr for ShardSet {
    type Err = InvalidShardSet;

    /// Reads numbers and ranges with commas between them; `none` and nothing are the empty set.
    fn from_str(text: &str) -> Result<Self, InvalidShardSet> {
        let invalid = || InvalidShardSet(text.to_owned());
        if matches!(text.trim(), "" | "none") {
            return Ok(Self::default());
        }
        let number = |digits: &str| {
            let digits = digits.trim();
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let shard = is_number.then(|| digits.parse::<u16>().ok()).flatten();
            shard.filter(|shard| *shard < SHARDS_MAX).ok_or_else(invalid)
        };
        let mut shards = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(invalid());
            }
            shards.extend(first..=last);
        }
        Ok(Self(shards))
    }
}

impl Serialize for ShardSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ShardSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for (text, written, shards) in [
            ("0-3,8", "0-3,8", vec![0, 1, 2, 3, 8]),
            (" 8, 0 - 2 ,3", "0-3,8", vec![0, 1, 2, 3, 8]),
            ("5", "5", vec![5]),
            ("5,6", "5-6", vec![5, 6]),
            ("1023", "1023", vec![1023]),
            ("", "", vec![]),
            ("none", "", vec![]),
        ] {
            let read: ShardSet = text.parse().unwrap();
            assert_eq!(read.iter().collect::<Vec<_>>(), shards, "{text}");
            assert_eq!(read.to_string(), written);
            assert_eq!(written.parse(), Ok(read));
        }
    }

    #[test]
    fn what_names_no_shards_is_told() {
        for text in ["-", "3-1", "a", "1024", "0-1024", "+1", "-1", "1,,2", "1-2-3", "0x1", "65536", "1;2"] {
            assert_eq!(text.parse::<ShardSet>(), Err(InvalidShardSet(text.to_owned())));
        }
    }
}
