//! What the facade is made of, and what its handlers share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::access::Access;
use super::auth::failures::Failures;
use super::live::watch::LiveStreams;
use super::places::RequestPlaces;
use super::problem::{Problem, ProblemKind};
use super::reader::StoreReader;
use super::screen::operator::summaries::Summaries;
use super::sending::Sending;
use super::shares::Shares;
use crate::config::{
    COMMANDS_PER_WORKSPACE, PUBLISHED_BODIES_AT_ONCE, PUBLISHED_BODIES_PER_WORKSPACE, REQUESTS_AT_ONCE,
};
use crate::deliver::Guard;
use crate::journal::port::{Journal, NodeRole, SubmitError};
use crate::message::WorkspaceId;
use crate::seal::Keyring;
use crate::workspace::command::{Action, Answer, Command, NoAttempt, Refusal};
use crate::workspace::decide::MailResult;
use crate::workspace::history;
use crate::workspace::state::Summary;
use crate::workspace::time::Clock;
use crate::workspace::view::{ReadGlance, ReadWaiting, WebhookView};
use crate::workspace::{Policy, State};

/// What the facade is made of.
pub struct Facade {
    /// Takes commands and messages, and is read.
    pub journal: Arc<dyn Journal>,
    /// What opens it.
    pub access: Access,
    /// The rules' numbers, as far as they are shown.
    pub policy: Policy,
    /// Says which URLs may be saved. Names are checked at each attempt, by the courier.
    pub guard: Guard,
    /// How long a command's answer is waited for: [`crate::config::Config::answer_wait`].
    pub answer_wait: Duration,
    /// An attempt's deadline: a test's answer is waited for this much longer.
    pub timeout: Duration,
    /// Seals what is confidential in a command, and opens what is read.
    pub keyring: Arc<Keyring>,
    /// Reads the wall clock.
    pub clock: Clock,
    /// Makes a random id.
    pub fresh_id: fn() -> Uuid,
    /// Asked by `/readyz`.
    pub readiness: ReadReadiness,
    /// Says what waits of a workspace, as far as this node knows.
    pub waiting: ReadWaiting,
    /// Says what this node knows without asking the store.
    pub glance: ReadGlance,
    /// Sends a test mail; without a mail server there is none.
    pub test_mail: Option<SendTestMail>,
}

/// Sends a test mail of a workspace to an address; the webhook's URL stands in it. Once the mail server is ready for it, the future
/// that it is given says whether it may be sent.
pub type SendTestMail = Arc<
    dyn for<'a> Fn(WorkspaceId, String, Option<String>, BoxFuture<'a, bool>) -> BoxFuture<'a, MailResult> + Send + Sync,
>;

/// Says whether this node does its work.
pub type ReadReadiness = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Whether this node does its work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether every shard assigned to this node is owned and loaded.
    pub ready: bool,
    /// Why not, one sentence each; or what an operator should look at although it is.
    pub reasons: Vec<String>,
    /// The one of the reasons that the screen shows: what other clocks say of this machine's.
    #[serde(skip)]
    pub clock: Option<String>,
    /// Workspaces that cannot be loaded. They do not make the node unready; the log names them.
    pub unavailable_workspaces: u64,
    /// Entries that this node has set aside since it started, by what was wrong with them.
    pub rejected_reasons: BTreeMap<String, u64>,
    /// What this node does.
    pub role: NodeRole,
    /// Which shards it is to run, and which it runs.
    pub shards: NodeShards,
}

/// The shards of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeShards {
    /// Those that it is to run and that no other node holds.
    pub assigned: Vec<u16>,
    /// Those that it runs.
    pub held: Vec<u16>,
}

/// What the handlers share.
pub(super) struct FacadeState {
    pub(super) facade: Facade,
    pub(super) reader: Arc<StoreReader>,
    pub(super) failures: Failures,
    pub(super) live: LiveStreams,
    pub(super) places: RequestPlaces,
    pub(super) sending: Sending,
    pub(super) summaries: Summaries,
    /// Commands that wait for their answers.
    commands: Shares,
    /// Bodies of many messages that are taken in.
    pub(super) bodies: Shares,
    /// What `/openapi.json` answers.
    pub(super) description: Bytes,
}

/// A command that was applied.
pub(super) struct Applied {
    pub(super) webhook: Box<WebhookView>,
    pub(super) attempt: Option<Box<Summary>>,
    pub(super) reason: Option<NoAttempt>,
    /// What a repair could not keep, a sentence each.
    pub(super) lost: Vec<String>,
}

