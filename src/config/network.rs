//! Networks that an operator names: which ones webhooks may reach although they are not public, and which never.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Where webhooks may lead, beside what is public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// Let through although they are special.
    pub allow: Vec<AllowedNetwork>,
    /// Never let through, whatever allows them.
    pub deny: Vec<Network>,
    /// Only `https` URLs.
    pub require_https: bool,
}

/// A network: an IPv4 network mapped into IPv6 (`::ffff:10.0.0.0/104`) is held as that IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// A network of which every port, or one, is open: `10.0.0.0/8`, `10.0.0.5:8443`, `[fd00::1]:8443`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedNetwork {
    network: Network,
    port: Option<u16>,
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a network such as 10.0.0.0/8 or fd00::/8, or one address")]
pub struct InvalidNetwork;

/// The text is no network, or what follows it is no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a network such as 10.0.0.0/8 or fd00::/8, or one address; for one of its ports 10.0.0.5:8443, \
     10.0.0.0/8:8443 or [fd00::1]:8443"
)]
pub struct InvalidAllowedNetwork;

impl Network {
    /// Whether `address` lies in it. An IPv4 address mapped into IPv6 is that IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Bits that all its addresses share.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.0.prefix_len()
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(IpNet::from(address.to_canonical()))
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let text = text.trim();
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| InvalidNetwork)?.trunc();
        Ok(Self(unmapped(network).map_or(network, IpNet::V4)))
    }
}

/// Addresses are judged unmapped, so a network in the mapped form would contain none of them.
fn unmapped(network: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(network) = network else { return None };
    let prefix = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(network.addr().to_ipv4_mapped()?, prefix).ok()
}

impl AllowedNetwork {
    /// Whether a connection to `address` is one of those that it lets through.
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == address.port()) && self.network.contains(address.ip())
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }
}

impl From<IpAddr> for AllowedNetwork {
    fn from(address: IpAddr) -> Self {
        Self { network: address.into(), port: None }
    }
}

impl FromStr for AllowedNetwork {
    type Err = InvalidAllowedNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidAllowedNetwork> {
        let text = text.trim();
        if let Ok(network) = text.parse() {
            return Ok(Self { network, port: None });
        }
        // Of IPv6 the brackets say where the address ends.
        let (network, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or(InvalidAllowedNetwork)?,
            None => text.split_once(':').ok_or(InvalidAllowedNetwork)?,
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0);
        let network = network.parse().map_err(|_| InvalidAllowedNetwork)?;
        Ok(Self { network, port: Some(port.ok_or(InvalidAllowedNetwork)?) })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AllowedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.network.0) {
            (None, network) => network.fmt(f),
            (Some(port), IpNet::V4(network)) => write!(f, "{network}:{port}"),
            (Some(port), IpNet::V6(network)) => write!(f, "[{network}]:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_may_be_narrowed_to_one_port() {
        for (text, means) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            (" 10.0.0.5 ", "10.0.0.5/32"),
            ("10.0.0.5:8443", "10.0.0.5/32:8443"),
            ("10.0.0.0/8:8443", "10.0.0.0/8:8443"),
            ("fd00::/8", "fd00::/8"),
            ("fd00::1:8443", "fd00::1:8443/128"),
            ("[fd00::1]:8443", "[fd00::1/128]:8443"),
            ("[fd00::/8]:443", "[fd00::/8]:443"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("[::ffff:10.0.0.5]:80", "10.0.0.5/32:80"),
        ] {
            assert_eq!(text.parse::<AllowedNetwork>().unwrap().to_string(), means, "{text}");
        }
        for text in
            ["", "all", "10.0.0.5:", "10.0.0.5:0", "10.0.0.5:65536", "10.0.0.5:http", "[fd00::1]", "[fd00::1]8443"]
        {
            assert_eq!(text.parse::<AllowedNetwork>(), Err(InvalidAllowedNetwork), "{text}");
        }
        for text in ["10.0.0.5:+80", "10.0.0.0/33", "10.0.0.5:80:81", "crm.example:80"] {
            assert_eq!(text.parse::<AllowedNetwork>(), Err(InvalidAllowedNetwork), "{text}");
        }
    }

    #[test]
    fn a_port_opens_itself_alone() {
        let narrow: AllowedNetwork = "10.0.0.0/8:8443".parse().unwrap();
        let opens = |address: &str| narrow.contains(address.parse().unwrap());
        assert!(opens("10.1.2.3:8443") && opens("[::ffff:10.1.2.3]:8443"));
        assert!(!opens("10.1.2.3:443") && !opens("11.0.0.1:8443") && !opens("[fd00::1]:8443"));
    }
}
