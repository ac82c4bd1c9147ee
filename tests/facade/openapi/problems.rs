//! The example of each class of problems is what the router answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use outbound::config::{LIVE_STREAMS_PER_WORKSPACE_MAX, REQUESTS_AT_ONCE};
use outbound::journal::port::{LoadError, PublishError, Reading, RequeueError, SubmitError};
use outbound::message::EntryId;
use outbound::workspace::State;
use outbound::workspace::command::{Answer, Refusal};
use outbound::workspace::event::{Attempt, Event, Request as Sent, Trigger, WebhookSaved};
use outbound::workspace::headers::CustomHeaders;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::kit::{FakeJournal, NOW, TOKEN_KEY, away, call, description, facade, refusing, request, working};

const WEBHOOK: &str = "/v1/workspaces/acme/webhook";
const TEST: &str = "/v1/workspaces/acme/webhook/test";
const SECRET: &str = "/v1/workspaces/acme/webhook/secret";
const MESSAGES: &str = "/v1/workspaces/acme/messages";
const ENTRY: &str = "/v1/rejected/2/1769860801012-0";
const REQUEUE: &str = "/v1/rejected/2/1769860801012-0/requeue";
const SAVE: &str = r#"{"url":"https://crm.example.com/hooks/whatsapp"}"#;
const MESSAGE: &str = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;

/// What was answered, by the last part of the problem's type.
#[derive(Default)]
struct Seen(BTreeMap<String, Value>);

impl Seen {
    async fn of(&mut self, journal: FakeJournal, request: Request<Body>) {
        let reply = call(&facade(Arc::new(journal), working()), request).await;
        let other = self.0.insert(reply.problem(), reply.json());
        assert!(other.is_none(), "{} twice", reply.problem());
    }

    async fn refused(&mut self, request: Request<Body>) {
        self.of(FakeJournal::default(), request).await;
    }

    async fn command(&mut self, method: &str, path: &str, submit: fn() -> Result<Answer, SubmitError>) {
        let journal = FakeJournal { submit: Box::new(submit), ..FakeJournal::default() };
        self.of(journal, request(method, path, SAVE)).await;
    }
}

fn without(header: header::HeaderName, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().remove(header);
    request
}

fn with(header: header::HeaderName, value: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(header, value.parse().unwrap());
    request
}

fn with_token(token: &str, request: Request<Body>) -> Request<Body> {
    with(header::AUTHORIZATION, &format!("Bearer {token}"), request)
}

/// A token that opens the workspace acme and nothing else.
fn workspace_token() -> String {
    let now = NOW.unix_seconds();
    let claims = json!({"aud": "outbound:api", "ws": "acme", "sub": "owner", "gen": 0, "iat": now, "exp": now + 60});
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "HS256"})), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(&TOKEN_KEY).unwrap().chain_update(&signed).finalize();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
}

fn with_body(body: Body) -> Request<Body> {
    let mut request = request("PUT", WEBHOOK, SAVE);
    *request.body_mut() = body;
    request
}

