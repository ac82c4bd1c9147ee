//! Which of an endpoint's addresses this host has a way to: IPv4, IPv6, both or none.
//!
//! Without this a name with addresses of both families would fail as the family that this host lacks does, whatever
//! the other one said, and an address that no route leads to would look like a shortage of ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::io::Errno;

/// The endpoint has only addresses of a family that this host lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has only {0} addresses, and this host has no {0}")]
pub(super) struct LacksFamily(pub(super) Family);

/// See [`LacksFamily`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// No address can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unroutable {
    #[error(transparent)]
    Family(#[from] LacksFamily),
    /// This host has no route of any family there.
    #[error(transparent)]
    Route(#[from] io::Error),
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl Unroutable {
    /// The error that a connection would end with: the system's own where there is no route.
    pub(super) fn into_error(self) -> Box<dyn std::error::Error + Send + Sync> {
        match self {
            Self::Family(lacks) => lacks.into(),
            Self::Route(error) => error.into(),
        }
    }
}

/// Those of the addresses whose family leads somewhere. No packet is sent.
///
/// # Errors
/// There is none.
pub(super) fn usable(addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unroutable> {
    usable_with(addresses, &System)
}

/// What is asked of the system.
trait Routes {
    /// Whether a packet to `address` could leave.
    fn lead_to(&self, address: IpAddr) -> bool;
    /// Whether the family is there at all, if only on this host.
    fn have(&self, family: Family) -> bool;
}

fn usable_with(addresses: Vec<SocketAddr>, routes: &impl Routes) -> Result<Vec<SocketAddr>, Unroutable> {
    let first = |family| addresses.iter().map(SocketAddr::ip).find(|address| family_of(*address) == family);
    let leads = |family| first(family).is_some_and(|address| routes.lead_to(address));
    let (v4, v6) = (leads(Family::V4), leads(Family::V6));
    if v4 || v6 {
        let kept = |address: &SocketAddr| if address.is_ipv4() { v4 } else { v6 };
        return Ok(addresses.into_iter().filter(kept).collect());
    }
    let (lacking, other) = match (first(Family::V4), first(Family::V6)) {
        (Some(_), None) => (Family::V4, Family::V6),
        (None, Some(_)) => (Family::V6, Family::V4),
        _ => return Err(no_route().into()),
    };
    let only_the_other_leads_out = !routes.lead_to(elsewhere(lacking)) && routes.lead_to(elsewhere(other));
    if only_the_other_leads_out || (!routes.have(lacking) && routes.have(other)) {
        return Err(LacksFamily(lacking).into());
    }
    Err(no_route().into())
}

fn no_route() -> io::Error {
    io::Error::from_raw_os_error(Errno::NETUNREACH.raw_os_error())
}

fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// An address far away that belongs to nobody (RFC 5737, RFC 3849).
fn elsewhere(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

struct System;

impl Routes for System {
    fn lead_to(&self, address: IpAddr) -> bool {
        let any: IpAddr = match family_of(address) {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Connecting a UDP socket looks the route up and sends nothing.
        is_there(UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, DISCARD_PORT))))
    }

    fn have(&self, family: Family) -> bool {
        let here: IpAddr = match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        is_there(UdpSocket::bind((here, 0)).map(drop))
    }
}

/// The port of a service that throws everything away (RFC 863).
const DISCARD_PORT: u16 = 9;

/// What else goes wrong, such as too few descriptors, says nothing about routes.
fn is_there(tried: io::Result<()>) -> bool {
    let lacking = [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::NETDOWN, Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    tried.is_ok()
        || !tried.is_err_and(|error| Errno::from_io_error(&error).is_some_and(|errno| lacking.contains(&errno)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Families that lead out, and families that are there.
    struct Host {
        out: &'static [Family],
        here: &'static [Family],
    }

    impl Routes for Host {
        fn lead_to(&self, address: IpAddr) -> bool {
            let families = if address.is_loopback() { self.here } else { self.out };
            families.contains(&family_of(address))
        }

        fn have(&self, family: Family) -> bool {
            self.here.contains(&family)
        }
    }

    const V4: &str = "8.8.8.8:80";
    const V6: &str = "[2606:4700::1111]:80";

    fn tried(addresses: &[&str], host: &Host) -> String {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        match usable_with(addresses, host) {
            Ok(usable) => usable.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(Unroutable::Family(lacks)) => lacks.to_string(),
            Err(Unroutable::Route(_)) => "no route".to_owned(),
        }
    }

    #[test]
    fn the_families_that_a_host_has_are_used_and_one_that_it_lacks_is_named() {
        use Family::{V4 as Four, V6 as Six};
        let both = Host { out: &[Four, Six], here: &[Four, Six] };
        let four = Host { out: &[Four], here: &[Four, Six] };
        let only_four = Host { out: &[Four], here: &[Four] };
        let six = Host { out: &[Six], here: &[Four, Six] };
        let cut_off = Host { out: &[], here: &[Four, Six] };
        let cut_off_four = Host { out: &[], here: &[Four] };
        let down = Host { out: &[], here: &[] };
        let no_six = "it has only IPv6 addresses, and this host has no IPv6";
        let no_four = "it has only IPv4 addresses, and this host has no IPv4";
        for (host, v4, v6, dual) in [
            (&both, V4, V6, "8.8.8.8:80 [2606:4700::1111]:80"),
            (&four, V4, no_six, V4),
            (&only_four, V4, no_six, V4),
            (&six, no_four, V6, V6),
            (&cut_off, "no route", "no route", "no route"),
            (&cut_off_four, "no route", no_six, "no route"),
            (&down, "no route", "no route", "no route"),
        ] {
            assert_eq!((tried(&[V4], host).as_str(), tried(&[V6], host).as_str()), (v4, v6));
            assert_eq!(tried(&[V4, V6], host), dual);
        }
        assert_eq!(tried(&["127.0.0.1:1", "[::1]:1"], &cut_off_four), "127.0.0.1:1");
        assert_eq!(tried(&["[::1]:1"], &cut_off_four), no_six);
    }

    #[test]
    fn the_own_host_can_be_reached() {
        let here: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(usable(vec![here]).unwrap(), [here]);
    }
}
