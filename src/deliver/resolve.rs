//! From a name to the addresses that a connection may use.
//!
//! The filter sits here, between resolving and connecting, so a name that resolves differently the second
//! time (DNS rebinding) gains nothing: what was checked is what is connected to.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use hyper_util::client::legacy::connect::dns::Name;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::guard::{Forbidden, Guard};
use crate::config::LOOKUPS_AT_ONCE;

/// The name has no address, or no name server said so.
#[derive(Debug, Clone)]
pub(super) struct Unresolved(Arc<io::Error>);

/// Too many names are being resolved: our own limit, not the endpoint's fault.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{LOOKUPS_AT_ONCE} names are being resolved already")]
pub(super) struct Saturated;

/// Resolves with the system's resolver; a name that is asked for several times at once is asked once.
/// Clones share what is under way.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    guard: Guard,
    wait: Duration,
    permits: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<String, WeakShared<Lookup>>>>,
}

type Lookup = Pin<Box<dyn Future<Output = Result<Arc<[SocketAddr]>, LookupError>> + Send>>;

#[derive(Debug, Clone)]
enum LookupError {
    Unresolved(Unresolved),
    Saturated(Saturated),
}

impl Unresolved {
    pub(super) fn new(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name cannot be resolved")
    }
}

impl Error for Unresolved {
    /// By hand, because a derived one would return the `Arc`, in which the `io::Error` is not found.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl Resolver {
    /// A resolver that waits at most `wait` for its turn when [`LOOKUPS_AT_ONCE`] are under way.
    pub(super) fn new(guard: Guard, wait: Duration) -> Self {
        Self { guard, wait, permits: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)), under_way: Arc::default() }
    }

    fn lookup(&self, host: &str) -> Shared<Lookup> {
        let mut under_way = self.under_way.lock();
        if let Some(lookup) = under_way.get(host).and_then(WeakShared::upgrade) {
            return lookup;
        }
        // Lookups that nobody waits for are removed now, so the map is no larger than the attempts in flight.
        under_way.retain(|_, lookup| lookup.upgrade().is_some());
        let lookup = look_up(host.to_owned(), Arc::clone(&self.permits), self.wait).boxed().shared();
        if let Some(weak) = lookup.downgrade() {
            under_way.insert(host.to_owned(), weak);
        }
        lookup
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let lookup = self.lookup(&host);
        let guard = self.guard.clone();
        Box::pin(async move {
            let found = match lookup.await {
                Ok(found) => found,
                Err(LookupError::Unresolved(error)) => return Err(error.into()),
                Err(LookupError::Saturated(error)) => return Err(error.into()),
            };
            let permitted: Vec<SocketAddr> =
                found.iter().copied().filter(|address| guard.permits(address.ip())).collect();
            if permitted.is_empty() {
                return Err(Forbidden { host }.into());
            }
            Ok(permitted.into_iter())
        })
    }
}

async fn look_up(host: String, permits: Arc<Semaphore>, wait: Duration) -> Result<Arc<[SocketAddr]>, LookupError> {
    let Ok(Ok(permit)) = tokio::time::timeout(wait, permits.acquire_owned()).await else {
        return Err(LookupError::Saturated(Saturated));
    };
    // The permit goes with the thread, not with the waiting: the thread cannot be interrupted.
    let blocking = tokio::task::spawn_blocking(move || {
        let found = (host.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>).map_err(blame);
        drop(permit);
        found
    });
    let found = blocking.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    match found {
        Ok(addresses) if addresses.is_empty() => Err(io::Error::from(io::ErrorKind::NotFound)),
        other => other,
    }
    .map(Arc::from)
    .map_err(|error| LookupError::Unresolved(Unresolved::new(error)))
}

/// The resolver calls it a failed lookup when this machine has no descriptor left for asking; then that is
/// the error.
fn blame(error: io::Error) -> io::Error {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_is_being_looked_up_is_not_looked_up_again() {
        let resolver = Resolver::new(Guard::default(), Duration::from_secs(5));
        let first = resolver.lookup("localhost");
        assert!(resolver.lookup("localhost").ptr_eq(&first));
        assert!(!resolver.lookup("127.0.0.1").ptr_eq(&first));
        assert!(first.await.unwrap().iter().all(|address| address.ip().is_loopback()));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_forgotten() {
        let resolver = Resolver::new(Guard::default(), Duration::from_secs(5));
        let waiting = resolver.lookup("a.invalid");
        drop(resolver.lookup("b.invalid"));
        let _last = resolver.lookup("c.invalid");
        let mut left: Vec<String> = resolver.under_way.lock().keys().cloned().collect();
        left.sort_unstable();
        assert_eq!(left, ["a.invalid", "c.invalid"]);
        drop(waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_does_not_get_its_turn_is_our_shortage() {
        let taken = Arc::new(Semaphore::new(0));
        let found = look_up("localhost".to_owned(), taken, Duration::from_millis(250)).await;
        assert!(matches!(found, Err(LookupError::Saturated(_))), "{found:?}");
    }

    #[tokio::test]
    async fn a_lookup_gives_its_permit_back() {
        let permits = Arc::new(Semaphore::new(1));
        for _ in 0..2 {
            look_up("localhost".to_owned(), Arc::clone(&permits), Duration::from_secs(5)).await.unwrap();
        }
        assert_eq!(permits.available_permits(), 1);
    }
}
