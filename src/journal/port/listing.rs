//! The list of the workspaces of which something is remembered.

use crate::message::WorkspaceId;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::state::State;

/// Which workspaces to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those whose ids come after this one.
    pub after: Option<WorkspaceId>,
    /// Only those whose ids begin so.
    pub prefix: String,
    /// Only those with this status.
    pub status: Option<WebhookStatus>,
    /// At most so many.
    pub count: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedWorkspace {
    /// Its id.
    pub workspace: WorkspaceId,
    /// Its state, but for the window and the errors before the last one; `None` when it cannot be read.
    pub state: Option<State>,
}
