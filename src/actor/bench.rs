//! The cores of a shard and its workspaces without actix and store, for `benches/path`.
//!
//! Public because a bench sees of the crate only what is public, and hidden because nobody else is meant to use it. The
//! bench counts instructions, so it needs what the actors do without what differs from run to run: threads, timers and
//! sockets. The tests' simulation does the same at random and with audits, which would be counted too.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::actor::admission::{Admission, InFlight, NodeCap};
use crate::actor::maps::{HashMap, HashSet};
use crate::actor::protocol::{AttemptEnd, FinishedAttempt, Slot, Start, ToWorkspace};
use crate::actor::shard::core::{ShardAction, ShardCore};
use crate::actor::shard::entry::ShardIdentity;
use crate::actor::shard::intake::Limits;
use crate::actor::shared_shard::attempt;
use crate::actor::workspace::core::{WorkspaceContext, WorkspaceCore};
use crate::config::{IN_FLIGHT_DEFAULT, LEASE_MIN};
use crate::deliver::{AttemptOutcome, Courier};
use crate::journal::port::{Poll, Polled, ShardRequest, ShardResponse};
use crate::sign::Secret;
use crate::workspace::Policy;
use crate::workspace::time::Clock;

/// What a shard asks its store for.
#[derive(Debug)]
pub enum StoreRequest {
    /// A forward read.
    Read(Poll),
    /// Anything else.
    Send(ShardRequest),
}

/// The only shard of a service, held for good, and its workspaces.
pub struct ShardDriver {
    core: ShardCore,
    context: Rc<WorkspaceContext>,
    courier: Courier,
    /// Makes of what became of a POST what counts as its outcome.
    outcome: fn(AttemptOutcome) -> AttemptOutcome,
    workspaces: HashMap<Slot, (u64, Box<WorkspaceCore>)>,
    mailbox: VecDeque<(Slot, ToWorkspace)>,
    posts: Vec<(Arc<Start>, InFlight)>,
    requests: Vec<StoreRequest>,
}

impl ShardDriver {
    /// A shard that was just acquired. What becomes of a POST passes through `outcome` first.
    #[must_use]
    pub fn new(courier: Courier, clock: Clock, outcome: fn(AttemptOutcome) -> AttemptOutcome) -> Self {
        let now = Instant::now();
        let admission = Admission::new(NodeCap::new(IN_FLIGHT_DEFAULT as usize), Duration::ZERO);
        let context = Rc::new(WorkspaceContext {
            policy: Policy::default(),
            clock,
            fresh_secret: Box::new(|| Secret::generate(&mut rand::rng()).expose().into()),
            keyring: Arc::default(),
            admission: Rc::clone(&admission),
        });
        let place = ShardIdentity { shard: 0, shards: 1, prefix: "outbound".into() };
        let mut core = ShardCore::new(place, Limits::default(), clock, admission, now);
        core.next_action(now);
        core.acquired(Vec::new(), None, &HashSet::default(), now + LEASE_MIN, now);
        Self {
            core,
            context,
            courier,
            outcome,
            workspaces: HashMap::default(),
            mailbox: VecDeque::new(),
            posts: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// A read was answered.
    pub fn polled(&mut self, polled: Polled) {
        self.core.polled(polled, Instant::now());
    }

    /// Another request was answered. Those that no message leads to are ignored.
    pub fn answered(&mut self, response: ShardResponse) {
        let now = Instant::now();
        match response {
            ShardResponse::Committed { number, lease_until } => self.core.committed(number, lease_until, now),
            ShardResponse::Loaded(workspace, loaded) => {
                self.core.loaded(&workspace, loaded.map(|loaded| *loaded), now);
            }
            _ => {}
        }
    }

    /// Does everything that there is to do. Returns what it needs of the store to go on.
    pub async fn work(&mut self) -> Vec<StoreRequest> {
        loop {
            let now = Instant::now();
            while let Some(action) = self.core.next_action(now) {
                self.act(action);
            }
            if self.mailbox.is_empty() && self.posts.is_empty() {
                return std::mem::take(&mut self.requests);
            }
            self.decide(now);
            self.post(now).await;
        }
    }

    fn act(&mut self, action: ShardAction) {
        match action {
            ShardAction::Poll(poll) => self.requests.push(StoreRequest::Read(poll)),
            ShardAction::Send(request) => self.requests.push(StoreRequest::Send(request)),
            ShardAction::Activate { slot, incarnation, seed } => {
                let workspace = self.core.begin(slot, incarnation, *seed, &self.context, Instant::now());
                self.workspaces.extend(workspace.map(|workspace| (slot, (incarnation, workspace))));
            }
            ShardAction::Tell(slot, mail) => self.mailbox.push_back((slot, mail)),
            ShardAction::Forget(slot) => drop(self.workspaces.remove(&slot)),
            ShardAction::Post(start, in_flight) => self.posts.push((start, in_flight)),
            // A shard that is held, owes no mail and is not drained does none of these.
            ShardAction::Acquire { .. }
            | ShardAction::SendMail(_)
            | ShardAction::RecallMails
            | ShardAction::Release => {}
        }
    }

    /// Lets the workspaces decide on their mails, and do at once what they decided.
    fn decide(&mut self, now: Instant) {
        for (slot, mail) in std::mem::take(&mut self.mailbox) {
            if let Some((incarnation, workspace)) = self.workspaces.get_mut(&slot) {
                self.core.decide(slot, *incarnation, workspace, mail, now);
            }
            self.act_for_workspaces();
        }
    }

    fn act_for_workspaces(&mut self) {
        while let Some(action) = self.core.next_of_workspaces() {
            self.act(action);
        }
    }

    /// Makes the POSTs that were decided on before.
    async fn post(&mut self, now: Instant) {
        for (start, in_flight) in std::mem::take(&mut self.posts) {
            let began = (self.context.clock)();
            let end = match attempt(&self.courier, &start).await {
                AttemptEnd::Done(done) => AttemptEnd::Done(Arc::new((self.outcome)(Arc::unwrap_or_clone(done)))),
                unable @ AttemptEnd::Unable(_) => unable,
            };
            drop(in_flight);
            self.core.ended(FinishedAttempt { start, began, end }, now);
            self.act_for_workspaces();
        }
    }
}
