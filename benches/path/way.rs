//! The path of one message through everything of ours that neither waits nor writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::config::SNAPSHOT_EVERY;
use outbound::deliver::{Courier, CourierOptions, Post, PostResult, Target};
use outbound::journal::port::{Batch, Step, StoredEvent};
use outbound::journal::record::{encode_event, encode_snapshot};
use outbound::message::{EntryId, Message, WorkspaceId};
use outbound::workspace::chat_queues::ChatQueues;
use outbound::workspace::event::{Attempt, Request, Trigger};
use outbound::workspace::{Policy, State, decide};
use rustls::RootCertStore;

use super::sample::{self, NOW, URL};

/// The size of a message in src/docs/performance.md.
const MESSAGE_BYTES: usize = 700;
/// Outcomes of a commit.
const BATCH: usize = 64;

/// Walks the path so many times.
pub(crate) fn walk(messages: u64) {
    outbound::deliver::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut way = Way::new();
        let text = sample::message(MESSAGE_BYTES);
        for n in 0..messages {
            way.message(EntryId { ms: NOW.unix_ms().unsigned_abs() + n, n: 0 }, text.clone()).await;
        }
    });
}

/// What all messages of a workspace share.
struct Way {
    id: WorkspaceId,
    state: State,
    policy: Policy,
    chat_queues: ChatQueues<()>,
    courier: Courier,
    target: Option<Arc<Target>>,
    batch: Batch,
}

impl Way {
    fn new() -> Self {
        let options = CourierOptions { timeout: Duration::from_secs(5), allow: Vec::new(), clock: || NOW };
        Self {
            id: "acme".parse().expect("a workspace's id"),
            state: sample::state(),
            policy: Policy::default(),
            chat_queues: ChatQueues::default(),
            courier: Courier::with_roots(&options, RootCertStore::empty()).expect("a courier"),
            target: None,
            batch: Batch::default(),
        }
    }

    async fn message(&mut self, entry: EntryId, text: Bytes) {
        let message = Message::parse(text).expect("a message");
        self.chat_queues.offer(entry, message.chat(), ());
        assert!(self.chat_queues.next() == Some(entry) && self.chat_queues.has_room(&self.state, &self.policy));
        let post = self.post(entry, &message);
        assert!(self.chat_queues.begin(entry, self.state.webhook.config).is_some());
        let attempt = self.attempt(entry, &message, &post).await;
        let events = decide::outcome(&self.state, attempt, NOW, &self.policy);
        let mut step = Step { workspace: Some(self.id.clone()), settled: vec![entry], ..Step::default() };
        for event in events {
            self.state.evolve(&event);
            let seq = self.state.seq;
            step.attempts.extend(encode_event(seq, &event).map(|json| StoredEvent { seq, json }));
            if seq.is_multiple_of(SNAPSHOT_EVERY as u64) {
                step.snapshot = Some(encode_snapshot(&self.state));
            }
        }
        self.chat_queues.end(entry, true, true, &self.state, &self.policy);
        self.batch.steps.push(step);
        if self.batch.steps.len() >= BATCH {
            std::hint::black_box(std::mem::take(&mut self.batch));
        }
    }

    fn post(&mut self, entry: EntryId, message: &Message) -> Post {
        self.target = Target::of(&self.state.webhook, NOW, self.target.as_ref());
        Post {
            to: self.target.clone().expect("a URL"),
            webhook_id: format!("msg_{}_{entry}", self.id.shard(16)).into(),
            body: message.raw().body(),
        }
    }

    /// The courier makes and signs the headers, and the egress guard lets nothing out: what would have come
    /// back is put in its place.
    async fn attempt(&self, entry: EntryId, message: &Message, post: &Post) -> Attempt {
        let PostResult::Done(done) = self.courier.attempt(post).await else { panic!("no attempt was made") };
        assert!(done.headers.iter().any(|(name, _)| name == "webhook-signature"), "nothing was signed: {done:?}");
        assert!(done.response.is_none() && done.error.is_some(), "{URL} was reached");
        Attempt {
            at: NOW,
            trigger: Trigger::Message,
            entry,
            message_id: Arc::clone(message.message_id()),
            webhook_id: Arc::clone(&post.webhook_id),
            config: self.state.webhook.config,
            errors: None,
            duration_ms: 12,
            error: None,
            request: Request { url: Arc::clone(post.to.url()), headers: done.headers, message: message.raw().clone() },
            response: Some(Arc::new(sample::response())),
        }
    }
}
