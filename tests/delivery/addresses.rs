//! Where an attempt may go.

use std::fs;

use support::dns::DnsServer;
use support::endpoint::Receiver;
use support::namespace::{apart, ip};

use crate::names::source;
use crate::*;

#[tokio::test]
async fn a_refused_connection_is_a_connect_error() {
    let closed = ClosedPort::hold();
    let address = closed.address;
    let done = attempt(&courier(), &format!("http://{address}/")).await;
    assert_failed(&done, ErrorKind::Connect, &format!("no connection to {address}: connection refused"));
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_error() {
    // A label of more than 63 characters is refused by the resolver itself, so nobody is asked.
    let host = format!("{}.invalid", "x".repeat(64));
    let done = attempt(&courier(), &format!("http://{host}/")).await;
    let sentence = format!("the name {host} cannot be resolved; check its spelling and its DNS records");
    assert_failed(&done, ErrorKind::Dns, &sentence);
}

#[tokio::test]
async fn a_literal_address_that_is_not_public_is_never_connected_to() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let courier = Courier::new(&options(&[])).unwrap();
    let port = endpoint.address.port();
    for host in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let done = attempt(&courier, &format!("http://{host}:{port}/")).await;
        assert_eq!(done.error.unwrap().kind, ErrorKind::ForbiddenAddress, "{host}");
    }
    assert_eq!(endpoint.seen().connections, 0);
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_is_not_public_is_never_connected_to() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let courier = Courier::new(&options(&[])).unwrap();
    let done = attempt(&courier, &format!("http://localhost:{}/", endpoint.address.port())).await;
    let sentence = "localhost leads to an address that is not public; \
                    use a public one or have the operator allow it (--allow-net)";
    assert_failed(&done, ErrorKind::ForbiddenAddress, sentence);
    assert_eq!(endpoint.seen().connections, 0);
}

#[tokio::test]
async fn an_exception_for_one_port_holds_for_names_too() {
    let (open, closed) = (Endpoint::start(vec![Step::Reply(ok())]), Endpoint::start(vec![Step::Reply(ok())]));
    let narrowed = format!("127.0.0.0/8:{}", open.address.port());
    let courier = Courier::new(&options(&[&narrowed, "[::1]:1"])).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let there = attempt(&courier, &format!("http://{host}:{}/", closed.address.port())).await;
        assert_eq!(there.error.unwrap().kind, ErrorKind::ForbiddenAddress, "{host}");
        assert!(delivered(&attempt(&courier, &format!("http://{host}:{}/", open.address.port())).await), "{host}");
    }
    assert_eq!((open.seen().requests.len(), closed.seen().connections), (2, 0));
}

#[tokio::test]
async fn a_denied_network_is_never_connected_to_whatever_allows_it() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let reach = reach(&["127.0.0.0/8", "::1"], &["127.0.0.0/30", "::1"]);
    let courier = Courier::new(&CourierOptions { reach, ..options(&[]) }).unwrap();
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let done = attempt(&courier, &format!("http://{host}:{}/", endpoint.address.port())).await;
        let error = done.error.unwrap();
        assert_eq!(error.kind, ErrorKind::ForbiddenAddress, "{host}");
        assert!(error.detail.contains("closed to webhooks (--deny-net)"), "{}", error.detail);
    }
    assert_eq!(endpoint.seen().connections, 0);
}

#[tokio::test]
async fn a_stored_http_webhook_fails_with_the_reason_where_https_is_required() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let rules = EgressRules { require_https: true, ..reach(&["127.0.0.0/8"], &[]) };
    let courier = Courier::new(&CourierOptions { reach: rules, ..options(&[]) }).unwrap();
    let done = attempt(&courier, &endpoint.url()).await;
    let sentence = "the URL must start with https://, the operator of this service lets nothing be sent without TLS \
                    (--require-https)";
    assert_failed(&done, ErrorKind::ForbiddenAddress, sentence);
    assert_eq!(endpoint.seen().connections, 0);
}

/// A proxy would resolve names itself, out of the guard's sight.
#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used() {
    const ME: &str = "addresses::a_proxy_in_the_environment_is_not_used";
    const URL: &str = "OUTBOUND_TEST_PROXY_URL";
    if let Ok(url) = std::env::var(URL) {
        assert!(delivered(&attempt(&courier(), &url).await));
        return;
    }
    let (endpoint, proxy) = (Endpoint::start(vec![Step::Reply(ok())]), Endpoint::start(vec![Step::Reply(ok())]));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", ME]).env(URL, endpoint.url());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        child.env(name, format!("http://{}", proxy.address));
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((endpoint.seen().requests.len(), proxy.seen().connections), (1, 0));
}

#[tokio::test]
async fn of_a_names_addresses_the_permitted_ones_are_used() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let done = attempt(&courier(), &format!("http://localhost:{}/", endpoint.address.port())).await;
    assert!(delivered(&done), "{done:?}");
}

#[tokio::test]
async fn one_name_is_asked_for_once_by_many_attempts_and_serves_all() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let courier = courier();
    let url = format!("http://localhost:{}/", endpoint.address.port());
    let many = 128;
    let all = futures_util::future::join_all((0..many).map(|_| attempt(&courier, &url))).await;
    assert!(all.iter().all(delivered), "{all:?}");
    assert_eq!(endpoint.seen().requests.len(), many);
}

#[tokio::test]
async fn without_a_readable_secret_nothing_is_sent() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let unsigned = post_to(target(&endpoint.url(), vec!["whsec_short".into()], CustomHeaders::new()), "msg_1");
    let report = courier().attempt(&unsigned).await;
    let sentence = "the request cannot be signed: a signing secret is whsec_ followed by the Base64 of 24 to 64 bytes";
    assert_eq!(report, PostResult::Unable(sentence.to_owned()));
    assert_eq!(endpoint.seen().connections, 0);
}

/// This machine has two public addresses; what listens on them is behind no firewall for whoever connects from here.
#[test]
fn a_public_address_of_this_machine_itself_gets_nothing() {
    apart("addresses::a_public_address_of_this_machine_itself_gets_nothing", async {
        for address in ["8.8.8.1/24", "8.8.8.2/24"] {
            ip(&format!("address add {address} dev lo"));
        }
        let (receiver, dns) = (Receiver::start_everywhere(), DnsServer::start());
        let port = receiver.address.port();
        fs::write(dns.hosts(), "8.8.8.1 crm.example\n8.8.8.2 crm.example\n127.0.0.1 crm.example\n").unwrap();
        let named = |allow: &[&str]| {
            let egress = Egress { names: source(&dns), ..Egress::default() };
            Courier::new(&CourierOptions { egress, ..options(allow) }).unwrap()
        };
        let barred = named(&[]);
        for host in ["8.8.8.1", "8.8.8.2", "crm.example"] {
            let done = attempt(&barred, &format!("http://{host}:{port}/acme")).await;
            let sentence = format!(
                "{host} leads to an address that is this machine's own; use another one or have the operator allow it \
                 (--allow-net)"
            );
            assert_failed(&done, ErrorKind::ForbiddenAddress, &sentence);
        }
        assert_eq!(receiver.count(), 0);
        for (allow, host) in [("8.8.8.1", "8.8.8.1"), ("8.8.8.0/24", "8.8.8.2"), ("127.0.0.1", "crm.example")] {
            assert!(delivered(&attempt(&named(&[allow]), &format!("http://{host}:{port}/acme")).await), "{allow}");
        }
        assert_eq!(receiver.count(), 3);
    });
}
