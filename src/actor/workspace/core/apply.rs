//! What a decided event does: it changes the state, is logged and sealed, and becomes part of a step to be committed.

use bytes::Bytes;
use tracing::{info, warn};
use url::Url;

use super::WorkspaceCore;
use crate::config::SNAPSHOT_EVERY;
use crate::journal::codec;
use crate::journal::port::{COMMIT_EVENTS_MAX, OwedMail, Step, StoredEvent};
use crate::message::WorkspaceId;
use crate::seal::Keyring;
use crate::workspace::State;
use crate::workspace::event::{Event, MailId, MailKind, MailState};
use crate::workspace::outcomes::Outcomes;
use crate::workspace::time::Time;

impl WorkspaceCore {
    /// Applies events to the state and encodes them for the journal. The snapshot is written
    /// with everything but attempts, and with the [`SNAPSHOT_EVERY`]th attempt since the last one; and
    /// with a journal's first event, whatever it is: after a store that went back behind the first save
    /// that is the attempt of before, and nobody replays from the middle.
    pub(super) fn apply(&mut self, events: Vec<Event>) -> Step {
        debug_assert!(events.len() <= COMMIT_EVENTS_MAX);
        let mut step = self.empty_step();
        let mut due = self.state.seq == 0 && !events.is_empty();
        for mut event in events {
            self.state.evolve(&event);
            log_event(&self.id, &event);
            step.outcomes += Outcomes::of(&event);
            self.context.keyring.seal(&self.id, &mut event);
            let stored =
                codec::encode_event(self.state.seq, &event).map(|json| StoredEvent { seq: self.state.seq, json });
            if event.attempt().is_some() {
                self.since_snapshot += 1;
                due |= self.since_snapshot >= SNAPSHOT_EVERY;
                step.attempts.extend(stored);
            } else {
                due = true;
                step.history.extend(stored);
            }
            match &event {
                Event::WebhookDisabled(disabled) if disabled.mail == MailState::Owed => {
                    step.mails_owed.extend(self.owed_mail(MailKind::Disabled, None, None));
                }
                Event::MailOwed(owed) => {
                    let mail = self.owed_mail(owed.kind, owed.off_since, owed.replaced.as_ref());
                    step.mails_owed.extend(mail);
                }
                Event::OwnerNotified(ended) | Event::MailGivenUp(ended) | Event::MailDropped(ended) => {
                    step.mails_ended.push(ended.mail);
                }
                Event::Forgotten(_) => step.forget = true,
                Event::LogDropped(_) => step.drop_log = true,
                _ => {}
            }
        }
        if due {
            // Of one that was never seen not even a snapshot stays.
            let is_never_seen = step.forget && self.state == State::default();
            step.snapshot = (!is_never_seen).then(|| sealed_snapshot(&self.context.keyring, &self.id, &self.state));
            self.since_snapshot = 0;
            self.list(&mut step);
        }
        step
    }

    /// Says with which status the workspace is listed, when that is another; one that is forgotten is not listed.
    fn list(&mut self, step: &mut Step) {
        let status = (!step.forget).then(|| self.state.status());
        if status != self.listed {
            self.listed = status;
            step.listed = status;
        }
    }

    /// The mail of that kind that the event just applied owes.
    fn owed_mail(
        &self,
        kind: MailKind,
        off_since: Option<Time>,
        replaced: Option<&(String, String)>,
    ) -> Option<OwedMail> {
        let state = &self.state;
        let mail = state.mail(kind)?;
        let left = self.context.policy.errors_left(state.errors);
        Some(OwedMail {
            workspace: self.id.clone(),
            id: MailId { owed_by: mail.owed_by, kind },
            at: mail.at,
            to: replaced.map(|(owner, _)| owner).or(state.webhook.owner_email.as_ref())?.clone(),
            url: state.webhook.url.as_deref().unwrap_or_default().to_owned(),
            errors: state.errors,
            failing_since: off_since.or(state.failing_since).unwrap_or(mail.at),
            recent: state.recent_errors.clone(),
            errors_left: (kind == MailKind::Warning).then_some(left),
            skipped: (kind == MailKind::Recovered).then_some(state.skipped.count),
            by: replaced.map(|(_, by)| by.clone()),
        })
    }
}

/// The snapshot, sealed.
fn sealed_snapshot(keyring: &Keyring, workspace: &WorkspaceId, state: &State) -> Bytes {
    if keyring.sealing().is_none() {
        return codec::encode_snapshot(state);
    }
    let mut state = state.clone();
    keyring.seal(workspace, &mut state.webhook);
    codec::encode_snapshot(&state)
}

/// Logs an event that was decided, if it is one of those. Of a URL the host is named, no more: the rest may hold secrets.
fn log_event(workspace: &WorkspaceId, event: &Event) {
    match event {
        Event::WebhookSaved(saved) => {
            let url = saved.url.as_deref().and_then(|url| Url::parse(url).ok());
            let host = url.as_ref().and_then(Url::host_str);
            info!(%workspace, by = saved.by, enabled = saved.enabled, host, "A webhook was saved.");
        }
        Event::SecretRotated(rotated) => info!(%workspace, by = rotated.by, "A signing secret was rotated."),
        Event::TokensRevoked(revoked) => info!(%workspace, by = revoked.by, "The tokens of a workspace were revoked."),
        Event::SecretViewed(view) => info!(%workspace, by = view.by, "A signing secret was looked at."),
        Event::TestMailTaken(taken) => info!(%workspace, by = taken.by, "A test mail was asked for."),
        Event::TokenMade(token) => {
            let (id, subject, expires_at) = (&token.id, &token.subject, token.expires_at);
            info!(%workspace, by = token.by, id, subject, %expires_at, "A token was made.");
        }
        Event::TokenEnded(ended) => info!(%workspace, by = ended.by, id = ended.id, "A token was ended."),
        Event::SessionEnded(ended) => info!(%workspace, id = ended.id, "A session was ended."),
        Event::WebhookDisabled(disabled) => {
            let (errors, mail) = (disabled.errors, disabled.mail);
            warn!(%workspace, errors, ?mail, "A webhook was switched off by errors.");
        }
        Event::OwnerNotified(ended) => {
            info!(%workspace, kind = ?ended.mail.kind, "The owner of a webhook was told by mail.");
        }
        Event::MailDropped(ended) => {
            info!(%workspace, kind = ?ended.mail.kind, detail = ended.detail, "A mail was dropped.");
        }
        Event::MailDeferred(ended) => {
            let (kind, detail) = (ended.mail.kind, &ended.detail);
            warn!(%workspace, ?kind, detail, "A mail could not be handed over; it is tried again.");
        }
        Event::MailGivenUp(ended) => {
            warn!(%workspace, kind = ?ended.mail.kind, detail = ended.detail, "A mail was given up.");
        }
        Event::MessagesDiscarded(discarded) => {
            info!(%workspace, by = discarded.by, "What waited for a workspace was discarded.");
        }
        Event::Forgotten(forgotten) => info!(%workspace, by = forgotten.by, "A workspace was forgotten."),
        Event::LogDropped(_) => {
            info!(%workspace, "The log of a workspace was dropped: it is older than --log-max-age.")
        }
        Event::AttemptDelivered(_)
        | Event::AttemptFailed(_)
        | Event::MessagesSkipped(_)
        | Event::TestStarted(_)
        | Event::TestDropped(_)
        | Event::MailOwed(_) => {}
    }
}
