//! Kept connections: used again, replaced when found closed, and never a reason to send twice.

use std::net::Ipv4Addr;

use outbound::config::{POOL_EXPIRE_EVERY, POOL_IDLE};
use support::process::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::race::SilentPort;
use crate::*;

#[tokio::test]
async fn an_answer_that_is_read_to_its_end_keeps_the_connection() {
    let _clock = StoppedClock::stop();
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
    let clock = StoppedClock::stop();
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let courier = courier();
    let post = post(&endpoint.url(), "msg_7_1-0");
    let a_while = Duration::from_millis(10);
    for (idle, connections) in [(POOL_IDLE - a_while, 1), (POOL_IDLE, 2)] {
        courier.attempt(&post).await;
        clock.pass(idle).await;
        courier.attempt(&post).await;
        assert_eq!(endpoint.seen().connections, connections, "used again within {POOL_IDLE:?} and not later");
    }
    // Idle ones are looked through every second, whether or not somebody still has their address.
    clock.pass(POOL_IDLE + POOL_EXPIRE_EVERY).await;
    endpoint.until(|seen| seen.closed == 2).await;
    drop(post);
}

/// As behind a firewall that drops what comes: nothing says that there is no connection.
#[tokio::test]
async fn a_connection_that_does_not_come_about_is_told_from_an_answer_that_does_not_come() {
    let clock = StoppedClock::stop();
    let silent = SilentPort::hold((Ipv4Addr::LOCALHOST, 0).into());
    let address = silent.address;
    let done = clock.after(async {}, attempt(&courier(), &format!("http://{address}/"))).await;
    let sentence = format!(
        "127.0.0.1 did not answer within 20s: there is no connection to {address}; check that it is up, that the port is \
         right, and that no firewall is in between"
    );
    assert_failed(&done, ErrorKind::Timeout, &sentence);
}

#[tokio::test]
async fn an_endpoint_that_reads_nothing_does_not_keep_its_connection() {
    let clock = StoppedClock::stop();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let courier = courier();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    // More than both sockets' buffers hold.
    let post = Post { body: Bytes::from(vec![b'x'; 32 * 1024 * 1024]), ..post(&url, "msg_7_1-0") };
    // Nobody takes what it sends.
    let mut connection = None;
    let connected = async { connection = Some(silent.accept().await.unwrap()) };
    let PostResult::Done(done) = clock.after(connected, courier.attempt(&post)).await else {
        panic!("it was attempted")
    };
    let sentence = "127.0.0.1 did not answer within 20s: it has not read the whole message; let it read first and work \
        afterwards";
    assert_failed(&done, ErrorKind::Timeout, sentence);
    // The thread looks after an endpoint's connections for as long as somebody has its address.
    drop(post);
    // Nothing tells of a task's end, so it is looked for.
    clock.after(std::future::ready(()), until("the connection is closed", async || tasks() <= before)).await;
    drop(connection);
}

/// The next request would wait behind the rest of the first, which nobody reads.
#[tokio::test]
async fn an_endpoint_that_answers_before_it_has_read_does_not_keep_its_connection() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (listener, courier) = (socket.listen(8).unwrap(), courier());
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let post = Post { body: Bytes::from(vec![b'x'; 250_000]), ..post(&url, "msg_7_1-0") };
    let mut unread = Vec::new();
    for _ in 0..2 {
        let answer = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                connection.read_buf(&mut head).await.unwrap();
            }
            connection.write_all(&ok()).await.unwrap();
            connection
        };
        let (PostResult::Done(done), connection) = tokio::join!(courier.attempt(&post), answer) else {
            panic!("it was attempted")
        };
        assert!(delivered(&done), "{:?}", done.error);
        unread.push(connection);
    }
    // Whoever reads all of it keeps his.
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let post = Post { body: post.body.clone(), ..self::post(&endpoint.url(), "msg_7_2-0") };
    for _ in 0..3 {
        assert!(matches!(courier.attempt(&post).await, PostResult::Done(done) if delivered(&done)));
    }
    assert_eq!(endpoint.seen().connections, 1);
}

#[tokio::test]
async fn a_request_that_a_kept_connection_took_up_is_never_sent_again() {
    let _clock = StoppedClock::stop();
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

#[tokio::test]
async fn after_one_kept_connection_broke_no_other_one_is_used() {
    let _clock = StoppedClock::stop();
    let reply = Step::Reply(ok());
    let endpoint = Endpoint::start(vec![reply.clone(), reply.clone(), Step::Close, reply]);
    let courier = courier();
    let url = endpoint.url();
    let (first, second) = tokio::join!(attempt(&courier, &url), attempt(&courier, &url));
    assert!(delivered(&first) && delivered(&second));
    assert_eq!(endpoint.seen().connections, 2);
    assert!(!delivered(&attempt(&courier, &url).await));
    assert!(delivered(&attempt(&courier, &url).await));
    assert_eq!(endpoint.seen().connections, 3);
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
        let PostResult::Done(done) = report else { panic!("{report:?}") };
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
    let _clock = StoppedClock::stop();
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
async fn after_any_other_end_connections_are_kept() {
    let clock = StoppedClock::stop();
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab".to_vec();
    for step in [Step::Reply(answer("500 No", "", "")), Step::ReplyAndStall(Vec::new()), Step::ReplyAndClose(broken)] {
        let endpoint = Endpoint::start(vec![step, Step::Reply(ok())]);
        let courier = courier();
        attempt_past(&clock, &courier, &endpoint).await;
        attempt(&courier, &endpoint.url()).await;
        let connections = endpoint.seen().connections;
        assert!(delivered(&attempt(&courier, &endpoint.url()).await));
        assert_eq!(endpoint.seen().connections, connections);
    }
}

fn webhook_id(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    text.lines().find_map(|line| line.strip_prefix("Webhook-Id: ")).unwrap().to_owned()
}

#[tokio::test]
async fn an_attempt_that_is_given_up_at_its_deadline_sends_nothing_later() {
    let clock = StoppedClock::stop();
    let endpoint = Endpoint::start(vec![Step::ReplyAndStall(Vec::new())]);
    let courier = courier();
    attempt_past(&clock, &courier, &endpoint).await;
    // The connection goes with the attempt.
    endpoint.until(|seen| seen.closed == 1).await;
    assert_eq!(endpoint.seen().requests.len(), 1);
}
