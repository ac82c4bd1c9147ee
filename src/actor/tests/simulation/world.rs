//! Everything around the core of a shard, as slow, as unordered and as broken as it may be.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::store::{Acquisition, SimulatedStore};
use crate::actor::admission::{Admission, InFlight, NodeCap};
use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::{AttemptEnd, FinishedAttempt, Item, Seed, Slot, Start, ToWorkspace};
use crate::actor::shard::core::{ShardAction, ShardCore};
use crate::actor::shard::entry::ShardIdentity;
use crate::actor::shard::intake::Limits;
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::deliver::AttemptOutcome;
use crate::journal::port::{
    AcquireError, LoadError, Loaded, Newest, OwedMail, Poll, Polled, RawEntry, Salvage, ShardConnectionError,
    ShardRequest, StoreError, StoreTrouble,
};
use crate::message::{Chat, EntryId, WorkspaceId};
use crate::workspace::command::{Action as Imperative, Change, Command, Save};
use crate::workspace::decide::MailResult;
use crate::workspace::event::{AttemptError, ErrorKind, MailId};
use crate::workspace::{Policy, Time};

const WORKSPACES: usize = 5;
const CHATS: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(5);
const LEASE: Duration = Duration::from_secs(10);
/// How long everything may take to end once the trouble is over.
const END_MAX: Duration = Duration::from_secs(600);

/// What may go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trouble {
    pub(super) panics: bool,
    pub(super) corruption: bool,
    /// The connection is lost, but no data.
    pub(super) reloads: bool,
    /// The store goes back to an earlier state.
    pub(super) rollbacks: bool,
    /// Somebody else takes the shard.
    pub(super) fences: bool,
    pub(super) unable: bool,
}

/// What waits in the shard's mailbox.
enum ShardMail {
    Acquired(u64, Result<Acquisition, AcquireError>),
    Polled(u64, Result<Polled, StoreError>),
    Committed(u64, u64, Instant),
    Loaded(u64, WorkspaceId, Result<Loaded, LoadError>),
    Newest(u64, WorkspaceId, EntryId, Result<Option<Newest>, LoadError>),
    Salvaged(u64, WorkspaceId, Salvage),
    CaughtUp(u64, Vec<RawEntry>),
    LineFailed(u64, ShardConnectionError),
    Work,
    MailSent(WorkspaceId, MailId, MailResult),
    Tick,
}

/// A workspace's actor: it may run on for a while after the shard has forgotten it.
struct Actor {
    slot: Slot,
    incarnation: u64,
    core: Box<WorkspaceCore>,
    mailbox: VecDeque<ToWorkspace>,
    forgotten: bool,
}

/// A POST under way.
struct Flight {
    start: Arc<Start>,
    chat: (WorkspaceId, Chat),
    in_flight: InFlight,
    began: Time,
    /// It began before the shard was lost.
    stale: bool,
    /// It is the message's first appearance.
    first: bool,
}

pub(super) struct World {
    rng: StdRng,
    trouble: Trouble,
    shard: ShardCore,
    context: Rc<WorkspaceContext>,
    store: SimulatedStore,
    copy: Option<SimulatedStore>,
    last_id: u64,
    mailbox: VecDeque<ShardMail>,
    actors: Vec<Actor>,
    epoch: u64,
    acquiring: Option<(Instant, Vec<EntryId>)>,
    /// The shard has a connection to the store.
    connected: bool,
    calls: VecDeque<ShardRequest>,
    answers: VecDeque<ShardMail>,
    poll: Option<(Poll, Option<Polled>)>,
    flights: Vec<Flight>,
    announced: bool,
    mails: Vec<OwedMail>,
    /// Messages that were attempted and may not be attempted again.
    attempted: HashSet<EntryId>,
    /// Messages that were attempted, skipped or rejected: their next attempt is no first appearance.
    appeared: HashSet<EntryId>,
    /// By workspace and chat the newest message that was attempted.
    reached: HashMap<(WorkspaceId, Chat), EntryId>,
    published: Vec<EntryId>,
    submitted: Vec<EntryId>,
    log: VecDeque<String>,
    was_parked: Vec<String>,
}

