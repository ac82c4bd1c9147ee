//! Entries that are handed over and stay in their source until their shards' copies are durable. On a cluster a shard may
//! lie on another server than its source; that server may lose what it has not written down, when the source has
//! deleted it already. What a shard lost is still in the source then, and is handed over again.
//!
//! How far a shard got is on its own server, written together with what it got, so both are lost together. Nothing goes to
//! a shard that got less far than it had: that would pass over what it lost. A deleted entry is remembered for a while,
//! too: when the source's server loses the deletion, the entry comes back and is deleted again.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::RedisError;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::confirm::{ConfirmConnection, Confirmed, confirm};
use crate::config::{HAND_OVER_DELETED_MAX, HAND_OVER_KEPT, HAND_OVER_KEPT_MAX, HAND_OVER_RETRY, HAND_OVER_UNSURE_MAX};
use crate::journal::redis::connector::Connector;
use crate::journal::redis::keys::{Keys, ShardKeys};
use crate::message::EntryId;

/// Those of one source. What waits is bounded by [`HAND_OVER_KEPT_MAX`] and one read, what is remembered by
/// [`HAND_OVER_DELETED_MAX`].
#[derive(Debug, Default)]
pub(in crate::journal::redis) struct UnconfirmedEntries {
    shards: BTreeMap<u16, UnconfirmedOfShard>,
    /// When the source's server answered last.
    answered: Option<Instant>,
}

#[derive(Debug, Default)]
struct UnconfirmedOfShard {
    /// Those that wait: when each was handed over.
    waiting: BTreeMap<EntryId, Instant>,
    /// Those that are durable and remembered: when each was deleted from the source.
    deleted: BTreeMap<EntryId, Instant>,
    /// The greatest that this process handed over.
    last: Option<EntryId>,
    asked: Option<Asked>,
    connection: Option<ConfirmConnection>,
    retry_at: Option<Instant>,
}

/// A wait that is under way: for all up to this one.
#[derive(Debug)]
struct Asked {
    up_to: EntryId,
    answer: JoinHandle<(Option<ConfirmConnection>, Result<Confirmed, RedisError>)>,
}

/// What came of the waits.
#[derive(Debug, Default)]
pub(in crate::journal::redis) struct ConfirmRound {
    /// Entries that the source may delete.
    pub(in crate::journal::redis) durable: Vec<EntryId>,
    /// Shards that have lost something.
    pub(in crate::journal::redis) lost: Vec<u16>,
}

impl UnconfirmedEntries {
    /// Whether nothing waits.
    pub(in crate::journal::redis) fn is_empty(&self) -> bool {
        self.shards.values().all(|shard| shard.waiting.is_empty())
    }

    /// Whether so many wait that nothing more should be read for now.
    pub(in crate::journal::redis) fn is_full(&self) -> bool {
        self.shards.values().map(|shard| shard.waiting.len()).sum::<usize>() >= HAND_OVER_KEPT_MAX
    }

    /// The greatest id below the first that waits.
    pub(in crate::journal::redis) fn before_first(&self) -> Option<EntryId> {
        let firsts = self.shards.values().filter_map(|shard| shard.waiting.keys().next().copied());
        firsts.min().map(|EntryId { ms, n }| match n {
            0 => EntryId { ms: ms.saturating_sub(1), n: u64::MAX },
            _ => EntryId { ms, n: n - 1 },
        })
    }

    /// How far the shard got at least.
    pub(in crate::journal::redis) fn last_of(&self, shard: u16) -> Option<EntryId> {
        self.shards.get(&shard)?.last
    }

    /// Whether the shard has the entry, as far as is known. `Some(true)`: it was deleted from the source, and has come back.
    pub(in crate::journal::redis) fn has(&self, shard: u16, id: EntryId) -> Option<bool> {
        let kept = self.shards.get(&shard)?;
        if kept.waiting.contains_key(&id) { Some(false) } else { kept.deleted.contains_key(&id).then_some(true) }
    }

    /// Notes what a shard got.
    pub(in crate::journal::redis) fn keep(&mut self, shard: u16, ids: &[EntryId], now: Instant) {
        let kept = self.shards.entry(shard).or_default();
        kept.waiting.extend(ids.iter().map(|id| (*id, now)));
        kept.last = ids.last().copied().or(kept.last);
    }

    /// Forgets what a shard got: it lost it, or its source is another stream.
    pub(in crate::journal::redis) fn forget(&mut self, shard: u16) {
        self.shards.remove(&shard);
    }

