//! Facts about a workspace, in the past tense.
//!
//! An event carries decisions, not inputs to be decided again: the counter after an attempt stands
//! in the attempt, so a later change of policy rewrites no history. The stored form (version, names)
//! belongs to `journal::codec`; members are only ever added, with a default.

mod unsequenced;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Deed, EndedBefore, TokenEnded, TokenRecord};
use super::confidential::Confidential;
use super::configuration::Configuration;
use super::headers::{CustomHeaders, HeaderName};
use super::time::Time;
use crate::message::{EntryId, RawMessage};

pub use unsequenced::{Forgotten, LogDropped, MessagesDiscarded, MessagesSkipped, TestDropped};

/// One fact. Those that have a seq ([`Event::is_sequenced`]) are entries in the journal; the rest are recorded by
/// the snapshot alone, which every commit that holds one writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// One POST answered 200–209.
    AttemptDelivered(Box<Attempt>),
    /// One POST ended in anything else.
    AttemptFailed(Box<Attempt>),
    /// An operator saved; holds the whole configuration as it is from now on.
    WebhookSaved(WebhookSaved),
    /// An operator asked for a new signing secret; the configuration stays as it is.
    SecretRotated(SecretRotated),
    /// An operator ended every token of the workspace; the configuration stays as it is.
    TokensRevoked(TokensRevoked),
    /// More errors in a row than the limit: switched off. One a streak.
    WebhookDisabled(WebhookDisabled),
    /// The mail server took a mail.
    OwnerNotified(MailEnded),
    /// A mail was refused for good, or could not be handed over for 24 h.
    MailGivenUp(MailEnded),
    /// A mail became pointless before its sending had begun.
    MailDropped(MailEnded),
    /// A mail is owed that no [`WebhookDisabled`] owes.
    MailOwed(MailOwed),
    /// Messages whose turn came while the webhook was off.
    MessagesSkipped(MessagesSkipped),
    /// An operator had the messages discarded that waited.
    MessagesDiscarded(MessagesDiscarded),
    /// A test POST is about to be sent; durable before it is.
    TestStarted(Box<TestStarted>),
    /// The caller of a started test had stopped waiting, so nothing was sent.
    TestDropped(TestDropped),
    /// The mail server was away or said "later"; the mail is still owed.
    MailDeferred(MailEnded),
    /// An operator had everything forgotten that came before.
    Forgotten(Forgotten),
    /// Nothing was attempted for so long that the attempts are not kept any more.
    LogDropped(LogDropped),
    /// Somebody looked at the signing secret.
    SecretViewed(Deed),
    /// Somebody asked for a test mail.
    TestMailTaken(Deed),
    /// An operator made a token.
    TokenMade(TokenRecord),
    /// An operator ended one token before its time.
    TokenEnded(TokenEnded),
    /// Somebody signed out.
    SessionEnded(EndedBefore),
}

impl Event {
    /// Whether the event takes a seq and is appended to one of the workspace's two streams.
    #[must_use]
    pub fn is_sequenced(&self) -> bool {
        match self {
            Self::AttemptDelivered(_)
            | Self::AttemptFailed(_)
            | Self::WebhookSaved(_)
            | Self::SecretRotated(_)
            | Self::TokensRevoked(_)
            | Self::WebhookDisabled(_) => true,
            // Were they sequenced too, what an endpoint does could push the changes that operators made out
            // of the history.
            Self::OwnerNotified(ended) | Self::MailGivenUp(ended) | Self::MailDropped(ended) => {
                ended.mail.kind == MailKind::Disabled
            }
            Self::MessagesSkipped(_)
            | Self::MessagesDiscarded(_)
            | Self::TestStarted(_)
            | Self::TestDropped(_)
            | Self::MailOwed(_)
            | Self::MailDeferred(_)
            | Self::SecretViewed(_)
            | Self::TestMailTaken(_)
            | Self::TokenMade(_)
            | Self::TokenEnded(_)
            | Self::SessionEnded(_)
            | Self::Forgotten(_)
            | Self::LogDropped(_) => false,
        }
    }

