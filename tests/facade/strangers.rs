//! Callers without a valid token: whatever they hold, a caller with one is served.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use outbound::config::{REQUEST_HEAD_MAX, REQUEST_READ_TIMEOUT, SIGN_IN_BODY_MAX, STRANGER_CONNECTIONS_MAX};
use outbound::journal::port::Reading;
use outbound::workspace::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{FakeJournal, TOKEN, applying, description};
use crate::serve::{rest, serving, soon};

const WEBHOOK: &str = "/v1/workspaces/acme/webhook";
const SIGN_IN: &str = "/workspaces/acme/outbound/session";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Sends `text` on a connection of its own.
async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// The answer to a whole request, on a connection of its own.
async fn answer(address: SocketAddr, method: &str, path: &str, more: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let text = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}{length}\r\n{body}");
    rest(&mut send(address, &text).await).await
}

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// Everybody who has a token, or the form to sign in with, is served, and so are probes.
async fn all_are_served(address: SocketAddr) {
    let webhook = answer(address, "GET", WEBHOOK, &bearer(), "").await;
    assert!(webhook.starts_with("HTTP/1.1 200"), "{webhook}");
    let session = answer(address, "POST", SIGN_IN, FORM, &format!("token={TOKEN}")).await;
    assert!(session.starts_with("HTTP/1.1 303"), "{session}");
    for probe in ["/healthz", "/readyz"] {
        let probed = answer(address, "GET", probe, "", "").await;
        assert!(probed.starts_with("HTTP/1.1 200"), "{probed}");
    }
}

#[tokio::test]
async fn forms_that_never_come_take_no_place_of_others() {
    let served = serving(FakeJournal::default(), STRANGER_CONNECTIONS_MAX).await;
    let text = format!("POST {SIGN_IN} HTTP/1.1\r\nHost: a\r\n{FORM}Content-Length: 100\r\n\r\nt");
    let mut slow = Vec::new();
    for _ in 0..STRANGER_CONNECTIONS_MAX + 100 {
        slow.push(send(served.address, &text).await);
    }
    all_are_served(served.address).await;
    let last = rest(slow.last_mut().unwrap()).await;
    assert!(last.starts_with("HTTP/1.1 408"), "the form's time is over: {last}");
}