    /// The source's server has answered: what was deleted long before is deleted for good. While it is away nothing is
    /// forgotten, for whoever follows it may not know of the last deletions.
    pub(in crate::journal::redis) fn source_answered(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// Takes in what the waits found, and begins those that are due.
    pub(in crate::journal::redis) async fn confirm(
        &mut self,
        connector: &Arc<Connector>,
        keys: &Keys,
        source: &str,
    ) -> ConfirmRound {
        let (mut settled, now) = (ConfirmRound::default(), Instant::now());
        self.forget_deleted();
        for (shard, kept) in &mut self.shards {
            if kept.collect(now, &mut settled.durable).await {
                settled.lost.push(*shard);
            }
            kept.ask(connector, keys.shard(*shard), source, now);
        }
        for shard in &settled.lost {
            self.forget(*shard);
        }
        settled
    }

    /// Forgets what was deleted for good, and where too much is remembered what was deleted first.
    fn forget_deleted(&mut self) {
        if let Some(sure) = self.answered.and_then(|answered| answered.checked_sub(HAND_OVER_KEPT)) {
            self.forget_deleted_before(sure);
        }
        let remembered: usize = self.shards.values().map(|shard| shard.deleted.len()).sum();
        if let Some(over) = remembered.checked_sub(HAND_OVER_DELETED_MAX).filter(|over| *over > 0) {
            let all = self.shards.values().flat_map(|shard| shard.deleted.values());
            let mut times: Vec<Instant> = all.copied().collect();
            let first_kept = *times.select_nth_unstable(over).1;
            self.forget_deleted_before(first_kept);
        }
    }

    fn forget_deleted_before(&mut self, first_kept: Instant) {
        self.shards.values_mut().for_each(|shard| shard.deleted.retain(|_, deleted| *deleted >= first_kept));
    }
}

impl UnconfirmedOfShard {
    /// Takes in what a wait found. Answers whether the shard has lost something.
    async fn collect(&mut self, now: Instant, durable: &mut Vec<EntryId>) -> bool {
        let Some(Asked { up_to, answer }) = self.asked.take_if(|asked| asked.answer.is_finished()) else {
            return false;
        };
        // A panic there is as an error.
        let Ok((connection, found)) = answer.await else {
            self.retry_at = Some(now + HAND_OVER_RETRY);
            return false;
        };
        self.connection = connection;
        let durable_up_to = match found {
            Ok(Confirmed::UpTo(reached)) if reached < up_to => return true,
            Ok(Confirmed::UpTo(_)) => Some(up_to),
            // A server that never says so must not fill the source.
            Ok(Confirmed::NotYet) => {
                let asked = self.waiting.range(..=up_to);
                asked.take_while(|(_, handed)| now >= **handed + HAND_OVER_UNSURE_MAX).last().map(|(id, _)| *id)
            }
            Err(_) => {
                self.retry_at = Some(now + HAND_OVER_RETRY);
                None
            }
        };
        durable.extend(durable_up_to.map(|up_to| self.let_go(up_to, now)).unwrap_or_default());
        false
    }

    /// What is durable, which the source may delete.
    fn let_go(&mut self, up_to: EntryId, now: Instant) -> Vec<EntryId> {
        let later = self.waiting.split_off(&up_to.next());
        let durable: Vec<EntryId> = std::mem::replace(&mut self.waiting, later).into_keys().collect();
        self.deleted.extend(durable.iter().map(|id| (*id, now)));
        durable
    }

    /// Begins a wait for what waits, unless one is under way.
    fn ask(&mut self, connector: &Arc<Connector>, keys: ShardKeys, source: &str, now: Instant) {
        let is_due = self.asked.is_none() && self.retry_at.is_none_or(|at| now >= at);
        let Some((up_to, _)) = self.waiting.last_key_value().filter(|_| is_due) else { return };
        let (connector, source) = (Arc::clone(connector), source.to_owned());
        let (up_to, mut connection) = (*up_to, self.connection.take());
        self.retry_at = None;
        let answer = tokio::spawn(async move {
            let found = confirm(&connector, &keys, &source, &mut connection).await;
            (connection.filter(|_| found.is_ok()), found)
        });
        self.asked = Some(Asked { up_to, answer });
    }
}

impl Drop for UnconfirmedOfShard {
    fn drop(&mut self) {
        if let Some(asked) = &self.asked {
            asked.answer.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_waits_holds_the_source_up_and_what_is_remembered_does_not() {
        let (mut kept, mut now) = (UnconfirmedEntries::default(), Instant::now());
        let ids = |from: usize| (from..from + HAND_OVER_KEPT_MAX).map(|n| EntryId { ms: n as u64, n: 0 });
        for begin in [1, 1 + HAND_OVER_KEPT_MAX] {
            let ids: Vec<EntryId> = ids(begin).collect();
            kept.keep(3, &ids, now);
            assert!(kept.is_full() && kept.before_first().is_some());
            let last = ids[ids.len() - 1];
            now += Duration::from_millis(1);
            assert_eq!(kept.shards.get_mut(&3).unwrap().let_go(last, now), ids);
            kept.forget_deleted();
            assert!(!kept.is_full() && kept.is_empty());
            assert_eq!((kept.has(3, ids[0]), kept.has(3, last)), (Some(true), Some(true)));
        }
        assert_eq!(kept.has(3, EntryId { ms: 1, n: 0 }), None, "the oldest are forgotten");
    }
}