thread_local! {
    /// When this thread's present world began: each has a clock that starts at the same time.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

fn clock() -> Time {
    let ms = i64::try_from(BEGAN.get().unwrap().elapsed().as_millis()).unwrap();
    Time::from_unix_ms(1_800_000_000_000 + ms)
}

thread_local! {
    /// After how many more looks at what a workspace decides on it panics.
    static PANICS: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Panics over poison, and when [`PANICS`] says so. Nothing is printed.
fn inspect(item: Option<&Item>) {
    let left = PANICS.get();
    PANICS.set(left.and_then(|left| left.checked_sub(1)));
    let poison = item.is_some_and(|item| item.message.message_id().starts_with("poison"));
    if poison || left == Some(0) {
        std::panic::resume_unwind(Box::new("as the test asked"));
    }
}

fn workspace(n: usize) -> WorkspaceId {
    format!("w{n}").parse().unwrap()
}

impl World {
    pub(super) fn new(rng: StdRng, trouble: Trouble) -> Self {
        BEGAN.set(Some(Instant::now()));
        PANICS.set(None);
        let admission = Admission::new(NodeCap::new(12), TIMEOUT);
        let context = Rc::new(WorkspaceContext {
            policy: Policy { in_flight_max: 4, mail_warning: true, mail_recovered: true, ..Policy::default() },
            clock,
            fresh_secret: Box::new(|| "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()),
            keyring: Arc::default(),
            admission: Rc::clone(&admission),
            inspect,
        });
        let identity = ShardIdentity { shard: 0, shards: 1, prefix: "outbound".into() };
        let limits = Limits { permits: 24, bytes: 1024 * 1024, allowance: 8, share_min: 2, bookmark_every: 4 };
        let mut world = Self {
            rng,
            trouble,
            shard: ShardCore::new(identity, limits, clock, admission, Instant::now()),
            context,
            store: SimulatedStore::default(),
            copy: None,
            last_id: 0,
            mailbox: VecDeque::new(),
            actors: Vec::new(),
            epoch: 0,
            acquiring: None,
            connected: false,
            calls: VecDeque::new(),
            answers: VecDeque::new(),
            poll: None,
            flights: Vec::new(),
            announced: false,
            mails: Vec::new(),
            attempted: HashSet::default(),
            appeared: HashSet::default(),
            reached: HashMap::default(),
            published: Vec::new(),
            submitted: Vec::new(),
            log: VecDeque::new(),
            was_parked: Vec::new(),
        };
        world.work();
        world
    }

    /// One random event.
    pub(super) async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..12 => self.publish(),
            12..14 => {
                let workspace = workspace(self.rng.random_range(0..WORKSPACES));
                self.submit(workspace);
            }
            14..15 => self.make_trouble(),
            _ => self.go_on().await,
        }
    }

    /// No more trouble and nothing new: everything must end.
    pub(super) async fn end(&mut self) {
        self.trouble = Trouble::default();
        self.store.corrupt.clear();
        // A test that another holder's end interrupted is answered when its workspace is loaded next.
        (0..WORKSPACES).for_each(|n| self.submit(workspace(n)));
        let give_up = Instant::now() + END_MAX;
        while !(self.shard.is_settled() && self.store.messages.is_empty() && self.store.commands.is_empty()) {
            if Instant::now() > give_up {
                self.tell();
                let left: Vec<_> = self.store.messages.keys().collect();
                panic!("not all ended: entries {left:?}, commands {:?}", self.store.commands.keys());
            }
            self.go_on().await;
        }
        for entry in &self.published {
            assert!(self.store.outcomes.contains_key(entry), "entry {entry} has no outcome");
        }
        for command in &self.submitted {
            let answers = self.store.answers.get(command).copied().unwrap_or_default();
            assert_eq!(answers, 1, "answers to command {command}");
        }
    }

    pub(super) fn history(&self) -> String {
        self.log.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.log.len() >= 4000 {
            self.log.pop_front();
        }
        let what = format!("{:>9}  {}", clock().unix_ms() - 1_800_000_000_000, what());
        self.log.push_back(what);
    }

    /// One event of those that are due, or time passes.
    async fn go_on(&mut self) {
        let now = Instant::now();
        let mut due: Vec<WorldEvent> = Vec::new();
        if !self.mailbox.is_empty() {
            due.extend([WorldEvent::Mail; 6]);
        }
        due.extend(
            self.actors
                .iter()
                .enumerate()
                .filter(|(_, actor)| !actor.mailbox.is_empty())
                .map(|(n, _)| WorldEvent::Actor(n)),
        );
        if !self.calls.is_empty() {
            due.extend([WorldEvent::Apply; 2]);
        }
        if !self.answers.is_empty() {
            due.extend([WorldEvent::Answer; 2]);
        }
        if self.acquiring.as_ref().is_some_and(|(at, _)| now >= *at) {
            due.push(WorldEvent::Acquire);
        }
        match &self.poll {
            Some((poll, None)) if self.poll_is_served(poll) => due.push(WorldEvent::Read),
            Some((_, Some(_))) => due.push(WorldEvent::Polled),
            _ => {}
        }
        due.extend(self.flights.iter().enumerate().map(|(n, _)| WorldEvent::PostEnds(n)));
        if !self.mails.is_empty() {
            due.push(WorldEvent::MailEnd);
        }
        let wake_at = self.shard.wake_at(now);
        if now >= wake_at || due.is_empty() || self.rng.random_range(0..20) == 0 {
            due.push(WorldEvent::Time);
        }
        let event = due[self.rng.random_range(0..due.len())];
        self.happen(event, wake_at).await;
    }

    fn poll_is_served(&self, poll: &Poll) -> bool {
        let polled = self.store.read(poll);
        poll.block.is_zero() || !polled.messages.is_empty() || !polled.commands.is_empty()
    }

    async fn happen(&mut self, event: WorldEvent, wake_at: Instant) {
        match event {
            WorldEvent::Mail => self.take_mail(),
            WorldEvent::Actor(n) => self.act_in(n),
            WorldEvent::Apply => self.apply_call(),
            WorldEvent::Answer => self.pass_answer(),
            WorldEvent::Acquire => self.acquire(),
            WorldEvent::Read => {
                if let Some((poll, read)) = &mut self.poll {
                    *read = Some(self.store.read(poll));
                }
            }
            WorldEvent::Polled => {
                let polled = self.poll.take().and_then(|(_, polled)| polled).unwrap_or_default();
                self.mailbox.push_back(ShardMail::Polled(self.epoch, Ok(polled)));
            }
            WorldEvent::PostEnds(n) => self.end_post(n),
            WorldEvent::MailEnd => self.end_mail(),
            WorldEvent::Time => self.pass_time(wake_at).await,
        }
    }

    async fn pass_time(&mut self, wake_at: Instant) {
        let now = Instant::now();
        let most = wake_at.saturating_duration_since(now).max(Duration::from_millis(1));
        let some = Duration::from_millis(self.rng.random_range(1..20));
        let acquire = self.acquiring.as_ref().map(|(at, _)| at.saturating_duration_since(now));
        let span = most.min(some).min(acquire.unwrap_or(some)).max(Duration::from_millis(1));
        tokio::time::advance(span).await;
        if now + span >= wake_at {
            self.mailbox.push_back(ShardMail::Tick);
        }
        // A read that blocks ends some time.
        if let Some((poll, read @ None)) = &mut self.poll
            && self.rng.random_range(0..20) == 0
        {
            *read = Some(self.store.read(poll));
        }
    }

    fn publish(&mut self) {
        self.last_id += self.rng.random_range(1..4);
        let id = EntryId { ms: self.last_id, n: 0 };
        let workspace = workspace(self.rng.random_range(0..WORKSPACES));
        let poison = self.trouble.panics && self.rng.random_range(0..60) == 0;
        let chat = self.rng.random_range(0..CHATS);
        let text =
            super::super::bench::message(&format!("+{chat}"), &format!("{}{id}", if poison { "poison" } else { "m" }));
        let text = if self.rng.random_range(0..80) == 0 { "{}".to_owned() } else { text };
        let fields = fields(&[("workspace", workspace.as_str()), ("message", &text)]);
        self.note(|| format!("publish {id} {workspace} chat {chat}{}", if poison { " poison" } else { "" }));
        self.store.messages.insert(id, RawEntry { id, fields });
        self.published.push(id);
    }

    fn submit(&mut self, workspace: WorkspaceId) {
        self.last_id += 1;
        let id = EntryId { ms: self.last_id, n: 0 };
        let save = Save {
            url: Some("http://127.0.0.1:1/".to_owned()),
            enabled: Some(self.rng.random_range(0..4) != 0),
            owner_email: Change::Set("owner@example.com".to_owned()),
            ..Save::default()
        };
        let action = match self.rng.random_range(0..16) {
            0 => Imperative::Forget,
            1..4 => Imperative::Test { save: None },
            4..8 => Imperative::Test { save: Some(save) },
            15 => Imperative::Repair,
            _ => Imperative::Save(save),
        };
        let command = Command {
            at: clock(),
            expires_at: clock().plus(Duration::from_secs(15)),
            by: "test".to_owned(),
            if_match: None,
            action,
        };
        let text = serde_json::to_string(&command).unwrap();
        let fields = fields(&[("workspace", workspace.as_str()), ("command", &text)]);
        self.note(|| format!("submit {id} {workspace}"));
        self.store.commands.insert(id, RawEntry { id, fields });
        self.submitted.push(id);
    }

    fn make_trouble(&mut self) {
        let trouble = self.trouble;
        match self.rng.random_range(0..6) {
            0 if trouble.corruption => {
                let workspace = workspace(self.rng.random_range(0..WORKSPACES));
                if !self.store.corrupt.remove(&workspace) {
                    self.store.corrupt.insert(workspace);
                }
            }
            1 if trouble.reloads && self.connected => {
                self.fail(ShardConnectionError::Failed { shard: 0, detail: "a test".to_owned() })
            }
            2 if trouble.rollbacks => self.copy = Some(self.store.clone()),
            3 if trouble.rollbacks && self.connected => self.roll_back(),
            4 if trouble.fences && self.connected => {
                self.fail(ShardConnectionError::Fenced { shard: 0, by: "another".to_owned() })
            }
            5 if trouble.reloads => {
                if let Some((_, read)) = &mut self.poll {
                    *read = None;
                    self.poll = None;
                    let error = StoreError { trouble: StoreTrouble::Away, what: "a test".to_owned(), source: None };
                    self.mailbox.push_back(ShardMail::Polled(self.epoch, Err(error)));
                }
            }
            _ => {}
        }
    }

    /// The connection is lost. Calls that were not applied never are; answers under way may still come first.
    fn fail(&mut self, error: ShardConnectionError) {
        self.note(|| format!("the connection fails: {error}"));
        self.connected = false;
        self.calls.clear();
        self.answers.push_back(ShardMail::LineFailed(self.epoch, error));
    }

    fn roll_back(&mut self) {
        let Some(copy) = self.copy.clone() else { return };
        let corrupt = std::mem::take(&mut self.store.corrupt);
        self.store = copy;
        self.store.corrupt = corrupt;
        let store = &self.store;
        self.published.retain(|entry| store.messages.contains_key(entry) || store.outcomes.contains_key(entry));
        self.submitted.retain(|id| store.commands.contains_key(id) || store.answers.contains_key(id));
        // What the store gave back may be read and attempted again from now on, before the loss is noticed.
        self.attempted.retain(|entry| self.shard.holds_attempted(*entry) || !store.messages.contains_key(entry));
        if let Some((_, read)) = &mut self.poll {
            *read = None;
        }
        self.fail(ShardConnectionError::Lost { shard: 0, expected: 2, found: 1 });
    }
}

#[derive(Debug, Clone, Copy)]
enum WorldEvent {
    Mail,
    Actor(usize),
    Apply,
    Answer,
    Acquire,
    Read,
    Polled,
    PostEnds(usize),
    MailEnd,
    Time,
}

fn fields(list: &[(&str, &str)]) -> Vec<(Bytes, Bytes)> {
    list.iter().map(|(name, value)| (Bytes::from((*name).to_owned()), Bytes::from((*value).to_owned()))).collect()
}

mod acts;
