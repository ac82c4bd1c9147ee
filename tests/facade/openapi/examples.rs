//! Every documented example is what the wire shows: the service is driven to the state that the example
//! describes, and the two are compared. What is different each time (times, ids, secrets, durations)
//! counts as equal when both have its form.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use outbound::http::{NodeShards, Readiness};
use outbound::journal::port::NodeRole;
use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::{call, description, facade, request, two_nodes};
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Api, Reply, Service, message};
use support::smtp::SmtpServer;

/// What the examples call the endpoint.
const ENDPOINT: &str = "https://crm.example.com/hooks/whatsapp";

/// The documented examples, and what the wire showed in their place.
struct Examples {
    documented: BTreeMap<String, Value>,
    shown: BTreeMap<String, Value>,
}

impl Examples {
    fn shows(&mut self, name: &str, wire: &Value) {
        self.shown.insert(name.to_owned(), wire.clone());
    }

    /// The example of a body, with the test's endpoint.
    fn body(&mut self, name: &str, endpoint: &str) -> String {
        let example = self.documented[name].clone();
        self.shows(name, &example);
        example.to_string().replace(ENDPOINT, endpoint)
    }
}

#[tokio::test]
async fn every_example_is_what_the_wire_shows() {
    let mut examples = Examples { documented: description().await.examples(), shown: BTreeMap::new() };
    of_a_workspace(&mut examples).await;
    of_rejected_entries(&mut examples).await;
    let why = "of the shards 0-3 assigned to this node shard 3 is not held: it is about to be acquired";
    let missing = Readiness {
        reasons: vec![why.to_owned()],
        role: NodeRole::Worker,
        shards: NodeShards { assigned: vec![0, 1, 2, 3], held: vec![0, 1, 2] },
        ..Readiness::default()
    };
    let reply = call(&facade(Arc::default(), missing), request("GET", "/readyz", "")).await;
    examples.shows("not-ready", &reply.json());
    let reply = call(&facade(Arc::new(two_nodes()), Readiness::default()), request("GET", "/v1/nodes", "")).await;
    examples.shows("nodes", &reply.json());

    let Examples { documented, shown } = examples;
    let mut wrong = String::new();
    for (name, example) in &documented {
        let wire = shown.get(name).unwrap_or_else(|| panic!("this test does not show {name}"));
        if normal(example) != normal(wire) {
            writeln!(wrong, "src/http/openapi/examples/{name}.json, where the wire shows {wire:#}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let gone: Vec<&String> = shown.keys().filter(|name| !documented.contains_key(*name)).collect();
    assert!(gone.is_empty(), "shown, but not documented: {gone:?}");
}

async fn of_a_workspace(examples: &mut Examples) {
    let smtp = SmtpServer::start([]).await;
    let mail = format!("smtp://{}", smtp.address);
    let service = Service::start("embedded", &["--smtp-url", &mail, "--mail-from", "outbound@example.com"]).await;
    let (api, receiver) = (service.api(), Receiver::start());
    let endpoint = receiver.url("acme");
    let told = |reply: Reply| with_documented_names(&reply.ok(), &endpoint);
    let at = |workspace: &str, rest: &str| format!("/v1/workspaces/{workspace}/{rest}");

    for name in ["save", "save-cleared", "save-off"] {
        let body = examples.body(name, &endpoint);
        api.call(Method::PUT, &at("other", "webhook"), Some(&body)).await.unwrap().ok();
    }
    examples.shows("webhook-not-configured", &told(api.read("acme", "webhook").await));
    let body = examples.body("test", &endpoint);
    let tested = api.call(Method::POST, &at("empty", "webhook/test"), Some(&body)).await.unwrap();
    examples.shows("tested-without-message", &told(tested));
    let body = examples.body("save", &endpoint);
    let saved = api.call(Method::PUT, &at("acme", "webhook"), Some(&body)).await.unwrap();
    examples.shows("webhook-saved", &told(saved));
    examples.shows("secret", &told(api.read("acme", "webhook/secret").await));

    let body = examples.body("message", &endpoint);
    examples.shows("published", &told(api.publish("acme", &body).await.unwrap()));
    api.until("acme", "the message is delivered", |webhook| webhook["last_attempt"]["outcome"] == "delivered").await;
    examples.shows("new-message", &serde_json::from_slice(&receiver.arrivals()[0].body).unwrap());
    receiver.treat("acme", |manner| manner.status = 500);
    let publish = async |id: &str| api.publish("acme", &message("+447700900101", id)).await.unwrap().ok();
    publish("m-2").await;
    api.until("acme", "one has failed", |webhook| webhook["consecutive_errors"] == 1).await;
    examples.shows("attempts", &told(api.read("acme", "attempts").await));
    let log = told(api.read("acme", "attempts/log").await);
    examples.shows("log", &log);
    headers_are_described(&log[0]["request"]["headers"]).await;

    for n in 3..=12 {
        publish(&format!("m-{n}")).await;
    }
    api.until("acme", "the mail is sent", |webhook| webhook["mail"]["state"] == "sent").await;
    publish("m-13").await;
    api.until("acme", "one is skipped", |webhook| webhook["skipped"]["count"] == 1 && webhook["waiting"].is_null())
        .await;
    examples.shows("webhook-disabled-by-errors", &told(api.read("acme", "webhook").await));
    examples.shows("workspaces", &told(api.get("/v1/workspaces?prefix=acme").await));
    examples.shows("history", &told(api.read("acme", "history").await));
    receiver.treat("acme", |manner| manner.status = 200);
    let body = examples.body("test", &endpoint);
    examples.shows("tested", &told(api.call(Method::POST, &at("acme", "webhook/test"), Some(&body)).await.unwrap()));

    examples.body("test-sample", &endpoint);
    let listed = api.read("acme", "attempts").await.ok();
    let oldest = listed["attempts"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    examples.shows("sent-again", &told(api.again("acme", &oldest).await));

    let rotate = api.call(Method::POST, &at("acme", "webhook/secret/rotate"), None).await.unwrap();
    examples.shows("secret-rotated", &told(rotate));
    let body = examples.body("rotation", &endpoint);
    api.call(Method::POST, &at("other", "webhook/secret/rotate"), Some(&body)).await.unwrap().ok();

    let body = examples.body("token-request", &endpoint);
    examples.shows("token", &told(api.call(Method::POST, &at("acme", "tokens"), Some(&body)).await.unwrap()));
    examples.shows("tokens", &told(api.read("acme", "tokens").await));

    of_probes(examples, &api).await;
}

async fn of_probes(examples: &mut Examples, api: &Api) {
    // A store that does not answer at once leaves the number of rejected entries out.
    until("all is told", async || api.get("/readyz").await.ok()["rejected"].is_number()).await;
    for (name, path) in [("alive", "/healthz"), ("ready", "/readyz")] {
        examples.shows(name, &api.get(path).await.ok());
    }
}

async fn of_rejected_entries(examples: &mut Examples) {
    let redis = RedisServer::start();
    let service = Service::start(&redis.url(), &[]).await;
    let api = service.api();
    // CRC32 as in zlib, mod 16: of "123456789" 6, of "a" 3.
    let valid = r#"{"direction":"sent","timestamp":"t","message_id":"m-1","contact":{"phone":"+1"}}"#;
    let _: String = redis.call(&["XADD", "outbound:{3}:messages", "*", "workspace", "a", "message", "not JSON"]);
    let _: String = redis.call(&["XADD", "outbound:{6}:messages", "*", "workspace", "a", "message", valid]);
    let listed = until_two_are_rejected(&api).await;
    examples.shows("rejected", &listed);
    let place = |n: usize| {
        let entry = &listed["rejected"][n];
        format!("/v1/rejected/{}/{}", entry["shard"], entry["id"].as_str().unwrap())
    };
    examples.shows("rejected-entry", &api.get(&place(0)).await.ok());
    let requeued = api.call(Method::POST, &format!("{}/requeue", place(1)), None).await.unwrap();
    examples.shows("requeued", &requeued.ok());
    let _: String = redis.call(&["XADD", "outbound:{3}:messages", "*", "workspace", "a", "message", "nor this"]);
    until_two_are_rejected(&api).await;
    examples.shows("discarded", &api.call(Method::DELETE, "/v1/rejected?all=true", None).await.unwrap().ok());

    api.save("acme", &json!({"url": ENDPOINT, "owner_email": "owner@example.com"})).await.ok();
    let shard = "acme".parse::<outbound::message::WorkspaceId>().unwrap().shard(outbound::config::SHARDS_DEFAULT);
    let _: String = redis.call(&["SET", &format!("outbound:{{{shard}}}:snapshot:acme"), "damaged"]);
    let repaired = api.call(Method::POST, "/v1/workspaces/acme/repair", None).await.unwrap();
    examples.shows("repaired", &repaired.ok());
}

/// The list with two entries.
async fn until_two_are_rejected(api: &Api) -> Value {
    let listed = async || api.get("/v1/rejected").await.ok();
    until("two are rejected", async || listed().await["rejected"].as_array().is_some_and(|all| all.len() == 2)).await;
    listed().await
}

/// The headers that endpoints are told of are sent.
async fn headers_are_described(sent: &Value) {
    let parameters = &description().await.0["webhooks"]["newMessage"]["post"]["parameters"];
    for parameter in parameters.as_array().unwrap() {
        let name = parameter["name"].as_str().unwrap();
        assert!(sent.get(name).is_some(), "{name} is not sent: {sent}");
    }
}

/// The workspace and the endpoint as the examples name them.
fn with_documented_names(wire: &Value, endpoint: &str) -> Value {
    let text = wire
        .to_string()
        .replace(endpoint, ENDPOINT)
        .replace("127.0.0.1", "crm.example.com")
        .replace(r#""empty""#, r#""acme""#);
    serde_json::from_str(&text).unwrap()
}

/// The same with what is different each time replaced by its form.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), normal_member(name, member))).collect()
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::String(text) => form(text).map_or_else(|| value.clone(), Value::from),
        other => other.clone(),
    }
}

fn normal_member(name: &str, member: &Value) -> Value {
    match (name, member) {
        ("duration_ms" | "waited_ms", Value::Number(_)) => "<milliseconds>".into(),
        ("webhook-timestamp", Value::String(text)) if text.parse::<u64>().is_ok() => "<seconds>".into(),
        ("date", Value::String(text)) if text.ends_with(" GMT") => "<date>".into(),
        ("id", Value::String(text)) if text.parse::<u64>().is_ok() => "<seq>".into(),
        _ => normal(member),
    }
}

fn form(text: &str) -> Option<&'static str> {
    let is_entry = |text: &str| text.parse::<outbound::message::EntryId>().is_ok();
    let webhook_id =
        |start: &str| text.strip_prefix(start).and_then(|rest| rest.rsplit('_').next()).is_some_and(is_entry);
    if text.ends_with('Z') && text.len() == 24 && text.parse::<outbound::workspace::Time>().is_ok() {
        Some("<time>")
    } else if is_entry(text) {
        Some("<entry>")
    } else if webhook_id("msg_") {
        Some("msg_<shard>_<entry>")
    } else if webhook_id("test_") {
        Some("test_<entry>")
    } else if text.starts_with("whsec_") {
        Some("<secret>")
    } else if text.starts_with("eyJ") && text.split('.').count() == 3 {
        Some("<token>")
    } else if text.starts_with("v1,") {
        Some("<signature>")
    } else if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Some("<uuid>")
    } else if text.starts_with("outbound/") {
        Some("outbound/<version>")
    } else {
        None
    }
}
