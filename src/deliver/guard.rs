//! The egress guard: which addresses a webhook may point to.
//!
//! Without it a customer could make this service POST to its own network, its own Redis or a cloud's
//! metadata service. The table is the IANA special-purpose registries (snapshot of 2025-10-09): of IPv4
//! everything is public but what is listed here; of IPv6 nothing is public but global unicast (2000::/3)
//! without what is listed here.
//!
//! Architecture invariant: this module is pure. Literal addresses are checked here, by [`parse_endpoint`], at
//! every save and once for each [`super::Target`]; names are resolved in `resolve`, which asks [`Guard::check`] about
//! every address that a connection could use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, ParseError, Url};

use crate::config::network::EgressRules;
use crate::workspace::pasted::PastedCharacter;

mod embedded;

/// Bytes of a URL at most. RFC 9110 section 4.1 asks for at least 8,000; each of the last 100 attempts of a
/// workspace repeats it.
pub const URL_BYTES_MAX: usize = 8_000;

/// Decides which addresses may be connected to.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    rules: EgressRules,
}

/// The endpoint lies on an address that the guard does not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to an address that {why}")]
pub struct Forbidden {
    /// The host as it stands in the URL; never a resolved address.
    pub host: String,
    /// Why not.
    pub why: Barrier,
}

/// Why an address is not let through. Each begins behind "an address that".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Barrier {
    /// The table has it, and no exception of the operator.
    #[error("is not public; use a public one or have the operator allow it (--allow-net)")]
    NotPublic,
    /// The operator closed it.
    #[error("the operator has closed to webhooks (--deny-net); use another one")]
    Denied,
    /// A connection to it was one to this machine ([`super::this_host`]).
    #[error("is this machine's own; use another one or have the operator allow it (--allow-net)")]
    ThisMachine,
}

/// The text is no URL that a webhook may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It does not parse.
    #[error("this is no URL: write it in full, like https://crm.example/hooks/whatsapp")]
    Malformed(#[source] ParseError),
    /// It holds a character that nobody sees.
    #[error("the URL holds {found}, in its {part}: delete it; where it is meant, write it percent-encoded")]
    Unseen {
        /// The character and its place.
        found: PastedCharacter,
        /// The part of the URL.
        part: &'static str,
    },
    /// Something stands before it.
    #[error("the URL must begin with https:// or http://, and something stands before it: take that out")]
    Before,
    /// Some program shortened it for display.
    #[error("the URL is cut off: it holds an ellipsis; copy the whole URL where it is not shortened")]
    CutOff,
    /// To a browser a slash, to other programs none.
    #[error("the URL holds a backslash, {0}: write a slash, or %5C where a backslash is meant")]
    Backslash(PastedCharacter),
    /// A parser encodes it in silence; it is what is left of the text around a URL, or of a template.
    #[error(
        "the URL holds a character that no URL has, {0}: take it out, or write it percent-encoded where it is meant"
    )]
    Leftover(PastedCharacter),
    /// Between scheme and host stand more or fewer than two.
    #[error("the URL must have two slashes between https: and the host, like https://crm.example/hooks/whatsapp")]
    Slashes,
    /// `https://https://…`.
    #[error("the URL's scheme stands twice: write https:// once")]
    SchemeTwice,
    /// Not a number from 1 to 65535.
    #[error("the URL's port must be a number from 1 to 65535, or be left out; an IPv6 address stands in brackets")]
    Port,
    /// The host is written as an address and is none.
    #[error(
        "the URL's host looks like an address and is none: write a name, four numbers from 0 to 255, or an IPv6 address \
         in brackets, without a zone"
    )]
    NoAddress,
    /// No server can be reached there.
    #[error("the URL has port 0, on which no server listens: write the right one, or leave it out")]
    PortZero,
    /// A label of the host is empty.
    #[error("the URL's host begins with a dot or has two dots in a row: take one out")]
    EmptyLabel,
    /// A label of the host begins or ends with a hyphen.
    #[error("the URL's host has a part that begins or ends with a hyphen, `{0}`, which no host name has")]
    Hyphen(String),
    /// A label of the host is too long.
    #[error("the URL's host has a part of more than 63 characters between its dots, which no host name has")]
    LabelTooLong,
    /// The host is too long.
    #[error("the URL's host has more than 253 characters, which no host name has")]
    HostTooLong,
    /// There is nobody to connect to.
    #[error("the URL has no host: write it in full, like https://crm.example/hooks/whatsapp")]
    NoHost,
    /// Its host is none that a request can be made to.
    #[error("the URL's host holds a character that no host name has")]
    HostCharacter,
    /// It looks like a hyphen or a slash, and no name server knows it.
    #[error("the URL's host holds {0}, which no host name has: write - or / where that is meant")]
    Typeset(PastedCharacter),
    /// Some other scheme.
    #[error("the URL must start with https:// or http://")]
    Scheme,
    /// The operator takes no other.
    #[error(
        "the URL must start with https://, the operator of this service lets nothing be sent without TLS (--require-https)"
    )]
    HttpsRequired,
    /// User name or password would be stored and shown with every attempt.
    #[error("the URL must not contain a user name or password: put a token into its path or query instead")]
    UserInfo,
    /// See [`URL_BYTES_MAX`].
    #[error("the URL must not be longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// A literal address that the guard does not let through.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// Parses the URL of a webhook: absolute, `http` or `https`, with a host, without user info, not longer than
