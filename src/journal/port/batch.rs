//! What a commit makes durable.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::Answer;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::MailId;
use crate::workspace::outcomes::Outcomes;
use crate::workspace::state::RecentError;
use crate::workspace::time::Time;

/// Steps that are committed together, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The steps. Of several snapshots (or newest skipped messages) of one workspace the last holds.
    pub steps: Vec<Step>,
    /// How far the shard has been read, for whoever reads it next; the one before holds without it.
    pub bookmark: Option<Bookmark>,
}

/// How far a shard has been read, and what was left behind there. It stays true whatever is settled or appended later,
/// so whoever acquires the shard may read on from it. Only ids that go backwards contradict it; then
/// [`Bookmark::default`] takes the stored one away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// Every entry up to here is settled, or of one of the workspaces below.
    pub cursor: EntryId,
    /// By workspace its first and its last entry up to the cursor that may not be settled; at most
    /// [`crate::config::BOOKMARK_WORKSPACES_MAX`].
    pub left: Vec<(WorkspaceId, EntryId, EntryId)>,
}

/// What belongs together and is committed whole: the events that one decision made, and the entries
/// that it settles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The workspace; `None` for a step that only rejects or settles.
    pub workspace: Option<WorkspaceId>,
    /// Forget the workspace first: its place in the list, its events, its newest skipped message and the mails that it owes, as
    /// the steps before this one left them. Its seq goes on where it was.
    pub forget: bool,
    /// Drop the attempts of the steps before this one and the newest skipped message. A snapshot stands beside it.
    pub drop_log: bool,
    /// With `forget`: the workspace begins anew, whatever of it is damaged. The events of this step may be older ones in
    /// any distance, and those that follow go on above this seq.
    pub anew: Option<u64>,
    /// Attempts, by seq.
    pub attempts: Vec<StoredEvent>,
    /// Other sequenced events, by seq.
    pub history: Vec<StoredEvent>,
    /// The state after this step ([`crate::journal::codec::encode_snapshot`]).
    pub snapshot: Option<Bytes>,
    /// The status that the workspace is listed with from now on; stands beside a snapshot.
    pub listed: Option<WebhookStatus>,
    /// The newest skipped message.
    pub last_skipped: Option<Newest>,
    /// Mails that are owed from now on.
    pub mails_owed: Vec<OwedMail>,
    /// Mails that are owed no more.
    pub mails_ended: Vec<MailId>,
    /// Message entries that are settled.
    pub settled: Vec<EntryId>,
    /// Command entries that are settled.
    pub settled_commands: Vec<EntryId>,
    /// Answers to commands: in the step that settles the command, or for a test, which is settled when it
    /// starts, in that of its outcome.
    pub answers: Vec<(EntryId, Answer)>,
    /// What it says of messages, for who counts; it is not stored.
    pub outcomes: Outcomes,
    /// Message entries that are set aside; each also stands in `settled`.
    pub rejected: Vec<Rejected>,
}

impl Step {
    /// Events in it.
    #[must_use]
    pub fn events(&self) -> usize {
        self.attempts.len() + self.history.len()
    }

    /// About how many bytes it adds to a commit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let events = self.attempts.iter().chain(&self.history).map(|event| event.json.len()).sum::<usize>();
        let snapshot = self.snapshot.as_ref().map_or(0, Bytes::len);
        let last = self.last_skipped.as_ref().map_or(0, |newest| newest.message.bytes().len());
        let rejected = self
            .rejected
            .iter()
            .flat_map(|entry| &entry.fields)
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>();
        events + snapshot + last + rejected
    }
}

/// One event in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its seq.
    pub seq: u64,
    /// [`crate::journal::codec::encode_event`] of it.
    pub json: Bytes,
}

/// A workspace's newest message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its entry in the shard's stream.
    pub entry: EntryId,
    /// Its text.
    pub message: RawMessage,
}

/// An entry that is no valid message, cut to the bounds of
/// [contract, section 1](crate::docs::contract#1-the-message-in).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its id in the message stream.
    pub id: EntryId,
    /// The fields to keep: the original ones (cut), then `_id`, `_reason`, `_at`.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// A mail that is owed, as the outbox keeps it: everything that its text needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedMail {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Which of its mails.
    #[serde(flatten)]
    pub id: MailId,
    /// Since when it is owed.
    pub at: Time,
    /// To whom.
    pub to: String,
    /// The URL that failed, as configured.
    pub url: String,
    /// Errors in a row; 0 when it delivers again.
    pub errors: u32,
    /// When the streak began, or when it had been switched off that delivers again.
    pub failing_since: Time,
    /// The last errors, oldest first.
    pub recent: Vec<RecentError>,
    /// How many more errors in a row switch it off, for a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_left: Option<u32>,
    /// Messages that were not sent while it was off, when it delivers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Who replaced the owner's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}
