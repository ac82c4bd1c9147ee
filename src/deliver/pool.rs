//! The connection pool of a courier: idle connections by origin, and the origins that get a new connection
//! for every request.
//!
//! A server may close an idle connection whenever it likes (RFC 9112 section 9.5), and a request that crosses
//! with the close is gone. Nothing is sent twice here, so a message would be lost because we saved a
//! handshake: 2–8 of 100 at a receiver on this machine that closes after every answer without saying so
//! (measured back to back). So no connection is reused for a while where that may have happened.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection::EndpointConnection;
use super::race::PreferredAddress;
use super::sockets::Sockets;
use crate::config::{
    KEEP_ALIVE_MARGIN, NO_REUSE_FOR, NO_REUSE_MAX, POOL_EXPIRE_EVERY, POOL_IDLE, POOL_IDLE_PER_HOST_MAX,
};

/// All origins of a courier, and a task that closes what is idle for too long.
#[derive(Debug, Default)]
pub(super) struct Pool {
    sockets: Sockets,
    /// The task runs while there is any origin, and only it removes one. Each is held by the target of a
    /// workspace, or has a connection that was used within [`POOL_IDLE`] and [`POOL_EXPIRE_EVERY`].
    origins: Mutex<HashMap<Arc<str>, Arc<OriginPool>, RandomState>>,
    no_reuse: Arc<NoReuse>,
}

/// The idle connections to one scheme, host and port. Whoever sends there holds it, so that it is looked up
/// once and not for each request.
#[derive(Debug)]
pub(super) struct OriginPool {
    name: Arc<str>,
    /// Each with the time until which it may be used again; the last one put back last.
    idle: Mutex<Vec<(EndpointConnection, Instant)>>,
    no_reuse: Arc<NoReuse>,
    sockets: Sockets,
    /// Of its addresses.
    pub(super) preferred: PreferredAddress,
}

/// The origins that broke a connection before they answered, and until when that counts.
#[derive(Debug, Default)]
struct NoReuse(Mutex<HashMap<Arc<str>, Instant>>);

impl Pool {
    /// A pool whose connections share `sockets` with those in use.
    pub(super) fn new(sockets: Sockets) -> Self {
        Self { sockets, ..Self::default() }
    }

    /// Closes the connection that was idle for the longest time, so that another can be made.
    pub(super) fn close_idlest(&self) {
        let origins = self.origins.lock();
        let idlest = origins
            .values()
            .filter_map(|origin| Some((origin.idle.lock().first()?.1, origin)))
            .min_by_key(|(until, _)| *until);
        if let Some((_, origin)) = idlest {
            let mut idle = origin.idle.lock();
            if !idle.is_empty() {
                idle.remove(0);
            }
        }
    }

    /// That of scheme, host and port, written as in a URL.
    pub(super) fn origin(self: &Arc<Self>, name: Arc<str>) -> Arc<OriginPool> {
        let mut origins = self.origins.lock();
        if origins.is_empty() {
            tokio::spawn(expire(Arc::downgrade(self)));
        }
        let new = || OriginPool {
            name: Arc::clone(&name),
            idle: Mutex::default(),
            no_reuse: Arc::clone(&self.no_reuse),
            sockets: self.sockets.clone(),
            preferred: PreferredAddress::default(),
        };
        Arc::clone(origins.entry(Arc::clone(&name)).or_insert_with(|| Arc::new(new())))
    }
}

