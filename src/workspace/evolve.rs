//! Applies events to the state. Total: no error, no wildcard arm, no clock.
#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use super::event::{
    Attempt, Event, MailEnded, MailId, MailKind, MailState, MessagesSkipped, SecretRotated, TestStarted,
    WebhookDisabled, WebhookSaved,
};
use super::policy::{MAILS_PER_DAY_MAX, TEST_MAILS_PER_DAY_MAX};
use super::state::{Mail, PreviousSecret, RECENT_ERRORS_MAX, RecentError, Skipped, State, Summary, Webhook};
use super::time::Time;

impl State {
    /// Takes one event in. A sequenced event moves `seq` by one, so that afterwards `seq` is its seq.
    pub fn evolve(&mut self, event: &Event) {
        if event.is_sequenced() {
            self.seq += 1;
        }
        match event {
            Event::AttemptDelivered(attempt) | Event::AttemptFailed(attempt) => self.attempted(attempt),
            Event::WebhookSaved(saved) => self.saved(saved),
            Event::SecretRotated(rotated) => self.webhook.rotated(rotated),
            Event::TokensRevoked(revoked) => {
                self.token_generation = self.token_generation.saturating_add(1);
                self.access.all_ended(revoked.at, &revoked.by);
            }
            Event::SecretViewed(view) => self.access.viewed(view),
            Event::TestMailTaken(taken) => {
                if self.test_mails.len() >= TEST_MAILS_PER_DAY_MAX {
                    self.test_mails.remove(0);
                }
                self.test_mails.push(taken.at);
            }
            Event::TokenMade(token) => self.access.token_made(token),
            Event::TokenEnded(ended) => self.access.token_ended(ended),
            Event::SessionEnded(ended) => self.access.session_ended(ended),
            Event::WebhookDisabled(disabled) => self.disabled(disabled),
            Event::OwnerNotified(ended) => self.mail_ended(ended, MailState::Sent),
            Event::MailGivenUp(ended) => self.mail_ended(ended, MailState::GivenUp),
            Event::MailDropped(ended) => self.mail_ended(ended, MailState::Dropped),
            Event::MailOwed(owed) => self.mail_owed(owed.kind, MailState::Owed, owed.at),
            Event::MailDeferred(ended) => self.mail_deferred(ended),
            Event::MessagesSkipped(skipped) => self.skipped.add(skipped),
            Event::MessagesDiscarded(discarded) => self.discarded = self.discarded.max(Some(discarded.up_to)),
            Event::TestStarted(started) => self.test = Some(TestStarted::clone(started).into()),
            Event::TestDropped(dropped) => {
                self.test.take_if(|test| test.command == dropped.command);
            }
            Event::Forgotten(_) => *self = self.emptied(),
            Event::LogDropped(_) => (self.last_attempt, self.skipped.newest) = (None, None),
        }
    }

    fn attempted(&mut self, attempt: &Attempt) {
        self.last_attempt = Some(Summary::new(self.seq, attempt));
        if attempt.trigger.is_asked_for() {
            self.test = None;
            if attempt.error.as_ref().is_none_or(|error| error.kind.endpoint_contacted()) {
                self.tested_at = Some(attempt.at);
            }
        }
        let Some(errors) = attempt.errors else { return };
        self.errors = errors;
        if attempt.error.is_none() {
            self.recovering = None;
        }
        match &attempt.error {
            Some(error) => {
                self.failing_since.get_or_insert(attempt.at);
                if self.recent_errors.len() >= RECENT_ERRORS_MAX {
                    self.recent_errors.remove(0);
                }
                self.recent_errors.push(RecentError {
                    at: attempt.at,
                    message_id: Arc::clone(&attempt.message_id),
                    kind: error.kind,
                    detail: error.detail.clone(),
                });
            }
            None if errors == 0 => self.end_streak(),
            None => {}
        }
    }

