//! How names become addresses: from the system's files and from a name server that answers as it likes.

use std::fs;

use outbound::config::NameSource;
use support::dns::{Answer, DnsServer};
use support::process;

use crate::*;

pub(crate) fn source(dns: &DnsServer) -> NameSource {
    NameSource { resolv_conf: dns.resolv_conf(), hosts: dns.hosts(), port: dns.port() }
}

fn courier_of(names: NameSource) -> Courier {
    courier_with(Egress { names, ..Egress::default() }, DEADLINE)
}

fn courier_with(egress: Egress, timeout: Duration) -> Courier {
    Courier::new(&CourierOptions { egress, timeout, ..options(&["127.0.0.0/8"]) }).unwrap()
}

fn to(host: &str, endpoint: &Endpoint) -> String {
    format!("http://{host}:{}/", endpoint.address.port())
}

/// It closes after every answer, so every request needs the name.
fn closing() -> Endpoint {
    Endpoint::start(vec![Step::Reply(answer("200 OK", "connection: close\r\n", ""))])
}

/// Attempts until one ends as wanted.
async fn until(courier: &Courier, url: &str, what: &str, wanted: impl Fn(&PostResult) -> bool) {
    process::until(what, async || wanted(&courier.attempt(&post(url, "msg_7_1-0")).await)).await;
}

fn is_delivered(result: &PostResult) -> bool {
    matches!(result, PostResult::Done(done) if done.error.is_none())
}

fn is_dns_error(result: &PostResult) -> bool {
    matches!(result, PostResult::Done(done) if done.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Dns))
}

fn unresolved(host: &str) -> String {
    format!("the name {host} cannot be resolved; check its spelling and its DNS records")
}

#[tokio::test]
async fn whatever_keeps_a_name_from_having_an_address_is_a_dns_error() {
    let dns = DnsServer::start();
    let (endpoint, courier) = (Endpoint::start(vec![Step::Reply(ok())]), courier_of(source(&dns)));
    for (host, answer) in [
        ("none.example", Answer::NoSuchName),
        ("empty.example", Answer::Addresses(Vec::new(), 0)),
        ("servfail.example", Answer::Failure),
        ("refused.example", Answer::Refusal),
    ] {
        dns.answer(host, answer);
        let done = attempt(&courier, &to(host, &endpoint)).await;
        assert_failed(&done, ErrorKind::Dns, &unresolved(host));
    }
    dns.answer("silent.example", Answer::Silence);
    let (clock, silent) = (StoppedClock::stop(), to("silent.example", &endpoint));
    let asked = process::until("it is asked for", async || dns.asked().iter().any(|name| name == "silent.example"));
    assert_failed(&clock.after(asked, attempt(&courier, &silent)).await, ErrorKind::Dns, &unresolved("silent.example"));
    drop(clock);
    dns.answer("crm.example", Answer::at("127.0.0.1"));
    for host in ["crm.example", "CRM.Example", "crm.example."] {
        assert!(delivered(&attempt(&courier, &to(host, &endpoint)).await), "{host}");
    }
    dns.answer("under_score.example", Answer::at("127.0.0.1"));
    assert!(delivered(&attempt(&courier, &to("under_score.example", &endpoint)).await));
    assert_eq!(endpoint.seen().requests.len(), 4);
}

#[tokio::test]
async fn a_name_server_that_is_not_there_is_a_dns_error() {
    let dns = DnsServer::start();
    // No test may listen there.
    let nobody = 1;
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    for names in [
        NameSource { port: nobody, ..source(&dns) },
        NameSource { resolv_conf: "/nowhere/resolv.conf".into(), hosts: "/nowhere/hosts".into(), port: nobody },
    ] {
        let done = attempt(&courier_of(names), &to("crm.example", &endpoint)).await;
        assert_eq!(done.error.unwrap().kind, ErrorKind::Dns);
    }
}

#[tokio::test]
async fn without_a_resolv_conf_this_host_is_asked() {
    let dns = DnsServer::start();
    dns.answer("crm.example", Answer::at("127.0.0.1"));
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let empty = dns.resolv_conf().with_file_name("empty");
    fs::write(&empty, "# nothing\noptions ndots:1 something-unknown\n").unwrap();
    for resolv_conf in ["/nowhere/resolv.conf".into(), empty] {
        let courier = courier_of(NameSource { resolv_conf, ..source(&dns) });
        assert!(delivered(&attempt(&courier, &to("crm.example", &endpoint)).await));
    }
}

#[tokio::test]
async fn a_name_in_the_hosts_file_is_answered_from_there_alone() {
    let dns = DnsServer::start();
    fs::write(dns.hosts(), "# ours\n127.0.0.1 crm.example Other.Example\nno address here\n::1 six.example\n").unwrap();
    let (endpoint, courier) = (Endpoint::start(vec![Step::Reply(ok())]), courier_of(source(&dns)));
    for host in ["crm.example", "other.example", "localhost", "sub.localhost"] {
        assert!(delivered(&attempt(&courier, &to(host, &endpoint)).await), "{host}");
    }
    let done = attempt(&courier, &to("six.example", &endpoint)).await;
    assert_eq!(done.error.unwrap().kind, ErrorKind::ForbiddenAddress);
    assert_eq!(dns.asked(), [""; 0]);
}

