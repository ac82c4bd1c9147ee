//! Attempts against receivers on real sockets: each gets one request per message, whatever it does, and the
//! attempt ends in the right kind before its deadline.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its support fails")]

#[path = "support/authority.rs"]
mod authority;
#[path = "support/endpoint.rs"]
mod endpoint;

use std::sync::Arc;
use std::time::{Duration, Instant};

use authority::Authority;
use bytes::Bytes;
use endpoint::{Endpoint, Step, answer};
use outbound::deliver::{Courier, Done, Options, Post, Report};
use outbound::workspace::Time;
use outbound::workspace::event::ErrorKind;

const DEADLINE: Duration = Duration::from_millis(500);
/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_millis(500);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &str = r#"{"message":{"direction":"sent"}}"#;

fn options(allow: &[&str]) -> Options {
    Options {
        timeout: DEADLINE,
        allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
        clock: || Time::from_unix_ms(1_649_367_553_000),
    }
}

fn courier() -> Courier {
    Courier::new(&options(&["127.0.0.1/32"])).unwrap()
}

fn post(url: &str, id: &str) -> Post {
    Post { url: Arc::from(url), webhook_id: Arc::from(id), secrets: vec![Arc::from(SECRET)], body: Bytes::from(BODY) }
}

async fn attempt(courier: &Courier, url: &str) -> Done {
    let started = Instant::now();
    let report = courier.attempt(&post(url, "msg_7_1-0")).await;
    assert!(started.elapsed() < DEADLINE + SLACK, "took {:?}", started.elapsed());
    match report {
        Report::Done(done) => done,
        Report::Unable(reason) => panic!("unable: {reason}"),
    }
}

/// One attempt at a receiver that follows `script`; it must have got exactly one request.
async fn once(script: Vec<Step>) -> Done {
    let endpoint = Endpoint::start(script);
    let done = attempt(&courier(), &endpoint.url()).await;
    endpoint.until(|seen| !seen.requests.is_empty()).await;
    assert_eq!(endpoint.seen().requests.len(), 1);
    assert_eq!(endpoint.seen().connections, 1);
    done
}

#[track_caller]
fn assert_failed(done: &Done, kind: ErrorKind, sentence: &str) {
    let error = done.error.as_ref().expect("failed");
    assert_eq!(error.kind, kind, "{}", error.detail);
    assert_eq!(error.detail, sentence);
}

fn ok() -> Vec<u8> {
    answer("200 OK", "", "")
}

fn delivered(done: &Done) -> bool {
    done.error.is_none()
}

