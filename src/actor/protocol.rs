//! What a shard, its workspaces and its attempts tell each other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::actor::admission::InFlight;
use crate::actor::maps::HashSet;
use crate::deliver::{AttemptOutcome, Target};
use crate::journal::port::{
    AcquireError, Acquired, Loaded, Newest, Polled, ShardConnectionError, ShardResponse, Step, StoreError,
};
use crate::message::{Chat, EntryId, Message, WorkspaceId};
use crate::workspace::Command;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::decide::MailResult;
use crate::workspace::event::{Attempt, AttemptError, ErrorKind, MailId, Request, Trigger};
use crate::workspace::time::Time;

/// Where a workspace's account is in its shard's book. Of an account that is gone it may come to mean another, so
/// whoever keeps one says also which incarnation, or which attempt, he means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) usize);

/// A message in memory, between its read and the commit that settles it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) entry: EntryId,
    pub(super) message: Message,
    /// The same after every crash ([contract, section 2](crate::docs::contract#2-the-post-out)).
    pub(super) webhook_id: Arc<str>,
    /// Where it was handed over from.
    pub(super) origin: Option<Bytes>,
}

impl Item {
    /// The chat within which it is attempted in order.
    pub(super) fn chat(&self) -> Chat {
        self.message.chat(self.entry)
    }
}

/// One POST that was decided on.
#[derive(Debug)]
pub(super) struct Start {
    /// Whose it is.
    pub(super) slot: Slot,
    pub(super) item: Arc<Item>,
    pub(super) to: Arc<Target>,
    pub(super) config: u64,
    /// Why it is made.
    pub(super) trigger: Trigger,
    /// The command that asked for it, unless its turn came.
    pub(super) test: Option<EntryId>,
    /// The `webhook-id`: the item's, or that of a test.
    pub(super) webhook_id: Arc<str>,
}

/// What became of a [`Start`].
#[derive(Debug, Clone)]
pub(super) struct FinishedAttempt {
    pub(super) start: Arc<Start>,
    /// When the attempt began.
    pub(super) began: Time,
    pub(super) end: AttemptEnd,
}

impl FinishedAttempt {
    /// The attempt that it was. What that does to the counter is decided later.
    pub(super) fn attempt(&self, done: &AttemptOutcome) -> Attempt {
        let start = &self.start;
        Attempt {
            at: self.began,
            trigger: start.trigger,
            entry: start.item.entry,
            message_id: Arc::clone(start.item.message.message_id()),
            webhook_id: Arc::clone(&start.webhook_id),
            config: start.config,
            errors: None,
            duration_ms: u32::try_from(done.duration.as_millis()).unwrap_or(u32::MAX),
            error: done.error.clone(),
            request: Request {
                url: Arc::clone(start.to.url()),
                headers: Arc::clone(&done.headers),
                message: Some(start.item.message.raw().clone()),
            },
            response: done.response.clone(),
        }
    }
}

/// The two ends of a POST.
#[derive(Debug, Clone)]
pub(super) enum AttemptEnd {
    /// There is an outcome.
    Done(Arc<AttemptOutcome>),
    /// Our own system could not make it; nothing was attempted.
    Unable(String),
}

/// The outcome of an attempt that our own system could not make and that is not tried again.
pub(super) fn not_made(why: &str) -> AttemptOutcome {
    AttemptOutcome {
        headers: Arc::default(),
        error: Some(AttemptError { kind: ErrorKind::Connect, detail: format!("no connection could be made: {why}") }),
        response: None,
        duration: Duration::ZERO,
        excused: true,
    }
}

/// What a workspace starts from.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) loaded: Loaded,
    /// The status that it is listed with, as far as its last incarnation said so.
    pub(super) listed: Option<WebhookStatus>,
    /// Whether this process is making the test POST that the state says is under way.
    pub(super) test_in_flight: bool,
    /// The mails that are being handed over right now.
    pub(super) mails_begun: Vec<MailId>,
}

/// A message to a workspace. What it is about is in the workspace's account, or is asked for again when nobody answers.
#[derive(Debug)]
pub(super) enum ToWorkspace {
    /// Its account has new entries or ended attempts, or attempts may be possible again.
    Wake,
    /// An operator's command and its entry.
    Command(EntryId, Arc<Command>),
    /// The answer to [`Effect::FindNewest`].
    Newest(EntryId, Option<Newest>),
    /// The `TestStarted` of this command is durable.
    TestDurable(EntryId),
    /// The mail is due: is it still owed?
    MailTurn(MailId),
    /// What the mail server answered.
    MailResult(MailId, MailResult),
    /// Nothing came for a while: leave only the snapshot, and stop.
    Hibernate,
    /// Stop.
    Retire,
}

/// What a workspace was deciding on when it panicked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Suspect {
    Entry(EntryId),
    Command(EntryId),
    /// Something else.
    #[default]
    Nothing,
}

/// What follows from a decision of a workspace, besides what changes in its account.
#[derive(Debug)]
pub(super) enum Effect {
    /// To be committed. A step that holds the `TestStarted` of a command names it: its test waits until that is durable.
    Commit(Box<Step>, Option<EntryId>),
    /// To be attempted now, with its place under the node's cap.
    Post(Arc<Start>, InFlight),
    /// A test wants the workspace's newest message.
    FindNewest(EntryId),
    /// Something could start but for the node's cap or the lease: wake it later.
    Starve,
    /// The answer to [`ToWorkspace::MailTurn`] and [`ToWorkspace::MailResult`].
    Mail(MailId, MailNext),
}

/// What the shard does with a mail next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MailNext {
    /// Hand it over now.
    Send,
    /// Try again later.
    Later,
    /// Try again soon: other mails had the turn.
    Wait,
    /// Nothing: it is not owed any more.
    Over,
}

/// A message to a shard.
pub(super) enum ToShard {
    /// An answer of the store under the acquisition with this number.
    Store(u64, StoreAnswer),
    /// Something was decided: there may be something to commit or to read.
    Work,
    /// The mailer tried to hand a mail over.
    MailSent(WorkspaceId, MailId, MailResult),
    /// A panic has left the shard's core half changed.
    Broken,
    /// The actor's timer has fired.
    Tick,
    /// Start nothing new and release the shard when what is under way has ended.
    Drain,
    /// The drain took too long.
    GiveUp,
    /// The lease is released: stop.
    Released,
}

/// An answer of the store; ignored after a reload.
pub(super) enum StoreAnswer {
    Acquired(Box<Result<(Acquired, HashSet<EntryId>), AcquireError>>),
    Polled(Result<Polled, StoreError>),
    Response(Result<ShardResponse, ShardConnectionError>),
}

impl actix::Message for ToShard {
    type Result = ();
}

impl actix::Message for ToWorkspace {
    type Result = ();
}