impl OriginPool {
    /// The connection that was used last, if it can be used again.
    pub(super) fn take(&self, now: Instant) -> Option<EndpointConnection> {
        let mut idle = self.idle.lock();
        while let Some((connection, until)) = idle.pop() {
            if now < until && !connection.is_old(now) && connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response was read to its end for the next request, for [`POOL_IDLE`] or less if
    /// the endpoint said so (`keep_alive`). One that is not ready, must not be reused, or whose place is wanted, closes.
    pub(super) fn put(&self, connection: EndpointConnection, keep_alive: Option<Duration>, now: Instant) {
        let usable = keep_alive.map_or(POOL_IDLE, |promised| promised.saturating_sub(KEEP_ALIVE_MARGIN).min(POOL_IDLE));
        if usable.is_zero() || self.sockets.are_wanted() || self.no_reuse.contains(&self.name, now) {
            return;
        }
        let mut idle = self.idle.lock();
        if connection.is_ready() && idle.len() < POOL_IDLE_PER_HOST_MAX {
            idle.push((connection, now + usable));
        }
    }

    /// The endpoint broke a connection before it answered: for a while each request gets its own.
    pub(super) fn broke(&self, now: Instant) {
        self.no_reuse.insert(&self.name, now);
        self.idle.lock().clear();
    }

    /// Closes what is idle for too long. Says whether anything is left.
    fn expire(&self, now: Instant) -> bool {
        let mut idle = self.idle.lock();
        idle.retain(|(connection, until)| now < *until && !connection.is_old(now) && !connection.is_closed());
        !idle.is_empty()
    }
}

impl NoReuse {
    fn contains(&self, origin: &str, now: Instant) -> bool {
        self.0.lock().get(origin).is_some_and(|until| now < *until)
    }

    fn insert(&self, origin: &Arc<str>, now: Instant) {
        let mut origins = self.0.lock();
        if origins.len() >= NO_REUSE_MAX {
            origins.retain(|_, until| now < *until);
        }
        if origins.len() < NO_REUSE_MAX || origins.contains_key(origin) {
            origins.insert(Arc::clone(origin), now + NO_REUSE_FOR);
        }
    }
}

/// Closes what is idle for too long, until no origin is left.
async fn expire(pool: Weak<Pool>) {
    loop {
        // What becomes too old in between is not used, only open for longer.
        tokio::time::sleep(POOL_EXPIRE_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let mut origins = pool.origins.lock();
        origins.retain(|_, origin| origin.expire(now) || Arc::strong_count(origin) > 1);
        if origins.is_empty() {
            origins.shrink_to_fit();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_origin_is_the_same_while_somebody_holds_it_and_removed_later() {
        let (pool, name) = (Arc::<Pool>::default(), Arc::<str>::from("http://127.0.0.1:1"));
        // The clock is paused: it moves at once to what is waited for, and the task has its turns before.
        for _ in 0..2 {
            let held = pool.origin(Arc::clone(&name));
            sleep(3 * POOL_EXPIRE_EVERY).await;
            assert!(Arc::ptr_eq(&held, &pool.origin(Arc::clone(&name))));
            let remembered = Arc::downgrade(&held);
            drop(held);
            sleep(2 * POOL_EXPIRE_EVERY).await;
            assert!(remembered.upgrade().is_none(), "the task runs again for what comes later");
        }
    }

    #[test]
    fn an_endpoint_is_remembered_for_a_while() {
        let no_reuse = NoReuse::default();
        let now = Instant::now();
        no_reuse.insert(&"a:80".into(), now);
        assert!(no_reuse.contains("a:80", now));
        assert!(no_reuse.contains("a:80", now + NO_REUSE_FOR - Duration::from_millis(1)));
        assert!(!no_reuse.contains("a:80", now + NO_REUSE_FOR));
        assert!(!no_reuse.contains("a:81", now));
    }

    #[test]
    fn only_so_many_are_remembered_and_old_ones_make_room() {
        let no_reuse = NoReuse::default();
        let now = Instant::now();
        for n in 0..NO_REUSE_MAX {
            no_reuse.insert(&n.to_string().into(), now);
        }
        no_reuse.insert(&"more".into(), now);
        assert!(!no_reuse.contains("more", now));
        assert!(no_reuse.contains("0", now));
        // One that is known already needs no room.
        let half = now + NO_REUSE_FOR / 2;
        no_reuse.insert(&"0".into(), half);
        assert!(no_reuse.contains("0", now + NO_REUSE_FOR));
        no_reuse.insert(&"more".into(), now + NO_REUSE_FOR);
        assert!(no_reuse.contains("more", now + NO_REUSE_FOR));
        assert_eq!(no_reuse.0.lock().len(), 2);
    }
}
