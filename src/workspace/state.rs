//! What the events of a workspace add up to. Its encoded form is the snapshot.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::access::AccessRecord;
use super::confidential::Confidential;
use super::configuration::{Configuration, SubscribedEvent, WebhookStatus};
use super::event::{Attempt, AttemptError, ErrorKind, MailId, MailKind, MailState, TestStarted, Trigger};
use super::headers::CustomHeaders;
use super::time::Time;
use crate::message::{EntryId, shown_id};

/// Everything that is remembered of a workspace between two messages. Small: it holds no message,
/// except while a test is under way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// The seq of the last event; 0 before the first.
    pub seq: u64,
    /// The seq at which the workspace was last forgotten; 0 if it never was. Nothing that began at or
    /// before it leaves a trace.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgotten: u64,
    /// The configuration.
    pub webhook: Webhook,
    /// Errors in a row, as far as they count.
    pub errors: u32,
    /// When the present streak began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Time>,
    /// The last errors that counted, oldest first, at most [`RECENT_ERRORS_MAX`]: the mail tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent_errors: Vec<RecentError>,
    /// Messages that were settled while the webhook was off.
    #[serde(default, skip_serializing_if = "Skipped::is_none")]
    pub skipped: Skipped,
    /// The newest attempt, of either trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<Summary>,
    /// The mail of the last automatic switch-off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
    /// The last warning that was owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Mail>,
    /// The last mail that was owed to tell that it delivers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Mail>,
    /// The last mail that was owed to an owner whose address was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Mail>,
    /// When errors switched it off that was saved since and has not delivered since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering: Option<Time>,
    /// When mails became owed, oldest first, at most [`super::policy::MAILS_PER_DAY_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mails: Vec<Time>,
    /// When test mails were asked for, oldest first, at most [`super::policy::TEST_MAILS_PER_DAY_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_mails: Vec<Time>,
    /// The test that is under way: at most one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Box<TestStarted>>,
    /// When the last test was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested_at: Option<Time>,
    /// The last entry that was discarded: messages up to it are skipped when their turn comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<EntryId>,
    /// How often the workspace's tokens were revoked: only those of this generation open it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub token_generation: u64,
    /// What was made and ended to open the workspace, and who looked at its secret.
    #[serde(default, skip_serializing_if = "AccessRecord::is_empty")]
    pub access: AccessRecord,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl State {
    /// What is left of it once the workspace is forgotten: only what keeps the past from coming back.
    /// The streams' ids never fall back, so neither may the seq.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let (token_generation, access) = (self.token_generation, self.access.emptied());
        Self { seq: self.seq, forgotten: self.seq, token_generation, access, ..Self::default() }
    }

    /// Whether the message of that entry is not to be sent.
    #[must_use]
    pub fn is_discarded(&self, entry: EntryId) -> bool {
        self.discarded.is_some_and(|last| entry <= last)
    }

    /// The webhook's state in one word.
    #[must_use]
    pub fn status(&self) -> WebhookStatus {
        self.webhook.status()
    }

    /// The last mail of that kind.
    #[must_use]
    pub fn mail(&self, kind: MailKind) -> Option<&Mail> {
        match kind {
            MailKind::Disabled => self.mail.as_ref(),
            MailKind::Warning => self.warning.as_ref(),
            MailKind::Recovered => self.recovered.as_ref(),
            MailKind::Replaced => self.replaced.as_ref(),
        }
    }

    /// The same, to be changed.
    pub(super) fn mail_mut(&mut self, kind: MailKind) -> &mut Option<Mail> {
        match kind {
            MailKind::Disabled => &mut self.mail,
            MailKind::Warning => &mut self.warning,
            MailKind::Recovered => &mut self.recovered,
            MailKind::Replaced => &mut self.replaced,
        }
    }

    /// Drops the mails that are owed, at once and without an event: only for a state that begins anew.
    pub fn drop_owed_mails(&mut self, at: Time, why: &str) {
        for kind in MailKind::ALL {
            if let Some(mail) = self.mail_mut(kind).as_mut().filter(|mail| mail.state == MailState::Owed) {
                *mail = Mail { owed_by: mail.owed_by, state: MailState::Dropped, at, detail: Some(why.to_owned()) };
            }
        }
    }

    /// The mails that are owed, of each kind the last.
    pub fn owed_mails(&self) -> impl Iterator<Item = MailId> {
        MailKind::ALL.into_iter().filter_map(|kind| {
            let mail = self.mail(kind).filter(|mail| mail.state == MailState::Owed)?;
            Some(MailId { owed_by: mail.owed_by, kind })
        })
    }
}

/// How many errors a mail tells.
pub const RECENT_ERRORS_MAX: usize = 3;

