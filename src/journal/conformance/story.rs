//! Steps that hang together: a workspace's life, told one step at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::journal::codec::{encode_event, encode_snapshot};
use crate::journal::port::{Newest, OwedMail, Rejected, Step, StoredEvent};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::Policy;
use crate::workspace::decide::{self, MailResult};
use crate::workspace::event::{
    Attempt, AttemptError, ErrorKind, Event, Forgotten, LogDropped, MailEnded, MailId, MailState, MessagesSkipped,
    Request, Response, Trigger, WebhookDisabled, WebhookSaved,
};
use crate::workspace::headers::CustomHeaders;
use crate::workspace::policy::SECRET_OVERLAP;
use crate::workspace::state::State;
use crate::workspace::time::Time;

/// When everything happens: 2026-01-31T12:00:00.000Z.
pub(crate) const AT: Time = Time::from_unix_ms(1_769_860_800_000);

/// A message with what a careless writer would change: spaces, an escaped slash, a number with a
/// trailing zero, a member that stands twice, an escape that need not be one.
pub(crate) fn message(id: &str) -> RawMessage {
    let text = format!(
        r#"{{ "message_id": "{id}","direction":"sent",  "timestamp":"2021-02-24T06:25:29+0000","contact":{{"phone":"+972550000000"}},"price":1.50,"x":1,"x":2,"text":"caf\u00e9 \/ ☕" }}"#
    );
    RawMessage::from_stored(text.into()).unwrap()
}

/// An attempt at that message.
pub(crate) fn attempt(entry: EntryId, message: RawMessage, error: Option<ErrorKind>) -> Attempt {
    Attempt {
        at: AT,
        trigger: Trigger::Message,
        entry,
        message_id: "m-1".into(),
        webhook_id: format!("msg_1_{entry}").into(),
        config: 1,
        errors: Some(u32::from(error.is_some())),
        duration_ms: 12,
        error: error.map(|kind| AttemptError { kind, detail: "503 Service Unavailable".to_owned() }),
        request: Request {
            url: "https://example.com/hook".into(),
            headers: Arc::new([("content-type".into(), "application/json".into())]),
            message: Some(message),
        },
        response: Some(Arc::new(Response {
            status: if error.is_some() { 503 } else { 200 },
            headers: vec![("server".into(), "\"x\"".into())],
            body: "ok\n".to_owned(),
            malformed: Vec::new(),
            truncated: false,
        })),
    }
}

/// One workspace's life so far.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) workspace: WorkspaceId,
    pub(crate) state: State,
}

impl Story {
    pub(crate) fn of(workspace: &WorkspaceId) -> Self {
        Self { workspace: workspace.clone(), state: State::default() }
    }

    /// A save, with its snapshot.
    pub(crate) fn save(&mut self) -> Step {
        let saved = WebhookSaved {
            at: AT,
            by: "admin".to_owned(),
            url: Some("https://example.com/hook".into()),
            enabled: true,
            owner_email: Some("owner@example.com".to_owned()),
            secret: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into(),
            headers: CustomHeaders::from([("x-api-key".parse().unwrap(), "key-of-the-endpoint".into())]),
            changed_headers: vec!["x-api-key".parse().unwrap()],
        };
        let step = self.step([Event::WebhookSaved(saved)]);
        self.with_snapshot(step)
    }

    /// A delivery that settles the entry, without a snapshot.
    pub(crate) fn deliver(&mut self, entry: EntryId, message: &RawMessage) -> Step {
        let attempt = attempt(entry, message.clone(), None);
        Step { settled: vec![entry], ..self.step([Event::AttemptDelivered(attempt.into())]) }
    }

    /// Deliveries of entries that nobody published, without a snapshot.
    pub(crate) fn deliver_many(&mut self, count: u64) -> Step {
        let first = self.state.seq;
        let events = (1..=count).map(|n| {
            let id = format!("m-{}", first + n);
            let attempt = attempt(EntryId { ms: 1, n: first + n }, message(&id), None);
            Event::AttemptDelivered(Box::new(Attempt { message_id: id.into(), ..attempt }))
        });
        self.step(events)
    }

    /// Failures of entries that nobody published, without a snapshot.
    pub(crate) fn fail(&mut self, count: u32) -> Step {
        let (seq, errors) = (self.state.seq, self.state.errors);
        let events = (1..=count).map(|n| {
            let entry = EntryId { ms: 1, n: seq + u64::from(n) };
            let failed = attempt(entry, message("m-1"), Some(ErrorKind::HttpStatus));
            Event::AttemptFailed(Box::new(Attempt { errors: Some(errors + n), ..failed }))
        });
        self.step(events)
    }

    /// An automatic switch-off that owes a mail, with its snapshot.
    pub(crate) fn disable(&mut self) -> Step {
        let failed = attempt(EntryId { ms: 1, n: 1 }, message("m-11"), Some(ErrorKind::HttpStatus));
        let failed = Attempt { errors: Some(11), ..failed };
        let disabled = WebhookDisabled { at: AT, errors: 11, mail: MailState::Owed };
        let mut step = self.step([Event::AttemptFailed(Box::new(failed)), Event::WebhookDisabled(disabled)]);
        step.mails_owed.push(OwedMail {
            workspace: self.workspace.clone(),
            id: MailId::disabled(self.state.seq),
            at: AT,
            to: "owner@example.com".to_owned(),
            url: "https://example.com/hook".to_owned(),
            errors: 11,
            failing_since: AT,
            recent: self.state.recent_errors.clone(),
            errors_left: None,
            skipped: None,
            by: None,
        });
        self.with_snapshot(step)
    }

