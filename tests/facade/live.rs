//! The live stream: what a client is told, how it catches up, and when the stream ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures_util::StreamExt;
use outbound::config::{LIVE_STREAMS_MAX, LIVE_STREAMS_PER_WORKSPACE_MAX, STRANGER_CONNECTIONS_MAX};
use outbound::http::serve;
use outbound::journal::port::{Reading, Version};
use outbound::message::{EntryId, RawMessage};
use outbound::workspace::State;
use outbound::workspace::event::{Attempt, Request as Sent, Trigger};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::kit::{FakeJournal, NOW, TOKEN, call, facade, request, working};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
const LIVE: &str = "/v1/workspaces/acme/attempts/live";

/// A journal whose reading the test changes.
#[derive(Clone)]
struct Book(Arc<Mutex<Reading>>);

impl Book {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Reading { state: State::default(), attempts: Vec::new() })))
    }

    fn journal(&self) -> Arc<FakeJournal> {
        let book = self.0.clone();
        Arc::new(FakeJournal { read: Box::new(move || Ok(book.lock().unwrap().clone())), ..FakeJournal::default() })
    }

    /// Attempts with these seqs, of which the last 100 are kept; `filling` makes them large.
    fn attempt(&self, seqs: impl IntoIterator<Item = u64>, filling: usize) {
        let mut reading = self.0.lock().unwrap();
        for seq in seqs {
            reading.state.seq = seq;
            reading.attempts.insert(0, (seq, attempt(seq, filling)));
        }
        reading.attempts.truncate(100);
    }
}

fn attempt(seq: u64, filling: usize) -> Attempt {
    Attempt {
        at: NOW,
        trigger: Trigger::Message,
        entry: EntryId { ms: seq, n: 0 },
        message_id: format!("m-{seq}{}", "x".repeat(filling)).into(),
        webhook_id: format!("msg_0_{seq}-0").into(),
        config: 1,
        errors: None,
        duration_ms: 12,
        error: None,
        request: Sent {
            url: "https://crm.example/hook".into(),
            headers: Arc::default(),
            message: Some(RawMessage::from_stored("{}".into()).unwrap()),
        },
        response: None,
    }
}

/// One event as it came.
#[derive(Debug)]
struct Told {
    kind: String,
    id: String,
    data: Value,
}

/// A client of the stream.
struct Listener {
    body: BodyDataStream,
    text: String,
}

impl Listener {
    async fn open(router: &axum::Router, last: Option<&str>) -> Self {
        let mut request = request("GET", LIVE, "");
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().unwrap());
        }
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.unwrap_or_default().to_owned()
                };
                let told = Told {
                    kind: field("event"),
                    id: field("id"),
                    data: serde_json::from_str(&field("data")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                // A comment only says that the stream is alive.
                if !told.kind.is_empty() {
                    return Some(told);
                }
                continue;
            }
            let part = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an event in time")?.unwrap();
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    async fn words(&mut self, count: usize) -> Vec<String> {
        let mut words = Vec::new();
        for _ in 0..count {
            let told = self.next().await.unwrap();
            words.push(format!("{} {}", told.kind, told.id));
        }
        words
    }
}

#[tokio::test]
async fn a_stream_tells_the_state_and_then_every_new_attempt_and_every_change() {
    let book = Book::new();
    book.attempt([1, 2], 0);
    let router = facade(book.journal(), working());
    let mut listener = Listener::open(&router, None).await;
    let state = listener.next().await.unwrap();
    assert_eq!((state.kind.as_str(), state.id.as_str()), ("state", "2"));
    assert_eq!(state.data["status"], "not_configured");
    book.attempt([3], 0);
    let told = listener.next().await.unwrap();
    assert_eq!((told.kind.as_str(), told.id.as_str()), ("attempt", "3"));
    assert_eq!((&told.data["id"], &told.data["message_id"]), (&json!("3"), &json!("m-3")));
    // A message was skipped: no attempt, and no seq of its own.
    book.0.lock().unwrap().state.skipped.count = 1;
    let told = listener.next().await.unwrap();
    assert_eq!((told.kind.as_str(), &told.data["skipped"]["count"]), ("state", &json!(1)));
}

#[tokio::test]
async fn who_comes_back_gets_what_he_missed_and_is_told_of_a_gap() {
    let book = Book::new();
    book.attempt(1..=5, 0);
    let router = facade(book.journal(), working());
    let mut listener = Listener::open(&router, Some("3")).await;
    assert_eq!(listener.words(3).await, ["attempt 4", "attempt 5", "state 5"]);
    drop(listener);

    book.attempt(6..=150, 0);
    let router = facade(book.journal(), working());
    let mut listener = Listener::open(&router, Some("5")).await;
    let gap = listener.next().await.unwrap();
    assert_eq!((gap.kind.as_str(), gap.data), ("gap", json!({"after": "5", "before": "51"})));
    assert_eq!(listener.words(2).await, ["attempt 51", "attempt 52"]);
}

#[tokio::test]
async fn a_last_event_id_that_is_none_is_refused() {
    let router = facade(Book::new().journal(), working());
    let mut wrong = request("GET", LIVE, "");
    wrong.headers_mut().insert("last-event-id", "yesterday".parse().unwrap());
    let reply = call(&router, wrong).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (400, "invalid-query"));
}

