//! Rejected entries over HTTP: shown, requeued and discarded.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use outbound::journal::port::{RawEntry, RequeueError, Requeued};
use outbound::journal::rejected::rejected_fields;
use outbound::message::EntryId;
use serde_json::{Value, json};

use crate::kit::{FakeJournal, NOW, away, call, facade, request, working};

const fn id(ms: u64, n: u64) -> EntryId {
    EntryId { ms, n }
}

/// Set aside as `kept`, read as `read`.
fn entry(kept: EntryId, read: EntryId, reason: &str, fields: &[(&str, &[u8])]) -> RawEntry {
    let fields = fields.iter().map(|(name, value)| (Bytes::from((*name).to_owned()), Bytes::copy_from_slice(value)));
    RawEntry { id: kept, fields: rejected_fields(&RawEntry { id: read, fields: fields.collect() }, reason, NOW) }
}

fn journal() -> Arc<FakeJournal> {
    let strange = entry(
        id(1_769_860_800_001, 0),
        id(1_769_860_800_000, 4),
        "the message is not JSON",
        &[("workspace", b"acme"), ("message", b"{\xff")],
    );
    let big = vec![b'x'; 300 * 1024];
    let cut = entry(id(5, 2), id(4, 0), "too large", &[("workspace", b"acme"), ("message", &big)]);
    let nobody = entry(id(6, 0), id(4, 1), "the field `workspace` is missing", &[("origin", b"mine/1-0")]);
    Arc::new(FakeJournal { rejected: vec![(0, nobody), (2, cut), (2, strange)], ..FakeJournal::default() })
}

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn rejected_entries_are_listed_by_shard_and_oldest_first() {
    let router = facade(journal(), working());
    let reply = call(&router, request("GET", "/v1/rejected", "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), golden(include_str!("../golden/facade/rejected.json")));
    let ids = async |path: &str| {
        let reply = call(&router, request("GET", path, "")).await.json();
        reply["rejected"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("/v1/rejected?shard=0").await, ["6-0"]);
    assert_eq!(ids("/v1/rejected?shard=1").await, Vec::<Value>::new());
    assert_eq!(ids("/v1/rejected?after=0/6-0").await, ["5-2", "1769860800001-0"]);
    assert_eq!(ids("/v1/rejected?shard=2&after=2/5-2").await, ["1769860800001-0"]);
}

#[tokio::test]
async fn a_long_list_goes_on_where_the_last_answer_ended() {
    let all = (0..=2).flat_map(|shard| (1..=90).map(move |ms| (shard, entry(id(ms, 0), id(ms, 0), "bad", &[]))));
    let journal = Arc::new(FakeJournal { rejected: all.collect(), ..FakeJournal::default() });
    let router = facade(journal, working());
    let (mut path, mut found) = ("/v1/rejected".to_owned(), Vec::new());
    let mut sizes = Vec::new();
    loop {
        let page = call(&router, request("GET", &path, "")).await.json();
        let entries = page["rejected"].as_array().unwrap();
        sizes.push(entries.len());
        found.extend(entries.iter().map(|entry| format!("{}/{}", entry["shard"], entry["id"].as_str().unwrap())));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/rejected?after={next}");
    }
    assert_eq!(sizes, [100, 100, 70]);
    let expected = (0..=2).flat_map(|shard| (1..=90).map(move |ms| format!("{shard}/{ms}-0")));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn an_entry_is_shown_with_its_fields_and_whether_it_was_cut() {
    let router = facade(journal(), working());
    let reply = call(&router, request("GET", "/v1/rejected/2/1769860800001-0", "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), golden(include_str!("../golden/facade/rejected_entry.json")));
    let cut = call(&router, request("GET", "/v1/rejected/2/5-2", "")).await.json();
    assert_eq!((&cut["truncated"], &cut["bytes"]), (&json!(true), &json!(307_220)));
    assert_eq!(cut["workspace"], "acme", "it was read whole, and cut when it was set aside");
}

#[tokio::test]
async fn a_requeued_entry_is_accepted_with_its_new_place() {
    let requeue = |shard, kept| {
        assert_eq!((shard, kept), (2, id(5, 2)));
        Ok(Requeued { workspace: "acme".parse().unwrap(), shard: 1, entry: id(1_769_860_800_009, 0) })
    };
    let journal = Arc::new(FakeJournal { requeue: Box::new(requeue), ..FakeJournal::default() });
    let reply = call(&facade(journal, working()), request("POST", "/v1/rejected/2/5-2/requeue", "")).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.json(), json!({"workspace": "acme", "shard": 1, "id": "1769860800009-0"}));
}

#[tokio::test]
async fn why_an_entry_was_not_requeued_is_told() {
    type Refused = fn() -> RequeueError;
    let cases: [(Refused, u16, &str, &str); 4] = [
        (|| RequeueError::Gone { shard: 2, id: id(5, 2) }, 404, "not-found", "no rejected entry 5-2"),
        (|| RequeueError::Invalid { reason: "no `contact`".to_owned() }, 422, "still-invalid", "no `contact`"),
        (|| RequeueError::Full, 503, "store-full", "nothing was requeued"),
        (|| away().into(), 503, "store-away", "may have been requeued"),
    ];
    for (refused, status, problem, part) in cases {
        let journal = Arc::new(FakeJournal { requeue: Box::new(move |_, _| Err(refused())), ..FakeJournal::default() });
        let reply = call(&facade(journal, working()), request("POST", "/v1/rejected/2/5-2/requeue", "")).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (status, problem));
        assert!(reply.text.contains(part) && !reply.text.contains("hunter2"), "{}", reply.text);
    }
}

#[tokio::test]
async fn entries_are_discarded_by_name_by_reason_and_all_of_them() {
    let discarded = Arc::new(Mutex::new(Vec::new()));
    let journal = || {
        let discarded = Arc::clone(&discarded);
        let discard = move |shard, ids: &[EntryId]| {
            discarded.lock().unwrap().extend(ids.iter().map(|id| format!("{shard}/{id}")));
            Ok(ids.len() as u64)
        };
        let journal = Arc::into_inner(journal()).unwrap();
        Arc::new(FakeJournal { discard: Box::new(discard), ..journal })
    };
    for (path, expected) in [
        ("/v1/rejected/2/5-2", &["2/5-2"][..]),
        ("/v1/rejected?reason=too%20large", &["2/5-2"]),
        ("/v1/rejected?reason=the%20message%20is%20not%20JSON&shard=2", &["2/1769860800001-0"]),
        ("/v1/rejected?reason=the%20message%20is%20not%20JSON&shard=0", &[]),
        ("/v1/rejected?reason=the%20message", &[]),
        ("/v1/rejected?all=true&shard=0", &["0/6-0"]),
        ("/v1/rejected?all=true", &["0/6-0", "2/5-2", "2/1769860800001-0"]),
    ] {
        let reply = call(&facade(journal(), working()), request("DELETE", path, "")).await;
        let told = std::mem::take(&mut *discarded.lock().unwrap());
        assert_eq!(told, expected, "{path}");
        if path.contains('?') {
            assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({"discarded": told.len(), "more": false})));
        } else {
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""));
        }
    }
}

