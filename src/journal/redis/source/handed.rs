//! An entry of a source, and what becomes of it.

use bytes::Bytes;
use redis::Cmd;

use crate::config::HAND_OVER_FIELDS_MAX;
use crate::journal::port::RawEntry;
use crate::journal::redis::inner::RedisInner;
use crate::journal::rejected::{rejected_fields_of, too_large, workspace_in};
use crate::message::{EntryId, WorkspaceId};

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

/// What an entry of a source is, before it is handed over.
pub(in crate::journal::redis) struct Judged {
    pub(in crate::journal::redis) id: EntryId,
    /// Its names and values, also those that were not read.
    pub(in crate::journal::redis) bytes: usize,
    /// The workspace that it names.
    pub(in crate::journal::redis) workspace: Option<WorkspaceId>,
    /// Its fields by our names, or why it is set aside with its own.
    pub(in crate::journal::redis) ours: Result<Vec<(Bytes, Bytes)>, (String, RawEntry)>,
}

impl Judged {
    /// An entry of the common input. What else may be wrong with it its shard finds.
    pub(super) fn of_common_input(entry: RawEntry, bytes: usize) -> Self {
        let (id, workspace) = (entry.id, workspace_in(&entry, "workspace"));
        let ours = match too_large(bytes).or_else(|| too_many_fields(&entry)).or(workspace.as_ref().err().cloned()) {
            None => Ok(entry.fields),
            Some(wrong) => Err((wrong, entry)),
        };
        Self { id, bytes, workspace: workspace.ok(), ours }
    }

    /// To which shard it goes, and how.
    pub(in crate::journal::redis) fn handed(self, inner: &RedisInner, source: &str) -> (u16, Handed) {
        let Self { id, bytes, workspace, ours } = self;
        let origin = (Bytes::from_static(ORIGIN), Bytes::from(format!("{source}/{id}")));
        let shard = workspace.as_ref().map_or(0, |workspace| workspace.shard(inner.shards));
        let (fields, wrong) = match ours {
            Ok(mut fields) => {
                // A producer's own would be taken for ours, and decide the `webhook-id`.
                fields.retain(|(name, _)| name != ORIGIN);
                fields.push(origin);
                (fields, None)
            }
            Err((reason, mut entry)) => {
                let bytes = bytes + origin.0.len() + origin.1.len();
                // First, so that it is kept however many fields there are, and counts before a producer's own.
                entry.fields.insert(0, origin);
                let at = (inner.clock)();
                (rejected_fields_of(&entry, bytes, &reason, at, workspace.as_ref()), Some(reason))
            }
        };
        (shard, Handed { id, wrong, fields })
    }
}

/// The field that names where an entry came from.
pub(in crate::journal::redis) const ORIGIN: &[u8] = b"origin";

/// Why an entry with so many fields is not taken; nothing where it is.
pub(in crate::journal::redis) fn too_many_fields(entry: &RawEntry) -> Option<String> {
    let count = entry.fields.len();
    let wrong = || {
        format!(
            "the entry has {count} fields; at most {HAND_OVER_FIELDS_MAX} are taken: put what is not needed elsewhere, and publish \
             it again"
        )
    };
    (count > HAND_OVER_FIELDS_MAX).then(wrong)
}
