//! Whose fault it is that hosts cannot be reached: theirs, or that of this node's network.

use outbound::deliver::{Canary, OUTAGE, Outage};
use support::dns::{Answer, DnsServer};
use support::process::until;

use crate::names::source;
use crate::*;

/// Shorter than failures are held, and longer than a busy machine takes for what answers.
const TIMEOUT: Duration = Duration::from_secs(5);

struct Node {
    dns: DnsServer,
    endpoint: Endpoint,
    outage: Arc<Outage>,
    courier: Courier,
}

impl Node {
    fn start(script: Vec<Step>) -> Self {
        Self::start_with(script, None)
    }

    /// One that asks a canary, which is the endpoint under another name.
    fn start_with(script: Vec<Step>, canary: Option<&str>) -> Self {
        let (dns, outage) = (DnsServer::start(), Arc::<Outage>::default());
        let egress = Egress { names: source(&dns), outage: Arc::clone(&outage), ..Egress::default() };
        let options = CourierOptions { egress, timeout: TIMEOUT, ..options(&["127.0.0.0/8"]) };
        let endpoint = Endpoint::start(script);
        if let Some(host) = canary {
            let url = format!("http://{host}:{}/up?a=1", endpoint.address.port()).parse().unwrap();
            tokio::spawn(Arc::new(Canary::new(url, &options).unwrap()).watch());
        }
        Self { dns, endpoint, outage, courier: Courier::new(&options).unwrap() }
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.endpoint.address.port())
    }

    async fn judged(&self, host: &str) -> PostResult {
        self.courier.attempt_judged(&post(&self.url(host), "msg_7_1-0")).await
    }

    async fn all_judged(&self, hosts: &[&str]) -> Vec<PostResult> {
        futures_util::future::join_all(hosts.iter().map(|host| self.judged(host))).await
    }

    async fn outage_begins(&self) {
        until("an outage is found", async || self.outage.reason().is_some()).await;
    }
}

fn is_counted(result: &PostResult) -> bool {
    matches!(result, PostResult::Done(done) if done.error.is_some() && !done.excused)
}

const HOSTS: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];

#[tokio::test]
async fn when_several_hosts_fail_and_none_is_reached_nothing_is_counted_until_one_is() {
    let node = Node::start(vec![Step::Reply(ok())]);
    for (host, answer) in HOSTS.into_iter().zip([Answer::Silence, Answer::Failure, Answer::Refusal, Answer::Silence]) {
        node.dns.answer(host, answer);
    }
    let unable = PostResult::Unable(OUTAGE.to_owned());
    assert_eq!(node.all_judged(&HOSTS).await, [unable.clone(), unable.clone(), unable.clone(), unable.clone()]);
    assert!(node.outage.reason().unwrap().contains("4 failed"));
    // Nothing is held any more, and a name that does not exist is known not to.
    assert_eq!(node.judged("a.example").await, unable);
    assert!(is_counted(&node.judged("none.example").await));
    // A test is told at once what there is to see.
    let test = node.courier.attempt(&post(&node.url("d.example"), "test_1")).await;
    assert!(is_counted(&test), "{test:?}");

    // Each host is probed once a second, and the first one that is reached ends it.
    node.dns.answer("a.example", Answer::at("127.0.0.1"));
    until("the host is probed", async || node.judged("a.example").await != unable).await;
    assert_eq!(node.outage.reason(), None);
    assert_eq!(node.endpoint.seen().requests.len(), 1);
}

