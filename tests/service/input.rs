//! What is no valid message is set aside with a reason; what stands around it arrives.

use std::collections::BTreeMap;

use serde_json::json;

use crate::bench::{Bench, Kind, SHARDS, shard};
use support::service::{message, message_with};

type Fields = BTreeMap<String, String>;

/// What a producer wrote, and a part of the reason why it is set aside.
struct Bad {
    fields: Vec<(&'static str, String)>,
    reason: String,
}

#[tokio::test]
async fn bad_input_is_set_aside_with_its_reason_and_the_good_around_it_arrives() {
    let bench = Bench::start(Kind::Redis, &[]).await;
    bench.save("acme", json!({})).await;
    let k = shard("acme");
    let stream = format!("outbound:{{{k}}}:messages");
    let bad = bad_input();
    let mut written = Vec::new();
    for (n, bad) in bad.iter().enumerate() {
        add(&bench, &stream, &[("workspace", "acme".to_owned()), ("message", message("+1", &format!("good-{n:02}")))]);
        written.push(add(&bench, &stream, &bad.fields));
    }
    add(&bench, &stream, &[("workspace", "acme".to_owned()), ("message", message("+1", "good-99"))]);

    bench.receiver.until("the good ones came", |arrivals| arrivals.len() == bad.len() + 1).await;
    assert!(bench.receiver.ids("acme").is_sorted());
    until_settled(&bench, &stream).await;
    let rejected = rejected(&bench, k);
    assert_eq!(rejected.len(), bad.len());
    for (entry, (bad, id)) in rejected.iter().zip(bad.iter().zip(&written)) {
        assert_eq!(&entry["_id"], id);
        assert!(entry["_reason"].contains(&bad.reason), "{:?} does not say {:?}", entry["_reason"], bad.reason);
        assert!(entry["_at"].parse::<jiff::Timestamp>().is_ok(), "{:?}", entry["_at"]);
        for (name, value) in &bad.fields {
            let kept = &entry[*name];
            if value.len() > 256 * 1024 {
                assert_eq!((kept.len(), &value[..kept.len()]), (64 * 1024, kept.as_str()));
                assert_eq!(entry["_bytes"].parse::<usize>().unwrap(), bytes(&bad.fields));
            } else {
                assert_eq!(kept, value);
            }
        }
    }
}

#[tokio::test]
async fn bad_input_from_the_common_stream_ends_where_its_workspace_lives_or_in_shard_0() {
    let bench = Bench::start(Kind::Redis, &[]).await;
    bench.save("acme", json!({})).await;
    let source = "outbound:messages";
    let good = |id: &str| vec![("workspace", "acme".to_owned()), ("message", message("+1", id))];
    add(&bench, source, &good("m1"));
    let nameless = add(&bench, source, &[("message", message("+1", "nobody's"))]);
    let crooked = add(&bench, source, &[("workspace", "../etc".to_owned()), ("message", message("+1", "x"))]);
    let broken = add(&bench, source, &[("workspace", "acme".to_owned()), ("message", "{\"direction\":".to_owned())]);
    add(&bench, source, &good("m2"));

    bench.receiver.until("the good ones came", |arrivals| arrivals.len() == 2).await;
    assert_eq!(bench.receiver.ids("acme"), ["m1", "m2"]);
    until_settled(&bench, source).await;
    let stream = format!("outbound:{{{}}}:messages", shard("acme"));
    until_settled(&bench, &stream).await;
    let of_acme = rejected(&bench, shard("acme"));
    let broken = of_acme.iter().find(|entry| entry.get("origin") == Some(&format!("{source}/{broken}")));
    assert_eq!(broken.unwrap()["message"], "{\"direction\":");
    for id in [&nameless, &crooked] {
        let entries = rejected(&bench, 0);
        let entry = entries.iter().find(|entry| entry["_id"] == *id);
        let entry = entry.unwrap_or_else(|| panic!("{id} is not among {entries:?}"));
        assert!(entry["_reason"].contains("workspace"), "{entry:?}");
        assert_eq!(entry["origin"], format!("{source}/{id}"));
    }
}

fn bad_input() -> Vec<Bad> {
    let bad = |fields: &[(&'static str, &str)], reason: &str| Bad {
        fields: fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        reason: reason.to_owned(),
    };
    let of_acme = |message: &str, reason: &str| bad(&[("workspace", "acme"), ("message", message)], reason);
    let without = |member: &str| {
        let mut whole: serde_json::Value = serde_json::from_str(&message("+1", "m")).unwrap();
        whole.as_object_mut().unwrap().remove(member);
        whole.to_string()
    };
    let stranger = (0..).map(|n| format!("stranger-{n}")).find(|name| shard(name) != shard("acme")).unwrap();
    let right_key = format!("outbound:{{{}}}:messages", shard(&stranger));
    let deep = format!("{}{}", "{\"a\":".repeat(200), "1".to_owned() + &"}".repeat(200));
    vec![
        of_acme("{\"direction\":", "JSON"),
        of_acme("[]", "object"),
        of_acme("", ""),
        of_acme(&without("direction"), "direction"),
        of_acme(&without("timestamp"), "timestamp"),
        of_acme(&without("message_id"), "message_id"),
        of_acme(&without("contact"), "contact"),
        of_acme(&deep, ""),
        of_acme(&message_with("+1", "m", &"x".repeat(300 * 1024)), "262144"),
        bad(&[("workspace", "a b"), ("message", &message("+1", "m"))], "workspace"),
        bad(&[("workspace", "."), ("message", &message("+1", "m"))], "workspace"),
        bad(&[("workspace", &stranger), ("message", &message("+1", "m"))], &right_key),
        bad(&[("tenant", "acme"), ("message", &message("+1", "m"))], "workspace"),
        bad(&[("workspace", "acme"), ("payload", &message("+1", "m"))], "message"),
    ]
}

fn bytes(fields: &[(&str, String)]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Appends an entry; answers with its id.
fn add(bench: &Bench, stream: &str, fields: &[(&str, String)]) -> String {
    let mut words = vec!["XADD", stream, "*"];
    for (name, value) in fields {
        words.extend([*name, value.as_str()]);
    }
    bench.redis().call(&words)
}

/// What was set aside in a shard, oldest first.
fn rejected(bench: &Bench, shard: u16) -> Vec<Fields> {
    assert!(shard < SHARDS);
    let key = format!("outbound:{{{shard}}}:rejected");
    let entries: Vec<(String, Fields)> = bench.redis().call(&["XRANGE", &key, "-", "+"]);
    entries.into_iter().map(|(_, fields)| fields).collect()
}

async fn until_settled(bench: &Bench, stream: &str) {
    let began = std::time::Instant::now();
    while bench.redis().call::<usize>(&["XLEN", stream]) > 0 {
        assert!(began.elapsed() < support::service::PATIENCE, "{stream} is not settled");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
