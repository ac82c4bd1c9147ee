//! Endpoints that answer before they have read the message, as hand-written servers and those with a limit do. Browsers and
//! curl take such an answer.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::process::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{attempt, attempt_with, courier};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Serves each connection so, and answers its URL.
fn serve<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client may be gone.
            drop(tokio::spawn(serve(stream)));
        }
    });
    url
}

/// A shell's one-liner, or a device: the answer is there as soon as the connection is.
#[tokio::test]
async fn an_answer_that_comes_before_the_message_counts_for_it() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
    let url = serve(move |mut stream| {
        let counts = Arc::clone(&counts);
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await?;
            // It is asked all the same.
            if stream.read(&mut [0; 4_096]).await? > 0 {
                counts.fetch_add(1, Ordering::Relaxed);
            }
            stream.shutdown().await
        }
    });
    let courier = courier(TIMEOUT);
    for _ in 0..40 {
        let outcome = attempt(&courier, &url).await;
        assert_eq!(outcome.error, None);
        assert_eq!(outcome.response.unwrap().body, "ok");
    }
    until("each was asked", async || asked.load(Ordering::Relaxed) == 40).await;
}

/// A limit of 1 KiB, or a check of a header: the rest of the message is not read, so the system ends the connection with a
/// reset.
#[tokio::test]
async fn an_answer_counts_although_the_rest_of_the_message_is_not_read() {
    for (head, status) in [("200 OK", 200), ("413 Too Large", 413), ("401 Unauthorized", 401)] {
        let url = serve(move |mut stream| async move {
            stream.read_exact(&mut [0; 1_024]).await?;
            let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
            stream.write_all(answer.as_bytes()).await
        });
        let courier = courier(TIMEOUT);
        for bytes in [60_000, 100_000, 250_000].repeat(12) {
            let outcome = attempt_with(&courier, &url, "x".repeat(bytes).into()).await;
            let response = outcome.response.unwrap_or_else(|| panic!("{:?}", outcome.error));
            assert_eq!(response.status, status, "{bytes}");
        }
    }
}

/// Without an answer the connection's end is told as what it is.
#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_no_answer() {
    let url = serve(|stream| async move {
        drop(stream);
        Ok(())
    });
    for bytes in [10, 250_000].repeat(10) {
        let outcome = attempt_with(&courier(TIMEOUT), &url, "x".repeat(bytes).into()).await;
        let error = outcome.error.unwrap();
        assert!(error.detail.contains("without an answer") && outcome.response.is_none(), "{error:?}");
    }
}
