//! The bytes of every stored form, in both directions. A file here is a promise to every journal
//! that exists: a form may gain members with a default (add a file), but no file is ever edited.

use std::borrow::Cow;
use std::sync::Arc;

use super::*;
use crate::workspace::access::{AccessRecord, Deed, EndedBefore, TokenRecord};
use crate::workspace::event::{
    Attempt, AttemptError, ErrorKind, Forgotten, Header, LogDropped, MailEnded, MailId, MailKind, MailOwed, MailState,
    MessagesSkipped, Request, Response, SecretRotated, TestDropped, TestStarted, TokensRevoked, Trigger,
    WebhookDisabled, WebhookSaved,
};
use crate::workspace::headers::CustomHeaders;
use crate::workspace::state::{Mail, OutcomeWord, PreviousSecret, RecentError, Skipped, Summary, Webhook};
use crate::workspace::time::Time;

/// The file's one line, of version 1 unless another is named.
macro_rules! golden {
    ($name:literal) => {
        golden!("v1/", $name)
    };
    ($version:literal, $name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/journal/", $version, $name, ".json")).trim_end()
    };
}

#[track_caller]
fn event_is(file: &str, seq: u64, event: &Event) {
    assert_eq!(std::str::from_utf8(&encode_event(seq, event).unwrap()).unwrap(), file);
    assert_eq!(decode_event(file.as_bytes()).unwrap(), (seq, event.clone()));
}

#[test]
fn every_sequenced_event_has_its_bytes() {
    event_is(golden!("v2/", "attempt_delivered"), 7, &Event::AttemptDelivered(usual().into()));
    event_is(golden!("v2/", "attempt_failed"), 8, &Event::AttemptFailed(unusual().into()));
    let again = Attempt { trigger: Trigger::Again, errors: None, ..usual() };
    event_is(golden!("v2/", "attempt_again"), 10, &Event::AttemptDelivered(again.into()));
    event_is(golden!("v2/", "attempt_failed_bare"), 9, &Event::AttemptFailed(bare().into()));
    event_is(golden!("webhook_saved"), 1, &Event::WebhookSaved(saved()));
    let cleared = WebhookSaved { url: None, enabled: false, owner_email: None, ..saved() };
    event_is(golden!("webhook_cleared"), 2, &Event::WebhookSaved(cleared));
    event_is(golden!("secret_rotated"), 3, &Event::SecretRotated(rotated()));
    let revoked = TokensRevoked { at: at(1), by: "ops@acme.com".to_owned() };
    event_is(golden!("tokens_revoked"), 4, &Event::TokensRevoked(revoked));
    let told = SecretRotated { configuration: Some(state().webhook.configuration()), ..rotated() };
    event_is(golden!("secret_rotated_told"), 3, &Event::SecretRotated(told));
    let disabled = WebhookDisabled { at: at(1), errors: 11, mail: MailState::NoAddress };
    event_is(golden!("webhook_disabled"), 12, &Event::WebhookDisabled(disabled));
    let detail = |detail: &str| MailEnded { at: at(2), mail: MailId::disabled(12), detail: Some(detail.to_owned()) };
    event_is(golden!("owner_notified"), 13, &Event::OwnerNotified(detail("250 2.0.0 Ok: queued")));
    event_is(golden!("mail_given_up"), 14, &Event::MailGivenUp(detail("550 5.1.1 no such user")));
    let silent = MailEnded { at: at(2), mail: MailId::disabled(12), detail: None };
    event_is(golden!("mail_dropped"), u64::MAX, &Event::MailDropped(silent));
}

#[test]
fn attempts_of_version_1_are_read_as_they_were_written() {
    for (file, read) in [
        (golden!("attempt_delivered"), (7, Event::AttemptDelivered(delivered().into()))),
        (golden!("attempt_failed"), (8, Event::AttemptFailed(failed().into()))),
        (golden!("attempt_failed_bare"), (9, Event::AttemptFailed(bare().into()))),
    ] {
        assert_eq!(attempt_entry(file.as_bytes()).unwrap(), delivered().entry);
        assert_eq!(decode_event(file.as_bytes()).unwrap(), read);
    }
}

