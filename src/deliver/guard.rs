//! The egress guard: which addresses a webhook may point to.
//!
//! Without it a customer could make this service POST to its own network, its own Redis or a cloud's
//! metadata service. The table is the IANA special-purpose registries (snapshot of 2025-10-09): of IPv4
//! everything is public but what is listed here; of IPv6 nothing is public but global unicast (2000::/3)
//! without what is listed here.
//!
//! Architecture invariant: this module is pure. Literal addresses are checked here, by [`parse_endpoint`], on
//! every attempt and at every save; names are resolved in `resolve`, which asks [`Guard::permits`] about
//! every address that a connection could use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, ParseError, Url};

use crate::workspace::pasted::PastedCharacter;

/// Bytes of a URL at most. RFC 9110 section 4.1 asks for at least 8,000; each of the last 100 attempts of a
/// workspace repeats it.
pub const URL_BYTES_MAX: usize = 8_000;

/// Decides which addresses may be connected to.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: Vec<IpNet>,
}

/// The endpoint lies on an address that the guard does not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to an address that is not public; use a public one or have the operator allow it (--allow-net)")]
pub struct Forbidden {
    /// The host as it stands in the URL; never a resolved address.
    pub host: String,
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
    /// Some program shortened it for display.
    #[error("the URL is cut off: it holds an ellipsis; copy the whole URL where it is not shortened")]
    CutOff,
    /// To a browser a slash, to other programs none.
    #[error("the URL holds a backslash, {0}: write a slash, or %5C where a backslash is meant")]
    Backslash(PastedCharacter),
    /// Between scheme and host stand more or fewer than two.
    #[error("the URL must have two slashes between https: and the host, like https://crm.example/hooks/whatsapp")]
    Slashes,
    /// `https://https://…`.
    #[error("the URL's scheme stands twice: write https:// once")]
    SchemeTwice,
    /// Not a number from 1 to 65535.
    #[error("the URL's port must be a number from 1 to 65535, or be left out")]
    Port,
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
    /// Some other scheme.
    #[error("the URL must start with https:// or http://")]
    Scheme,
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
        error => InvalidUrl::Malformed(error),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidUrl::Scheme);
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
    /// A guard that also lets through what lies in `allow`: the operator's exceptions take precedence over the table.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Whether a connection to `address` may be made. An IPv4 address mapped into IPv6 is judged as IPv4.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow.iter().any(|network| network.contains(&address)) || is_public(address)
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
        if self.permits(address) {
            return Ok(());
        }
        Err(Forbidden { host: url.host_str().unwrap_or_default().to_owned() })
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
mod tests {
    use super::*;

    fn permitted(address: &str) -> bool {
        Guard::default().permits(address.parse().unwrap())
    }

    /// Each block's first and last address, and its neighbours: on public ground unless named otherwise.
    #[test]
    fn special_blocks_of_ipv4_are_forbidden_to_their_edges() {
        for (before, first, last, after) in [
            ("", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
            ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
            ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
            ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
            ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"),
            ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
            ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
            ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
            ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
            ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
            ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
            ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
            ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
            ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
            ("223.255.255.255", "224.0.0.0", "239.255.255.255", ""),
            ("", "240.0.0.0", "255.255.255.255", ""), // the broadcast address too
        ] {
            assert_edges(before, first, last, after);
            // Mapped into IPv6 they are the same addresses.
            let mapped = |address: &str| if address.is_empty() { String::new() } else { format!("::ffff:{address}") };
            assert_edges(&mapped(before), &mapped(first), &mapped(last), &mapped(after));
        }
    }

    #[test]
    fn of_ipv6_only_global_unicast_without_its_special_blocks_is_permitted() {
        const END: &str = "ffff:ffff:ffff:ffff:ffff:ffff";
        for (before, first, last, after) in [
            ("", "::", &format!("1fff:ffff:{END}"), ""),
            ("", "2001::", &format!("2001:1ff:{END}"), "2001:200::"),
            (&format!("2001:db7:{END}"), "2001:db8::", &format!("2001:db8:{END}"), "2001:db9::"),
            (&format!("2001:ffff:{END}"), "2002::", &format!("2002:ffff:{END}"), "2003::"),
            (&format!("3ffe:ffff:{END}"), "3fff::", &format!("3fff:fff:{END}"), "3fff:1000::"),
            (&format!("3fff:ffff:{END}"), "4000::", &format!("ffff:ffff:{END}"), ""),
        ] {
            assert_edges(before, first, last, after);
        }
        assert!(permitted("2000::"));
        assert!(permitted("2606:4700::1111"));
    }

    fn assert_edges(before: &str, first: &str, last: &str, after: &str) {
        for neighbour in [before, after].into_iter().filter(|address| !address.is_empty()) {
            assert!(permitted(neighbour), "{neighbour} is public");
        }
        for edge in [first, last] {
            assert!(!permitted(edge), "{edge} is special");
        }
    }

    #[test]
    fn the_services_that_attackers_look_for_are_forbidden() {
        for address in [
            "127.0.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "::",
            "::1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::7f00:1",
            "2002:7f00:1::",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permitted(address), "{address}");
        }
    }

