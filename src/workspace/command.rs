//! What an operator may ask for, and what is answered. Both travel through the journal as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{EndedBefore, TOKENS_REMEMBERED};
use super::headers::{HEADERS_BYTES_MAX, HEADERS_MAX, HeaderChange, HeaderName, MASK};
use super::policy::TEST_MAILS_PER_DAY_MAX;
use super::state::Summary;
use super::time::Time;
use super::view::WebhookView;
use crate::message::EntryId;

/// An imperative from an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// When it was submitted.
    pub at: Time,
    /// When its caller stops waiting; a test that would be sent later is not sent.
    pub expires_at: Time,
    /// Who: the subject of the token.
    pub by: String,
    /// Applied only while the webhook is at one of these revisions ([`super::state::Webhook::revision`]): what its
    /// caller saw. Absent: in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<Vec<u64>>,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// The imperatives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Save.
    Save(Save),
    /// Save and test, or just test when there is nothing to save.
    Test {
        /// Applied first, in the same commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        save: Option<Save>,
    },
    /// Send a made-up message, as a test; only where the workspace has none.
    Sample,
    /// Send what an attempt sent once more, as a test.
    Again(SentMessage),
    /// Never send what waits for its turn now.
    Discard,
    /// Forget everything that is known of the workspace.
    Forget,
    /// Keep what can be read of the workspace, whose journal contradicts itself.
    Repair,
    /// Make a new signing secret.
    RotateSecret {
        /// How long the present one is signed with too, in seconds; absent means [`super::policy::SECRET_OVERLAP`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overlap: Option<u64>,
    },
    /// Note that the caller looks at the signing secret.
    NoteView,
    /// Take one of the test mails that a day has.
    TakeTestMail,
    /// Note a token that is made.
    MakeToken(TokenGrant),
    /// End one token.
    EndToken {
        /// Its id.
        id: String,
    },
    /// End one session.
    EndSession(EndedBefore),
    /// End every token and session of the workspace.
    RevokeTokens,
    /// Drop the log and the newest message, if neither is younger than this; what a producer made up is forgotten.
    DropLog {
        /// When.
        before: Time,
    },
}

impl Action {
    /// Whether what it does writes something confidential.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        match self {
            Self::Save(_) | Self::Test { save: Some(_) } | Self::RotateSecret { .. } => true,
            Self::Test { save: None }
            | Self::Sample
            | Self::Again(_)
            | Self::Discard
            | Self::DropLog { .. }
            | Self::Forget
            | Self::Repair
            | Self::NoteView
            | Self::TakeTestMail
            | Self::MakeToken(_)
            | Self::EndToken { .. }
            | Self::EndSession(_)
            | Self::RevokeTokens => false,
        }
    }

    /// Whether it switches off, clears, forgets or ends something and adds next to nothing, so that it is taken when
    /// the store is full ([contract, section 3](crate::docs::contract#3-the-rules)).
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Save(save) => save.url.is_none() || save.enabled == Some(false),
            Self::Discard
            | Self::Forget
            | Self::RevokeTokens
            | Self::DropLog { .. }
            | Self::EndToken { .. }
            | Self::EndSession(_) => true,
            Self::Test { .. }
            | Self::Sample
            | Self::Again(_)
            | Self::Repair
            | Self::RotateSecret { .. }
            | Self::NoteView
            | Self::TakeTestMail
            | Self::MakeToken(_) => false,
        }
    }
}

/// What an attempt of the log sent: read there by the facade, for it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    /// The attempt's seq.
    pub attempt: u64,
    /// The message's entry.
    pub entry: EntryId,
    /// The `webhook-id` that was sent.
    pub webhook_id: String,
    /// The producer's text. No raw value: a tagged enum is read through a buffer, which holds none.
    pub message: String,
}

/// A token that is made for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGrant {
    /// Its id.
    pub id: String,
    /// Who gets it.
    pub subject: String,
    /// When it ends. Named unlike the command's own end, beside which it is written.
    pub until: Time,
}

