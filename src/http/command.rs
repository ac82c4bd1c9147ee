//! Submitting a command and saying what became of it.

use super::Shared;
use super::auth::Scope;
use super::problem::Problem;
use crate::journal::port::SubmitError;
use crate::workspace::command::{Action, Answer, Command, NoAttempt};
use crate::workspace::state::Summary;
use crate::workspace::view::WebhookView;

/// A command that was applied.
pub(super) struct Applied {
    pub(super) webhook: Box<WebhookView>,
    pub(super) attempt: Option<Box<Summary>>,
    pub(super) reason: Option<NoAttempt>,
}

impl Shared {
    /// Submits `action` and waits for its answer: [`super::Facade::answer_wait`], and for a test as much
    /// longer as an attempt may take. A test that is not sent by then is not sent at all.
    pub(super) async fn submit(&self, scope: &Scope, action: Action) -> Result<Applied, Problem> {
        let facade = &self.facade;
        let wait = match action {
            Action::Save(_) | Action::RotateSecret | Action::RevokeTokens | Action::Forget => facade.answer_wait,
            Action::Test { .. } => facade.answer_wait + facade.timeout,
        };
        let at = (facade.clock)();
        let by = scope.caller.subject().to_owned();
        let mut command = Command { at, expires_at: at.plus(wait), by, action };
        facade.keyring.seal(&scope.workspace, &mut command);
        match facade.journal.submit(&scope.workspace, &command, wait).await {
            // Our own wait may end a moment after the shard's, whose clock is another: the caller is told
            // the same as when it ends a moment earlier. section 4 of src/docs/contract.md has no other reason for it.
            Ok(Answer::Done { reason: Some(NoAttempt::Expired), .. }) => Err(SubmitError::OutcomeUnknown.into()),
            Ok(Answer::Done { webhook, attempt, reason }) => Ok(Applied { webhook, attempt, reason }),
            Ok(Answer::Refused { refusal }) => Err(refusal.into()),
            Err(error) => Err(SubmitError::into(error)),
        }
    }
}
