//! What the facade shows and does, as section 4 of src/docs/contract.md says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use outbound::http::Readiness;
use outbound::journal::port::{ReadError, Reading};
use outbound::message::{EntryId, RawMessage, WorkspaceId};
use outbound::workspace::command::{Action, Answer, Change, Command, NoAttempt, Refusal, Save};
use outbound::workspace::event::Request as Sent;
use outbound::workspace::event::{
    Attempt, AttemptError, ErrorKind, Event, MailState, Response, SecretRotated, Trigger, WebhookDisabled, WebhookSaved,
};
use outbound::workspace::headers::{CustomHeaders, HeaderChange, HeaderName};
use outbound::workspace::state::{Mail, OutcomeWord, PreviousSecret, Skipped, Summary, Webhook};
use outbound::workspace::view::WebhookView;
use outbound::workspace::{Policy, State, Time};
use serde_json::{Value, json};

use crate::kit::{ANSWER_WAIT, FakeJournal, NOW, TIMEOUT, call, facade, request, working};

const WORKSPACE: &str = "/v1/workspaces/acme";
const WEBHOOK: &str = "/v1/workspaces/acme/webhook";
const TEST: &str = "/v1/workspaces/acme/webhook/test";
const LOG: &str = "/v1/workspaces/acme/attempts/log";
const HISTORY: &str = "/v1/workspaces/acme/history";
const MESSAGES: &str = "/v1/workspaces/acme/messages";
const SECRET_PATH: &str = "/v1/workspaces/acme/webhook/secret";
const ROTATE: &str = "/v1/workspaces/acme/webhook/secret/rotate";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The value of a custom header.
const KEY: &str = "key-of-the-endpoint";
const MESSAGE: &str =
    r#" {"direction":"sent", "timestamp":"t","message_id":"m-1","contact":{},"n":1.50,"é":"\u00e9"} "#;

fn error(kind: ErrorKind, detail: &str) -> Option<AttemptError> {
    Some(AttemptError { kind, detail: detail.to_owned() })
}

fn summary() -> Summary {
    Summary {
        id: "14".to_owned(),
        at: NOW,
        trigger: Trigger::Message,
        message_id: "m-14".into(),
        webhook_id: "msg_0_1769860800000-14".into(),
        outcome: OutcomeWord::Failed,
        status: Some(500),
        error: error(ErrorKind::HttpStatus, "the endpoint answered 500"),
        duration_ms: 12,
        waited_ms: Some(0),
    }
}

fn headers() -> CustomHeaders {
    CustomHeaders::from([("x-api-key".parse().unwrap(), KEY.into())])
}

fn disabled_state() -> State {
    let later = |ms| Time::from_unix_ms(NOW.unix_ms() + ms);
    State {
        seq: 16,
        webhook: Webhook {
            url: Some("https://endpoint.example/hook".into()),
            owner_email: Some("owner@acme.com".to_owned()),
            secret: Some(SECRET.into()),
            previous_secret: None,
            headers: headers(),
            config: 1,
            changed_by: None,
            disabled_by_errors: true,
            disabled_at: Some(NOW),
            updated_at: Some(NOW),
            enabled: false,
        },
        errors: 11,
        skipped: Skipped { count: 2, first_at: Some(NOW), last_at: Some(later(1_250)), newest: None },
        last_attempt: Some(summary()),
        mail: Some(Mail { owed_by: 15, state: MailState::Sent, at: later(1_000), detail: Some("250 ok".to_owned()) }),
        ..State::default()
    }
}