/// What to save. Checked by the facade before it is submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Save {
    /// Where to POST; absent clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Absent means true when there is a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What to do with the owner's address.
    #[serde(default)]
    pub owner_email: Change<String>,
    /// What to do with the custom headers: all of them, by name.
    #[serde(default)]
    pub headers: Change<BTreeMap<HeaderName, HeaderChange>>,
}

/// What a save does with a member that may be left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change<T> {
    /// Leave it.
    #[default]
    Keep,
    /// Remove it.
    Clear,
    /// Replace it.
    Set(T),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Applied. `attempt` and `reason` belong to tests.
    Done {
        /// The webhook right after the command.
        webhook: Box<WebhookView>,
        /// The test's attempt, when one was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Box<Summary>>,
        /// Why a test made no attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<NoAttempt>,
    },
    /// Repaired.
    Repaired {
        /// The webhook as it is now.
        webhook: Box<WebhookView>,
        /// What was lost, a sentence each; nothing where nothing was damaged.
        lost: Vec<String>,
    },
    /// Not applied.
    Refused {
        /// Why.
        refusal: Refusal,
    },
}

/// Why a test made no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoAttempt {
    /// The workspace has no message yet.
    NoMessage,
    /// The webhook has no URL.
    NoUrl,
    /// The caller had stopped waiting.
    Expired,
    /// The workspace was forgotten before the test ended: whether it was sent is not known any more.
    Forgotten,
}

/// Why a command was not applied: nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// 412.
    #[error("nothing was saved: the webhook was changed meanwhile; read it again, then save with the new ETag")]
    ChangedMeanwhile,
    /// 409.
    #[error("a test of this workspace is under way; wait for its answer")]
    TestUnderWay,
    /// 429.
    #[error("one test a second is allowed; wait a second and try again")]
    TestTooSoon,
    /// 429.
    #[error("no mail was sent: {TEST_MAILS_PER_DAY_MAX} test mails a day are allowed")]
    TooManyTestMails,
    /// 409.
    #[error("a sample is for a workspace without a message, and this one has one; send a test without `sample`")]
    HasMessages,
    /// 404.
    #[error("there is no such attempt among the last 100 of this workspace")]
    NoSuchAttempt,
    /// 422.
    #[error("a webhook without a URL cannot be enabled; send a URL or leave `enabled` out")]
    EnabledWithoutUrl,
    /// 422.
    #[error("`{MASK}` keeps the value that is stored, and none is; send the value")]
    NoHeaderValue {
        /// The header's name.
        name: HeaderName,
    },
    /// 422: the save changes scheme, host or port, and leaves values as they are.
    #[error(
        "the value was given for another scheme, host or port than the URL's; send the value again, or take the header out"
    )]
    HeadersOfAnotherOrigin {
        /// The names of the headers whose values were not sent.
        names: Vec<HeaderName>,
    },
    /// 422.
    #[error(
        "at most {HEADERS_MAX} headers of together {HEADERS_BYTES_MAX} bytes, names and values, are sent; send less"
    )]
    TooManyHeaders,
    /// 404.
    #[error("the secret is made by the first save; PUT the webhook first")]
    NoSecret,
    /// 409.
    #[error(
        "no token was made: {TOKENS_REMEMBERED} tokens of this workspace open it, or were ended before their time; wait until the \
         time of one is over, or end all of them"
    )]
    TooManyTokens,
    /// 404.
    #[error("there is no such token that is known and opens anything; list the tokens, or end all of them")]
    NoSuchToken,
    /// 503: what is confidential may not be written in plain text, and there is no key.
    #[error(
        "this node has no key to encrypt secrets with, and the others of this journal are encrypted; nothing was applied, the operator must give it one"
    )]
    NoSecretKey,
    /// 503: the workspace's journal cannot be loaded.
    #[error("this workspace cannot be loaded; nothing was applied, the operator's log says why")]
    WorkspaceUnavailable,
    /// 500: deciding the command failed.
    #[error("the command failed inside the service; nothing was applied, the operator's log says why")]
    Internal,
}
