//! What the receiver counts.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Ids below this are told apart from their repetitions: 8 MB of bits.
pub(crate) const IDS_MAX: usize = 64_000_000;

/// One POST.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    /// What the endpoint does with it: `ok`, `told`, `fail` or `hang`.
    pub(crate) treatment: &'a [u8],
    pub(crate) workspace: usize,
    /// Number and Unix microseconds of the message, both from its id.
    pub(crate) id: usize,
    pub(crate) sent_us: u64,
}

/// What has arrived since the last reset.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Distinct messages that were answered with 200.
    pub(crate) delivered: u64,
    /// Distinct messages that were answered with 500.
    pub(crate) failed: u64,
    /// Distinct messages that were never answered.
    pub(crate) hung: u64,
    /// POSTs of messages that had arrived before.
    pub(crate) repeated: u64,
    /// From the first to the last arrival, in seconds.
    pub(crate) seconds: f64,
    /// When the first POST arrived, in Unix microseconds.
    pub(crate) first_at_us: u64,
    /// From XADD to arrival over all that were answered with 200, in milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// By workspace the median of the same.
    pub(crate) medians_ms: Vec<(usize, f64)>,
    /// By workspace how many POSTs were answered with 500.
    pub(crate) failed_by_workspace: Vec<(usize, u64)>,
}

impl Stats {
    /// Distinct messages that arrived.
    pub(crate) fn distinct(&self) -> u64 {
        self.delivered + self.failed + self.hung
    }
}

/// Everything that arrived.
pub(crate) struct Seen {
    ids: Vec<u64>,
    stats: Stats,
    last_us: u64,
    /// Workspace and microseconds from XADD to arrival of each that was answered with 200.
    latencies: Vec<(u32, u32)>,
    failed_by_workspace: Vec<u64>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self {
            ids: vec![0; IDS_MAX / 64],
            stats: Stats::default(),
            last_us: 0,
            latencies: Vec::new(),
            failed_by_workspace: Vec::new(),
        }
    }

    /// The next POST counts as the first.
    pub(crate) fn forget_first(&mut self) {
        self.stats.first_at_us = 0;
    }

    pub(crate) fn distinct(&self) -> u64 {
        self.stats.distinct()
    }

    pub(crate) fn take(&mut self, arrival: &Arrival<'_>) {
        let now = unix_us();
        if self.stats.first_at_us == 0 {
            self.stats.first_at_us = now;
        }
        self.last_us = now;
        assert!(arrival.id < IDS_MAX, "more messages than can be told apart");
        let (word, bit) = (arrival.id / 64, 1 << (arrival.id % 64));
        let again = self.ids[word] & bit != 0;
        self.ids[word] |= bit;
        match arrival.treatment {
            b"fail" => {
                if self.failed_by_workspace.len() <= arrival.workspace {
                    self.failed_by_workspace.resize(arrival.workspace + 1, 0);
                }
                self.failed_by_workspace[arrival.workspace] += 1;
                self.stats.failed += u64::from(!again);
            }
            b"ok" | b"told" if !again => {
                self.stats.delivered += 1;
                let took = u32::try_from(now.saturating_sub(arrival.sent_us)).unwrap_or(u32::MAX);
                self.latencies.push((u32::try_from(arrival.workspace).unwrap_or_default(), took));
            }
            b"ok" | b"told" => {}
            _ => self.stats.hung += u64::from(!again),
        }
        self.stats.repeated += u64::from(again);
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut all: Vec<u32> = self.latencies.iter().map(|(_, took)| *took).collect();
        all.sort_unstable();
        let mut by_workspace = self.latencies.clone();
        by_workspace.sort_unstable();
        let medians = by_workspace.chunk_by(|a, b| a.0 == b.0).map(|own| (own[0].0 as usize, ms(own[own.len() / 2].1)));
        let failed = self.failed_by_workspace.iter().copied().enumerate().filter(|(_, count)| *count > 0);
        Stats {
            seconds: self.last_us.saturating_sub(self.stats.first_at_us) as f64 / 1e6,
            p50_ms: quantile(&all, 0.50),
            p99_ms: quantile(&all, 0.99),
            medians_ms: medians.collect(),
            failed_by_workspace: failed.collect(),
            ..self.stats
        }
    }
}

fn quantile(sorted: &[u32], part: f64) -> f64 {
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().map(ms).unwrap_or_default()
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1e3
}

/// The time of day, in microseconds.
pub(crate) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_micros() as u64).unwrap_or_default()
}
