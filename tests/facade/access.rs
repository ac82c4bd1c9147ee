//! Which token opens what: every call with every token that must not open it, and those that do.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use outbound::http::PeerAddress;
use outbound::journal::port::Reading;
use outbound::workspace::access::{Deed, TokenRecord};
use outbound::workspace::command::{Action, Answer};
use outbound::workspace::state::Webhook;
use outbound::workspace::view::WebhookView;
use outbound::workspace::{Policy, State, Time};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};
use uuid::Uuid;

use crate::kit::{FakeJournal, NOW, Reply, TOKEN, TOKEN_KEY, call, facade, facade_with_id, request, working};

const TOKENS: &str = "/v1/workspaces/acme/tokens";
const URL: &str = r#"{"url":"https://endpoint.example/"}"#;
const MESSAGE: &str = r#"{"direction":"sent","timestamp":"t","message_id":"m","contact":{}}"#;
/// What a token of the workspace may call.
const ITS_OWN: &[(&str, &str, &str)] = &[
    ("GET", "/v1/workspaces/acme/webhook", ""),
    ("PUT", "/v1/workspaces/acme/webhook", URL),
    ("POST", "/v1/workspaces/acme/webhook/test", ""),
    ("GET", "/v1/workspaces/acme/webhook/secret", ""),
    ("POST", "/v1/workspaces/acme/webhook/secret/rotate", ""),
    ("GET", "/v1/workspaces/acme/attempts", ""),
    ("GET", "/v1/workspaces/acme/attempts/log", ""),
    ("GET", "/v1/workspaces/acme/history", ""),
];
/// What only the admin token may call of a workspace.
const ADMINS: &[(&str, &str, &str)] = &[
    ("POST", TOKENS, ""),
    ("DELETE", TOKENS, ""),
    ("GET", TOKENS, ""),
    ("DELETE", "/v1/workspaces/acme/tokens/0b8f6a1e2c3d4f5a8b9c0d1e2f3a4b5c", ""),
    ("POST", "/v1/workspaces/acme/messages", MESSAGE),
    ("DELETE", "/v1/workspaces/acme", ""),
    ("POST", "/v1/workspaces/acme/repair", ""),
];
/// What belongs to no workspace.
const NOBODYS: &[(&str, &str, &str)] = &[
    ("GET", "/v1/rejected", ""),
    ("GET", "/v1/rejected/0/5-0", ""),
    ("POST", "/v1/rejected/0/5-0/requeue", ""),
    ("DELETE", "/v1/rejected/0/5-0", ""),
    ("DELETE", "/v1/rejected?all=true", ""),
    ("GET", "/v1/nodes", ""),
];

/// A journal whose workspaces are at this generation and were saved.
fn journal(generation: u64) -> Arc<FakeJournal> {
    let webhook = || Webhook { secret: Some("whsec_c2VjcmV0".into()), ..Webhook::default() };
    let state = move || State { token_generation: generation, webhook: webhook(), ..State::default() };
    let done = move || {
        let webhook = WebhookView::new(&"acme".parse().unwrap(), &state(), &Policy::default());
        Ok(Answer::Done { webhook: webhook.into(), attempt: None, reason: None })
    };
    let read = move || Ok(Reading { state: state(), attempts: Vec::new() });
    Arc::new(FakeJournal { submit: Box::new(done), read: Box::new(read), ..FakeJournal::default() })
}

fn at(generation: u64) -> Router {
    facade(journal(generation), working())
}

fn seconds(from_now: i64) -> i64 {
    NOW.unix_seconds() + from_now
}

