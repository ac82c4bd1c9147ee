//! What the receiver does with the request, and what the attempt makes of it.

use crate::*;

#[tokio::test]
async fn the_request_is_what_the_contract_says_and_the_recorded_headers_are_the_sent_ones() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let done = attempt(&courier(), &endpoint.url()).await;
    let request = String::from_utf8(endpoint.seen().requests.remove(0)).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, BODY);
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /hook?token=secret HTTP/1.1"));
    let sent: Vec<(String, &str)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| !["host", "accept-encoding", "content-length"].contains(&name.as_str()))
        .collect();
    let recorded: Vec<(&str, &str)> =
        done.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    assert_eq!(sent.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>(), recorded);
    let expected = [
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("user-agent", concat!("outbound/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "msg_7_1-0"),
        ("webhook-timestamp", "1649367553"),
        ("webhook-signature", "v1,7oQivsaW2/dfDsJxxW9Eqr1lKvcnSlkQuCTZDTy8F14="),
    ];
    assert_eq!(recorded, expected);
}

#[tokio::test]
async fn path_and_query_are_sent_as_configured_and_the_host_with_its_port() {
    for (configured, sent) in
        [("", "/"), ("?q=1", "/?q=1"), ("/a b/ü?x=y z#part", "/a%20b/%C3%BC?x=y%20z"), ("/%2e%2E/x//?", "/x//?")]
    {
        let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
        let origin = endpoint.url().replace("/hook?token=secret", "");
        assert!(delivered(&attempt(&courier(), &format!("{origin}{configured}")).await));
        let request = String::from_utf8(endpoint.seen().requests.remove(0)).unwrap();
        assert!(request.starts_with(&format!("POST {sent} HTTP/1.1\r\n")), "{configured}: {request}");
        let host = origin.replace("http://", "Host: ");
        assert_eq!(request.lines().filter(|line| line.starts_with("Host")).collect::<Vec<_>>(), [host]);
    }
}

#[tokio::test]
async fn custom_headers_are_sent_and_masked_in_what_is_recorded() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let pairs = [("accept", "text/plain"), ("authorization", "Bearer key-of-the-endpoint")];
    let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), (*value).into())).collect();
    let post = post_to(target(&endpoint.url(), vec![SECRET.into()], headers), "msg_7_1-0");
    let PostResult::Done(done) = courier().attempt(&post).await else { panic!("it was not attempted") };
    let request = String::from_utf8(endpoint.seen().requests.remove(0)).unwrap();
    for (name, sent_as, value) in [(pairs[0].0, "Accept", pairs[0].1), (pairs[1].0, "Authorization", pairs[1].1)] {
        assert_eq!(request.matches(&format!("\r\n{sent_as}: ")).count(), 1, "{request}");
        assert!(request.contains(&format!("\r\n{sent_as}: {value}\r\n")), "{request}");
        assert!(done.headers.contains(&(name.into(), "***".into())), "{:?}", done.headers);
    }
    assert!(!format!("{done:?} {post:?}").contains("key-of-the-endpoint"));
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
    assert_eq!(response.headers, expected.map(|(name, value)| (name.into(), value.into())));
    assert_eq!(response.body, "thanks");
    assert!(!response.truncated);
    assert!(done.duration > Duration::ZERO);
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let elsewhere = Endpoint::start(vec![Step::Reply(ok())]);
    let location = format!("location: {}\r\n", elsewhere.url());
    let done = once(vec![Step::Reply(answer("308 Permanent Redirect", &location, ""))]).await;
    let sentence = format!(
        "127.0.0.1 answered 308 and points to {}; save that address instead, with its query, which is not shown here",
        elsewhere.url().split('?').next().unwrap()
    );
    assert_failed(&done, ErrorKind::Redirect, &sentence);
    assert_eq!(elsewhere.seen().connections, 0);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_a_protocol_error() {
    let closed = "127.0.0.1 closed the connection without an answer";
    let cut = "127.0.0.1 closed the connection in the middle of the head of its answer";
    let reset = "127.0.0.1 broke the connection without an answer: connection reset";
    for (step, sentence) in [
        (Step::Close, closed),
        (Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), cut),
        (Step::Reset, reset),
        (Step::ResetUnread, reset),
    ] {
        assert_failed(&once(vec![step]).await, ErrorKind::Protocol, sentence);
    }
}

