//! From a name to the addresses that a connection may use.
//!
//! The filter sits here, between resolving and connecting, so a name that resolves differently the second
//! time (DNS rebinding) gains nothing: what was checked is what is connected to.
//!
//! A workspace has one name at a time, and a name is looked up once however many ask for it. So one workspace takes
//! one place, and names whose servers never answer at most half of them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::family;
use super::guard::{Barrier, Forbidden, Guard};
use super::names::{NoAddress, SystemNames};
use super::sockets::is_shortage;
use crate::config::{OWN_WAIT_MAX, SILENT_NAMES_MAX};

/// The name has no address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the name cannot be resolved")]
pub(super) struct Unresolved {
    /// Whether somebody who should know said so. If not, the fault may lie in between.
    pub(super) is_known: bool,
}

/// Too many names are being looked up: our own limit, not the endpoint's fault.
#[derive(Debug, Clone, thiserror::Error)]
#[error("as many names are being looked up as this machine may at a time")]
pub(super) struct Saturated;

/// This machine could not ask.
#[derive(Debug, Clone)]
pub(super) struct CannotAsk(Arc<io::Error>);

/// Resolves as the system does; a name that is asked for several times at once is asked once.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) guard: Guard,
    lookups: Arc<Lookups>,
    under_way: Mutex<HashMap<String, WeakShared<Lookup>>>,
}

/// What all lookups of a resolver share.
#[derive(Debug)]
struct Lookups {
    names: SystemNames,
    /// How long one may take.
    patience: Duration,
    places: Semaphore,
    /// Those of the places that names without an answer may take.
    places_for_silent: Semaphore,
    /// Names whose last lookup nobody answered, and when that ended: the latest [`SILENT_NAMES_MAX`].
    silent: Mutex<HashMap<String, Instant>>,
}

type Lookup = Pin<Box<dyn Future<Output = Result<Arc<[IpAddr]>, LookupError>> + Send>>;

#[derive(Debug, Clone)]
enum LookupError {
    Unresolved(Unresolved),
    Saturated(Saturated),
    CannotAsk(CannotAsk),
}

impl CannotAsk {
    #[cfg(test)]
    pub(super) fn new(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for CannotAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no name server can be asked")
    }
}

impl Error for CannotAsk {
    /// By hand, because a derived one would return the `Arc`, in which the `io::Error` is not found.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl Resolver {
    /// A resolver that looks up at most `places` names at a time, each for at most `patience`.
    pub(super) fn new(guard: Guard, names: SystemNames, patience: Duration, places: usize) -> Self {
        let places = places.clamp(2, Semaphore::MAX_PERMITS);
        let lookups = Lookups {
            names,
            patience,
            places: Semaphore::new(places),
            places_for_silent: Semaphore::new(places / 2),
            silent: Mutex::default(),
        };
        Self { guard, lookups: Arc::new(lookups), under_way: Mutex::default() }
    }

    /// The addresses of `host` that a connection to that port may use: the guard judges an address together with it.
    ///
    /// # Errors
    /// There is none, and why.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let found = match self.lookup(host).await {
            Ok(found) => found,
            Err(LookupError::Unresolved(error)) => return Err(error.into()),
            Err(LookupError::Saturated(error)) => return Err(error.into()),
            Err(LookupError::CannotAsk(error)) => return Err(error.into()),
        };
        let mut barred = Barrier::NotPublic;
        let mut permitted = Vec::new();
        for found in found.iter() {
            // As the guard reads it: one that is mapped into IPv6 is reached over IPv4, also where there is no IPv6.
            let address = SocketAddr::new(found.to_canonical(), port);
            match self.guard.check(address) {
                Ok(()) => permitted.push(address),
                Err(why) => barred = why,
            }
        }
        if permitted.is_empty() {
            return Err(Forbidden { host: host.to_owned(), why: barred }.into());
        }
        family::usable(permitted).map_err(family::Unroutable::into_error)
    }

    fn lookup(&self, host: &str) -> Shared<Lookup> {
        let mut under_way = self.under_way.lock();
        if let Some(lookup) = under_way.get(host).and_then(WeakShared::upgrade) {
            return lookup;
        }
        // Lookups that nobody waits for are removed now, so the map is no larger than the attempts in flight.
        under_way.retain(|_, lookup| lookup.upgrade().is_some());
        let lookup = look_up(host.to_owned(), Arc::clone(&self.lookups)).boxed().shared();
        if let Some(weak) = lookup.downgrade() {
            under_way.insert(host.to_owned(), weak);
        }
        lookup
    }
}

async fn look_up(host: String, lookups: Arc<Lookups>) -> Result<Arc<[IpAddr]>, LookupError> {
    let found = match lookups.names.known(&host) {
        Some(known) => known,
        None => {
            let _places = lookups.turn(&host).await.ok_or(LookupError::Saturated(Saturated))?;
            let asked = timeout(lookups.patience, lookups.names.ask(&host)).await;
            let found = asked.unwrap_or(Err(NoAddress::Unanswered)).map_err(blame);
            lookups.note(host, matches!(found, Err(NoAddress::Unanswered)));
            found.map_err(LookupError::from)?
        }
    };
    Ok(found.into())
}

impl Lookups {
    /// Waits for a place, and for one of those for silent names if it is one. They are free again with the result.
    async fn turn(&self, host: &str) -> Option<(SemaphorePermit<'_>, Option<SemaphorePermit<'_>>)> {
        let is_silent = self.silent.lock().contains_key(host);
        let take = async {
            let silent = if is_silent { Some(self.places_for_silent.acquire().await.ok()?) } else { None };
            Some((self.places.acquire().await.ok()?, silent))
        };
        timeout(OWN_WAIT_MAX, take).await.ok().flatten()
    }