    /// The mail of the switch-off at `disabled` was taken.
    pub(crate) fn notified(&mut self, disabled: u64) -> Step {
        let ended = MailEnded { at: AT, mail: MailId::disabled(disabled), detail: Some("250 2.0.0 queued".to_owned()) };
        let step = Step { mails_ended: vec![ended.mail], ..self.step([Event::OwnerNotified(ended)]) };
        self.with_snapshot(step)
    }

    /// The log is dropped.
    pub(crate) fn drop_log(&mut self) -> Step {
        let step = self.step([Event::LogDropped(LogDropped { at: AT })]);
        self.with_snapshot(Step { drop_log: true, ..step })
    }

    /// Everything is forgotten.
    pub(crate) fn forget(&mut self) -> Step {
        let step = self.step([Event::Forgotten(Forgotten { at: AT, by: "admin".to_owned() })]);
        self.with_snapshot(Step { forget: true, ..step })
    }

    /// A skip that settles the entry: no event with a seq, but a snapshot.
    pub(crate) fn skip(&mut self, entry: EntryId, message: &RawMessage) -> Step {
        let skipped = MessagesSkipped { at: AT, count: 1, newest: entry };
        let step = Step {
            settled: vec![entry],
            last_skipped: Some(Newest { entry, message: message.clone() }),
            ..self.step([Event::MessagesSkipped(skipped)])
        };
        self.with_snapshot(step)
    }

    /// As much as may happen between two saves, with a snapshot after each step: the secret is rotated, a
    /// first message is delivered, then one after the other fails, until that switches it off; every mail is
    /// owed, and ends.
    pub(crate) fn save_and_fail(&mut self) -> Vec<Step> {
        let policy = Policy { mail_warning: true, mail_recovered: true, ..Policy::default() };
        let mut steps = vec![self.save()];
        let rotated = decide::rotate(&self.state, AT, "ops", &"whsec_b3RoZXI=".into(), SECRET_OVERLAP);
        steps.push(self.snapshot_step(rotated.expect("it was saved")));
        for n in 0..=policy.error_limit + 1 {
            // So far apart that no mail is one too many.
            let at = AT.plus(Duration::from_secs(3 * 60 * 60) * u32::try_from(self.state.seq).unwrap_or(u32::MAX));
            let error = (n > 0).then_some(ErrorKind::HttpStatus);
            let attempt = attempt(EntryId { ms: 1, n: self.state.seq }, message("m-1"), error);
            let attempt = Attempt { config: self.state.webhook.config, errors: None, ..attempt };
            let events = decide::outcome(&self.state, attempt, at, &policy);
            steps.push(self.snapshot_step(events));
            for mail in self.state.owed_mails().collect::<Vec<_>>() {
                let sent = decide::mail(&self.state, mail, MailResult::Sent, at);
                let step = self.snapshot_step(sent);
                steps.push(Step { mails_ended: vec![mail], ..step });
            }
        }
        assert!(!self.state.webhook.enabled, "that many errors switch it off");
        steps
    }

    fn snapshot_step(&mut self, events: impl IntoIterator<Item = Event>) -> Step {
        let step = self.step(events);
        self.with_snapshot(step)
    }

    /// The step with the present state as its snapshot.
    pub(crate) fn with_snapshot(&self, step: Step) -> Step {
        Step { snapshot: Some(encode_snapshot(&self.state)), ..step }
    }

    fn step(&mut self, events: impl IntoIterator<Item = Event>) -> Step {
        let mut step = Step { workspace: Some(self.workspace.clone()), ..Step::default() };
        for event in events {
            self.state.evolve(&event);
            if let Some(json) = encode_event(self.state.seq, &event) {
                let stored = StoredEvent { seq: self.state.seq, json };
                if event.attempt().is_some() { step.attempts.push(stored) } else { step.history.push(stored) }
            }
        }
        step
    }
}

/// A step that sets an entry aside.
pub(crate) fn reject(entry: EntryId) -> Step {
    let field = |name: &'static str, value: &str| (Bytes::from(name), Bytes::from(value.to_owned()));
    let fields = vec![
        field("message", "{\u{fe}\n"),
        (Bytes::from_static(b"\xff"), Bytes::from_static(b"\x00\xfe")),
        field("_id", &entry.to_string()),
        field("_reason", "the message is not JSON"),
        field("_at", &AT.to_string()),
    ];
    Step { settled: vec![entry], rejected: vec![Rejected { id: entry, fields }], ..Step::default() }
}

/// What a message entry of that workspace must hold.
pub(crate) fn fields(workspace: &WorkspaceId, message: &RawMessage) -> Vec<(Bytes, Bytes)> {
    let workspace = Arc::<str>::from(workspace.as_str());
    vec![
        (Bytes::from("workspace"), Bytes::copy_from_slice(workspace.as_bytes())),
        (Bytes::from("message"), message.bytes().clone()),
    ]
}
