//! One line for each change of a workspace that an operator cares about, and none for a message.

use tracing::{info, warn};

use crate::message::WorkspaceId;
use crate::workspace::Event;

/// Logs an event that was decided, if it is one of those. URLs and addresses stay out: they may hold secrets.
pub(super) fn tell(workspace: &WorkspaceId, event: &Event) {
    match event {
        Event::WebhookSaved(saved) => {
            let has_url = saved.url.is_some();
            info!(%workspace, by = saved.by, enabled = saved.enabled, has_url, "A webhook was saved.");
        }
        Event::SecretRotated(rotated) => info!(%workspace, by = rotated.by, "A signing secret was rotated."),
        Event::TokensRevoked(revoked) => info!(%workspace, by = revoked.by, "The tokens of a workspace were revoked."),
        Event::WebhookDisabled(disabled) => {
            let (errors, mail) = (disabled.errors, disabled.mail);
            info!(%workspace, errors, ?mail, "A webhook was switched off by errors.");
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
        Event::Forgotten(forgotten) => info!(%workspace, by = forgotten.by, "A workspace was forgotten."),
        Event::AttemptDelivered(_)
        | Event::AttemptFailed(_)
        | Event::MessagesSkipped(_)
        | Event::TestStarted(_)
        | Event::TestDropped(_)
        | Event::MailOwed(_) => {}
    }
}