#[tokio::test]
async fn the_oldest_connection_without_a_token_goes_first_and_one_with_a_token_stays() {
    let served = serving(FakeJournal::default(), 8).await;
    let get = format!("GET {WEBHOOK} HTTP/1.1\r\nHost: a\r\n{}\r\n", bearer());
    let mut known = send(served.address, &get).await;
    let mut first = [0; 12];
    soon("the first answer", known.read_exact(&mut first)).await.unwrap();
    // Of each kind: silent, half a head, garbage of another protocol, an answered probe, an older version.
    let kinds = ["", "GET /he", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nX: "];
    let mut strangers = Vec::new();
    for kind in kinds.iter().cycle().take(40) {
        strangers.push(send(served.address, kind).await);
    }
    all_are_served(served.address).await;
    for stranger in strangers.iter_mut().take(30) {
        let mut read = Vec::new();
        // Closed, or reset where something that it sent was not read.
        drop(soon("the end of an old connection", stranger.read_to_end(&mut read)).await);
    }
    known.write_all(get.replace("Host: a", "Host: a\r\nConnection: close").as_bytes()).await.unwrap();
    assert!(rest(&mut known).await.contains("HTTP/1.1 200"), "the connection with a token lives");
}

#[tokio::test]
async fn a_stranger_gets_its_answer_before_its_body_has_come() {
    let served = serving(FakeJournal::default(), STRANGER_CONNECTIONS_MAX).await;
    let paths = description().await.0["paths"].clone();
    let (mut tried, began) = (0, Instant::now());
    for (path, calls) in paths.as_object().unwrap() {
        for method in ["post", "put", "delete", "patch"].iter().filter(|method| calls.get(**method).is_some()) {
            let path = path.replace("{workspace}", "acme").replace("{shard}", "0").replace("{id}", "1-0");
            for more in ["", "Authorization: Bearer wrong\r\n", "Cookie: outbound=wrong\r\n"] {
                let head = format!("{} {path} HTTP/1.1\r\nHost: a\r\n{more}", method.to_uppercase());
                let text = format!("{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{");
                let mut stream = send(served.address, &text).await;
                let mut status = [0; 12];
                soon("the answer", stream.read_exact(&mut status)).await.unwrap();
                let status = String::from_utf8_lossy(&status).into_owned();
                assert!(["HTTP/1.1 401", "HTTP/1.1 429"].contains(&status.as_str()), "{method} {path}: {status}");
                tried += 1;
            }
        }
    }
    for form in ["save", "test", "rotate", "session/end"] {
        let head = format!("POST /workspaces/acme/outbound/{form} HTTP/1.1\r\nHost: a\r\n{FORM}");
        let mut stream = send(served.address, &format!("{head}Content-Length: 1000\r\n\r\nx")).await;
        let mut status = [0; 12];
        soon("the page", stream.read_exact(&mut status)).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 401", "{form}");
    }
    assert!(tried >= 15 && began.elapsed() < REQUEST_READ_TIMEOUT * 2, "{tried} in {:?}", began.elapsed());
}

/// Closed, or reset where something that it sent was not read.
async fn ends(mut stream: TcpStream) {
    let mut read = Vec::new();
    drop(soon("the end of a connection", stream.read_to_end(&mut read)).await);
    assert!(!read.windows(4).any(|some| some == b" 200"), "{}", String::from_utf8_lossy(&read));
}

#[tokio::test]
async fn heads_are_bounded_and_other_protocols_are_turned_away() {
    let served = serving(FakeJournal::default(), STRANGER_CONNECTIONS_MAX).await;
    let filled = |bytes: usize| format!("{}X-Filling: {}\r\n", bearer(), "x".repeat(bytes));
    let fits = answer(served.address, "GET", WEBHOOK, &filled(REQUEST_HEAD_MAX - 1024), "").await;
    assert!(fits.starts_with("HTTP/1.1 200"), "{fits}");
    for (path, more) in [
        (WEBHOOK.to_owned(), filled(REQUEST_HEAD_MAX)),
        (format!("{WEBHOOK}?{}", "x".repeat(REQUEST_HEAD_MAX)), bearer()),
        (WEBHOOK.to_owned(), format!("Cookie: outbound={}\r\n", "x".repeat(REQUEST_HEAD_MAX))),
        ("/healthz".to_owned(), filled(REQUEST_HEAD_MAX * 3 / 2)),
    ] {
        let long = answer(served.address, "GET", &path, &more, "").await;
        assert!(long.starts_with("HTTP/1.1 431") && long.contains("head-too-large"), "{long}");
    }
    let endless = send(served.address, &format!("GET / HTTP/1.1\r\n{}", filled(REQUEST_HEAD_MAX * 8))).await;
    ends(endless).await;
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = answer(served.address, "GET", WEBHOOK, &many, "").await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let old = rest(&mut send(served.address, "GET /healthz HTTP/1.0\r\n\r\n").await).await;
    assert!(old.starts_with("HTTP/1.0 200") || old.starts_with("HTTP/1.1 200"), "{old}");
    let hello = "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{7c}\u{3}\u{3}";
    let tls = rest(&mut send(served.address, hello).await).await;
    assert!(tls.is_empty() || tls.starts_with("HTTP/1.1 400"), "{tls}");
}

#[tokio::test]
async fn a_request_names_one_host_and_a_probe_need_not() {
    let served = serving(FakeJournal::default(), STRANGER_CONNECTIONS_MAX).await;
    let status = async |path: &str, version: &str, hosts: &str| {
        let text = format!("GET {path} HTTP/{version}\r\n{hosts}Connection: close\r\n{}\r\n", bearer());
        let answered = rest(&mut send(served.address, &text).await).await;
        assert!(!answered.contains(" 400") || answered.contains("invalid-host"), "{answered}");
        answered[9..12].to_owned()
    };
    for hosts in ["Host: a\r\n", "host: [::1]:8080\r\n", "Host: a_b.example:80\r\n", "Host:\r\n"] {
        assert_eq!(status(WEBHOOK, "1.1", hosts).await, "200", "{hosts}");
    }
    for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host: a/b\r\n", "Host: u@a\r\n", "Host: \u{fc}\r\n"] {
        assert_eq!(status(WEBHOOK, "1.1", hosts).await, "400", "{hosts}");
        assert_eq!(status("/", "1.1", hosts).await, "400", "{hosts}");
        for probe in ["/healthz", "/readyz"] {
            assert_eq!(status(probe, "1.1", hosts).await, "200", "{hosts}");
        }
    }
    assert_eq!(status(WEBHOOK, "1.0", "").await, "200");
}

