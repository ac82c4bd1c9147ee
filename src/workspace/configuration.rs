//! A webhook's configuration as the change history shows it and as a rotation of the secret stores it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::headers::HeaderName;

/// What an operator configures, without what is confidential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Configuration {
    /// Where messages go.
    pub url: Option<Arc<str>>,
    /// Whether they go.
    pub enabled: bool,
    /// Always `new_message`.
    pub event: SubscribedEvent,
    /// Who gets the mail.
    pub owner_email: Option<String>,
    /// The names of the custom headers.
    pub headers: Vec<HeaderName>,
    /// In one word, as the webhook showed it then.
    pub status: WebhookStatus,
}

/// The one event there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
#[serde(rename_all = "snake_case")]
pub enum SubscribedEvent {
    /// A message was sent or received.
    #[default]
    NewMessage,
}

/// The webhook's state in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Status)]
#[serde(rename_all = "snake_case")]
pub enum WebhookStatus {
    /// No URL.
    NotConfigured,
    /// On.
    Enabled,
    /// Switched off by an operator.
    Disabled,
    /// Switched off by too many errors.
    DisabledByErrors,
}

impl Configuration {
    /// The same after too many errors.
    pub(super) fn switched_off(self) -> Self {
        Self { enabled: false, status: WebhookStatus::new(self.url.is_some(), false, true), ..self }
    }
}

impl WebhookStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NotConfigured, Self::Enabled, Self::Disabled, Self::DisabledByErrors];

    /// As it is written everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::DisabledByErrors => "disabled_by_errors",
        }
    }

    pub(super) fn new(has_url: bool, enabled: bool, disabled_by_errors: bool) -> Self {
        match (has_url, enabled, disabled_by_errors) {
            (false, _, _) => Self::NotConfigured,
            (true, true, _) => Self::Enabled,
            (true, false, true) => Self::DisabledByErrors,
            (true, false, false) => Self::Disabled,
        }
    }
}
