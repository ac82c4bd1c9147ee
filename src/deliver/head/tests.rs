//! What is recorded of a head, held to what hyper reads in the same bytes.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::deliver::recorded_stream::RecordedStream;

/// Status, headers and body as hyper reads `answer`, and the head as it was recorded; it comes in `pieces`.
async fn read(answer: &[u8], pieces: usize) -> (u16, Vec<(String, Vec<u8>)>, Vec<u8>, Option<RawHead>) {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let (stream, recorder) = RecordedStream::new(TokioIo::new(ours));
    let (mut sender, connection) = Builder::new().handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let answer = answer.to_vec();
    let endpoint = tokio::spawn(async move {
        theirs.read_u8().await.unwrap();
        for piece in answer.chunks(answer.len().div_ceil(pieces)) {
            // What comes behind a 204 finds the connection closed.
            if theirs.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // Open until it is read.
        theirs
    });
    let request = hyper::Request::post("/").body(Full::new(Bytes::from_static(b"x"))).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    drop((sender, endpoint.await.unwrap()));
    driver.await.unwrap().ok();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    (head.status.as_u16(), headers, body, recorder.take(true))
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToldEnd {
    Length,
    /// In chunks of so many bytes, with an extension and a trailer or without.
    Chunked(usize, bool),
}

fn told_end() -> impl Strategy<Value = ToldEnd> {
    let chunked = (1_usize..100, any::<bool>()).prop_map(|(bytes, more)| ToldEnd::Chunked(bytes, more));
    prop_oneof![Just(ToldEnd::Length), chunked]
}

impl ToldEnd {
    fn write(self, body: &[u8], answer: &mut Vec<u8>) {
        let mut write = |bytes: &[u8]| answer.extend_from_slice(bytes);
        let length = format!("content-length: {}\r\n", body.len());
        match self {
            Self::Length => write(length.as_bytes()),
            Self::Chunked(bytes, more) => {
                write(b"transfer-encoding: chunked\r\n\r\n");
                for chunk in body.chunks(bytes) {
                    write(format!("{:x}{}\r\n", chunk.len(), if more { ";a=b" } else { "" }).as_bytes());
                    write(chunk);
                    write(b"\r\n");
                }
                return write(if more { b"0\r\nx-checksum: 1\r\n\r\n" } else { b"0\r\n\r\n" });
            }
        }
        write(b"\r\n");
        write(body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_well_formed_answer_is_read_as_hyper_reads_it(
        status in prop_oneof![Just(200_u16), 201_u16..=209, 300_u16..600],
        reason in "[ -~]{0,20}",
        headers in vec(("x-[a-z0-9-]{1,20}", "[!-~]([ -~]{0,40}[!-~])?"), 0..8),
        body in vec(any::<u8>(), 0..300),
        end in told_end(),
        interim in any::<bool>(),
        pieces in 1_usize..40,
    ) {
        prop_assume!(status != 304 && !(status == 204 && end != ToldEnd::Length));
        let mut answer = Vec::new();
        if interim {
            answer.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
        }
        answer.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
        for (name, value) in &headers {
            answer.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        end.write(&body, &mut answer);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (theirs, their_headers, their_body, ours) = runtime.block_on(read(&answer, pieces));
        let expected_body = if status == 204 { Vec::new() } else { body.clone() };
        prop_assert_eq!((theirs, &their_body), (status, &expected_body));
        let ours = ours.unwrap();
        prop_assert_eq!(ours.status, status);
        let sorted = |mut pairs: Vec<(String, Vec<u8>)>| { pairs.sort(); pairs };
        let our_headers = ours.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        prop_assert_eq!(sorted(our_headers), sorted(their_headers));
        prop_assert_eq!(ours.malformed, Vec::<String>::new());
        prop_assert_eq!(ours.end_is_told, status != 204 || body.is_empty());
    }

    #[test]
    fn no_bytes_break_the_reading_and_nothing_grows_beyond_its_bound(
        start in prop_oneof![Just("HTTP/1.1 200 OK\r\n"), Just("HTTP/1.0 200\n"), Just("\r\n\r\nHTTP/1.1 100\n\n"), Just("")],
        bytes in vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b':'), Just(b' ')], 0..2_000),
        pieces in 1_usize..50,
    ) {
        let all = [start.as_bytes(), &bytes].concat();
        let recorder = HeadRecorder::default();
        for piece in all.chunks(all.len().div_ceil(pieces).max(1)) {
            recorder.0.lock().record(piece);
        }
        if let Some(head) = recorder.take(true) {
            prop_assert!(head.headers.len() <= RESPONSE_HEADERS_MAX && head.malformed.len() <= MALFORMED_LINES_MAX);
            prop_assert!(head.malformed.iter().all(|line| line.len() <= MALFORMED_LINE_BYTES_MAX));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_status_line_that_is_odd_is_read_however_it_is_cut(
        line in prop_oneof![
            Just("http/1.1 203 OK"), Just("HTTP/1.2 203"), Just("HTTP/1.1  203  OK"), Just("HTTP/1.1\t203\tOK"),
            Just("Http/1.0 203 O\u{7}K"), Just("\n\nHTTP/1.1 203 OK"), Just("HTTP/1.1 203 OK"),
        ],
        line_end in prop_oneof![Just("\r\n"), Just("\n"), Just("\r\r\n")],
        interim in prop_oneof![
            Just(""), Just("http/1.1 100 Continue\r\n\r\n"), Just("HTTP/1.1 103 Hints\na: b\n\n"),
            Just("HTTP/1.1  102 P\r\n\r\n\r\n"),
        ],
        pieces in 1_usize..80,
    ) {
        let answer = format!("{interim}{}ok", format!("{line}\nx-a: 1\ncontent-length: 2\n\n").replace('\n', line_end));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (status, headers, body, raw) = runtime.block_on(read(answer.as_bytes(), pieces));
        prop_assert_eq!((status, body.as_slice(), headers.len()), (203, &b"ok"[..], 2));
        let raw = raw.unwrap();
        let is_plain = line.trim_start().starts_with("HTTP/1.1 203") && line_end != "\r\r\n";
        // One that another reader may not take for an interim answer may be the one that counts.
        let is_plain = is_plain && (interim.is_empty() || interim.starts_with("HTTP/1.1 103"));
        prop_assert_eq!((raw.status, raw.end_is_told, raw.headers.len()), (203, is_plain, 2));
    }
}

#[test]
fn what_is_no_head_goes_on_at_once() {
    for start in ["220 mail ESMTP\r\n", "H2", "HTTP/2", "<", "HTTP/1.1 OK\r\n", "HTTP/1.1 20 OK\n", "\0"] {
        let recorder = HeadRecorder::default();
        let (last, first) = start.as_bytes().split_last().unwrap();
        let mut passed = Vec::new();
        for piece in [first, &[*last][..]].into_iter().filter(|piece| !piece.is_empty()) {
            match recorder.0.lock().record(piece) {
                Passed::Instead(more) => passed.extend(more),
                Passed::AsRead => passed.extend(piece),
                other => assert_eq!(other, Passed::Nothing),
            }
        }
        assert_eq!((passed.as_slice(), recorder.foreign().is_some()), (start.as_bytes(), true), "{start:?}");
    }
    for start in ["", "h", "HTTP/1.", "HTTP/1.1 200 OK", "http/1.1 200\r\nA", "\r\n\r\nHT"] {
        let recorder = HeadRecorder::default();
        let passed = recorder.0.lock().record(start.as_bytes());
        assert_eq!((passed, recorder.foreign().is_some()), (Passed::Nothing, false), "{start:?}");
    }
}

#[test]
fn a_head_without_end_is_recorded_up_to_its_bound() {
    let recorder = HeadRecorder::default();
    let mut passed = Vec::new();
    let start = recorder.0.lock().record(b"HTTP/1.1 200 OK\r\n");
    assert_eq!(start, Passed::Nothing);
    while recorder.held_back().is_some() {
        match recorder.0.lock().record(&b"a: b\r\n".repeat(1_000)) {
            Passed::Instead(more) => passed.extend(more),
            other => assert_eq!(other, Passed::Nothing),
        }
    }
    assert!(passed.len() >= RAW_HEAD_BYTES_MAX && passed.ends_with(b"a: b\r\n"), "nothing is lost");
    assert_eq!(recorder.0.lock().bytes.len(), RAW_HEAD_BYTES_MAX);
}
