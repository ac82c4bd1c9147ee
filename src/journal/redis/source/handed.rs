//! An entry of a source, and what becomes of it.

use bytes::Bytes;
use redis::Cmd;

use crate::config::HAND_OVER_FIELDS_MAX;
use crate::journal::port::RawEntry;
use crate::journal::redis::inner::RedisInner;
use crate::journal::rejected::rejected_fields_of;
use crate::message::{EntryId, InvalidWorkspaceId, WorkspaceId};

/// As its shard gets it.
pub(in crate::journal::redis) struct Handed {
    pub(in crate::journal::redis) id: EntryId,
    /// Why it is set aside; `None`: it is appended to the shard's messages.
    pub(super) wrong: Option<String>,
    fields: Vec<(Bytes, Bytes)>,
}

impl Handed {
    pub(super) fn bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// As handover.lua reads it.
    pub(super) fn add_to(&self, cmd: &mut Cmd) {
        let how = if self.wrong.is_some() { "reject" } else { "append" };
        cmd.arg(self.id.to_string()).arg(how).arg(self.fields.len() * 2);
        for (name, value) in &self.fields {
            cmd.arg(name.as_ref()).arg(value.as_ref());
        }
    }
}

/// To which shard an entry of so many bytes goes, and how; `wrong` says what is wrong with it already.
pub(in crate::journal::redis) fn judged(
    inner: &RedisInner,
    source: &str,
    mut entry: RawEntry,
    bytes: usize,
    wrong: Option<String>,
) -> (u16, Handed) {
    let id = entry.id;
    let origin = (Bytes::from_static(ORIGIN), Bytes::from(format!("{source}/{id}")));
    let destination = destination(&entry);
    let shard = destination.as_ref().map_or(0, |workspace| workspace.shard(inner.shards));
    let wrong = wrong.or(destination.err());
    let fields = match &wrong {
        None => {
            // A producer's own would be taken for ours, and decide the `webhook-id`.
            entry.fields.retain(|(name, _)| name != ORIGIN);
            entry.fields.push(origin);
            entry.fields
        }
        Some(reason) => {
            let bytes = bytes + origin.0.len() + origin.1.len();
            // First, so that it is kept however many fields there are, and counts before a producer's own.
            entry.fields.insert(0, origin);
            rejected_fields_of(&entry, bytes, reason, (inner.clock)())
        }
    };
    (shard, Handed { id, wrong, fields })
}

/// The field that names where an entry came from.
const ORIGIN: &[u8] = b"origin";

/// The workspace that an entry names, or why it cannot be handed over.
fn destination(entry: &RawEntry) -> Result<WorkspaceId, String> {
    if entry.fields.len() > HAND_OVER_FIELDS_MAX {
        return Err(format!("the entry has {} fields; at most {HAND_OVER_FIELDS_MAX} are taken", entry.fields.len()));
    }
    let workspace = entry.field("workspace").ok_or("the field `workspace` is missing")?;
    let text = std::str::from_utf8(workspace).map_err(|_| InvalidWorkspaceId.to_string())?;
    text.parse().map_err(|error: InvalidWorkspaceId| error.to_string())
}
