//! A store that is there and says nothing: Redis is stopped, as by a debugger, a swapping machine or a hung disk.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::bench::{Bench, Kind};
use support::service::message;

/// What section 4 of the contract promises for a command, and as much again for a machine that is slow.
const PROMISED: Duration = Duration::from_secs(2 * 15);
const SAVES: usize = 30;

#[tokio::test]
async fn while_redis_is_stopped_everything_is_answered_in_time() {
    let bench = Bench::start(Kind::Redis, &[]).await;
    bench.save("acme", json!({"url": bench.receiver.url("acme")})).await;
    // Once with a connection that was just used, and once with one that was idle, which is asked first.
    for idle in [Duration::ZERO, Duration::from_millis(1_500)] {
        bench.api().webhook("acme").await;
        tokio::time::sleep(idle).await; // The connection's idleness is what is wanted.
        bench.redis().pause();
        all_are_refused_in_time(&bench).await;
        bench.redis().resume();
        bench.api().until("acme", "the store answers", |webhook| webhook["status"] == "enabled").await;
    }
}

async fn all_are_refused_in_time(bench: &Bench) {
    let began = Instant::now();
    let webhook = json!({"url": bench.receiver.url("acme")});
    let saves = (0..SAVES).map(|_| async { bench.api().save("acme", &webhook).await });
    let path = |rest: &str| format!("/v1/workspaces/acme{rest}");
    let others = [
        (Method::POST, path("/webhook/secret/rotate"), None),
        (Method::POST, path("/webhook/test"), None),
        // Of another one: what was written before Redis stopped to read may be applied later.
        (Method::DELETE, "/v1/workspaces/gone".to_owned(), None),
        (Method::DELETE, path("/tokens"), None),
        (Method::POST, path("/tokens"), Some("{}".to_owned())),
        (Method::POST, path("/messages"), Some(message("+1", "m"))),
        (Method::GET, path("/webhook"), None),
        (Method::GET, path("/attempts"), None),
        (Method::GET, path("/attempts/log"), None),
        (Method::GET, path("/history"), None),
        (Method::GET, "/v1/rejected".to_owned(), None),
    ];
    let others = others.into_iter().map(|(method, path, body)| async move {
        let reply = bench.api().call(method.clone(), &path, body.as_deref()).await.unwrap();
        assert_eq!(reply.status, 503, "{method} {path}: {}", reply.body);
        began.elapsed()
    });
    let (saves, others) = tokio::join!(join_all(saves), join_all(others));
    for reply in saves {
        let (status, kind) = reply.problem();
        assert_eq!(status, 503, "{}", reply.body);
        assert!(["outcome-unknown", "store-away"].contains(&kind), "{kind}");
    }
    let longest = others.iter().max().unwrap();
    assert!(began.elapsed() < PROMISED, "{:?}, the others {longest:?}", began.elapsed());
    let probe = bench.api().get("/healthz").await;
    assert_eq!(probe.status, 200);
}
