//! The rule itself: what a failure is, given the hosts that failed and were reached since. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{OUTAGE_HOSTS_MAX, OUTAGE_HOSTS_MIN, OUTAGE_PROBE_EVERY, OUTAGE_WINDOW};

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::deliver) enum Verdict {
    /// The endpoint's, as any other failure.
    Endpoint,
    /// This node's: it is not counted.
    Outage,
}

/// What is known of the hosts.
#[derive(Debug, Default)]
pub(super) struct OutageRule {
    /// The hosts that failed since one was reached, at most [`OUTAGE_HOSTS_MAX`].
    failed: HashMap<Arc<str>, FailedHost>,
    /// Those of which a failure was found to be theirs since one was reached, at most [`OUTAGE_HOSTS_MAX`].
    dead: HashSet<Arc<str>>,
    /// When a host was reached last.
    reached: Option<Instant>,
    /// Since when there is an outage.
    since: Option<Instant>,
    /// When the last outage was over.
    over: Option<Instant>,
    /// Attempts that the outage set aside.
    set_aside: u64,
}

#[derive(Debug)]
struct FailedHost {
    at: Instant,
    /// When it may be attempted again during an outage.
    probe_at: Instant,
}

/// An outage is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) lasted: Duration,
    pub(super) set_aside: u64,
}

impl OutageRule {
    pub(super) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// How many hosts failed since one was reached.
    pub(super) fn failing(&self) -> usize {
        self.failed.len()
    }

    /// How many hosts were found to be dead since one was reached.
    pub(super) fn dead(&self) -> usize {
        self.dead.len()
    }

    /// A host could not be reached.
    pub(super) fn failed(&mut self, host: &str, now: Instant) {
        if let Some(known) = self.failed.get_mut(host) {
            known.at = now;
        } else {
            if self.failed.len() >= OUTAGE_HOSTS_MAX {
                self.failed.retain(|_, host| now < host.at + OUTAGE_WINDOW);
            }
            if self.failed.len() < OUTAGE_HOSTS_MAX {
                self.failed.insert(host.into(), FailedHost { at: now, probe_at: now + OUTAGE_PROBE_EVERY });
            }
        }
    }

    /// A host was reached. Says whether that ends an outage.
    pub(super) fn reached(&mut self, now: Instant) -> Option<Over> {
        self.reached = Some(now);
        self.failed.clear();
        self.dead.clear();
        let since = self.since.take()?;
        self.over = Some(now);
        Some(Over { lasted: now.duration_since(since), set_aside: std::mem::take(&mut self.set_aside) })
    }

    /// What an attempt to `host` is that began at `began` and failed at `failed`; `None` while that cannot be known. One to a
    /// host that was found to be dead is judged at once, unless several hosts failed in the [`OUTAGE_WINDOW`] before.
    pub(super) fn judge(&mut self, host: &str, began: Instant, failed: Instant, now: Instant) -> Option<Verdict> {
        // One that began in an outage may have been lost in it although it ended later.
        if self.is_on() || self.over.is_some_and(|over| began < over) {
            self.set_aside += u64::from(self.is_on());
            return Some(Verdict::Outage);
        }
        if self.reached.is_some_and(|reached| reached >= failed) {
            return Some(Verdict::Endpoint);
        }
        let (is_held, is_dead) = (now < failed + OUTAGE_WINDOW, self.dead.contains(host));
        if is_held && !is_dead {
            return None;
        }
        let since = now.checked_sub(OUTAGE_WINDOW).filter(|_| is_held).unwrap_or(failed);
        if self.failed.values().filter(|host| host.at >= since).count() < OUTAGE_HOSTS_MIN {
            if !is_dead && self.dead.len() < OUTAGE_HOSTS_MAX {
                self.dead.insert(host.into());
            }
            return Some(Verdict::Endpoint);
        }
        if is_held {
            // Others fail, too, and one of them may be reached yet.
            return None;
        }
        self.since = Some(now);
        self.set_aside = 1;
        Some(Verdict::Outage)
    }

    /// Whether a host may be attempted at `now` during an outage: one that failed once in [`OUTAGE_PROBE_EVERY`] where
    /// hosts are probed, else not at all.
    pub(super) fn admits(&mut self, host: &str, probes: bool, now: Instant) -> bool {
        let Some(failed) = self.failed.get_mut(host).filter(|_| self.since.is_some()) else { return true };
        let is_due = probes && now >= failed.probe_at;
        if is_due {
            failed.probe_at = now + OUTAGE_PROBE_EVERY;
        }
        is_due
    }
}

#[cfg(test)]
mod tests;
