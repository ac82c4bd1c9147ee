//! Entries that are handed over and stay in the common input for a while. On a cluster the shard's copy may lie on another
//! server, which may lose what it has not written down yet; the input's own server lost nothing.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use crate::config::{HAND_OVER_KEPT, HAND_OVER_RETRY};
use crate::message::EntryId;

/// In the order in which they were handed over. Bounded by what is handed over within [`HAND_OVER_KEPT`].
#[derive(Debug, Default)]
pub(in crate::journal::redis) struct KeptEntries(VecDeque<KeptBatch>);

/// Entries that were handed over together.
#[derive(Debug)]
pub(super) struct KeptBatch {
    due: Instant,
    pub(super) ids: Vec<EntryId>,
    /// The last one by shard.
    pub(super) last: BTreeMap<u16, EntryId>,
}

impl KeptEntries {
    pub(super) fn keep(&mut self, of_shards: BTreeMap<u16, Vec<EntryId>>, now: Instant) {
        let last = of_shards.iter().filter_map(|(shard, ids)| Some((*shard, *ids.last()?))).collect();
        let ids: Vec<EntryId> = of_shards.into_values().flatten().collect();
        if !ids.is_empty() {
            self.0.push_back(KeptBatch { due: now + HAND_OVER_KEPT, ids, last });
        }
    }

    /// The shard of one could not be asked: it is due again after a pause, with all that follow.
    pub(super) fn put_off(&mut self, batch: KeptBatch, now: Instant) {
        self.0.push_front(KeptBatch { due: now + HAND_OVER_RETRY, ..batch });
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<KeptBatch> {
        if self.due_at()? <= now { self.0.pop_front() } else { None }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.0.front().map(|batch| batch.due)
    }

    pub(in crate::journal::redis) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::journal::redis) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_is_due_after_a_while_and_in_order() {
        let (now, id) = (Instant::now(), |ms| EntryId { ms, n: 0 });
        let mut kept = KeptEntries::default();
        kept.keep(BTreeMap::from([(3, Vec::new())]), now);
        assert!(kept.is_empty());
        kept.keep(BTreeMap::from([(1, vec![id(1), id(4)]), (2, vec![id(3)])]), now);
        kept.keep(BTreeMap::from([(1, vec![id(5)])]), now + HAND_OVER_KEPT / 2);
        assert!(kept.take_due(now + HAND_OVER_KEPT / 2).is_none());
        let first = kept.take_due(now + HAND_OVER_KEPT).unwrap();
        assert_eq!(first.ids, [id(1), id(4), id(3)]);
        assert_eq!(first.last, BTreeMap::from([(1, id(4)), (2, id(3))]));
        kept.put_off(first, now + HAND_OVER_KEPT);
        assert_eq!(kept.due_at(), Some(now + HAND_OVER_KEPT + HAND_OVER_RETRY));
        let later = now + HAND_OVER_KEPT + HAND_OVER_RETRY;
        assert_eq!(kept.take_due(later).map(|batch| batch.ids.len()), Some(3));
        assert_eq!(kept.take_due(later).map(|batch| batch.ids), Some(vec![id(5)]));
        assert!(kept.take_due(later).is_none());
    }
}
