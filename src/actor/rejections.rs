//! Why this node sets entries aside, counted, and a warning before the oldest of them are deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::warn;

use crate::config::{REJECTED_KINDS_MAX, REJECTED_WATCH_EVERY};
use crate::journal::port::{Journal, REJECTED_BYTES_RETAINED, REJECTED_RETAINED, RawEntry};
use crate::journal::rejected::reason_kind;
use crate::message::{EntryId, WorkspaceId};

/// What all shards of this node have set aside since it started, and how full the stores for it are.
#[derive(Debug, Default)]
pub(in crate::actor) struct Rejections(Mutex<RejectionCounts>);

#[derive(Debug, Default)]
struct RejectionCounts {
    by_kind: BTreeMap<String, u64>,
    /// By shard.
    fills: Vec<Fill>,
}

/// How full the place for a shard's rejected entries is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Fill {
    #[default]
    Low,
    Half,
    NineTenths,
}

impl Fill {
    fn of(count: u64, bytes: u64) -> Self {
        let tenths = |of: u64, max: usize| of.saturating_mul(10) / max as u64;
        match tenths(count, REJECTED_RETAINED).max(tenths(bytes, REJECTED_BYTES_RETAINED)) {
            0..5 => Self::Low,
            5..9 => Self::Half,
            _ => Self::NineTenths,
        }
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "less than half",
            Self::Half => "half",
            Self::NineTenths => "nine tenths",
        })
    }
}

/// What a shard has set aside of one reading, and has not told yet.
#[derive(Debug, Default)]
pub(in crate::actor) struct RejectedNow {
    pub(in crate::actor) count: u64,
    /// The first one, whose it was if that can be told, and why.
    pub(in crate::actor) first: Option<(EntryId, Option<WorkspaceId>, String)>,
}

impl RejectedNow {
    pub(in crate::actor) fn note(&mut self, entry: &RawEntry, reason: &str) {
        self.count += 1;
        let workspace = || std::str::from_utf8(entry.field("workspace")?).ok()?.parse().ok();
        self.first.get_or_insert_with(|| (entry.id, workspace(), reason.to_owned()));
    }
}

impl Rejections {
    /// One entry was set aside. Kinds beyond [`REJECTED_KINDS_MAX`] are counted together.
    pub(in crate::actor) fn count(&self, reason: &str) {
        let mut counts = self.0.lock();
        let kind = reason_kind(reason);
        let full = counts.by_kind.len() >= REJECTED_KINDS_MAX && !counts.by_kind.contains_key(&kind);
        let kind = if full { "another reason".to_owned() } else { kind };
        *counts.by_kind.entry(kind).or_default() += 1;
    }

    /// How many entries, by what was wrong.
    pub(in crate::actor) fn by_kind(&self) -> BTreeMap<String, u64> {
        self.0.lock().by_kind.clone()
    }

    /// One sentence for each shard that may soon have to delete some.
    pub(in crate::actor) fn notices(&self) -> Vec<String> {
        let counts = self.0.lock();
        let near = counts.fills.iter().enumerate().filter(|(_, fill)| **fill > Fill::Low);
        near.map(|(shard, fill)| {
            format!(
                "shard {shard} has set aside {fill} of the {REJECTED_RETAINED} entries, or of the {} MiB, that it keeps; \
                 beyond them the oldest is deleted: mend the producers (`outbound rejected list` says what is wrong)",
                REJECTED_BYTES_RETAINED / 1024 / 1024
            )
        })
        .collect()
    }

    /// Takes the numbers and the bytes of all shards; returns those that have come nearer to the cap.
    fn fill(&self, totals: &[u64], bytes: &[u64]) -> Vec<(usize, Fill)> {
        let bytes = bytes.iter().chain(std::iter::repeat(&0));
        let fills: Vec<Fill> = totals.iter().zip(bytes).map(|(total, bytes)| Fill::of(*total, *bytes)).collect();
        let mut counts = self.0.lock();
        let before = std::mem::replace(&mut counts.fills, fills.clone());
        let known = before.into_iter().chain(std::iter::repeat(Fill::Low));
        fills
            .into_iter()
            .zip(known)
            .enumerate()
            .filter(|(_, (now, was))| now > was)
            .map(|(n, (now, _))| (n, now))
            .collect()
    }
}

/// Looks at what is set aside for as long as the service runs. A store that does not answer is asked again.
pub(in crate::actor) async fn watch(journal: Arc<dyn Journal>, rejections: Arc<Rejections>) {
    loop {
        if let Ok(totals) = journal.rejected_counts().await
            && let Ok(bytes) = journal.rejected_bytes().await
        {
            for (shard, fill) in rejections.fill(&totals, &bytes) {
                let reasons = rejections.by_kind();
                warn!(
                    shard,
                    rejected = totals.get(shard),
                    bytes = bytes.get(shard),
                    ?reasons,
                    "A shard has set aside {fill} of the {REJECTED_RETAINED} entries, or of the {REJECTED_BYTES_RETAINED} \
                     bytes, that it keeps; beyond them the oldest is deleted. Mend the producers that write them."
                );
            }
        }
        tokio::time::sleep(REJECTED_WATCH_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_named_when_it_comes_nearer_to_the_cap_and_not_again() {
        let rejections = Rejections::default();
        let max = REJECTED_RETAINED as u64;
        for (totals, named) in [
            ([0, max / 2 - 1], vec![]),
            ([0, max / 2], vec![(1, Fill::Half)]),
            ([0, max / 2 + 1], vec![]),
            ([max, max / 10 * 9], vec![(0, Fill::NineTenths), (1, Fill::NineTenths)]),
            ([max, 0], vec![]),
            ([max, max / 2], vec![(1, Fill::Half)]),
        ] {
            assert_eq!(rejections.fill(&totals, &[]), named, "{totals:?}");
        }
        assert_eq!(rejections.notices().len(), 2);
        let half = REJECTED_BYTES_RETAINED as u64 / 2;
        assert_eq!(rejections.fill(&[1, 1], &[half - 1, half]), []);
        assert_eq!(rejections.fill(&[1, 1], &[half, 2 * half]), [(0, Fill::Half), (1, Fill::NineTenths)]);
    }

    #[test]
    fn kinds_beyond_the_bound_are_counted_together() {
        let rejections = Rejections::default();
        for n in 0..REJECTED_KINDS_MAX + 5 {
            rejections.count(&format!("{}: {n}", "x".repeat(n + 1)));
        }
        rejections.count("x: 7");
        let by_kind = rejections.by_kind();
        assert_eq!((by_kind.len(), by_kind["another reason"], by_kind["x"]), (REJECTED_KINDS_MAX + 1, 5, 2));
    }
}