#[tokio::test]
async fn the_request_is_what_the_contract_says_and_the_recorded_headers_are_the_sent_ones() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let done = attempt(&courier(), &endpoint.url()).await;
    let request = String::from_utf8(endpoint.seen().requests.remove(0)).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, BODY);
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /hook?token=secret HTTP/1.1"));
    let sent: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .filter(|(name, _)| !["host", "content-length"].contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(sent, done.headers);
    let expected = [
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("user-agent", concat!("outbound/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "msg_7_1-0"),
        ("webhook-timestamp", "1649367553"),
        ("webhook-signature", "v1,7oQivsaW2/dfDsJxxW9Eqr1lKvcnSlkQuCTZDTy8F14="),
    ];
    assert_eq!(done.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_status_from_200_to_209_is_delivered_and_any_other_is_not() {
    for (status, expected) in
        [(200, true), (204, true), (209, true), (210, false), (299, false), (404, false), (503, false)]
    {
        let done = once(vec![Step::Reply(answer(&format!("{status} x"), "", ""))]).await;
        assert_eq!(delivered(&done), expected, "{status}");
        assert_eq!(done.response.as_ref().unwrap().status, status);
        if !expected {
            assert_failed(&done, ErrorKind::HttpStatus, &format!("127.0.0.1 answered {status}"));
        }
    }
}

#[tokio::test]
async fn what_came_back_is_kept() {
    let done = once(vec![Step::Reply(answer("200 OK", "x-b: 1\r\nX-A: \u{fc}\r\nx-b: 2\r\n", "thanks"))]).await;
    let response = done.response.unwrap();
    let expected = [("x-b", "1"), ("x-b", "2"), ("x-a", "\u{fc}"), ("content-length", "6")];
    assert_eq!(response.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(response.body, "thanks");
    assert!(!response.truncated);
    assert!(done.duration > Duration::ZERO);
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let elsewhere = Endpoint::start(vec![Step::Reply(ok())]);
    let location = format!("location: {}\r\n", elsewhere.url());
    let done = once(vec![Step::Reply(answer("308 Permanent Redirect", &location, ""))]).await;
    let sentence = format!("127.0.0.1 answered 308 and points to {}; save that address instead", elsewhere.url());
    assert_failed(&done, ErrorKind::Redirect, &sentence);
    assert_eq!(elsewhere.seen().connections, 0);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_a_protocol_error() {
    let closed = "127.0.0.1 closed the connection without an answer";
    let reset = "127.0.0.1 broke the connection without an answer: connection reset";
    for (step, sentence) in [
        (Step::Close, closed),
        (Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), closed),
        (Step::Reset, reset),
        (Step::ResetUnread, reset),
    ] {
        assert_failed(&once(vec![step]).await, ErrorKind::Protocol, sentence);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_protocol_error() {
    let step = Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab".to_vec());
    let done = once(vec![step]).await;
    let sentence = "127.0.0.1 broke off in the middle of its answer: unexpected end of file";
    assert_failed(&done, ErrorKind::Protocol, sentence);
    assert_eq!(done.response.unwrap().body, "ab");
}

#[tokio::test]
async fn an_error_status_stays_the_reason_when_the_rest_of_the_answer_fails() {
    for step in [Step::ReplyAndClose, Step::ReplyAndStall] {
        let done = once(vec![step(b"HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nab".to_vec())]).await;
        assert_failed(&done, ErrorKind::HttpStatus, "127.0.0.1 answered 500");
        assert_eq!(done.response.unwrap().body, "ab");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_error() {
    let done = once(vec![Step::Reply(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())]).await;
    assert_failed(&done, ErrorKind::Protocol, "what 127.0.0.1 answered is no HTTP/1.1");
    let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n".to_vec();
    let done = once(vec![Step::Reply(chunks)]).await;
    assert_failed(&done, ErrorKind::Protocol, "the body that 127.0.0.1 answered is no HTTP/1.1");
}

#[tokio::test]
async fn up_to_64_headers_are_taken() {
    // With content-length.
    let done = once(vec![Step::Reply(answer("200 OK", &"a: b\r\n".repeat(63), ""))]).await;
    assert!(delivered(&done));
    assert_eq!(done.response.unwrap().headers.len(), 64);
    let done = once(vec![Step::Reply(answer("200 OK", &"a: b\r\n".repeat(64), ""))]).await;
    assert_failed(&done, ErrorKind::Protocol, "127.0.0.1 sent more than 64 headers, or far too long ones");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let done = once(vec![Step::ReplyAndStall(Vec::new())]).await;
    assert_failed(&done, ErrorKind::Timeout, "127.0.0.1 did not answer within 500ms");
    assert!(done.duration >= DEADLINE);
    assert_eq!(done.response, None);
}

#[tokio::test]
async fn headers_without_the_promised_body_are_a_timeout() {
    let done = once(vec![Step::ReplyAndStall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec())]).await;
    assert_failed(&done, ErrorKind::Timeout, "127.0.0.1 did not finish its answer within 500ms");
    assert_eq!(done.response.unwrap().status, 200);
}

#[tokio::test]
async fn a_trickle_does_not_extend_the_deadline() {
    let pause = Duration::from_millis(20);
    let done =
        once(vec![Step::Trickle(Vec::new(), [b"HTTP/1.1 200 OK\r\n", &b"a: b\r\n".repeat(60)[..]].concat(), pause)])
            .await;
    assert_failed(&done, ErrorKind::Timeout, "127.0.0.1 did not answer within 500ms");
    let done =
        once(vec![Step::Trickle(answer("200 OK", "", &"x".repeat(1_000))[..50].to_vec(), vec![b'x'; 900], pause)])
            .await;
    assert_failed(&done, ErrorKind::Timeout, "127.0.0.1 did not finish its answer within 500ms");
    assert!(done.response.unwrap().body.len() > 1);
}

#[tokio::test]
async fn a_large_answer_is_cut_and_no_error() {
    let done = once(vec![Step::Reply(answer("200 OK", "", &"x".repeat(2 * 1024 * 1024)))]).await;
    assert!(delivered(&done));
    let response = done.response.unwrap();
    assert_eq!(response.body, "x".repeat(4 * 1024));
    assert!(response.truncated);
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_the_connection_dropped() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"400\r\n", &[b'x'; 0x400][..], b"\r\n"].concat();
    let endpoint = Endpoint::start(vec![Step::Flood(head, chunk)]);
    let done = attempt(&courier(), &endpoint.url()).await;
    assert!(delivered(&done));
    assert!(done.response.unwrap().truncated);
    endpoint.until(|seen| seen.closed == 1).await;
    assert_eq!(endpoint.seen().requests.len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_read_to_its_end_keeps_the_connection() {
    let endpoint = Endpoint::start(vec![Step::Reply(answer("200 OK", "", &"x".repeat(10_000)))]);
    let courier = courier();
    for _ in 0..3 {
        assert!(delivered(&attempt(&courier, &endpoint.url()).await));
    }
    assert_eq!(endpoint.seen().connections, 1);
    assert_eq!(endpoint.seen().requests.len(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_replaced() {
    let endpoint = Endpoint::start(vec![Step::ReplyAndClose(ok())]);
    let courier = courier();
    for n in 1..=3 {
        assert!(delivered(&attempt(&courier, &endpoint.url()).await));
        // The client has seen the end and closed its side.
        endpoint.until(|seen| seen.closed == n).await;
    }
    assert_eq!(endpoint.seen().connections, 3);
    assert_eq!(endpoint.seen().requests.len(), 3);
}

#[tokio::test]
async fn an_idle_connection_is_given_up_before_node_closes_it() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let courier = courier();
    attempt(&courier, &endpoint.url()).await;
    let started = Instant::now();
    endpoint.until(|seen| seen.closed == 1).await;
    // The pool sweeps once a span, so it may take two; a connection that is too old is not used in between.
    assert!((4..9).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_that_a_kept_connection_took_up_is_never_sent_again() {
    for (step, sentence) in [
        (Step::Close, "127.0.0.1 closed the connection without an answer"),
        (Step::Reset, "127.0.0.1 broke the connection without an answer: connection reset"),
        (Step::ResetUnread, "127.0.0.1 broke the connection without an answer: connection reset"),
    ] {
        // A third request would be answered.
        let endpoint = Endpoint::start(vec![Step::Reply(ok()), step, Step::Reply(ok())]);
        let courier = courier();
        assert!(delivered(&attempt(&courier, &endpoint.url()).await));
        let done = attempt(&courier, &endpoint.url()).await;
        assert_failed(&done, ErrorKind::Protocol, sentence);
        assert_eq!(endpoint.seen().requests.len(), 2);
        assert_eq!(endpoint.seen().connections, 1);
    }
}

/// The race of a kept connection: the receiver closes it, unannounced, while the next request is under way.
#[tokio::test]
async fn in_the_race_with_an_unannounced_close_no_message_is_sent_twice_and_at_most_one_is_lost() {
    const MESSAGES: usize = 300;
    let endpoint = Endpoint::start(vec![Step::ReplyAndClose(ok())]);
    let courier = courier();
    let mut lost = 0;
    for n in 0..MESSAGES {
        let report = courier.attempt(&post(&endpoint.url(), &format!("msg_{n}"))).await;
        let Report::Done(done) = report else { panic!("{report:?}") };
        if let Some(error) = done.error {
            assert_eq!(error.kind, ErrorKind::Protocol, "{}", error.detail);
            lost += 1;
        }
    }
    assert!(lost <= 1, "after the first loss every message gets a connection of its own, but {lost} were lost");
    drop(courier);
    endpoint.until(|seen| seen.closed == seen.connections).await;
    let mut ids: Vec<String> = endpoint.seen().requests.iter().map(|request| webhook_id(request)).collect();
    let received = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), received, "a message came twice");
    assert!(received <= MESSAGES);
}

#[tokio::test]
async fn after_a_break_before_the_answer_connections_are_not_kept() {
    let endpoint = Endpoint::start(vec![Step::Close, Step::Reply(ok())]);
    let courier = courier();
    attempt(&courier, &endpoint.url()).await;
    for _ in 0..2 {
        assert!(delivered(&attempt(&courier, &endpoint.url()).await));
    }
    assert_eq!(endpoint.seen().connections, 3);
    endpoint.until(|seen| seen.closed == 2).await;
}

#[tokio::test]
async fn after_any_other_failure_connections_are_kept() {
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab".to_vec();
    for step in [Step::Reply(answer("500 No", "", "")), Step::ReplyAndStall(Vec::new()), Step::ReplyAndClose(broken)] {
        let endpoint = Endpoint::start(vec![step, Step::Reply(ok())]);
        let courier = courier();
        assert!(!delivered(&attempt(&courier, &endpoint.url()).await));
        attempt(&courier, &endpoint.url()).await;
        let connections = endpoint.seen().connections;
        assert!(delivered(&attempt(&courier, &endpoint.url()).await));
        assert_eq!(endpoint.seen().connections, connections);
    }
}

fn webhook_id(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    text.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap().to_owned()
}

#[tokio::test]
async fn an_attempt_that_is_given_up_at_its_deadline_sends_nothing_later() {
    let endpoint = Endpoint::start(vec![Step::ReplyAndStall(Vec::new())]);
    let courier = courier();
    attempt(&courier, &endpoint.url()).await;
    // The connection goes with the attempt.
    endpoint.until(|seen| seen.closed == 1).await;
    assert_eq!(endpoint.seen().requests.len(), 1);
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let done = attempt(&courier(), &format!("http://{free}/")).await;
    assert_failed(&done, ErrorKind::Connect, &format!("no connection to {free}: connection refused"));
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

/// A proxy would resolve names itself, out of the guard's sight.
#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used() {
    const ME: &str = "a_proxy_in_the_environment_is_not_used";
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
    let many = outbound::config::LOOKUPS_AT_ONCE * 2;
    let all = futures_util::future::join_all((0..many).map(|_| attempt(&courier, &url))).await;
    assert!(all.iter().all(delivered), "{all:?}");
    assert_eq!(endpoint.seen().requests.len(), many);
}

#[tokio::test]
async fn without_a_readable_secret_nothing_is_sent() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let unsigned = Post { secrets: vec![Arc::from("whsec_short")], ..post(&endpoint.url(), "msg_1") };
    let report = courier().attempt(&unsigned).await;
    let sentence = "the request cannot be signed: a signing secret is whsec_ followed by the Base64 of 24 to 64 bytes";
    assert_eq!(report, Report::Unable(sentence.to_owned()));
    assert_eq!(endpoint.seen().connections, 0);
}

fn trusting(authority: &Authority) -> Courier {
    Courier::with_roots(&options(&["127.0.0.1/32"]), authority.roots()).unwrap()
}

/// One attempt at a receiver behind TLS, which must not have got the request if the attempt failed.
async fn once_tls(courier: &Courier, config: rustls::ServerConfig) -> Done {
    let endpoint = Endpoint::start_tls(vec![Step::Reply(ok())], config);
    let done = attempt(courier, &endpoint.url().replace("http:", "https:")).await;
    assert_eq!(endpoint.seen().requests.len(), usize::from(delivered(&done)));
    assert_eq!(endpoint.seen().connections, 1);
    done
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_holds() {
    let authority = Authority::new();
    let done = once_tls(&trusting(&authority), authority.server("127.0.0.1", 2000..4000)).await;
    assert!(delivered(&done), "{done:?}");
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_a_tls_error() {
    let authority = Authority::new();
    let unknown = "the certificate of 127.0.0.1 comes from an authority that we do not know; \
                   it is self-signed, or the server does not send the whole chain";
    for (courier, config, sentence) in [
        (courier(), Authority::self_signed("127.0.0.1"), unknown),
        (courier(), authority.server("127.0.0.1", 2000..4000), unknown),
        (
            trusting(&authority),
            authority.server("127.0.0.1", 2000..2001),
            "the certificate of 127.0.0.1 has expired; renew it",
        ),
        (
            trusting(&authority),
            authority.server("127.0.0.1", 3000..4000),
            "the certificate of 127.0.0.1 is not valid yet; check its dates",
        ),
        (
            trusting(&authority),
            authority.server("other.example", 2000..4000),
            "the certificate of 127.0.0.1 is made out to another name",
        ),
    ] {
        assert_failed(&once_tls(&courier, config).await, ErrorKind::Tls, sentence);
    }
}

#[tokio::test]
async fn a_plain_receiver_behind_an_https_url_is_a_tls_error() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let slamming = Endpoint::start_slamming();
    let speaking_plain = Endpoint::start_greeting(ok());
    let address = speaking_plain.address;
    for (endpoint, sentence) in
        [(speaking_plain, format!("{address} does not speak TLS; check the port")), (slamming, String::new())]
    {
        let address = endpoint.address;
        let done = attempt(&courier(), &format!("https://{address}/")).await;
        let sentence = if sentence.is_empty() { format!("{address} broke off the TLS handshake") } else { sentence };
        assert_failed(&done, ErrorKind::Tls, &sentence);
    }
    // One that waits for a request that it understands is just silent.
    let done = attempt(&courier(), &format!("https://{}/", endpoint.address)).await;
    assert_failed(&done, ErrorKind::Timeout, "127.0.0.1 did not answer within 500ms");
    assert_eq!(endpoint.seen().requests.len(), 0);
}
