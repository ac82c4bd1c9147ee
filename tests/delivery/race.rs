//! Names with several addresses, of which some machines are gone: the first that takes the connection is used.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use outbound::config::CONNECT_ATTEMPT_DELAY;
use outbound::config::network::EgressRules;
use socket2::{Domain, Socket, Type};
use support::dns::{Answer, DnsServer};

use crate::names::source;
use crate::*;

/// A port at which the system drops what comes, as a machine does that is gone.
pub(crate) struct SilentPort {
    pub(crate) address: SocketAddr,
    /// Those that nobody accepts fill its queue.
    _waiting: Vec<TcpStream>,
    _full: Socket,
}

impl SilentPort {
    pub(crate) fn hold(on: SocketAddr) -> Self {
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.set_reuse_address(true).unwrap();
        full.bind(&on.into()).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap().as_socket().unwrap();
        let fill = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200));
        let waiting: Vec<_> = (0..16).map(fill).map_while(Result::ok).collect();
        assert!(waiting.len() < 16, "the queue is full");
        Self { address, _waiting: waiting, _full: full }
    }
}

/// A living endpoint on 127.0.0.1 and what else has its port, under one name.
struct Name {
    dns: DnsServer,
    endpoint: Endpoint,
    courier: Courier,
}

impl Name {
    fn start(addresses: &[&str], allow: &[&str]) -> Self {
        let dns = DnsServer::start();
        // It closes, so that every attempt makes a connection.
        let endpoint = Endpoint::start(vec![Step::Reply(answer("200 OK", "connection: close\r\n", ""))]);
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        dns.answer("crm.example", Answer::Addresses(addresses, 0));
        let egress = Egress { names: source(&dns), ..Egress::default() };
        let courier = Courier::new(&CourierOptions { egress, ..options(allow) }).unwrap();
        Self { dns, endpoint, courier }
    }

    fn beside(&self, last: u8) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, last), self.endpoint.address.port()).into()
    }

    async fn attempt(&self) -> AttemptOutcome {
        attempt(&self.courier, &format!("http://crm.example:{}/", self.endpoint.address.port())).await
    }
}

/// Whether somebody has connected there.
fn is_connected_to(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    !matches!(listener.accept(), Err(error) if error.kind() == IoErrorKind::WouldBlock)
}

#[tokio::test]
async fn an_address_whose_machine_is_gone_costs_a_moment_and_the_next_attempt_nothing() {
    let name = Name::start(&["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.1"], &["127.0.0.0/8"]);
    let gone = SilentPort::hold(name.beside(2));
    let done = name.attempt().await;
    // Nobody listens at the third: it refuses, and the last one has its turn at once.
    assert!(delivered(&done) && done.duration >= CONNECT_ATTEMPT_DELAY, "{done:?}");
    assert!(done.duration < DEADLINE / 8, "a share of the deadline for each would be a third: {:?}", done.duration);
    drop(gone);
    let back = TcpListener::bind(name.beside(2)).unwrap();
    assert!(delivered(&name.attempt().await));
    assert!(!is_connected_to(&back), "the one that took the last connection is tried first");
    assert_eq!(name.endpoint.seen().requests.len(), 2);
    // It is no address of the name any more.
    name.dns.answer("crm.example", Answer::at("127.0.0.3"));
    let port = name.endpoint.address.port();
    let sentence = format!("no connection to crm.example:{port}: connection refused");
    assert_failed(&name.attempt().await, ErrorKind::Connect, &sentence);
}

#[tokio::test]
async fn when_all_machines_are_gone_it_is_a_timeout_and_one_that_refuses_was_reached() {
    let name = Name::start(&[], &["127.0.0.0/8"]);
    let port = name.endpoint.address.port();
    let _gone = [2, 3].map(|last| SilentPort::hold(name.beside(last)));
    let late = format!(
        "crm.example did not answer within 20s: there is no connection to crm.example:{port}; check that it is up, that the \
         port is right, and that no firewall is in between"
    );
    let refused = format!("no connection to crm.example:{port}: connection refused");
    for (addresses, kind, sentence) in [
        (["127.0.0.2", "127.0.0.3"], ErrorKind::Timeout, &late),
        (["127.0.0.2", "127.0.0.4"], ErrorKind::Connect, &refused),
        (["127.0.0.4", "127.0.0.2"], ErrorKind::Connect, &refused),
        (["127.0.0.4", "127.0.0.5"], ErrorKind::Connect, &refused),
    ] {
        let lines = addresses.map(|address| format!("{address} crm.example\n"));
        fs::write(name.dns.hosts(), lines.concat()).unwrap();
        let egress = Egress { names: source(&name.dns), ..Egress::default() };
        let courier = Courier::new(&CourierOptions { egress, ..options(&["127.0.0.0/8"]) }).unwrap();
        let clock = StoppedClock::stop();
        let done = clock.after(async {}, attempt(&courier, &format!("http://crm.example:{port}/"))).await;
        assert_failed(&done, kind, sentence);
    }
}

#[tokio::test]
async fn an_address_that_the_guard_refuses_is_never_raced() {
    let name = Name::start(&["127.0.0.2", "127.0.0.1"], &["127.0.0.1/32"]);
    let barred = TcpListener::bind(name.beside(2)).unwrap();
    assert!(delivered(&name.attempt().await));
    let closed = Courier::new(&CourierOptions {
        egress: Egress { names: source(&name.dns), ..Egress::default() },
        reach: EgressRules { deny: vec!["127.0.0.1/32".parse().unwrap()], ..reach(&["127.0.0.1/32"], &[]) },
        ..options(&[])
    });
    let done = attempt(&closed.unwrap(), &format!("http://crm.example:{}/", barred.local_addr().unwrap().port())).await;
    assert_eq!(done.error.unwrap().kind, ErrorKind::ForbiddenAddress);
    assert!(!is_connected_to(&barred));
}

/// Records as they are: many machines, an IPv4 address written as one of IPv6, names that lead in a circle.
#[tokio::test]
async fn odd_records_lead_to_the_address_that_is_meant_or_to_none() {
    for address in ["::ffff:127.0.0.1", "127.0.0.1"] {
        assert!(delivered(&Name::start(&[address], &["127.0.0.1/32"]).attempt().await), "{address}");
    }
    let many = Name::start(&[], &["127.0.0.0/8"]);
    // Nobody listens at those in front, which are as many as one attempt tries.
    let lines: String = (1..=40).rev().map(|last| format!("127.0.0.{last} many.example\n")).collect();
    fs::write(many.dns.hosts(), lines).unwrap();
    let egress = Egress { names: source(&many.dns), ..Egress::default() };
    let reads_them = Courier::new(&CourierOptions { egress, ..options(&["127.0.0.0/8"]) }).unwrap();
    let done = attempt(&reads_them, &format!("http://many.example:{}/", many.endpoint.address.port())).await;
    assert_eq!(done.error.unwrap().kind, ErrorKind::Connect);
    for (name, of) in [("crm.example", "other.example"), ("other.example", "crm.example")] {
        many.dns.answer(name, Answer::Alias(of.to_owned()));
    }
    let done = many.attempt().await;
    assert_eq!(done.error.unwrap().kind, ErrorKind::Dns);
    assert!(done.duration < DEADLINE / 4, "{:?}", done.duration);
    many.dns.answer("other.example", Answer::at("127.0.0.1"));
    assert!(delivered(&many.attempt().await));
}