impl FacadeState {
    pub(super) fn new(facade: Facade, description: Bytes) -> Self {
        let reader = Arc::new(StoreReader::new(Arc::clone(&facade.journal), Arc::clone(&facade.keyring)));
        let live = LiveStreams::new(Arc::clone(&reader), facade.policy, Arc::clone(&facade.waiting));
        let commands = Shares::new(REQUESTS_AT_ONCE, COMMANDS_PER_WORKSPACE);
        let bodies = Shares::new(PUBLISHED_BODIES_AT_ONCE, PUBLISHED_BODIES_PER_WORKSPACE);
        let (places, sending) = (RequestPlaces::new(), Sending::new());
        Self {
            facade,
            reader,
            failures: Failures::default(),
            live,
            places,
            sending,
            summaries: Summaries::default(),
            commands,
            bodies,
            description,
        }
    }

    /// Submits `action` and waits for its answer: [`Facade::answer_wait`], and for a test as much longer
    /// as an attempt may take. A test that is not sent by then is not sent at all. `by` is what the
    /// change history calls the caller.
    pub(super) async fn submit(&self, workspace: &WorkspaceId, by: &str, action: Action) -> Result<Applied, Problem> {
        self.submit_if(workspace, by, None, action).await
    }

    /// The same, applied only while the webhook is at one of the revisions `if_match`.
    pub(super) async fn submit_if(
        &self,
        workspace: &WorkspaceId,
        by: &str,
        if_match: Option<Vec<u64>>,
        action: Action,
    ) -> Result<Applied, Problem> {
        if action.is_confidential() && !self.facade.keyring.may_write() {
            return Err(Refusal::NoSecretKey.into());
        }
        let Ok(_share) = self.commands.try_take(Some(workspace), 1) else {
            let detail =
                format!("{COMMANDS_PER_WORKSPACE} commands of this workspace wait; try again in a few seconds");
            return Err(Problem::new(ProblemKind::TooManyCommands, detail));
        };
        let facade = &self.facade;
        let wait = match action {
            Action::Test { .. } | Action::Sample | Action::Again(_) => facade.answer_wait + facade.timeout,
            _ => facade.answer_wait,
        };
        let at = (facade.clock)();
        let seen = if_match.iter().flatten().max().copied();
        let mut command = Command { at, expires_at: at.plus(wait), by: by.to_owned(), if_match, action };
        facade.keyring.seal(workspace, &mut command);
        match facade.journal.submit(workspace, &command, wait).await {
            // Our own wait may end a moment after the shard's, whose clock is another: the caller is told
            // the same as when it ends a moment earlier. Section 4 of src/docs/contract.md has no other reason.
            Ok(Answer::Done { reason: Some(NoAttempt::Expired), .. }) => Err(SubmitError::OutcomeUnknown.into()),
            Ok(Answer::Done { mut webhook, attempt, reason }) => {
                webhook.waiting = (facade.waiting)(workspace);
                Ok(Applied { webhook, attempt, reason, lost: Vec::new() })
            }
            Ok(Answer::Repaired { webhook, lost }) => Ok(Applied { webhook, attempt: None, reason: None, lost }),
            Ok(Answer::Refused { refusal: Refusal::ChangedMeanwhile }) => {
                Err(self.changed_meanwhile(workspace, seen).await)
            }
            Ok(Answer::Refused { refusal }) => Err(refusal.into()),
            Err(error) => Err(SubmitError::into(error)),
        }
    }

    /// What is shown of a workspace in `state`.
    pub(super) fn view(&self, workspace: &WorkspaceId, state: &State) -> WebhookView {
        let waiting = (self.facade.waiting)(workspace);
        WebhookView { waiting, ..WebhookView::new(workspace, state, &self.facade.policy) }
    }

    /// Somebody saved after the revision `seen`: who, what and when, as far as the history can be read.
    async fn changed_meanwhile(&self, workspace: &WorkspaceId, seen: Option<u64>) -> Problem {
        let changes = self.reader.history(workspace).await.map(|events| history::changes(&events)).unwrap_or_default();
        // Who names no revision of ours is told of the last change.
        let newest = || changes.first().and_then(|last| last.id.parse::<u64>().ok()).unwrap_or(0);
        let since = seen.unwrap_or_else(|| newest().saturating_sub(1));
        Problem::changed_meanwhile(changes, since)
    }
}
