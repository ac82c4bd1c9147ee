//! What endpoints answer: the head decides (`src/docs/contract.md`, section 2).

use futures_util::future::join_all;
use outbound::config::DELIVERED_BODY_MAX;
use outbound::workspace::event::Response;
use support::clock::StoppedClock;
use support::endpoint::{Endpoint, Step};

use crate::*;

/// Longer than any machine takes for what does not wait for it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What an endpoint that answers `bytes` over and over makes of two messages, the second right behind the first.
async fn twice(step: Step) -> (Response, Endpoint) {
    let endpoint = Endpoint::start(vec![step]);
    let courier = courier(TIMEOUT);
    let mut last = None;
    for _ in 0..2 {
        let outcome = attempt(&courier, &endpoint.url()).await;
        assert_eq!(outcome.error, None);
        last = outcome.response;
    }
    assert_eq!(endpoint.seen().requests.len(), 2, "each message is sent once");
    (last.unwrap().as_ref().clone(), endpoint)
}

fn reply(text: &str) -> Step {
    Step::Reply(text.replace('\n', "\r\n").into_bytes())
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// PHP frameworks and old proxies fold long policies; RFC 9112 section 5.2 forbids it and asks to read it.
#[tokio::test]
async fn a_folded_header_is_unfolded() {
    let _clock = StoppedClock::stop();
    for head in [
        "HTTP/1.1 200 OK\nContent-Security-Policy: default-src 'self';\n  script-src 'self'\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\nContent-Security-Policy: default-src 'self';\n\tscript-src 'self'\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\nContent-Security-Policy:\n default-src 'self'; script-src 'self'\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Security-Policy: default-src 'self';\n  script-src\n  'self'\n\nok",
    ] {
        for (step, what) in [(reply(head), "CRLF"), (Step::Reply(head.as_bytes().to_vec()), "LF")] {
            let (response, endpoint) = twice(step).await;
            let policy = header(&response, "content-security-policy");
            let words: Vec<&str> = policy.split_whitespace().collect();
            assert_eq!(words, ["default-src", "'self';", "script-src", "'self'"], "{what}: {head}");
            assert!(!policy.contains(['\r', '\n']), "{policy:?}");
            assert_eq!((response.body.as_str(), response.truncated), ("ok", false));
            assert_eq!(endpoint.seen().connections, 1, "its end is told, so the connection is used again");
        }
    }
}

/// PHP writes its start-up warnings where the web server expects headers; other stacks leave stray texts there.
#[tokio::test]
async fn a_line_that_is_no_header_is_dropped_and_named() {
    for line in [
        "PHP Warning: PHP Startup: Unable to load dynamic library 'imagick.so'",
        "<br />",
        "no colon at all",
        ": no name",
        "na me: value",
        "X-Bell: a\u{7}b",
        "  folded, and nothing before it",
        "what is\n  this",
    ] {
        let (response, _) = twice(reply(&format!("HTTP/1.1 200 OK\n{line}\nX-A: 1\nContent-Length: 2\n\nok"))).await;
        assert_eq!(response.malformed, line.lines().map(str::trim).collect::<Vec<_>>());
        assert_eq!(
            (header(&response, "x-a"), response.body.as_str(), response.truncated),
            ("1", "ok", false),
            "{line}"
        );
    }
    let many = "what is this\n".repeat(9);
    let (response, _) = twice(reply(&format!("HTTP/1.1 200 OK\n{many}Content-Length: 0\n\n"))).await;
    assert_eq!(response.malformed.len(), 4);
    let long = "x".repeat(1_000);
    let (response, _) = twice(reply(&format!("HTTP/1.1 200 OK\n{long}\nContent-Length: 0\n\n"))).await;
    assert_eq!(response.malformed, ["x".repeat(256)]);
}

/// A length that nobody can trust: load balancers that add a second one, scripts that count characters or print text.
#[tokio::test]
async fn an_end_that_cannot_be_told_closes_the_connection_and_the_status_counts() {
    let heads = [
        "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok",
        "HTTP/1.1 200 OK\nContent-Length: two\n\nok",
        "HTTP/1.1 200 OK\nContent-Length: -1\n\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2, 3\n\nok",
        "HTTP/1.1 200 OK\nContent-Length:\n\nok",
        "HTTP/1.1 200 OK\nContent-Length : 2\n\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked, chunked\n\n2\nok\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding : chunked\n\n2\nok\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: identity\n\nok",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzzz\n",
        "HTTP/1.0 200 OK\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n",
        "HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n0\n\n",
        "HTTP/1.1 204 No Content\nContent-Length: 2\n\nok",
        "HTTP/1.1  200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\n\nok",
    ];
    join_all(heads.map(|head| async move {
        let (response, endpoint) = twice(reply(head)).await;
        assert!(matches!(response.status, 200 | 204), "{head}");
        assert_eq!(endpoint.seen().connections, 2, "{head}");
    }))
    .await;
}

/// Whoever waits for a body that does not come holds up what is behind it in its chat.
#[tokio::test]
async fn the_rest_of_a_delivered_answer_is_waited_for_at_most_a_second() {
    let (clock, courier) = (StoppedClock::stop(), courier(TIMEOUT));
    let endpoint = Endpoint::start(vec![Step::ReplyAndStall(b"HTTP/1.1 200 OK\r\n\r\nok".to_vec())]);
    let outcome = clock.after(endpoint.until(|seen| seen.answered == 1), attempt(&courier, &endpoint.url())).await;
    assert_eq!(outcome.error, None);
    assert!((DELIVERED_BODY_MAX..TIMEOUT / 2).contains(&outcome.duration), "{:?}", outcome.duration);
}

#[tokio::test]
async fn the_body_is_shown_as_far_as_it_came() {
    let cases = [
        (Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok".to_vec()), "ok"),
        (Step::ReplyAndStall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok".to_vec()), "ok"),
        (Step::ReplyAndStall(b"HTTP/1.1 200 OK\r\n\r\nok".to_vec()), "ok"),
        (Step::ReplyAndStall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n".to_vec()), "ok"),
        (Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n".to_vec()), "ok"),
        (reply("HTTP/1.1 200 OK\nTransfer-Encoding: identity\n\nok"), "ok"),
    ];
    join_all(cases.map(|(step, body)| async move {
        let (response, _) = twice(step.clone()).await;
        assert_eq!((response.body.as_str(), response.truncated), (body, true), "{step:?}");
    }))
    .await;
    // The end of the connection is the end of a body without a length (RFC 9112 section 6.3).
    let (response, _) = twice(Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\n\r\nok".to_vec())).await;
    assert_eq!((response.body.as_str(), response.truncated), ("ok", false));
}

/// Servers of devices, hand-written servers and gateways write the first line and the rest in their own way.
#[tokio::test]
async fn a_success_is_one_however_its_head_is_written() {
    let status_lines = [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 209 Fine",
        "http/1.1 200 OK",
        "Http/1.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.9 200 OK",
        "HTTP/1.1\t200\tOK",
        "HTTP/1.1  200  OK",
        "HTTP/1.1 200 Всё хорошо",
        "HTTP/1.1 200 O\u{7}K",
        "\n\nHTTP/1.1 200 OK",
    ];
    let lines = [
        "X-A: a\0b",
        "X\0A: b",
        "X-A: a\rb",
        "X-A : b",
        "X-A:",
        "X-A: café",
        " \nX-A: b",
        "X-A: 1\n   ",
        "PHP Warning: x in\n  y.php on line 3",
        "Content-Length: 18446744073709551615",
        "Content-Length: 18446744073709551614",
        "Content-Length: 99999999999999999999",
        "Content-Length: +2",
        "Content-Length: 2, 2",
        "Content-Length: 2\nContent-Length: 2",
        "Content-Length: 0x2",
        "Content-Length:\n 2",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding:\nContent-Length: 2",
        "Transfer-Encoding: identity\nContent-Length: 2",
    ];
    let heads = status_lines.iter().map(|line| format!("{line}\nContent-Length: 2\n\nok"));
    let interim = ["100 Continue\n\n", "102 Processing\n\n", "103 Early Hints\nLink: </a>;\n rel=preload\nwhat\n\n"];
    let heads = heads.chain(lines.iter().map(|line| format!("HTTP/1.1 200 OK\n{line}\nConnection: close\n\nok")));
    let heads = heads.chain(interim.map(|head| format!("HTTP/1.1 {head}HTTP/1.1 200 OK\nContent-Length: 2\n\nok")));
    join_all(heads.map(|head| async move {
        let courier = courier(TIMEOUT);
        for bytes in [head.replace('\n', "\r\n"), head.clone()] {
            let endpoint = Endpoint::start(vec![Step::ReplyAndClose(bytes.into_bytes())]);
            let outcome = attempt(&courier, &endpoint.url()).await;
            assert_eq!(outcome.error, None, "{head:?}");
            assert!((200..=209).contains(&outcome.response.unwrap().status), "{head:?}");
        }
    }))
    .await;
}

/// Devices and hand-written servers write line by line, or byte by byte.
#[tokio::test]
async fn a_head_that_comes_in_pieces_is_read_as_one_that_comes_whole() {
    let pause = Duration::from_millis(1);
    let heads = [
        "http/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
        "HTTP/1.1  200  OK\nX-A: 1\nContent-Length: 2\n\nok",
        "HTTP/1.2 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
        "http/1.1 100 Continue\n\nhttp/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
        "http/1.1 102 Processing\n\nHTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
    ];
    join_all(heads.map(|head| async move {
        for bytes in [head.replace('\n', "\r\n"), head.to_owned()] {
            let endpoint = Endpoint::start(vec![Step::Trickle(Vec::new(), bytes.into_bytes(), pause)]);
            let outcome = attempt(&courier(TIMEOUT), &endpoint.url()).await;
            assert_eq!(outcome.error, None, "{head:?}");
            let response = outcome.response.unwrap();
            assert_eq!((header(&response, "x-a"), response.body.as_str()), ("1", "ok"), "{head:?}");
        }
    }))
    .await;
    for (head, kind, said) in [
        ("http/1.1 500 No\r\nContent-Length: 0\r\n\r\n", ErrorKind::HttpStatus, "answered 500"),
        ("http/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", ErrorKind::Redirect, "points to"),
        ("220 mail ESMTP\r\n", ErrorKind::Protocol, "is no HTTP/1.1"),
    ] {
        let endpoint = Endpoint::start(vec![Step::Trickle(Vec::new(), head.into(), pause)]);
        let error = attempt(&courier(TIMEOUT), &endpoint.url()).await.error.unwrap();
        assert!(error.kind == kind && error.detail.contains(said), "{head}: {error:?}");
    }
    let many = "X-A: 1\r\n".repeat(101);
    for line in ["HTTP/1.1 200 OK", "http/1.1 200 OK"] {
        let endpoint = Endpoint::start(vec![Step::ReplyAndClose(format!("{line}\r\n{many}\r\n").into_bytes())]);
        let error = attempt(&courier(TIMEOUT), &endpoint.url()).await.error.unwrap();
        assert!(
            error.kind == ErrorKind::Protocol && error.detail.contains("more than 100 headers"),
            "{line}: {error:?}"
        );
    }
}

/// A server that speaks first, as those of mail and of SSH do: whether before or behind our request, it is none of HTTP.
#[tokio::test]
async fn a_server_that_speaks_first_is_no_http() {
    for greeting in ["220 mail ESMTP\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "+OK POP3\r\n"] {
        for _ in 0..8 {
            let endpoint = Endpoint::start_greeting(greeting.into());
            let error = attempt(&courier(TIMEOUT), &endpoint.url()).await.error.unwrap();
            assert!(error.kind == ErrorKind::Protocol && error.detail.contains("is no HTTP/1.1"), "{error:?}");
        }
    }
}

/// Bytes without end that are no body: the size of a chunk, an extension of it, chunks of a byte, trailers.
#[tokio::test]
async fn what_is_no_body_is_not_read_without_end() {
    // Time stands still, so no deadline ends it.
    let _clock = StoppedClock::stop();
    for endless in ["0", " ", "1;a=b\r\nx\r\n", "0\r\nx-trailer: 1\r\n"] {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let endpoint = Endpoint::start(vec![Step::Flood(head.to_vec(), endless.repeat(8_192).into_bytes())]);
        let outcome = attempt(&courier(TIMEOUT), &endpoint.url()).await;
        assert_eq!(outcome.error, None, "{endless:?}");
        assert!(outcome.response.unwrap().truncated, "{endless:?}");
        endpoint.until(|seen| seen.closed == 1).await;
    }
}

/// Chunks as old servers write them: sizes in capitals, with zeros, spaces and extensions, trailers behind the last.
#[tokio::test]
async fn chunks_are_read_and_those_that_are_none_fail_nothing() {
    for (chunks, connections) in [
        ("2;a=b;c=\"d e\"\nok\n0;x\n\n", 1),
        ("2\nok\n0\nX-T: 1\nX-U: 2\n\n", 1),
        ("2   \nok\n0   \n\n", 1),
        ("0000000000000002\nok\n00000000\n\n", 1),
        ("-2\nok\n0\n\n", 2),
        ("0x2\nok\n0\n\n", 2),
        ("fffffffffffffffff\nok\n0\n\n", 2),
        ("2\nokay\n0\n\n", 2),
    ] {
        let head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
        let (response, endpoint) = twice(reply(&format!("{head}{chunks}"))).await;
        assert_eq!((endpoint.seen().connections, response.truncated), (connections, connections > 1), "{chunks:?}");
        assert!(connections > 1 || response.body == "ok", "{chunks:?}: {}", response.body);
    }
}

/// Whoever reads the log looks at the wrong end when it says that nothing came.
#[tokio::test]
async fn an_answer_that_breaks_off_within_its_head_is_said_to() {
    for (step, said) in [
        (Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()), "in the middle of the head of its answer"),
        (Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\n".to_vec()), "in the middle of the head of its answer"),
        (Step::ReplyAndClose(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), "without an answer"),
        (Step::Close, "without an answer"),
        (Step::ReplyAndClose(b"\0\0\x12\x04\0\0\0\0\0".to_vec()), "is no HTTP/1.1"),
    ] {
        let endpoint = Endpoint::start(vec![step.clone()]);
        let error = attempt(&courier(TIMEOUT), &endpoint.url()).await.error.unwrap();
        assert!(error.kind == ErrorKind::Protocol && error.detail.contains(said), "{step:?}: {error:?}");
    }
}

/// A status that is an error stays one, however its head is written.
#[tokio::test]
async fn an_error_in_a_malformed_head_is_an_error() {
    for head in [
        "HTTP/1.1 500 No\nContent-Length: x\n\n",
        "HTTP/1.1 404 No\nPHP Warning: x\nContent-Length: 0\n\n",
        "http/1.1 500 No\nContent-Length: 0\n\n",
        "HTTP/1.1 500 No\nContent-Length: 18446744073709551615\n\n",
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n",
        "HTTP/1.1 210 No\nContent-Length: 0\n\n",
        "HTTP/1.1 304 Not Modified\nContent-Length: 2\n\n",
        "HTTP/1.1 600 No\nContent-Length: 0\n\n",
        "HTTP/1.1  999 No\nContent-Length: 0\n\n",
    ] {
        let endpoint = Endpoint::start(vec![reply(head)]);
        let outcome = attempt(&courier(TIMEOUT), &endpoint.url()).await;
        assert_eq!(outcome.error.unwrap().kind, ErrorKind::HttpStatus, "{head}");
    }
    for no_http in [
        "HTTP/2 200 OK\n\n",
        "ICY 200 OK\n\n",
        "HTTP/1.1 OK\n\n",
        "HTTP/1.1 20 OK\n\n",
        "HTTP/1.1 099 OK\n\n",
        "HTTP/1.1 2000 OK\n\n",
        "HTTP/1.1 -200 OK\n\n",
        "HTTP/1.1 200.5 OK\n\n",
        "HTTP/1.1 200OK\n\n",
        "HTTP/1.10 200 OK\n\n",
        "HTTP/1 200 OK\n\n",
        "HTTP200 OK\n\n",
        "220 mail ESMTP\n\n",
        "<html>\n\n",
    ] {
        let endpoint = Endpoint::start(vec![reply(no_http)]);
        let outcome = attempt(&courier(TIMEOUT), &endpoint.url()).await;
        assert_eq!(outcome.error.unwrap().kind, ErrorKind::Protocol, "{no_http}");
    }
}

/// A 204 may have no body; some servers send an empty chunk all the same, a moment later.
#[tokio::test]
async fn what_comes_behind_an_answer_is_not_taken_for_the_next_one() {
    let pause = Duration::from_millis(3);
    for (head, more) in [
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", "oops"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "\r\n"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "\n\r\n\n"),
    ] {
        let endpoint = Endpoint::start(vec![Step::ReplyAndMore(head.into(), pause, more.into())]);
        let courier = courier(TIMEOUT);
        for n in 1..=8 {
            assert_eq!(attempt(&courier, &endpoint.url()).await.error, None, "message {n}, {more:?}");
        }
        assert_eq!(endpoint.seen().requests.len(), 8);
    }
    // In one piece with the answer: the rest is there before the next request is written.
    for more in ["oops", "0\r\n\r\n", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"] {
        let step = Step::Reply(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{more}").into_bytes());
        let (response, _) = twice(step).await;
        assert_eq!(response.status, 200, "{more:?}");
    }
}

/// An endpoint says how long it keeps an idle connection; what crosses with its end is lost.
#[tokio::test]
async fn a_promise_to_keep_a_connection_is_not_stretched() {
    let promises = [
        "timeout=2",
        "max=100, Timeout=2",
        "timeout=2, max=5",
        "timeout=1",
        "timeout=0",
        "timeout=\"2\"",
        // A proxy adds a line of its own; lines of one name are one list.
        "max=5\r\nKeep-Alive: timeout=2",
        "timeout=60\r\nX-A: b\r\nKeep-Alive: timeout=2",
        "max=5,\r\n  timeout=2",
        "timeout=60, timeout=2",
        // Written by hand.
        "timeout=2.5",
        "timeout=2s",
        "timeout: 2",
        "timeout = 2",
        "2",
        "timeout=2000ms",
        "timeout",
        "5\r\nConnection: keep-alive, timeout=2",
    ];
    join_all(promises.map(|promise| async move {
        let answer = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {promise}\r\nContent-Length: 0\r\n\r\n");
        let endpoint = Endpoint::start(vec![Step::ReplyAndForget(answer.into_bytes(), Duration::from_secs(2))]);
        let courier = courier(TIMEOUT);
        for _ in 0..2 {
            assert_eq!(attempt(&courier, &endpoint.url()).await.error, None, "{promise}");
            // The case is a message that comes when the endpoint has just forgotten the connection.
            tokio::time::sleep(Duration::from_millis(2_050)).await;
        }
        assert_eq!(endpoint.seen().requests.len(), 2, "{promise}");
    }))
    .await;
}

/// Nobody asked for an encoding; some servers have only the encoded file.
#[tokio::test]
async fn an_encoded_body_is_named_and_not_shown() {
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0xcf, 6, 0, 0x47, 0xdd, 0xdc, 0x79, 2, 0, 0, 0];
    for encoding in ["gzip", "br", "x-gzip"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", gzip.len());
        let (response, _) = twice(Step::Reply([head.as_bytes(), gzip].concat())).await;
        assert_eq!((response.body, response.truncated), (format!("{encoding}, 22 bytes"), false));
    }
    for lines in ["identity\r\nContent-Encoding: gzip", "identity, gzip", "GZIP"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {lines}\r\nContent-Length: {}\r\n\r\n", gzip.len());
        let (response, _) = twice(Step::Reply([head.as_bytes(), gzip].concat())).await;
        assert_eq!(response.body.to_lowercase(), "gzip, 22 bytes", "{lines:?}");
    }
    // Many write the character set there.
    for plain in ["identity", "Identity", "", "UTF-8", "none"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {plain}\r\nContent-Length: 2\r\n\r\nok");
        let (response, _) = twice(Step::Reply(head.into_bytes())).await;
        assert_eq!(response.body, "ok");
    }
}

/// Small servers on devices look for names in this case, and for the host in the first line.
#[tokio::test]
async fn the_request_names_the_host_first_and_writes_names_in_title_case() {
    let (_, endpoint) = twice(reply("HTTP/1.1 200 OK\nContent-Length: 0\n\n")).await;
    let request = String::from_utf8(endpoint.seen().requests.remove(0)).unwrap();
    let lines: Vec<&str> = request.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(lines[1], format!("Host: {}", endpoint.address));
    for line in ["Accept-Encoding: identity", "Content-Type: application/json", "Content-Length: 32"] {
        assert!(lines.contains(&line), "{request}");
    }
    assert!(lines.iter().any(|line| line.starts_with("Webhook-Signature: v1,")), "{request}");
}
