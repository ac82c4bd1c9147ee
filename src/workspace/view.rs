//! What the outside sees of a workspace's webhook ([contract, section 4](crate::docs::contract#4-http)).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::configuration::{SubscribedEvent, WebhookStatus};
use super::event::MailState;
use super::headers::{HeaderName, Masked};
use super::outcomes::MinuteOutcomes;
use super::policy::Policy;
use super::state::{State, Summary};
use super::time::Time;
use crate::message::WorkspaceId;

/// The webhook and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Where messages go.
    pub url: Option<Arc<str>>,
    /// Whether they go.
    pub enabled: bool,
    /// Always `new_message`.
    pub event: SubscribedEvent,
    /// Who gets the mail.
    pub owner_email: Option<String>,
    /// The custom headers, without their values.
    #[serde(default)]
    #[schema(value_type = HashMap<String, String>)]
    pub headers: BTreeMap<HeaderName, Masked>,
    /// In one word.
    pub status: WebhookStatus,
    /// Errors in a row.
    pub consecutive_errors: u32,
    /// One more than this many switches it off.
    pub error_limit: u32,
    /// Messages that were not sent while it was off.
    pub skipped: SkippedView,
    /// Messages that wait for their turn now; null where none does, and where another node has the shard.
    #[serde(default)]
    pub waiting: Option<WaitingView>,
    /// The newest attempt.
    pub last_attempt: Option<Summary>,
    /// The mail of the last automatic switch-off.
    pub mail: Option<MailView>,
    /// When it was switched off.
    pub disabled_at: Option<Time>,
    /// When it was last changed.
    pub updated_at: Option<Time>,
}

/// Messages that were not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Skipped)]
pub struct SkippedView {
    /// How many since the last switch-off.
    pub count: u64,
    /// When the first one was.
    pub first_at: Option<Time>,
    /// When the last one was.
    pub last_at: Option<Time>,
}

/// Messages that have waited for their turn for a second or more, as of at most two seconds ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Waiting)]
pub struct WaitingView {
    /// How many.
    pub count: u64,
    /// Whether there may be more, which were not read yet.
    pub at_least: bool,
    /// When the oldest of them came.
    pub oldest_at: Time,
}

/// Says what waits of a workspace, as far as this node knows.
pub type ReadWaiting = Arc<dyn Fn(&WorkspaceId) -> Option<WaitingView> + Send + Sync>;

/// What a node knows without asking the store. It tells the others, so that each of them can show all. Stored as JSON;
/// members may be added, each with a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeGlance {
    /// The node's id.
    pub node: String,
    /// Names its process: another at every start.
    pub process: String,
    /// Where its facade listens.
    pub address: String,
    /// What became of messages in the minutes of the last hour, oldest first; those of shards that it has run meanwhile.
    #[serde(default)]
    pub minutes: Vec<MinuteOutcomes>,
    /// Of which workspaces of its shards messages have waited longest, the longest first; a few.
    #[serde(default)]
    pub longest_waiting: Vec<(WorkspaceId, WaitingView)>,
    /// Whether it does its work.
    #[serde(default)]
    pub ready: bool,
    /// Why not, or what to look at although it does, one sentence each; a few.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Workspaces of its shards that cannot be loaded.
    #[serde(default)]
    pub unavailable_workspaces: u64,
}

/// Says what a node knows.
pub type ReadGlance = Arc<dyn Fn() -> NodeGlance + Send + Sync>;

/// What became of the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Mail)]
pub struct MailView {
    /// In one word.
    pub state: MailState,
    /// Since when.
    pub at: Time,
    /// What the mail server said.
    pub detail: Option<String>,
}

impl SkippedView {
    /// As the outside sees it.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self { count: state.skipped.count, first_at: state.skipped.first_at, last_at: state.skipped.last_at }
    }
}

impl WebhookView {
    /// Shows `state` as the outside sees it. What waits is no part of the state: nothing is said of it.
    #[must_use]
    pub fn new(workspace: &WorkspaceId, state: &State, policy: &Policy) -> Self {
        let webhook = &state.webhook;
        Self {
            workspace: workspace.clone(),
            url: webhook.url.clone(),
            enabled: webhook.enabled,
            event: SubscribedEvent::NewMessage,
            owner_email: webhook.owner_email.clone(),
            headers: webhook.headers.keys().map(|name| (name.clone(), Masked::Value)).collect(),
            status: state.status(),
            consecutive_errors: state.errors,
            error_limit: policy.error_limit,
            skipped: SkippedView::new(state),
            waiting: None,
            last_attempt: state.last_attempt.clone(),
            mail: state.mail.as_ref().map(|mail| MailView {
                state: mail.state,
                at: mail.at,
                detail: mail.detail.clone(),
            }),
            disabled_at: webhook.disabled_at,
            updated_at: webhook.updated_at,
        }
    }
}
