//! What limits attempts beyond a workspace's window: the node's cap, shared by all shards; the room of the shard, of which
//! attempts must leave some for what comes next; and the shard's admission, which is closed while the lease or the store
//! is in doubt.

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
    fn try_take(&self, own: usize) -> bool {
        let total = self.in_flight.load(Ordering::Relaxed);
        let share = (self.cap / self.busy.load(Ordering::Relaxed).max(1)).max(1);
        if total * 4 >= self.cap * 3 && own >= share {
            return false;
        }
        let take = |n| (n < self.cap).then_some(n + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The entries and the bytes that a shard may hold, and what of them its attempts in flight have. Those cannot be given back
/// to the stream, so they must leave room for what comes next ([design, window](crate::docs::design#window)).
#[derive(Debug, Default)]
struct ShardRoom {
    entries: Room,
    bytes: Room,
    /// Workspaces that have entries waiting or in flight.
    busy: Cell<usize>,
}

#[derive(Debug)]
struct Room {
    limit: Cell<usize>,
    in_flight: Cell<usize>,
}

impl Default for Room {
    /// Without a limit.
    fn default() -> Self {
        Self { limit: Cell::new(usize::MAX), in_flight: Cell::default() }
    }
}

impl Room {
    fn take(&self, n: usize) {
        self.in_flight.update(|taken| taken + n);
    }

    fn free(&self, n: usize) {
        self.in_flight.update(|taken| taken - n);
    }

    /// Whether an attempt that takes `more` may begin for a workspace whose attempts take `own`, beside `busy` workspaces:
    /// all together get three quarters, and each its part of these once half of them is taken, or a quarter of what is left:
    /// many that have one each take little of it.
    fn has(&self, more: usize, own: impl FnOnce() -> usize, busy: usize) -> bool {
        let (limit, taken) = (self.limit.get(), self.in_flight.get());
        let most = limit - limit / 4;
        let fits = taken + more <= most;
        fits && (taken * 2 < most || own() + more <= (most / busy.max(1)).max((most - taken) / 4))
    }
}

/// What a workspace's attempts in flight take.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnInFlight<F> {
    /// How many there are.
    pub(super) entries: usize,
    /// Their bytes; asked for when it matters.
    pub(super) bytes: F,
}

impl ShardRoom {
    /// Whether an attempt of `bytes` may begin beside its workspace's `own`. The first one always may: a workspace that
    /// only waits for others would be delayed by them.
    fn has(&self, bytes: usize, own: OwnInFlight<impl FnOnce() -> usize>) -> bool {
        let busy = self.busy.get();
        own.entries == 0 || (self.entries.has(1, || own.entries, busy) && self.bytes.has(bytes, own.bytes, busy))
    }
}

/// A place under the node's cap and in the shard's room, free again when dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    cap: Arc<NodeCap>,
    room: Rc<ShardRoom>,
    bytes: usize,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.cap.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.room.entries.free(1);
        self.room.bytes.free(self.bytes);
    }
}

/// Whether one workspace counts as busy; does not when dropped.
#[derive(Debug)]
pub(super) struct Busy {
    cap: Arc<NodeCap>,
    room: Rc<ShardRoom>,
    on: Cell<bool>,
}

impl Busy {
    pub(super) fn set(&self, on: bool) {
        match (self.on.replace(on), on) {
            (false, true) => {
                self.cap.busy.fetch_add(1, Ordering::Relaxed);
                self.room.busy.update(|busy| busy + 1);
            }
            (true, false) => {
                self.cap.busy.fetch_sub(1, Ordering::Relaxed);
                self.room.busy.update(|busy| busy - 1);
            }
            (false, false) | (true, true) => {}
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
    room: Rc<ShardRoom>,
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
        Rc::new(Self { cap, room: Rc::default(), timeout, lease_until, unanswered_since, silent_max })
    }

    /// The shard may hold so much.
    pub(super) fn set_room(&self, entries: usize, bytes: usize) {
        self.room.entries.limit.set(entries);
        self.room.bytes.limit.set(bytes);
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

    /// Takes a place for one more attempt, of an entry of `bytes`, of a workspace with `own` in flight.
    pub(super) fn try_start(
        &self,
        bytes: usize,
        own: OwnInFlight<impl FnOnce() -> usize>,
        now: Instant,
    ) -> Option<InFlight> {
        let entries = own.entries;
        if !self.is_open(now) || !self.room.has(bytes, own) || !self.cap.try_take(entries) {
            return None;
        }
        self.room.entries.take(1);
        self.room.bytes.take(bytes);
        Some(InFlight { cap: Arc::clone(&self.cap), room: Rc::clone(&self.room), bytes })
    }

    /// The same for a test, whose caller waits. It is the only one of its workspace, and its message is none that the shard
    /// holds.
    pub(super) fn try_start_test(&self, now: Instant) -> Option<InFlight> {
        self.try_start(0, OwnInFlight { entries: 0, bytes: || 0 }, now)
    }

    pub(super) fn busy(&self) -> Busy {
        Busy { cap: Arc::clone(&self.cap), room: Rc::clone(&self.room), on: Cell::new(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::STORE_SYNCED_LATER;

    /// Starts attempts of `bytes` for `workspaces`, each as many as it may, until none gets another one.
    fn started(
        admission: &Admission,
        workspaces: usize,
        bytes: usize,
        window: usize,
        now: Instant,
    ) -> Vec<Vec<InFlight>> {
        let mut places: Vec<Vec<InFlight>> = (0..workspaces).map(|_| Vec::new()).collect();
        loop {
            let before: usize = places.iter().map(Vec::len).sum();
            for own in places.iter_mut().filter(|own| own.len() < window) {
                let held = OwnInFlight { entries: own.len(), bytes: || own.len() * bytes };
                let place = admission.try_start(bytes, held, now);
                own.extend(place);
            }
            if places.iter().map(Vec::len).sum::<usize>() == before {
                return places;
            }
        }
    }

    #[test]
    fn attempts_in_flight_leave_a_quarter_of_the_shard_and_each_workspace_its_part() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let most = |workspaces: usize, bytes: usize| {
            let admission = Admission::new(NodeCap::new(usize::MAX / 8), second);
            admission.set_lease(Some(now + 10 * second));
            admission.set_room(64, 6_400);
            let busy: Vec<Busy> = (0..workspaces).map(|_| admission.busy()).collect();
            busy.iter().for_each(|busy| busy.set(true));
            let places = started(&admission, workspaces, bytes, 32, now);
            let counts: Vec<usize> = places.iter().map(Vec::len).collect();
            drop(places);
            let left = [&admission.room.entries, &admission.room.bytes].map(|room| room.in_flight.get());
            assert_eq!(left, [0, 0], "all is free again");
            counts
        };
        assert_eq!(most(1, 1), [32], "its window");
        assert_eq!(most(3, 1), [16, 16, 16], "of 48 entries");
        assert_eq!(most(2, 400), [6, 6], "of 4,800 bytes");
        assert_eq!(most(20, 400), [1; 20], "each has one, whatever it takes");
    }

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