#[tokio::test(start_paused = true)]
async fn every_example_of_a_problem_is_what_the_router_answers() {
    let mut seen = Seen::default();
    seen.refused(without(header::AUTHORIZATION, request("GET", WEBHOOK, ""))).await;
    seen.refused(request("GET", ENTRY, "")).await;
    seen.refused(with_token(&workspace_token(), request("GET", ENTRY, ""))).await;
    too_many_failures(&mut seen).await;
    seen.refused(request("DELETE", WEBHOOK, "")).await;
    seen.refused(request("GET", &format!("{WEBHOOK}?{}", "x".repeat(32 * 1024)), "")).await;
    seen.refused(with(header::HOST, "a b", request("GET", WEBHOOK, ""))).await;
    seen.refused(request("GET", "/v1/workspaces/caf%C3%A9/webhook", "")).await;
    seen.refused(request("PUT", WEBHOOK, "{")).await;
    seen.refused(without(header::CONTENT_TYPE, request("PUT", WEBHOOK, SAVE))).await;
    seen.refused(request("PUT", WEBHOOK, &"x".repeat(300 * 1024))).await;
    let never = stream::pending::<Result<Bytes, std::io::Error>>();
    seen.refused(with_body(Body::from_stream(never))).await;
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    seen.refused(with_body(Body::from_stream(stream::iter([Ok(Bytes::from(SAVE)), Err(broken)])))).await;
    seen.refused(request("PUT", WEBHOOK, r#"{"url":"https://crm.example.com/","event":"message_read"}"#)).await;
    seen.refused(request("POST", "/v1/workspaces/acme/tokens", r#"{"ttl":"2y"}"#)).await;
    seen.refused(request("POST", &format!("{SECRET}/rotate"), r#"{"overlap":"8d"}"#)).await;
    seen.refused(request("POST", MESSAGES, r#"{"direction":"up"}"#)).await;
    let invalid = |_, _| Err(RequeueError::Invalid { reason: "the message is not JSON".to_owned() });
    let journal = FakeJournal { requeue: Box::new(invalid), ..FakeJournal::default() };
    seen.of(journal, request("POST", REQUEUE, "")).await;
    seen.refused(request("GET", "/v1/rejected?after=x", "")).await;
    seen.refused(request("GET", SECRET, "")).await;

    seen.command("POST", TEST, || Ok(Answer::Refused { refusal: Refusal::TestUnderWay })).await;
    seen.command("POST", TEST, || Ok(Answer::Refused { refusal: Refusal::TestTooSoon })).await;
    seen.command("POST", TEST, || Ok(Answer::Refused { refusal: Refusal::HasMessages })).await;
    let full = || Ok(Answer::Refused { refusal: Refusal::TooManyTokens });
    let journal = FakeJournal { submit: Box::new(full), ..FakeJournal::default() };
    seen.of(journal, request("POST", "/v1/workspaces/acme/tokens", "{}")).await;
    seen.refused(with(header::IF_MATCH, "7", request("PUT", WEBHOOK, SAVE))).await;
    changed_meanwhile(&mut seen).await;
    body_omitted(&mut seen).await;
    seen.command("PUT", WEBHOOK, || Ok(Answer::Refused { refusal: Refusal::NoSecretKey })).await;
    seen.command("PUT", WEBHOOK, || Err(SubmitError::TooMany)).await;
    seen.command("PUT", WEBHOOK, || Err(SubmitError::OutcomeUnknown)).await;
    let corrupt = || LoadError::Corrupt { workspace: "acme".parse().unwrap(), detail: String::new() };
    let journal = FakeJournal { read: Box::new(move || Err(corrupt().into())), ..FakeJournal::default() };
    seen.of(journal, request("GET", WEBHOOK, "")).await;
    let journal = FakeJournal { publish: Box::new(|| Err(PublishError::Full)), ..FakeJournal::default() };
    seen.of(journal, request("POST", MESSAGES, MESSAGE)).await;
    let refuses = || Err(PublishError::Store(refusing()));
    let journal = FakeJournal { publish: Box::new(refuses), ..FakeJournal::default() };
    seen.of(journal, request("POST", MESSAGES, MESSAGE)).await;
    let journal = FakeJournal { read: Box::new(|| Err(away().into())), ..FakeJournal::default() };
    seen.of(journal, request("GET", WEBHOOK, "")).await;
    let journal = FakeJournal { read: Box::new(|| panic!("on purpose")), ..FakeJournal::default() };
    seen.of(journal, request("GET", WEBHOOK, "")).await;
    overloaded(&mut seen).await;
    too_many_streams(&mut seen).await;

    let described = description().await.problems();
    for (name, example) in &described {
        assert_eq!(seen.0.get(name), Some(example), "src/http/openapi/problems.rs, `{name}`");
    }
    let missing: Vec<&String> = seen.0.keys().filter(|name| !described.contains_key(*name)).collect();
    assert!(missing.is_empty(), "no example in src/http/openapi/problems.rs: {missing:?}");
}

/// Jane has saved since.
async fn changed_meanwhile(seen: &mut Seen) {
    let saved = |url: &str| {
        Event::WebhookSaved(WebhookSaved {
            at: NOW,
            by: "jane@acme.com".to_owned(),
            url: Some(url.into()),
            enabled: true,
            owner_email: None,
            secret: "whsec_c2VjcmV0".into(),
            headers: CustomHeaders::new(),
            changed_headers: Vec::new(),
        })
    };
    let urls = ["https://crm.example.com/v1", "https://crm.example.com/v2"];
    let history = move || Ok(vec![(1, saved(urls[0])), (7, saved(urls[1]))]);
    let submit = || Ok(Answer::Refused { refusal: Refusal::ChangedMeanwhile });
    let journal = FakeJournal { submit: Box::new(submit), history: Box::new(history), ..FakeJournal::default() };
    let mut request = request("PUT", WEBHOOK, SAVE);
    request.headers_mut().insert(header::IF_MATCH, "\"1\"".parse().unwrap());
    seen.of(journal, request).await;
}

/// An attempt that was logged while the store was full.
async fn body_omitted(seen: &mut Seen) {
    let attempt = Attempt {
        at: NOW,
        trigger: Trigger::Message,
        entry: EntryId { ms: 1, n: 0 },
        message_id: "m".into(),
        webhook_id: "msg_0_1-0".into(),
        config: 1,
        errors: None,
        duration_ms: 1,
        error: None,
        request: Sent { url: "https://crm.example.com/".into(), headers: Arc::default(), message: None },
        response: None,
    };
    let read = move || Ok(Reading { state: State::default(), attempts: vec![(7, attempt.clone())] });
    let journal = FakeJournal { read: Box::new(read), ..FakeJournal::default() };
    seen.of(journal, request("POST", "/v1/workspaces/acme/attempts/7/again", "")).await;
}

/// More wrong tokens from one address than may be tried.
async fn too_many_failures(seen: &mut Seen) {
    let router = facade(Arc::default(), working());
    for _ in 0..20 {
        let reply = call(&router, with_token("wrong", request("GET", WEBHOOK, ""))).await;
        if reply.status == 429 {
            seen.0.insert(reply.problem(), reply.json());
        }
    }
}

/// As many requests as are answered at a time, and one more.
async fn overloaded(seen: &mut Seen) {
    let journal = Arc::new(FakeJournal { gate: Semaphore::new(0), ..FakeJournal::default() });
    let router = facade(Arc::clone(&journal), working());
    let held: Vec<_> = (0..REQUESTS_AT_ONCE)
        .map(|n| {
            let router = router.clone();
            let path = format!("/v1/workspaces/w{n}/webhook");
            tokio::spawn(async move { call(&router, request("PUT", &path, SAVE)).await })
        })
        .collect();
    while journal.submitted.lock().unwrap().len() < REQUESTS_AT_ONCE {
        tokio::task::yield_now().await;
    }
    let reply = call(&router, request("GET", WEBHOOK, "")).await;
    seen.0.insert(reply.problem(), reply.json());
    journal.gate.add_permits(REQUESTS_AT_ONCE);
    for one in held {
        one.await.unwrap();
    }
}

/// As many live streams as a workspace may have, and one more.
async fn too_many_streams(seen: &mut Seen) {
    let router = facade(Arc::default(), working());
    let live = || request("GET", "/v1/workspaces/acme/attempts/live", "");
    let mut open = Vec::new();
    for _ in 0..LIVE_STREAMS_PER_WORKSPACE_MAX {
        open.push(router.clone().oneshot(live()).await.unwrap());
    }
    let reply = call(&router, live()).await;
    seen.0.insert(reply.problem(), reply.json());
}

/// What only a page answers, as a page.
const ONLY_OF_PAGES: [&str; 2] = ["foreign-form", "too-many-test-mails"];

/// A class that is made somewhere is described somewhere: the classes are read off the source.
#[tokio::test]
async fn every_class_of_problems_is_described() {
    let source = include_str!("../../../src/http/problem.rs");
    let rows = source.split("const fn row").nth(1).unwrap().split("\n    }\n}").next().unwrap();
    let names = rows.split("StatusCode::").skip(1).filter_map(|row| row.split('"').nth(1));
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 20 && names.contains(&"unauthorized"), "{names:?}");
    let description = description().await;
    let calls = description.0["paths"].to_string();
    for name in names {
        if ONLY_OF_PAGES.contains(&name) {
            continue;
        }
        assert!(description.problems().contains_key(name), "`{name}` has no example in src/http/openapi/problems.rs");
        let at_a_call = calls.contains(&format!("\"urn:outbound:problem:{name}\""));
        // That one is answered where no call is.
        assert!(at_a_call || name == "method-not-allowed", "no call in src/http/api refuses with `{name}`");
    }
}