#[tokio::test]
async fn a_dead_name_server_is_the_customers_while_others_are_reached() {
    let node = Node::start(vec![Step::Reply(ok())]);
    node.dns.answer("healthy.example", Answer::at("127.0.0.1"));
    for (host, answer) in HOSTS.into_iter().zip([Answer::Silence, Answer::Failure, Answer::Failure, Answer::Silence]) {
        node.dns.answer(host, answer);
    }
    let healthy = async {
        loop {
            assert!(matches!(node.judged("healthy.example").await, PostResult::Done(done) if done.error.is_none()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        results = node.all_judged(&HOSTS) => assert!(results.iter().all(is_counted), "{results:?}"),
        () = healthy => {}
    }
}

#[tokio::test]
async fn a_refusal_shows_that_a_host_is_reached() {
    let node = Node::start(vec![Step::Reply(ok())]);
    HOSTS.iter().for_each(|host| node.dns.answer(host, Answer::Failure));
    let closed = ClosedPort::hold();
    let url = format!("http://{}/", closed.address);
    let refused = async {
        loop {
            assert!(is_counted(&node.courier.attempt_judged(&post(&url, "msg_1")).await));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        results = node.all_judged(&HOSTS) => assert!(results.iter().all(is_counted), "{results:?}"),
        () = refused => {}
    }
}

#[tokio::test]
async fn two_hosts_are_no_outage() {
    let node = Node::start(Vec::new());
    HOSTS.iter().for_each(|host| node.dns.answer(host, Answer::Failure));
    let results = node.all_judged(&["a.example", "b.example", "a.example"]).await;
    assert!(results.iter().all(is_counted), "{results:?}");
    assert_eq!(node.outage.reason(), None);
}

/// What was sent on a kept connection when the network went away.
#[tokio::test]
async fn a_request_that_was_sent_into_an_outage_is_logged_and_not_counted() {
    let node = Node::start(vec![Step::Reply(ok()), Step::ReplyAndStall(Vec::new())]);
    node.dns.answer("sent.example", Answer::at("127.0.0.1"));
    HOSTS.iter().for_each(|host| node.dns.answer(host, Answer::Silence));
    assert!(matches!(node.judged("sent.example").await, PostResult::Done(done) if done.error.is_none()));
    let (sent, _, ()) = tokio::join!(node.judged("sent.example"), node.all_judged(&HOSTS), node.outage_begins());
    let PostResult::Done(done) = sent else { panic!("{sent:?}") };
    assert!(done.excused, "{done:?}");
    assert_failed(&done, ErrorKind::Timeout, "sent.example did not answer within 5s");
    assert_eq!((node.endpoint.seen().requests.len(), node.endpoint.seen().connections), (2, 1));
}

#[tokio::test]
async fn a_service_that_stops_holds_nothing() {
    let node = Node::start(Vec::new());
    node.dns.answer("a.example", Answer::Failure);
    let stopping = async {
        until("the name is asked for", async || !node.dns.asked().is_empty()).await;
        node.outage.stop();
    };
    let (result, ()) = tokio::join!(node.judged("a.example"), stopping);
    assert_eq!(result, PostResult::Unable(OUTAGE.to_owned()));
}

#[tokio::test]
async fn a_canary_is_asked_in_place_of_the_hosts_that_failed() {
    let node = Node::start_with(vec![Step::Reply(ok())], Some("canary.example"));
    HOSTS.iter().chain(&["canary.example"]).for_each(|host| node.dns.answer(host, Answer::Failure));
    let unable = PostResult::Unable(OUTAGE.to_owned());
    let results = node.all_judged(&HOSTS).await;
    assert!(results.iter().all(|result| *result == unable), "{results:?}");

    // What failed works again, but is not tried before the canary is reached.
    HOSTS.iter().for_each(|host| node.dns.answer(host, Answer::at("127.0.0.1")));
    let asked = |host: &str| node.dns.asked().iter().filter(|name| *name == host).count();
    let (hosts_before, canary_before) = (asked("a.example"), asked("canary.example"));
    until("the canary is asked twice more", async || {
        assert_eq!(node.judged("a.example").await, unable);
        asked("canary.example") >= canary_before + 2
    })
    .await;
    assert_eq!(asked("a.example"), hosts_before);

    node.dns.answer("canary.example", Answer::at("127.0.0.1"));
    until("the outage ends", async || node.outage.reason().is_none()).await;
    assert!(matches!(node.judged("a.example").await, PostResult::Done(done) if done.error.is_none()));
    let asked = format!("HEAD /up?a=1 HTTP/1.1\r\nHost: canary.example:{}\r\n", node.endpoint.address.port());
    node.endpoint.until(|seen| seen.requests.iter().any(|request| request.starts_with(asked.as_bytes()))).await;
}

/// Without one, three dead hosts and nobody else to send to look like an outage.
#[tokio::test]
async fn while_a_canary_is_reached_dead_hosts_are_dead() {
    for (host, answer) in [("canary.example", Answer::at("127.0.0.1")), ("localhost", Answer::Failure)] {
        let node = Node::start_with(vec![Step::Reply(ok())], Some(host));
        node.dns.answer(host, answer);
        HOSTS.iter().for_each(|host| node.dns.answer(host, Answer::Failure));
        let results = node.all_judged(&HOSTS).await;
        assert!(results.iter().all(is_counted), "{results:?}");
        assert_eq!(node.outage.reason(), None);
    }
}
