//! This machine has no file descriptor left. A test binary of its own with one test, as the limit holds for
//! the whole process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::config::NameSource;
use outbound::config::network::EgressRules;
use outbound::deliver::{Courier, CourierOptions, Egress, Post, PostResult, Target};
use outbound::workspace::Time;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::dns::{Answer, DnsServer};
use support::endpoint::{Endpoint, Step, answer};

#[tokio::test]
async fn without_a_file_descriptor_nothing_is_attempted_and_with_one_it_is() {
    let endpoint = Endpoint::start(vec![Step::Reply(answer("200 OK", "", ""))]);
    let dns = DnsServer::start();
    dns.answer("crm.example", Answer::at("127.0.0.1"));
    let options = CourierOptions {
        timeout: Duration::from_secs(5),
        reach: EgressRules { allow: vec!["127.0.0.1/32".parse().unwrap()], ..EgressRules::default() },
        clock: || Time::from_unix_ms(0),
        egress: Egress {
            names: NameSource { resolv_conf: dns.resolv_conf(), hosts: dns.hosts(), port: dns.port() },
            ..Egress::default()
        },
    };
    let courier = Courier::new(&options).unwrap();
    let limit = getrlimit(Resource::Nofile);
    for host in ["127.0.0.1", "localhost", "crm.example"] {
        let post = Post {
            to: Arc::new(Target::new(
                "acme".parse().unwrap(),
                format!("http://{host}:{}/", endpoint.address.port()).into(),
                vec!["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into()],
                outbound::workspace::headers::CustomHeaders::new(),
            )),
            webhook_id: Arc::from("msg_7_1-0"),
            body: Bytes::from("{}"),
        };
        let requests = endpoint.seen().requests.len();

        setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).unwrap();
        let report = courier.attempt(&post).await;
        setrlimit(Resource::Nofile, limit).unwrap();
        let PostResult::Unable(reason) = report else { panic!("{host}: {report:?}") };
        assert_eq!(reason, "this machine can open no further connection: Too many open files (os error 24)");
        assert_eq!(endpoint.seen().requests.len(), requests);

        let report = courier.attempt(&post).await;
        assert!(matches!(&report, PostResult::Done(done) if done.error.is_none()), "{host}: {report:?}");
        assert_eq!(endpoint.seen().requests.len(), requests + 1);
    }
}
