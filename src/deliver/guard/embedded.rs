//! IPv4 addresses inside IPv6 addresses: a translator or a tunnel on the way connects to them, so they are judged
//! like any other.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// The well-known prefix of translators (RFC 6052 section 2.1): the IPv4 address is in the last 32 bits.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// For a site's own translators (RFC 8215): a prefix of any length of [`TRANSLATED`] lies in it.
const NAT64_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);
/// The lengths that a prefix of it may have (RFC 6052 section 2.2).
const TRANSLATED: [u8; 4] = [48, 56, 64, 96];
/// 6to4 (RFC 3056): the IPv4 address follows the prefix.
const SIX_TO_FOUR: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
/// Teredo (RFC 4380): the server's address follows the prefix, the client's is inverted in the last 32 bits.
const TEREDO: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);
/// IPv4-compatible (RFC 4291 section 2.5.5.1). The mapped form is IPv4 before it is judged.
const COMPATIBLE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96);
/// IPv4-translated (RFC 2765), `::ffff:0:a.b.c.d`.
const TRANSLATABLE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96);

/// The IPv4 addresses that `address` may lead to: none when it has no such form. Where a site chooses the
/// translator's prefix, it is taken to be at least as long as `prefix`, that of the network which the operator named.
pub(super) fn embedded(address: Ipv6Addr, prefix: u8) -> Vec<Ipv4Addr> {
    let bits = u128::from(address);
    let last = low(bits);
    if address.is_loopback() || address.is_unspecified() {
        Vec::new()
    } else if NAT64.contains(&address) || COMPATIBLE.contains(&address) || TRANSLATABLE.contains(&address) {
        vec![last]
    } else if NAT64_LOCAL.contains(&address) {
        local(bits, prefix)
    } else if SIX_TO_FOUR.contains(&address) {
        vec![low(bits >> 80)]
    } else if TEREDO.contains(&address) {
        vec![low(bits >> 64), Ipv4Addr::from(!u32::from(last))]
    } else {
        Vec::new()
    }
}

/// Of a longer prefix the address has zeros where a shorter one has its IPv4 address: what is read from those is
/// no address of a host.
fn local(bits: u128, prefix: u8) -> Vec<Ipv4Addr> {
    let lengths = TRANSLATED.into_iter().filter(|length| *length >= prefix.min(96));
    let all: Vec<Ipv4Addr> = lengths.map(|length| translated(bits, length)).collect();
    let hosts: Vec<Ipv4Addr> = all.iter().copied().filter(|address| address.octets()[0] != 0).collect();
    if hosts.is_empty() { all } else { hosts }
}

/// The address behind a prefix of that length: the bits 64 to 71 are passed over (RFC 6052 section 2.2).
fn translated(bits: u128, length: u8) -> Ipv4Addr {
    match length {
        48 => low(((bits >> 64) & 0xffff) << 16 | (bits >> 40) & 0xffff),
        56 => low(((bits >> 64) & 0xff) << 24 | (bits >> 32) & 0xff_ffff),
        64 => low(bits >> 24),
        _ => low(bits),
    }
}

/// The last 32 bits.
fn low(bits: u128) -> Ipv4Addr {
    let [.., a, b, c, d] = bits.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn leads(address: &str, prefix: u8, to: &[&str]) {
        let found: Vec<String> = embedded(address.parse().unwrap(), prefix).iter().map(ToString::to_string).collect();
        assert_eq!(found, to, "{address} in a network of length {prefix}");
    }

    /// RFC 6052 section 2.4 has the texts for 192.0.2.33, here below the prefix of RFC 8215.
    #[test]
    fn every_form_that_holds_an_ipv4_address_is_read() {
        for (address, to) in [
            ("64:ff9b::192.0.2.33", &["192.0.2.33"][..]),
            ("2002:c000:221::1", &["192.0.2.33"]),
            ("2001:0:c000:221::3fff:fdde", &["192.0.2.33", "192.0.2.33"]),
            ("::192.0.2.33", &["192.0.2.33"]),
            ("::ffff:0:192.0.2.33", &["192.0.2.33"]),
            ("::1", &[]),
            ("::", &[]),
            ("fd00::c000:221", &[]),
            ("2606:4700::c000:221", &[]),
        ] {
            leads(address, 32, to);
        }
        leads("64:ff9b:1:c000:2:2100::", 48, &["192.0.2.33", "2.33.0.0"]);
        leads("64:ff9b:1:aac0:0:221::", 56, &["192.0.2.33"]);
        leads("64:ff9b:1:aaaa:c0:2:2100:0", 64, &["192.0.2.33", "33.0.0.0"]);
        for prefix in [96, 112, 128] {
            leads("64:ff9b:1:aaaa:bb::c000:221", prefix, &["192.0.2.33"]);
        }
        leads("64:ff9b:1::", 48, &["0.0.0.0"; 4]);
    }
}