#[tokio::test]
async fn an_error_status_stays_the_reason_when_the_rest_of_the_answer_fails() {
    let cut_off = b"HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nab".to_vec();
    for done in [once(vec![Step::ReplyAndClose(cut_off.clone())]).await, once_past(Step::ReplyAndStall(cut_off)).await]
    {
        assert_failed(&done, ErrorKind::HttpStatus, "127.0.0.1 answered 500");
        assert_eq!(done.response.unwrap().body, "ab");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_error() {
    let done = once(vec![Step::Reply(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())]).await;
    assert_failed(
        &done,
        ErrorKind::Protocol,
        "what 127.0.0.1 answered is no HTTP/1.1: it began with `SSH-2.0-OpenSSH_9.2`",
    );
}

#[tokio::test]
async fn up_to_100_headers_are_taken() {
    // With content-length.
    let done = once(vec![Step::Reply(answer("200 OK", &"a: b\r\n".repeat(99), ""))]).await;
    assert!(delivered(&done));
    assert_eq!(done.response.unwrap().headers.len(), 100);
    let done = once(vec![Step::Reply(answer("200 OK", &"a: b\r\n".repeat(100), ""))]).await;
    let sentence = "127.0.0.1 sent more than 100 headers, or far too long ones";
    assert_failed(&done, ErrorKind::Protocol, sentence);
    for kib in [200, 350, 450, 2_000] {
        let done = once(vec![Step::Reply(answer("200 OK", &format!("a: {}\r\n", "b".repeat(kib * 1_024)), ""))]).await;
        if kib < 400 {
            assert!(delivered(&done), "{kib}: {:?}", done.error);
        } else {
            assert_failed(&done, ErrorKind::Protocol, sentence);
        }
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let done = once_past(Step::ReplyAndStall(Vec::new())).await;
    assert_failed(&done, ErrorKind::Timeout, "127.0.0.1 did not answer within 20s");
    assert!((DEADLINE..DEADLINE * 2).contains(&done.duration), "{:?}", done.duration);
    assert_eq!(done.response, None);
}

#[tokio::test]
async fn a_head_without_the_promised_body_is_decided_by_its_status() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec();
    for step in [Step::ReplyAndStall(head.clone()), Step::ReplyAndClose(head)] {
        let done = once(vec![step]).await;
        assert!(delivered(&done));
        assert!(done.response.unwrap().truncated);
    }
}

#[tokio::test]
async fn a_trickle_does_not_extend_the_deadline() {
    // It goes on for longer than the deadline takes to pass.
    let (pause, head) = (Duration::from_millis(20), [b"HTTP/1.1 200 OK\r\n", &b"a: b\r\n".repeat(60)[..]].concat());
    let done = once_past(Step::Trickle(Vec::new(), head, pause)).await;
    let sentence = "127.0.0.1 did not answer within 20s: the head of its answer began and did not end; an empty line must \
        end it";
    assert_failed(&done, ErrorKind::Timeout, sentence);
    assert!((DEADLINE..DEADLINE * 2).contains(&done.duration), "{:?}", done.duration);
    let done =
        once(vec![Step::Trickle(answer("200 OK", "", &"x".repeat(1_000))[..50].to_vec(), vec![b'x'; 900], pause)])
            .await;
    assert!(delivered(&done));
    let response = done.response.unwrap();
    assert!(response.body.len() > 1 && response.truncated);
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

/// Request bins and debug pages answer with what they were sent.
#[tokio::test]
async fn what_an_endpoint_repeats_of_the_webhooks_own_headers_is_masked() {
    let body = r#"{"headers":{"Authorization":"Bearer h34derS3cret"}}"#;
    let endpoint = Endpoint::start(vec![Step::Reply(answer("200 OK", "x-you-sent: h34derS3cret\r\n", body))]);
    let headers = CustomHeaders::from([("authorization".parse().unwrap(), "Bearer h34derS3cret".into())]);
    let result = courier().attempt(&post_to(target(&endpoint.url(), vec![SECRET.into()], headers), "msg_7_1-0")).await;
    let PostResult::Done(done) = result else { panic!("{result:?}") };
    let response = done.response.unwrap();
    assert_eq!(response.body, r#"{"headers":{"Authorization":"***"}}"#);
    assert!(response.headers.contains(&("x-you-sent".into(), "***".into())), "{:?}", response.headers);
    let request = String::from_utf8(endpoint.seen().requests[0].clone()).unwrap();
    assert!(request.contains("Bearer h34derS3cret"), "{request}");
}

/// The sentence about an attempt goes into mails and lists.
#[tokio::test]
async fn no_sentence_tells_what_an_endpoint_repeats_of_the_webhooks_own_headers() {
    for said in [
        answer("302 Found", "location: /login/h34derS3cret\r\n", ""),
        answer("301 Moved", "location: https://h34derS3cret.example/?a=1\r\n", ""),
        answer("307 Moved", "location: /login?next=h34derS3cret\r\n", ""),
        b"220 h34derS3cret ESMTP\r\n".to_vec(),
    ] {
        let endpoint = Endpoint::start(vec![Step::Reply(said)]);
        let headers = CustomHeaders::from([("authorization".parse().unwrap(), "Bearer h34derS3cret".into())]);
        let post = post_to(target(&endpoint.url(), vec![SECRET.into()], headers), "msg_7_1-0");
        let PostResult::Done(done) = courier().attempt(&post).await else { panic!("it was not attempted") };
        let told = format!("{:?} {:?}", done.error, done.response);
        assert!(done.error.is_some() && !told.to_lowercase().contains("h34ders3cret"), "{told}");
    }
}