    /// Remembers whether anybody answered.
    fn note(&self, host: String, is_silent: bool) {
        let mut silent = self.silent.lock();
        if !is_silent {
            silent.remove(&host);
            return;
        }
        silent.insert(host, Instant::now());
        // Many names that are tried once would keep those out that are silent all the time.
        if silent.len() > SILENT_NAMES_MAX
            && let Some(oldest) = silent.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone())
        {
            silent.remove(&oldest);
        }
    }
}

impl From<NoAddress> for LookupError {
    fn from(why: NoAddress) -> Self {
        match why {
            NoAddress::Unknown => Self::Unresolved(Unresolved { is_known: true }),
            NoAddress::Unanswered => Self::Unresolved(Unresolved { is_known: false }),
            NoAddress::Ours(error) => Self::CannotAsk(CannotAsk(error)),
        }
    }
}

/// Without a descriptor no question is asked, which looks like one that nobody answers.
fn blame(why: NoAddress) -> NoAddress {
    match (why, UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))) {
        (NoAddress::Unanswered, Err(error)) if is_shortage(&error) => NoAddress::Ours(Arc::new(error)),
        (why, _) => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NameSource;
    use crate::config::network::EgressRules;

    /// Without a name server: nothing that these tests ask for leaves this host.
    fn resolver(places: usize) -> Resolver {
        let nowhere = NameSource { resolv_conf: "/nowhere".into(), hosts: "/nowhere".into(), port: 1 };
        let patience = Duration::from_secs(4);
        Resolver::new(Guard::default(), SystemNames::new(nowhere, patience).unwrap(), patience, places)
    }

    #[tokio::test]
    async fn a_name_that_is_being_looked_up_is_not_looked_up_again() {
        let resolver = resolver(8);
        let first = resolver.lookup("localhost");
        assert!(resolver.lookup("localhost").ptr_eq(&first));
        assert!(!resolver.lookup("sub.localhost").ptr_eq(&first));
        assert!(first.await.unwrap().iter().all(IpAddr::is_loopback));
    }

    /// Where there is no IPv6, too.
    #[tokio::test]
    async fn an_ipv4_address_that_is_mapped_into_ipv6_is_used_as_one_of_ipv4() {
        let hosts = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(hosts.path(), "::ffff:127.0.0.1 mapped.example\n").unwrap();
        let source = NameSource { resolv_conf: "/nowhere".into(), hosts: hosts.path().into(), port: 1 };
        let allow = vec!["127.0.0.1/32".parse().unwrap()];
        let guard = Guard::new(EgressRules { allow, ..EgressRules::default() });
        let patience = Duration::from_secs(4);
        let resolver = Resolver::new(guard, SystemNames::new(source, patience).unwrap(), patience, 2);
        let found = resolver.resolve("mapped.example", 80).await.unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_forgotten() {
        let resolver = resolver(8);
        let waiting = resolver.lookup("a.invalid");
        drop(resolver.lookup("b.invalid"));
        let _last = resolver.lookup("c.invalid");
        let mut left: Vec<String> = resolver.under_way.lock().keys().cloned().collect();
        left.sort_unstable();
        assert_eq!(left, ["a.invalid", "c.invalid"]);
        drop(waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_does_not_get_its_turn_is_our_shortage_and_a_name_that_is_known_needs_none() {
        let resolver = resolver(2);
        let all = resolver.lookups.places.acquire_many(2).await.unwrap();
        let found = resolver.lookup("a.invalid").await;
        assert!(matches!(found, Err(LookupError::Saturated(_))), "{found:?}");
        assert!(resolver.lookup("localhost").await.is_ok());
        drop(all);
        for name in ["a.invalid", "b.invalid", "c.invalid"] {
            let found = resolver.lookup(name).await;
            assert!(matches!(found, Err(LookupError::Unresolved(Unresolved { is_known: true }))), "{found:?}");
        }
        assert_eq!(resolver.lookups.places.available_permits(), 2, "places are given back");
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_an_answer_leave_places_to_the_others() {
        let resolver = resolver(4);
        let names: Vec<String> = (0..4).map(|n| format!("{n}.example")).collect();
        names.iter().for_each(|name| resolver.lookups.note(name.clone(), true));
        let turns = futures_util::future::join_all(names.iter().map(|name| resolver.lookups.turn(name))).await;
        assert_eq!(turns.iter().filter(|turn| turn.is_some()).count(), 2);
        assert!(resolver.lookups.turn("healthy.example").await.is_some());
        drop(turns);
        resolver.lookups.note(names[0].clone(), false);
        assert_eq!(resolver.lookups.silent.lock().len(), 3, "one that was answered is silent no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_name_without_an_answer_takes_the_place_of_the_one_that_was_silent_longest_ago() {
        let lookups = resolver(2).lookups;
        for n in 0..SILENT_NAMES_MAX {
            lookups.note(format!("{n}.example"), true);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        lookups.note("0.example".to_owned(), true);
        lookups.note("new.example".to_owned(), true);
        let silent = lookups.silent.lock();
        let known = ["new.example", "0.example", "1.example", "2.example"].map(|name| silent.contains_key(name));
        assert_eq!((known, silent.len()), ([true, true, false, true], SILENT_NAMES_MAX));
    }
}