    /// The attempt, when the event is one: those go to the `attempts` stream.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::AttemptDelivered(attempt) | Self::AttemptFailed(attempt) => Some(attempt),
            _ => None,
        }
    }
}

/// What made us POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A message's turn came.
    Message,
    /// An operator asked for a test.
    Test,
    /// An operator asked for what an attempt sent to be sent once more.
    Again,
}

impl Trigger {
    /// Whether a person asked for it: it moves no counter and waits for no chat.
    #[must_use]
    pub const fn is_asked_for(self) -> bool {
        match self {
            Self::Message => false,
            Self::Test | Self::Again => true,
        }
    }
}

/// One POST and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// When the attempt began.
    pub at: Time,
    /// What made us POST.
    pub trigger: Trigger,
    /// The message's entry in the shard's stream.
    pub entry: EntryId,
    /// The producer's `message_id`.
    pub message_id: Arc<str>,
    /// The `webhook-id` that was sent.
    pub webhook_id: Arc<str>,
    /// The configuration it was attempted with: [`super::state::Webhook::config`] at its start.
    pub config: u64,
    /// The error counter after this attempt; absent when it did not move it (a test, an older
    /// configuration, or a webhook that was off by then).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<u32>,
    /// From the start to the last byte that was read, in milliseconds.
    pub duration_ms: u32,
    /// Why it failed; absent when delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AttemptError>,
    /// What was sent.
    pub request: Request,
    /// What came back, when anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Arc<Response>>,
}

impl Attempt {
    /// How long the message waited for its turn, in milliseconds: from its entry's time, that of its source's where it was
    /// handed over, to the attempt. 0 for an entry from the future, and for what a person asked for.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        if self.trigger.is_asked_for() {
            return 0;
        }
        let entered = entry_named_by(&self.webhook_id).unwrap_or(self.entry);
        u64::try_from(self.at.unix_ms()).unwrap_or(0).saturating_sub(entered.ms)
    }
}

/// The entry that a `webhook-id` ends with ([contract, section 2](crate::docs::contract#2-the-post-out)).
#[must_use]
pub fn entry_named_by(webhook_id: &str) -> Option<EntryId> {
    webhook_id.rsplit_once('_')?.1.parse().ok()
}

/// Why bodies are omitted from the log, the only reason there is.
pub const STORE_FULL: &str = "store full";

/// What was sent. The method is always POST.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The URL as configured.
    pub url: Arc<str>,
    /// Every header that we set, in order.
    pub headers: Arc<[Header]>,
    /// The message; the body is [`RawMessage::body`] of it. `None`: it was omitted, with what came back, because the
    /// store was full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<RawMessage>,
}

/// A header's name and value; most of those that we set are the same in all requests.
pub type Header = (Cow<'static, str>, Cow<'static, str>);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// At most 100 headers, in order; bytes that are no UTF-8 are replaced.
    pub headers: Vec<Header>,
    /// Lines among the headers that are none: they were dropped. At most 4 of 256 bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<String>,
    /// At most 4 KiB; bytes that are no UTF-8 are replaced. `gzip, 38 bytes` for a body that is encoded.
    pub body: String,
    /// Whether the body was longer than what is retained, or its end was not seen.
    pub truncated: bool,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptError {
    /// The class, for programs.
    pub kind: ErrorKind,
    /// One sentence, for people; never a resolved address.
    pub detail: String,
}

/// The classes of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The egress guard forbids the address.
    ForbiddenAddress,
    /// The host's name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// No TLS session, or a certificate that does not hold.
    Tls,
    /// The deadline passed.
    Timeout,
    /// A status outside 200–209 that is no redirect.
    HttpStatus,
    /// A 3xx; it is not followed.
    Redirect,
    /// The connection broke, or what came back is no HTTP.
    Protocol,
    /// A crash of the service interrupted a test.
    Interrupted,
}