/// [`URL_BYTES_MAX`], and no literal address that `guard` forbids. Names are not resolved here.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse_endpoint(text: &str, guard: &Guard) -> Result<Url, InvalidUrl> {
    if text.len() > URL_BYTES_MAX {
        return Err(InvalidUrl::TooLong);
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::EmptyHost => InvalidUrl::NoHost,
        ParseError::InvalidPort => InvalidUrl::Port,
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => InvalidUrl::NoAddress,
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => InvalidUrl::HostCharacter,
        error => InvalidUrl::Malformed(error),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidUrl::Scheme);
    }
    if guard.rules.require_https && url.scheme() != "https" {
        return Err(InvalidUrl::HttpsRequired);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUrl::UserInfo);
    }
    // A URL may hold hosts (with a quote, a brace) that an HTTP request may not.
    if url.as_str().parse::<hyper::Uri>().is_err() {
        return Err(InvalidUrl::HostCharacter);
    }
    guard.check_url(&url)?;
    Ok(url)
}

impl Guard {
    /// A guard by the operator's rules: what they deny is closed, what they allow is open beside what is public.
    #[must_use]
    pub fn new(rules: EgressRules) -> Self {
        Self { rules }
    }

    /// Whether a connection to `address` may be made. An IPv4 address mapped into IPv6 is judged as IPv4; one that is
    /// embedded in an IPv6 address in another way is judged beside that address, since a translator connects to it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: SocketAddr) -> Result<(), Barrier> {
        let canonical = SocketAddr::new(address.ip().to_canonical(), address.port());
        if self.rules.deny.iter().any(|network| network.contains(canonical.ip())) {
            return Err(Barrier::Denied);
        }
        if is_public(canonical.ip()) {
            return Ok(());
        }
        let allowed = self.rules.allow.iter().filter(|allowed| allowed.contains(canonical));
        let mut judged = Err(Barrier::NotPublic);
        for prefix in allowed.map(|allowed| allowed.network().prefix_len()) {
            let IpAddr::V6(address) = canonical.ip() else { return Ok(()) };
            let inner = embedded::embedded(address, prefix).into_iter();
            judged =
                inner.map(|inner| SocketAddr::from((inner, canonical.port()))).try_for_each(|inner| self.check(inner));
            if judged.is_ok() {
                break;
            }
        }
        judged
    }

    /// Whether the operator let `address` through by name.
    pub(super) fn allows(&self, address: SocketAddr) -> bool {
        self.rules.allow.iter().any(|allowed| allowed.contains(address))
    }

    /// Checks the host of `url` if it is a literal address; a name passes.
    ///
    /// The parsed host is matched, never its text: `127.1`, `0x7f.1` and `2130706433` are all 127.0.0.1.
    ///
    /// # Errors
    /// The address is not permitted.
    pub fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        // Both schemes have a port of their own.
        let port = url.port_or_known_default().unwrap_or_default();
        self.check(SocketAddr::new(address, port))
            .map_err(|why| Forbidden { host: url.host_str().unwrap_or_default().to_owned(), why })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_UNICAST_V6.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address))
        }
    }
}

const SPECIAL_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),        // this network
    v4([10, 0, 0, 0], 8),       // private use
    v4([100, 64, 0, 0], 10),    // shared address space (carrier NAT); Alibaba's metadata service
    v4([127, 0, 0, 0], 8),      // loopback
    v4([168, 63, 129, 16], 32), // public by the registry, but Azure's wire server
    v4([169, 254, 0, 0], 16),   // link local; the metadata services of most clouds
    v4([172, 16, 0, 0], 12),    // private use
    v4([192, 0, 0, 0], 24),     // IETF protocol assignments
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 88, 99, 0], 24),   // deprecated 6to4 relays
    v4([192, 168, 0, 0], 16),   // private use
    v4([198, 18, 0, 0], 15),    // benchmarking
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 3),      // multicast, and above it what is reserved
];

const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0], 3);

const SPECIAL_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),     // IETF protocol assignments: Teredo, benchmarking, ORCHID
    v6([0x2001, 0xdb8], 32), // documentation
    v6([0x2002, 0], 16),     // 6to4, which embeds any IPv4 address
    v6([0x3fff, 0], 20),     // documentation
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests;
