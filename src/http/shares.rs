//! Bounds that hold a workspace before they hold the node: what one workspace asks for holds up itself first.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::WorkspaceId;

/// Workspaces remembered before those that use nothing are forgotten.
const REMEMBERED: usize = 1_024;

/// A number of things, of which one workspace has at most a part.
pub(super) struct Shares {
    node: Arc<Semaphore>,
    each: usize,
    by_workspace: Mutex<HashMap<WorkspaceId, Arc<Semaphore>>>,
}

/// So many of them; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    /// `None`: taken for the node itself.
    workspace: Option<OwnedSemaphorePermit>,
    node: OwnedSemaphorePermit,
}

/// None is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoShare {
    /// The workspace has its part.
    ByWorkspace,
    /// All are taken.
    ByNode,
}

impl Shares {
    /// `node` in all, `each` a workspace.
    pub(super) fn new(node: usize, each: usize) -> Self {
        Self { node: Arc::new(Semaphore::new(node)), each, by_workspace: Mutex::default() }
    }

    /// Takes `count` now, for `workspace` or for the node itself.
    pub(super) fn try_take(&self, workspace: Option<&WorkspaceId>, count: u32) -> Result<Share, NoShare> {
        let own = workspace.map(|workspace| self.of(workspace).try_acquire_many_owned(count)).transpose();
        let workspace = own.map_err(|_| NoShare::ByWorkspace)?;
        let node = Arc::clone(&self.node).try_acquire_many_owned(count).map_err(|_| NoShare::ByNode)?;
        Ok(Share { workspace, node })
    }

    /// Takes `count` as soon as they are free; who came first goes first. `None` never comes: no semaphore
    /// is closed.
    pub(super) async fn take(&self, workspace: Option<&WorkspaceId>, count: u32) -> Option<Share> {
        let workspace = match workspace {
            Some(workspace) => Some(self.of(workspace).acquire_many_owned(count).await.ok()?),
            None => None,
        };
        let node = Arc::clone(&self.node).acquire_many_owned(count).await.ok()?;
        Some(Share { workspace, node })
    }

    fn of(&self, workspace: &WorkspaceId) -> Arc<Semaphore> {
        let mut by_workspace = self.by_workspace.lock();
        if let Some(own) = by_workspace.get(workspace) {
            return Arc::clone(own);
        }
        if by_workspace.len() >= REMEMBERED {
            // Whoever holds or waits for a share holds its semaphore too.
            by_workspace.retain(|_, own| Arc::strong_count(own) > 1);
        }
        Arc::clone(by_workspace.entry(workspace.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

impl Share {
    /// Gives back all but `count`.
    pub(super) fn shrink_to(&mut self, count: usize) {
        drop(self.split(self.node.num_permits().saturating_sub(count)));
    }

    /// A share of its own of `count`, or of what is left.
    pub(super) fn split(&mut self, count: usize) -> Self {
        let count = count.min(self.node.num_permits());
        let workspace = self.workspace.as_mut().map(|own| take_of(own, count));
        Self { workspace, node: take_of(&mut self.node, count) }
    }
}

#[expect(clippy::expect_used, reason = "both parts of a share always have the same number, and `split` takes no more")]
fn take_of(permits: &mut OwnedSemaphorePermit, count: usize) -> OwnedSemaphorePermit {
    permits.split(count).expect("no more than there are")
}
