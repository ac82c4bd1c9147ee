//! Every way in which a request fails, with its status and the `type` of its problem document.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use bytes::Bytes;
use futures_util::stream;
use outbound::http::AdminToken;
use outbound::journal::port::{LoadError, PublishError, SubmitError};
use outbound::workspace::command::{Answer, Refusal};
use serde_json::{Value, json};

use crate::kit::{FakeJournal, Reply, TOKEN, away, call, facade, refusing, request, working};

const WEBHOOK: &str = "/v1/workspaces/acme/webhook";
const TEST: &str = "/v1/workspaces/acme/webhook/test";
const SECRET: &str = "/v1/workspaces/acme/webhook/secret";
const ATTEMPTS: &str = "/v1/workspaces/acme/attempts";
const LOG: &str = "/v1/workspaces/acme/attempts/log";
const MESSAGES: &str = "/v1/workspaces/acme/messages";
const URL: &str = r#"{"url":"https://endpoint.example/"}"#;
const MESSAGE: &str = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;

/// Calls a facade over a journal that must not be asked.
async fn refused(request: Request<Body>) -> Reply {
    let journal = Arc::<FakeJournal>::default();
    let reply = call(&facade(journal.clone(), working()), request).await;
    assert!(journal.submitted.lock().unwrap().is_empty(), "nothing may be submitted");
    assert!(journal.published.lock().unwrap().is_empty(), "nothing may be published");
    reply
}

