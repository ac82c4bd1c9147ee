//! Which fields hold confidential values. Every struct is destructured without `..`, so that a new field does
//! not compile until it is considered here.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;

use crate::workspace::command::{Action, Change, Command, Save};
use crate::workspace::confidential::Confidential;
use crate::workspace::event::{Event, SecretRotated, WebhookSaved};
use crate::workspace::headers::{CustomHeaders, HeaderChange, HeaderName};
use crate::workspace::state::{PreviousSecret, Webhook};

/// Names a confidential value within its workspace. The name is part of the associated data, so it never
/// changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfidentialField<'a> {
    /// The signing secret.
    Secret,
    /// The signing secret before it.
    PreviousSecret,
    /// The value of a custom header.
    Header(&'a HeaderName),
}

impl fmt::Display for ConfidentialField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => f.write_str("secret"),
            Self::PreviousSecret => f.write_str("previous_secret"),
            Self::Header(name) => write!(f, "headers.{name}"),
        }
    }
}

/// What is done with each confidential value.
pub(super) type Visit<'a, E> = dyn FnMut(ConfidentialField<'_>, &mut Confidential) -> Result<(), E> + 'a;

/// Something that holds confidential values.
pub trait Sealable {
    /// Visits each of them, until one fails.
    ///
    /// # Errors
    /// As the visit.
    fn visit<E>(&mut self, visit: &mut Visit<'_, E>) -> Result<(), E>;
}

impl Sealable for Webhook {
    fn visit<E>(&mut self, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            secret,
            previous_secret,
            headers,
            url: _,
            enabled: _,
            owner_email: _,
            config: _,
            changed_by: _,
            disabled_by_errors: _,
            disabled_at: _,
            updated_at: _,
        } = self;
        if let Some(secret) = secret {
            visit(ConfidentialField::Secret, secret)?;
        }
        if let Some(PreviousSecret { secret, valid_until: _ }) = previous_secret {
            visit(ConfidentialField::PreviousSecret, secret)?;
        }
        visit_headers(headers, visit)
    }
}

impl Sealable for Event {
    fn visit<E>(&mut self, visit: &mut Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::WebhookSaved(saved) => {
                let WebhookSaved {
                    secret,
                    headers,
                    at: _,
                    by: _,
                    url: _,
                    enabled: _,
                    owner_email: _,
                    changed_headers: _,
                } = saved;
                visit(ConfidentialField::Secret, secret)?;
                visit_headers(headers, visit)
            }
            Self::SecretRotated(SecretRotated { secret, at: _, by: _, previous_until: _, configuration: _ }) => {
                visit(ConfidentialField::Secret, secret)
            }
            Self::AttemptDelivered(_)
            | Self::AttemptFailed(_)
            | Self::TokensRevoked(_)
            | Self::WebhookDisabled(_)
            | Self::MailOwed(_)
            | Self::OwnerNotified(_)
            | Self::MailGivenUp(_)
            | Self::MailDropped(_)
            | Self::Forgotten(_)
            | Self::LogDropped(_)
            | Self::MessagesSkipped(_)
            | Self::MessagesDiscarded(_)
            | Self::TestStarted(_)
            | Self::TestDropped(_)
            | Self::SecretViewed(_)
            | Self::TestMailTaken(_)
            | Self::TokenMade(_)
            | Self::TokenEnded(_)
            | Self::SessionEnded(_)
            | Self::MailDeferred(_) => Ok(()),
        }
    }
}

impl Sealable for Command {
    fn visit<E>(&mut self, visit: &mut Visit<'_, E>) -> Result<(), E> {
        match &mut self.action {
            Action::Save(save) | Action::Test { save: Some(save) } => save.visit(visit),
            Action::Test { save: None }
            | Action::Sample
            | Action::Again(_)
            | Action::Discard
            | Action::RotateSecret { .. }
            | Action::RevokeTokens
            | Action::NoteView
            | Action::TakeTestMail
            | Action::MakeToken(_)
            | Action::EndToken { .. }
            | Action::EndSession(_)
            | Action::Repair
            | Action::Forget
            | Action::DropLog { .. } => Ok(()),
        }
    }
}

impl Sealable for Save {
    fn visit<E>(&mut self, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { headers, url: _, enabled: _, owner_email: _ } = self;
        let Change::Set(headers) = headers else { return Ok(()) };
        for (name, change) in headers {
            if let HeaderChange::Set(value) = change {
                visit(ConfidentialField::Header(name), value)?;
            }
        }
        Ok(())
    }
}

fn visit_headers<E>(headers: &mut CustomHeaders, visit: &mut Visit<'_, E>) -> Result<(), E> {
    headers.iter_mut().try_for_each(|(name, value)| visit(ConfidentialField::Header(name), value))
}
