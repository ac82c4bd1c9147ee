//! Connects to whichever of an endpoint's addresses takes the connection first (RFC 8305 section 5), so that a machine that
//! is gone costs a moment and not the deadline.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use futures_util::future::select_all;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::sockets::{NoSocket, is_shortage};
use crate::config::{CONNECT_ADDRESSES_MAX, CONNECT_ATTEMPT_DELAY, ENDPOINT_KEEPALIVE, PREFERRED_ADDRESS_FOR};

/// The address that took a connection when those before it did not, and until when it is tried first.
#[derive(Debug, Default)]
pub(super) struct PreferredAddress(Mutex<Option<(IpAddr, Instant)>>);

impl PreferredAddress {
    pub(super) fn get(&self, now: Instant) -> Option<IpAddr> {
        self.0.lock().filter(|(_, until)| now < *until).map(|(address, _)| address)
    }

    /// `won` took a connection; `first` was tried first. One that wins from there is not preferred for longer by that: else
    /// the others would never be tried again.
    pub(super) fn note(&self, won: IpAddr, first: Option<IpAddr>, now: Instant) {
        if first != Some(won) {
            *self.0.lock() = Some((won, now + PREFERRED_ADDRESS_FOR));
        }
    }
}

/// The order in which addresses are tried: `preferred` first where it is among them, then the families in turn (RFC 8305
/// section 4), none twice and at most [`CONNECT_ADDRESSES_MAX`].
pub(super) fn in_turn(mut addresses: Vec<SocketAddr>, preferred: Option<IpAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    // Stable, so all others stay in the resolver's order.
    addresses.sort_by_key(|address| Some(address.ip()) != preferred);
    let is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (these, those): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == is_v4);
    let (mut these, mut those) = (these.into_iter(), those.into_iter());
    let pairs =
        std::iter::from_fn(|| Some([these.next(), those.next()]).filter(|pair| pair.iter().any(Option::is_some)));
    pairs.flatten().flatten().take(CONNECT_ADDRESSES_MAX).collect()
}

/// Connects to the first of `addresses` that takes the connection, and drops the others. The next one begins when one has
/// failed, or nothing was decided for [`CONNECT_ATTEMPT_DELAY`].
///
/// Each that is under way needs a place: `place` is there, `further` may give more. Without one the oldest ends, for a machine
/// that is gone must not keep the next one from its turn.
///
/// # Errors
/// The one that says most, once all have failed or `deadline` has passed.
pub(super) async fn race<T, P, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    (place, further): (P, impl Fn() -> Option<P>),
    deadline: Instant,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<(T, P)> {
    let (mut places, mut waiting) = (vec![place], addresses.into_iter());
    let mut under_way: Vec<Pin<Box<F>>> = Vec::new();
    let mut failed: Option<io::Error> = None;
    loop {
        if let Some(address) = waiting.next() {
            if under_way.len() == places.len() {
                match further() {
                    Some(place) => places.push(place),
                    // It may have taken the connection yet: that nobody knows is our shortage.
                    None => {
                        drop(under_way.remove(0));
                        failed = Some(io::Error::other(NoSocket));
                    }
                }
            }
            under_way.push(Box::pin(connect(address)));
        }
        if under_way.is_empty() {
            return Err(failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
        }
        let turn = if waiting.len() == 0 { deadline } else { deadline.min(Instant::now() + CONNECT_ATTEMPT_DELAY) };
        match timeout_at(turn, select_all(under_way.iter_mut())).await {
            Ok((Ok(connected), _, _)) => return Ok((connected, places.swap_remove(0))),
            Ok((Err(error), index, _)) => {
                drop(under_way.remove(index));
                failed = Some(match failed {
                    Some(before) if says(&before) >= says(&error) => before,
                    _ => error,
                });
            }
            Err(_) if Instant::now() >= deadline => {
                // One that says nothing of an address that was silent to the end says less than its silence.
                return Err(failed.filter(|error| says(error) > 0).unwrap_or_else(|| io::ErrorKind::TimedOut.into()));
            }
            Err(_) => {}
        }
    }
}

/// How much an error says beside those of other addresses: where this machine lacks something not every address was tried,
/// and a host that refuses was reached.
fn says(error: &io::Error) -> u8 {
    match error.kind() {
        _ if is_shortage(error) || error.get_ref().is_some_and(|inner| inner.is::<NoSocket>()) => 2,
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => 1,
        _ => 0,
    }
}

/// Opens a connection to that address.
pub(super) async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let options = SockRef::from(&socket);
    let keepalive = TcpKeepalive::new().with_time(ENDPOINT_KEEPALIVE).with_interval(ENDPOINT_KEEPALIVE);
    let set = options.set_tcp_nodelay(true).and(options.set_tcp_keepalive(&keepalive));
    if let Err(error) = set.and(bound_unsent(&options)) {
        tracing::debug!(%error, "a connection does not take all that is set for it");
    }
    socket.connect(address).await
}

/// Lets the system take no more than [`UNSENT_BYTES_MAX`](crate::config::UNSENT_BYTES_MAX) bytes of a request that it cannot
/// send yet, so that what it has taken is as good as sent. Where it has no such option it may take all of it.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "the option is Linux'"))]
fn bound_unsent(socket: &SockRef<'_>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(crate::config::UNSENT_BYTES_MAX)?;
    Ok(())
}

#[cfg(test)]
mod tests;
