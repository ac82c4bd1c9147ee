//! Ports that stay a test's own, whether a server listens there or not.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

/// Below the ports that the system gives to outgoing connections and to listeners that name none, and so far below that
/// the second port of a Redis in a cluster, 10,000 above its first, is none of those either.
const NUMBERS: Range<u16> = 10_000..20_000;
/// Where a port that is taken is told: another address of this host, on which nothing else listens.
const TOLD_ON: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

/// A port of 127.0.0.1 that no other test takes until this is dropped: what listens there may end and come back.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Whoever looks for a port listens there too, and so finds that it is taken.
    _told: TcpListener,
}

impl Port {
    pub fn take() -> Self {
        let mut some = std::iter::repeat_with(|| rand::random_range(NUMBERS)).take(1_000);
        let free = some.find_map(|number| {
            let told = TcpListener::bind((TOLD_ON, number)).ok()?;
            // A program that is no test may have it.
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok().then_some(Self { number, _told: told })
        });
        free.expect("a free port")
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