/// The configuration, as the last save or switch-off left it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Webhook {
    /// Where to POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Arc<str>>,
    /// Whether messages are attempted.
    #[serde(default)]
    pub enabled: bool,
    /// Who gets the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_email: Option<String>,
    /// The signing secret; absent before the first save.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Confidential>,
    /// The secret before the last rotation. One at most: a rotation within the overlap ends the
    /// secret that was the previous one until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret: Option<PreviousSecret>,
    /// The custom headers.
    #[serde(default, skip_serializing_if = "CustomHeaders::is_empty")]
    pub headers: CustomHeaders,
    /// Names the configuration: the seq of the last save. An outcome counts only against the
    /// configuration that it was attempted with.
    #[serde(default)]
    pub config: u64,
    /// The seq of the last save that changed something, where the last save is another: it only set the count of
    /// errors to 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<u64>,
    /// Whether it was switched off by errors and not saved since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled_by_errors: bool,
    /// When it was last switched off; absent while on, and before the first save.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Time>,
    /// When it was last saved or switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
}

/// A secret that was rotated out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: Confidential,
    /// From then on nothing is signed with it.
    pub valid_until: Time,
}

impl Webhook {
    /// Its state in one word.
    #[must_use]
    pub fn status(&self) -> WebhookStatus {
        WebhookStatus::new(self.url.is_some(), self.enabled, self.disabled_by_errors)
    }

    /// The seq of the last change by a person, 0 before the first. Neither an attempt nor a switch-off by errors moves it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.changed_by.unwrap_or(self.config)
    }

    /// What of it an operator configured, without what is confidential.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        Configuration {
            url: self.url.clone(),
            enabled: self.enabled,
            event: SubscribedEvent::NewMessage,
            owner_email: self.owner_email.clone(),
            headers: self.headers.keys().cloned().collect(),
            status: self.status(),
        }
    }

    /// The secrets that an attempt at `now` is signed with: the present one first, and the previous one
    /// while it is valid.
    pub fn secrets(&self, now: Time) -> impl Iterator<Item = &Confidential> {
        let previous = self.valid_previous_secret(now).map(|previous| &previous.secret);
        self.secret.iter().chain(previous)
    }

    /// The previous secret while it is valid.
    #[must_use]
    pub fn valid_previous_secret(&self, now: Time) -> Option<&PreviousSecret> {
        self.previous_secret.as_ref().filter(|previous| now < previous.valid_until)
    }
}

/// Counts messages since the last switch-off (since the first message if never configured).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// When the first one was skipped.
    #[serde(default)]
    pub first_at: Option<Time>,
    /// When the last one was skipped.
    #[serde(default)]
    pub last_at: Option<Time>,
    /// The newest skipped message ever: its text is stored under `:last:<ws>`. Outlives switch-offs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<EntryId>,
}

impl Skipped {
    /// None ever was.
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One error, as the mail tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentError {
    /// When the attempt began.
    pub at: Time,
    /// The producer's `message_id`, as it is shown.
    #[serde(deserialize_with = "shown")]
    pub message_id: Arc<str>,
    /// The class.
    pub kind: ErrorKind,
    /// One sentence.
    pub detail: String,
}

/// What an earlier version stored may be longer than what is shown.
fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    let id = Arc::<str>::deserialize(deserializer)?;
    let shown = shown_id(&id);
    Ok(if shown.len() < id.len() { shown.into() } else { id })
}

/// A mail, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The seq that names it ([`MailId::owed_by`]).
    #[serde(rename = "disabled")]
    pub owed_by: u64,
    /// What became of it.
    pub state: MailState,
    /// Since when it is in that state; of [`MailKind::Replaced`] when it became owed.
    pub at: Time,
    /// What the mail server said, or why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// An attempt without request and response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AttemptSummary)]
pub struct Summary {
    /// The seq, as a string.
    pub id: String,
    /// When it began.
    pub at: Time,
    /// What made us POST.
    pub trigger: Trigger,
    /// The producer's `message_id`, as it is shown.
    #[serde(deserialize_with = "shown")]
    pub message_id: Arc<str>,
    /// The `webhook-id` that was sent.
    pub webhook_id: Arc<str>,
    /// What came of it.
    pub outcome: OutcomeWord,
    /// The status code, when there was a response.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<AttemptError>,
    /// From the start to the last byte that was read.
    pub duration_ms: u32,
    /// How long the message waited for its turn; 0 for a test. Absent only in `last_attempt`, where an older version of the
    /// program made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub waited_ms: Option<u64>,
}

impl Summary {
    /// Sums up the attempt whose event has `seq`.
    #[must_use]
    pub fn new(seq: u64, attempt: &Attempt) -> Self {
        Self {
            id: seq.to_string(),
            at: attempt.at,
            trigger: attempt.trigger,
            message_id: Arc::clone(&attempt.message_id),
            webhook_id: Arc::clone(&attempt.webhook_id),
            outcome: if attempt.error.is_none() { OutcomeWord::Delivered } else { OutcomeWord::Failed },
            status: attempt.response.as_ref().map(|response| response.status),
            error: attempt.error.clone(),
            duration_ms: attempt.duration_ms,
            waited_ms: Some(attempt.waited_ms()),
        }
    }
}

/// The two ends of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Outcome)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    /// 200–209.
    Delivered,
    /// Anything else.
    Failed,
}
