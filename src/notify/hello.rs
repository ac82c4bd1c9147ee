//! The name that we greet a mail server with (RFC 5321 section 4.1.1.1).

use std::net::{IpAddr, SocketAddr};

use lettre::transport::smtp::extension::ClientId;
use url::{Host, Url};

/// The name to greet with: what the operator says, or else the host of the facade's public URL, or else this
/// machine's own name. Only full names are guessed; `None` is the address of the connection.
pub(super) fn chosen(said: Option<&str>, public_url: Option<&str>) -> Result<Option<ClientId>, InvalidHello> {
    if let Some(said) = said {
        return named(said).map(Some).ok_or_else(|| InvalidHello(said.to_owned()));
    }
    let public = public_url.and_then(|url| Url::parse(url).ok()).and_then(|url| url.domain().map(str::to_owned));
    let machine = match ClientId::default() {
        ClientId::Domain(name) => Some(name),
        _ => None,
    };
    let is_full = |name: &String| name.contains('.') && !name.starts_with("localhost.");
    Ok([public, machine].into_iter().flatten().filter(is_full).find_map(|name| named(&name)))
}

/// The text is no name that a mail server can be greeted with.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no host name; write a full one such as outbound.example.com, or an address such as [192.0.2.7]")]
pub struct InvalidHello(String);

fn named(text: &str) -> Option<ClientId> {
    let text = text.trim();
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = address.trim_start_matches("IPv6:").parse::<IpAddr>() {
        return Some(literal(address));
    }
    let Ok(Host::Domain(name)) = Host::parse(text) else { return None };
    let name = name.strip_suffix('.').unwrap_or(&name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(label).then(|| ClientId::Domain(name.to_owned()))
}

/// The address that a connection is made from, as a name.
pub(super) fn of_connection(local: SocketAddr) -> ClientId {
    literal(local.ip().to_canonical())
}

fn literal(address: IpAddr) -> ClientId {
    match address {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => ClientId::Ipv6(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(said: Option<&str>, public_url: Option<&str>) -> Option<String> {
        chosen(said, public_url).unwrap().map(|name| name.to_string())
    }

    #[test]
    fn what_the_operator_says_counts_before_the_public_url() {
        let public = Some("https://outbound.acme.example:8443/x");
        assert_eq!(shown(Some("mail.acme.example."), public).unwrap(), "mail.acme.example");
        assert_eq!(shown(Some("crm"), public).unwrap(), "crm");
        assert_eq!(shown(Some("bücher.example"), public).unwrap(), "xn--bcher-kva.example");
        assert_eq!(shown(Some("192.0.2.7"), public).unwrap(), "[192.0.2.7]");
        assert_eq!(shown(Some("[IPv6:2001:db8::1]"), public).unwrap(), "[IPv6:2001:db8::1]");
        assert_eq!(shown(None, public).unwrap(), "outbound.acme.example");
        for wrong in ["", "a b", "-a.example", "a..b", "a_b", "a@b", "a\r\nRSET"] {
            assert!(chosen(Some(wrong), public).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_that_nobody_outside_knows_is_not_guessed() {
        let machine = shown(None, None);
        for url in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]/", "http://crm/", "no url"] {
            assert_eq!(shown(None, Some(url)), machine, "{url}");
        }
        assert_eq!(of_connection("[::ffff:192.0.2.7]:25".parse().unwrap()).to_string(), "[192.0.2.7]");
        assert_eq!(of_connection("[2001:db8::1]:25".parse().unwrap()).to_string(), "[IPv6:2001:db8::1]");
    }
}