/// What is written while a node of an older program is there.
#[test]
fn attempts_are_written_as_version_1_where_format_1_is_agreed_on() {
    let again = Attempt { trigger: Trigger::Again, ..delivered() };
    let asked = Attempt { trigger: Trigger::Test, ..delivered() };
    let omitted = |message| {
        let attempt = bare();
        Attempt { request: Request { message, ..attempt.request.clone() }, ..attempt }
    };
    let empty = RawMessage::from_stored(Bytes::from_static(b"{}")).unwrap();
    for (event, file) in [
        (Event::AttemptDelivered(delivered().into()), Some(golden!("attempt_delivered"))),
        (Event::AttemptFailed(failed().into()), Some(golden!("attempt_failed"))),
        (Event::AttemptFailed(bare().into()), Some(golden!("attempt_failed_bare"))),
        (Event::AttemptDelivered(again.into()), None),
        (Event::AttemptFailed(omitted(None).into()), None),
    ] {
        let today = encode_event(7, &event).unwrap();
        assert_eq!(in_format(FORMAT, &today), None);
        let older = in_format(1, &today).unwrap();
        let (_, read) = decode_event(&older).unwrap();
        assert!(older.starts_with(br#"{"v":1,"#));
        if let Some(file) = file {
            let (seq, event) = decode_event(file.as_bytes()).unwrap();
            let older = in_format(1, &encode_event(seq, &event).unwrap()).unwrap();
            assert_eq!(std::str::from_utf8(&older).unwrap(), file);
        } else {
            let is = [asked.clone(), omitted(Some(empty.clone()))].iter().any(|one| read.attempt() == Some(one));
            assert!(is, "{read:?}");
        }
    }
}

#[test]
fn an_event_without_a_seq_has_no_stored_form() {
    let entry = EntryId { ms: 5, n: 0 };
    let events = [
        Event::MessagesSkipped(MessagesSkipped { at: at(0), count: 1, newest: entry }),
        Event::TestStarted(Box::new(TestStarted { command: entry, attempt: bare() })),
        Event::TestDropped(TestDropped { at: at(0), command: entry }),
        Event::MailDeferred(MailEnded { at: at(0), mail: MailId::disabled(12), detail: None }),
        Event::Forgotten(Forgotten { at: at(0), by: "admin".to_owned() }),
        Event::LogDropped(LogDropped { at: at(0) }),
        Event::SecretViewed(Deed { at: at(0), by: "admin".to_owned() }),
        Event::TestMailTaken(Deed { at: at(0), by: "jane".to_owned() }),
        Event::TokenMade(access().tokens.remove(0)),
        Event::SessionEnded(access().ended_sessions.remove(0)),
        Event::MailOwed(MailOwed { at: at(0), kind: MailKind::Warning, off_since: None, replaced: None }),
        Event::OwnerNotified(MailEnded { at: at(0), mail: WARNING, detail: None }),
        Event::MailGivenUp(MailEnded { at: at(0), mail: WARNING, detail: None }),
        Event::MailDropped(MailEnded { at: at(0), mail: WARNING, detail: None }),
    ];
    for event in events {
        assert!(!event.is_sequenced());
        assert_eq!(encode_event(1, &event), None);
    }
}

const WARNING: MailId = MailId { owed_by: 12, kind: MailKind::Warning };

#[test]
fn a_snapshot_has_its_bytes() {
    let mail = |owed_by, state| Some(Mail { owed_by, state, at: at(4), detail: None });
    let (warning, recovered) = (mail(6, MailState::Sent), mail(18, MailState::Owed));
    let mails = State { warning, recovered, recovering: Some(at(3)), ..state() };
    let forgotten = State { seq: 20, forgotten: 20, ..State::default() };
    let previous = PreviousSecret { secret: saved().secret, valid_until: rotated().previous_until };
    let webhook = Webhook { secret: Some(rotated().secret), previous_secret: Some(previous), ..state().webhook };
    let discarded = State {
        seq: 9,
        webhook: Webhook { config: 7, changed_by: Some(5), ..Webhook::default() },
        discarded: Some(EntryId { ms: 1_769_860_800_000, n: u64::MAX }),
        ..State::default()
    };
    for (file, state) in [
        (golden!("snapshot"), state()),
        (golden!("snapshot_empty"), State::default()),
        (golden!("snapshot_rotated"), State { webhook, ..state() }),
        (golden!("snapshot_mails"), mails),
        (golden!("snapshot_forgotten"), forgotten),
        (golden!("snapshot_access"), State { access: access(), ..State::default() }),
        (golden!("snapshot_test_mails"), State { test_mails: vec![at(3)], ..State::default() }),
        (golden!("snapshot_revoked"), State { token_generation: 2, ..State::default() }),
        (golden!("snapshot_discarded"), discarded),
    ] {
        assert_eq!(std::str::from_utf8(&encode_snapshot(&state)).unwrap(), file);
        assert_eq!(decode_snapshot(file.as_bytes()).unwrap(), state);
        assert_eq!(snapshot_seq(file.as_bytes()).unwrap(), state.seq);
    }
    // With members that are left out now where they say nothing.
    assert_eq!(decode_snapshot(golden!("snapshot_whole").as_bytes()).unwrap(), State::default());
}

#[test]
fn the_newest_skipped_message_has_its_bytes() {
    let (file, newest) =
        (golden!("newest"), Newest { entry: EntryId { ms: 1_769_860_800_000, n: 3 }, message: message() });
    assert_eq!(std::str::from_utf8(&encode_newest(&newest)).unwrap(), file);
    assert_eq!(decode_newest(file.as_bytes()).unwrap(), newest);
}

#[test]
fn a_mail_that_is_owed_has_its_bytes() {
    let mail = OwedMail {
        workspace: "acme".parse().unwrap(),
        id: MailId::disabled(12),
        at: at(1),
        to: "owner@acme.com".to_owned(),
        url: "https://crm.acme.com/hook".to_owned(),
        errors: 11,
        failing_since: at(0),
        recent: vec![recent()],
        errors_left: None,
        skipped: None,
        by: None,
    };
    let warning = OwedMail { id: WARNING, errors: 5, errors_left: Some(6), ..mail.clone() };
    let id = MailId { owed_by: 12, kind: MailKind::Recovered };
    let recovered = OwedMail { id, errors: 0, recent: Vec::new(), skipped: Some(3), ..mail.clone() };
    for (file, mail) in
        [(golden!("mail"), mail), (golden!("mail_warning"), warning), (golden!("mail_recovered"), recovered)]
    {
        assert_eq!(std::str::from_utf8(&encode_mail(&mail)).unwrap(), file);
        assert_eq!(decode_mail(file.as_bytes()).unwrap(), mail);
    }
}

#[test]
fn a_bookmark_has_its_bytes_and_one_that_cannot_be_read_is_none() {
    let id = |ms, n| EntryId { ms, n };
    let acme = ("acme".parse().unwrap(), id(1_769_860_800_000, 0), id(1_769_860_800_000, 2));
    let left = vec![acme, ("w:1".parse().unwrap(), id(5, 0), id(5, 0))];
    let (file, bookmark) = (golden!("bookmark"), Bookmark { cursor: id(1_769_860_800_000, 3), left });
    assert_eq!(std::str::from_utf8(&encode_bookmark(&bookmark)).unwrap(), file);
    assert_eq!(decode_bookmark(file.as_bytes()), Some(bookmark));
    for other in ["", "{}", r#"{"v":2,"cursor":"1-0","left":[]}"#, r#"{"v":1,"cursor":"x","left":[]}"#] {
        assert_eq!(decode_bookmark(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn a_message_is_stored_byte_for_byte() {
    let attempt = Event::AttemptDelivered(delivered().into());
    let json = encode_event(7, &attempt).unwrap();
    let text = std::str::from_utf8(message().bytes()).unwrap().to_owned();
    assert!(std::str::from_utf8(&json).unwrap().contains(&text));
    assert_eq!(attempt_entry(&json).unwrap(), delivered().entry);
}

#[test]
fn a_message_may_be_nested_as_deep_as_is_allowed() {
    let depth = crate::message::MESSAGE_DEPTH_MAX;
    let text = format!("{}{}", r#"{"a":"#.repeat(depth - 1) + "{}", "}".repeat(depth - 1));
    let deep = RawMessage::from_stored(text.into()).unwrap();
    let attempt = Attempt { request: Request { message: Some(deep), ..delivered().request }, ..delivered() };
    let event = Event::AttemptDelivered(attempt.clone().into());
    assert_eq!(decode_event(&encode_event(7, &event).unwrap()).unwrap(), (7, event));
    let test = TestStarted { command: EntryId { ms: 5, n: 1 }, attempt };
    let state = State { test: Some(test.into()), ..state() };
    assert_eq!(decode_snapshot(&encode_snapshot(&state)).unwrap(), state);
}

#[test]
fn members_that_are_not_known_are_passed_over() {
    let newer = golden!("webhook_disabled").replace(r#""errors":11"#, r#""errors":11,"new":{"a":[1]}"#);
    decode_event(newer.as_bytes()).unwrap();
    let newer = golden!("snapshot").replace(r#""seq":20"#, r#""seq":20,"new":{"a":[1]}"#);
    decode_snapshot(newer.as_bytes()).unwrap();
}

#[test]
fn another_version_is_refused_by_name() {
    // Nothing but the version need be as this program knows it.
    let error = decode_event(br#"{"v":3,"no":"seq"}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the version of a stored event is 3, this program reads up to 2: start the newer program"
    );
    let workspace: WorkspaceId = "acme".parse().unwrap();
    let expected = LoadError::UnknownVersion { workspace: workspace.clone(), what: "event", found: 3, known: 2 };
    assert_eq!(error.of(&workspace), expected);
    let saved = golden!("webhook_saved").replace(r#""v":1"#, r#""v":2"#);
    for refused in [decode_snapshot(br#"{"v":2}"#).map(drop), decode_event(saved.as_bytes()).map(drop)] {
        assert!(matches!(refused, Err(CodecError::UnknownVersion { found: 2, known: 1, .. })));
    }
    assert!(matches!(decode_event(br#"{"v":0}"#), Err(CodecError::UnknownVersion { found: 0, .. })));
}

#[test]
fn another_type_is_refused_by_name() {
    let error = decode_event(br#"{"v":1,"seq":4,"type":"webhook_sung","at":1}"#).unwrap_err();
    let workspace: WorkspaceId = "acme".parse().unwrap();
    let LoadError::Corrupt { detail, .. } = error.of(&workspace) else { panic!("corrupt") };
    assert_eq!(detail, "an event has the type `webhook_sung`, which version 1 does not have: start the newer program");
}

#[test]
fn what_is_cut_off_is_refused() {
    for whole in [golden!("attempt_failed").as_bytes(), golden!("v2/", "attempt_failed").as_bytes()] {
        for end in 0..whole.len() {
            assert!(matches!(decode_event(&whole[..end]), Err(CodecError::Malformed { .. })), "cut at {end}");
        }
    }
}

fn access() -> AccessRecord {
    let token = |id: &str, subject: &str, made, ended| TokenRecord {
        id: id.to_owned(),
        subject: subject.to_owned(),
        at: at(made),
        by: "admin".to_owned(),
        expires_at: at(9),
        ended,
    };
    let by = |who: &str, second| Deed { at: at(second), by: who.to_owned() };
    AccessRecord {
        tokens: vec![token("t1", "jane@acme.com", 1, None), token("t2", "joe", 2, Some(by("admin", 3)))],
        ended_sessions: vec![EndedBefore { id: "s2".to_owned(), began: at(4), until: at(9) }],
        sessions_after: Some(at(0)),
        views: vec![by("jane@acme.com", 5)],
    }
}

fn at(seconds: i64) -> Time {
    Time::from_unix_ms(1_769_860_800_007 + seconds * 1_000)
}

/// Spaces, an escape that need not be one, a trailing zero, a member that stands twice.
fn message() -> RawMessage {
    let text = r#"{ "message_id":"m-1", "text":"caf\u00e9 \/ ☕","n":1.50,"x":1,"x":2 }"#;
    RawMessage::from_stored(Bytes::from(text)).unwrap()
}

fn delivered() -> Attempt {
    Attempt {
        at: at(0),
        trigger: Trigger::Message,
        entry: EntryId { ms: 1_769_860_800_000, n: 0 },
        message_id: "m-1".into(),
        webhook_id: "msg_7_1769860800000-0".into(),
        config: 1,
        errors: Some(0),
        duration_ms: 42,
        error: None,
        request: Request {
            url: "https://crm.acme.com/hook".into(),
            headers: headers(&[("content-type", "application/json"), ("webhook-id", "msg_7_1769860800000-0")]).into(),
            message: Some(message()),
        },
        response: Some(Arc::new(Response {
            status: 200,
            headers: headers(&[("content-type", "text/plain; charset=\"utf-8\"")]),
            body: "ok\r\n\u{fffd}".to_owned(),
            malformed: Vec::new(),
            truncated: false,
        })),
    }
}

fn failed() -> Attempt {
    Attempt {
        trigger: Trigger::Test,
        errors: Some(1),
        error: Some(AttemptError { kind: ErrorKind::HttpStatus, detail: "it answered 503".to_owned() }),
        response: Some(Arc::new(Response {
            status: 503,
            headers: Vec::new(),
            body: String::new(),
            malformed: Vec::new(),
            truncated: true,
        })),
        ..delivered()
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> Vec<Header> {
    pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))).collect()
}

/// As most are: everything that can be derived is left out.
fn usual() -> Attempt {
    let headers = headers(&[
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("user-agent", "outbound/0.1.0"),
        ("webhook-id", "msg_7_1769860800000-0"),
        ("webhook-timestamp", "1769860800"),
        ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
    ]);
    Attempt { request: Request { headers: headers.into(), ..delivered().request }, ..delivered() }
}

/// Nothing can be derived.
fn unusual() -> Attempt {
    let id = "test_0d2c";
    let headers = headers(&[
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("user-agent", "outbound/1.0.0"),
        ("webhook-id", id),
        ("webhook-timestamp", "1769860802"),
        ("webhook-signature", "v1,K5oZ= v1,9UVu="),
        ("authorization", "***"),
    ]);
    let request = Request { headers: headers.into(), ..delivered().request };
    Attempt { message_id: "another".into(), webhook_id: id.into(), errors: None, request, ..failed() }
}

/// Only what every attempt has.
fn bare() -> Attempt {
    let error = AttemptError { kind: ErrorKind::ForbiddenAddress, detail: "crm.acme.com is not public".to_owned() };
    Attempt { errors: None, error: Some(error), response: None, ..delivered() }
}

fn saved() -> WebhookSaved {
    WebhookSaved {
        at: at(0),
        by: "admin".to_owned(),
        url: Some("https://crm.acme.com/hook".into()),
        enabled: true,
        owner_email: Some("owner@acme.com".to_owned()),
        secret: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into(),
        headers: CustomHeaders::new(),
        changed_headers: Vec::new(),
    }
}

fn rotated() -> SecretRotated {
    SecretRotated {
        at: at(1),
        by: "ops@acme.com".to_owned(),
        secret: "whsec_ZW5kIG9mIG92ZXJsYXAgaXMgYWZ0ZXIgYSBkYXkuLi4=".into(),
        previous_until: at(24 * 60 * 60 + 1),
        configuration: None,
    }
}

fn recent() -> RecentError {
    RecentError {
        at: at(0),
        message_id: "m-1".into(),
        kind: ErrorKind::Timeout,
        detail: "no answer within 5 s".to_owned(),
    }
}

fn state() -> State {
    State {
        seq: 20,
        forgotten: 0,
        webhook: Webhook {
            url: Some("https://crm.acme.com/hook".into()),
            enabled: false,
            owner_email: Some("owner@acme.com".to_owned()),
            secret: Some("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()),
            previous_secret: None,
            headers: CustomHeaders::new(),
            config: 1,
            changed_by: None,
            disabled_by_errors: true,
            disabled_at: Some(at(3)),
            updated_at: Some(at(3)),
        },
        errors: 11,
        failing_since: Some(at(0)),
        recent_errors: vec![recent()],
        skipped: Skipped {
            count: 3,
            first_at: Some(at(4)),
            last_at: Some(at(5)),
            newest: Some(EntryId { ms: 1_769_860_800_000, n: 3 }),
        },
        last_attempt: Some(Summary {
            id: "19".to_owned(),
            at: at(2),
            trigger: Trigger::Message,
            message_id: "m-1".into(),
            webhook_id: "msg_7_1769860800000-0".into(),
            outcome: OutcomeWord::Failed,
            status: Some(503),
            error: Some(AttemptError { kind: ErrorKind::HttpStatus, detail: "it answered 503".to_owned() }),
            duration_ms: 42,
            waited_ms: None,
        }),
        mail: Some(Mail { owed_by: 20, state: MailState::Owed, at: at(3), detail: Some("421 try later".to_owned()) }),
        warning: None,
        recovered: None,
        replaced: None,
        recovering: None,
        mails: vec![at(3)],
        test_mails: Vec::new(),
        test: Some(Box::new(TestStarted { command: EntryId { ms: 5, n: 1 }, attempt: bare() })),
        tested_at: Some(at(6)),
        discarded: None,
        token_generation: 0,
        access: AccessRecord::default(),
    }
}
