//! Names whose records change: the machine moves, and the old one still answers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

use outbound::config::{CONNECTION_AGE_MAX, NameSource};
use support::clock::StoppedClock;
use support::dns::{Answer, DnsServer};
use support::endpoint::{Endpoint, Step, answer};
use tokio::time::Instant;

use crate::*;

/// Under the time for which an idle connection is kept.
const PAUSE: Duration = Duration::from_secs(2);

/// Providers move a name and leave the old machine running for its other customers; a message comes every two seconds,
/// so the connection is never idle for long.
#[tokio::test]
async fn a_changed_record_is_followed_within_a_minute_although_the_old_machine_answers() {
    let dns = DnsServer::start();
    dns.answer("crm.example", Answer::at("127.0.0.1"));
    let old = Endpoint::start(vec![Step::Reply(answer("200 OK", "", "ok"))]);
    let url = format!("http://crm.example:{}/", old.address.port());
    let new = TcpListener::bind(("127.0.0.2", old.address.port())).unwrap();
    let moved = Arc::new(AtomicBool::new(false));
    let has_moved = Arc::clone(&moved);
    std::thread::spawn(move || {
        let (mut stream, _) = new.accept().unwrap();
        has_moved.store(true, Ordering::SeqCst);
        let mut request = Vec::new();
        while !request.ends_with(b"}}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        stream.write_all(&answer("200 OK", "", "ok")).unwrap();
    });
    let names = NameSource { resolv_conf: dns.resolv_conf(), hosts: dns.hosts(), port: dns.port() };
    let reach = EgressRules { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressRules::default() };
    let clock = || Time::from_unix_ms(1_649_367_553_000);
    let egress = Egress { names, ..Egress::default() };
    let courier = Courier::new(&CourierOptions { timeout: Duration::from_secs(5), reach, clock, egress }).unwrap();

    let (clock, began) = (StoppedClock::stop(), Instant::now());
    for n in 0..3 {
        assert_eq!(attempt(&courier, &url).await.error, None, "message {n}");
        clock.pass(PAUSE).await;
    }
    dns.answer("crm.example", Answer::at("127.0.0.2"));
    let mut kept = 0;
    while !moved.load(Ordering::SeqCst) {
        let age = began.elapsed();
        assert!(age <= CONNECTION_AGE_MAX, "after {age:?} the old machine still gets them");
        assert_eq!(attempt(&courier, &url).await.error, None);
        kept += 1;
        clock.pass(PAUSE).await;
    }
    assert!(kept > 10, "the connection was used again until then: {kept} messages");
    assert_eq!(old.seen().connections, 1);
}
