//! What the shards set aside, summed up by reason, and what can be done with all entries of a reason.

use std::collections::BTreeMap;

use futures_util::TryFutureExt as _;
use tokio::time::{Instant, timeout_at};

use super::asked::were;
use super::summaries::{OldestRejected, RejectedKind, RejectedSummary};
use crate::config::{
    REJECTED_LOOKED_AT, REJECTED_LOOKED_AT_BYTES, REJECTED_SUMMED_AT_ONCE, REQUEUED_AT_ONCE, STORE_ANSWER_MAX,
};
use crate::http::api::rejected::{READ_AT_ONCE, RejectedId, RejectedLine};
use crate::http::problem::Problem;
use crate::http::reader::in_time;
use crate::http::state::FacadeState;
use crate::journal::port::{RequeueError, StoreError};
use crate::journal::rejected::{RetainedEntry, reason_kind};
use crate::message::EntryId;

/// What became of the entries of a reason.
#[derive(Default)]
pub(super) struct Requeueing {
    /// Moved to their streams.
    pub(super) moved: u64,
    /// Still not valid, so they stay.
    pub(super) invalid: u64,
    /// Whether there may be more.
    pub(super) more: bool,
}

impl FacadeState {
    /// What is set aside, by reason.
    pub(super) async fn rejected_summary(&self) -> Result<RejectedSummary, Problem> {
        self.reader.small(None, self.sum_up_rejected()).await
    }

    async fn sum_up_rejected(&self) -> Result<RejectedSummary, StoreError> {
        let journal = &self.facade.journal;
        let counts = journal.rejected_counts().await?;
        let mut summary = RejectedSummary { total: counts.iter().sum(), ..RejectedSummary::default() };
        let shards: Vec<(u16, u64)> = (0..).zip(counts).filter(|(_, count)| *count > 0).collect();
        // Each shard has its part, so that one that is full hides no other.
        let part = |whole: usize| whole.checked_div(shards.len()).unwrap_or(0).max(REJECTED_SUMMED_AT_ONCE);
        let mut all_bytes = 0;
        let mut kinds: BTreeMap<String, RejectedKind> = BTreeMap::new();
        for (shard, _) in &shards {
            let (mut from, mut entries, mut bytes) = (EntryId::ZERO, 0, 0);
            while entries < part(REJECTED_LOOKED_AT) && bytes < part(REJECTED_LOOKED_AT_BYTES) {
                let read = journal.rejected(*shard, from, REJECTED_SUMMED_AT_ONCE).await?;
                let Some(last) = read.last() else { break };
                from = last.id.next();
                entries += read.len();
                bytes += read.iter().flat_map(|entry| &entry.fields).map(|(_, value)| value.len()).sum::<usize>();
                for entry in &read {
                    let retained = RetainedEntry::of(entry);
                    let kind = reason_kind(&retained.reason);
                    let oldest = || {
                        let RejectedLine { shard, id, at, reason, workspace, .. } =
                            RejectedLine::new(*shard, entry.id, &retained);
                        OldestRejected { place: format!("{shard}/{id}"), at, reason, workspace }
                    };
                    let new = |kind: &String| RejectedKind { kind: kind.clone(), count: 0, oldest: oldest() };
                    kinds.entry(kind).or_insert_with_key(new).count += 1;
                }
                if read.len() < REJECTED_SUMMED_AT_ONCE {
                    break;
                }
            }
            all_bytes += bytes;
            summary.looked_at += entries as u64;
            if all_bytes >= REJECTED_LOOKED_AT_BYTES {
                break;
            }
        }
        summary.kinds = kinds.into_values().collect();
        summary.kinds.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.kind.cmp(&b.kind)));
        Ok(summary)
    }

    /// Checks the entries of a reason, from `oldest` on, again and moves those that are valid now to their streams, for as long as a caller
    /// waits. A problem tells what was moved before it.
    pub(super) async fn requeue_kind(&self, kind: &str, oldest: RejectedId) -> Result<Requeueing, Problem> {
        let mut done = Requeueing::default();
        let ended = self.move_kind(kind, oldest, &mut done).await;
        let Requeueing { moved, invalid, .. } = done;
        tracing::info!(kind, moved, invalid, whole = ended.is_ok(), "rejected entries were requeued");
        match ended {
            Ok(()) => Ok(done),
            Err(problem) if moved + invalid == 0 => Err(problem),
            Err(problem) => {
                let still = if invalid == 0 { String::new() } else { format!(", {} still not valid", were(invalid)) };
                Err(problem.behind(&format!("{} requeued{still}; of the next", were(moved))))
            }
        }
    }

    async fn move_kind(&self, kind: &str, oldest: RejectedId, done: &mut Requeueing) -> Result<(), Problem> {
        let until = Instant::now() + STORE_ANSWER_MAX;
        let journal = &self.facade.journal;
        let counts = journal.rejected_counts().err_into::<RequeueError>();
        for (shard, count) in (0_u16..).zip(in_time(until, counts, Problem::requeue_unknown).await?) {
            let Some(mut from) = oldest.first_in(shard) else { continue };
            let mut left = count;
            while left > 0 {
                let entries = journal.rejected(shard, from, READ_AT_ONCE).err_into::<RequeueError>();
                let entries = in_time(until, entries, Problem::requeue_unknown).await?;
                let Some(last) = entries.last() else { break };
                from = last.id.next();
                left = left.saturating_sub(entries.len() as u64);
                for entry in entries.iter().filter(|entry| reason_kind(&RetainedEntry::of(entry).reason) == kind) {
                    match timeout_at(until, journal.requeue(shard, entry.id)).await {
                        Ok(Ok(_)) => done.moved += 1,
                        Ok(Err(RequeueError::Invalid { .. })) => done.invalid += 1,
                        // Somebody else has moved or discarded it.
                        Ok(Err(RequeueError::Gone { .. })) => {}
                        Ok(Err(error)) => return Err(error.into()),
                        Err(_) => return Err(Problem::requeue_unknown()),
                    }
                }
                if done.moved >= REQUEUED_AT_ONCE as u64 || Instant::now() + STORE_ANSWER_MAX / 5 >= until {
                    done.more = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
