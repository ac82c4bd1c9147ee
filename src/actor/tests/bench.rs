//! A running service without a facade, and a receiver that records what it gets.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use support::endpoint::{Arrival, Manner, Receiver};
use support::process::PATIENCE;

use crate::actor::admission::{Admission, NodeCap};
use crate::actor::book::entries::HeldEntries;
use crate::actor::protocol::{Item, Seed, Slot};
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::actor::{Handle, ShardOptions, start};
use crate::app::now;
use crate::config::SourceForm;
use crate::config::network::EgressRules;
use crate::deliver;
use crate::journal::embedded::Embedded;
use crate::journal::format::FORMAT;
use crate::journal::port::{Journal, Loaded, NodeRecord, Reading};
use crate::message::{EntryId, Message, WorkspaceId};
use crate::workspace::command::{Action, Answer, Command, Save};
use crate::workspace::{Policy, State, Time};

/// Panics over messages whose id begins with `poison`.
pub(in crate::actor) fn inspect(item: Option<&Item>) {
    let poison = |item: &Item| item.message.message_id().starts_with("poison");
    assert!(!item.is_some_and(poison), "this message is poison");
}

pub(super) struct Bench {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) handle: Option<Handle>,
    pub(super) options: ShardOptions,
    pub(super) receiver: Receiver,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut ShardOptions)) -> Self {
        let journal: Arc<dyn Journal> = Arc::new(Embedded::in_memory(2, now).unwrap());
        let mut options = ShardOptions {
            journal: Arc::clone(&journal),
            prefix: "outbound".into(),
            mailer: None,
            deliver: deliver::CourierOptions {
                // No attempt ends by it on a machine that is slow for a while.
                timeout: Duration::from_secs(30),
                reach: EgressRules { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressRules::default() },
                clock: now,
                egress: deliver::Egress::default(),
            },
            policy: Policy { mail_server: false, ..Policy::default() },
            in_flight_max: 64,
            node: NodeRecord {
                id: "node".to_owned(),
                process: "first".to_owned(),
                format: FORMAT,
                ..NodeRecord::default()
            },
            sources: Vec::new(),
            source_form: SourceForm::default(),
            lease: Duration::from_secs(60),
            keyring: Arc::default(),
            arbiters: 2,
            clock: now,
        };
        change(&mut options);
        let handle = Some(start(options.clone()).unwrap());
        Self { journal, handle, options, receiver: Receiver::start() }
    }

    pub(super) async fn restart(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.drain().await;
        }
        self.handle = Some(start(self.options.clone()).unwrap());
    }

    pub(super) fn treat(&self, workspace: &str, manner: Manner) {
        self.receiver.treat(workspace, |now| *now = manner);
    }

    pub(super) fn url(&self, workspace: &str) -> String {
        self.receiver.url(workspace)
    }

    pub(super) async fn submit(&self, workspace: &str, action: Action) -> Answer {
        let at = now();
        let wait = PATIENCE;
        let command = Command { at, expires_at: at.plus(wait), by: "tester".to_owned(), if_match: None, action };
        self.journal.submit(&id(workspace), &command, wait).await.unwrap()
    }

    /// Saves the receiver's URL for the workspace.
    pub(super) async fn save(&self, workspace: &str) -> Answer {
        let url = Some(self.url(workspace));
        self.submit(workspace, Action::Save(Save { url, ..Save::default() })).await
    }

    pub(super) async fn publish(&self, workspace: &str, chat: &str, message_id: &str) {
        let text = message(chat, message_id);
        let message = Message::parse(text.into()).unwrap();
        self.journal.publish(&id(workspace), message.raw()).await.unwrap();
    }

    pub(super) fn received(&self, workspace: &str) -> Vec<Arrival> {
        self.receiver.arrivals().into_iter().filter(|one| one.workspace == workspace).collect()
    }

    pub(super) fn message_ids(&self, workspace: &str) -> Vec<String> {
        self.receiver.ids(workspace)
    }

    pub(super) async fn read(&self, workspace: &str) -> Reading {
        self.journal.read(&id(workspace)).await.unwrap()
    }

    /// Waits until the workspace reads as `wanted`, for as long as its state changes.
    pub(super) async fn until(&self, workspace: &str, what: &str, wanted: impl Fn(&Reading) -> bool) -> Reading {
        let (mut before, mut changed) = (None, tokio::time::Instant::now());
        loop {
            let reading = self.read(workspace).await;
            if wanted(&reading) {
                return reading;
            }
            assert!(changed.elapsed() < PATIENCE, "{workspace}: waited in vain until {what}: {:#?}", reading.state);
            if before.as_ref() != Some(&reading.state) {
                (before, changed) = (Some(reading.state), tokio::time::Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until `n` requests of the workspace came.
    pub(super) async fn until_received(&self, workspace: &str, n: usize) {
        let enough = |arrivals: &[Arrival]| arrivals.iter().filter(|one| one.workspace == workspace).count() >= n;
        self.receiver.until(&format!("{n} requests of {workspace} came"), enough).await;
    }
}

pub(super) fn id(workspace: &str) -> WorkspaceId {
    workspace.parse().unwrap()
}

pub(super) fn status(status: u16) -> Manner {
    Manner { status, ..Manner::default() }
}

pub(super) fn message(chat: &str, message_id: &str) -> String {
    format!(
        r#"{{"whatsapp account":{{"phone":"+1"}},"contact":{{"phone":"{chat}"}},"direction":"sent","timestamp":"2021-02-24T06:25:29+0000","message_id":"{message_id}","text":"lorem"}}"#
    )
}

/// A message as it is held in memory.
pub(super) fn item(ms: u64) -> Item {
    let message = Message::parse(message("+1", "m").into()).unwrap();
    Item { entry: EntryId { ms, n: 0 }, message, webhook_id: "msg_0_1-0".into(), origin: None }
}

/// A workspace by itself, whose clock stands still, with its entries.
pub(super) fn workspace_core(state: State, attempted: Vec<EntryId>) -> (WorkspaceCore, HeldEntries) {
    let context = WorkspaceContext {
        policy: Policy::default(),
        clock: || Time::from_unix_ms(1_769_860_800_000),
        fresh_secret: Box::new(|| "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()),
        keyring: Arc::default(),
        admission: Admission::new(NodeCap::new(1), Duration::ZERO),
        inspect: |_| {},
    };
    let loaded = Loaded { state, since_snapshot: 0, attempted };
    let seed = Seed { loaded, listed: None, test_in_flight: false, mails_begun: Vec::new() };
    let mut entries = HeldEntries::new(None);
    let core = WorkspaceCore::new(id("acme"), Slot(0), seed, Rc::new(context), &mut entries);
    (core, entries)
}
