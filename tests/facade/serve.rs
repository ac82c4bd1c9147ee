//! The facade on a socket: what is bounded, what outlives a caller, how it ends.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use outbound::config::{
    COMMANDS_PER_WORKSPACE, FACADE_DRAIN_MAX, REQUEST_READ_TIMEOUT, REQUESTS_AT_ONCE, STRANGER_CONNECTIONS_MAX,
};
use outbound::http::serve;
use support::process::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::kit::{FakeJournal, TOKEN, call, facade, request, working};

const TEST: &str = "/v1/workspaces/acme/webhook/test";

/// A facade on a loopback socket, whose journal holds its answers back.
pub(crate) struct Served {
    pub(crate) journal: Arc<FakeJournal>,
    pub(crate) address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn served() -> Served {
    serving(FakeJournal { gate: Semaphore::new(0), ..FakeJournal::default() }, STRANGER_CONNECTIONS_MAX).await
}

/// The same on another journal, with so many connections of strangers.
pub(crate) async fn serving(journal: FakeJournal, strangers_max: usize) -> Served {
    let journal = Arc::new(journal);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, asked) = oneshot::channel::<()>();
    let router = facade(journal.clone(), working());
    let ended = tokio::spawn(serve(listener, router, strangers_max, async move { drop(asked.await) }));
    Served { journal, address, shutdown, ended }
}

/// Sends a test without a body.
async fn send_test(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {TEST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Waits for a condition that other tasks bring about.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let check = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(what, check).await;
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    soon("the end of the connection", stream.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test]
async fn wrong_tokens_are_counted_by_the_address_of_their_connection() {
    let served = served().await;
    let mut answers = Vec::new();
    // Each on a connection of its own: it is the address that counts.
    for _ in 0..11 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let head =
            format!("POST {TEST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        answers.push(rest(&mut stream).await[..12].to_owned());
    }
    let (last, before) = answers.split_last().unwrap();
    assert!(before.iter().all(|answer| answer == "HTTP/1.1 401"), "{answers:?}");
    assert_eq!(last, "HTTP/1.1 429");
}

#[tokio::test]
async fn a_command_is_carried_through_although_its_caller_went_away() {
    let served = served().await;
    let stream = send_test(served.address).await;
    until("the command", || served.journal.submitted.lock().unwrap().len() == 1).await;
    drop(stream);
    // Another caller's whole exchange lies between, so that the facade has noticed the close.
    let mut other = TcpStream::connect(served.address).await.unwrap();
    other.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut other).await.starts_with("HTTP/1.1 200"));
    served.journal.gate.add_permits(1);
    until("the answer", || *served.journal.answered.lock().unwrap() == 1).await;
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_finishes_what_is_being_answered() {
    let served = served().await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    soon("the probe's answer", idle.read_exact(&mut first)).await.unwrap();
    let mut busy = send_test(served.address).await;
    until("the command", || served.journal.submitted.lock().unwrap().len() == 1).await;
    served.shutdown.send(()).unwrap();
    rest(&mut idle).await;
    assert!(!served.ended.is_finished(), "the drain must wait for the request");
    served.journal.gate.add_permits(1);
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 500"));
    soon("the end", served.ended).await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err(), "nothing may listen any more");
}

#[tokio::test(start_paused = true)]
async fn a_drain_has_an_end() {
    let served = served().await;
    let mut busy = send_test(served.address).await;
    while served.journal.submitted.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let asked = Instant::now();
    served.shutdown.send(()).unwrap();
    served.ended.await.unwrap();
    assert!(asked.elapsed() >= FACADE_DRAIN_MAX && asked.elapsed() < FACADE_DRAIN_MAX * 2);
    let mut cut = String::new();
    drop(busy.read_to_string(&mut cut).await);
    assert_eq!(cut, "");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for_without_limit() {
    let served = served().await;
    let begun = Instant::now();
    for start in [&b""[..], b"GET /healthz HTT"] {
        let mut slow = TcpStream::connect(served.address).await.unwrap();
        slow.write_all(start).await.unwrap();
        let mut text = String::new();
        drop(slow.read_to_string(&mut text).await);
        assert!(!text.contains(" 200 "), "{text}");
    }
    assert!(begun.elapsed() < REQUEST_READ_TIMEOUT * 3);
}

#[tokio::test]
async fn a_workspace_with_too_many_commands_holds_up_itself_and_not_its_neighbour() {
    let journal = Arc::new(FakeJournal { gate: Semaphore::new(0), ..FakeJournal::default() });
    let router = facade(journal.clone(), working());
    let waiting: Vec<_> = (0..COMMANDS_PER_WORKSPACE)
        .map(|_| {
            let router = router.clone();
            tokio::spawn(async move { call(&router, request("POST", TEST, "")).await })
        })
        .collect();
    until("all commands", || journal.submitted.lock().unwrap().len() == COMMANDS_PER_WORKSPACE).await;
    let reply = call(&router, request("POST", TEST, "")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (429, "too-many-commands"));
    journal.gate.add_permits(COMMANDS_PER_WORKSPACE + 1);
    let neighbour = call(&router, request("POST", "/v1/workspaces/other/webhook/test", "")).await;
    assert_eq!(neighbour.status, 500, "it was submitted");
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 500);
    }
}

#[tokio::test]
async fn more_requests_than_the_bound_are_told_to_come_back_and_probes_are_not() {
    let journal = Arc::new(FakeJournal { gate: Semaphore::new(0), ..FakeJournal::default() });
    let router = facade(journal.clone(), working());
    let waiting: Vec<_> = (0..REQUESTS_AT_ONCE)
        .map(|n| {
            let router = router.clone();
            // Each of another workspace: one has fewer commands.
            let path = format!("/v1/workspaces/w{n}/webhook/test");
            tokio::spawn(async move { call(&router, request("POST", &path, "")).await })
        })
        .collect();
    until("all commands", || journal.submitted.lock().unwrap().len() == REQUESTS_AT_ONCE).await;
    let reply = call(&router, request("POST", TEST, "")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, "overloaded"));
    assert_eq!(reply.header("retry-after"), "1");
    let probe = Request::get("/healthz").body(Body::empty()).unwrap();
    assert_eq!(call(&router, probe).await.status, 200);
    journal.gate.add_permits(REQUESTS_AT_ONCE + 1);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 500);
    }
    assert_eq!(call(&router, request("POST", TEST, "")).await.status, 500, "a place came free");
}