fn attempt(seq: u64, trigger: Trigger, error: Option<AttemptError>, response: Option<Response>) -> (u64, Attempt) {
    let start = if trigger == Trigger::Test { "test" } else { "msg_0" };
    let webhook_id = format!("{start}_1769860800000-{seq}");
    let text = format!(r#"{{ "message_id":"m-{seq}", "text":"\u00e9","n":1.50 }}"#);
    let headers =
        [("content-type".into(), "application/json".into()), ("webhook-id".into(), webhook_id.clone().into())];
    let attempt = Attempt {
        at: NOW,
        trigger,
        entry: EntryId { ms: 1_769_860_800_000, n: seq },
        message_id: format!("m-{seq}").into(),
        webhook_id: webhook_id.into(),
        config: 1,
        errors: None,
        duration_ms: 12,
        error,
        request: Sent {
            url: "https://endpoint.example/hook".into(),
            headers: Arc::new(headers),
            message: Some(RawMessage::from_stored(Bytes::from(text)).unwrap()),
        },
        response: response.map(Arc::new),
    };
    (seq, attempt)
}

fn reading() -> Reading {
    let pair = |name: &'static str, value: &'static str| (name.into(), value.into());
    let broken = Response {
        status: 500,
        headers: vec![pair("set-cookie", "a=1"), pair("content-type", "text/plain"), pair("Set-Cookie", "b=2")],
        body: "broken \"here\"".to_owned(),
        malformed: Vec::new(),
        truncated: true,
    };
    let fine =
        Response { status: 204, headers: Vec::new(), body: String::new(), malformed: Vec::new(), truncated: false };
    let attempts = vec![
        attempt(15, Trigger::Test, error(ErrorKind::Connect, "no connection to endpoint.example"), None),
        attempt(14, Trigger::Message, error(ErrorKind::HttpStatus, "the endpoint answered 500"), Some(broken)),
        attempt(13, Trigger::Message, None, Some(fine)),
    ];
    Reading { state: disabled_state(), attempts }
}

fn with_reading() -> Arc<FakeJournal> {
    Arc::new(FakeJournal { read: Box::new(|| Ok(reading())), ..FakeJournal::default() })
}

fn done(attempt: Option<Summary>, reason: Option<NoAttempt>) -> Arc<FakeJournal> {
    let submit = move || {
        let acme: WorkspaceId = "acme".parse().unwrap();
        let webhook = Box::new(WebhookView::new(&acme, &disabled_state(), &Policy::default()));
        Ok(Answer::Done { webhook, attempt: attempt.clone().map(Box::new), reason })
    };
    Arc::new(FakeJournal { submit: Box::new(submit), ..FakeJournal::default() })
}

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_workspace_never_seen_is_shown_as_not_configured() {
    let router = facade(Arc::default(), working());
    let reply = call(&router, request("GET", WEBHOOK, "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), golden(include_str!("../golden/facade/webhook_never_seen.json")));
}

#[tokio::test]
async fn the_webhook_is_shown_as_the_contract_says() {
    let reply = call(&facade(with_reading(), working()), request("GET", WEBHOOK, "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), golden(include_str!("../golden/facade/webhook.json")));
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn attempts_are_listed_newest_first() {
    let reply = call(&facade(with_reading(), working()), request("GET", "/v1/workspaces/acme/attempts", "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), golden(include_str!("../golden/facade/attempts.json")));
}

#[tokio::test]
async fn the_log_is_a_bare_array_with_requests_and_responses_as_an_attachment() {
    let reply = call(&facade(with_reading(), working()), request("GET", LOG, "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), golden(include_str!("../golden/facade/log.json")));
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"outbound-log-acme-2026-01-31.json\"");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(!reply.text.contains("whsec_"), "the log must not hold the signing secret");
}

#[tokio::test]
async fn a_body_stands_in_the_log_byte_for_byte() {
    let reply = call(&facade(with_reading(), working()), request("GET", LOG, "")).await;
    let body = r#""body":{"message":{ "message_id":"m-14", "text":"\u00e9","n":1.50 }}"#;
    assert!(reply.text.contains(body), "{}", reply.text);
}

#[tokio::test]
async fn the_log_of_a_workspace_never_seen_is_empty() {
    let reply = call(&facade(Arc::default(), working()), request("GET", LOG, "")).await;
    assert_eq!(reply.text, "[]\n");
}

#[tokio::test]
async fn the_history_says_who_changed_what_and_shows_no_secret() {
    let events = || {
        let saved = |at, by: &str, url: Option<&str>, enabled, owner_email: Option<&str>| {
            Event::WebhookSaved(WebhookSaved {
                at: Time::from_unix_ms(NOW.unix_ms() + at),
                by: by.to_owned(),
                url: url.map(Into::into),
                enabled,
                owner_email: owner_email.map(str::to_owned),
                secret: SECRET.into(),
                headers: if at > 0 { headers() } else { CustomHeaders::new() },
                changed_headers: if at == 1_000 { headers().into_keys().collect() } else { Vec::new() },
            })
        };
        let url = "https://endpoint.example/hook";
        let disabled = WebhookDisabled { at: NOW, errors: 11, mail: MailState::NoAddress };
        let at = Time::from_unix_ms(NOW.unix_ms() + 3_000);
        let by = "ops@acme.com".to_owned();
        let rotated = SecretRotated { at, by, secret: SECRET.into(), previous_until: at, configuration: None };
        Ok(vec![
            (1, saved(-2_000, "admin", Some(url), true, None)),
            (15, Event::WebhookDisabled(disabled)),
            (16, saved(1_000, "ops@acme.com", Some(url), true, Some("owner@acme.com"))),
            (17, saved(2_000, "admin", None, false, Some("owner@acme.com"))),
            (18, Event::SecretRotated(rotated)),
        ])
    };
    let journal = Arc::new(FakeJournal { history: Box::new(events), ..FakeJournal::default() });
    let reply = call(&facade(journal, working()), request("GET", HISTORY, "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), golden(include_str!("../golden/facade/history.json")));
    assert!(!reply.text.contains("whsec_") && !reply.text.contains(KEY), "the history must hold nothing confidential");
    let reply = call(&facade(Arc::default(), working()), request("GET", HISTORY, "")).await;
    assert_eq!(reply.json(), json!({"history": []}));
}

#[tokio::test]
async fn the_secret_is_shown_once_it_was_made() {
    let read = Box::new(|| Ok(reading()));
    let journal = Arc::new(FakeJournal { read, ..Arc::into_inner(done(None, None)).unwrap() });
    let reply = call(&facade(journal.clone(), working()), request("GET", SECRET_PATH, "")).await;
    assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({"secret": SECRET, "previous": null})));
    let submitted: Vec<_> = journal.submitted.lock().unwrap().iter().map(|(_, one, _)| one.action.clone()).collect();
    assert_eq!(submitted, [Action::NoteView], "who looked is noted before it is shown");
    assert_eq!(reply.header("cache-control"), "no-store");
    let reply = call(&facade(Arc::default(), working()), request("GET", SECRET_PATH, "")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (404, "no-secret"));
}

/// What is read once the secret was rotated, `ms` before the one before it ends.
fn rotated(ms: i64) -> Reading {
    let mut reading = reading();
    let valid_until = Time::from_unix_ms(NOW.unix_ms() + ms);
    let secret = reading.state.webhook.secret.replace("whsec_bmV3ZXIuLi5uZXdlci4uLm5ld2Vy".into()).unwrap();
    reading.state.webhook.previous_secret = Some(PreviousSecret { secret, valid_until });
    reading
}

#[tokio::test]
async fn a_rotation_answers_the_new_secret_and_the_end_of_the_one_before_it() {
    let done = done(None, None);
    let journal = Arc::new(FakeJournal { read: Box::new(|| Ok(rotated(1))), ..Arc::into_inner(done).unwrap() });
    let router = facade(journal.clone(), working());
    let expected = json!({
        "secret": "whsec_bmV3ZXIuLi5uZXdlci4uLm5ld2Vy", "previous": {"valid_until": "2026-01-31T12:00:00.001Z"}
    });
    for (method, path) in [("POST", ROTATE), ("GET", SECRET_PATH)] {
        let reply = call(&router, request(method, path, "")).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, expected.clone()));
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    let action = Action::RotateSecret { overlap: None };
    let command =
        Command { at: NOW, expires_at: NOW.plus(ANSWER_WAIT), by: "admin".to_owned(), if_match: None, action };
    assert_eq!(journal.submitted.lock().unwrap()[0], ("acme".parse().unwrap(), command, ANSWER_WAIT));
}

#[tokio::test]
async fn how_long_both_secrets_are_signed_with_is_chosen_at_the_rotation() {
    let done = done(None, None);
    let journal = Arc::new(FakeJournal { read: Box::new(|| Ok(rotated(1))), ..Arc::into_inner(done).unwrap() });
    let router = facade(journal.clone(), working());
    let asked = ["", "{}", r#"{"overlap":null}"#, r#"{"overlap":"0s"}"#, r#"{"overlap":"90m"}"#, r#"{"overlap":"7d"}"#];
    for body in asked {
        assert_eq!(call(&router, request("POST", ROTATE, body)).await.status, 200, "{body}");
    }
    let overlaps: Vec<_> =
        journal.submitted.lock().unwrap().iter().map(|(_, command, _)| command.action.clone()).collect();
    let rotate = |overlap| Action::RotateSecret { overlap };
    assert_eq!(overlaps, [None, None, None, Some(0), Some(5_400), Some(604_800)].map(rotate));
    for body in [r#"{"overlap":"8d"}"#, r#"{"overlap":"-1s"}"#, r#"{"overlap":3600}"#, r#"{"overlap":"1w"}"#] {
        let reply = call(&router, request("POST", ROTATE, body)).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (422, "invalid-rotation"), "{body}");
        assert_eq!(reply.json()["errors"][0]["member"], "overlap", "{body}");
    }
    for (body, problem) in [(r#"{"over":"1h"}"#, "invalid-rotation"), ("[]", "invalid-rotation"), ("{", "invalid-json")]
    {
        assert_eq!(call(&router, request("POST", ROTATE, body)).await.problem(), problem, "{body}");
    }
}

#[tokio::test]
async fn a_secret_that_has_ended_is_not_told() {
    let done = done(None, None);
    let journal = FakeJournal { read: Box::new(|| Ok(rotated(0))), ..Arc::into_inner(done).unwrap() };
    let reply = call(&facade(Arc::new(journal), working()), request("GET", SECRET_PATH, "")).await;
    assert_eq!(reply.json()["previous"], Value::Null);
}

#[tokio::test]
async fn a_rotation_before_the_first_save_finds_no_secret() {
    let submit = Box::new(|| Ok(Answer::Refused { refusal: Refusal::NoSecret }));
    let router = facade(Arc::new(FakeJournal { submit, ..FakeJournal::default() }), working());
    let reply = call(&router, request("POST", ROTATE, "")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (404, "no-secret"));
}

#[tokio::test]
async fn a_rotation_that_cannot_be_read_back_says_that_it_took_place() {
    let done = done(None, None);
    let read = Box::new(|| Err(ReadError::Store(crate::kit::away())));
    let journal = FakeJournal { read, ..Arc::into_inner(done).unwrap() };
    let reply = call(&facade(Arc::new(journal), working()), request("POST", ROTATE, "")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, "store-away"));
    assert!(reply.json()["detail"].as_str().unwrap().contains("do not rotate again"), "{}", reply.text);
}

#[tokio::test]
async fn a_save_is_submitted_as_it_was_asked_for() {
    let save = |url: Option<&str>, enabled, owner_email| {
        let url = url.map(str::to_owned);
        Action::Save(Save { url, enabled, owner_email, ..Save::default() })
    };
    let url = "https://endpoint.example/hook?a=%20";
    let set = |address: &str| Change::Set(address.to_owned());
    let with_headers = |headers| Action::Save(Save { headers, ..Save::default() });
    let one = |change| Change::Set(BTreeMap::from([("x-api-key".parse::<HeaderName>().unwrap(), change)]));
    let set_to = |value: &str| HeaderChange::Set(value.into());
    let cases = [
        (json!({"url": url}), save(Some(url), None, Change::Keep)),
        (json!({"url": format!("  {url}\n")}), save(Some(url), None, Change::Keep)),
        (json!({"url": "https://endpoint.example"}), save(Some("https://endpoint.example"), None, Change::Keep)),
        (json!({"url": url, "enabled": true, "event": "new_message"}), save(Some(url), Some(true), Change::Keep)),
        (json!({"url": url, "enabled": false, "owner_email": null}), save(Some(url), Some(false), Change::Clear)),
        (json!({"url": url, "owner_email": "root@localhost"}), save(Some(url), None, set("root@localhost"))),
        (json!({"url": null}), save(None, None, Change::Keep)),
        (json!({"url": null, "headers": null}), with_headers(Change::Clear)),
        (json!({"url": null, "headers": {}}), with_headers(Change::Set(BTreeMap::new()))),
        (json!({"url": null, "headers": {"X-Api-Key": " \tkey of it "}}), with_headers(one(set_to("key of it")))),
        (json!({"url": null, "headers": {"x-api-key": "***"}}), with_headers(one(HeaderChange::Keep))),
        (json!({"url": "", "enabled": false}), save(None, Some(false), Change::Keep)),
    ];
    for (body, action) in cases {
        let journal = done(None, None);
        let reply = call(&facade(journal.clone(), working()), request("PUT", WEBHOOK, &body.to_string())).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.text);
        assert_eq!(reply.json(), golden(include_str!("../golden/facade/webhook.json")));
        let command =
            Command { at: NOW, expires_at: NOW.plus(ANSWER_WAIT), by: "admin".to_owned(), if_match: None, action };
        let submitted = journal.submitted.lock().unwrap();
        assert_eq!(*submitted, [("acme".parse().unwrap(), command, ANSWER_WAIT)], "{body}");
    }
}

#[tokio::test]
async fn a_test_waits_an_attempt_longer_and_saves_only_what_a_body_says() {
    let save = Save { url: Some("https://endpoint.example/".to_owned()), ..Save::default() };
    let cases = [("", None), (r#"{"url":"https://endpoint.example/"}"#, Some(save))];
    for (body, save) in cases {
        let journal = done(Some(summary()), None);
        let reply = call(&facade(journal.clone(), working()), request("POST", TEST, body)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let webhook = golden(include_str!("../golden/facade/webhook.json"));
        assert_eq!(reply.json(), json!({"webhook": webhook, "attempt": webhook["last_attempt"]}));
        let wait = ANSWER_WAIT + TIMEOUT;
        let action = Action::Test { save };
        let command = Command { at: NOW, expires_at: NOW.plus(wait), by: "admin".to_owned(), if_match: None, action };
        assert_eq!(*journal.submitted.lock().unwrap(), [("acme".parse().unwrap(), command, wait)]);
    }
}

#[tokio::test]
async fn a_test_without_an_attempt_says_why() {
    for (reason, word) in [(NoAttempt::NoMessage, "no_message"), (NoAttempt::NoUrl, "no_url")] {
        let reply = call(&facade(done(None, Some(reason)), working()), request("POST", TEST, "")).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["attempt"], Value::Null);
        assert_eq!(reply.json()["reason"], word);
    }
}

#[tokio::test]
async fn a_test_that_the_shard_found_too_late_is_told_as_an_unknown_outcome() {
    let reply = call(&facade(done(None, Some(NoAttempt::Expired)), working()), request("POST", TEST, "")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, "outcome-unknown"));
}

#[tokio::test]
async fn a_message_is_published_byte_for_byte() {
    let journal = Arc::<FakeJournal>::default();
    let reply = call(&facade(journal.clone(), working()), request("POST", MESSAGES, MESSAGE)).await;
    assert_eq!((reply.status.as_u16(), reply.json()), (202, json!({"id": "1769860800000-3"})));
    assert_eq!(*journal.published.lock().unwrap(), [("acme".parse().unwrap(), MESSAGE.trim().as_bytes().to_vec())]);
}

#[tokio::test]
async fn probes_need_no_token() {
    let probe = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let waiting = Readiness {
        reasons: vec!["shard 3 is held by n2".to_owned()],
        unavailable_workspaces: 2,
        ..Readiness::default()
    };
    let router = facade(Arc::default(), waiting);
    assert_eq!(call(&router, probe("/healthz")).await.status, 200);
    let reply = call(&router, probe("/readyz")).await;
    assert_eq!(reply.status, 503);
    let expected = json!({"ready": false, "reasons": ["shard 3 is held by n2"], "unavailable_workspaces": 2, "rejected_reasons": {}, "role": "standby", "shards": {"assigned": [], "held": []}, "rejected": 0});
    assert_eq!(reply.json(), expected);
    let reply = call(&facade(Arc::default(), working()), probe("/readyz")).await;
    assert_eq!((reply.status.as_u16(), reply.json()["ready"].clone()), (200, json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_not_waited_for_without_limit() {
    let journal = Arc::new(FakeJournal { hangs: true, ..FakeJournal::default() });
    let router = facade(journal, working());
    let before = tokio::time::Instant::now();
    for (method, path, body) in [("GET", WEBHOOK, ""), ("GET", HISTORY, ""), ("POST", MESSAGES, MESSAGE)] {
        let reply = call(&router, request(method, path, body)).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, "store-away"));
    }
    assert!(before.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_forgotten_workspace_answers_without_a_body() {
    let journal = done(None, None);
    let router = facade(journal.clone(), working());
    let reply = call(&router, request("DELETE", WORKSPACE, "")).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""));
    let submitted = journal.submitted.lock().unwrap();
    let [(workspace, command, wait)] = &submitted[..] else { panic!("{submitted:?}") };
    assert_eq!((workspace.as_str(), command.by.as_str(), &command.action), ("acme", "admin", &Action::Forget));
    assert_eq!(*wait, ANSWER_WAIT);
}
