//! The messages between a shard and its workspaces, and all other messages to a shard.

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
use crate::workspace::decide::MailResult;
use crate::workspace::event::{Attempt, AttemptError, ErrorKind, MailId, Request, Trigger};
use crate::workspace::time::Time;

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
    pub(super) workspace: WorkspaceId,
    pub(super) item: Arc<Item>,
    pub(super) to: Arc<Target>,
    pub(super) config: u64,
    pub(super) trigger: Trigger,
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
    /// Attempts that began before this load and have no outcome yet.
    pub(super) attempting: Vec<(EntryId, Chat, u64)>,
    /// Whether this process is making the test POST that the state says is under way.
    pub(super) test_in_flight: bool,
    /// The mails that are being handed over right now.
    pub(super) mails_begun: Vec<MailId>,
}

/// A message from a shard to a workspace.
#[derive(Debug)]
pub(super) enum ToWorkspace {
    /// Messages, in stream order.
    Entries(Vec<Arc<Item>>),
    /// Ends of attempts.
    Outcomes(Vec<FinishedAttempt>),
    /// An operator's command and its entry.
    Command(EntryId, Arc<Command>),
    /// The answer to [`Decided::newest_for`].
    Newest(EntryId, Option<Newest>),
    /// The `TestStarted` of this command is durable.
    TestDurable(EntryId),
    /// Attempts may be possible again.
    Wake,
    /// Give back all un-attempted entries but one window.
    GiveBack,
    /// The mail is due: is it still owed?
    MailTurn(MailId),
    /// What the mail server answered.
    MailResult(MailId, MailResult),
    /// Nothing came for a while: keep only the snapshot until the next mail.
    Hibernate,
    /// Report and stop.
    Retire,
}

impl ToWorkspace {
    /// What may be the cause when handling it panics.
    pub(super) fn suspects(&self) -> Suspects {
        match self {
            Self::Entries(items) => Suspects::one_of(items, |item| item.entry),
            Self::Outcomes(list) => Suspects::one_of(list, |end| end.start.item.entry),
            Self::Command(id, _) | Self::Newest(id, _) | Self::TestDurable(id) => Suspects::Command(*id),
            Self::Wake | Self::GiveBack | Self::MailTurn(_) | Self::MailResult(..) | Self::Hibernate | Self::Retire => {
                Suspects::None
            }
        }
    }
}

/// What a workspace was handling when it panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspects {
    Entry(EntryId),
    Command(EntryId),
    /// Nothing, or one of several entries: the workspace is fed one at a time from then on.
    None,
}

impl Suspects {
    fn one_of<T>(list: &[T], entry: impl FnOnce(&T) -> EntryId) -> Self {
        match list {
            [one] => Self::Entry(entry(one)),
            _ => Self::None,
        }
    }
}

/// What a workspace decided when it was loaded, or on one mail.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// To be committed, in order.
    pub(super) steps: Vec<Step>,
    /// To be attempted now, each with its place under the node's cap.
    pub(super) starts: Vec<(Start, InFlight)>,
    /// The test POST to make now, and the command that asked for it.
    pub(super) test: Option<(EntryId, Start, InFlight)>,
    /// A test wants the workspace's newest message.
    pub(super) newest_for: Option<EntryId>,
    /// A test waits for the commit of its `TestStarted`, the last of `steps`.
    pub(super) test_started: Option<EntryId>,
    /// The answer to [`ToWorkspace::GiveBack`], oldest first.
    pub(super) given_back: Option<Vec<EntryId>>,
    /// Something could start but for the node's cap or the lease: wake it later.
    pub(super) starved: bool,
    /// The answer to [`ToWorkspace::MailTurn`] and [`ToWorkspace::MailResult`].
    pub(super) mail: Option<(MailId, MailNext)>,
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
    /// The report queue is not empty.
    Reports,
    /// The mailer tried to hand a mail over.
    MailSent(WorkspaceId, MailId, MailResult),
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