fn claims() -> Value {
    json!({"aud": "outbound:api", "ws": "acme", "sub": "jane", "gen": 3, "iat": seconds(-60), "exp": seconds(60)})
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

/// A token as anybody may write one down, signed with `mac`.
fn written(algorithm: &str, claims: &Value, mac: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&json!({"typ": "JWT", "alg": algorithm})), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn hs256(key: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    move |text| mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn hs512(text: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha512>::new_from_slice(&TOKEN_KEY).unwrap();
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn signed(claims: &Value) -> String {
    written("HS256", claims, hs256(&TOKEN_KEY))
}

fn tampered() -> String {
    let (good, other) = (signed(&claims()), signed(&with("ws", json!("other"))));
    let (head, rest) = good.split_once('.').unwrap();
    let claims_of_another = other.split('.').nth(1).unwrap();
    format!("{head}.{claims_of_another}.{}", rest.split_once('.').unwrap().1)
}

/// Tokens that open nothing, and why.
fn worthless() -> Vec<(&'static str, String)> {
    let good = signed(&claims());
    let unsigned = |text: &[u8]| text[..0].to_vec();
    vec![
        ("nonsense", "x".repeat(40)),
        ("almost the admin token", format!("{}0", &TOKEN[..31])),
        ("alg none", written("none", &claims(), unsigned)),
        ("alg None", written("None", &claims(), unsigned)),
        ("no signature", written("HS256", &claims(), unsigned)),
        ("HS512 with our key", written("HS512", &claims(), hs512)),
        ("HS384 in name", written("HS384", &claims(), hs256(&TOKEN_KEY))),
        ("RS256 in name", written("RS256", &claims(), hs256(&TOKEN_KEY))),
        ("another key", written("HS256", &claims(), hs256(&[8; 32]))),
        ("the admin token as key", written("HS256", &claims(), hs256(TOKEN.as_bytes()))),
        ("tampered", tampered()),
        ("cut off", good[..good.len() - 1].to_owned()),
        ("expired", signed(&with("exp", json!(seconds(0))))),
        ("never expires", signed(&without("exp"))),
        ("a session", signed(&with("aud", json!("outbound:screen")))),
        ("of another service", signed(&with("aud", json!("inbound")))),
        ("for several", signed(&with("aud", json!(["outbound:api", "outbound:screen"])))),
        ("for nobody", signed(&without("aud"))),
        ("a generation before", signed(&with("gen", json!(2)))),
        ("a generation ahead", signed(&with("gen", json!(4)))),
        ("without a generation", signed(&without("gen"))),
        ("for every workspace", signed(&without("ws"))),
        ("for a workspace that cannot be", signed(&with("ws", json!("a/b")))),
        ("huge", signed(&with("sub", json!("x".repeat(4_096))))),
    ]
}

async fn call_with(router: &Router, token: &str, (method, path, body): (&str, &str, &str)) -> Reply {
    let mut request = request(method, path, body);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    call(router, request).await
}

#[tokio::test]
async fn no_call_is_opened_by_a_worthless_token() {
    for (why, token) in worthless() {
        for asked in ITS_OWN.iter().chain(ADMINS).chain(NOBODYS) {
            let journal = journal(3);
            let reply = call_with(&facade(journal.clone(), working()), &token, *asked).await;
            assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (401, "unauthorized"), "{why}: {asked:?}");
            assert!(!reply.text.contains(&token) && !reply.text.contains("jane"), "{}", reply.text);
            assert!(journal.submitted.lock().unwrap().is_empty(), "{why}: {asked:?}");
        }
    }
}

#[tokio::test]
async fn a_token_opens_its_own_workspace_and_stands_in_the_change_history() {
    let token = signed(&claims());
    for asked in ITS_OWN {
        let reply = call_with(&at(3), &token, *asked).await;
        assert_eq!(reply.status, 200, "{asked:?}: {}", reply.text);
    }
    let journal = journal(3);
    call_with(&facade(journal.clone(), working()), &token, ITS_OWN[1]).await;
    assert_eq!(journal.submitted.lock().unwrap()[0].1.by, "jane");
}

#[tokio::test]
async fn another_workspace_is_not_there_and_what_is_the_admins_is_forbidden() {
    let token = signed(&with("ws", json!("other")));
    for asked in ITS_OWN.iter().chain(ADMINS) {
        let reply = call_with(&at(3), &token, *asked).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (404, "not-found"), "{asked:?}");
    }
    for (token, asked) in [(signed(&claims()), ADMINS), (token, NOBODYS)] {
        for asked in asked {
            let journal = journal(3);
            let reply = call_with(&facade(journal.clone(), working()), &token, *asked).await;
            assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (403, "admin-only"), "{asked:?}");
            assert!(journal.submitted.lock().unwrap().is_empty() && journal.published.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_token_that_was_right_once_is_told_why_it_is_not_any_more() {
    for (token, told) in [(with("exp", json!(seconds(-1))), "has expired"), (with("gen", json!(2)), "was revoked")] {
        let reply = call_with(&at(3), &signed(&token), ITS_OWN[0]).await;
        assert!(reply.json()["detail"].as_str().unwrap().contains(told), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_made_token_opens_the_workspace_it_was_made_for() {
    let cases = [
        ("", 90 * 24 * 60 * 60, "workspace"),
        (r#"{"ttl":"30d","subject":" jane@acme.example "}"#, 30 * 24 * 60 * 60, "jane@acme.example"),
        (r#"{"ttl":null}"#, 90 * 24 * 60 * 60, "workspace"),
        (r#"{"ttl":"365d"}"#, 365 * 24 * 60 * 60, "workspace"),
    ];
    for (body, lives, subject) in cases {
        let reply = call(&at(3), request("POST", TOKENS, body)).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let made = reply.json();
        let end = Time::from_unix_ms(seconds(lives) * 1_000).to_string();
        assert_eq!((&made["expires_at"], &made["subject"]), (&json!(end), &json!(subject)));
        assert_eq!(reply.header("cache-control"), "no-store");
        let token = made["token"].as_str().unwrap();
        assert_eq!(call_with(&at(3), token, ITS_OWN[0]).await.status, 200);
        assert_eq!(call_with(&at(4), token, ITS_OWN[0]).await.status, 401, "revoked");
    }
}

/// Somebody else ends all tokens while one is being made: what is handed out opens the workspace all the same.
#[tokio::test]
async fn a_token_made_behind_the_end_of_all_opens_the_workspace() {
    let generation = Arc::new(AtomicU64::new(3));
    let (ended, read) = (Arc::clone(&generation), Arc::clone(&generation));
    let done = journal(3);
    let journal = FakeJournal {
        submit: Box::new(move || {
            ended.store(4, Ordering::SeqCst);
            (done.submit)()
        }),
        read: Box::new(move || {
            let state = State { token_generation: read.load(Ordering::SeqCst), ..State::default() };
            Ok(Reading { state, attempts: Vec::new() })
        }),
        ..FakeJournal::default()
    };
    let made = call(&facade(Arc::new(journal), working()), request("POST", TOKENS, "")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(call_with(&at(4), made.json()["token"].as_str().unwrap(), ITS_OWN[0]).await.status, 200);
}

/// The other way round: it is among those that were ended.
#[tokio::test]
async fn a_token_that_all_others_were_ended_with_is_not_handed_out() {
    let by = "admin".to_owned();
    let record = TokenRecord {
        id: Uuid::max().simple().to_string(),
        subject: by.clone(),
        at: NOW,
        by: by.clone(),
        expires_at: NOW,
        ended: Some(Deed { at: NOW, by }),
    };
    let mut state = State { token_generation: 4, ..State::default() };
    state.access.tokens.push(record);
    let done = journal(3);
    let journal = FakeJournal {
        submit: Box::new(move || (done.submit)()),
        read: Box::new(move || Ok(Reading { state: state.clone(), attempts: Vec::new() })),
        ..FakeJournal::default()
    };
    let refused = call(&facade_with_id(Arc::new(journal), Uuid::max), request("POST", TOKENS, "")).await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (503, "overloaded"));
    assert!(refused.text.contains("were ended while this one was made; make it again"), "{}", refused.text);
}

#[tokio::test]
async fn a_token_that_may_not_be_made_names_the_member_and_the_rule() {
    let long = format!(r#"{{"subject":"{}"}}"#, "x".repeat(101));
    let cases = [
        (r#"{"ttl":"366d"}"#, "ttl", "at most 365 days"),
        (r#"{"ttl":"0s"}"#, "ttl", "more than 0"),
        (r#"{"ttl":30}"#, "ttl", "such as 12h or 30d"),
        (r#"{"subject":""}"#, "subject", "1 to 100 characters"),
        (r#"{"subject":"a\nb"}"#, "subject", "U+000A (line feed) as character 2"),
        ("{\"subject\":\"jane\u{202e}nimda\"}", "subject", "U+202E (right-to-left override) as character 5"),
        (r#"{"subject":" Admin "}"#, "subject", "must not be Admin"),
        (r#"{"subject":"admin"}"#, "subject", "must not be admin"),
        (&long, "subject", "1 to 100 characters"),
    ];
    for (body, member, rule) in cases {
        let reply = call(&at(3), request("POST", TOKENS, body)).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (422, "invalid-token-request"), "{body}");
        let error = &reply.json()["errors"][0];
        assert_eq!(error["member"], member, "{body}");
        assert!(error["detail"].as_str().unwrap().contains(rule), "{error}");
    }
    for (body, told) in [(r#"{"scope":"all"}"#, "unknown field `scope`"), (r#"{"ttl":"1d","ttl":"2d"}"#, "duplicate")] {
        let reply = call(&at(3), request("POST", TOKENS, body)).await;
        assert_eq!(reply.status, 422);
        assert!(reply.text.contains(told), "{}", reply.text);
    }
    assert_eq!(call(&at(3), request("POST", TOKENS, "{")).await.problem(), "invalid-json");
    for body in ["[null, null]", "[]", "7", r#"{"tll":"1d"}"#] {
        let reply = call(&at(3), request("POST", TOKENS, body)).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (422, "invalid-token-request"), "{body}");
    }
}

#[tokio::test]
async fn revoking_is_a_command_of_the_workspace() {
    let journal = journal(3);
    let reply = call(&facade(journal.clone(), working()), request("DELETE", TOKENS, "")).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""));
    let submitted = journal.submitted.lock().unwrap();
    assert_eq!((&submitted[0].1.action, submitted[0].1.by.as_str()), (&Action::RevokeTokens, "admin"));
}

fn from(mut request: Request<Body>, address: IpAddr) -> Request<Body> {
    request.extensions_mut().insert(PeerAddress(address));
    request
}

#[tokio::test(start_paused = true)]
async fn an_address_that_keeps_failing_is_told_to_stop_and_a_right_token_opens_all_the_same() {
    let router = at(3);
    let (guesser, other) = (IpAddr::from(Ipv4Addr::new(192, 0, 2, 7)), IpAddr::from(Ipv4Addr::new(192, 0, 2, 8)));
    let wrong = |address| {
        let mut request = from(request("GET", "/v1/workspaces/acme/webhook", ""), address);
        request.headers_mut().insert("authorization", "Bearer wrong".parse().unwrap());
        request
    };
    for _ in 0..10 {
        assert_eq!(call(&router, wrong(guesser)).await.status, 401);
    }
    let reply = call(&router, wrong(guesser)).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (429, "too-many-failures"));
    assert_eq!(reply.header("retry-after"), "60");
    let sign_in = Request::post("/workspaces/acme/outbound/session")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("token=wrong"));
    let page = call(&router, from(sign_in.unwrap(), guesser)).await;
    assert_eq!(page.status, 429, "the form counts with the API");
    assert!(page.text.contains("wait a minute"), "{}", page.text);
    assert_eq!(call(&router, wrong(other)).await.status, 401);
    let right = from(request("GET", "/v1/workspaces/acme/webhook", ""), guesser);
    assert_eq!(call(&router, right).await.status, 200);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(call(&router, wrong(guesser)).await.status, 401);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_address_of_a_failure_and_never_a_token() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // The requests are answered in tasks of this thread.
    let _log = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());
    let router = at(3);
    let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, 9));
    let minted = call(&router, request("POST", TOKENS, "")).await.json()["token"].as_str().unwrap().to_owned();
    let mut tokens: Vec<String> = worthless().into_iter().map(|(_, token)| token).collect();
    tokens.extend([minted, TOKEN.to_owned()]);
    for token in &tokens {
        let mut asked = from(request("GET", "/v1/workspaces/acme/webhook", ""), address);
        asked.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        call(&router, asked).await;
        let form = Request::post("/workspaces/acme/outbound/session")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", format!("outbound={token}"));
        call(&router, from(form.body(Body::from(format!("token={token}"))).unwrap(), address)).await;
    }
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("192.0.2.9") && log.contains("a session began"), "{log}");
    for token in &tokens {
        let signature = token.rsplit('.').next().unwrap();
        let secret = if signature.is_empty() { token } else { signature };
        assert!(!log.contains(secret), "{log}");
    }
    // Sessions, too, begin as every JWT of ours does.
    assert!(!log.contains(&URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT""#)), "{log}");
}
