//! The maps and sets of this room.
//!
//! Their order is random in the service, so that nobody who chooses workspace ids can slow a map
//! down, and fixed in tests, so that a seed of the simulation repeats what it did.

#[cfg(test)]
use foldhash::quality::FixedState as Hashing;
#[cfg(not(test))]
use foldhash::quality::RandomState as Hashing;

pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, Hashing>;
pub(super) type HashSet<K> = std::collections::HashSet<K, Hashing>;
