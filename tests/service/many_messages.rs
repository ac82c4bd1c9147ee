//! Many messages in one request: all of them are durable, or none.

use serde_json::{Value, json};

use crate::bench::{Bench, Kind};
use support::service::{TOKEN, message};

const PATH: &str = "/v1/workspaces/acme/messages";

#[tokio::test]
async fn many_messages_are_published_at_once_or_none_on_the_embedded_journal() {
    many_messages_are_published(Kind::Embedded).await;
}

#[tokio::test]
async fn many_messages_are_published_at_once_or_none_on_redis() {
    many_messages_are_published(Kind::Redis).await;
}

async fn publish(bench: &Bench, media: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{}{PATH}", bench.api().address()));
    let sent = request.bearer_auth(TOKEN).header("content-type", media).body(body.into()).send().await.unwrap();
    let status = sent.status().as_u16();
    (status, serde_json::from_slice(&sent.bytes().await.unwrap()).unwrap())
}

async fn many_messages_are_published(kind: Kind) {
    const LINES: &str = "application/x-ndjson";
    let bench = Bench::start(kind, &[]).await;
    bench.save("acme", json!({})).await;
    let lines: Vec<String> = (0..1_000).map(|n| message("+1", &format!("m{n:03}"))).collect();

    // Nothing of these is stored: the line is named, and what is wrong with it.
    let bad = |line: &str| format!("{}\n\r\n{line}\n{}\n", lines[0], lines[1]);
    for (body, status, told) in [
        (bad("{}"), 422, "line 3: "),
        (bad("nonsense"), 422, "line 3: "),
        (bad("{\n\"direction\": \"sent\"}"), 422, "(each message must stand on one line)"),
        (format!("{}\n\u{feff}{{}}", lines[0]), 422, "line 2: `direction` must be"),
        (bad("[1]"), 422, "line 3: "),
        (bad(&message("+1", &"x".repeat(257 * 1024))), 413, "line 3: "),
        (format!("{}\n{}", lines.join("\n"), lines[0]), 413, "at most 1000 messages"),
        ("x".repeat(4 * 1024 * 1024 + 1), 413, "at most 4194304 bytes"),
        (String::new(), 422, "no message"),
        (" \r\n\n".to_owned(), 422, "no message"),
    ] {
        let (answered, problem) = publish(&bench, LINES, body).await;
        assert_eq!(answered, status, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
    assert_eq!(publish(&bench, "text/plain", lines[0].clone()).await.0, 415);
    assert_eq!(publish(&bench, "application/json", lines[..2].join("\n")).await.0, 422);

    let text = format!("\u{feff}{}\r\n\r\n", lines[..999].join("\r\n"));
    let (status, answer) = publish(&bench, LINES, text).await;
    assert_eq!((status, answer["ids"].as_array().unwrap().len()), (202, 999), "{answer}");
    let (status, answer) = publish(&bench, "application/x-ndjson; charset=utf-8", lines[999].clone()).await;
    assert_eq!((status, answer["ids"].as_array().unwrap().len()), (202, 1), "{answer}");

    bench.receiver.until("all came", |arrivals| arrivals.len() >= 1_000).await;
    let bodies: Vec<String> =
        bench.receiver.arrivals().into_iter().map(|one| String::from_utf8(one.body.to_vec()).unwrap()).collect();
    let expected: Vec<String> = lines.iter().map(|line| format!("{{\"message\":{line}}}")).collect();
    assert_eq!(bodies, expected, "in the order of the lines, byte for byte, and nothing else");
}
