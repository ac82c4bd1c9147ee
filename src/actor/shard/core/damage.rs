//! Commands that a workspace is given although its journal contradicts itself: it is forgotten, or what can be read of
//! it is kept. Its actor decides neither, for there may be none.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{ShardAction, ShardCore};
use crate::actor::book::account::Phase;
use crate::actor::protocol::Slot;
use crate::journal::codec;
use crate::journal::port::{LoadError, Loaded, Salvage, ShardRequest, Step};
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::Policy;
use crate::workspace::command::{Action, Answer, Command, NoAttempt, Refusal};
use crate::workspace::state::State;
use crate::workspace::view::WebhookView;

impl ShardCore {
    /// A repair works on what is stored: an actor goes, as after a panic, and comes again with what is stored then.
    pub(super) fn begin_repair(&mut self, slot: Slot, now: Instant) {
        let Some(account) = self.book.get_mut(slot) else { return };
        account.use_at(now);
        match account.phase {
            Phase::Loading => return,
            Phase::Active | Phase::Retiring => {
                account.lose_actor();
                self.actions.push_back(ShardAction::Forget(slot));
                self.park_whole(slot, now);
            }
            Phase::Passive => account.hibernated = None,
        }
        self.load(slot);
    }

    /// Whether what was loaded, or could not be, is to be forgotten or repaired: then whatever can be read is asked for.
    /// What was asked of a damaged workspace before that is refused.
    pub(super) fn begins_anew(
        &mut self,
        slot: Slot,
        workspace: &WorkspaceId,
        loaded: &Result<Loaded, LoadError>,
        now: Instant,
    ) -> bool {
        let Some((id, command)) = self.anew_command(slot) else { return false };
        let is_repair = matches!(command.action, Action::Repair);
        match loaded {
            Ok(_) if !is_repair => return false,
            // What is sealed or of a newer program is whole.
            Err(LoadError::Sealed { .. } | LoadError::UnknownVersion { .. }) if is_repair => return false,
            Ok(_) => {}
            Err(_) => {
                let before = self.undecided_commands(slot).into_iter().take_while(|(other, _)| *other < id);
                for (id, _) in before.collect::<Vec<_>>() {
                    self.refuse(slot, id, Refusal::WorkspaceUnavailable, now);
                }
            }
        }
        self.committer.ask(ShardRequest::Salvage(workspace.clone()));
        true
    }

    /// The oldest undecided command that begins the workspace anew.
    fn anew_command(&self, slot: Slot) -> Option<(EntryId, Arc<Command>)> {
        let is_anew = |command: &Command| matches!(command.action, Action::Forget | Action::Repair);
        self.undecided_commands(slot).into_iter().find(|(_, command)| is_anew(command))
    }

    /// What can be read of a workspace was read.
    pub(in crate::actor) fn salvaged(
        &mut self,
        workspace: &WorkspaceId,
        mut salvage: Salvage,
        policy: &Policy,
        now: Instant,
    ) {
        if salvage.tokens_unknown {
            // Every revocation took a seq, and none that was counted from there is as high as the time.
            let time = u64::try_from((self.clock)().unix_seconds()).unwrap_or_default();
            salvage.state.token_generation = time.max(salvage.state.seq + 1);
        }
        let Some(slot) = self.book.find(workspace.as_str()) else { return };
        if let Some((id, command)) = self.anew_command(slot) {
            let step = if matches!(command.action, Action::Repair) {
                self.repaired(workspace, salvage, policy, id)
            } else {
                let test = salvage.state.test.as_ref().map(|test| test.command);
                let state = State { forgotten: salvage.state.seq, ..salvage.state.emptied() };
                info!(%workspace, by = command.by, "A workspace was forgotten that could not be loaded.");
                let webhook = Box::new(WebhookView::new(workspace, &state, policy));
                let done = |reason| Answer::Done { webhook: webhook.clone(), attempt: None, reason };
                // The caller of a test that goes with the state is told at once.
                let mut answers: Vec<_> =
                    test.map(|test| (test, done(Some(NoAttempt::Forgotten)))).into_iter().collect();
                answers.push((id, done(None)));
                Step { answers, ..anew(workspace, &state) }
            };
            self.push_step(Some(slot), Step { settled_commands: vec![id], ..step }.into(), None, now);
        }
        // Behind that commit.
        self.load(slot);
    }

    fn repaired(&self, workspace: &WorkspaceId, salvage: Salvage, policy: &Policy, id: EntryId) -> Step {
        let Salvage { mut state, attempts, history, newest, lost, tokens_unknown: _ } = salvage;
        let step = if lost.is_empty() {
            Step { workspace: Some(workspace.clone()), ..Step::default() }
        } else {
            warn!(%workspace, lost = lost.join("; "), "A workspace was repaired: what could be read of it is kept.");
            state.drop_owed_mails((self.clock)(), "the workspace was repaired before the mail was sent");
            Step { listed: Some(state.status()), attempts, history, last_skipped: newest, ..anew(workspace, &state) }
        };
        let webhook = Box::new(WebhookView::new(workspace, &state, policy));
        Step { answers: vec![(id, Answer::Repaired { webhook, lost })], ..step }
    }
}

/// The step with which a workspace begins anew in that state, whatever is stored of it.
fn anew(workspace: &WorkspaceId, state: &State) -> Step {
    let snapshot = Some(codec::encode_snapshot(state));
    Step { workspace: Some(workspace.clone()), forget: true, anew: Some(state.seq), snapshot, ..Step::default() }
}
