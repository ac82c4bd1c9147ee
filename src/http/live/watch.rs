//! What the live streams of a workspace follow: one task reads for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::{LIVE_POLL, LIVE_RETRY, LIVE_STREAMS_MAX, LIVE_STREAMS_PER_WORKSPACE_MAX};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::reader::StoreReader;
use crate::http::shares::{NoShare, Share, Shares};
use crate::journal::port::Reading;
use crate::message::WorkspaceId;
use crate::workspace::Policy;
use crate::workspace::access::AccessRecord;
use crate::workspace::state::Summary;
use crate::workspace::view::{ReadWaiting, WaitingView, WebhookView};

/// Every open stream of this node, and what is read for them.
pub(in crate::http) struct LiveStreams {
    reader: Arc<StoreReader>,
    policy: Policy,
    waiting: ReadWaiting,
    permits: Shares,
    watched: Arc<WatchedWorkspaces>,
}

/// What was read last of each workspace that has a stream.
type WatchedWorkspaces = Mutex<HashMap<WorkspaceId, Arc<watch::Sender<Arc<WatchedState>>>>>;

impl LiveStreams {
    pub(in crate::http) fn new(reader: Arc<StoreReader>, policy: Policy, waiting: ReadWaiting) -> Self {
        let permits = Shares::new(LIVE_STREAMS_MAX, LIVE_STREAMS_PER_WORKSPACE_MAX);
        Self { reader, policy, waiting, permits, watched: Arc::default() }
    }

    /// The right to one of the [`LIVE_STREAMS_MAX`] streams, held from before its workspace is read.
    pub(super) fn permit(&self, workspace: &WorkspaceId) -> Result<Share, Problem> {
        self.permits.try_take(Some(workspace), 1).map_err(|taken| {
            let (whose, most, helps) = match taken {
                NoShare::ByNode => ("this node", LIVE_STREAMS_MAX, "try again in a while"),
                NoShare::ByWorkspace => ("this workspace", LIVE_STREAMS_PER_WORKSPACE_MAX, "close one of them"),
            };
            let detail = format!("{whose} has {most} live streams open already; {helps}");
            Problem::new(ProblemKind::TooManyStreams, detail)
        })
    }

    /// What is durable of a workspace, as it is followed: read now unless it is watched already.
    pub(super) async fn follow(&self, workspace: &WorkspaceId) -> Result<watch::Receiver<Arc<WatchedState>>, Problem> {
        if let Some(sender) = self.watched.lock().get(workspace) {
            return Ok(sender.subscribe());
        }
        let state = self.read(workspace).await?;
        let mut watched = self.watched.lock();
        if let Some(sender) = watched.get(workspace) {
            return Ok(sender.subscribe());
        }
        let (sender, receiver) = watch::channel(Arc::new(state));
        let sender = Arc::new(sender);
        watched.insert(workspace.clone(), Arc::clone(&sender));
        let watch = Watch {
            reader: Arc::clone(&self.reader),
            policy: self.policy,
            waiting: Arc::clone(&self.waiting),
            watched: Arc::clone(&self.watched),
            workspace: workspace.clone(),
            sender,
        };
        tokio::spawn(watch.run());
        Ok(receiver)
    }

    pub(super) async fn read(&self, workspace: &WorkspaceId) -> Result<WatchedState, Problem> {
        let reading = self.reader.workspace(workspace).await?;
        Ok(WatchedState::new(workspace, &reading, &self.policy).with_waiting((self.waiting)(workspace)))
    }
}

/// Reads one workspace for its streams, until the last of them has ended.
struct Watch {
    reader: Arc<StoreReader>,
    policy: Policy,
    waiting: ReadWaiting,
    watched: Arc<WatchedWorkspaces>,
    workspace: WorkspaceId,
    sender: Arc<watch::Sender<Arc<WatchedState>>>,
}

impl Watch {
    async fn run(self) {
        let (mut failures, mut shown) = (0, None);
        loop {
            let pause = if failures == 0 { LIVE_POLL } else { LIVE_RETRY.after(failures - 1) };
            tokio::time::sleep(pause).await;
            if self.is_over() {
                return;
            }
            // Asked before the reading, so that what moves in between is read the next time.
            let version = self.reader.version(&self.workspace).await;
            if let Ok(version @ Some(_)) = &version
                && *version == shown
            {
                failures = 0;
                self.show_waiting();
                continue;
            }
            let Ok(reading) = self.reader.workspace(&self.workspace).await else {
                failures += 1;
                continue;
            };
            failures = 0;
            shown = version.unwrap_or_default();
            let waiting = (self.waiting)(&self.workspace);
            let state = WatchedState::new(&self.workspace, &reading, &self.policy).with_waiting(waiting);
            self.sender.send_if_modified(|present| {
                let changed = **present != state;
                if changed {
                    *present = Arc::new(state);
                }
                changed
            });
        }
    }

    /// What waits moves though nothing is stored.
    fn show_waiting(&self) {
        let waiting = (self.waiting)(&self.workspace);
        self.sender.send_if_modified(|present| {
            let changed = present.webhook.waiting != waiting;
            if changed {
                *present = Arc::new(WatchedState::clone(present).with_waiting(waiting));
            }
            changed
        });
    }

    /// Nobody listens any more; who comes now gets a watch of his own.
    fn is_over(&self) -> bool {
        let mut watched = self.watched.lock();
        let over = self.sender.receiver_count() == 0;
        if over {
            watched.remove(&self.workspace);
        }
        over
    }
}

impl Drop for Watch {
    /// However it ends, even by a panic: its streams end with it, and who comes next gets a watch of his own.
    fn drop(&mut self) {
        let mut watched = self.watched.lock();
        // Another one may have taken its place by now.
        if watched.get(&self.workspace).is_some_and(|sender| Arc::ptr_eq(sender, &self.sender)) {
            watched.remove(&self.workspace);
        }
    }
}

/// What the streams of a workspace need of a reading: small, so that it may be held for them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WatchedState {
    /// The seq of the last event.
    pub(super) seq: u64,
    /// Oldest first.
    pub(super) attempts: Vec<(u64, Summary)>,
    pub(super) webhook: WebhookView,
    /// Tokens of an earlier generation are revoked.
    pub(super) token_generation: u64,
    /// The tokens and sessions that ended one by one.
    pub(super) access: Arc<AccessRecord>,
}

impl WatchedState {
    fn with_waiting(mut self, waiting: Option<WaitingView>) -> Self {
        self.webhook.waiting = waiting;
        self
    }

    pub(super) fn new(workspace: &WorkspaceId, reading: &Reading, policy: &Policy) -> Self {
        let attempts = reading.attempts.iter().rev();
        Self {
            seq: reading.state.seq,
            attempts: attempts.map(|(seq, attempt)| (*seq, Summary::new(*seq, attempt))).collect(),
            webhook: WebhookView::new(workspace, &reading.state, policy),
            token_generation: reading.state.token_generation,
            access: Arc::new(reading.state.access.clone()),
        }
    }
}
