//! The test kit of the aggregate: `given(events).when(decision).then(events)`.
//!
//! Whatever a scenario is about, it also checks two laws on its events: the journal gives each back as
//! it was, and a snapshot taken after any of them and read back changes nothing of what comes next.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use super::command::Refusal;
use super::confidential::Confidential;
use super::event::{
    Attempt, AttemptError, ErrorKind, Event, MailEnded, MailId, MailState, Request, Response, SecretRotated,
    TestStarted, TokensRevoked, Trigger, WebhookDisabled, WebhookSaved,
};
use super::headers::CustomHeaders;
use super::state::State;
use super::time::Time;
use crate::journal::codec;
use crate::message::{EntryId, RawMessage};

/// What has happened before.
#[derive(Debug)]
pub(super) struct PastEvents(Vec<Event>);

/// What happened before, and what was decided.
#[derive(Debug)]
pub(super) struct When {
    past: Vec<Event>,
    decision: Result<Vec<Event>, Refusal>,
}

/// Starts a scenario.
pub(super) fn given(past: impl IntoIterator<Item = Event>) -> PastEvents {
    PastEvents(past.into_iter().collect())
}

/// The state that the events add up to.
pub(super) fn state_of<'a>(events: impl IntoIterator<Item = &'a Event>) -> State {
    let mut state = State::default();
    events.into_iter().for_each(|event| state.evolve(event));
    state
}

/// The state as a snapshot gives it back.
pub(super) fn through_snapshot(state: &State) -> State {
    codec::decode_snapshot(&codec::encode_snapshot(state)).unwrap()
}

/// The event as the journal gives it back; one without a stored form is as it is.
fn through_journal(seq: u64, event: &Event) -> Event {
    let Some(stored) = codec::encode_event(seq, event) else { return event.clone() };
    let (read_seq, read) = codec::decode_event(&stored).unwrap();
    assert_eq!(read_seq, seq);
    read
}

impl PastEvents {
    /// Asks for a decision.
    pub(super) fn when<D: Decision>(self, decide: impl FnOnce(&State) -> D) -> When {
        let decision = decide(&state_of(&self.0)).events();
        When { past: self.0, decision }
    }
}

impl When {
    /// Exactly these events were decided. Returns the state after them.
    #[track_caller]
    pub(super) fn then(self, expected: impl IntoIterator<Item = Event>) -> State {
        let expected: Vec<Event> = expected.into_iter().collect();
        assert_eq!(self.decision, Ok(expected.clone()));
        let all: Vec<&Event> = self.past.iter().chain(&expected).collect();
        let state = state_of(all.iter().copied());
        for taken_after in 0..=all.len() {
            let mut restored = through_snapshot(&state_of(all[..taken_after].iter().copied()));
            all[taken_after..].iter().for_each(|event| restored.evolve(event));
            assert_eq!(restored, state, "a snapshot after event {taken_after} changed what came of the rest");
        }
        let mut seq = 0;
        for event in all {
            assert_eq!(codec::encode_event(1, event).is_some(), event.is_sequenced());
            seq += u64::from(event.is_sequenced());
            assert_eq!(&through_journal(seq, event), event);
        }
        assert_eq!(state.seq, seq, "seq is the number of sequenced events");
        state
    }

    /// Nothing was decided. Returns the state, which is as before.
    #[track_caller]
    pub(super) fn then_nothing(self) -> State {
        self.then([])
    }

    /// The command was refused.
    #[track_caller]
    pub(super) fn then_refused(self, expected: Refusal) {
        assert_eq!(self.decision, Err(expected));
    }
}

/// What the functions of [`super::decide`] return.
pub(super) trait Decision: Debug {
    /// In one form.
    fn events(self) -> Result<Vec<Event>, Refusal>;
}

impl Decision for Result<Vec<Event>, Refusal> {
    fn events(self) -> Result<Vec<Event>, Refusal> {
        self
    }
}

impl Decision for Vec<Event> {
    fn events(self) -> Result<Vec<Event>, Refusal> {
        Ok(self)
    }
}

impl Decision for Option<Event> {
    fn events(self) -> Result<Vec<Event>, Refusal> {
        Ok(self.into_iter().collect())
    }
}

impl Decision for Result<(), Refusal> {
    fn events(self) -> Result<Vec<Event>, Refusal> {
        self.map(|()| Vec::new())
    }
}

pub(super) const URL: &str = "https://crm.example/hook";
pub(super) const OWNER: &str = "owner@acme.example";
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The moment `ms` milliseconds after an arbitrary start.
pub(super) fn at(ms: i64) -> Time {
    Time::from_unix_ms(1_700_000_000_000 + ms)
}

pub(super) fn entry(n: u64) -> EntryId {
    EntryId { ms: 1_700_000_000_000 + n, n: 0 }
}