    #[test]
    fn the_operators_word_wins_over_the_table_and_reaches_no_further() {
        let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        for (address, expected) in [
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("::ffff:10.1.2.3", true),
            ("10.0.255.255", false),
            ("10.2.0.0", false),
            ("fd00:1::7", true),
            ("fd00:2::", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(guard.permits(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn an_address_is_recognised_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
        ] {
            let parsed = parse_endpoint(&format!("http://{host}/hook"), &Guard::default());
            assert!(matches!(parsed, Err(InvalidUrl::Forbidden(_))), "{host}: {parsed:?}");
        }
    }

    #[test]
    fn the_sentence_names_the_host_and_the_way_out() {
        let error = parse_endpoint("http://127.1:81/token", &Guard::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "127.0.0.1 leads to an address that is not public; \
             use a public one or have the operator allow it (--allow-net)"
        );
    }

    #[test]
    fn an_endpoint_is_an_http_url_with_a_host_and_without_user_info() {
        let long = |length: usize| format!("https://a.example/{}", "x".repeat(length - "https://a.example/".len()));
        let too_long = long(URL_BYTES_MAX + 1);
        for (text, sentence) in [
            ("ftp://crm.example/", "the URL must start with https:// or http://"),
            ("file:///etc/passwd", "the URL must start with https:// or http://"),
            ("crm.example:443", "the URL must start with https:// or http://"),
            ("", "this is no URL: write it in full, like https://crm.example/hooks/whatsapp"),
            ("crm.example/hook", "this is no URL: write it in full, like https://crm.example/hooks/whatsapp"),
            ("http://999.1.1.1/", "this is no URL: write it in full, like https://crm.example/hooks/whatsapp"),
            ("https://", "the URL has no host: write it in full, like https://crm.example/hooks/whatsapp"),
            (
                "https://user@crm.example/",
                "the URL must not contain a user name or password: put a token into its path or query instead",
            ),
            (
                "https://:pass@crm.example/",
                "the URL must not contain a user name or password: put a token into its path or query instead",
            ),
            ("https://crm\"quoted.example/", "the URL's host holds a character that no host name has"),
            ("https://{host}/hook", "the URL's host holds a character that no host name has"),
            (&too_long, "the URL must not be longer than 8000 bytes"),
        ] {
            let error = parse_endpoint(text, &Guard::default()).unwrap_err();
            assert_eq!(error.to_string(), sentence, "{text}");
        }
        for text in
            ["https://crm.example/hook?token=1", "http://crm.example:8080", "https://8.8.8.8/", &long(URL_BYTES_MAX)]
        {
            assert!(parse_endpoint(text, &Guard::default()).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_name_passes_until_it_is_resolved() {
        assert!(Guard::default().check_url(&Url::parse("http://localhost/").unwrap()).is_ok());
    }
}