#[tokio::test]
async fn a_reason_that_is_written_out_means_no_other_of_its_kind() {
    let kind = "the message is not JSON";
    let reasons = ["expected value at line 1 column 1", "key must be a string at line 1 column 2"];
    let rejected: Vec<(u16, RawEntry)> =
        (1..).zip(reasons).map(|(ms, why)| (2, entry(id(ms, 0), id(ms, 0), &format!("{kind}: {why}"), &[]))).collect();
    let discarded = async |reason: &str| {
        let discard = |_, ids: &[EntryId]| Ok(ids.len() as u64);
        let rejected = rejected.clone();
        let journal = Arc::new(FakeJournal { rejected, discard: Box::new(discard), ..FakeJournal::default() });
        let path = format!("/v1/rejected?reason={}", reason.replace(' ', "%20"));
        call(&facade(journal, working()), request("DELETE", &path, "")).await.json()["discarded"].clone()
    };
    assert_eq!(discarded(kind).await, 2);
    assert_eq!(discarded(&format!("{kind}: {}", reasons[1])).await, 1);
    assert_eq!(discarded(&format!("{kind}: expected ident at line 7 column 1")).await, 0, "no entry has it");
}

#[tokio::test]
async fn a_call_discards_about_a_thousand_entries_and_says_that_there_are_more() {
    let rejected = (1..=1_500).map(|ms| (2, entry(id(ms, 0), id(ms, 0), "bad", &[]))).collect();
    let discard = |_, ids: &[EntryId]| Ok(ids.len() as u64);
    let journal = Arc::new(FakeJournal { rejected, discard: Box::new(discard), ..FakeJournal::default() });
    let reply = call(&facade(journal, working()), request("DELETE", "/v1/rejected?all=true", "")).await.json();
    assert!((1_000..1_100).contains(&reply["discarded"].as_u64().unwrap()), "{reply}");
    assert_eq!(reply["more"], json!(true));
}

