//! How a message stands in someone else's stream: the names of its fields, what it is wrapped in, and what is none.

use std::collections::BTreeSet;

use crate::nodes::bench::{Nodes, workspaces};
use crate::nodes::foreign::{ORDERS, add, until_drained};
use support::process::until;
use support::service::message;

#[tokio::test]
async fn what_is_no_message_is_set_aside_with_the_reason_and_acknowledged() {
    let flags: &[&str] = &["--source", ORDERS, "--source-message", "/data"];
    let nodes = Nodes::start_with(&[flags]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let wrapped = format!(r#"{{"data":{}}}"#, message("+1", "good"));
    for fields in [
        &["workspace", "w0", "message", "{}"][..],
        &["workspace", "w0", "message", "not JSON"],
        &["workspace", "w0", "message", r#"{"data":1}"#],
        &["message", &wrapped],
        &["workspace", "w0"],
        &["workspace", "w0", "message", &wrapped],
    ] {
        add(&nodes, fields);
    }
    until_drained(&nodes, 1).await;
    let api = nodes.nodes[0].api();
    let mut reasons = Vec::new();
    until("five are set aside", async || {
        let listed = api.get("/v1/rejected").await.ok();
        listed["rejected"].as_array().unwrap().len() == 5
    })
    .await;
    let listed = api.get("/v1/rejected").await.ok();
    reasons.extend(listed["rejected"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap().to_owned()));
    for said in ["the field `message` has nothing at /data", "the field `message` is not JSON: "] {
        assert_eq!(reasons.iter().filter(|reason| reason.starts_with(said)).count(), 1, "{said}: {reasons:?}");
    }
    // Whoever sets an entry aside, the hand-over or a shard, it is counted.
    let (_, said) = nodes.ready(0).await;
    let counted = said["rejected_reasons"].as_object().unwrap();
    assert_eq!(counted.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 5, "{counted:?}");
    assert_eq!(counted["the field `message` has nothing at /data"], 1, "{counted:?}");
    assert_eq!(nodes.receiver.ids("w0"), ["good"]);
}

/// A wrong flag lets a whole backlog be set aside and acknowledged: it must not be lost by that.
#[tokio::test]
async fn what_a_wrong_form_set_aside_is_delivered_by_the_right_one() {
    let form = |fields: &'static str, pointer: &'static str| {
        ["--source", ORDERS, "--source-fields", fields, "--source-message", pointer]
    };
    let mut nodes = Nodes::start_with(&[&form("workspace=ws,message=body", "/date")]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let wrapped = |id: &str| format!(r#"{{"data":{},"date":{{"of":1}}}}"#, message("+1", id));
    add(&nodes, &["ws", "w0", "body", &wrapped("m-0")]);
    add(&nodes, &["payload", &wrapped("m-1"), "ws", "w0"]);
    let listed = async |nodes: &Nodes| nodes.nodes[0].api().get("/v1/rejected").await.ok()["rejected"].clone();
    until("both are set aside", async || listed(&nodes).await.as_array().unwrap().len() == 2).await;
    let said = listed(&nodes).await;
    for (entry, reason) in
        said.as_array().unwrap().iter().zip(["`direction` must be", "the entry has no field `body`: "])
    {
        assert!(entry["reason"].as_str().unwrap().starts_with(reason), "{said:#}");
        assert_eq!(entry["workspace"], "w0", "{said:#}");
    }
    let place = |entry: &serde_json::Value| {
        format!("/v1/rejected/{}/{}/requeue", entry["shard"], entry["id"].as_str().unwrap())
    };
    let requeue = async |nodes: &Nodes, n: usize| {
        let path = place(&said[n]);
        nodes.nodes[0].api().call(reqwest::Method::POST, &path, None).await.unwrap()
    };
    assert_eq!(requeue(&nodes, 0).await.problem(), (422, "still-invalid"));
    // Each is delivered by the flags that it needs.
    for (n, fields) in [(0, "workspace=ws,message=body"), (1, "workspace=ws,message=payload")] {
        let node = &mut nodes.nodes[0];
        assert_eq!(node.terminate().await.code(), Some(0));
        node.set("--source-fields", fields);
        node.set("--source-message", "/data");
        node.launch().await;
        nodes.until_shared(&[0]).await;
        assert_eq!(requeue(&nodes, n).await.status, 202);
        nodes.receiver.until("it is sent", |arrivals| arrivals.len() == n + 1).await;
    }
    assert_eq!(nodes.receiver.ids("w0"), ["m-0", "m-1"]);
    let ids: BTreeSet<String> =
        nodes.receiver.arrivals().iter().map(|one| one.header("webhook-id").unwrap()[..5].to_owned()).collect();
    assert_eq!(ids, BTreeSet::from(["msg_s".to_owned()]), "their ids are those of the source");
}

/// One wrong flag, and nothing of a source is delivered: an operator must not have to guess that from a number that grows.
#[tokio::test]
async fn a_source_of_which_everything_is_set_aside_is_named_until_something_is_delivered() {
    let nodes = Nodes::start_with(&[&["--source", ORDERS, "--source-fields", "message=payload"]]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let told = async |n: usize| {
        let (status, said) = nodes.ready(0).await;
        assert_eq!(status, 200, "{said}");
        let reasons: Vec<String> = serde_json::from_value(said["reasons"].clone()).unwrap();
        let named: Vec<&String> = reasons.iter().filter(|reason| reason.contains("were all set aside")).collect();
        assert!(named.len() <= 1, "{reasons:?}");
        named.first().is_some_and(|reason| {
            reason.starts_with(&format!("source {ORDERS}: its last {n} entries were all set aside"))
                && reason.contains("the entry has no field `payload`")
                && reason.contains("--source-fields")
        })
    };
    let bad = |n: usize| {
        add(&nodes, &["workspace", "w0", "message", &message("+1", &format!("m-{n}"))]);
    };
    (0..19).for_each(bad);
    until("nineteen are set aside", async || {
        let (_, said) = nodes.ready(0).await;
        said["rejected_reasons"].to_string().contains(":19")
    })
    .await;
    assert!(!told(19).await, "some may be wrong");
    bad(19);
    until("it is named", async || told(20).await).await;
    assert_eq!(nodes.nodes[0].log().matches("were all set aside").count(), 1, "{}", nodes.nodes[0].log());
    add(&nodes, &["workspace", "w0", "payload", &message("+1", "good")]);
    nodes.receiver.until("it is sent", |arrivals| arrivals.len() == 1).await;
    until("it is not named any more", async || nodes.ready(0).await.1["reasons"] == serde_json::json!([])).await;
}

/// In an envelope as text, in a list, behind a byte order mark.
#[tokio::test]
async fn a_message_is_found_wherever_the_pointer_leads_and_as_text_too() {
    let nodes = Nodes::start_with(&[&["--source", ORDERS, "--source-message", "/items/0/body"]]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(1)).await;
    let with = |body: &str| format!(r#"{{"items":[{{"body":{body}}}]}}"#);
    let text = serde_json::to_string(&message("+1", "as-text")).unwrap();
    for envelope in [
        with(&text),
        format!("\u{feff}{}", with(&message("+1", "marked"))),
        format!(" {} \n", with(&format!(" {} ", message("+1", "spaced")))),
        // None of these is one.
        with("null"),
        with(r#""no message""#),
        with(&format!("[{text}]")),
        r#"{"items":{"0":1}}"#.to_owned(),
    ] {
        add(&nodes, &["workspace", "w0", "message", &envelope]);
    }
    until_drained(&nodes, 3).await;
    let api = nodes.nodes[0].api();
    until("four are set aside", async || api.get("/v1/rejected").await.ok()["rejected"].as_array().unwrap().len() == 4)
        .await;
    assert_eq!(nodes.receiver.ids("w0"), ["as-text", "marked", "spaced"]);
}
