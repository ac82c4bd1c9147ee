//! The outage rule: whether this node's own network fails, or the endpoints do
//! ([contract, section 2](crate::docs::contract#2-the-post-out)).
//!
//! One for all couriers of a node. While nothing is in doubt it costs an attempt three loads.

mod rule;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::config::OUTAGE_WINDOW;
use rule::OutageRule;
pub(super) use rule::Verdict;

/// Why an attempt waits during an outage.
pub const OUTAGE: &str = "the network of this node is down: several hosts cannot be reached, and none is";

/// What the couriers of a node know of its network.
#[derive(Debug, Default)]
pub struct Outage {
    rule: Mutex<OutageRule>,
    /// Failures that are held until it is known whose they are.
    held: AtomicUsize,
    is_on: AtomicBool,
    /// Hosts are known to be dead.
    knows_dead: AtomicBool,
    /// Somebody else is asked in place of the hosts that failed.
    probes_none: AtomicBool,
    is_stopping: AtomicBool,
    /// A host was reached, or something was decided.
    changed: Notify,
}

/// Counts a failure that is held.
struct Held<'a>(&'a AtomicUsize);

impl Outage {
    /// One sentence while the network of this node is down.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let hosts = self.is_on().then(|| self.rule.lock().failing())?;
        Some(format!("{OUTAGE} ({hosts} failed); attempts wait, and nothing is counted"))
    }

    /// Holds nothing any more: what is undecided stays in its stream, and what was sent is not counted.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether it would tell anything that a host is reached: failures are held, hosts are known to be dead, or there is an
    /// outage.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.held.load(Ordering::SeqCst) > 0 || self.knows_dead.load(Ordering::Relaxed) || self.is_on()
    }

    /// From now on the hosts that failed are not probed.
    pub(super) fn probe_none(&self) {
        self.probes_none.store(true, Ordering::Relaxed);
    }

    /// Whether `host` may be attempted now: during an outage those that failed are only probed, if at all.
    pub(super) fn admits(&self, host: &str) -> bool {
        let probes = !self.probes_none.load(Ordering::Relaxed);
        !self.is_on() || self.rule.lock().admits(host, probes, Instant::now())
    }

    /// A host was reached.
    pub(super) fn reached(&self) {
        if !self.is_in_doubt() {
            return;
        }
        let mut rule = self.rule.lock();
        let over = rule.reached(Instant::now());
        self.knows_dead.store(false, Ordering::SeqCst);
        if over.is_some() {
            self.is_on.store(false, Ordering::SeqCst);
        }
        drop(rule);
        if let Some(over) = over {
            info!(
                lasted = ?over.lasted, set_aside = over.set_aside,
                "A host was reached: the network of this node is back, and what waited is attempted."
            );
        }
        self.changed.notify_waiters();
    }

    /// An attempt that began at `began` failed as it would without a network. Waits until it is known whose fault
    /// that is, at most [`OUTAGE_WINDOW`]. A host that was sent something, and not only sought in vain, tells nothing of the
    /// network.
    pub(super) async fn judge(&self, host: &str, is_sent: bool, began: Instant) -> Verdict {
        let _held = Held::new(&self.held);
        let failed = Instant::now();
        if !is_sent {
            self.rule.lock().failed(host, failed);
        }
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(verdict) = self.decide(host, began, failed) {
                return verdict;
            }
            drop(timeout_at(failed + OUTAGE_WINDOW, changed).await);
        }
    }

    fn decide(&self, host: &str, began: Instant, failed: Instant) -> Option<Verdict> {
        if self.is_stopping.load(Ordering::SeqCst) {
            return Some(Verdict::Outage);
        }
        let mut rule = self.rule.lock();
        let dead = rule.dead();
        let verdict = rule.judge(host, began, failed, Instant::now());
        self.knows_dead.store(rule.dead() > 0, Ordering::SeqCst);
        if rule.dead() > dead {
            // What else is held of that host waits no longer.
            self.changed.notify_waiters();
        }
        if rule.is_on() && !self.is_on.swap(true, Ordering::SeqCst) {
            warn!(hosts = rule.failing(), "{OUTAGE}: attempts wait, and nothing is counted until one is.");
            self.changed.notify_waiters();
        }
        verdict
    }
}

impl<'a> Held<'a> {
    fn new(held: &'a AtomicUsize) -> Self {
        held.fetch_add(1, Ordering::SeqCst);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
