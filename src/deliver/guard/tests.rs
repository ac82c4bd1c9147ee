use super::*;

fn permitted(address: &str) -> bool {
    let address: IpAddr = address.parse().unwrap();
    Guard::default().check(SocketAddr::new(address, 443)).is_ok()
}

fn guard(allow: &[&str], deny: &[&str]) -> Guard {
    Guard::new(EgressRules {
        allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
        deny: deny.iter().map(|network| network.parse().unwrap()).collect(),
        require_https: false,
    })
}

fn lets_through(guard: &Guard, address: &str, port: u16) -> bool {
    guard.check(SocketAddr::new(address.parse().unwrap(), port)).is_ok()
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
    let guard = guard(&["10.1.0.0/16", "fd00:1::/32"], &[]);
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
        assert_eq!(lets_through(&guard, address, 443), expected, "{address}");
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
        (
            "http://999.1.1.1/",
            "the URL's host looks like an address and is none: write a name, four numbers from 0 to 255, or an IPv6 \
             address in brackets, without a zone",
        ),
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

#[test]
fn what_is_denied_is_closed_whatever_allows_it() {
    let guard = guard(&["10.0.0.0/8", "64:ff9b::/96"], &["10.9.0.0/16", "8.8.8.0/24", "::ffff:1.1.1.1", "2606::/16"]);
    for (address, expected) in [
        ("10.8.255.255", Ok(())),
        ("10.9.0.1", Err(Barrier::Denied)),
        ("::ffff:10.9.0.1", Err(Barrier::Denied)),
        ("64:ff9b::10.9.0.1", Err(Barrier::Denied)),
        ("64:ff9b::10.8.0.1", Ok(())),
        ("8.8.8.8", Err(Barrier::Denied)),
        ("64:ff9b::8.8.8.8", Err(Barrier::Denied)),
        ("8.8.4.4", Ok(())),
        ("1.1.1.1", Err(Barrier::Denied)),
        ("2606:4700::1111", Err(Barrier::Denied)),
        ("192.168.0.1", Err(Barrier::NotPublic)),
    ] {
        assert_eq!(guard.check(SocketAddr::new(address.parse().unwrap(), 443)), expected, "{address}");
    }
    let error = parse_endpoint("https://10.9.0.1/hook", &guard).unwrap_err().to_string();
    assert_eq!(
        error,
        "10.9.0.1 leads to an address that the operator has closed to webhooks (--deny-net); use another one"
    );
}

#[test]
fn an_embedded_ipv4_address_is_judged_beside_the_one_around_it() {
    let all = guard(&["64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96"], &[]);
    for public in [
        "64:ff9b::808:808",
        "64:ff9b:1:808:8:800::",
        "64:ff9b:1::808:808",
        "2002:808:808::1",
        "2001:0:808:808::f7f7:f7f7",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
    ] {
        assert!(lets_through(&all, public, 443), "{public}");
        assert!(!permitted(public), "{public}");
    }
    for special in [
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "64:ff9b::",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:abcd::a9fe:a9fe",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1::",
        "2002:a9fe:a9fe::1",
        "2002:7f00:1::",
        "2001:0:808:808::5601:5601",
        "2001:0:a9fe:a9fe::f7f7:f7f7",
        "::127.0.0.1",
        "::ffff:0:169.254.169.254",
    ] {
        assert!(!lets_through(&all, special, 443), "{special}");
    }
    for literal in ["[64:ff9b::169.254.169.254]", "[0064:ff9b:0:0::a9fe:a9fe]"] {
        let parsed = parse_endpoint(&format!("http://{literal}/"), &all);
        assert!(matches!(parsed, Err(InvalidUrl::Forbidden(_))), "{literal}");
    }
    // Of a site's own prefix the length that the operator named counts.
    let own = guard(&["64:ff9b:1:a00::/96"], &[]);
    assert!(lets_through(&own, "64:ff9b:1:a00::808:808", 443) && !lets_through(&own, "64:ff9b:1:a00::a00:1", 443));
    // Behind a translator, too, an exception opens what it names.
    let inner = guard(&["64:ff9b::/96", "10.0.0.5:8443", "::1"], &[]);
    assert!(lets_through(&inner, "64:ff9b::10.0.0.5", 8443) && !lets_through(&inner, "64:ff9b::10.0.0.5", 443));
    assert!(lets_through(&inner, "::1", 443));
}

#[test]
fn an_exception_for_one_port_opens_no_other() {
    let guard = guard(&["10.0.0.5:8443", "[fd00::1]:8443", "10.1.0.0/16:80"], &[]);
    for (url, expected) in [
        ("https://10.0.0.5:8443/", true),
        ("https://[::ffff:10.0.0.5]:8443/", true),
        ("https://10.0.0.5/", false),
        ("https://10.0.0.6:8443/", false),
        ("https://[fd00::1]:8443/", true),
        ("http://[fd00::1]/", false),
        ("http://10.1.2.3/", true),
        ("https://10.1.2.3/", false),
    ] {
        assert_eq!(parse_endpoint(url, &guard).is_ok(), expected, "{url}");
    }
}

#[test]
fn without_tls_nothing_is_sent_where_the_operator_says_so() {
    let guard = Guard::new(EgressRules { require_https: true, ..EgressRules::default() });
    for url in ["http://crm.example/", "HTTP://crm.example:443/", "http://10.0.0.1/"] {
        assert_eq!(parse_endpoint(url, &guard), Err(InvalidUrl::HttpsRequired), "{url}");
    }
    assert!(parse_endpoint("HTTPS://crm.example:8080/", &guard).is_ok());
}
