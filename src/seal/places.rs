//! Where confidential values stand. Every struct is taken apart member by member, so that a new member is
//! looked at here.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;

use super::keyring::OpenError;
use crate::workspace::command::{Action, Change, Command, Save};
use crate::workspace::confidential::Confidential;
use crate::workspace::event::{Event, SecretRotated, WebhookSaved};
use crate::workspace::headers::{HeaderChange, HeaderName, Headers};
use crate::workspace::state::{PreviousSecret, Webhook};

/// The place of a confidential value within its workspace. Its text is part of the associated data, so
/// it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The signing secret.
    Secret,
    /// The signing secret before it.
    PreviousSecret,
    /// The value of a custom header.
    Header(&'a HeaderName),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => f.write_str("secret"),
            Self::PreviousSecret => f.write_str("previous_secret"),
            Self::Header(name) => write!(f, "headers.{name}"),
        }
    }
}

/// What is done with each confidential value.
pub(super) type Visit<'a> = dyn FnMut(Place<'_>, &mut Confidential) -> Result<(), OpenError> + 'a;

/// Something that holds confidential values.
pub trait Confidences {
    /// Visits each of them, until one fails.
    ///
    /// # Errors
    /// As the visit.
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), OpenError>;
}

impl Confidences for Webhook {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), OpenError> {
        let Self {
            secret,
            previous_secret,
            headers,
            url: _,
            enabled: _,
            owner_email: _,
            config: _,
            disabled_by_errors: _,
            disabled_at: _,
            updated_at: _,
        } = self;
        if let Some(secret) = secret {
            visit(Place::Secret, secret)?;
        }
        if let Some(PreviousSecret { secret, valid_until: _ }) = previous_secret {
            visit(Place::PreviousSecret, secret)?;
        }
        each_header(headers, visit)
    }
}

impl Confidences for Event {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), OpenError> {
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
                visit(Place::Secret, secret)?;
                each_header(headers, visit)
            }
            Self::SecretRotated(SecretRotated { secret, at: _, by: _, previous_until: _, configuration: _ }) => {
                visit(Place::Secret, secret)
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
            | Self::MessagesSkipped(_)
            | Self::TestStarted(_)
            | Self::TestDropped(_)
            | Self::MailDeferred(_) => Ok(()),
        }
    }
}

impl Confidences for Command {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), OpenError> {
        match &mut self.action {
            Action::Save(save) | Action::Test { save: Some(save) } => save.each(visit),
            Action::Test { save: None } | Action::RotateSecret | Action::RevokeTokens | Action::Forget => Ok(()),
        }
    }
}

impl Confidences for Save {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), OpenError> {
        let Self { headers, url: _, enabled: _, owner_email: _ } = self;
        let Change::Set(headers) = headers else { return Ok(()) };
        for (name, change) in headers {
            if let HeaderChange::Set(value) = change {
                visit(Place::Header(name), value)?;
            }
        }
        Ok(())
    }
}

fn each_header(headers: &mut Headers, visit: &mut Visit<'_>) -> Result<(), OpenError> {
    headers.iter_mut().try_for_each(|(name, value)| visit(Place::Header(name), value))
}
