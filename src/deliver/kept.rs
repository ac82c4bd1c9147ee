//! The connections that are kept for further requests, by origin.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::connections::Sender;
use crate::config::{POOL_IDLE, POOL_IDLE_PER_HOST_MAX, POOL_SWEEP_EVERY};

/// All origins of a courier, and a task that closes what is idle for too long.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The task runs while there is any origin, and only it forgets one. Each has its address in use by a workspace
    /// that is awake, or a connection that was used within [`POOL_IDLE`] and a sweep.
    origins: Mutex<HashMap<Arc<str>, Arc<Origin>, RandomState>>,
}

/// One origin's idle connections, the longest idle first. Whoever sends to it holds it, so that it is looked up
/// once and not for each request.
#[derive(Debug, Default)]
pub(super) struct Origin {
    idle: Mutex<Vec<(Sender, Instant)>>,
}

impl Kept {
    /// That of scheme, host and port, written as in a URL.
    pub(super) fn origin(self: &Arc<Self>, name: &Arc<str>) -> Arc<Origin> {
        let mut origins = lock(&self.origins);
        if origins.is_empty() {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        Arc::clone(origins.entry(Arc::clone(name)).or_default())
    }
}

impl Origin {
    /// The connection that was used last, if it can be used again.
    pub(super) fn take(&self, now: Instant) -> Option<Sender> {
        let mut idle = lock(&self.idle);
        while let Some((sender, since)) = idle.pop() {
            if now >= since + POOL_IDLE {
                idle.clear();
            } else if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection that is ready for another request; any other one closes.
    pub(super) fn put(&self, sender: Sender, now: Instant) {
        let mut idle = lock(&self.idle);
        if sender.is_ready() && idle.len() < POOL_IDLE_PER_HOST_MAX {
            idle.push((sender, now));
        }
    }

    /// Closes all.
    pub(super) fn close(&self) {
        lock(&self.idle).clear();
    }

    /// Closes what is idle for too long. Says whether anything is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut idle = lock(&self.idle);
        idle.retain(|(sender, since)| now < *since + POOL_IDLE && !sender.is_closed());
        !idle.is_empty()
    }
}

/// Closes what is idle for too long, until no origin is left.
async fn sweep(kept: Weak<Kept>) {
    loop {
        // The rhythm of the looks: what is too old in between is not used, only still open.
        tokio::time::sleep(POOL_SWEEP_EVERY).await;
        let Some(kept) = kept.upgrade() else { return };
        let now = Instant::now();
        let mut origins = lock(&kept.origins);
        origins.retain(|_, origin| origin.sweep(now) || Arc::strong_count(origin) > 1);
        if origins.is_empty() {
            origins.shrink_to_fit();
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_origin_is_the_same_while_somebody_holds_it_and_forgotten_later() {
        let (kept, name) = (Arc::<Kept>::default(), "http://127.0.0.1:1".into());
        // The clock is paused: it moves at once to what is waited for, and the sweeper has its turns before.
        for _ in 0..2 {
            let held = kept.origin(&name);
            sleep(3 * POOL_SWEEP_EVERY).await;
            assert!(Arc::ptr_eq(&held, &kept.origin(&name)));
            let remembered = Arc::downgrade(&held);
            drop(held);
            sleep(2 * POOL_SWEEP_EVERY).await;
            assert!(remembered.upgrade().is_none(), "the sweeper runs again for what comes later");
        }
    }
}
