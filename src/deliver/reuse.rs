//! Which endpoints get a new connection for every request.
//!
//! A server may close a kept connection whenever it likes (RFC 9112 section 9.5), and a request that crosses
//! with the close is gone. Nothing is sent twice here, so a message would be lost because we saved a
//! handshake: 2–8 of 100 at a receiver on this machine that closes after every answer without saying so
//! (measured back to back). So an endpoint at which that may have happened is not kept connected for a while.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::config::{UNKEPT_FOR, UNKEPT_MAX};

/// The endpoints that broke a connection before answering, and until when that counts.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    until: Mutex<HashMap<String, Instant>>,
}

impl Unkept {
    /// Whether `origin` broke a connection lately.
    pub(super) fn contains(&self, origin: &str, now: Instant) -> bool {
        self.lock().get(origin).is_some_and(|until| now < *until)
    }

    /// `origin` broke a connection before it answered.
    pub(super) fn insert(&self, origin: &str, now: Instant) {
        let mut unkept = self.lock();
        if unkept.len() >= UNKEPT_MAX {
            unkept.retain(|_, until| now < *until);
        }
        if unkept.len() < UNKEPT_MAX || unkept.contains_key(origin) {
            unkept.insert(origin.to_owned(), now + UNKEPT_FOR);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.until.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_endpoint_is_remembered_for_a_while() {
        let unkept = Unkept::default();
        let now = Instant::now();
        unkept.insert("a:80", now);
        assert!(unkept.contains("a:80", now));
        assert!(unkept.contains("a:80", now + UNKEPT_FOR - Duration::from_millis(1)));
        assert!(!unkept.contains("a:80", now + UNKEPT_FOR));
        assert!(!unkept.contains("a:81", now));
    }

    #[test]
    fn only_so_many_are_remembered_and_old_ones_make_room() {
        let unkept = Unkept::default();
        let now = Instant::now();
        for n in 0..UNKEPT_MAX {
            unkept.insert(&n.to_string(), now);
        }
        unkept.insert("more", now);
        assert!(!unkept.contains("more", now));
        assert!(unkept.contains("0", now));
        // One that is known already needs no room.
        let half = now + UNKEPT_FOR / 2;
        unkept.insert("0", half);
        assert!(unkept.contains("0", now + UNKEPT_FOR));
        unkept.insert("more", now + UNKEPT_FOR);
        assert!(unkept.contains("more", now + UNKEPT_FOR));
        assert_eq!(unkept.lock().len(), 2);
    }
}
