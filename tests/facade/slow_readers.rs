//! Callers that take their answers slowly: what waits for them is bounded, and their neighbours are served.

use std::net::SocketAddr;
use std::time::Duration;

use outbound::config::{DOWNLOAD_RATE_MIN, STRANGER_CONNECTIONS_MAX};
use outbound::journal::port::Reading;
use outbound::message::{EntryId, RawMessage};
use outbound::workspace::State;
use outbound::workspace::event::{Attempt, Request, Trigger};
use support::clock::StoppedClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::kit::{FakeJournal, NOW, TOKEN, call, facade, request, working};
use crate::serve::serving;

/// Messages of nearly the largest size.
const MESSAGE_BYTES: usize = 250 * 1024;

/// A journal whose workspaces all have a log of 100 large messages.
fn large() -> FakeJournal {
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(MESSAGE_BYTES));
    let message = RawMessage::from_stored(text.into()).unwrap();
    let attempt = move |seq: u64| Attempt {
        at: NOW,
        trigger: Trigger::Message,
        entry: EntryId { ms: seq, n: 0 },
        message_id: "m".into(),
        webhook_id: format!("msg_0_{seq}-0").into(),
        config: 1,
        errors: None,
        duration_ms: 1,
        error: None,
        request: Request { url: "http://x/".into(), headers: Vec::new().into(), message: Some(message.clone()) },
        response: None,
    };
    let attempts: Vec<(u64, Attempt)> = (1..=100).rev().map(|seq| (seq, attempt(seq))).collect();
    let read = move || Ok(Reading { state: State::default(), attempts: attempts.clone() });
    FakeJournal { read: Box::new(read), ..FakeJournal::default() }
}

async fn download(address: SocketAddr, workspace: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /v1/workspaces/{workspace}/attempts/log HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn status(stream: &mut TcpStream) -> String {
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

#[tokio::test]
async fn a_log_is_sent_entry_by_entry_and_is_the_same_array() {
    let router = facade(std::sync::Arc::new(large()), working());
    let reply = call(&router, request("GET", "/v1/workspaces/acme/attempts/log", "")).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/json"));
    assert_eq!(reply.json().as_array().unwrap().len(), 100);
    assert!(reply.text.starts_with("[\n{\"id\":\"100\"") && reply.text.ends_with("}\n]\n"));
    assert!(!reply.headers.contains_key("content-length"));
    let empty = facade(std::sync::Arc::new(FakeJournal::default()), working());
    assert_eq!(call(&empty, request("GET", "/v1/workspaces/acme/attempts/log", "")).await.text, "[]\n");
}

#[tokio::test]
async fn a_second_large_download_of_a_workspace_waits_and_a_neighbours_does_not() {
    let served = serving(large(), STRANGER_CONNECTIONS_MAX).await;
    // Who takes nothing is cut after a time, which a busy machine may need for the neighbour's download.
    let clock = StoppedClock::stop();
    let mut slow = download(served.address, "acme").await;
    assert_eq!(status(&mut slow).await, "HTTP/1.1 200");
    let mut second = download(served.address, "acme").await;
    let mut neighbour = download(served.address, "other").await;
    let mut whole = Vec::new();
    neighbour.read_to_end(&mut whole).await.unwrap();
    assert!(whole.len() > 100 * MESSAGE_BYTES, "{}", whole.len());
    let refused = clock.after(std::future::ready(()), status(&mut second)).await;
    assert_eq!(refused, "HTTP/1.1 503", "more than its part waits already");
    drop(clock);
    // As soon as the first one is taken there is room again.
    drop(slow);
    let mut third = download(served.address, "acme").await;
    assert_eq!(status(&mut third).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn a_download_below_the_rate_is_ended() {
    let served = serving(large(), STRANGER_CONNECTIONS_MAX).await;
    let mut slow = download(served.address, "acme").await;
    assert_eq!(status(&mut slow).await, "HTTP/1.1 200");
    // From here on it is the reader who takes the time.
    tokio::time::pause();
    let (began, mut taken) = (Instant::now(), 0);
    let mut some = vec![0; 4 * 1024];
    // A sixteenth of the rate, never silent for long.
    loop {
        match slow.read(&mut some).await {
            Ok(0) | Err(_) => break,
            Ok(read) => taken += read,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(taken < 100 * MESSAGE_BYTES, "it was cut, not sent");
    // What the machine's buffers took counts as taken: a few MiB of the 25.
    let whole = Duration::from_secs(100 * MESSAGE_BYTES as u64 / DOWNLOAD_RATE_MIN);
    assert!(began.elapsed() < whole * 3, "{:?}", began.elapsed());
    tokio::time::resume();
    let mut next = download(served.address, "acme").await;
    assert_eq!(status(&mut next).await, "HTTP/1.1 200", "its bytes are free again");
}
