//! How many connections to endpoints a courier may have, in use and kept: its share of the file descriptors.
//!
//! A kept connection makes room for one that is needed, so only attempts in flight can use the share up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::OWN_WAIT_MAX;

/// The places of a courier. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Sockets {
    places: Arc<Semaphore>,
    /// How many there are.
    all: usize,
    /// Attempts that wait for a place.
    wanted: Arc<AtomicUsize>,
}

/// A place for one connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Socket {
    _place: OwnedSemaphorePermit,
}

/// All places are taken by attempts in flight.
#[derive(Debug, Clone, thiserror::Error)]
#[error("as many connections are open as file descriptors allow; raise the limit of open files (ulimit -n)")]
pub(super) struct NoSocket;

/// Counts an attempt that waits.
struct Wanting<'a>(&'a AtomicUsize);

impl Sockets {
    pub(super) fn new(places: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), all: places, wanted: Arc::default() }
    }

    /// Takes a place. When none is free, `make_room` closes a connection that nobody uses, and it is waited for a
    /// moment: whoever waits longer tries again later, with its whole deadline.
    pub(super) async fn take(&self, make_room: impl FnOnce()) -> Result<Socket, NoSocket> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Socket { _place: place });
        }
        let _wanting = Wanting::new(&self.wanted);
        make_room();
        match timeout(OWN_WAIT_MAX, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Socket { _place: place }),
            _ => Err(NoSocket),
        }
    }

    /// A further place for an attempt that has one, while more than half of all are free: however many addresses the names of some
    /// endpoints have, the other half is for attempts.
    pub(super) fn try_take(&self) -> Option<Socket> {
        if self.places.available_permits() <= self.all / 2 {
            return None;
        }
        Some(Socket { _place: Arc::clone(&self.places).try_acquire_owned().ok()? })
    }

    /// Whether an attempt waits for a place: then no connection is kept.
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self::new(Semaphore::MAX_PERMITS)
    }
}

impl<'a> Wanting<'a> {
    fn new(wanted: &'a AtomicUsize) -> Self {
        wanted.fetch_add(1, Ordering::Relaxed);
        Self(wanted)
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the system says that it has no descriptor, no memory or no local port left.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_made_is_taken_and_none_is_a_shortage_that_passes() {
        let sockets = Sockets::new(1);
        let kept = RefCell::new(Some(sockets.take(|| panic!("there was room")).await.unwrap()));
        let taken = sockets.take(|| drop(kept.take())).await.unwrap();
        assert!(sockets.take(|| assert!(sockets.are_wanted())).await.is_err());
        assert!(!sockets.are_wanted());
        drop(taken);
        assert!(sockets.take(|| panic!("there was room")).await.is_ok());
    }

    #[tokio::test]
    async fn half_of_all_places_are_not_given_to_attempts_that_have_one() {
        let sockets = Sockets::new(5);
        let further: Vec<_> = std::iter::from_fn(|| sockets.try_take()).collect();
        assert_eq!(further.len(), 3);
        let first = sockets.take(|| panic!("there was room")).await;
        drop(further);
        assert!(first.is_ok() && sockets.try_take().is_some());
    }
}