#[tokio::test]
async fn nobody_listens_without_a_token() {
    let router = facade(Book::new().journal(), working());
    for path in [LIVE, "/workspaces/acme/outbound/live"] {
        let reply = call(&router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_workspace_has_so_many_streams_and_one_that_ends_makes_room() {
    let router = facade(Book::new().journal(), working());
    let mut open = Vec::new();
    let refused = loop {
        let response = router.clone().oneshot(request("GET", LIVE, "")).await.unwrap();
        if response.status() != StatusCode::OK {
            break response;
        }
        open.push(response);
        assert!(open.len() <= outbound::config::LIVE_STREAMS_PER_WORKSPACE_MAX, "there is a bound");
    };
    assert_eq!((refused.status(), open.len()), (StatusCode::TOO_MANY_REQUESTS, 16));
    assert!(refused.headers().contains_key("retry-after"));
    open.pop();
    Listener::open(&router, None).await;
}

#[tokio::test(start_paused = true)]
async fn a_workspace_is_read_only_when_it_moved() {
    let book = Book::new();
    let of = book.0.clone();
    let version = move || Some(Version { top: of.lock().unwrap().state.seq, snapshot: None });
    let read = book.0.clone();
    let journal = Arc::new(FakeJournal {
        read: Box::new(move || Ok(read.lock().unwrap().clone())),
        version: Box::new(version),
        ..FakeJournal::default()
    });
    let router = facade(journal.clone(), working());
    let mut listener = Listener::open(&router, None).await;
    listener.next().await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await; // Nothing happens for ten minutes of the paused clock.
    // At the opening, and once for the watch to know what it compares with.
    assert_eq!(*journal.reads.lock().unwrap(), 2);
    book.attempt([1], 0);
    assert_eq!(listener.next().await.unwrap().kind, "attempt");
    assert_eq!(*journal.reads.lock().unwrap(), 3);
}

/// Its streams end, so that their clients come back.
#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_is_replaced_by_the_next_one() {
    let book = Book::new();
    let (read, panics) = (book.0.clone(), AtomicBool::new(true));
    let version = move || {
        assert!(!panics.swap(false, Ordering::Relaxed), "a panic of the watch, as this test wants it");
        None
    };
    let journal = Arc::new(FakeJournal {
        read: Box::new(move || Ok(read.lock().unwrap().clone())),
        version: Box::new(version),
        ..FakeJournal::default()
    });
    let router = facade(journal, working());
    let mut listener = Listener::open(&router, None).await;
    assert_eq!(listener.words(1).await, ["state 0"]);
    let end = tokio::time::timeout(PATIENCE, listener.next()).await;
    assert!(end.is_ok_and(|told| told.is_none()), "nobody reads for it any more");
    let mut listener = Listener::open(&router, None).await;
    assert_eq!(listener.words(1).await, ["state 0"]);
    book.attempt([1], 0);
    assert_eq!(listener.words(1).await, ["attempt 1"]);
}

/// The service's end, and a connection with the stream's head read.
async fn served(book: &Book) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let service = tokio::spawn(serve(listener, facade(book.journal(), working()), STRANGER_CONNECTIONS_MAX, async {
        stopped.await.ok();
    }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {LIVE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    (stop, service, stream)
}

async fn read_until(stream: &mut TcpStream, part: &str) -> String {
    let mut text = String::new();
    while !text.contains(part) {
        let mut bytes = [0; 4096];
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(count > 0, "the stream ended early: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

#[tokio::test]
async fn a_stream_ends_with_the_service_at_once() {
    let (stop, service, mut stream) = served(&Book::new()).await;
    read_until(&mut stream, "event: state").await;
    let began = Instant::now();
    stop.send(()).unwrap();
    let mut rest = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the end is the end of an answer, not a cut: {rest:?}");
    service.await.unwrap();
    assert!(began.elapsed() < outbound::config::FACADE_DRAIN_MAX, "nobody waits for a stream");
}

#[tokio::test]
async fn who_takes_nothing_is_cut() {
    let book = Book::new();
    let (_stop, _service, mut stream) = served(&book).await;
    read_until(&mut stream, "event: state").await;
    // More than the sockets between us hold.
    book.attempt(1..=100, 512 * 1024);
    let began = Instant::now();
    let mut seq = 100;
    // Written to, a connection that was cut says so.
    while stream.write_all(b" ").await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "it is not cut");
        seq += 1;
        book.attempt([seq], 0);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() >= outbound::config::RESPONSE_STALL_MAX, "it had its time");
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_is_not_read_yet_shuts_no_other_out() {
    let router = facade(Arc::new(FakeJournal { hangs: true, ..FakeJournal::default() }), working());
    let open = |workspace: &str| {
        let path = format!("/v1/workspaces/{workspace}/attempts/live");
        let router = router.clone();
        async move { call(&router, request("GET", &path, "")).await.status.as_u16() }
    };
    let many = (0..LIVE_STREAMS_MAX + 1).map(|_| open("acme"));
    let (many, other) = futures_util::join!(futures_util::future::join_all(many), open("other"));
    let waited = many.iter().filter(|status| **status == 503).count();
    assert_eq!((waited, other), (LIVE_STREAMS_PER_WORKSPACE_MAX, 503), "{many:?}");
    assert!(many.iter().all(|status| [429, 503].contains(status)), "{many:?}");
}
