//! Makes journals, and steps that continue a workspace.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::app::now;
use outbound::journal::Journal;
use outbound::journal::codec;
use outbound::journal::port::{Acquired, Batch, Holder, ShardConnection, Step, StoredEvent};
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::{EntryId, RawMessage, WorkspaceId};
use outbound::workspace::Policy;
use outbound::workspace::command::{Action, Answer, Command, NoAttempt, Save};
use outbound::workspace::event::{Attempt, Event, Request, Trigger, WebhookSaved};
use outbound::workspace::headers::CustomHeaders;
use outbound::workspace::state::State;
use outbound::workspace::time::Time;
use outbound::workspace::view::WebhookView;

pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// How long the answer of a command is waited for that nobody gives: storing it counts as part of that.
pub(crate) const UNANSWERED: Duration = Duration::from_secs(2);

pub(crate) fn options(url: &str) -> RedisOptions {
    RedisOptions { shards: Some(1), ..RedisOptions::new(url, now) }
}

pub(crate) async fn journal(url: &str) -> Redis {
    Redis::connect(&options(url)).await.unwrap()
}

pub(crate) fn holder(node: &str) -> Holder {
    Holder { node: node.to_owned(), lease: LEASE }
}

pub(crate) async fn acquire(journal: &Redis) -> Acquired {
    journal.acquire(0, &holder("node-a")).await.unwrap()
}

/// A journal with shard 0 held, and a workspace there whose first commit, a save, is durable.
pub(crate) async fn begun(url: &str) -> (Redis, Box<dyn ShardConnection>, Workspace) {
    let journal = journal(url).await;
    let connection = acquire(&journal).await.connection;
    let mut acme = Workspace::new("acme");
    connection.commit(batch([acme.saved()])).await.unwrap();
    (journal, connection, acme)
}

pub(crate) fn message(text: &str) -> RawMessage {
    RawMessage::from_stored(Bytes::from(format!(r#"{{"text":"{text}"}}"#))).unwrap()
}

pub(crate) fn batch(steps: impl IntoIterator<Item = Step>) -> Batch {
    Batch { steps: steps.into_iter().collect(), ..Batch::default() }
}

pub(crate) fn settle(entries: impl IntoIterator<Item = EntryId>) -> Batch {
    batch([Step { settled: entries.into_iter().collect(), ..Step::default() }])
}

pub(crate) fn save_command(wait: Duration) -> Command {
    let at = now();
    Command {
        at,
        expires_at: at.plus(wait),
        by: "admin".to_owned(),
        if_match: None,
        action: Action::Save(Save::default()),
    }
}

/// A workspace whose journal a test writes.
pub(crate) struct Workspace {
    pub(crate) id: WorkspaceId,
    pub(crate) state: State,
}

impl Workspace {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.parse().unwrap(), state: State::default() }
    }

    /// A save, with the snapshot that every commit of anything but attempts has.
    pub(crate) fn saved(&mut self) -> Step {
        let event = self.event(Event::WebhookSaved(WebhookSaved {
            at: Time::from_unix_ms(1_000),
            by: "admin".to_owned(),
            url: Some("https://example.com/hook".into()),
            enabled: true,
            owner_email: None,
            secret: "whsec_c2VjcmV0".into(),
            headers: CustomHeaders::new(),
            changed_headers: Vec::new(),
        }));
        let snapshot = Some(codec::encode_snapshot(&self.state));
        Step { workspace: Some(self.id.clone()), history: vec![event], snapshot, ..Step::default() }
    }

    /// A delivered attempt, which settles its entry.
    pub(crate) fn attempted(&mut self, entry: EntryId) -> Step {
        let event = self.event(Event::AttemptDelivered(Box::new(Attempt {
            at: Time::from_unix_ms(2_000),
            trigger: Trigger::Message,
            entry,
            message_id: "m".into(),
            webhook_id: format!("msg_0_{entry}").into(),
            config: 1,
            errors: Some(0),
            duration_ms: 3,
            error: None,
            request: Request {
                url: "https://example.com/hook".into(),
                headers: Arc::default(),
                message: Some(message("hello")),
            },
            response: None,
        })));
        Step { workspace: Some(self.id.clone()), attempts: vec![event], settled: vec![entry], ..Step::default() }
    }

    /// The same with a snapshot.
    pub(crate) fn attempted_with_snapshot(&mut self, entry: EntryId) -> Step {
        let step = self.attempted(entry);
        Step { snapshot: Some(codec::encode_snapshot(&self.state)), ..step }
    }

    fn event(&mut self, event: Event) -> StoredEvent {
        self.state.evolve(&event);
        let json = codec::encode_event(self.state.seq, &event).unwrap();
        StoredEvent { seq: self.state.seq, json }
    }
}

pub(crate) const fn entry(ms: u64) -> EntryId {
    EntryId { ms, n: 0 }
}

/// An answer that a test can tell from others.
pub(crate) fn done(skipped: u64) -> Answer {
    let mut state = State::default();
    state.skipped.count = skipped;
    let id: WorkspaceId = "acme".parse().unwrap();
    Answer::Done {
        webhook: Box::new(WebhookView::new(&id, &state, &Policy::default())),
        attempt: None,
        reason: Some(NoAttempt::NoMessage),
    }
}

/// Shares a journal between tasks.
pub(crate) fn shared(journal: &Redis) -> Arc<dyn Journal> {
    Arc::new(journal.clone())
}
