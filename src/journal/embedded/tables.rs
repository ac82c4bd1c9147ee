//! What the file holds.
//!
//! Events are keyed by one order over all workspaces, so that a transaction appends at one place of
//! one tree; keyed by workspace, writing is three to five times slower
//! ([performance](crate::docs::performance#the-physical-limits)). What of it
//! belongs to a workspace, its record knows.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use redb::{ReadableTable, StorageError, TableDefinition};

use crate::journal::codec;
use crate::journal::port::{RawEntry, StoredEvent};
use crate::journal::replay::Stored;
use crate::message::EntryId;
use crate::workspace::configuration::WebhookStatus;

/// The version of everything below, with the newest format of the events in it. One process has the file, so an older one
/// is raised when it is opened.
pub(super) const FORMAT: u64 = codec::FORMAT as u64;
/// `format` and `shards`, by shard the number that its next rejected entry gets and how many bytes they take,
/// [`sealing_key`] of the keys that seal something, and [`ended_session`] of the operator's sessions that ended.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Event number over all workspaces → the event's JSON.
pub(super) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// Workspace → [`Record`].
pub(super) const WORKSPACES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("workspaces");
/// Workspace → the [`Places`] of its history: apart from the record, which nearly every transaction rewrites.
pub(super) const HISTORIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("histories");
/// Workspace → its newest skipped message.
pub(super) const SKIPPED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("skipped");
/// Shard, workspace and the seq that names the mail → the mail that is owed.
pub(super) const OUTBOX: TableDefinition<'_, (u16, &str, u64), &[u8]> = TableDefinition::new("outbox");
/// Shard → the greatest ids ever given to a message and to a command.
pub(super) const TOPS: TableDefinition<'_, u16, (Id, Id)> = TableDefinition::new("tops");

/// Shard → its bookmark.
pub(super) const BOOKMARKS: TableDefinition<'_, u16, &[u8]> = TableDefinition::new("bookmarks");
/// Workspace → the status that it is listed with.
pub(super) const LISTED: TableDefinition<'_, &str, &str> = TableDefinition::new("listed");
/// What [`listed_with`] was before: one table of all statuses.
pub(super) const LISTED_BY_STATUS: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("listed_by_status");

/// The workspaces with a status. A table for each, so that its length is at hand.
pub(super) fn listed_with(status: WebhookStatus) -> TableDefinition<'static, &'static str, ()> {
    TableDefinition::new(match status {
        WebhookStatus::NotConfigured => "listed/not_configured",
        WebhookStatus::Enabled => "listed/enabled",
        WebhookStatus::Disabled => "listed/disabled",
        WebhookStatus::DisabledByErrors => "listed/disabled_by_errors",
    })
}

/// An [`EntryId`] as a key.
pub(super) type Id = (u64, u64);
/// Entries by id. A table for each shard, so that its length is at hand.
pub(super) type Entries<'a> = TableDefinition<'a, Id, &'static [u8]>;
/// Rejected entries, numbered in the order in which they were set aside.
pub(super) type RejectedEntries<'a> = TableDefinition<'a, u64, &'static [u8]>;

/// What the names of [`sealing_key`] begin with. No table of a shard is called so.
pub(super) const SEALING_KEY: &str = "sealing-key/";

/// What the names begin with in [`META`] of the operator's sessions that ended before their time, each with when it would
/// have ended by itself, in milliseconds.
pub(super) const ENDED_SESSION: &str = "ended-session/";

/// The name in [`META`] of a session that ended.
pub(super) fn ended_session(id: &str) -> String {
    format!("{ENDED_SESSION}{id}")
}

/// What stands beside the name of a key whose print was not noted: earlier versions noted none.
pub(super) const NO_PRINT: u64 = 1;

/// The name in [`META`] by which a key is noted that seals something; its print stands beside it.
pub(super) fn sealing_key(id: &str) -> String {
    format!("{SEALING_KEY}{id}")
}

/// The names of a shard's tables.
pub(super) struct Names {
    messages: String,
    commands: String,
    rejected: String,
    rejected_bytes: String,
}

impl Names {
    pub(super) fn of(shard: u16) -> Self {
        Self {
            messages: format!("messages/{shard}"),
            commands: format!("commands/{shard}"),
            rejected: format!("rejected/{shard}"),
            rejected_bytes: format!("rejected_bytes/{shard}"),
        }
    }

    pub(super) fn messages(&self) -> Entries<'_> {
        TableDefinition::new(&self.messages)
    }

    pub(super) fn commands(&self) -> Entries<'_> {
        TableDefinition::new(&self.commands)
    }

    /// Also the name of the next number in [`META`].
    pub(super) fn rejected(&self) -> RejectedEntries<'_> {
        TableDefinition::new(&self.rejected)
    }

    /// The name in [`META`] of how many bytes they take.
    pub(super) fn rejected_bytes(&self) -> &str {
        &self.rejected_bytes
    }
}

pub(super) fn id(entry: EntryId) -> Id {
    (entry.ms, entry.n)
}

pub(super) fn entry((ms, n): Id) -> EntryId {
    EntryId { ms, n }
}

/// A rejected entry's number, as an id.
pub(super) fn rejected_id(number: u64) -> Id {
    (number, 0)
}

/// Where a workspace's events stand: (seq, event number), oldest first.
pub(super) type Places = VecDeque<(u64, u64)>;

