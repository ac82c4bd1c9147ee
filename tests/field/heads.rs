//! Heads of answers that are written in two ways at once, and interim ones (1xx) in front of the one that counts.

use futures_util::future::join_all;
use outbound::config::{INTERIM_BYTES_MAX, RAW_HEAD_BYTES_MAX};
use support::clock::StoppedClock;
use support::endpoint::{Endpoint, Step};

use crate::*;

/// Longer than any machine takes for what does not wait for it.
const TIMEOUT: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Scripts on Windows that print CRLF to a stream in text mode, which makes a CRLF of each LF. curl reads them.
#[tokio::test]
async fn a_head_with_double_line_ends_counts_and_its_connection_closes() {
    let pause = Duration::from_millis(1);
    join_all(
        [
            ("HTTP/1.1 200 OK\r\r\nX-A: 1\r\r\nContent-Length: 2\r\r\n\r\r\nok", 200, "ok"),
            ("HTTP/1.0 200 OK\r\r\nX-A: 1\r\r\n\r\r\nok\r\r\n", 200, "ok\r\r\n"),
            ("http/1.1  200  OK\r\r\nX-A: 1\r\r\n\r\r\nok", 200, "ok"),
            // The server wrote the first line, and the script the others.
            ("HTTP/1.1 200 OK\r\nX-A: 1\r\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
            ("HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\r\n\r\r\nok", 200, "ok"),
            (
                "HTTP/1.1 100 Continue\r\r\n\r\r\nHTTP/1.1 200 OK\r\r\nX-A: 1\r\r\nContent-Length: 2\r\r\n\r\r\nok",
                200,
                "ok",
            ),
            ("HTTP/1.1 500 No\r\r\nX-A: 1\r\r\nContent-Length: 2\r\r\n\r\r\nno", 500, "no"),
        ]
        .map(|(bytes, status, body)| async move {
            for step in [Step::ReplyAndClose(bytes.into()), Step::Trickle(Vec::new(), bytes.into(), pause)] {
                let closes = matches!(step, Step::ReplyAndClose(_));
                // Without a length only its end ends a body.
                if !closes && !bytes.contains("Length") {
                    continue;
                }
                let endpoint = Endpoint::start(vec![step]);
                let courier = courier(TIMEOUT);
                for n in 1..=2 {
                    let outcome = attempt(&courier, &endpoint.url()).await;
                    assert_eq!(outcome.error.map(|error| error.kind), (status == 500).then_some(ErrorKind::HttpStatus));
                    let response = outcome.response.unwrap();
                    assert_eq!((response.status, response.body.as_str()), (status, body), "{bytes:?}");
                    let is_known = |(name, value): &(_, _)| name == "x-a" && value == "1";
                    assert!(response.headers.iter().any(is_known) && response.malformed.is_empty(), "{response:?}");
                    assert_eq!(endpoint.seen().connections, n, "where its end is was written by who counts wrongly");
                }
            }
        }),
    )
    .await;
}

/// What one answer comes to, which is written in one piece and left at that.
async fn answered(bytes: String) -> AttemptOutcome {
    let endpoint = Endpoint::start(vec![Step::ReplyAndClose(bytes.into_bytes())]);
    attempt(&courier(TIMEOUT), &endpoint.url()).await
}

/// Servers that hint at what a page needs, ask to wait, or say that they go on; whoever counts is behind all of that.
#[tokio::test]
async fn interim_answers_of_any_length_and_number_lead_to_the_one_that_counts() {
    let hint = |bytes: usize| format!("Link: </{}>; rel=preload\r\n", "x".repeat(bytes));
    let hints = |count: usize, bytes: usize| format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", hint(bytes).repeat(count));
    let some = ["100 Continue", "102 Processing", "103 Early Hints"].map(|line| format!("HTTP/1.1 {line}\r\n\r\n"));
    let mut fronts = vec![
        hints(40, 1_000),
        hints(400, 1_000),
        hints(1, 40_000),
        hints(4_000, 1),
        some.concat().repeat(10),
        "HTTP/1.0 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 100\r\n\r\n".to_owned(),
        "HTTP/1.1 199 What\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("{}{}", hints(40, 1_000), hints(40, 1_000)),
    ];
    // Its end at every place around the bytes that are held back at most.
    fronts.extend((0..24).map(|n| hints(1, RAW_HEAD_BYTES_MAX - 60 + n)));
    join_all(fronts.into_iter().map(|front| async move {
        let begins = front[..60.min(front.len())].to_owned();
        let outcome = answered(format!("{front}{OK}")).await;
        assert_eq!(outcome.error, None, "{begins} {}", front.len());
        let response = outcome.response.unwrap();
        assert_eq!((response.status, response.body.as_str(), response.headers.len()), (200, "ok", 1), "{begins}");
        let failed = answered(format!("{front}HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(failed.error.unwrap().kind, ErrorKind::HttpStatus, "{begins}");
    }))
    .await;
}

/// The connection is kept where the answer that counts cannot be another one's: an interim one that promises a body, or of
/// which not all was looked at, may have one in which that answer stands.
#[tokio::test]
async fn behind_an_interim_answer_a_doubtful_end_closes_the_connection() {
    let hints =
        |lines: usize, more: &str| format!("HTTP/1.1 103 Early Hints\r\n{}{more}\r\n", "Link: </a>\r\n".repeat(lines));
    for (hints, head, connections) in [
        (hints(40, ""), "Content-Length: 2", 1),
        (hints(40, "Content-Length: 0\r\n"), "Content-Length: 2", 1),
        (hints(40, ""), "Content-Length: 2\r\nContent-Length: 2", 2),
        (hints(40, "Content-Length: 40\r\n"), "Content-Length: 2", 2),
        (hints(40, "Transfer-Encoding: chunked\r\n"), "Content-Length: 2", 2),
        (hints(4_000, ""), "Content-Length: 2", 2),
    ] {
        let endpoint = Endpoint::start(vec![Step::Reply(format!("{hints}HTTP/1.1 200 OK\r\n{head}\r\n\r\nok").into())]);
        let courier = courier(TIMEOUT);
        for _ in 0..2 {
            assert_eq!(attempt(&courier, &endpoint.url()).await.error, None, "{head}");
        }
        assert_eq!(endpoint.seen().connections, connections, "{head}");
    }
}

#[tokio::test]
async fn an_interim_answer_that_leads_nowhere_says_why() {
    for (bytes, kind, said) in [
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", ErrorKind::HttpStatus, "answered 101"),
        (
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            ErrorKind::Protocol,
            "behind an interim answer (1xx), which has no body, is no HTTP/1.1: it began with `okHTTP/1.1 200 OK`",
        ),
        ("HTTP/1.1 102 Processing\r\n\r\n", ErrorKind::Protocol, "without an answer"),
    ] {
        let error = answered(bytes.to_owned()).await.error.unwrap();
        assert!(error.kind == kind && error.detail.contains(said), "{bytes}: {error:?}");
    }
}

/// Time stands still, so no deadline ends it.
#[tokio::test]
async fn interim_answers_without_end_are_bounded() {
    let _clock = StoppedClock::stop();
    let said = format!("sent interim answers (1xx) of more than {} KiB and none that counts", INTERIM_BYTES_MAX / 1024);
    let line = "x".repeat(8 * 1024);
    let filling = format!("{:x<1$}\n", "HTTP/1.1 103 ", RAW_HEAD_BYTES_MAX - 5);
    for (begin, endless) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 103 Early Hints\r\n", "Link: </a>\r\n"),
        ("HTTP/1.1 103 Early Hints\r\nLink: ", line.as_str()),
        ("HTTP/1.1 103 ", line.as_str()),
        // Its first line leaves a few bytes for all that follows, and must not be looked through for each of them.
        (filling.as_str(), line.as_str()),
    ] {
        let began = std::time::Instant::now();
        let endpoint = Endpoint::start(vec![Step::Flood(begin.into(), endless.repeat(32).into())]);
        let error = attempt(&courier(TIMEOUT), &endpoint.url()).await.error.unwrap();
        assert!(error.kind == ErrorKind::Protocol && error.detail.contains(&said), "{begin}: {error:?}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it took {:?} of a thread that others need",
            began.elapsed()
        );
    }
}
