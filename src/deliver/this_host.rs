//! Connections that lead back to this machine. Whoever connects to an address of the machine itself, a public one too, comes
//! past every firewall to what listens here for nobody else.
//!
//! No list of addresses tells which those are; a connection does. It is judged before anything is written to it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use tokio::net::TcpStream;

use super::guard::{Barrier, Forbidden, Guard};

/// No machine has it (RFC 5737): one that takes it for its own takes any.
const NOBODYS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Lets `tcp`, a new connection to `host`, through unless it leads back here and the operator has not allowed that address.
///
/// # Errors
/// A [`Forbidden`]; or what the system lacks to tell.
pub(super) fn check(guard: &Guard, host: &str, tcp: &TcpStream) -> io::Result<()> {
    let peer = tcp.peer_addr()?;
    let local = tcp.local_addr()?.ip();
    if is_here(local.to_canonical(), peer.ip().to_canonical())? && !guard.allows(peer) {
        return Err(io::Error::other(Forbidden { host: host.to_owned(), why: Barrier::ThisMachine }));
    }
    Ok(())
}

/// Whether both ends of a connection are here. The system connects to itself from the same address, but to a further address
/// of an IPv4 network from its first one.
fn is_here(local: IpAddr, peer: IpAddr) -> io::Result<bool> {
    Ok(local == peer || (peer.is_ipv4() && is_bindable(peer)? && !is_bindable(NOBODYS)?))
}

fn is_bindable(address: IpAddr) -> io::Result<bool> {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(false),
        // Without a descriptor nothing can be told; that is no fault of the endpoint.
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_here_where_they_are_one_address_or_two_of_this_machine() {
        for (local, peer, is) in [
            ("8.8.8.8", "8.8.8.8", true),
            ("2606:4700::1", "2606:4700::1", true),
            ("127.0.0.1", "127.0.0.2", true),
            ("10.0.0.1", "192.0.2.7", false),
            ("2606:4700::1", "2606:4700::2", false),
        ] {
            assert_eq!(is_here(local.parse().unwrap(), peer.parse().unwrap()).unwrap(), is, "{local} {peer}");
        }
    }
}