/// What is kept of a workspace beside its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The greatest seq ever.
    pub(super) top: u64,
    /// The snapshot.
    pub(super) snapshot: Option<Bytes>,
    /// Its last attempts.
    pub(super) attempts: Places,
}

impl Record {
    /// Top, length of the snapshot plus one (0: none), snapshot, places; numbers as u64, little-endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        let snapshot = self.snapshot.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(16 + snapshot.len() + 16 * self.attempts.len());
        out.put_u64_le(self.top);
        out.put_u64_le(self.snapshot.as_ref().map_or(0, |snapshot| snapshot.len() as u64 + 1));
        out.put_slice(snapshot);
        put_places(&mut out, &self.attempts);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        let read = || {
            let (top, rest) = take_u64(bytes)?;
            let (length, rest) = take_u64(rest)?;
            let length = usize::try_from(length).ok()?;
            let (snapshot, rest) = rest.split_at_checked(length.saturating_sub(1))?;
            let snapshot = (length > 0).then(|| Bytes::copy_from_slice(snapshot));
            Some(Self { top, snapshot, attempts: take_places(rest)? })
        };
        read().ok_or_else(|| damaged("a workspace's record"))
    }

    /// The workspace as it stands in `events`, with its attempts from the `from`th on.
    pub(super) fn stored(
        &self,
        events: &impl ReadableTable<u64, &'static [u8]>,
        from: usize,
    ) -> Result<Stored, StorageError> {
        let attempts = events_at(events, &self.attempts, from)?;
        Ok(Stored { snapshot: self.snapshot.clone(), attempts, top: self.top })
    }
}

/// The events at `places`, from the `from`th on.
pub(super) fn events_at(
    events: &impl ReadableTable<u64, &'static [u8]>,
    places: &Places,
    from: usize,
) -> Result<Vec<StoredEvent>, StorageError> {
    let mut found = Vec::with_capacity(places.len().saturating_sub(from));
    for &(seq, number) in places.range(from.min(places.len())..) {
        // An attempt that is not there leaves a hole, which the replay reports.
        if let Some(json) = events.get(number)? {
            found.push(StoredEvent { seq, json: Bytes::copy_from_slice(json.value()) });
        }
    }
    Ok(found)
}

pub(super) fn encode_places(places: &Places) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * places.len());
    put_places(&mut out, places);
    out
}

pub(super) fn decode_places(bytes: &[u8]) -> Result<Places, StorageError> {
    take_places(bytes).ok_or_else(|| damaged("a workspace's history"))
}

fn put_places(out: &mut Vec<u8>, places: &Places) {
    for &(seq, number) in places {
        out.put_u64_le(seq);
        out.put_u64_le(number);
    }
}

fn take_places(mut bytes: &[u8]) -> Option<Places> {
    let mut places = Places::with_capacity(bytes.len() / 16 + 1);
    while !bytes.is_empty() {
        let (seq, rest) = take_u64(bytes)?;
        let (number, rest) = take_u64(rest)?;
        places.push_back((seq, number));
        bytes = rest;
    }
    Some(places)
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*head), rest))
}

/// Names and values in turn, each after its length as u64, little-endian.
pub(super) fn encode_fields<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
    let length = fields.clone().into_iter().map(|(name, value)| 16 + name.len() + value.len()).sum();
    let mut out = Vec::with_capacity(length);
    for part in fields.into_iter().flat_map(|(name, value)| [name, value]) {
        out.put_u64_le(part.len() as u64);
        out.put_slice(part);
    }
    out
}

/// What an entry that cannot be read is shown with: it is no message, so it is set aside as it is.
const UNREADABLE: &[u8] = b"unreadable";

/// One entry as it is stored.
pub(super) fn decoded_or_unreadable(key: Id, value: &[u8]) -> RawEntry {
    decode_entry(key, value).unwrap_or_else(|_| RawEntry {
        id: entry(key),
        fields: vec![(Bytes::from_static(UNREADABLE), Bytes::copy_from_slice(value))],
    })
}

/// The same, where it can be read.
pub(super) fn decode_entry(key: Id, value: &[u8]) -> Result<RawEntry, StorageError> {
    let mut parts = Bytes::from(BytesMut::from(value));
    let mut part = || {
        let (length, _) = take_u64(&parts)?;
        let end = usize::try_from(length).ok()?.checked_add(8).filter(|end| *end <= parts.len())?;
        Some(parts.split_to(end).slice(8..))
    };
    let mut fields = Vec::with_capacity(2);
    while let Some(name) = part() {
        let value = part().ok_or_else(|| damaged("an entry"))?;
        fields.push((name, value));
    }
    if parts.is_empty() { Ok(RawEntry { id: entry(key), fields }) } else { Err(damaged("an entry")) }
}

/// Entries whose ids are in `range`, at most `count`.
pub(super) fn entries_in(
    table: &impl ReadableTable<Id, &'static [u8]>,
    range: impl std::ops::RangeBounds<Id>,
    count: usize,
) -> Result<Vec<RawEntry>, StorageError> {
    let mut entries = Vec::new();
    for item in table.range(range)?.take(count) {
        let (key, value) = item?;
        entries.push(decoded_or_unreadable(key.value(), value.value()));
    }
    Ok(entries)
}

fn damaged(what: &str) -> StorageError {
    StorageError::Corrupted(format!("{what} is cut off"))
}