/// A connection on which `token` was shown and `status` came back.
async fn shown(address: SocketAddr, token: &str, status: &[u8; 12]) -> TcpStream {
    let get = format!("GET {WEBHOOK} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = send(address, &get).await;
    let mut first = [0; 12];
    soon("the answer", stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, status);
    stream
}

/// Whether the connection still answers.
async fn lives(stream: &mut TcpStream) -> bool {
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut read = Vec::new();
    stream.write_all(last.as_bytes()).await.is_ok()
        && soon("its end", stream.read_to_end(&mut read)).await.is_ok()
        && String::from_utf8_lossy(&read).contains("\"status\":\"alive\"")
}

#[tokio::test]
async fn a_workspace_keeps_no_more_connections_from_strangers_than_its_part_and_an_ended_token_none() {
    const STRANGERS: usize = 8;
    let book = Arc::new(Mutex::new(State::default()));
    let read = Arc::clone(&book);
    let read = move || Ok(Reading { state: read.lock().unwrap().clone(), attempts: Vec::new() });
    let submit = Arc::into_inner(applying()).unwrap().submit;
    let served = serving(FakeJournal { read: Box::new(read), submit, ..FakeJournal::default() }, STRANGERS).await;
    let path = "/v1/workspaces/acme/tokens";
    let more = format!("{}Content-Type: application/json\r\n", bearer());
    let made = answer(served.address, "POST", path, &more, "{}").await;
    let token = made.split("\"token\":\"").nth(1).unwrap_or_else(|| panic!("{made}")).split('"').next().unwrap();
    book.lock().unwrap().token_generation = 1;
    let mut ended = shown(served.address, token, b"HTTP/1.1 401").await;
    book.lock().unwrap().token_generation = 0;
    // Three times as many as strangers', of which a workspace has half.
    let mut owners = Vec::new();
    for _ in 0..3 * STRANGERS / 2 + 1 {
        owners.push(shown(served.address, token, b"HTTP/1.1 200").await);
    }
    let mut admins = shown(served.address, TOKEN, b"HTTP/1.1 200").await;
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        strangers.push(send(served.address, "").await);
    }
    all_are_served(served.address).await;
    assert!(!lives(&mut ended).await, "an ended token proves nothing");
    assert!(!lives(&mut owners.pop().unwrap()).await, "the workspace has its part");
    for owner in owners.iter_mut().chain([&mut admins]) {
        assert!(lives(owner).await);
    }
}

#[tokio::test]
async fn the_form_to_sign_in_with_is_small() {
    let served = serving(FakeJournal::default(), STRANGER_CONNECTIONS_MAX).await;
    let large = format!("token={}", "x".repeat(SIGN_IN_BODY_MAX));
    let refused = answer(served.address, "POST", SIGN_IN, FORM, &large).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    let chunked = format!("{FORM}Transfer-Encoding: chunked\r\n");
    let text = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let head = format!("POST {SIGN_IN} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{chunked}\r\n{text}");
    let refused = rest(&mut send(served.address, &head).await).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
}

#[tokio::test]
async fn pipelined_requests_of_a_stranger_are_answered_in_order_and_take_one_place() {
    let served = serving(FakeJournal::default(), STRANGER_CONNECTIONS_MAX).await;
    let one = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut stream = send(served.address, &format!("{}{last}", one.repeat(199))).await;
    assert_eq!(rest(&mut stream).await.matches("HTTP/1.1 200").count(), 200);
    all_are_served(served.address).await;
}
