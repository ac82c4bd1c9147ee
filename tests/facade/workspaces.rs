//! The list of workspaces.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use outbound::journal::port::ListQuery;
use outbound::workspace::configuration::WebhookStatus;
use serde_json::json;
use support::service::{Service, message};

use crate::kit::{FakeJournal, call, facade, request, working};

#[tokio::test]
async fn a_page_is_asked_for_with_one_more_that_tells_of_the_next() {
    let journal = Arc::<FakeJournal>::default();
    let router = facade(Arc::clone(&journal), working());
    let asked = |count| ListQuery { count, ..ListQuery::default() };
    for (query, read, expected) in [
        ("", 100, asked(101)),
        ("?limit=1", 1, asked(2)),
        (
            "?limit=100&status=disabled_by_errors",
            100,
            ListQuery { status: Some(WebhookStatus::DisabledByErrors), ..asked(101) },
        ),
        (
            "?prefix=a.b:c-&after=.x",
            100,
            ListQuery { prefix: "a.b:c-".into(), after: Some(".x".parse().unwrap()), ..asked(101) },
        ),
        ("?prefix=.&limit=007", 7, ListQuery { prefix: ".".into(), ..asked(8) }),
        ("?prefix=", 100, asked(101)),
    ] {
        let reply = call(&router, request("GET", &format!("/v1/workspaces{query}"), "")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text);
        let body = reply.json();
        assert_eq!(body["workspaces"].as_array().map(Vec::len), Some(read), "{query}");
        assert_eq!(body["next"], format!("w{:03}", read - 1), "{query}");
        assert_eq!(journal.listed.lock().unwrap().pop(), Some(expected), "{query}");
    }
    let body = call(&router, request("GET", "/v1/workspaces?limit=1", "")).await.json();
    let nothing = json!({"workspace": "w000", "status": null, "host": null, "consecutive_errors": null, "skipped": null, "last_attempt": null});
    assert_eq!(body["workspaces"][0], nothing, "what cannot be read is null");
}

#[tokio::test]
async fn wrong_questions_are_refused_and_nobody_without_the_admin_token_learns_anything() {
    let router = facade(Arc::default(), working());
    for query in [
        "limit=0",
        "limit=101",
        "limit=%2B5",
        "limit=x",
        "limit=",
        "limit=-1",
        "status=off",
        "status=",
        "status=Enabled",
        "after=",
        "after=a%20b",
        "after=..",
        "prefix=a%2Fb",
        "prefix=%C3%A9",
        "page=2",
        "status=enabled&status=disabled",
    ] {
        let reply = call(&router, request("GET", &format!("/v1/workspaces?{query}"), "")).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (400, "invalid-query"), "{query}");
    }
    let nobody = Request::get("/v1/workspaces").body(Body::empty()).unwrap();
    assert_eq!(call(&router, nobody).await.problem(), "unauthorized");
}

#[tokio::test]
async fn the_list_is_that_of_the_webhooks() {
    let service = Service::start("embedded", &[]).await;
    let api = service.api();
    for (workspace, webhook) in [
        ("b-on", json!({"url": "https://User.example:8443/x?token=s3cret"})),
        ("a-off", json!({"url": "https://crm.example/", "enabled": false})),
        ("c-cleared", json!({"url": "https://crm.example/"})),
        ("c-cleared", json!({"url": ""})),
    ] {
        api.save(workspace, &webhook).await.ok();
    }
    // An id that a producer made up.
    api.publish("a-invented", &message("+1", "m")).await.unwrap().ok();
    api.publish("a-off", &message("+1", "m")).await.unwrap().ok();
    for workspace in ["a-invented", "a-off"] {
        api.until(workspace, "it is skipped", |webhook| webhook["skipped"]["count"] == 1).await;
    }
    let list = async |query: &str| {
        let reply = api.get(&format!("/v1/workspaces{query}")).await.ok();
        let line = |line: &serde_json::Value| {
            let skipped = line["skipped"]["count"].as_u64().unwrap();
            format!("{} {} {} {skipped}", line["workspace"], line["status"], line["host"]).replace('"', "")
        };
        reply["workspaces"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    let all = [
        "a-invented not_configured null 1",
        "a-off disabled crm.example 1",
        "b-on enabled user.example 0",
        "c-cleared not_configured null 0",
    ];
    assert_eq!(list("").await, all);
    assert_eq!(list("?status=not_configured").await, [all[0], all[3]]);
    assert_eq!(list("?prefix=a-&status=disabled").await, [all[1]]);
    assert_eq!(list("?after=a-off&limit=1").await, [all[2]]);
    api.call(reqwest::Method::DELETE, "/v1/workspaces/a-off", None).await.unwrap();
    assert_eq!(list("?prefix=a").await, [all[0]]);
}