/// The first save: on, with an owner. Its seq, and so its configuration, is 1 when it comes first.
pub(super) fn saved() -> WebhookSaved {
    WebhookSaved {
        at: at(0),
        by: "admin".to_owned(),
        url: Some(URL.into()),
        enabled: true,
        owner_email: Some(OWNER.to_owned()),
        secret: "whsec_first".into(),
        headers: CustomHeaders::new(),
        changed_headers: Vec::new(),
    }
}

pub(super) fn switched_on() -> Event {
    Event::WebhookSaved(saved())
}

pub(super) fn switched_off_at(ms: i64) -> Event {
    Event::WebhookSaved(WebhookSaved { at: at(ms), enabled: false, ..saved() })
}

/// A rotation at `ms`, after which the secret before it is valid for a day.
pub(super) fn rotated(ms: i64, secret: &str) -> Event {
    rotated_in(&state_of(&[switched_on()]), ms, secret)
}

/// The same of another state than that after [`switched_on`].
pub(super) fn rotated_in(state: &State, ms: i64, secret: &str) -> Event {
    Event::SecretRotated(SecretRotated {
        at: at(ms),
        by: "ops".to_owned(),
        secret: secret.into(),
        previous_until: at(ms + DAY_MS),
        configuration: Some(state.webhook.configuration()),
    })
}

/// A revocation of the tokens at `ms`.
pub(super) fn revoked(ms: i64) -> Event {
    Event::TokensRevoked(TokensRevoked { at: at(ms), by: "ops".to_owned() })
}

/// A POST of message `n`, begun at `n` ms with configuration 1 and answered with 200.
pub(super) fn success(n: u64) -> Attempt {
    Attempt {
        at: at(n.try_into().unwrap()),
        trigger: Trigger::Message,
        entry: entry(n),
        message_id: format!("m{n}").into(),
        webhook_id: format!("msg_7_{}", entry(n)).into(),
        config: 1,
        errors: None,
        duration_ms: 12,
        error: None,
        request: Request {
            url: URL.into(),
            headers: Arc::new([("content-type".into(), "application/json".into())]),
            message: Some(RawMessage::from_stored(Bytes::from(format!("{{\"message_id\": \"m{n}\"}}"))).unwrap()),
        },
        response: Some(Arc::new(Response {
            status: 200,
            headers: vec![],
            body: String::new(),
            malformed: Vec::new(),
            truncated: false,
        })),
    }
}

/// As [`success`], but answered with 500.
pub(super) fn failure(n: u64) -> Attempt {
    let response =
        Response { status: 500, headers: vec![], body: "down".to_owned(), malformed: Vec::new(), truncated: false };
    Attempt { error: Some(http_error(n)), response: Some(Arc::new(response)), ..success(n) }
}

pub(super) fn http_error(n: u64) -> AttemptError {
    AttemptError { kind: ErrorKind::HttpStatus, detail: format!("answered 500 to m{n}") }
}

/// The event of an attempt after which the counter is `errors`.
pub(super) fn counted(attempt: Attempt, errors: u32) -> Event {
    event_of(Attempt { errors: Some(errors), ..attempt })
}

/// The event of an attempt as it is.
pub(super) fn event_of(attempt: Attempt) -> Event {
    let attempt = Box::new(attempt);
    if attempt.error.is_some() { Event::AttemptFailed(attempt) } else { Event::AttemptDelivered(attempt) }
}

/// `count` errors in a row, of messages 1, 2, 3 …
pub(super) fn errors(count: u32) -> impl Iterator<Item = Event> {
    (1..=count).map(|n| counted(failure(n.into()), n))
}

pub(super) fn disabled(ms: i64, errors: u32, mail: MailState) -> Event {
    Event::WebhookDisabled(WebhookDisabled { at: at(ms), errors, mail })
}

/// Switched on (seq 1), 11 errors (seqs 2 to 12), switched off at 100 ms (seq 13).
pub(super) fn streak(mail: MailState) -> Vec<Event> {
    let last = disabled(100, 11, mail);
    std::iter::once(switched_on()).chain(errors(11)).chain([last]).collect()
}

pub(super) fn mail_ended(ms: i64, disabled: u64, detail: Option<&str>) -> MailEnded {
    MailEnded { at: at(ms), mail: MailId::disabled(disabled), detail: detail.map(str::to_owned) }
}

/// A test of message 3, begun at `ms`, asked for by command 900.
pub(super) fn test_at(ms: i64) -> TestStarted {
    let attempt = Attempt {
        at: at(ms),
        trigger: Trigger::Test,
        webhook_id: format!("test_{}", entry(900)).into(),
        duration_ms: 0,
        response: None,
        ..success(3)
    };
    TestStarted { command: entry(900), attempt }
}

pub(super) fn test_started(ms: i64) -> Event {
    Event::TestStarted(Box::new(test_at(ms)))
}

/// A secret that was never used before.
pub(super) fn fresh_secret() -> Confidential {
    "whsec_fresh".into()
}