#[tokio::test]
async fn both_files_are_read_again_when_they_change() {
    let dns = DnsServer::start();
    let (endpoint, courier) = (closing(), courier_of(source(&dns)));
    let listed = to("listed.example", &endpoint);
    until(&courier, &listed, "it has no address", is_dns_error).await;
    // As editors and container runtimes do: another file is put in its place.
    let other = dns.hosts().with_file_name("other");
    fs::write(&other, "127.0.0.1 listed.example\n").unwrap();
    fs::rename(&other, dns.hosts()).unwrap();
    until(&courier, &listed, "the hosts file is read again", is_delivered).await;
    fs::remove_file(dns.hosts()).unwrap();
    until(&courier, &listed, "the hosts file is gone", is_dns_error).await;

    dns.answer("short.internal.example", Answer::at("127.0.0.1"));
    let short = to("short", &endpoint);
    until(&courier, &short, "it has no address", is_dns_error).await;
    fs::write(dns.resolv_conf(), "search internal.example\nnameserver 127.0.0.1\n").unwrap();
    until(&courier, &short, "the search domain counts", is_delivered).await;
}

#[tokio::test]
async fn an_answer_is_kept_for_its_ttl_and_a_change_is_followed_then() {
    let dns = DnsServer::start();
    let both = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    dns.answer("kept.example", Answer::Addresses(both, 60));
    dns.answer("moves.example", Answer::Addresses(vec!["127.0.0.1".parse().unwrap()], 1));
    let (endpoint, courier) = (closing(), courier_of(source(&dns)));
    for _ in 0..5 {
        assert!(delivered(&attempt(&courier, &to("kept.example", &endpoint)).await));
    }
    assert_eq!(dns.asked(), ["kept.example"; 2], "A and AAAA, once each");
    let moves = to("moves.example", &endpoint);
    assert!(delivered(&attempt(&courier, &moves).await));
    // Nothing listens there.
    dns.answer("moves.example", Answer::Addresses(vec!["127.0.0.2".parse().unwrap()], 1));
    until(&courier, &moves, "the new address is used", |result| !is_delivered(result)).await;
}

/// More names than places, and none is ever answered.
#[tokio::test]
async fn names_whose_servers_never_answer_do_not_hold_up_a_healthy_one() {
    const LOOKUPS: usize = 8;
    /// A lookup that nobody answers takes most of it, and the healthy endpoint next to nothing.
    const TIMEOUT: Duration = Duration::from_secs(5);
    let dns = DnsServer::start();
    dns.answer("healthy.example", Answer::at("127.0.0.1"));
    let egress = Egress { names: source(&dns), lookups: LOOKUPS, ..Egress::default() };
    let (endpoint, courier) = (Endpoint::start(vec![Step::Reply(ok())]), courier_with(egress, TIMEOUT));
    let dead: Vec<String> = (0..LOOKUPS * 8).map(|n| format!("dead-{n}.example")).collect();
    dead.iter().for_each(|name| dns.answer(name, Answer::Silence));
    let urls: Vec<String> = dead.iter().map(|name| to(name, &endpoint)).collect();
    let waiting = async {
        loop {
            futures_util::future::join_all(urls.iter().map(async |url| courier.attempt(&post(url, "msg_1")).await))
                .await;
        }
    };
    let healthy = async {
        let url = to("healthy.example", &endpoint);
        for _ in 0..3 {
            until(&courier, &url, "the healthy one is delivered", |result| {
                assert!(is_delivered(result) || matches!(result, PostResult::Unable(_)), "never counted: {result:?}");
                is_delivered(result)
            })
            .await;
        }
    };
    tokio::select! {
        () = waiting => {}
        () = healthy => {}
    }
}

#[tokio::test]
async fn an_endpoint_of_both_families_is_judged_by_the_one_that_is_there() {
    let closed = ClosedPort::hold();
    let port = closed.address.port();
    let dns = DnsServer::start();
    // No route leads to the documentation network where there is no IPv6, and where there is one nobody answers.
    dns.answer("dual.example", Answer::Addresses(vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()], 0));
    let egress = Egress { names: source(&dns), ..Egress::default() };
    let courier = Courier::new(&CourierOptions { egress, ..options(&["127.0.0.0/8", "::1/128"]) }).unwrap();
    let done = attempt(&courier, &format!("http://dual.example:{port}/")).await;
    assert_failed(&done, ErrorKind::Connect, &format!("no connection to dual.example:{port}: connection refused"));
}

/// Name servers that drop questions for IPv6 addresses, as some routers and old load balancers are.
#[tokio::test]
async fn a_name_server_that_never_answers_for_one_family_holds_nothing_up() {
    let dns = DnsServer::start();
    let (endpoint, courier) = (closing(), courier_of(source(&dns)));
    dns.answer("crm.example", Answer::OneFamily("127.0.0.1".parse().unwrap()));
    for _ in 0..2 {
        let done = attempt(&courier, &to("crm.example", &endpoint)).await;
        // Until a question is given up takes two fifths of four fifths of the deadline.
        assert!(delivered(&done) && done.duration < DEADLINE / 4, "{:?}", done.duration);
    }
}