    fn saved(&mut self, saved: &WebhookSaved) {
        if self.webhook.enabled && !saved.enabled {
            self.skipped.restart();
        }
        if self.webhook.disabled_by_errors {
            self.recovering = self.webhook.disabled_at;
        }
        let off_since = self.webhook.disabled_at.unwrap_or(saved.at);
        let before = &self.webhook;
        let is_same = before.secret.is_some()
            && (before.url == saved.url && before.enabled == saved.enabled)
            && (before.owner_email == saved.owner_email && saved.changed_headers.is_empty());
        let changed_by = is_same.then(|| before.revision());
        self.webhook = Webhook {
            url: saved.url.clone(),
            enabled: saved.enabled,
            owner_email: saved.owner_email.clone(),
            secret: Some(saved.secret.clone()),
            previous_secret: self.webhook.valid_previous_secret(saved.at).cloned(),
            headers: saved.headers.clone(),
            config: self.seq,
            changed_by,
            disabled_by_errors: false,
            disabled_at: (!saved.enabled).then_some(off_since),
            updated_at: Some(saved.at),
        };
        self.errors = 0;
        self.end_streak();
    }

    fn disabled(&mut self, disabled: &WebhookDisabled) {
        self.skipped.restart();
        self.webhook.enabled = false;
        self.webhook.disabled_by_errors = true;
        self.webhook.disabled_at = Some(disabled.at);
        self.webhook.updated_at = Some(disabled.at);
        self.mail_owed(MailKind::Disabled, disabled.mail, disabled.at);
    }

    fn mail_owed(&mut self, kind: MailKind, state: MailState, at: Time) {
        *self.mail_mut(kind) = Some(Mail { owed_by: self.seq, state, at, detail: None });
        // Those to an owner who was replaced have a bound of their own.
        if state == MailState::Owed && kind != MailKind::Replaced {
            if self.mails.len() >= MAILS_PER_DAY_MAX {
                self.mails.remove(0);
            }
            self.mails.push(at);
        }
    }

    /// A mail of an earlier streak may end after a later one became owed: then it is only history.
    fn mail_of(&mut self, id: MailId) -> Option<&mut Mail> {
        self.mail_mut(id.kind).as_mut().filter(|mail| mail.owed_by == id.owed_by)
    }

    fn mail_ended(&mut self, ended: &MailEnded, state: MailState) {
        let Some(mail) = self.mail_of(ended.mail) else { return };
        let owed_at = mail.at;
        // By that of the last one the next one to a replaced owner is counted, however long its sending was tried.
        let at = if ended.mail.kind == MailKind::Replaced { owed_at } else { ended.at };
        *mail = Mail { owed_by: mail.owed_by, state, at, detail: ended.detail.clone() };
        // Nobody got it, so it takes no other's place.
        if state == MailState::Dropped
            && let Some(place) = self.mails.iter().position(|at| *at == owed_at)
        {
            self.mails.remove(place);
        }
    }

    /// `at` stays: the 24 h run from when the mail became owed.
    fn mail_deferred(&mut self, deferred: &MailEnded) {
        if let Some(mail) = self.mail_of(deferred.mail) {
            mail.detail.clone_from(&deferred.detail);
        }
    }

    fn end_streak(&mut self) {
        self.failing_since = None;
        self.recent_errors.clear();
    }
}

impl Webhook {
    fn rotated(&mut self, rotated: &SecretRotated) {
        let previous = self.secret.replace(rotated.secret.clone());
        self.previous_secret = previous.map(|secret| PreviousSecret { secret, valid_until: rotated.previous_until });
    }
}

impl Skipped {
    fn add(&mut self, skipped: &MessagesSkipped) {
        self.count = self.count.saturating_add(skipped.count);
        self.first_at.get_or_insert(skipped.at);
        self.last_at = Some(skipped.at);
        self.newest = self.newest.max(Some(skipped.newest));
    }

    /// Counts anew from a switch-off; the newest message stays, since a test may send it.
    fn restart(&mut self) {
        let newest = self.newest;
        *self = Self { newest, ..Self::default() };
    }
}