impl ErrorKind {
    /// Whether something of the message may have been sent: only such a test counts towards one a second, and an
    /// interrupted one frees the next at once
    /// ([contract, section 3](crate::docs::contract#3-the-rules)).
    #[must_use]
    pub fn endpoint_contacted(self) -> bool {
        match self {
            Self::ForbiddenAddress | Self::Dns | Self::Connect | Self::Tls | Self::Interrupted => false,
            Self::Timeout | Self::HttpStatus | Self::Redirect | Self::Protocol => true,
        }
    }
}

/// The configuration after a save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSaved {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: String,
    /// Where to POST; absent when cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Arc<str>>,
    /// Whether messages are attempted from now on.
    pub enabled: bool,
    /// Who gets the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_email: Option<String>,
    /// The signing secret, `whsec_…`; made at the first save, the same until it is rotated.
    pub secret: Confidential,
    /// The custom headers.
    #[serde(default, skip_serializing_if = "CustomHeaders::is_empty")]
    pub headers: CustomHeaders,
    /// The names of the headers that this save added, took out or gave another value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_headers: Vec<HeaderName>,
}

/// A new signing secret, and the end of the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRotated {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: String,
    /// The signing secret from now on.
    pub secret: Confidential,
    /// From then on nothing is signed with the secret before it.
    pub previous_until: Time,
    /// The configuration, which stays as it is: the history tells it, however long ago it was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
}

/// The end of every token that was made before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensRevoked {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: String,
}

/// The automatic switch-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDisabled {
    /// When: the end of the last attempt.
    pub at: Time,
    /// How many errors in a row: limit + 1.
    pub errors: u32,
    /// What becomes of the mail: `owed`, `limited`, `no_address` or `no_mail_server`.
    pub mail: MailState,
}

/// What a mail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// The webhook was switched off by errors.
    #[default]
    Disabled,
    /// A streak of errors goes on ([`super::policy::WARNING_ERRORS`]). Sent only where an operator asked for it.
    Warning,
    /// After a switch-off by errors a message was delivered again. Sent only where an operator asked for it.
    Recovered,
    /// The owner's address was replaced or cleared: told to the address before it.
    Replaced,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Disabled, Self::Warning, Self::Recovered, Self::Replaced];

    /// Whether it is the kind that every mail was of before there were others.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        *self == Self::Disabled
    }
}

/// Names a mail among those of its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailId {
    /// The seq of the event that owes it: the [`WebhookDisabled`], or the attempt or save that a [`MailOwed`]
    /// came with. No two mails of a workspace have the same.
    #[serde(rename = "disabled")]
    pub owed_by: u64,
    /// What it tells.
    #[serde(default, skip_serializing_if = "MailKind::is_disabled")]
    pub kind: MailKind,
}

impl MailId {
    /// The mail that the [`WebhookDisabled`] with this seq owes.
    #[must_use]
    pub const fn disabled(owed_by: u64) -> Self {
        Self { owed_by, kind: MailKind::Disabled }
    }
}

/// A mail that an attempt or a save gave reason for. It takes no seq, so that one's names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailOwed {
    /// When.
    pub at: Time,
    /// What it tells.
    pub kind: MailKind,
    /// When the webhook had been switched off, for [`MailKind::Recovered`].
    pub off_since: Option<Time>,
    /// The address that was replaced and who did it, for [`MailKind::Replaced`].
    pub replaced: Option<(String, String)>,
}

/// What became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// Durable and to be sent.
    Owed,
    /// The mail server took it.
    Sent,
    /// Refused for good, or not handed over within 24 h.
    GivenUp,
    /// It became pointless before its sending began.
    Dropped,
    /// Ten mails in 24 h were reached.
    Limited,
    /// The workspace has no owner_email.
    NoAddress,
    /// The service has no mail server configured.
    NoMailServer,
}

/// The end, or the delay, of one mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailEnded {
    /// When.
    pub at: Time,
    /// Which.
    #[serde(flatten)]
    pub mail: MailId,
    /// What the mail server said, or why; one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A test that is about to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestStarted {
    /// The command's entry: who waits for the answer.
    pub command: EntryId,
    /// The attempt as far as it is known before it; logged as `interrupted` if a crash comes between.
    pub attempt: Attempt,
}