#[tokio::test]
async fn what_is_not_asked_rightly_is_a_problem() {
    let router = facade(journal(), working());
    for (method, path, status, problem) in [
        ("GET", "/v1/rejected/3/5-2", 404, "not-found"),
        ("GET", "/v1/rejected/2/5-3", 404, "not-found"),
        ("GET", "/v1/rejected/2/five", 404, "not-found"),
        ("POST", "/v1/rejected/x/5-2/requeue", 404, "not-found"),
        ("GET", "/v1/rejected?after=5-2", 400, "invalid-query"),
        ("GET", "/v1/rejected?shard=x", 400, "invalid-query"),
        ("GET", "/v1/rejected?shard=%2B1", 400, "invalid-query"),
        ("GET", "/v1/rejected?shard=3", 400, "invalid-query"),
        ("GET", "/v1/rejected?after=3/1-0", 400, "invalid-query"),
        ("GET", "/v1/rejected?sharp=1", 400, "invalid-query"),
        ("PUT", "/v1/rejected/2/5-2", 405, "method-not-allowed"),
        ("DELETE", "/v1/rejected/2/5-3", 404, "not-found"),
        ("DELETE", "/v1/rejected", 400, "invalid-query"),
        ("DELETE", "/v1/rejected?all=false", 400, "invalid-query"),
        ("DELETE", "/v1/rejected?all=true&reason=x", 400, "invalid-query"),
        ("DELETE", "/v1/rejected?all=true&shard=3", 400, "invalid-query"),
        ("DELETE", "/v1/rejected?al=true", 400, "invalid-query"),
    ] {
        let reply = call(&router, request(method, path, "")).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (status, problem), "{method} {path}");
    }
    for (method, path) in [
        ("GET", "/v1/rejected"),
        ("GET", "/v1/rejected/2/5-2"),
        ("POST", "/v1/rejected/2/5-2/requeue"),
        ("DELETE", "/v1/rejected/2/5-2"),
        ("DELETE", "/v1/rejected?all=true"),
    ] {
        let nobody = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(call(&router, nobody).await.problem(), "unauthorized", "{method} {path}");
    }
}

#[tokio::test]
async fn readyz_tells_how_many_are_rejected() {
    let probe = || Request::get("/readyz").body(Body::empty()).unwrap();
    let reply = call(&facade(journal(), working()), probe()).await;
    assert_eq!((reply.status.as_u16(), reply.json()["rejected"].clone()), (200, json!(3)));
}

#[tokio::test(start_paused = true)]
async fn readyz_does_not_wait_for_a_store_that_does_not_answer() {
    let router = facade(Arc::new(FakeJournal { hangs: true, ..FakeJournal::default() }), working());
    let before = tokio::time::Instant::now();
    for _ in 0..10 {
        let reply = call(&router, Request::get("/readyz").body(Body::empty()).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.json()["rejected"].clone()), (200, Value::Null));
    }
    assert!(before.elapsed() < std::time::Duration::from_secs(1), "ten probes took {:?}", before.elapsed());
}