#[tokio::test]
async fn requests_that_cannot_be_taken_are_refused_with_a_problem() {
    let large = "x".repeat(300 * 1024);
    let long_message = format!(r#"{{"text":"{}"}}"#, "x".repeat(256 * 1024));
    let cases = [
        ("GET", "/", "", 404, "not-found"),
        ("GET", "/v1/workspace", "", 404, "not-found"),
        ("GET", "/v1/workspaces//webhook", "", 422, "invalid-workspace"),
        ("PUT", WEBHOOK, "{", 400, "invalid-json"),
        ("PUT", WEBHOOK, "", 400, "invalid-json"),
        ("PUT", WEBHOOK, "[]", 422, "invalid-webhook"),
        ("POST", TEST, "{}", 422, "invalid-webhook"),
        ("PUT", WEBHOOK, &large, 413, "body-too-large"),
        ("POST", MESSAGES, &large, 413, "body-too-large"),
        ("POST", MESSAGES, &long_message, 413, "body-too-large"),
        ("POST", MESSAGES, "", 422, "invalid-message"),
        ("POST", MESSAGES, "[]", 422, "invalid-message"),
        ("POST", MESSAGES, r#"{"direction":"up"}"#, 422, "invalid-message"),
        ("GET", "/v1/workspaces/./webhook", "", 422, "invalid-workspace"),
        ("GET", "/v1/workspaces/a%2Fb/webhook", "", 422, "invalid-workspace"),
        ("GET", "/v1/workspaces/%FF/webhook", "", 422, "invalid-workspace"),
        ("PUT", "/v1/workspaces/caf%C3%A9/webhook", URL, 422, "invalid-workspace"),
    ];
    for (method, path, body, status, problem) in cases {
        let reply = refused(request(method, path, body)).await;
        let shown = &body[..body.len().min(40)];
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (status, problem), "{method} {path} {shown}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_body_or_a_query_is_said_in_words_of_ours() {
    let rotate = format!("{SECRET}/rotate");
    let tokens = "/v1/workspaces/acme/tokens";
    let cases: &[(&str, &str, &[u8], &str)] = &[
        ("GET", "/", b"", "/docs describes every call"),
        ("PUT", WEBHOOK, b"", "the body is empty: send one JSON object"),
        ("PUT", WEBHOOK, b"{\"url\":\"\xe4\"}", "the body is not UTF-8 (its byte 9 is none)"),
        ("POST", tokens, b"\x1f\x8b\x08", "packed with gzip: unpack it first"),
        ("POST", tokens, b"\xff\xfe{\0}\0", "UTF-16: convert it to UTF-8"),
        ("POST", tokens, b"[]", "no token was made; send one JSON object, such as {\"ttl\":\"30d\"}"),
        ("POST", tokens, b"null", "no token was made; send one JSON object"),
        ("POST", tokens, b"{\"x\":1}", "unknown field `x`"),
        ("POST", &rotate, b"\"1h\"", "nothing was rotated; send one JSON object, such as {\"overlap\":\"1h\"}"),
        ("POST", &rotate, b"{\"overlap\":", "nothing was rotated; send one JSON object"),
        ("POST", MESSAGES, b"{\"message\":{\"direction\":\"sent\"}}", "stands in a wrapper: send what is in `message`"),
        ("GET", "/v1/workspaces?colour=1", b"", "`colour` is not known; take it out. Known are `limit`, `status`"),
        ("GET", "/v1/workspaces?limit=1&limit=2", b"", "`limit` stands more than once; send it once"),
        ("GET", "/v1/rejected?after=1&after=1", b"", "`after` stands more than once; send it once"),
        (
            "DELETE",
            "/v1/rejected?resaon=x",
            b"",
            "`resaon` is not known; take it out. Known are `all`, `reason`, `shard`",
        ),
    ];
    for (method, path, body, says) in cases {
        let mut asked = request(method, path, "x");
        *asked.body_mut() = Body::from(body.to_vec());
        let reply = refused(asked).await;
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{method} {path}: {detail}");
        for word in ["struct", "deserialize", "expected value"] {
            assert!(!detail.contains(word), "{method} {path}: {detail}");
        }
    }
    let mut undeclared = request("POST", MESSAGES, MESSAGE);
    undeclared.headers_mut().remove(header::CONTENT_TYPE);
    assert!(refused(undeclared).await.json()["detail"].as_str().unwrap().contains("with `application/x-ndjson`"));
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_refused_with_those_it_takes() {
    let allowed = [
        ("GET", "/v1/workspaces/acme", "DELETE"),
        ("DELETE", WEBHOOK, "GET,HEAD,PUT"),
        ("GET", TEST, "POST"),
        ("POST", SECRET, "GET,HEAD"),
        ("PUT", ATTEMPTS, "GET,HEAD"),
        ("POST", LOG, "GET,HEAD"),
        ("GET", MESSAGES, "POST"),
        ("POST", "/healthz", "GET,HEAD"),
    ];
    for (method, path, allow) in allowed {
        let reply = refused(request(method, path, "")).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (405, "method-not-allowed"), "{method} {path}");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn without_the_token_every_workspace_path_answers_401() {
    let almost = format!("Bearer {}", &TOKEN[1..]);
    let basic = format!("Basic {TOKEN}");
    let headers = [None, Some("Bearer "), Some("Bearer"), Some(almost.as_str()), Some(basic.as_str()), Some(TOKEN)];
    let paths = [
        ("DELETE", "/v1/workspaces/acme"),
        ("GET", WEBHOOK),
        ("PUT", WEBHOOK),
        ("POST", TEST),
        ("GET", SECRET),
        ("GET", ATTEMPTS),
        ("GET", LOG),
        ("POST", MESSAGES),
        ("GET", "/v1/workspaces/caf%C3%A9/webhook"),
    ];
    for (method, path) in paths {
        for authorization in headers {
            let mut request = request(method, path, "");
            request.headers_mut().remove(header::AUTHORIZATION);
            if let Some(value) = authorization {
                request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            let reply = refused(request).await;
            assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (401, "unauthorized"), "{method} {path}");
            assert!(reply.header("www-authenticate").starts_with("Bearer"));
        }
    }
}

#[test]
fn an_admin_token_has_at_least_32_characters_and_is_never_printed() {
    assert!(AdminToken::new(&TOKEN[1..]).is_err());
    assert!(!format!("{:?}", AdminToken::new(TOKEN).unwrap()).contains(TOKEN));
}

#[tokio::test]
async fn a_body_must_be_declared_as_json() {
    let declared = [
        (None, 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/json; charset=utf-8"), 422),
        (Some("Application/vnd.acme+JSON"), 422),
    ];
    for (content_type, status) in declared {
        for (method, path) in [("PUT", WEBHOOK), ("POST", TEST), ("POST", MESSAGES)] {
            let mut request = request(method, path, "[]");
            request.headers_mut().remove(header::CONTENT_TYPE);
            if let Some(value) = content_type {
                request.headers_mut().insert(header::CONTENT_TYPE, value.parse().unwrap());
            }
            let reply = refused(request).await;
            assert_eq!(reply.status, status, "{content_type:?} {path}");
            let problem = reply.problem();
            assert!(status != 415 || problem == "unsupported-media-type", "{problem}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_without_limit() {
    let mut request = request("PUT", WEBHOOK, "{}");
    *request.body_mut() = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let reply = refused(request).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (408, "body-timeout"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let mut request = request("PUT", WEBHOOK, "{}");
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    *request.body_mut() = Body::from_stream(stream::iter([Ok(Bytes::from(URL)), Err(broken)]));
    let reply = refused(request).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (400, "body-unreadable"));
}

/// The members that a PUT body is refused for.
async fn wrong_members(body: &Value) -> Vec<String> {
    wrong_members_of_text(&body.to_string()).await
}

async fn wrong_members_of_text(body: &str) -> Vec<String> {
    let reply = refused(request("PUT", WEBHOOK, body)).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (422, "invalid-webhook"), "{body}");
    let document = reply.json();
    let errors = document["errors"].as_array().unwrap();
    errors.iter().for_each(|error| assert!(error["detail"].as_str().unwrap().len() > 5));
    errors.iter().map(|error| error["member"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_webhook_that_breaks_a_rule_is_refused_by_member() {
    let url = "https://endpoint.example/";
    let at_length = |length: usize| format!("{url}{}", "x".repeat(length - url.len()));
    let cases = [
        (json!({}), "url"),
        (json!({"url": 7}), "url"),
        (json!({"url": "not a url"}), "url"),
        (json!({"url": "/hook"}), "url"),
        (json!({"url": "ftp://endpoint.example/"}), "url"),
        (json!({"url": "https://user:password@endpoint.example/"}), "url"),
        (json!({"url": "http://127.0.0.1/"}), "url"),
        (json!({"url": "http://[::1]/"}), "url"),
        (json!({"url": "https://endpoint.example/a\nb"}), "url"),
        (json!({"url": at_length(8_001)}), "url"),
        (json!({"url": url, "enabled": null}), "enabled"),
        (json!({"url": url, "enabled": "true"}), "enabled"),
        (json!({"url": null, "enabled": true}), "enabled"),
        (json!({"url": " ", "enabled": true}), "enabled"),
        (json!({"url": url, "event": "message_read"}), "event"),
        (json!({"url": url, "event": null}), "event"),
        (json!({"url": url, "Enabled": true}), "Enabled"),
        (json!({"url": url, "owner_email": ""}), "owner_email"),
        (json!({"url": url, "owner_email": "owner"}), "owner_email"),
        (json!({"url": url, "owner_email": "@acme.com"}), "owner_email"),
        (json!({"url": url, "owner_email": "a@b@c"}), "owner_email"),
        (json!({"url": url, "owner_email": "a@b.com, c@d.com"}), "owner_email"),
        (json!({"url": url, "owner_email": "a@b.com\r\nBcc: c@d.com"}), "owner_email"),
        (json!({"url": url, "owner_email": format!("a@{}", "b".repeat(253))}), "owner_email"),
        (json!({"url": url, "owner_email": 7}), "owner_email"),
    ];
    for (body, member) in cases {
        assert_eq!(wrong_members(&body).await, [member], "{body}");
    }
}

#[tokio::test]
async fn a_custom_header_that_breaks_a_rule_is_refused_by_name() {
    let many: serde_json::Map<String, Value> = (0..21).map(|n| (format!("x-{n}"), json!("v"))).collect();
    let cases = [
        (json!("X: y"), "headers"),
        (json!([{"X-Api-Key": "v"}]), "headers"),
        (json!(many), "headers"),
        (json!({"X-Api-Key": "v".repeat(4_096)}), "headers"),
        (json!({"": "v"}), "headers."),
        (json!({"X Api": "v"}), "headers.X Api"),
        (json!({"X-Api: v\r\nX-B": "v"}), "headers.X-Api: v\r\nX-B"),
        (json!({"Host": "v"}), "headers.Host"),
        (json!({"Content-Type": "text/plain"}), "headers.Content-Type"),
        (json!({"webhook-signature": "v1,x"}), "headers.webhook-signature"),
        (json!({"X-Api-Key": ""}), "headers.X-Api-Key"),
        (json!({"X-Api-Key": "a\r\nX-B: c"}), "headers.X-Api-Key"),
        (json!({"X-Api-Key": "clé"}), "headers.X-Api-Key"),
        (json!({"X-Api-Key": 7}), "headers.X-Api-Key"),
        (json!({"X-Api-Key": null}), "headers.X-Api-Key"),
        (json!({"X-Api-Key": "a", "x-api-key": "b"}), "headers.x-api-key"),
    ];
    for (headers, member) in cases {
        let body = json!({"url": "https://endpoint.example/", "headers": headers});
        assert_eq!(wrong_members(&body).await, [member], "{body}");
    }
    let twice = r#"{"url":null,"headers":{"X-Api-Key":"a","X-Api-Key":"b"}}"#;
    assert_eq!(wrong_members_of_text(twice).await, ["headers.X-Api-Key"]);
    let deep = format!(r#"{{"url":null,"headers":{{"a":{}{}}}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(wrong_members_of_text(&deep).await, ["headers"]);
}

#[tokio::test]
async fn all_breaches_are_reported_together_and_their_number_is_bounded() {
    let body = json!({"url": 1, "enabled": 1, "event": 1, "owner_email": 1, "zzz": 1});
    assert_eq!(wrong_members(&body).await, ["url", "enabled", "event", "owner_email", "zzz"]);
    let many: serde_json::Map<String, Value> = (0..1_000).map(|n| (format!("m{n}"), json!(0))).collect();
    assert_eq!(wrong_members(&many.into()).await.len(), 20);
    // As large as a body may be; what there is stands last.
    let many: String = (0..23_000).map(|n| format!("\"z{n:04}\":0,")).collect();
    let told = wrong_members_of_text(&format!(r#"{{{many}"event":1,"url":null}}"#)).await;
    assert_eq!((told.len(), told[0].as_str(), told[1].as_str()), (20, "event", "z0000"));
    let headers = format!(r#"{{"url":null,"headers":{{{many}"x":""}}}}"#);
    assert_eq!(wrong_members_of_text(&headers).await, ["headers"]);
    let address = format!("a@{}.example", "b\u{fc}".repeat(60_000));
    assert_eq!(wrong_members(&json!({"url": null, "owner_email": address})).await, ["owner_email"]);
}

#[tokio::test]
async fn a_member_that_stands_twice_is_refused_since_either_could_be_meant() {
    let twice = r#"{"url":"https://a.example/","enabled":false,"url":"https://b.example/"}"#;
    assert_eq!(wrong_members_of_text(twice).await, ["url"]);
    // An escaped name is the same name.
    assert_eq!(wrong_members_of_text(r#"{"url":null,"\u0075rl":null}"#).await, ["url"]);
}

fn no_header_value() -> Refusal {
    Refusal::NoHeaderValue { name: "x-api-key".parse().unwrap() }
}

#[tokio::test]
async fn a_masked_value_without_a_stored_one_is_refused_by_name() {
    let submit = Box::new(|| Ok(Answer::Refused { refusal: no_header_value() }));
    let journal = Arc::new(FakeJournal { submit, ..FakeJournal::default() });
    let body = r#"{"url":null,"headers":{"X-Api-Key":"***"}}"#;
    let reply = call(&facade(journal, working()), request("PUT", WEBHOOK, body)).await;
    assert_eq!(reply.json()["errors"][0]["member"], "headers.x-api-key");
}

#[tokio::test]
async fn what_became_of_a_command_decides_the_status() {
    type Submit = fn() -> Result<Answer, SubmitError>;
    let cases: [(Submit, u16, &str, &str); 12] = [
        (|| Ok(Answer::Refused { refusal: Refusal::TestUnderWay }), 409, "test-under-way", ""),
        (|| Ok(Answer::Refused { refusal: Refusal::TestTooSoon }), 429, "test-too-soon", "1"),
        (|| Ok(Answer::Refused { refusal: Refusal::EnabledWithoutUrl }), 422, "invalid-webhook", ""),
        (|| Ok(Answer::Refused { refusal: Refusal::TooManyHeaders }), 422, "invalid-webhook", ""),
        (|| Ok(Answer::Refused { refusal: no_header_value() }), 422, "invalid-webhook", ""),
        (|| Ok(Answer::Refused { refusal: Refusal::WorkspaceUnavailable }), 503, "workspace-unavailable", ""),
        (|| Ok(Answer::Refused { refusal: Refusal::Internal }), 500, "internal", ""),
        (|| Err(SubmitError::OutcomeUnknown), 503, "outcome-unknown", ""),
        (|| Err(SubmitError::TooMany), 429, "too-many-commands", "2"),
        (|| Err(SubmitError::Full), 503, "store-full", "5"),
        (|| Err(SubmitError::Store(away())), 503, "store-away", "2"),
        (|| Err(SubmitError::Store(refusing())), 503, "store-refuses", ""),
    ];
    for (submit, status, problem, retry_after) in cases {
        let journal = Arc::new(FakeJournal { submit: Box::new(submit), ..FakeJournal::default() });
        let router = facade(journal, working());
        // Only a test can be refused because of another test.
        let save = (!problem.starts_with("test-")).then_some(("PUT", WEBHOOK));
        for (method, path) in save.into_iter().chain([("POST", TEST)]) {
            let reply = call(&router, request(method, path, URL)).await;
            assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (status, problem), "{path}");
            assert_eq!(reply.header("retry-after"), retry_after, "{problem}");
            assert!(!reply.text.contains("hunter2"), "a cause must not be shown: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_command_without_an_answer_is_said_to_be_stored() {
    let submit = Box::new(|| Err(SubmitError::OutcomeUnknown));
    let journal = Arc::new(FakeJournal { submit, ..FakeJournal::default() });
    let reply = call(&facade(journal, working()), request("PUT", WEBHOOK, URL)).await;
    assert_eq!(reply.json()["detail"], "stored; read the webhook to see whether it was applied");
}

#[tokio::test]
async fn a_workspace_that_cannot_be_read_answers_503_on_every_read() {
    let corrupt = || LoadError::Corrupt { workspace: "acme".parse().unwrap(), detail: "hunter2".to_owned() };
    let unavailable = FakeJournal { read: Box::new(move || Err(corrupt().into())), ..FakeJournal::default() };
    let store_away = FakeJournal { read: Box::new(|| Err(away().into())), ..FakeJournal::default() };
    let store_refuses = FakeJournal { read: Box::new(|| Err(refusing().into())), ..FakeJournal::default() };
    let cases = [(unavailable, "workspace-unavailable"), (store_away, "store-away"), (store_refuses, "store-refuses")];
    for (journal, problem) in cases {
        let router = facade(Arc::new(journal), working());
        for path in [WEBHOOK, SECRET, ATTEMPTS, LOG] {
            let reply = call(&router, request("GET", path, "")).await;
            assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, problem), "{path}");
            assert!(!reply.text.contains("hunter2"), "a cause must not be shown: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_message_that_could_not_be_stored_is_not_said_to_be() {
    let full = FakeJournal { publish: Box::new(|| Err(PublishError::Full)), ..FakeJournal::default() };
    let gone = FakeJournal { publish: Box::new(|| Err(PublishError::Store(away()))), ..FakeJournal::default() };
    let refuses = FakeJournal { publish: Box::new(|| Err(PublishError::Store(refusing()))), ..FakeJournal::default() };
    let cases = [(full, "store-full", "5"), (gone, "store-away", "2"), (refuses, "store-refuses", "")];
    for (journal, problem, retry_after) in cases {
        let reply = call(&facade(Arc::new(journal), working()), request("POST", MESSAGES, MESSAGE)).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, problem));
        assert_eq!(reply.header("retry-after"), retry_after);
        assert!(!reply.text.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_panic_behind_the_facade_is_a_problem_and_not_a_broken_connection() {
    let journal = Arc::new(FakeJournal { read: Box::new(|| panic!("on purpose")), ..FakeJournal::default() });
    let reply = call(&facade(journal, working()), request("GET", WEBHOOK, "")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (500, "internal"));
}
