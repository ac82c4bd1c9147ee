//! What limits attempts beyond a workspace's window: the node's cap, shared by all shards, and the
//! shard's admission, which is closed while the lease or the store is in doubt.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::STORE_SILENT_MAX;

/// Attempts in flight on this node, over all shards and threads.
#[derive(Debug)]
pub(super) struct NodeCap {
    cap: usize,
    in_flight: AtomicUsize,
    /// Workspaces that have entries waiting or in flight.
    busy: AtomicUsize,
    /// The service is ending: messages wait for the next one.
    ends: AtomicBool,
}

impl NodeCap {
    pub(super) fn new(cap: usize) -> Arc<Self> {
        let (in_flight, busy, ends) = Default::default();
        Arc::new(Self { cap: cap.max(1), in_flight, busy, ends })
    }

    /// No message is attempted any more; tests, whose callers wait, still are.
    pub(super) fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// Takes a place for a workspace that has `own` attempts in flight. Above three quarters of the cap
    /// a workspace gets at most cap ÷ busy workspaces, so that none starves
    /// ([design, window](crate::docs::design#window)).
    fn try_take(self: &Arc<Self>, own: usize) -> Option<InFlight> {
        let total = self.in_flight.load(Ordering::Relaxed);
        let share = (self.cap / self.busy.load(Ordering::Relaxed).max(1)).max(1);
        if total * 4 >= self.cap * 3 && own >= share {
            return None;
        }
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.cap).then_some(n + 1))
            .ok()
            .map(|_| InFlight(Arc::clone(self)))
    }

    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        Busy { cap: Arc::clone(self), on: Cell::new(false) }
    }
}

/// A place under the node's cap, free again when dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<NodeCap>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether one workspace counts as busy; does not when dropped.
#[derive(Debug)]
pub(super) struct Busy {
    cap: Arc<NodeCap>,
    on: Cell<bool>,
}

impl Busy {
    pub(super) fn set(&self, on: bool) {
        match (self.on.replace(on), on) {
            (false, true) => drop(self.cap.busy.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.cap.busy.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Whether a shard admits attempts: it does while an attempt that starts now ends within the lease and the store answers.
#[derive(Debug)]
pub(super) struct Admission {
    cap: Arc<NodeCap>,
    /// An attempt's deadline.
    timeout: Duration,
    lease_until: Cell<Option<Instant>>,
    /// When the oldest unanswered commit was made.
    unanswered_since: Cell<Option<Instant>>,
    /// For how long it may be.
    silent_max: Cell<Duration>,
}

impl Admission {
    pub(super) fn new(cap: Arc<NodeCap>, timeout: Duration) -> Rc<Self> {
        let (lease_until, unanswered_since, silent_max) = (Cell::default(), Cell::default(), STORE_SILENT_MAX.into());
        Rc::new(Self { cap, timeout, lease_until, unanswered_since, silent_max })
    }

    /// A commit may be unanswered for so long.
    pub(super) fn set_silent_max(&self, silent_max: Duration) {
        self.silent_max.set(silent_max);
    }

    /// The lease lasts until then; `None` closes it.
    pub(super) fn set_lease(&self, until: Option<Instant>) {
        self.lease_until.set(until);
    }

    pub(super) fn set_unanswered(&self, since: Option<Instant>) {
        self.unanswered_since.set(since);
    }

    /// Whether messages are attempted.
    pub(super) fn takes_up(&self) -> bool {
        !self.cap.ends.load(Ordering::Relaxed)
    }

    /// Whether an attempt may start at `now`.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        let leased = self.lease_until.get().is_some_and(|until| now + self.timeout <= until);
        let answered = self.unanswered_since.get().is_none_or(|since| now < since + self.silent_max.get());
        leased && answered
    }

    /// Takes a place for one more attempt of a workspace with `own` in flight.
    pub(super) fn try_start(&self, own: usize, now: Instant) -> Option<InFlight> {
        if self.is_open(now) { self.cap.try_take(own) } else { None }
    }

    pub(super) fn busy(&self) -> Busy {
        self.cap.busy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::STORE_SYNCED_LATER;

    #[test]
    fn a_commit_may_be_unanswered_for_as_long_as_its_level_of_durability_takes() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let admission = Admission::new(NodeCap::new(1), second);
        admission.set_lease(Some(now + 10 * second));
        admission.set_unanswered(Some(now));
        let closes_after = |admission: &Admission| (0..8).find(|n| !admission.is_open(now + *n * second));
        assert_eq!(closes_after(&admission), Some(1));
        admission.set_silent_max(STORE_SILENT_MAX + STORE_SYNCED_LATER);
        assert_eq!(closes_after(&admission), Some(3));
    }
}
